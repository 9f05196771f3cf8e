//! From the rings to the outputs, on a thread of its own, and the account of every packet.
//!
//! # The account
//!
//! The kernel side counts what matched, and what of that found no room in a ring; each record carries
//! the latter. So after each record it is known to the packet, for its CPU and interface, how many
//! were lost before it, and `captured + lost_ring + lost_disk == matched` holds at every moment, for
//! what has been read so far. When an interface has been detached, and all its records have been read,
//! the kernel's own counters say what was lost after the last record, and what has matched. The last
//! is what is reported at the end; were it not the sum, the report would say so.
//!
//! # Who is who
//!
//! A record names the owner of a slot. [`Told::Begin`] is sent before the owner is attached, so it is
//! there before the first record. [`Told::End`] is sent after it was detached, with the time of that:
//! all records up to it are read before the next message, which may give the slot to another.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, TryRecvError},
    },
    thread,
    time::{Duration, Instant},
};

use nstrace_ebpf::wire::{CaptureCounters, Direction, Owner, RecordHeader};
use tokio::sync::{mpsc as tokio_mpsc, oneshot};

use super::{
    output::{OutputError, Outputs, Writer},
    report::{Attached, IfaceReport, Report},
};
use crate::{
    kernel::merge::Merge,
    packet::{CaptureCounts, CaptureIface, Packet},
    sink::savefile::Tag,
    state::{
        IfaceKey,
        wall::{SetBack, WallClock},
    },
    sys::{clock, mapped::CounterArea},
};

/// How often the rings are looked at, at most and at least; see [`pause`].
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(10);
/// How often the clocks are compared.
const CLOCKS: Duration = Duration::from_secs(1);
/// No packet waits longer to be written: a file that a killed process leaves is not far behind.
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// Nanoseconds by which the programs' clock and the one that is read here may differ: both are the
/// same counter, converted with factors that are renewed at each tick.
const APART: u64 = 1_000;

/// What the recorder is told.
pub(super) enum Told {
    /// An interface belongs to the capture.
    Iface(IfaceKey, Box<CaptureIface>),
    /// It gets a slot, and is attached next.
    Begin(IfaceKey, Owner),
    /// It is attached, so long after it appeared.
    Attached(IfaceKey, Attached),
    /// It was detached at that time, having counted this.
    End(Owner, u64, CaptureCounters),
    /// Names of addresses.
    Names(Vec<(IpAddr, String)>),
    /// How it stands is asked for.
    Report(oneshot::Sender<Report>),
    /// What waits is to be written.
    Flush,
    /// The capture ends.
    Stop,
}

/// What the recorder tells.
#[derive(Debug)]
pub enum News {
    /// As many packets as were wanted have been captured.
    Complete,
    /// They cannot be written any more.
    Failed(OutputError),
    /// Somebody has set the clock back.
    SetBack(SetBack),
}

/// For those who want to see how it goes without waiting.
#[derive(Debug, Default)]
pub struct Progress {
    captured: AtomicU64,
    lost: AtomicU64,
}

impl Progress {
    /// Packets that were captured, and those that were lost.
    #[must_use]
    pub fn get(&self) -> (u64, u64) {
        (
            self.captured.load(Ordering::Relaxed),
            self.lost.load(Ordering::Relaxed),
        )
    }
}

/// One interface.
struct Recorded {
    iface: CaptureIface,
    attached: Option<Attached>,
    lost_ring: u64,
    /// Of those, the ones since the last packet.
    lost_since: u64,
    /// What the kernel has counted in all, when it was detached.
    matched: Option<u64>,
}

/// Who has a slot, and what each CPU has lost of it.
struct Slot {
    owner: u32,
    iface: usize,
    lost: Vec<u32>,
    /// What they add up to.
    known: u64,
}

