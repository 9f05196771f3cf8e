//! `nstrace ls --watch`: the host's namespaces, as they change. Nothing is attached.

use std::{sync::Arc, time::Duration};

use super::{EngineError, Host, Signals, follow::Follower};
use crate::{
    sink::SinkError,
    sys::clock,
    topology::{
        model::{Change, Netns, Topology, changes, with_the_fading},
        target::Selection,
    },
};

/// Tells what has changed at a time.
pub type TellChanges<'a> = dyn FnMut(&[(Change, Arc<Netns>)], &str) -> Result<(), SinkError> + 'a;

/// Tells what is there, and then what changes, until a signal ends it.
///
/// # Errors
///
/// If the host cannot be followed, or what is told cannot be written; a closed pipe is a normal end.
pub async fn watch(
    selection: &Selection,
    full_check: Duration,
    host: Host,
    mut signals: Signals,
    tell: &mut TellChanges<'_>,
) -> Result<(), EngineError> {
    let (mut follower, topology) = Follower::start(host, full_check)?;
    let mut known = meant(selection, &topology);
    let present: Vec<_> = known
        .iter()
        .map(|netns| (Change::Present, Arc::clone(netns)))
        .collect();
    if !is_told(tell(&present, &clock::wall()))? {
        return Ok(());
    }
    loop {
        let looked = tokio::select! {
            biased;
            () = signals.any() => return Ok(()),
            looked = follower.next() => looked.ok_or(EngineError::Broken("scan"))?,
        };
        // What cannot be looked at is looked at again; the log says so.
        let Ok(topology) = looked.topology else {
            continue;
        };
        let now = with_the_fading(&known, meant(selection, &topology));
        let news = changes(&known, &now);
        if !news.is_empty() && !is_told(tell(&news, &clock::wall()))? {
            return Ok(());
        }
        known = now;
    }
}

fn meant(selection: &Selection, topology: &Topology) -> Vec<Arc<Netns>> {
    let meant = selection.all(topology).into_iter();
    meant.map(|netns| selection.trimmed(netns)).collect()
}

/// Whether somebody still reads.
fn is_told(told: Result<(), SinkError>) -> Result<bool, SinkError> {
    match told {
        Ok(()) => Ok(true),
        Err(error) if error.is_closed_pipe() => Ok(false),
        Err(error) => Err(error),
    }
}
