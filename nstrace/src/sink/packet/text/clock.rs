//! The time at a line's start.

use std::fmt::Write as _;

use jiff::{Timestamp, tz::TimeZone};

use crate::sink::packet::TimeStyle;

/// Prints times. It keeps what the second that was printed last looks like.
pub(super) struct Clock {
    style: TimeStyle,
    zone: TimeZone,
    second: Option<u64>,
    text: String,
    /// The packet that others are compared with, in microseconds.
    reference: Option<u64>,
}

impl Clock {
    pub(super) const fn new(style: TimeStyle, zone: TimeZone) -> Self {
        Self {
            style,
            zone,
            second: None,
            text: String::new(),
            reference: None,
        }
    }

    /// Appends a time, in nanoseconds since 1970, and a space.
    pub(super) fn print(&mut self, out: &mut String, time: u64) {
        let micros = time / 1000;
        match self.style {
            TimeStyle::None => {}
            TimeStyle::Clock | TimeStyle::Date => self.print_wall(out, micros),
            TimeStyle::Epoch => fraction(out, format_args!("{}", micros / 1_000_000), micros),
            TimeStyle::Delta | TimeStyle::Elapsed => self.print_since(out, micros),
        }
    }

    fn print_wall(&mut self, out: &mut String, micros: u64) {
        let second = micros / 1_000_000;
        if self.second != Some(second) {
            self.second = Some(second);
            self.text = self.wall(second);
        }
        out.push_str(&self.text);
        fraction(out, format_args!(""), micros);
    }

    fn wall(&self, second: u64) -> String {
        let timestamp = i64::try_from(second).map(Timestamp::from_second);
        // Nanoseconds since 1970 in 64 bits end in 2554, well within what it knows.
        let Ok(Ok(timestamp)) = timestamp else {
            return second.to_string();
        };
        let time = self.zone.to_datetime(timestamp);
        let clock = format!(
            "{:02}:{:02}:{:02}",
            time.hour(),
            time.minute(),
            time.second()
        );
        match self.style {
            TimeStyle::Date => format!("{} {clock}", time.date()),
            _ => clock,
        }
    }

    fn print_since(&mut self, out: &mut String, micros: u64) {
        let reference = *self.reference.get_or_insert(micros);
        if self.style == TimeStyle::Delta {
            self.reference = Some(micros);
        }
        out.push(if micros < reference { '-' } else { ' ' });
        let micros = micros.abs_diff(reference);
        let second = micros / 1_000_000;
        // As tcpdump has it, days are not shown.
        let hour = second / 3600 % 24;
        let clock = format_args!("{hour:02}:{:02}:{:02}", second / 60 % 60, second % 60);
        fraction(out, clock, micros);
    }
}

fn fraction(out: &mut String, second: std::fmt::Arguments<'_>, micros: u64) {
    write!(out, "{second}.{:06} ", micros % 1_000_000).unwrap_or_default();
}
