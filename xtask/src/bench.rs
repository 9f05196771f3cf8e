//! The measurements: built for release, and started as root.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args as ClapArgs;

use crate::{cargo, cmd, setup, test};

/// How cargo is told to build them, with the nstrace that some of them start.
const BUILD: [&str; 6] = [
    "build",
    "--release",
    "--package",
    "nstrace",
    "--bench",
    "bench",
];

/// The same where nothing is timed: as the tests are built, and mostly built for them already.
const BUILD_UNTIMED: [&str; 5] = ["build", "--workspace", test::ASKING, "--bench", "bench"];

/// What can be asked for.
#[derive(ClapArgs)]
pub(crate) struct Args {
    /// Results or groups of them (count, path.nstrace, ..); all if none is given
    names: Vec<String>,
    /// Also write the results to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Fewer rounds: a minute rather than ten
    #[arg(long)]
    quick: bool,
}

/// Builds and runs them, and passes their exit code on.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    setup::install(args.purpose())?;
    let is_timed = args.names.is_empty() || args.names.iter().any(|name| name != "insns");
    let build: &[&str] = if is_timed { &BUILD } else { &BUILD_UNTIMED };
    let mut bench = cmd::as_root(cargo::build(build)?.executable("bench")?)?;
    if let Some(file) = &args.json {
        bench.arg("--json").arg(file);
    }
    bench
        .args(args.quick.then_some("--quick"))
        .args(&args.names);
    Ok(cmd::exit_code(cmd::status(&mut bench)?))
}

impl Args {
    /// Only these start programs that nothing else needs, or compile a filter: libpcap comes with tcpdump.
    fn purpose(&self) -> setup::Purpose {
        let names = &self.names;
        let starts = |name: &String| {
            ["iperf", "capture", "insns"]
                .iter()
                .any(|of| name.starts_with(of))
        };
        if names.is_empty() || names.iter().any(starts) {
            setup::Purpose::Bench
        } else {
            setup::Purpose::Build
        }
    }
}
