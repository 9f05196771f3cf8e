//! The first look at the host, and what the later ones need.

use std::time::Duration;

use tokio::sync::mpsc;

use super::EngineError;
use crate::{
    sys::{
        ask::Ask,
        clock,
        runtime::{Names, Roots},
        watch::{self, Hint, Watcher},
    },
    topology::{
        discover::{self, Discoverer},
        model::Topology,
    },
};

/// The host, as it is found and from then on watched.
#[derive(Debug)]
pub struct Host {
    /// What it looks like.
    pub topology: Topology,
    pub(super) discoverer: Discoverer,
    pub(super) watcher: Watcher,
    /// That it has changed since.
    pub(super) hints: mpsc::Receiver<Hint>,
    /// The CPU time that the look took.
    pub(super) cpu: Duration,
}

impl Host {
    /// Starts to watch for changes, and then looks: nothing falls between. `roots` are where runtimes
    /// keep their files, beside the usual places; `ask` is who is asked beside.
    ///
    /// # Errors
    ///
    /// If the host cannot be looked at.
    pub fn look(roots: &Roots, ask: &Ask) -> Result<Self, EngineError> {
        let (watcher, hints) = watch::start(&discover::DIRS)
            .map_err(|error| EngineError::Start(format!("watch for changes: {error}")))?;
        let names = Names::start(roots, ask, Some(watcher.hinter()))
            .map_err(|error| EngineError::Start(format!("look for names: {error}")))?;
        let before = clock::thread_cpu();
        let mut discoverer = Discoverer::open(names)?;
        Ok(Self {
            topology: discoverer.topology()?,
            discoverer,
            watcher,
            hints,
            cpu: clock::thread_cpu().saturating_sub(before),
        })
    }
}
