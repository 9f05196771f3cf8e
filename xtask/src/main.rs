//! The chores of this repository. `cargo xtask --help` lists them.
//!
//! Each subcommand has its own module. Commands are started through [`cmd`], so that
//! whatever fails is named in full. What xtask says about itself goes to stderr; stdout
//! belongs to the result, so that `cargo xtask run -- ls | less` works.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool without a logger"
)]
#![forbid(unsafe_code)]

mod bench;
mod cargo;
mod check;
mod cmd;
mod demo;
mod ebpf;
mod lab;
mod run;
mod setup;
mod test;
mod tidy;
mod traffic;
mod vm;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Chores of the nstrace repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Install what building and running need, saying what and why
    Setup {
        /// Also install what the netns tests need
        #[arg(long)]
        tests: bool,
        /// Also install what the measurements compare with
        #[arg(long)]
        bench: bool,
    },
    /// Build the eBPF object and print its path and size
    Ebpf,
    /// Run what CI checks: fmt, clippy, doc, tidy
    Check,
    /// Run the tests: both suites after `setup --tests`, or the one named
    Test {
        /// The suite to run; both when left out
        suite: Option<test::Suite>,
        /// Arguments for the test binaries
        #[arg(last = true)]
        args: Vec<String>,
    },
    /// Measure what nstrace costs, as root through sudo, and print it
    Bench(bench::Args),
    /// Run the netns tests on other kernels, Debian's, in guests: 5.10, 6.1, 6.12, newest
    Vm {
        /// The kernels; all four when left out
        #[arg(value_name = "KERNEL", value_parser = vm::named)]
        kernels: Vec<&'static vm::Kernel>,
        /// Names or modules of tests, instead of the usual ones
        #[arg(last = true)]
        tests: Vec<String>,
    },
    /// Build nstrace for release and run it, as root through sudo
    Run {
        /// Arguments for nstrace
        #[arg(last = true)]
        args: Vec<String>,
    },
    /// Run `nstrace top` on a lab of three netns with traffic, removed at the end
    Demo {
        /// Further arguments for `nstrace top`
        #[arg(last = true)]
        args: Vec<String>,
    },
    /// Start the process that holds the demo's lab until stdin ends
    #[command(hide = true)]
    DemoLab {
        /// Hold it in this process
        #[arg(long)]
        hold: bool,
    },
    /// Send and receive the demo's traffic of one netns until stdin ends
    #[command(hide = true)]
    Traffic {
        /// Whose flows to run
        netns: lab::Member,
    },
}

fn main() -> ExitCode {
    dispatch(Cli::parse().chore).unwrap_or_else(|err| {
        eprintln!("xtask: {err:#}");
        ExitCode::FAILURE
    })
}

fn dispatch(chore: Chore) -> Result<ExitCode> {
    match chore {
        Chore::Setup { tests, bench } => setup(tests, bench)?,
        Chore::Ebpf => ebpf::build()?,
        Chore::Check => check::all()?,
        Chore::Test { suite, args } => test::run(suite, &args)?,
        Chore::Bench(args) => return bench::run(&args),
        Chore::Vm { kernels, tests } => vm::run(&kernels, &tests)?,
        Chore::Run { args } => match run::run(&args)? {},
        Chore::Demo { args } => return demo::run(&args),
        Chore::DemoLab { hold: false } => return lab::start_holder(),
        Chore::DemoLab { hold: true } => lab::hold()?,
        Chore::Traffic { netns } => traffic::run(netns)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn setup(tests: bool, bench: bool) -> Result<()> {
    use setup::{Outcome, Purpose, install};

    let asked = [
        (true, Purpose::Build),
        (tests, Purpose::Tests),
        (bench, Purpose::Bench),
    ];
    let mut outcome = Outcome::AllThere;
    for (_, purpose) in asked.into_iter().filter(|(is_asked, _)| *is_asked) {
        outcome = outcome.and(install(purpose)?);
    }
    if outcome == Outcome::AllThere {
        eprintln!("setup: all there");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Cli;

    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
