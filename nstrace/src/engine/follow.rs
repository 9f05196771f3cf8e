//! The host, looked at whenever it may have changed.

use std::time::{Duration, Instant};

use tokio::{
    sync::mpsc,
    time::{Instant as TokioInstant, sleep_until},
};

use super::{EngineError, Host, scanner::Scanner, scans::Scans};
use crate::{
    sys::watch::{Hint, Watcher},
    topology::{discover::DiscoverError, model::Topology},
};

/// What a look has found.
pub(super) struct Looked {
    /// The host, or why it could not be looked at; then it is looked at again.
    pub(super) topology: Result<Topology, DiscoverError>,
    /// When the first event came that the look is an answer to: what it found new was there then.
    pub(super) since: Instant,
}

/// Hints, the plan, and the thread that looks. The receiver stands before the thread that fills it: it
/// is dropped first.
pub(super) struct Follower {
    scanner: Scanner,
    scans: Scans,
    hints: mpsc::Receiver<Hint>,
    watcher: Watcher,
    /// The first event since the last look began.
    hinted: Option<Instant>,
    /// The same of the look that is under way.
    looking_since: Instant,
}

impl Follower {
    /// Takes over from the first look. The whole host is looked at no more often than `full_check`.
    pub(super) fn start(host: Host, full_check: Duration) -> Result<(Self, Topology), EngineError> {
        let Host {
            topology,
            discoverer,
            watcher,
            hints,
            cpu,
        } = host;
        let scanner = Scanner::start(discoverer, watcher.changed())
            .map_err(|error| EngineError::Start(format!("look for namespaces: {error}")))?;
        let follower = Self {
            scanner,
            scans: Scans::new(TokioInstant::now(), cpu, full_check),
            hints,
            watcher,
            hinted: None,
            looking_since: Instant::now(),
        };
        Ok((follower, topology))
    }

    /// Has the host looked at soon.
    pub(super) fn ask(&mut self) {
        self.scans.ask(TokioInstant::now());
    }

    /// The next look's result; `None` if the thread that looks has ended. To be given up at any
    /// time: nothing is lost by it.
    pub(super) async fn next(&mut self) -> Option<Looked> {
        let never = TokioInstant::now() + Duration::from_hours(24);
        loop {
            let due = self.scans.due().unwrap_or(never);
            tokio::select! {
                biased;
                result = self.scanner.results.recv() => {
                    let (topology, cpu) = result?;
                    self.scans.end(TokioInstant::now(), cpu);
                    if let Err(error) = &topology {
                        let why = crate::error_chain(error);
                        tracing::warn!(why, "looking for namespaces failed; trying again");
                        self.ask();
                    }
                    return Some(Looked { topology, since: self.looking_since });
                }
                Some(Hint) = self.hints.recv() => {
                    self.hinted.get_or_insert_with(Instant::now);
                    self.ask();
                }
                () = sleep_until(due) => {
                    if self.scans.start(TokioInstant::now()) {
                        self.watcher.changed().set_everywhere();
                    }
                    self.looking_since = self.hinted.take().unwrap_or_else(Instant::now);
                    self.scanner.request();
                }
            }
        }
    }
}