/// How the recorder is made.
pub(super) struct Setup {
    pub(super) merge: Merge,
    /// Size of each ring.
    pub(super) ring_bytes: u32,
    pub(super) counters: Arc<CounterArea<CaptureCounters>>,
    pub(super) cpus: usize,
    pub(super) slots: usize,
    pub(super) outputs: Outputs,
    /// End after so many packets.
    pub(super) count: Option<u64>,
    pub(super) told: mpsc::Receiver<Told>,
    pub(super) news: tokio_mpsc::Sender<News>,
    pub(super) progress: Arc<Progress>,
}

/// How long the rings, of so many bytes each, can be left alone: until one that was empty is an eighth
/// full, at a gigabyte a second; whole packets may come at three. Looking more often costs more for
/// each packet.
fn pause(ring_bytes: u32) -> Duration {
    const BYTES_PER_SECOND: f64 = 1e9;

    let time = f64::from(ring_bytes) / 8.0 / BYTES_PER_SECOND;
    Duration::from_secs_f64(time).clamp(SHORTEST, LONGEST)
}

pub(super) struct Recorder {
    merge: Merge,
    pause: Duration,
    told: mpsc::Receiver<Told>,
    waiting: VecDeque<Told>,
    account: Account,
    looked: Instant,
    written: Instant,
}

/// All but the rings, so that both can be borrowed.
struct Account {
    writer: Writer,
    ifaces: Vec<Recorded>,
    by_key: HashMap<IfaceKey, CaptureIface>,
    numbers: HashMap<IfaceKey, usize>,
    slots: Vec<Option<Slot>>,
    cpus: usize,
    clock: WallClock,
    left: u64,
    /// An interface was introduced, which readers of the file should see before its packets come.
    has_news: bool,
    is_complete: bool,
    unreadable: u64,
    news: tokio_mpsc::Sender<News>,
    progress: Arc<Progress>,
    captured: u64,
    lost: u64,
    last: u64,
    began: Instant,
}

impl Recorder {
    pub(super) fn start(setup: Setup) -> std::io::Result<oneshot::Receiver<Report>> {
        let (done, report) = oneshot::channel();
        let mut slots = Vec::new();
        slots.resize_with(setup.slots, || None);
        let recorder = Self {
            merge: setup.merge,
            pause: pause(setup.ring_bytes),
            told: setup.told,
            waiting: VecDeque::new(),
            looked: Instant::now(),
            written: Instant::now(),
            account: Account {
                writer: Writer::new(setup.outputs),
                ifaces: Vec::new(),
                by_key: HashMap::new(),
                numbers: HashMap::new(),
                slots,
                cpus: setup.cpus,
                clock: WallClock::new(clock::clocks()),
                left: setup.count.unwrap_or(u64::MAX),
                has_news: false,
                is_complete: false,
                unreadable: 0,
                news: setup.news,
                progress: setup.progress,
                captured: 0,
                lost: 0,
                last: 0,
                began: Instant::now(),
            },
        };
        // Read through `Told::End`; kept so that the memory stays while programs may run.
        let counters = setup.counters;
        thread::Builder::new()
            .name("nstrace-record".to_owned())
            .spawn(move || {
                // Whoever waits may have given up.
                drop(done.send(recorder.run()));
                drop(counters);
            })?;
        Ok(report)
    }

    fn run(mut self) -> Report {
        loop {
            // Before the messages: an owner of anything earlier has been told by now.
            let bound = clock::boot().saturating_sub(APART);
            if self.listen().is_break() {
                break;
            }
            if self.looked.elapsed() >= CLOCKS {
                self.looked = Instant::now();
                self.account.observe();
            }
            if self.written.elapsed() >= LONGEST_WAIT {
                self.written = Instant::now();
                self.account.writer.flush();
            }
            let bytes = self.drain(bound).0;
            if bytes > 0 {
                self.account.writer.settle();
            }
            self.account.settle();
            thread::park_timeout(self.pause);
        }
        self.drain(u64::MAX);
        self.account.finish()
    }

