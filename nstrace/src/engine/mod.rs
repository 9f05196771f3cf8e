//! Where everything meets: one loop over one closed `Event`.
//!
//! ```text
//! watcher, names threads --Hint--> loop --scan please--> scanner thread --Topology--> loop
//! loop --wanted--> attach thread --Outcome--> loop        ring thread --Bytes--> loop
//! every interval: counters (mmap) -> State::tick -> Snapshot -> screen or printer
//! ```
//!
//! Every channel is bounded. When the loop is behind, the ring fills up and the kernel side counts
//! what it loses; hints collapse into one; the attach thread waits.

pub mod capture;
mod capturing;
mod error;
mod follow;
mod host;
pub mod listing;
mod printing;
mod scanner;
mod scans;
mod signals;

use std::{
    io::{self, Write},
    sync::Arc,
    time::{Duration, Instant},
};

use crossterm::event::Event as TerminalEvent;
use nstrace_ebpf::wire::LostReason;
use tokio::{
    sync::mpsc,
    time::{Instant as TokioInstant, sleep, sleep_until},
};

use crate::{
    decode,
    kernel::{
        Kernel,
        attach::Attacher,
        capacity::{Capacity, Request},
        object::Lost,
        ring::{Batch, Drainer},
        worker::{Outcome, Wish, Worker},
    },
    sink::{Print, SinkError},
    state::{FlowsAsked, Mechanism, Settings, Snapshot, State},
    sys::{
        clock,
        mapped::{CounterArea, FlowArea},
    },
    topology::{model::Topology, target::Selection},
    tui::{CaptureStatus, Effect, Screen},
    untrusted::escape,
};
pub use error::EngineError;
pub use host::Host;
pub use signals::Signals;

use capture::CaptureEvent;
use capturing::Capturing;
use follow::{Follower, Looked};
use printing::Printing;

/// What the engine is told to do.
#[derive(Debug)]
pub struct Config {
    /// What to watch.
    pub selection: Selection,
    /// Time between refreshes.
    pub interval: Duration,
    /// Most interfaces at a time; worked out from the host where not given.
    pub max_interfaces: Option<u32>,
    /// How large everything else is made. Its `slots` are ignored.
    pub capacity: Request,
    /// Flows of one interface that are remembered at a time.
    pub flow_limit: usize,
    /// Which flows a printed refresh has.
    pub flows: FlowsAsked,
    /// Whether what happens to flows is printed.
    pub tells_flows: bool,
    /// Whether the first refresh comes after a whole interval, rather than at once.
    pub waits: bool,
    /// The only way to attach, where the user insists.
    pub mechanism: Option<Mechanism>,
    /// Whether the machine's grace periods may be expedited while there is much to attach.
    pub may_expedite: bool,
    /// How often the whole host is looked at, at most.
    pub full_check: Duration,
}

/// Who is shown what happens.
pub enum Frontend {
    /// Refreshes are printed, so many or for ever.
    Batch(Box<dyn Print>, Option<u64>),
    /// The screen.
    Screen(Box<Screen>),
}

/// The same, at work.
enum Output {
    Batch(Printing, Option<u64>),
    Screen(Box<Screen>),
}

