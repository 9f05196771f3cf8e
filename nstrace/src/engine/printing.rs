//! Prints refreshes on a thread of its own.
//!
//! A reader that does not read blocks the writer for as long as it likes. Here it blocks this
//! thread: counting, following and the way out go on.

use std::{thread, time::Duration};

use tokio::{sync::mpsc, time::timeout};

use crate::{
    sink::{Print, SinkError},
    state::Snapshot,
};

/// One refresh, and the wall time that it carries.
type Refresh = (Snapshot, String);

/// The thread's handle. The thread ends by itself when this is dropped; nobody waits for it, since
/// it may be blocked.
#[derive(Debug)]
pub(super) struct Printing {
    /// How each refresh went.
    pub(super) results: mpsc::Receiver<Result<(), SinkError>>,
    refreshes: mpsc::Sender<Refresh>,
    printed: u64,
    is_busy: bool,
}

impl Printing {
    pub(super) fn start(mut printer: Box<dyn Print>) -> std::io::Result<Self> {
        let (refreshes, mut pending) = mpsc::channel::<Refresh>(1);
        let (done, results) = mpsc::channel(1);
        let run = move || {
            while let Some((snapshot, time)) = pending.blocking_recv() {
                if done.blocking_send(printer.print(&snapshot, &time)).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new()
            .name("nstrace-print".to_owned())
            .spawn(run)?;
        Ok(Self {
            results,
            refreshes,
            printed: 0,
            is_busy: false,
        })
    }

    /// Whether the last refresh is still being printed. The next one waits for its turn, and has
    /// everything that it would have had: totals are totals.
    pub(super) const fn is_busy(&self) -> bool {
        self.is_busy
    }

    /// Hands over one refresh. Only while not busy.
    pub(super) fn print(&mut self, snapshot: Snapshot, time: String) {
        self.is_busy = self.refreshes.try_send((snapshot, time)).is_ok();
    }

    /// Takes note of a result, and gives how many refreshes have been printed.
    pub(super) fn take(&mut self, result: Result<(), SinkError>) -> Result<u64, SinkError> {
        self.is_busy = false;
        result?;
        self.printed += 1;
        Ok(self.printed)
    }

    /// Waits for what is being printed, but not longer than `limit`; whether it was.
    pub(super) async fn finish(&mut self, limit: Duration) -> Result<bool, SinkError> {
        if !self.is_busy {
            return Ok(true);
        }
        match timeout(limit, self.results.recv()).await {
            Ok(Some(result)) => self.take(result).map(|_| true),
            Ok(None) | Err(_) => Ok(false),
        }
    }
}
