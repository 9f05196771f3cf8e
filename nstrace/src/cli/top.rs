//! `nstrace top`.

use std::io::{self, IsTerminal as _};

use super::{
    Failure,
    args::{GlobalArgs, TopArgs},
    config::Config as Settings,
    watch,
};
use crate::{
    engine::{Config, EngineError, Frontend, Host},
    sink::top::{Format, Printer},
    state::FlowsAsked,
    sys,
    tui::{Options, Screen},
};

pub(super) fn run(global: &GlobalArgs, args: &TopArgs) -> Result<(), Failure> {
    if !args.batch && !io::stdout().is_terminal() {
        return Err(Failure::Usage {
            message: "standard output is not a terminal".to_owned(),
            hint: Some("print refreshes instead: nstrace top --batch".to_owned()),
        });
    }
    if args.flows.is_some() && args.output != Format::Json {
        return Err(Failure::Usage {
            message: "--flows is for JSON".to_owned(),
            hint: Some("nstrace top -b -o json --flows N, or: nstrace flows".to_owned()),
        });
    }
    Failure::unless_privileged()?;
    let settings = Settings::load(global)?;
    let selection = settings.selection(&args.select, args.targets.clone());
    let host = Host::look(&settings.roots, &settings.ask)?;
    watch::check_selection(&selection, &host.topology)?;
    if args.batch {
        watch::say_if_empty(&host.topology);
    }
    let config = Config {
        selection,
        interval: args.delay,
        max_interfaces: args.sizes.max_interfaces,
        capacity: args.sizes.request(),
        flow_limit: args.sizes.flow_limit,
        flows: args.flows.map_or(FlowsAsked::None, FlowsAsked::OfAll),
        tells_flows: false,
        waits: false,
        mechanism: args.attach.mechanism,
        may_expedite: !args.attach.no_expedite,
        full_check: args.attach.full_check,
    };
    watch::run(host, config, || {
        if args.batch {
            let printer = Printer::new(
                io::stdout(),
                args.output,
                args.sort,
                args.filter.clone(),
                args.units,
                args.flows.is_some(),
            );
            return Ok(Frontend::Batch(Box::new(printer), args.count));
        }
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
        let screen = Screen::take(options).map_err(EngineError::Terminal)?;
        Ok(Frontend::Screen(Box::new(screen)))
    })
}