/// Everything that can happen.
enum Event {
    Looked(Looked),
    Attach(Outcome),
    Drained(Batch),
    Printed(Result<(), SinkError>),
    Input(Option<io::Result<TerminalEvent>>),
    Refresh,
    Capture(CaptureEvent),
    Stop,
    Broken(&'static str),
}

/// The first refresh waits for attachments, but not longer than this, unless it is told to wait.
const FIRST_REFRESH: Duration = Duration::from_millis(150);
/// What the ring's thread needs to be woken and to empty it.
const DRAIN_TIME: Duration = Duration::from_millis(1);
/// After a signal, a reader has this long to take the last line.
const LAST_LINE: Duration = Duration::from_secs(1);
/// Detaching from more than this many is worth a word.
const WORTH_A_WORD: usize = 20;
/// Least number of slots.
const MIN_SLOTS: u32 = 256;

/// Watches until the frontend ends it or a signal does. Everything attached is detached before
/// it returns.
///
/// # Errors
///
/// If the watch cannot start, or the output fails; a closed pipe is a normal end.
pub async fn run(
    config: Config,
    host: Host,
    frontend: Frontend,
    signals: Signals,
) -> Result<(), EngineError> {
    let mut output = match frontend {
        Frontend::Batch(printer, count) => {
            let printing = Printing::start(printer)
                .map_err(|error| EngineError::Start(format!("print: {error}")))?;
            Output::Batch(printing, count)
        }
        Frontend::Screen(screen) => Output::Screen(screen),
    };
    let (mut engine, topology) = Engine::start(config, host, signals)?;
    if let Output::Screen(screen) = &mut output {
        screen.set_sizes(engine.capacity.to_string());
    }
    let result = engine.watch(topology, &mut output).await;
    // The terminal first: detaching takes a grace period per program, and must not look like a
    // screen that hangs.
    let was_screen = matches!(output, Output::Screen(_));
    drop(output);
    if let Some(CaptureStatus::Ended(how)) = engine.capturing.stop(None).await {
        drop(writeln!(io::stderr(), "nstrace: {}", escape(&how)));
    }
    let attached = engine.state.header().attached;
    if was_screen && attached > WORTH_A_WORD {
        // Nothing is left to tell it to if stderr is gone.
        drop(writeln!(
            io::stderr(),
            "nstrace: detaching from {attached} interfaces"
        ));
    }
    drop(engine);
    match result {
        Err(EngineError::Sink(error)) if error.is_closed_pipe() => Ok(()),
        result => result,
    }
}

/// Slots for what is there and as much again, so that a default fits hosts of any size without
/// taking memory that scales with the number of CPUs for nothing.
fn slot_count(max_interfaces: Option<u32>, topology: &Topology) -> u32 {
    max_interfaces.unwrap_or_else(|| {
        let watchable = u32::try_from(topology.watchable().count()).unwrap_or(u32::MAX);
        watchable
            .saturating_mul(2)
            .clamp(MIN_SLOTS, 1 << 16)
            .next_power_of_two()
    })
}

/// Receivers stand before the threads that fill them: they are dropped first, so that no thread
/// waits for room while it is waited for.
struct Engine {
    capturing: Capturing,
    /// As the host was seen last: what a capture starts from.
    topology: Topology,
    outcomes: mpsc::Receiver<Outcome>,
    batches: mpsc::Receiver<Batch>,
    state: State,
    counters: Arc<CounterArea>,
    flows: FlowArea,
    asked: FlowsAsked,
    waits: bool,
    capacity: Capacity,
    jiffy: Duration,
    lost: Lost,
    worker: Worker,
    follower: Follower,
    interval: Duration,
    began: Instant,
    signals: Signals,
    drainer: Drainer,
}

impl Engine {
    fn start(
        config: Config,
        host: Host,
        signals: Signals,
    ) -> Result<(Self, Topology), EngineError> {
        let (follower, topology) = Follower::start(host, config.full_check)?;
        let kernel = Kernel::load(Request {
            slots: slot_count(config.max_interfaces, &topology),
            ..config.capacity
        })?;
        let Kernel {
            programs,
            slots,
            counters,
            flows,
            lanes,
            capacity,
            samples,
            lost,
            window,
        } = kernel;
        tracing::info!(%capacity, "sizes");
        let jiffy = clock::jiffy();
        let counters = Arc::new(counters);
        let attacher = Attacher::open(programs, config.mechanism)?;
        let (worker, outcomes) = Worker::start(
            attacher,
            slots,
            capacity.slots,
            Arc::clone(&counters),
            config.may_expedite,
        )?;
        let (drainer, batches) = Drainer::start(samples, lanes)?;
        let engine = Self {
            capturing: Capturing::new(config.mechanism, config.may_expedite),
            topology: Topology::default(),
            outcomes,
            batches,
            state: State::new(
                config.selection,
                Settings {
                    window,
                    jiffy,
                    cpus: capacity.cpus,
                    flows4: capacity.flows4,
                    flows6: capacity.flows6,
                    flow_limit: config.flow_limit,
                    tells_flows: config.tells_flows,
                },
            ),
            counters,
            flows,
            asked: config.flows,
            waits: config.waits,
            capacity,
            jiffy,
            lost,
            follower,
            interval: config.interval,
            began: Instant::now(),
            signals,
            worker,
            drainer,
        };
        Ok((engine, topology))
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    async fn watch(&mut self, topology: Topology, output: &mut Output) -> Result<(), EngineError> {
        self.follow(topology, Instant::now());
        let mut is_first = !self.waits;
        let mut refresh_at = TokioInstant::now()
            + if self.waits {
                self.interval
            } else {
                FIRST_REFRESH
            };
        if let Output::Screen(screen) = output {
            let snapshot = self.state.snapshot(self.asked);
            self.show(screen, snapshot)?;
        }
        loop {
            match self.next_event(refresh_at, output).await {
                Event::Looked(looked) => self.take_look(looked),
                Event::Attach(outcome) => {
                    self.take_outcome(outcome);
                    if is_first && !self.state.is_waiting() {
                        refresh_at = TokioInstant::now();
                    }
                }
                Event::Drained(batch) => self.take_drained(&batch),
                Event::Refresh => {
                    is_first = false;
                    // From the time it was due, unless it is long past: no drift, no burst.
                    refresh_at = (refresh_at + self.interval).max(TokioInstant::now());
                    match output {
                        Output::Batch(printing, _) if printing.is_busy() => {}
                        Output::Batch(printing, _) => {
                            printing.print(self.refresh().await, clock::wall());
                        }
                        Output::Screen(screen) => {
                            let snapshot = self.refresh().await;
                            if let Some(status) = self.capturing.status() {
                                screen.show_capture(status).map_err(EngineError::Terminal)?;
                            }
                            self.show(screen, snapshot)?;
                        }
                    }
                }
                Event::Capture(event) => {
                    if Capturing::is_end(&event)
                        && let Some(status) = self.capturing.stop(Some(event)).await
                        && let Output::Screen(screen) = output
                    {
                        screen.show_capture(status).map_err(EngineError::Terminal)?;
                    }
                }
                Event::Printed(result) => {
                    let Output::Batch(printing, count) = output else {
                        continue;
                    };
                    let printed = printing.take(result)?;
                    if count.is_some_and(|count| printed >= count) {
                        return Ok(());
                    }
                }
                Event::Input(event) => {
                    let Output::Screen(screen) = output else {
                        continue;
                    };
                    let event = event.unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()));
                    let event = event.map_err(EngineError::Terminal)?;
                    match screen.input(&event).map_err(EngineError::Terminal)? {
                        Some(Effect::Quit) => return Ok(()),
                        Some(Effect::SetInterval(interval)) => {
                            self.interval = interval;
                            refresh_at = refresh_at.min(TokioInstant::now() + interval);
                        }
                        Some(effect) => self.serve(effect, screen).await?,
                        None => {}
                    }
                }
                Event::Broken(thread) => return Err(EngineError::Broken(thread)),
                Event::Stop => {
                    if let Output::Batch(printing, _) = output {
                        return self.print_last(printing).await;
                    }
                    return Ok(());
                }
            }
        }
    }

