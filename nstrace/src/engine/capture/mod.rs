//! Captures: packets that match, from the rings of a capture's own object to a file or the terminal.
//!
//! ```text
//! tc programs --rings, one per CPU--> record thread --Merge, in order of time--> file, text
//!      ^                                  ^  |
//! attach thread --Begin, End, counters----+  +--News--> loop <--Outcome-- attach thread
//! loop --interfaces, names--> record thread           loop --wanted--> attach thread
//! ```
//!
//! [`Session`] is one capture; [`run`] is `nstrace capture`: a session, the signals, and the host that
//! changes. The screen of `top` drives a session of its own (see [`super`]).
//!
//! Whoever reads the output may stop to read: then the record thread waits, the rings fill up, and the
//! kernel side counts what it loses. Nobody else waits.

mod output;
mod recorder;
mod report;
mod session;

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::Duration,
};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
    time::{Instant as TokioInstant, sleep_until},
};

pub use self::{
    output::{OutputError, Outputs, PrintPacket, Writer},
    recorder::{News, Progress},
    report::{Attached, IfaceReport, Report},
    session::{CaptureConfig, CaptureEvent, Loaded, Session},
};
use super::{
    EngineError, Host, Signals,
    follow::{Follower, Looked},
};

/// A capture, and what goes on around it.
#[derive(Debug)]
pub struct Plan {
    /// Whether interfaces that come later are taken in.
    pub follows: bool,
    /// End after so long.
    pub duration: Option<Duration>,
    /// How often the whole host is looked at, at most.
    pub full_check: Duration,
    /// Whether to say on stderr how it goes.
    pub is_quiet: bool,
    /// Whether packets go to the terminal, so that nothing else may.
    pub prints: bool,
}

/// Why a capture ended.
#[derive(Debug, Default)]
pub struct Ended {
    /// What became of the packets; `None` where the output blocks for ever.
    pub report: Option<Report>,
    /// What could not be written.
    pub error: Option<OutputError>,
    /// Whether everything that was captured is gone, and nothing was to be followed.
    pub is_gone: bool,
}

/// The signals of a capture: those that end it, one that asks how it stands, one that has it written.
#[derive(Debug)]
pub struct CaptureSignals {
    end: Signals,
    report: Signal,
    flush: Signal,
}

impl CaptureSignals {
    /// Handles them from now on. To be called on the runtime.
    ///
    /// # Errors
    ///
    /// If a handler cannot be installed.
    pub fn handle() -> Result<Self, EngineError> {
        let handle = |kind| {
            signal(kind).map_err(|error| EngineError::Start(format!("handle signals: {error}")))
        };
        Ok(Self {
            end: Signals::handle()?,
            report: handle(SignalKind::user_defined1())?,
            flush: handle(SignalKind::user_defined2())?,
        })
    }
}

