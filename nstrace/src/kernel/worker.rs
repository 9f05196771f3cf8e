//! Keeps what is attached equal to what is wanted, on a thread of its own.
//!
//! It is told the whole of what is wanted each time, so a message that is overtaken by the next
//! loses nothing. Before each attachment it looks whether there is a newer one: a thousand
//! attachments that each wait for a grace period do not delay a detachment. Where there are many
//! to make or to undo at once, grace periods are expedited meanwhile: see [`crate::sys::rcu`].

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{
        Arc,
        mpsc::{self, TryRecvError},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nstrace_ebpf::wire::Owner;
use tokio::sync::mpsc as tokio_mpsc;

use super::{
    attach::{Attacher, Attachment},
    object::{KernelError, SlotMaps},
    pace::Pace,
};
use crate::{
    error_chain,
    state::{IfaceKey, Mechanism, Totals},
    sys::mapped::CounterArea,
};

/// An interface that shall be attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Which.
    pub key: IfaceKey,
    /// Link-layer address of the host veth. Between the look at the host and the attachment
    /// another may have got its ifindex; nearly always it has another address.
    pub mac: Option<String>,
}

/// What is kept for each slot: what the programs count there, and who is told whose it is.
pub trait Slotted: Send + 'static {
    /// What is left of an interface when it has left its slot.
    type Totals: Send + 'static;

    /// The slot is given to an interface, which is not attached yet: it has to be empty.
    fn begin(&self, key: IfaceKey, owner: Owner);

    /// The interface is not attached any more.
    fn end(&self, key: IfaceKey, owner: Owner) -> Self::Totals;
}

impl Slotted for Arc<CounterArea> {
    type Totals = Box<Totals>;

    fn begin(&self, _key: IfaceKey, owner: Owner) {
        self.clear(owner.slot.into());
    }

    fn end(&self, _key: IfaceKey, owner: Owner) -> Self::Totals {
        Box::new(Totals::sum(self.read(owner.slot.into())))
    }
}

/// What became of a wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<T = Box<Totals>> {
    /// The interface is counted from now on, in this slot, from zero.
    Attached {
        /// Which.
        key: IfaceKey,
        /// Where its counters are, and whose flows are its own.
        owner: Owner,
        /// How it was attached.
        mechanism: Mechanism,
        /// Before its first packet could be counted.
        since: Instant,
        /// From when on every packet is.
        at: Instant,
    },
    /// It could not be attached; it is tried again later.
    Failed {
        /// Which.
        key: IfaceKey,
        /// Why.
        why: String,
    },
    /// It is no longer counted. Its slot may be another's from now on.
    Detached {
        /// Which.
        key: IfaceKey,
        /// What was counted, to the last packet.
        totals: T,
        /// Whether it is gone, rather than no longer wanted.
        is_gone: bool,
    },
}

/// An interface that failed is left alone for so long.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// A filter of a living device may run this long after it was deleted, since the kernel frees it
/// after an RCU grace period: until then its slot stays, and its packets count.
const GRACE: Duration = Duration::from_millis(50);
/// Outcomes that wait for the engine. When it is full, the worker waits.
const OUTCOMES: usize = 256;

/// The worker's handle. Dropping it detaches everything and waits for that.
#[derive(Debug)]
pub struct Worker {
    wishes: Option<mpsc::Sender<Vec<Wish>>>,
    thread: Option<JoinHandle<()>>,
}

/// A worker, and what becomes of wishes.
type Started<S> = (
    Worker,
    tokio_mpsc::Receiver<Outcome<<S as Slotted>::Totals>>,
);

