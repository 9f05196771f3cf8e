//! `nstrace top`.

use std::{
    io::{self, IsTerminal as _, Write as _},
    sync::Arc,
};

use super::{
    Failure,
    args::{GlobalArgs, TopArgs},
};
use crate::{
    engine::{self, Config, EngineError, Frontend, Host, Signals},
    kernel::capacity::Request,
    sink::top::Printer,
    state::{FLOW_LIMIT, FlowsAsked},
    sys,
    topology::{
        model::{Kind, Topology},
        target,
    },
    tui::{Options, Screen},
};

const NOTHING_YET: &str = "nstrace: nothing to watch yet: no namespace has a veth peer on this \
                           host; waiting for one (`nstrace ls` says why of each)";

pub(super) fn run(global: &GlobalArgs, args: &TopArgs) -> Result<(), Failure> {
    if !args.batch && !io::stdout().is_terminal() {
        return Err(Failure::Usage {
            message: "standard output is not a terminal".to_owned(),
            hint: Some("print refreshes instead: nstrace top --batch".to_owned()),
        });
    }
    Failure::unless_privileged()?;
    let host = Host::look(&global.docker_root)?;
    check_targets(args, &host.topology)?;
    if args.batch && host.topology.watchable().next().is_none() {
        // Not an error: it may come. Nothing is left to tell it to if stderr is gone.
        drop(writeln!(io::stderr(), "{NOTHING_YET}"));
    }
    let config = Config {
        targets: args.targets.clone(),
        interval: args.delay,
        max_interfaces: args.max_interfaces,
        capacity: Request {
            ring_bytes: args.ring_bytes,
            ..Request::default()
        },
        flow_limit: FLOW_LIMIT,
        flows: FlowsAsked::None,
        tells_flows: false,
        mechanism: args.attach.mechanism,
        may_expedite: !args.attach.no_expedite,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| EngineError::Start(error.to_string()))?;
    runtime.block_on(async {
        let signals = Signals::handle()?;
        let frontend = if args.batch {
            let (sort, filter) = (args.sort, args.filter.clone());
            let printer = Printer::new(io::stdout(), args.output, sort, filter, args.units);
            Frontend::Batch(printer, args.count)
        } else {
            let options = Options {
                host: sys::host_name(),
                interval: args.delay,
                sort: args.sort,
                filter: args.filter.clone().unwrap_or_default(),
                units: args.units,
                color: args.color,
                services: sys::services::services(),
                sizes: String::new(),
            };
            Frontend::Screen(Box::new(
                Screen::take(options).map_err(EngineError::Terminal)?,
            ))
        };
        engine::run(config, host, frontend, signals).await
    })?;
    Ok(())
}

/// A target that means nothing, or several things, is refused at the start. One that cannot be
/// watched is too: waiting for its traffic would be waiting for ever.
fn check_targets(args: &TopArgs, topology: &Topology) -> Result<(), Failure> {
    if args.targets.is_empty() {
        return Ok(());
    }
    for netns in target::select(&args.targets, topology)? {
        if topology
            .watchable()
            .any(|(watchable, _, _)| std::ptr::eq(Arc::as_ptr(watchable), netns))
        {
            continue;
        }
        let hint = if netns.kind == Kind::Host {
            "nstrace watches namespaces from the host's side; see which: nstrace ls".to_owned()
        } else {
            format!("see why: nstrace ls -o wide {}", netns.name)
        };
        return Err(Failure::Failed {
            message: format!(
                "nothing to watch in {}: no interface has a host veth",
                netns.name
            ),
            hint: Some(hint),
        });
    }
    Ok(())
}
