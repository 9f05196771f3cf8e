//! What `top` and `flows` have in common: the host, the targets, the engine.

use std::{
    io::{self, Write as _},
    sync::Arc,
};

use super::Failure;
use crate::{
    engine::{self, Config, EngineError, Frontend, Host, Signals},
    topology::{
        model::{Kind, Netns, Topology},
        target::Selection,
    },
};

const NOTHING_YET: &str = "nstrace: nothing to watch yet: no namespace has a veth peer on this \
                           host; waiting for one (`nstrace ls` says why of each)";

/// Watches what `config` says, and shows it on what `frontend` makes: that is called when signals
/// are handled, so that a terminal it takes is given back.
pub(super) fn run(
    host: Host,
    config: Config,
    frontend: impl FnOnce() -> Result<Frontend, Failure>,
) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| EngineError::Start(error.to_string()))?;
    runtime.block_on(async {
        let signals = Signals::handle()?;
        engine::run(config, host, frontend()?, signals).await?;
        Ok(())
    })
}

/// Says so where there is nothing to watch. Not an error: it may come.
pub(super) fn say_if_empty(topology: &Topology) {
    if topology.watchable().next().is_none() {
        // Nothing is left to tell it to if stderr is gone.
        drop(writeln!(io::stderr(), "{NOTHING_YET}"));
    }
}

/// A target that means nothing, or several things, is refused at the start. One that cannot be
/// watched is too: waiting for its traffic would be waiting for ever. Of many that match, one that
/// can be watched is enough.
pub(super) fn check_selection(selection: &Selection, topology: &Topology) -> Result<(), Failure> {
    if selection.is_everything() {
        return Ok(());
    }
    let meant = selection.resolve(topology)?;
    let is_watchable = |netns: &&&Arc<Netns>| {
        let mut watchable = topology.watchable();
        watchable.any(|(one, _, _)| Arc::ptr_eq(one, netns))
    };
    let unwatchable: Vec<_> = meant.iter().filter(|one| !is_watchable(one)).collect();
    let is_enough = selection.is_loose() && unwatchable.len() < meant.len();
    let Some(netns) = unwatchable.first().filter(|_| !is_enough) else {
        return Ok(());
    };
    let hint = if netns.kind == Kind::Host {
        "nstrace watches namespaces from the host's side; see which: nstrace ls".to_owned()
    } else {
        format!("see why: nstrace show {}", netns.name)
    };
    Err(Failure::Failed {
        message: format!(
            "nothing to watch in {}: no interface has a host veth",
            netns.name
        ),
        hint: Some(hint),
    })
}
