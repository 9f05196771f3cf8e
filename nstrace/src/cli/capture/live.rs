//! A capture of namespaces.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use super::{
    super::{
        Failure,
        args::{CaptureArgs, GlobalArgs},
        config::Config as Settings,
        watch,
    },
    filter, output,
};
use crate::{
    engine::{
        EngineError, Host,
        capture::{self, CaptureConfig, CaptureSignals, Ended, Loaded, OutputError, Plan},
    },
    error_chain,
    kernel::capture::CaptureRequest,
    state::capture::Scope,
    topology::target::Target,
};

pub(super) fn run(
    global: &GlobalArgs,
    args: &CaptureArgs,
    targets: Vec<Target>,
    expression: String,
) -> Result<(), Failure> {
    let settings = Settings::load(global)?;
    let is_several = args.all || targets.len() != 1;
    let has_targets = !targets.is_empty();
    let selection = settings.selection(&args.select, targets);
    // What restricts them says enough, if it is typed: a default in the settings is none.
    let is_said = has_targets || args.select.is_said();
    if is_said == args.all {
        return Err(Failure::Usage {
            message: if args.all {
                "TARGETs beside --all".to_owned()
            } else {
                "nothing to capture".to_owned()
            },
            hint: Some(
                "nstrace capture TARGET.. [FILTER], or: nstrace capture --all [FILTER], or with -n, \
                 -A or -l; what can be a TARGET: nstrace ls"
                    .to_owned(),
            ),
        });
    }
    let snaplen = args.snaplen();
    let filter = filter::for_kernel(&expression, snaplen)?;
    Failure::unless_privileged()?;
    let host = Host::look(&settings.roots, &settings.ask)?;
    watch::check_selection(&selection, &host.topology)?;
    watch::say_if_empty(&host.topology);
    let scope = Scope {
        selection,
        follows: !args.no_follow,
        filter: (!expression.is_empty()).then_some(expression),
        snaplen,
    };
    let config = CaptureConfig {
        scope,
        request: CaptureRequest {
            slots: 0,
            buffer: args.buffer,
            snaplen,
            directions: args.direction.bits(),
            filter,
        },
        max_interfaces: args.max_interfaces,
        count: args.count,
        mechanism: args.attach.mechanism,
        may_expedite: !args.attach.no_expedite,
    };
    let plan = Plan {
        follows: !args.no_follow,
        duration: args.duration,
        full_check: args.attach.full_check,
        is_quiet: args.quiet,
        prints: args.write.is_none() || args.print,
    };
    let loaded = Loaded::load(config, &host.topology)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| EngineError::Start(error.to_string()))?;
    // Before signals are handled: a named pipe waits for its reader, and can be given up until then.
    let outputs = output::outputs(args, is_several)?;
    let ended = runtime.block_on(async {
        let signals = CaptureSignals::handle()?;
        capture::run(plan, host, loaded, outputs, signals).await
    })?;
    judge(args, &ended)
}

/// Says what became of the packets, and what that means for the exit code.
fn judge(args: &CaptureArgs, ended: &Ended) -> Result<(), Failure> {
    let Some(report) = &ended.report else {
        return Err(Failure::Output {
            message: "the reader of the output does not read: what it has not taken is not known"
                .to_owned(),
            hint: None,
        });
    };
    // Nothing is left to tell it to if stderr is gone.
    drop(io::stderr().write_all(report.to_string().as_bytes()));
    match &ended.error {
        Some(error) if error.is_enough() => {}
        Some(OutputError::Save(error)) => return Err(output::of_save(error)),
        Some(error) => {
            return Err(Failure::Output {
                message: error_chain(error),
                hint: None,
            });
        }
        None => {}
    }
    let total = report.total();
    if report.unaccounted() + report.unreadable > 0 {
        return Err(Failure::Failed {
            message: format!(
                "{} packets unaccounted for and {} unreadable records: nstrace is broken",
                report.unaccounted(),
                report.unreadable
            ),
            hint: None,
        });
    }
    let dropped = total.lost_ring + total.lost_disk;
    if args.fail_on_drop && dropped > 0 {
        return Err(Failure::Dropped(format!(
            "{dropped} of {} packets that matched were dropped",
            total.matched
        )));
    }
    if ended.is_gone {
        return Err(Failure::Gone(format!(
            "everything that was captured is gone, after {:.1} s",
            report.took.max(Duration::ZERO).as_secs_f64()
        )));
    }
    Ok(())
}
