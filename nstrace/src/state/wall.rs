//! Wall time of captured packets.
//!
//! The kernel stamps a packet with `CLOCK_BOOTTIME`, which nobody sets. What it was o'clock then is
//! that plus an offset, which changes when somebody sets the clock. A file's times must not go back
//! when that happens, and ought to be those of everybody else's clock: so a step forward is followed
//! at once, and one back by half a millisecond a second, as adjtime(3) would.

use std::time::Duration;

/// Parts per million by which time is made to go slower until it is right again.
const SLEW: i64 = 500;
/// Reading two clocks takes time; below this, nothing has changed.
const NOISE: i64 = 50_000;

/// Two clocks at one moment, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clocks {
    /// `CLOCK_BOOTTIME`.
    pub boot: u64,
    /// `CLOCK_REALTIME`.
    pub wall: u64,
}

/// From one clock to the other.
#[derive(Clone, Debug)]
pub struct WallClock {
    /// Wall less boot.
    offset: i64,
    observed: u64,
    /// How far this clock was ahead when it was last compared, as a negative number.
    ahead: i64,
    last: u64,
}

/// Somebody has set the clock back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetBack(pub Duration);

impl WallClock {
    /// As the clocks stand now.
    #[must_use]
    pub fn new(now: Clocks) -> Self {
        Self {
            offset: now.wall.wrapping_sub(now.boot).cast_signed(),
            observed: now.boot,
            ahead: 0,
            last: 0,
        }
    }

    /// As the clocks stand a while later. Says so if one was set back since.
    pub fn observe(&mut self, now: Clocks) -> Option<SetBack> {
        let passed = now.boot.saturating_sub(self.observed).cast_signed();
        self.observed = now.boot;
        let offset = now.wall.wrapping_sub(now.boot).cast_signed();
        let change = offset.saturating_sub(self.offset);
        if change > NOISE {
            self.offset = offset;
        } else if change < -NOISE {
            let most = passed / (1_000_000 / SLEW);
            self.offset = self.offset.saturating_sub(most.min(-change));
        }
        let set_back = self.ahead.saturating_sub(change);
        self.ahead = offset.saturating_sub(self.offset).min(0);
        (set_back > NOISE).then(|| SetBack(Duration::from_nanos(set_back.unsigned_abs())))
    }

    /// Wall time, in nanoseconds since 1970, of what happened at `boot`: never before what was asked
    /// for last.
    #[inline]
    pub fn at(&mut self, boot: u64) -> u64 {
        self.last = self.last.max(boot.wrapping_add_signed(self.offset));
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;
    const DAY: u64 = 86_400 * S;
    const START: Clocks = Clocks {
        boot: 100 * S,
        wall: 1000 * DAY,
    };

    fn later(seconds: u64, set: i64) -> Clocks {
        Clocks {
            boot: START.boot + seconds * S,
            wall: (START.wall + seconds * S).wrapping_add_signed(set),
        }
    }

    #[test]
    fn a_packet_has_the_time_it_was_then() {
        let mut clock = WallClock::new(START);
        assert_eq!(clock.at(START.boot + 7), START.wall + 7);
        assert_eq!(clock.observe(later(1, 0)), None);
        assert_eq!(clock.at(START.boot + S), START.wall + S);
    }

    #[test]
    fn time_does_not_go_back_whatever_is_asked_for() {
        let mut clock = WallClock::new(START);
        let late = clock.at(START.boot + 7);
        assert_eq!(clock.at(START.boot), late);
    }

    #[test]
    fn a_step_forward_is_followed_at_once() {
        let mut clock = WallClock::new(START);
        let day = DAY.cast_signed();
        assert_eq!(clock.observe(later(1, day)), None);
        assert_eq!(clock.at(START.boot + S), START.wall + S + DAY);
    }

    #[test]
    fn a_step_back_is_slewed_and_said() {
        let mut clock = WallClock::new(START);
        let back = -(S.cast_signed());
        assert_eq!(
            clock.observe(later(1, back)),
            Some(SetBack(Duration::from_secs(1)))
        );
        // 500 us in a second.
        assert_eq!(clock.at(START.boot + S), START.wall + S - 500_000);
        let mut last = 0;
        for second in 2..2100 {
            // Once is enough.
            assert_eq!(clock.observe(later(second, back)), None);
            let now = clock.at(START.boot + second * S);
            assert!(now > last);
            last = now;
        }
        assert!(last.abs_diff(later(2099, back).wall) <= NOISE.unsigned_abs());
    }
}
