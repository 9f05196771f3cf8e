//! The command line: subcommands, exit codes, and what a failure looks like.

pub mod args;
mod capture;
mod complete;
mod config;
mod exec;
mod failure;
mod flows;
mod ls;
mod show;
mod top;
mod watch;

use std::{fs::File, io, process::ExitCode};

use clap::Parser as _;
use tracing_subscriber::EnvFilter;

pub use complete::Shell;
pub use failure::Failure;

use crate::sys::{self, rcu};
use args::{Args, Command};

/// Parses the command line, does what it says, and reports how that went.
#[must_use]
pub fn run() -> ExitCode {
    sys::keep_heap_small();
    complete::answer();
    // clap itself prints usage errors, and ends with 2.
    let args = Args::parse();
    if matches!(args.command, Command::RcuGuard) {
        return rcu::guard().map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    match start_log(&args).and_then(|()| dispatch(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print(&mut io::stderr());
            failure.exit_code()
        }
    }
}

fn dispatch(args: Args) -> Result<(), Failure> {
    match args.command {
        Command::Ls(ls) => ls::run(&args.global, &ls),
        Command::Top(top) => top::run(&args.global, &top),
        Command::Flows(flows) => flows::run(&args.global, &flows),
        Command::Capture(capture) => capture::run(&args.global, &capture),
        Command::Completion { shell } => complete::print(shell),
        Command::Show(show) => show::run(&args.global, &show),
        Command::Exec(exec) => exec::run(&args.global, &exec),
        Command::RcuGuard => Ok(()),
    }
}

/// Logs go to a file where one is named, else to stderr; never over the interactive screen.
fn start_log(args: &Args) -> Result<(), Failure> {
    let filter = EnvFilter::builder()
        .with_default_directive(tracing::Level::WARN.into())
        .with_env_var("NSTRACE_LOG")
        .from_env_lossy();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false);
    match &args.global.log_file {
        Some(path) => {
            let file = File::options()
                .create(true)
                .append(true)
                .open(path)
                .map_err(|source| {
                    Failure::output(format!("open the log file {}: {source}", path.display()))
                })?;
            log.with_ansi(false).with_writer(file).init();
        }
        None if args.is_interactive() => {}
        None => log.with_writer(io::stderr).init(),
    }
    Ok(())
}