impl Worker {
    /// Starts the thread, which first removes what killed nstraces left.
    ///
    /// # Errors
    ///
    /// If no thread can be made.
    pub fn start<S: Slotted>(
        attacher: Attacher,
        slots: SlotMaps,
        slot_count: u32,
        slotted: S,
        may_expedite: bool,
    ) -> Result<Started<S>, KernelError> {
        let (wishes, receiver) = mpsc::channel();
        let (outcomes, outcomes_receiver) = tokio_mpsc::channel(OUTCOMES);
        let reconciler = Reconciler {
            attacher,
            slots: Slots {
                maps: slots,
                free: (0..=u16::MAX)
                    .take(slot_count as usize)
                    .map(|slot| Owner { slot, tenure: 0 })
                    .collect(),
                slotted,
            },
            attached: HashMap::new(),
            failed: HashMap::new(),
            outcomes,
            pace: Pace::new(may_expedite),
        };
        let thread = thread::Builder::new()
            .name("nstrace-attach".to_owned())
            .spawn(move || reconciler.run(&receiver))
            .map_err(|error| KernelError::Thread("attach", error))?;
        Ok((
            Self {
                wishes: Some(wishes),
                thread: Some(thread),
            },
            outcomes_receiver,
        ))
    }

    /// Says what shall be attached from now on; what else is, is detached.
    pub fn want(&self, wanted: Vec<Wish>) {
        if let Some(wishes) = &self.wishes
            && wishes.send(wanted).is_err()
        {
            tracing::error!("the attach thread has ended");
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.wishes.take());
        if self
            .thread
            .take()
            .is_some_and(|thread| thread.join().is_err())
        {
            tracing::error!("the attach thread panicked");
        }
    }
}

/// Slots, and the interfaces that have one.
struct Slots<S> {
    maps: SlotMaps,
    /// First freed, first used: a program that still runs for the last owner of a slot (a filter
    /// is freed after a grace period) is long done when the slot is given out again.
    free: VecDeque<Owner>,
    slotted: S,
}

impl<S: Slotted> Slots<S> {
    fn take(&mut self, key: IfaceKey) -> Result<Owner, String> {
        let owner = self
            .free
            .pop_front()
            .ok_or("no free slot: give --max-interfaces a higher N")?;
        self.slotted.begin(key, owner);
        if let Err(error) = self.maps.set(key.ifindex.0, Some(owner)) {
            self.free.push_front(owner);
            return Err(format!("give it a slot: {error}"));
        }
        Ok(owner)
    }

    fn give_back(&mut self, key: IfaceKey, owner: Owner) -> S::Totals {
        if let Err(error) = self.maps.set(key.ifindex.0, None) {
            tracing::debug!(%error, ?key, "slot stays set");
        }
        let totals = self.slotted.end(key, owner);
        // What the cache still has of this owner's flows is not the next one's.
        self.free.push_back(Owner {
            slot: owner.slot,
            tenure: (owner.tenure + 1) % Owner::TENURES,
        });
        totals
    }
}

struct Reconciler<S: Slotted> {
    attacher: Attacher,
    slots: Slots<S>,
    attached: HashMap<IfaceKey, (Attachment, Owner)>,
    failed: HashMap<IfaceKey, Instant>,
    outcomes: tokio_mpsc::Sender<Outcome<S::Totals>>,
    pace: Pace,
}

