//! Whether the machine's grace periods are expedited, while there is much to attach or detach.

use std::time::{Duration, Instant};

use crate::sys::rcu::{self, Expedited};

/// From this many interfaces on it is worth starting a process and touching a setting of the whole
/// machine: that takes some milliseconds, and each interface two grace periods of 10 ms.
const MANY: usize = 16;
/// Who has found it expedited by another, or could not do it, tries again after so long.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Expedites grace periods when it pays.
#[derive(Debug)]
pub(super) struct Pace {
    is_allowed: bool,
    expedited: Option<Expedited>,
    looked: Option<Instant>,
}

impl Pace {
    pub(super) fn new(is_allowed: bool) -> Self {
        if let Err(error) = rcu::put_back() {
            tracing::debug!(%error, "what killed nstraces set could not be looked for");
        }
        Self {
            is_allowed,
            expedited: None,
            looked: None,
        }
    }

    /// Before one of `left` interfaces is attached or detached.
    pub(super) fn step(&mut self, left: usize) {
        if self.expedited.as_mut().is_some_and(Expedited::renew) {
            return;
        }
        self.expedited = None;
        let is_waiting = |looked: Instant| looked.elapsed() < LOOK_AGAIN;
        if !self.is_allowed || left < MANY || self.looked.is_some_and(is_waiting) {
            return;
        }
        self.looked = Some(Instant::now());
        match Expedited::start() {
            Ok(expedited) => self.expedited = expedited,
            Err(error) => tracing::debug!(%error, "grace periods take their time"),
        }
    }

    /// Everything is done.
    pub(super) fn rest(&mut self) {
        self.expedited = None;
        self.looked = None;
    }
}
