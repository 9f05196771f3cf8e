//! The last minute, second by second.

use std::{collections::VecDeque, time::Duration};

/// Seconds that are kept.
pub(super) const SECONDS: usize = 60;

/// Bytes in each of the last seconds, both directions together.
#[derive(Debug, Default)]
pub(super) struct History {
    /// The last element is the second `last`, the one before it the second before.
    bytes: VecDeque<f64>,
    last: u64,
}

impl History {
    /// Spreads `bytes` evenly over the time from `from` to `to`.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "seconds since the watch began, and a bar on the screen"
    )]
    pub(super) fn add(&mut self, from: Duration, to: Duration, bytes: u64) {
        let (from, to) = (from.as_secs_f64(), to.as_secs_f64());
        if to <= from {
            return;
        }
        let per_second = bytes as f64 / (to - from);
        let (first, last) = ((from.max(to - SECONDS as f64)) as u64, to as u64);
        for second in first..=last {
            let start = second as f64;
            let overlap = (to.min(start + 1.0) - from.max(start)).max(0.0);
            if let Some(bucket) = self.bucket(second) {
                *bucket += per_second * overlap;
            }
        }
    }

    fn bucket(&mut self, second: u64) -> Option<&mut f64> {
        if self.bytes.is_empty() {
            self.last = second;
            self.bytes.push_back(0.0);
        }
        let behind = second.saturating_sub(self.last);
        for _ in 0..behind.min(SECONDS as u64) {
            self.bytes.push_back(0.0);
            if self.bytes.len() > SECONDS {
                self.bytes.pop_front();
            }
        }
        self.last = self.last.max(second);
        let age = usize::try_from(self.last - second).ok()?;
        let at = self.bytes.len().checked_sub(1 + age)?;
        self.bytes.get_mut(at)
    }

    /// Bits in each second, oldest first. The last one is not over yet.
    pub(super) fn bits_per_second(&self) -> Vec<u64> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a bar on the screen"
        )]
        self.bytes
            .iter()
            .map(|bytes| (bytes * 8.0) as u64)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn an_interval_is_spread_over_the_seconds_it_covers() {
        let mut history = History::default();
        history.add(at(0.5), at(2.5), 200);
        assert_eq!(history.bits_per_second(), [400, 800, 400]);
    }

    #[test]
    fn short_intervals_add_up_within_a_second() {
        let mut history = History::default();
        for tenth in 0..10 {
            history.add(
                at(f64::from(tenth) / 10.0),
                at(f64::from(tenth + 1) / 10.0),
                100,
            );
        }
        let bits = history.bits_per_second();
        assert!((7999..=8000).contains(&bits[0]), "{bits:?}");
    }

    #[test]
    fn a_minute_is_kept_whatever_the_interval() {
        let mut history = History::default();
        history.add(at(0.0), at(3600.0), 3600);
        assert!(history.bits_per_second().len() <= SECONDS + 1);
        history.add(at(3600.0), at(7200.0), 7200);
        assert!(history.bits_per_second().len() <= SECONDS + 1);
        assert_eq!(history.bits_per_second()[10], 16);
    }
}
