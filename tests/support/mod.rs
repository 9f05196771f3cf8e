//! What the tests share: a lab to work in, ways to send, a running nstrace to watch.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on panics, with its stack"
)]

pub(crate) mod bpf;
pub(crate) mod kernel;
pub(crate) mod lab;
pub(crate) mod nstrace;
pub(crate) mod send;
pub(crate) mod tty;

use std::{
    thread,
    time::{Duration, Instant},
};

/// Long enough for a loaded machine; no test waits for it to pass when all is well.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Looks again and again until `found` gives something; panics with `what` after [`DEADLINE`].
#[track_caller]
pub(crate) fn wait_until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(start.elapsed() < DEADLINE, "gave up waiting until {what}");
        thread::sleep(Duration::from_millis(10));
    }
}
