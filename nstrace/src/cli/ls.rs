//! `nstrace ls`.

use std::io::{self, Write as _};

use super::{
    Failure,
    args::{GlobalArgs, LsArgs},
};
use crate::{
    sink::{self, ls::Format},
    topology::{discover::Discoverer, target},
    untrusted::Untrusted,
};

pub(super) fn run(global: &GlobalArgs, args: &LsArgs) -> Result<(), Failure> {
    let topology = Discoverer::open(&global.docker_root)?.topology()?;
    let netnses = target::select(&args.targets, &topology)?;
    let mut out = io::stdout().lock();
    let written = sink::ls::write(
        &mut out,
        args.output,
        !args.no_headers,
        &netnses,
        &topology.warnings,
    );
    match written {
        Err(error) if error.is_closed_pipe() => return Ok(()),
        written => written?,
    }
    // The documents carry them; beside a table they must not be taken for rows.
    if !matches!(args.output, Format::Json | Format::Yaml) {
        for warning in &topology.warnings {
            // Nothing is left to tell it to if stderr is gone.
            drop(writeln!(
                io::stderr(),
                "nstrace: warning: {}",
                Untrusted(warning)
            ));
        }
    }
    Ok(())
}
