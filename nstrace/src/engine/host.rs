//! The first look at the host, and what the later ones need.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use tokio::sync::mpsc;

use super::EngineError;
use crate::{
    sys::watch::{self, Hint, Watcher},
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
    /// How long the look took.
    pub(super) took: Duration,
}

impl Host {
    /// Starts to watch for changes, and then looks: nothing falls between. `docker_roots` replaces
    /// the data root that Docker's settings name.
    ///
    /// # Errors
    ///
    /// If the host cannot be looked at.
    pub fn look(docker_roots: &[PathBuf]) -> Result<Self, EngineError> {
        let (watcher, hints) = watch::start(&discover::DIRS)
            .map_err(|error| EngineError::Start(format!("watch for changes: {error}")))?;
        let start = Instant::now();
        let mut discoverer = Discoverer::open(docker_roots)?;
        Ok(Self {
            topology: discoverer.topology()?,
            discoverer,
            watcher,
            hints,
            took: start.elapsed(),
        })
    }
}