    /// Does what the screen wants done.
    async fn serve(&mut self, effect: Effect, screen: &mut Screen) -> Result<(), EngineError> {
        let status = match effect {
            Effect::Ask(asked) => {
                self.asked = asked;
                let snapshot = self.state.snapshot(asked);
                return self.show(screen, snapshot);
            }
            Effect::StartCapture(order) => Some(self.capturing.start(order, &self.topology)),
            Effect::StopCapture => self.capturing.stop(None).await,
            Effect::Quit | Effect::SetInterval(_) => None,
        };
        status.map_or(Ok(()), |status| {
            screen.show_capture(status).map_err(EngineError::Terminal)
        })
    }

    /// Shows a snapshot, and again with other flows if it has led back to a page that needs them.
    fn show(&mut self, screen: &mut Screen, snapshot: Snapshot) -> Result<(), EngineError> {
        let effect = screen.show(snapshot).map_err(EngineError::Terminal)?;
        // The rows are the same then, so that this leads nowhere else.
        if let Some(Effect::Ask(asked)) = effect {
            self.asked = asked;
            let snapshot = self.state.snapshot(asked);
            screen.show(snapshot).map_err(EngineError::Terminal)?;
        }
        Ok(())
    }

    /// A last complete line, unless the reader has stopped to read.
    async fn print_last(&mut self, printing: &mut Printing) -> Result<(), EngineError> {
        if printing.finish(LAST_LINE).await? {
            printing.print(self.refresh().await, clock::wall());
            printing.finish(LAST_LINE).await?;
        }
        Ok(())
    }