/// Everything that can happen.
enum Event {
    Stop,
    AskReport,
    Report(Result<Report, oneshot::error::RecvError>),
    Flush,
    Session(CaptureEvent),
    Looked(Looked),
    Broken(&'static str),
    Tick,
    Over,
}

/// An output that takes nothing for so long is given up at the end.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it is said how it goes.
const TICK: Duration = Duration::from_secs(1);

/// Captures until it is told to end, has what it was to get, or cannot write any more. Everything
/// attached is detached before it returns.
///
/// # Errors
///
/// If the capture cannot start or go on.
pub async fn run(
    plan: Plan,
    host: Host,
    loaded: Loaded,
    outputs: Outputs,
    signals: CaptureSignals,
) -> Result<Ended, EngineError> {
    let (follower, topology) = Follower::start(host, plan.full_check)?;
    let session = Session::start(loaded, outputs, &topology)?;
    drop(topology);
    let now = TokioInstant::now();
    let mut run = Run {
        session,
        follower,
        signals,
        asked: None,
        over: plan.duration.map(|duration| now + duration),
        tick: (!plan.is_quiet && !plan.prints && io::stderr().is_terminal()).then(|| now + TICK),
        is_quiet: plan.is_quiet,
        has_said: false,
        follows: plan.follows,
    };
    let mut ended = Ended::default();
    let result = run.until_end(&mut ended).await;
    run.clear_tick();
    // Whatever has ended it, the file is ended too.
    let (report, news) = run.session.stop(PATIENCE).await;
    result?;
    ended.report = report;
    for news in news {
        // That a file failed is worse than that a reader has seen enough.
        if let News::Failed(error) = news
            && ended.error.as_ref().is_none_or(OutputError::is_enough)
        {
            ended.error = Some(error);
        }
    }
    Ok(ended)
}

struct Run {
    session: Session,
    follower: Follower,
    signals: CaptureSignals,
    asked: Option<oneshot::Receiver<Report>>,
    over: Option<TokioInstant>,
    tick: Option<TokioInstant>,
    is_quiet: bool,
    has_said: bool,
    follows: bool,
}

impl Run {
    async fn until_end(&mut self, ended: &mut Ended) -> Result<(), EngineError> {
        self.say_when_settled();
        loop {
            match self.next().await {
                Event::Stop | Event::Over | Event::Session(CaptureEvent::News(News::Complete)) => {
                    return Ok(());
                }
                Event::AskReport => self.asked = Some(self.session.report()),
                Event::Report(report) => {
                    self.asked = None;
                    if let Ok(report) = report {
                        say(&report.to_string());
                    }
                }
                Event::Flush => self.session.flush(),
                Event::Session(CaptureEvent::Settled) => self.say_when_settled(),
                Event::Session(CaptureEvent::News(News::Failed(error))) => {
                    ended.error = Some(error);
                    return Ok(());
                }
                Event::Session(CaptureEvent::News(News::SetBack(back))) => {
                    tracing::warn!(by = ?back.0, "the clock was set back; times of packets follow slowly");
                }
                Event::Session(CaptureEvent::Broken(thread)) | Event::Broken(thread) => {
                    return Err(EngineError::Broken(thread));
                }
                Event::Looked(Looked { topology, since }) => {
                    if let Ok(topology) = topology {
                        self.session.follow(&topology, since);
                        self.say_when_settled();
                    }
                    if !self.follows && self.session.is_empty() {
                        ended.is_gone = true;
                        return Ok(());
                    }
                }
                Event::Tick => self.say_progress(),
            }
        }
    }

    async fn next(&mut self) -> Event {
        let never = TokioInstant::now() + Duration::from_hours(24);
        tokio::select! {
            // In this order: an end is not delayed by what keeps coming.
            biased;
            () = self.signals.end.any() => Event::Stop,
            () = sleep_until(self.over.unwrap_or(never)), if self.over.is_some() => Event::Over,
            _ = self.signals.report.recv() => Event::AskReport,
            _ = self.signals.flush.recv() => Event::Flush,
            report = answer(&mut self.asked) => Event::Report(report),
            event = self.session.next() => Event::Session(event),
            looked = self.follower.next() => looked.map_or(Event::Broken("scan"), Event::Looked),
            () = sleep_until(self.tick.unwrap_or(never)), if self.tick.is_some() => Event::Tick,
        }
    }

    /// Once: everything that was there is attached.
    fn say_when_settled(&mut self) {
        if self.has_said || !self.session.is_settled() {
            return;
        }
        self.has_said = true;
        if !self.is_quiet {
            let count = self.session.attached();
            let plural = if count == 1 { "" } else { "s" };
            say(&format!(
                "nstrace: capturing on {count} interface{plural}\n"
            ));
        }
    }

    fn say_progress(&mut self) {
        self.tick = Some(TokioInstant::now() + TICK);
        let (captured, lost) = self.session.progress().get();
        say(&format!("\r{captured} packets captured, {lost} dropped"));
    }

    /// What comes next begins on a line of its own.
    fn clear_tick(&self) {
        if self.tick.is_some() {
            say("\n");
        }
    }
}

/// The answer to what was asked; never, if nothing was.
async fn answer(
    asked: &mut Option<oneshot::Receiver<Report>>,
) -> Result<Report, oneshot::error::RecvError> {
    match asked {
        Some(asked) => asked.await,
        None => std::future::pending().await,
    }
}

fn say(text: &str) {
    // Nothing is left to tell it to if stderr is gone.
    drop(io::stderr().write_all(text.as_bytes()));
}
