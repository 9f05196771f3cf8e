//! `nstrace ls`.

use std::{
    io::{self, Write as _},
    sync::Arc,
};

use super::{
    Failure,
    args::{GlobalArgs, LsArgs},
    config::Config,
};
use crate::{
    engine::{EngineError, Host, Signals, listing},
    sink::{
        SinkError,
        ls::{self, ChangePrinter, Format},
    },
    sys::runtime::Names,
    topology::{
        discover::Discoverer,
        model::{Netns, Topology},
        target::Selection,
    },
    untrusted::Untrusted,
};

pub(super) fn run(global: &GlobalArgs, args: &LsArgs) -> Result<(), Failure> {
    let config = Config::load(global)?;
    let selection = config.selection(&args.select, args.targets.clone());
    if args.watch {
        return watch(&config, &selection, args);
    }
    let topology = look(&config)?;
    let netnses: Vec<Arc<Netns>> = selection
        .resolve(&topology)?
        .into_iter()
        .map(|netns| selection.trimmed(netns))
        .collect();
    let netnses: Vec<&Netns> = netnses.iter().map(Arc::as_ref).collect();
    let mut out = io::stdout().lock();
    let written = if args.tree {
        ls::write_tree(&mut out, &netnses)
    } else {
        let headers = !args.no_headers;
        ls::write(
            &mut out,
            args.format(),
            headers,
            &netnses,
            &topology.warnings,
        )
    };
    match written {
        Err(error) if error.is_closed_pipe() => return Ok(()),
        written => written?,
    }
    // The documents carry them; beside a table they must not be taken for rows.
    if !matches!(args.format(), Format::Json | Format::Yaml) {
        warn(&topology);
    }
    Ok(())
}

/// Looks at the host once.
pub(super) fn look(config: &Config) -> Result<Topology, Failure> {
    let names = Names::start(&config.roots, &config.ask, None)
        .map_err(|error| EngineError::Start(format!("look for names: {error}")))?;
    Ok(Discoverer::open(names)?.topology()?)
}

pub(super) fn warn(topology: &Topology) {
    for warning in &topology.warnings {
        // Nothing is left to tell it to if stderr is gone.
        drop(writeln!(
            io::stderr(),
            "nstrace: warning: {}",
            Untrusted(warning)
        ));
    }
}

fn watch(config: &Config, selection: &Selection, args: &LsArgs) -> Result<(), Failure> {
    if args.tree || !matches!(args.format(), Format::Table | Format::Wide | Format::Json) {
        return Err(Failure::Usage {
            message: "changes are printed as a table, or as lines of JSON".to_owned(),
            hint: Some("nstrace ls --watch, or with -w, or with -o json".to_owned()),
        });
    }
    let host = Host::look(&config.roots, &config.ask)?;
    if args.format() != Format::Json {
        warn(&host.topology);
    }
    let mut printer = ChangePrinter::new(io::stdout(), args.format(), !args.no_headers);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| EngineError::Start(error.to_string()))?;
    runtime.block_on(async {
        let signals = Signals::handle()?;
        let mut tell =
            |changes: &[_], time: &str| -> Result<(), SinkError> { printer.print(changes, time) };
        listing::watch(selection, args.full_check, host, signals, &mut tell).await
    })?;
    Ok(())
}
