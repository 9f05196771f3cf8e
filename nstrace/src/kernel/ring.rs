//! Drains the samples' ring and the spill lanes, on a thread of its own.
//!
//! The programs never wake anybody, since a wake-up costs a packet's path microseconds. The
//! thread looks every [`DRAIN_INTERVAL`], which makes 50 wake-ups a second; after it has found
//! nothing, every [`IDLE_INTERVAL`], and while a lane is found more than a quarter full, every
//! [`BUSY_INTERVAL`], which makes 250 at most. What it takes goes
//! to the engine in batches; while the engine does not take those, ring and lanes fill up, and what
//! does not fit is counted by the programs.

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
use nstrace_ebpf::wire::Spill;
use tokio::sync::mpsc;
use zerocopy::IntoBytes as _;

use super::object::KernelError;
use crate::sys::mapped::Lanes;

/// How often all is emptied. See the size of the ring for what may come in between.
pub const DRAIN_INTERVAL: Duration = Duration::from_millis(20);
/// The same after nothing was found: what a sudden burst of hundreds of interfaces sends meanwhile
/// fits in the ring.
pub const IDLE_INTERVAL: Duration = Duration::from_millis(100);
/// The same while many flows come and go.
pub const BUSY_INTERVAL: Duration = Duration::from_millis(4);
/// A batch is handed over when it has grown to this many bytes.
const BATCH: usize = 64 << 10;
/// Spills of a batch: as many bytes.
const SPILLS: u32 = 682;
const _: () = assert!(SPILLS as usize == BATCH / size_of::<Spill>());
/// Batches that wait for the engine. When it is full, the thread waits.
const BATCHES: usize = 64;

/// Whole records, one after the other.
#[derive(Clone, Debug)]
pub enum Batch {
    /// Of the samples' ring.
    Samples(Bytes),
    /// Of a CPU's spill lane, oldest first.
    Spills(u32, Bytes),
}

/// The drainer's handle. Dropping it ends the thread.
#[derive(Debug)]
pub struct Drainer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drainer {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// If no thread can be made.
    pub fn start(
        ring: RingBuf<MapData>,
        lanes: Lanes,
    ) -> Result<(Self, mpsc::Receiver<Batch>), KernelError> {
        let (batches, receiver) = mpsc::channel(BATCHES);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("nstrace-ring".to_owned())
            .spawn(move || run(ring, lanes, &stopped, &batches))
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
    /// Has all emptied at once, rather than when its time comes.
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

/// The engine has gone.
struct Gone;

fn run(
    mut ring: RingBuf<MapData>,
    mut lanes: Lanes,
    stop: &AtomicBool,
    batches: &mpsc::Sender<Batch>,
) {
    while !stop.load(Ordering::Relaxed) {
        let Ok(has_samples) = drain_ring(&mut ring, batches) else {
            return;
        };
        let Ok(fullest) = drain_lanes(&mut lanes, batches) else {
            return;
        };
        thread::park_timeout(if fullest > lanes.length() / 4 {
            BUSY_INTERVAL
        } else if has_samples || fullest > 0 {
            DRAIN_INTERVAL
        } else {
            IDLE_INTERVAL
        });
    }
}

/// Returns whether there was anything.
fn drain_ring(ring: &mut RingBuf<MapData>, batches: &mpsc::Sender<Batch>) -> Result<bool, Gone> {
    let mut batch = BytesMut::new();
    let mut has_any = false;
    while let Some(record) = ring.next() {
        has_any = true;
        batch.extend_from_slice(&record);
        if batch.len() >= BATCH {
            send(Batch::Samples(batch.split().freeze()), batches)?;
        }
    }
    if !batch.is_empty() {
        send(Batch::Samples(batch.freeze()), batches)?;
    }
    Ok(has_any)
}

/// Returns how many spills the fullest lane had.
fn drain_lanes(lanes: &mut Lanes, batches: &mpsc::Sender<Batch>) -> Result<u32, Gone> {
    let mut fullest = 0;
    for cpu in 0..lanes.cpus() {
        // What comes while this one is emptied is for the next time: there are other lanes.
        let mut left = None;
        while left != Some(0) {
            let mut batch = BytesMut::new();
            let there = lanes.drain(cpu, left.unwrap_or(u32::MAX).min(SPILLS), |spill| {
                batch.extend_from_slice(spill.as_bytes());
            });
            fullest = fullest.max(there);
            left = Some(left.unwrap_or(there).saturating_sub(SPILLS));
            if !batch.is_empty() {
                send(Batch::Spills(cpu, batch.freeze()), batches)?;
            }
        }
    }
    Ok(fullest)
}

fn send(batch: Batch, batches: &mpsc::Sender<Batch>) -> Result<(), Gone> {
    batches.blocking_send(batch).map_err(|_closed| Gone)
}