impl<S: Slotted> Reconciler<S> {
    fn run(mut self, wishes: &mpsc::Receiver<Vec<Wish>>) {
        match self.attacher.remove_stale() {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "filters of a killed nstrace removed"),
            Err(error) => tracing::warn!(%error, "filters of a killed nstrace may be left"),
        }
        let mut next = Next::Wait;
        loop {
            let wanted = match next {
                Next::Wait => match wishes.recv() {
                    Ok(wanted) => wanted,
                    Err(mpsc::RecvError) => break,
                },
                Next::Wish(wanted) => wanted,
                Next::Stop => break,
            };
            next = self.reconcile(&wanted, wishes);
            if matches!(next, Next::Wait) {
                self.pace.rest();
            }
        }
        let all = self.attached.keys().map(|key| (*key, false)).collect();
        self.detach_all(&all);
    }

    fn reconcile(&mut self, wanted: &[Wish], wishes: &mpsc::Receiver<Vec<Wish>>) -> Next {
        self.failed.retain(|_, since| since.elapsed() < RETRY_AFTER);
        let Self {
            attacher, attached, ..
        } = self;
        let stays: HashSet<&IfaceKey> = wanted.iter().map(|wish| &wish.key).collect();
        let leaving: HashMap<IfaceKey, bool> = attached
            .iter()
            .filter_map(|(key, (attachment, _))| {
                if !attacher.is_alive(attachment) {
                    return Some((*key, true));
                }
                (!stays.contains(key)).then_some((*key, false))
            })
            .collect();
        self.detach_all(&leaving);
        let new: Vec<&Wish> = wanted
            .iter()
            .filter(|wish| {
                let key = &wish.key;
                !leaving.contains_key(key)
                    && !self.attached.contains_key(key)
                    && !self.failed.contains_key(key)
            })
            .collect();
        for (done, wish) in new.iter().enumerate() {
            match wishes.try_recv() {
                Ok(newer) => return Next::Wish(newer),
                Err(TryRecvError::Disconnected) => return Next::Stop,
                Err(TryRecvError::Empty) => {}
            }
            self.hurry(new.len() - done);
            self.attach(wish);
        }
        Next::Wait
    }

    /// Before one of `left` interfaces is attached or detached.
    fn hurry(&mut self, left: usize) {
        if self.attacher.waits_for_grace_periods() {
            self.pace.step(left);
        }
    }

    fn attach(&mut self, wish: &Wish) {
        let key = wish.key;
        // The slot before the program: no packet is seen that has none.
        let owner = match self.slots.take(key) {
            Ok(owner) => owner,
            Err(why) => return self.fail(key, why),
        };
        let since = Instant::now();
        match self.attacher.attach(key.ifindex) {
            Ok((attachment, _)) if !self.attacher.is_meant(key.ifindex, wish.mac.as_deref()) => {
                // The next look at the host, which is on its way, knows who it is.
                tracing::debug!(?key, "replaced before it was attached");
                self.attacher.detach(attachment);
                self.slots.give_back(key, owner);
            }
            Ok((attachment, mechanism)) => {
                self.attached.insert(key, (attachment, owner));
                self.tell(Outcome::Attached {
                    key,
                    owner,
                    mechanism,
                    since,
                    at: Instant::now(),
                });
            }
            Err(error) => {
                self.slots.give_back(key, owner);
                if error.is_gone() {
                    tracing::debug!(?key, "gone before it was attached");
                } else {
                    self.fail(key, error_chain(&error));
                }
            }
        }
    }

    fn fail(&mut self, key: IfaceKey, why: String) {
        self.failed.insert(key, Instant::now());
        self.tell(Outcome::Failed { key, why });
    }

    /// Detaches each, and says what it has counted. Those whose device is gone wait for nothing.
    fn detach_all(&mut self, leaving: &HashMap<IfaceKey, bool>) {
        let mut left = leaving.values().filter(|is_gone| !**is_gone).count();
        let mut waits = false;
        let mut freed = Vec::with_capacity(leaving.len());
        for (key, is_gone) in leaving {
            let Some((attachment, owner)) = self.attached.remove(key) else {
                continue;
            };
            if !is_gone {
                self.hurry(left);
                left -= 1;
            }
            waits |= self.attacher.detach(attachment) == Mechanism::Clsact && !is_gone;
            freed.push((*key, owner, *is_gone));
        }
        if waits {
            thread::sleep(GRACE);
        }
        for (key, owner, is_gone) in freed {
            let totals = self.slots.give_back(key, owner);
            self.tell(Outcome::Detached {
                key,
                totals,
                is_gone,
            });
        }
    }

    fn tell(&self, outcome: Outcome<S::Totals>) {
        // The engine has gone: nobody is left to be told.
        drop(self.outcomes.blocking_send(outcome));
    }
}

enum Next {
    Wait,
    Wish(Vec<Wish>),
    Stop,
}
