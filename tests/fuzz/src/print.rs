//! Bytes as packets and how they are to be printed.

use nstrace::{
    packet::{CaptureIface, LinkType, Packet},
    sink::packet::{Hex, NoNames, Style, Text, TimeStyle, json},
    untrusted::is_unsafe,
};

/// The first bytes choose the style; then come packets, each with two bytes of length before it.
pub(crate) fn print(data: &[u8]) {
    let Some((&[switches, kind, more, excess], mut rest)) = data.split_first_chunk::<4>() else {
        return;
    };
    let is_on = |bit: u8| switches & 1 << bit != 0;
    let style = Style {
        link: is_on(0),
        verbose: kind >> 6,
        quiet: is_on(1),
        hex: match more & 3 {
            0 => Hex::Network,
            1 => Hex::Link,
            _ => Hex::None,
        },
        ascii: is_on(2),
        time: TimeStyle::from_count(more >> 2 & 7),
        prefix: is_on(3),
    };
    let link_type = match kind & 0x3f {
        0 => LinkType::RAW,
        1 => LinkType::NULL,
        2 => LinkType::LINUX_SLL,
        3 => LinkType::LINUX_SLL2,
        4 => LinkType(excess.into()),
        _ => LinkType::ETHERNET,
    };
    let iface = CaptureIface {
        name: "web/eth0".to_owned(),
        netns: "web".to_owned(),
        description: String::new(),
        link_type,
        mac: None,
        addresses: Vec::new(),
        filter: None,
        snaplen: 0,
    };
    let mut text = Text::new(style, jiff::tz::TimeZone::UTC, Box::new(NoNames));
    let mut time = u64::from(excess) << 56;
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let (length, after) = (usize::from(u16::from_le_bytes(*length)), after);
        let (data, after) = after.split_at(length.min(after.len()));
        rest = after;
        time = time.wrapping_add(u64::from(excess) << 20);
        let packet = Packet {
            time,
            iface: 0,
            direction: None,
            // Cut off where the style's last bit says so; a file may also say less than it has.
            orig_len: u32::try_from(length).unwrap_or(u32::MAX) * u32::from(is_on(4)),
            data,
            lost: 0,
        };
        let mut lines = String::new();
        text.packet(&mut lines, &packet, &iface);
        assert!(lines.ends_with('\n'));
        let commands = |c: char| is_unsafe(c) && !matches!(c, '\n' | '\t');
        assert!(!lines.contains(commands), "{lines:?}");
        let mut line = Vec::new();
        json::line(&mut line, &packet, &iface).expect("memory takes it");
        let line = String::from_utf8(line).expect("JSON is UTF-8");
        assert!(line.ends_with('\n') && line.matches('\n').count() == 1);
        assert!(!line.trim_end().contains(is_unsafe), "{line:?}");
    }
}
