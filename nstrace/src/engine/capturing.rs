//! The capture that a screen starts and ends, beside the watch.

use std::{
    fs,
    os::unix::fs::FileTypeExt as _,
    time::{Duration, Instant},
};

use nstrace_ebpf::wire::{Direction, MAX_SNAPLEN};

use super::capture::{CaptureConfig, CaptureEvent, Loaded, News, Outputs, Session};
use crate::{
    error_chain,
    filter::{CompileError, FilterError, prepare},
    kernel::capture::{CaptureRequest, room},
    packet::LinkType,
    sink::savefile::{SaveFile, SaveOptions},
    state::{Mechanism, capture::Scope},
    sys::{self, clock},
    topology::{model::Topology, target::Target},
    tui::{CaptureOrder, CaptureStatus},
    untrusted::escape,
};

/// Room for packets that wait to be written.
const BUFFER: u64 = 64 << 20;
/// An output that takes nothing for so long is given up at the end.
const PATIENCE: Duration = Duration::from_secs(2);

/// At most one at a time.
pub(super) struct Capturing {
    mechanism: Option<Mechanism>,
    may_expedite: bool,
    current: Option<Current>,
}

struct Current {
    session: Session,
    name: String,
    file: String,
}

impl Capturing {
    pub(super) const fn new(mechanism: Option<Mechanism>, may_expedite: bool) -> Self {
        Self {
            mechanism,
            may_expedite,
            current: None,
        }
    }

    /// Starts what is ordered, or says why not.
    pub(super) fn start(&mut self, order: CaptureOrder, topology: &Topology) -> CaptureStatus {
        match self.try_start(order, topology) {
            Ok(current) => {
                let status = current.status();
                self.current = Some(current);
                status
            }
            Err(why) => CaptureStatus::Refused(why),
        }
    }

    fn try_start(&self, order: CaptureOrder, topology: &Topology) -> Result<Current, Vec<String>> {
        let refused = |error: &dyn std::error::Error| vec![escape(&error_chain(error))];
        let room = room().map_err(|error| refused(&error))?;
        // The file comes last: what fails before leaves none behind.
        let filter = prepare(LinkType::ETHERNET, MAX_SNAPLEN, &order.filter, room)
            .map_err(|error| why(&error))?;
        let config = CaptureConfig {
            scope: Scope {
                selection: vec![Target::HostVeth(order.host_veth)].into(),
                follows: true,
                filter: (!order.filter.is_empty()).then_some(order.filter),
                snaplen: MAX_SNAPLEN,
            },
            request: CaptureRequest {
                slots: 0,
                buffer: BUFFER,
                snaplen: MAX_SNAPLEN,
                directions: 1 << Direction::Rx as u32 | 1 << Direction::Tx as u32,
                filter,
            },
            max_interfaces: None,
            count: None,
            mechanism: self.mechanism,
            may_expedite: self.may_expedite,
        };
        let loaded = Loaded::load(config, topology).map_err(|error| refused(&error))?;
        // The screen would wait for its reader.
        if fs::metadata(&order.file).is_ok_and(|found| found.file_type().is_fifo()) {
            return Err(vec![format!("{} is a named pipe", escape(&order.file))]);
        }
        let file = SaveFile::create(SaveOptions::new(
            order.file.clone().into(),
            sys::user_behind_sudo(),
            clock::clocks().wall,
            sys::kernel_release(),
        ))
        .map_err(|error| refused(&error))?;
        let outputs = Outputs {
            is_prompt: file.is_stream(),
            file: Some(file),
            text: None,
        };
        let session = Session::start(loaded, outputs, topology).map_err(|error| refused(&error))?;
        Ok(Current {
            session,
            name: order.name,
            file: order.file,
        })
    }

    /// Takes in what the host looks like. What is new was there at `appeared` at the latest.
    pub(super) fn follow(&mut self, topology: &Topology, appeared: Instant) {
        if let Some(current) = &mut self.current {
            current.session.follow(topology, appeared);
        }
    }

    /// What the capture has to say; never, where there is none.
    pub(super) async fn next(&mut self) -> CaptureEvent {
        match &mut self.current {
            Some(current) => current.session.next().await,
            None => std::future::pending().await,
        }
    }

    /// How it goes, if there is one.
    pub(super) fn status(&self) -> Option<CaptureStatus> {
        self.current.as_ref().map(Current::status)
    }

    /// Whether what happened is its end.
    pub(super) const fn is_end(event: &CaptureEvent) -> bool {
        matches!(
            event,
            CaptureEvent::Broken(_) | CaptureEvent::News(News::Complete | News::Failed(_))
        )
    }

    /// Ends it, if there is one, and says what became of it. `event` is what has ended it.
    pub(super) async fn stop(&mut self, event: Option<CaptureEvent>) -> Option<CaptureStatus> {
        let Current {
            session,
            name,
            file,
        } = self.current.take()?;
        let (report, news) = session.stop(PATIENCE).await;
        let news = news.into_iter().map(CaptureEvent::News);
        let failure = event.into_iter().chain(news).find_map(|event| match event {
            CaptureEvent::News(News::Failed(error)) => Some(error_chain(&error)),
            CaptureEvent::Broken(thread) => Some(format!("the {thread} thread has ended")),
            _ => None,
        });
        let total = report.map(|report| report.total());
        let counts = total.map_or_else(String::new, |total| {
            format!(
                ": {} packets, {} dropped",
                total.captured,
                total.lost_ring + total.lost_disk
            )
        });
        Some(CaptureStatus::Ended(match failure {
            None => format!("captured {name} to {file}{counts}"),
            Some(why) => format!("capture of {name} failed{counts}: {why}"),
        }))
    }
}

impl Current {
    fn status(&self) -> CaptureStatus {
        let (captured, dropped) = self.session.progress().get();
        CaptureStatus::Running {
            name: self.name.clone(),
            captured,
            dropped,
        }
    }
}

/// What is wrong with a filter, with marks under the place.
fn why(error: &FilterError) -> Vec<String> {
    let mut lines = vec![escape(&error_chain(error))];
    if let FilterError::Compile(CompileError::Expression(bad)) = error {
        lines.extend(bad.caret().into_iter().flatten());
    }
    lines
}