    async fn next_event(&mut self, refresh_at: TokioInstant, output: &mut Output) -> Event {
        tokio::select! {
            // In this order: an end is not delayed by what keeps coming.
            biased;
            () = self.signals.any() => Event::Stop,
            event = input(output) => event,
            event = self.capturing.next() => Event::Capture(event),
            outcome = self.outcomes.recv() => outcome.map_or(Event::Broken("attach"), Event::Attach),
            looked = self.follower.next() => looked.map_or(Event::Broken("scan"), Event::Looked),
            () = sleep_until(refresh_at) => Event::Refresh,
            batch = self.batches.recv() => batch.map_or(Event::Broken("ring"), Event::Drained),
        }
    }

    fn take_look(&mut self, looked: Looked) {
        match looked.topology {
            Ok(topology) => self.follow(topology, looked.since),
            Err(error) => self.state.looked_in_vain(&crate::error_chain(&error)),
        }
    }

    /// Takes in what the host looks like. What is new was there at `since` at the latest.
    fn follow(&mut self, topology: Topology, since: Instant) {
        self.state.follow(&topology, self.now());
        self.capturing.follow(&topology, since);
        self.topology = topology;
        let wish = |key| Wish {
            key,
            mac: self.state.host_mac(key).map(ToOwned::to_owned),
        };
        self.worker
            .want(self.state.wanted().into_iter().map(wish).collect());
    }

    fn take_outcome(&mut self, outcome: Outcome) {
        let now = self.now();
        match outcome {
            Outcome::Attached {
                key,
                owner,
                mechanism,
                since,
                at: _,
            } => {
                let since = since.saturating_duration_since(self.began);
                self.state.attached(key, owner, mechanism, since);
            }
            Outcome::Failed { key, why } => {
                if let Some(veth) = self.state.failed(key, &why) {
                    tracing::warn!(veth = escape(veth), why, "not attached");
                }
            }
            Outcome::Detached {
                key,
                totals,
                is_gone,
            } => {
                self.state.detached(key, &totals, now);
                if is_gone {
                    // Its ifindex may be another's already.
                    self.follower.ask();
                }
            }
        }
    }

    fn take_drained(&mut self, batch: &Batch) {
        match batch {
            Batch::Samples(records) => {
                let (samples, unreadable) = decode::samples(records);
                self.state.sampled(&samples, unreadable);
            }
            Batch::Spills(cpu, records) => {
                let (spills, unreadable) = decode::spills(records);
                self.state.spilled(*cpu, &spills, unreadable);
            }
        }
    }

    async fn refresh(&mut self) -> Snapshot {
        // Or bursts of the interval's last milliseconds would show in the next one.
        self.drainer.drain_now();
        sleep(DRAIN_TIME).await;
        while let Ok(batch) = self.batches.try_recv() {
            self.take_drained(&batch);
        }
        // A slot that was given to another meanwhile must not be read for the one before.
        while let Ok(outcome) = self.outcomes.try_recv() {
            self.take_outcome(outcome);
        }
        let now = self.now();
        let count = |reason| {
            self.lost.count(reason).unwrap_or_else(|error| {
                tracing::error!(%error, ?reason, "losses are not known");
                0
            })
        };
        self.state.set_lost(
            count(LostReason::SampleRingFull),
            count(LostReason::NoSlot),
            count(LostReason::NoFlowRoom),
        );
        let Self { state, flows, .. } = self;
        if self.capacity.has_flows() {
            // Before the totals, so that flows are never more than those.
            flows.read(|flow| {
                state.cached(flow.cpu, flow.family, flow.entry, &flow.key, &flow.stats);
            });
        }
        let jiffies = clock::jiffies(self.jiffy);
        let counters = &self.counters;
        state.tick(now, jiffies, |slot| counters.read(slot));
        state.snapshot(self.asked)
    }
}

/// The next key, or the end of a print, whichever the output has.
async fn input(output: &mut Output) -> Event {
    match output {
        Output::Screen(screen) => Event::Input(screen.next_event().await),
        Output::Batch(printing, _) => match printing.results.recv().await {
            Some(result) => Event::Printed(result),
            None => Event::Broken("print"),
        },
    }
}
