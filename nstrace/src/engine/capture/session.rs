//! One capture, from its start to its end: its object, its attachments, its recorder.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use nstrace_ebpf::wire::{CaptureCounters, Owner};
use tokio::{
    sync::{mpsc as tokio_mpsc, oneshot},
    time::timeout,
};

use super::{
    super::{EngineError, slot_count},
    output::Outputs,
    recorder::{News, Progress, Recorder, Setup, Told},
    report::{Attached, Report},
};
use crate::{
    kernel::{
        attach::Attacher,
        capture::{CaptureKernel, CaptureRequest},
        merge::Merge,
        worker::{Outcome, Slotted, Wish, Worker},
    },
    state::{
        IfaceKey, Mechanism,
        capture::{CaptureState, Scope, names},
    },
    sys::{clock, mapped::CounterArea},
    topology::model::Topology,
    untrusted::escape,
};

/// A capture as it is asked for.
#[derive(Clone, Debug)]
pub struct CaptureConfig {
    /// What it is about.
    pub scope: Scope,
    /// How it is made. Its `slots` are ignored.
    pub request: CaptureRequest,
    /// Most interfaces at a time; worked out from the host where not given.
    pub max_interfaces: Option<u32>,
    /// End after so many packets.
    pub count: Option<u64>,
    /// The only way to attach, where the user insists.
    pub mechanism: Option<Mechanism>,
    /// Whether the machine's grace periods may be expedited while there is much to attach.
    pub may_expedite: bool,
}

/// What a capture makes known.
#[derive(Debug)]
pub enum CaptureEvent {
    /// An interface has been attached, or could not be.
    Settled,
    /// From the recorder.
    News(News),
    /// A thread is gone, which it never should be.
    Broken(&'static str),
}

/// A slot's counters, and the recorder, who is told whose they are.
struct Account {
    counters: Arc<CounterArea<CaptureCounters>>,
    recorder: mpsc::Sender<Told>,
}

impl Slotted for Account {
    type Totals = ();

    fn begin(&self, key: IfaceKey, owner: Owner) {
        self.counters.clear(owner.slot.into());
        tell(&self.recorder, Told::Begin(key, owner));
    }

    fn end(&self, _key: IfaceKey, owner: Owner) {
        let mut total = CaptureCounters::default();
        for of_cpu in self.counters.read(owner.slot.into()) {
            total.matched += of_cpu.matched;
            total.lost += of_cpu.lost;
        }
        tell(&self.recorder, Told::End(owner, clock::boot(), total));
    }
}

/// Its messages are as many as there are attachments and requests, so the channel needs no bound; one
/// would have the attach thread wait for whoever reads the output.
fn tell(recorder: &mpsc::Sender<Told>, told: Told) {
    if recorder.send(told).is_err() {
        tracing::debug!("the recorder has ended");
    }
}

/// A capture at work. Dropping it detaches everything; [`Self::stop`] also ends its file.
pub struct Session {
    /// Before the worker, which is then not waited for while it waits for room.
    outcomes: tokio_mpsc::Receiver<Outcome<()>>,
    worker: Worker,
    recorder: mpsc::Sender<Told>,
    news: tokio_mpsc::Receiver<News>,
    report: oneshot::Receiver<Report>,
    progress: Arc<Progress>,
    state: CaptureState,
    began: Instant,
    /// What is neither attached nor has failed.
    pending: HashSet<IfaceKey>,
    attached: HashSet<IfaceKey>,
    /// When each that was never attached was there, if not from the start.
    appeared: HashMap<IfaceKey, Option<Duration>>,
    /// Names as they were told last.
    names: Vec<(IpAddr, String)>,
}

/// A capture whose programs are loaded: nearly all that can fail has not.
pub struct Loaded {
    config: CaptureConfig,
    kernel: CaptureKernel,
    slots: u32,
}

impl Loaded {
    /// Loads the programs. Before a file is made: one that is left empty by a capture that cannot start
    /// is in the way of the next.
    ///
    /// # Errors
    ///
    /// If a privilege is missing, the kernel refuses, or memory is short.
    pub fn load(config: CaptureConfig, topology: &Topology) -> Result<Self, EngineError> {
        let slots = slot_count(config.max_interfaces, topology);
        let kernel = CaptureKernel::load(&CaptureRequest {
            slots,
            ..config.request.clone()
        })?;
        tracing::info!(ring_bytes = kernel.ring_bytes, "sizes");
        Ok(Self {
            config,
            kernel,
            slots,
        })
    }
}

impl Session {
    /// Starts to attach.
    ///
    /// # Errors
    ///
    /// If a thread cannot be made.
    pub fn start(
        loaded: Loaded,
        outputs: Outputs,
        topology: &Topology,
    ) -> Result<Self, EngineError> {
        let Loaded {
            config,
            kernel,
            slots,
        } = loaded;
        let counters = Arc::new(kernel.counters);
        let attacher = Attacher::open(kernel.programs, config.mechanism)?;
        let (recorder, told) = mpsc::channel();
        // What ends a capture is said once; the rest may be missed.
        let (sender, news) = tokio_mpsc::channel(16);
        let progress = Arc::new(Progress::default());
        let report = Recorder::start(Setup {
            cpus: kernel.rings.len(),
            merge: Merge::new(kernel.rings),
            ring_bytes: kernel.ring_bytes,
            counters: Arc::clone(&counters),
            slots: slots as usize,
            outputs,
            count: config.count,
            told,
            news: sender,
            progress: Arc::clone(&progress),
        })
        .map_err(|error| EngineError::Start(format!("record packets: {error}")))?;
        let account = Account {
            counters,
            recorder: recorder.clone(),
        };
        let (worker, outcomes) =
            Worker::start(attacher, kernel.slots, slots, account, config.may_expedite)?;
        let mut session = Self {
            outcomes,
            worker,
            recorder,
            news,
            report,
            progress,
            state: CaptureState::new(config.scope),
            began: Instant::now(),
            pending: HashSet::new(),
            attached: HashSet::new(),
            appeared: HashMap::new(),
            names: Vec::new(),
        };
        session.follow(topology, Instant::now());
        Ok(session)
    }

