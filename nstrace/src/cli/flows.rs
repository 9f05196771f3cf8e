//! `nstrace flows`.

use std::io;

use super::{
    Failure,
    args::{FlowsArgs, GlobalArgs},
    config::Config as Settings,
    watch,
};
use crate::{
    engine::{Config, Frontend, Host},
    sink::flows::Printer,
    state::FlowsAsked,
};

pub(super) fn run(global: &GlobalArgs, args: &FlowsArgs) -> Result<(), Failure> {
    if args.sizes.ipv4_flows == Some(0) || args.sizes.ipv6_flows == Some(0) {
        return Err(Failure::Usage {
            message: "no flows are counted with --ipv4-flows 0 or --ipv6-flows 0".to_owned(),
            hint: None,
        });
    }
    Failure::unless_privileged()?;
    let settings = Settings::load(global)?;
    let selection = settings.selection(&args.select, args.targets.clone());
    let host = Host::look(&settings.roots, &settings.ask)?;
    watch::check_selection(&selection, &host.topology)?;
    watch::say_if_empty(&host.topology);
    let config = Config {
        selection,
        interval: args.delay,
        max_interfaces: args.sizes.max_interfaces,
        capacity: args.sizes.request(),
        flow_limit: args.sizes.flow_limit,
        flows: FlowsAsked::None,
        tells_flows: true,
        waits: true,
        full_check: args.attach.full_check,
        mechanism: args.attach.mechanism,
        may_expedite: !args.attach.no_expedite,
    };
    let count = if args.once { Some(1) } else { args.count };
    watch::run(host, config, || {
        let printer = Printer::new(io::stdout(), args.output, args.units);
        Ok(Frontend::Batch(Box::new(printer), count))
    })
}
