//! Looks at the host on a thread of its own, when asked to.

use std::{
    thread,
    time::{Duration, Instant},
};

use tokio::sync::mpsc;

use crate::{
    sys::{clock, watch::Changed},
    topology::{
        discover::{DiscoverError, Discoverer},
        model::Topology,
    },
};

/// The scanner's handle. The thread ends by itself when this is dropped; nobody waits for it, since
/// it may be in a file system that hangs.
#[derive(Debug)]
pub(super) struct Scanner {
    /// What each look found, and the CPU time it took.
    pub(super) results: mpsc::Receiver<(Result<Topology, DiscoverError>, Duration)>,
    requests: mpsc::Sender<()>,
}

impl Scanner {
    /// Each look is where something has `changed` since the one before.
    pub(super) fn start(
        mut discoverer: Discoverer,
        changed: Changed,
    ) -> Result<Self, DiscoverError> {
        // One request may wait while another is served; more would find the same.
        let (requests, mut pending) = mpsc::channel(1);
        let (found, results) = mpsc::channel(1);
        let run = move || {
            while let Some(()) = pending.blocking_recv() {
                let (where_to, start) = (changed.take(), Instant::now());
                let before = clock::thread_cpu();
                let topology = discoverer.look_again(&where_to);
                let cpu = clock::thread_cpu().saturating_sub(before);
                tracing::debug!(took = ?start.elapsed(), ?cpu, ?where_to, "looked");
                if found.blocking_send((topology, cpu)).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new()
            .name("nstrace-scan".to_owned())
            .spawn(run)
            .map_err(DiscoverError::Thread)?;
        Ok(Self { results, requests })
    }

    pub(super) fn request(&self) {
        // Full: one is waiting already.
        if let Err(mpsc::error::TrySendError::Closed(())) = self.requests.try_send(()) {
            tracing::error!("the scan thread has ended");
        }
    }
}