    /// Takes in what the host looks like. What is new was there at `appeared` at the latest.
    pub fn follow(&mut self, topology: &Topology, appeared: Instant) {
        let new = self.state.follow(topology, appeared - self.began);
        let names = names(topology);
        if names != self.names {
            tell(&self.recorder, Told::Names(names.clone()));
            self.names = names;
        }
        for new in new {
            self.pending.insert(new.key);
            self.appeared.insert(new.key, new.appeared);
            tell(&self.recorder, Told::Iface(new.key, Box::new(new.iface)));
        }
        let wish = |(key, mac): (IfaceKey, Option<&str>)| Wish {
            key,
            mac: mac.map(ToOwned::to_owned),
        };
        let wishes: Vec<Wish> = self.state.wanted().map(wish).collect();
        let wanted: HashSet<IfaceKey> = wishes.iter().map(|wish| wish.key).collect();
        self.pending.retain(|key| wanted.contains(key));
        self.appeared.retain(|key, _| wanted.contains(key));
        self.worker.want(wishes);
    }

    /// The next thing that happens. May be dropped and called again.
    pub async fn next(&mut self) -> CaptureEvent {
        tokio::select! {
            news = self.news.recv() => news.map_or(CaptureEvent::Broken("record"), CaptureEvent::News),
            outcome = self.outcomes.recv() => match outcome {
                Some(outcome) => {
                    self.take(outcome);
                    CaptureEvent::Settled
                }
                None => CaptureEvent::Broken("attach"),
            },
        }
    }

    fn take(&mut self, outcome: Outcome<()>) {
        match outcome {
            Outcome::Attached { key, at, .. } => {
                self.pending.remove(&key);
                self.attached.insert(key);
                // One that is attached anew was there.
                let Some(appeared) = self.appeared.remove(&key) else {
                    return;
                };
                let since_start = at.saturating_duration_since(self.began);
                let attached = Attached {
                    is_new: appeared.is_some(),
                    after: since_start.saturating_sub(appeared.unwrap_or_default()),
                };
                tell(&self.recorder, Told::Attached(key, attached));
            }
            Outcome::Failed { key, why } => {
                // It is tried again; once is enough to say so.
                if self.pending.remove(&key) {
                    let name = self.state.host_veth(key).unwrap_or_default();
                    tracing::warn!(veth = escape(name), why, "not attached");
                }
            }
            Outcome::Detached { key, .. } => drop(self.attached.remove(&key)),
        }
    }

    /// Whether everything that is wanted is attached, or could not be.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.pending.is_empty()
    }

    /// How many interfaces are attached.
    #[must_use]
    pub fn attached(&self) -> usize {
        self.attached.len()
    }

    /// Whether there is nothing to capture.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.state.is_empty()
    }

    /// How it goes, without waiting for anybody.
    #[must_use]
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// How it stands. The answer comes when the recorder has the time.
    #[must_use]
    pub fn report(&self) -> oneshot::Receiver<Report> {
        let (asked, answer) = oneshot::channel();
        tell(&self.recorder, Told::Report(asked));
        answer
    }

    /// Has what waits written.
    pub fn flush(&self) {
        tell(&self.recorder, Told::Flush);
    }

    /// Detaches, reads what is left, and ends the file. Gives what there was to say besides. A writer
    /// that does not get on for as long as `patience` is given up: `None`.
    pub async fn stop(self, patience: Duration) -> (Option<Report>, Vec<News>) {
        let Self {
            outcomes,
            worker,
            recorder,
            mut news,
            mut report,
            progress,
            ..
        } = self;
        drop(outcomes);
        drop(worker);
        tell(&recorder, Told::Stop);
        let mut seen = progress.get();
        let result = loop {
            match timeout(patience, &mut report).await {
                Ok(report) => break report.ok(),
                Err(_elapsed) if progress.get() == seen => break None,
                Err(_elapsed) => seen = progress.get(),
            }
        };
        let mut rest = Vec::new();
        while let Ok(news) = news.try_recv() {
            rest.push(news);
        }
        (result, rest)
    }
}
