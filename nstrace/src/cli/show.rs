//! `nstrace show`.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
};

use super::{
    Failure,
    args::{GlobalArgs, ShowArgs},
    config::Config,
    ls,
};
use crate::{
    sink::show::{self, Format, Page},
    topology::{inspect::inspect, model::Link},
    untrusted::Untrusted,
};

pub(super) fn run(global: &GlobalArgs, args: &ShowArgs) -> Result<(), Failure> {
    let config = Config::load(global)?;
    let selection = config.selection(&args.select, vec![args.target.clone()]);
    let topology = ls::look(&config)?;
    let netns = selection.one(&topology)?;
    let found = inspect(netns);
    let host = topology
        .netnses
        .first()
        .map_or(&[][..], |host| &host.interfaces);
    let host: BTreeMap<u32, &Link> = host
        .iter()
        .map(|iface| (iface.link.ifindex.0, &iface.link))
        .collect();
    let page = Page {
        netns,
        found: &found,
        host: &host,
    };
    match show::write(&mut io::stdout().lock(), args.output, &page) {
        Err(error) if error.is_closed_pipe() => return Ok(()),
        written => written?,
    }
    // The document carries them.
    if args.output != Format::Json {
        for warning in &found.inside.warnings {
            // Nothing is left to tell it to if stderr is gone.
            drop(writeln!(
                io::stderr(),
                "nstrace: warning: {}",
                Untrusted(warning)
            ));
        }
        ls::warn(&topology);
    }
    Ok(())
}
