//! Clocks: the tick's length, and wall time for output.

use std::time::Duration;

use jiff::Timestamp;
use nix::time::{ClockId, clock_getres, clock_gettime};

use crate::state::wall::Clocks;

/// The length of a jiffy.
///
/// The coarse clocks advance once a tick, and their resolution says how long that is; `CLK_TCK`
/// is 100 whatever the kernel's own `HZ`.
#[must_use]
pub fn jiffy() -> Duration {
    clock_getres(ClockId::CLOCK_MONOTONIC_COARSE).map_or(Duration::from_millis(4), Duration::from)
}

/// Jiffies as the programs stamp them, modulo 2^32, to ten milliseconds; `jiffy` is the length of
/// one.
///
/// times(2) gives the kernel's own counter in units of 1/100 s (`jiffies_64_to_clock_t`), so it
/// needs no calibration.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is a counter, and wraps"
)]
pub fn jiffies(jiffy: Duration) -> u32 {
    const TICKS_PER_SECOND: u128 = 100;
    // SAFETY: a null buffer is allowed, and means that only the result is wanted.
    let ticks = unsafe { libc::times(std::ptr::null_mut()) };
    let nanos = u128::from(ticks as u64) * (1_000_000_000 / TICKS_PER_SECOND);
    (nanos / jiffy.as_nanos().max(1)) as u32
}

/// Wall time as RFC 3339 in UTC, to the millisecond.
#[must_use]
pub fn wall() -> String {
    format!("{:.3}", Timestamp::now())
}

/// The clock of captured packets, in nanoseconds: it counts while the machine sleeps, and nobody can
/// set it.
#[must_use]
#[doc(alias = "CLOCK_BOOTTIME")]
pub fn boot() -> u64 {
    nanos(ClockId::CLOCK_BOOTTIME)
}

/// How much CPU time the calling thread has taken.
#[must_use]
#[doc(alias = "CLOCK_THREAD_CPUTIME_ID")]
pub fn thread_cpu() -> Duration {
    Duration::from_nanos(nanos(ClockId::CLOCK_THREAD_CPUTIME_ID))
}

/// Both clocks at one moment: of a few attempts the one that took least.
#[must_use]
pub fn clocks() -> Clocks {
    const TRIES: usize = 5;

    let attempt = || {
        let before = boot();
        let wall = nanos(ClockId::CLOCK_REALTIME);
        let took = boot().saturating_sub(before);
        let boot = before + took / 2;
        (took, Clocks { boot, wall })
    };
    let first = attempt();
    let attempts = (1..TRIES).map(|_| attempt());
    attempts
        .fold(
            first,
            |best, next| if next.0 < best.0 { next } else { best },
        )
        .1
}

fn nanos(clock: ClockId) -> u64 {
    let time = clock_gettime(clock).map_or(Duration::ZERO, Duration::from);
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
