//! Clocks: the tick's length, and wall time for output.

use std::time::Duration;

use jiff::Timestamp;
use nix::time::{ClockId, clock_getres};

/// The length of a jiffy.
///
/// The coarse clocks advance once a tick, and their resolution says how long that is; `CLK_TCK`
/// is 100 whatever the kernel's own `HZ`.
#[must_use]
pub fn jiffy() -> Duration {
    clock_getres(ClockId::CLOCK_MONOTONIC_COARSE).map_or(Duration::from_millis(4), Duration::from)
}

/// Wall time as RFC 3339 in UTC, to the millisecond.
#[must_use]
pub fn wall() -> String {
    format!("{:.3}", Timestamp::now())
}