    /// Takes what it is told, in order.
    fn listen(&mut self) -> ControlFlow<()> {
        let is_left = loop {
            match self.told.try_recv() {
                Ok(told) => self.waiting.push_back(told),
                Err(TryRecvError::Empty) => break false,
                // Nobody can end it any more: the capture was given up.
                Err(TryRecvError::Disconnected) => break true,
            }
        };
        while let Some(told) = self.waiting.pop_front() {
            match told {
                Told::End(owner, time, counters) => {
                    // What is still being written is written in nanoseconds. Who gets the slot next
                    // is not attached that soon.
                    while self.drain(time.saturating_add(APART)).1 {
                        thread::yield_now();
                    }
                    self.account.end(owner, counters);
                }
                Told::Stop => return ControlFlow::Break(()),
                told => self.account.take(told),
            }
        }
        if is_left {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    /// How many bytes there were, and whether there is more to come.
    fn drain(&mut self, bound: u64) -> (u64, bool) {
        let Self { merge, account, .. } = self;
        let drained = merge.drain(bound, |cpu, header, bytes| {
            account.record(cpu, header, bytes);
            ControlFlow::Continue(())
        });
        account.unreadable += drained.unreadable;
        (drained.bytes, drained.is_waiting)
    }
}

impl Account {
    fn take(&mut self, told: Told) {
        match told {
            Told::Iface(key, iface) => drop(self.by_key.insert(key, *iface)),
            Told::Begin(key, owner) => self.begin(key, owner),
            Told::Attached(key, attached) => {
                let number = self.numbers.get(&key).copied();
                if let Some((number, recorded)) =
                    number.and_then(|number| Some((number, self.ifaces.get_mut(number)?)))
                {
                    recorded.attached = Some(attached);
                    self.writer.remark(number, attached.to_string());
                }
            }
            Told::Names(names) => self.writer.names(&names),
            Told::Report(asked) => {
                // Whoever asked may have given up.
                drop(asked.send(self.report(Self::counts)));
            }
            Told::Flush => self.writer.flush(),
            Told::End(..) | Told::Stop => {}
        }
    }

    fn begin(&mut self, key: IfaceKey, owner: Owner) {
        let number = if let Some(number) = self.numbers.get(&key) {
            // It was detached and is attached again: the same interface.
            *number
        } else {
            let Some(iface) = self.by_key.remove(&key) else {
                tracing::error!(?key, "an interface is attached that nobody has described");
                return;
            };
            self.writer.interface(&iface);
            self.has_news = true;
            let number = self.ifaces.len();
            self.numbers.insert(key, number);
            self.ifaces.push(Recorded {
                iface,
                attached: None,
                lost_ring: 0,
                lost_since: 0,
                matched: None,
            });
            number
        };
        if let Some(slot) = self.slots.get_mut(usize::from(owner.slot)) {
            *slot = Some(Slot {
                owner: owner.to_bits(),
                iface: number,
                lost: vec![0; self.cpus],
                known: 0,
            });
        }
    }

    #[inline]
    fn record(&mut self, cpu: usize, header: &RecordHeader, bytes: &[u8]) {
        let slot = self.slots.get_mut((header.owner & 0xffff) as usize);
        let Some(Some(slot)) =
            slot.filter(|slot| slot.as_ref().is_some_and(|slot| slot.owner == header.owner))
        else {
            self.unreadable += 1;
            return;
        };
        if self.is_complete {
            return;
        }
        let Some(recorded) = self.ifaces.get_mut(slot.iface) else {
            return;
        };
        let before = &mut slot.lost[cpu];
        let lost = u64::from(header.lost.wrapping_sub(*before));
        *before = header.lost;
        slot.known += lost;
        recorded.lost_ring += lost;
        recorded.lost_since += lost;
        self.lost += lost;
        self.last = self.clock.at(header.time);
        let packet = Packet {
            time: self.last,
            iface: slot.iface,
            direction: Some(if u32::from(header.direction) == Direction::Rx as u32 {
                Direction::Rx
            } else {
                Direction::Tx
            }),
            orig_len: header.orig_len,
            data: bytes,
            lost: recorded.lost_since,
        };
        let tag = (header.vlan_proto != 0).then_some(Tag {
            tpid: header.vlan_proto,
            tci: header.vlan_tci,
        });
        if self.writer.packet(&packet, tag, &recorded.iface) {
            // What was lost before it is not of this capture either.
            recorded.lost_ring -= lost;
            self.lost -= lost;
            self.complete();
            return;
        }
        recorded.lost_since = 0;
        self.captured += 1;
        self.left -= 1;
        if self.left == 0 {
            self.complete();
        }
    }

    fn complete(&mut self) {
        self.is_complete = true;
        self.tell(News::Complete);
    }

    /// An interface was detached, and all its records have been read.
    fn end(&mut self, owner: Owner, counters: CaptureCounters) {
        let slot = self.slots.get_mut(usize::from(owner.slot));
        let Some(slot) = slot.and_then(|slot| slot.take_if(|slot| slot.owner == owner.to_bits()))
        else {
            return;
        };
        let Some(recorded) = self.ifaces.get_mut(slot.iface) else {
            return;
        };
        if self.is_complete {
            return;
        }
        let after = counters.lost.saturating_sub(slot.known);
        recorded.lost_ring += after;
        recorded.lost_since += after;
        self.lost += after;
        *recorded.matched.get_or_insert(0) += counters.matched;
    }

    /// As far as records have been read.
    fn counts(&self, number: usize) -> CaptureCounts {
        let (captured, lost_disk) = self.writer.count(number);
        let lost_ring = self
            .ifaces
            .get(number)
            .map_or(0, |recorded| recorded.lost_ring);
        CaptureCounts {
            matched: captured + lost_disk + lost_ring,
            captured,
            lost_ring,
            lost_disk,
        }
    }

    /// At the end. What the kernel has counted is the truth, unless the capture ended before what
    /// matched did.
    fn final_counts(&self, number: usize) -> CaptureCounts {
        let mut counts = self.counts(number);
        let recorded = self.ifaces.get(number);
        if let Some(matched) = recorded.and_then(|recorded| recorded.matched)
            && !self.is_complete
        {
            counts.matched = matched;
        }
        counts
    }

    fn report(&self, counts: impl Fn(&Self, usize) -> CaptureCounts) -> Report {
        let ifaces = self.ifaces.iter().enumerate();
        Report {
            ifaces: ifaces
                .map(|(number, recorded)| IfaceReport {
                    name: recorded.iface.name.clone(),
                    counts: counts(self, number),
                    attached: recorded.attached,
                })
                .collect(),
            unreadable: self.unreadable,
            took: self.began.elapsed(),
        }
    }

    fn observe(&mut self) {
        if let Some(set_back) = self.clock.observe(clock::clocks()) {
            self.tell(News::SetBack(set_back));
        }
    }

    fn settle(&mut self) {
        if std::mem::take(&mut self.has_news) {
            self.writer.flush();
        }
        if let Some(error) = self.writer.failure() {
            self.tell(News::Failed(error));
        }
        self.progress
            .captured
            .store(self.captured, Ordering::Relaxed);
        self.progress.lost.store(self.lost, Ordering::Relaxed);
    }

    fn tell(&self, news: News) {
        // Full: what is waiting there ends the capture, or says the same.
        if let Err(error) = self.news.try_send(news) {
            tracing::debug!(%error, "nobody listens");
        }
    }

    fn finish(mut self) -> Report {
        self.writer.flush();
        let counts: Vec<CaptureCounts> = (0..self.ifaces.len())
            .map(|number| self.final_counts(number))
            .collect();
        let end = self.clock.at(clock::boot());
        self.writer.finish(&counts, end);
        self.settle();
        self.report(Self::final_counts)
    }
}
