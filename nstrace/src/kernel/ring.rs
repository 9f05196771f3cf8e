//! Drains the samples' ring, on a thread of its own.
//!
//! The programs never wake anybody, since a wake-up costs a packet's path microseconds. The
//! thread looks every [`DRAIN_INTERVAL`], which makes 50 wake-ups a second at any load. What it
//! takes goes to the engine in batches; while the engine does not take those, the ring fills up,
//! and what does not fit is counted by the programs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use aya::maps::{MapData, RingBuf};
use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;

use super::object::KernelError;

/// How often the ring is emptied. See the size of the ring for what may come in between.
pub const DRAIN_INTERVAL: Duration = Duration::from_millis(20);
/// A batch is handed over when it has grown to this many bytes.
const BATCH: usize = 64 << 10;
/// Batches that wait for the engine. When it is full, the thread waits.
const BATCHES: usize = 16;

/// The drainer's handle. Dropping it ends the thread.
#[derive(Debug)]
pub struct Drainer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drainer {
    /// Starts the thread. Each batch holds whole records, one after the other.
    ///
    /// # Errors
    ///
    /// If no thread can be made.
    pub fn start(ring: RingBuf<MapData>) -> Result<(Self, mpsc::Receiver<Bytes>), KernelError> {
        let (batches, receiver) = mpsc::channel(BATCHES);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("nstrace-ring".to_owned())
            .spawn(move || run(ring, &stopped, &batches))
            .map_err(|error| KernelError::Thread("ring", error))?;
        Ok((
            Self {
                stop,
                thread: Some(thread),
            },
            receiver,
        ))
    }
}

impl Drainer {
    /// Has the ring emptied at once, rather than when its time comes.
    pub fn drain_now(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Drainer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("the ring thread panicked");
            }
        }
    }
}

fn run(mut ring: RingBuf<MapData>, stop: &AtomicBool, batches: &mpsc::Sender<Bytes>) {
    while !stop.load(Ordering::Relaxed) {
        let mut batch = BytesMut::new();
        while let Some(record) = ring.next() {
            batch.extend_from_slice(&record);
            if batch.len() >= BATCH && batches.blocking_send(batch.split().freeze()).is_err() {
                return;
            }
        }
        if !batch.is_empty() && batches.blocking_send(batch.freeze()).is_err() {
            return;
        }
        thread::park_timeout(DRAIN_INTERVAL);
    }
}
