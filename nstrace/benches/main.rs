//! What nstrace costs, measured beside what it is compared with. Needs root: `cargo xtask bench`.
//!
//! A group of results is a module, [`goals`] has them all with what they shall be, [`rounds`] says
//! how is timed, and [`target`] is the only module that knows how nstrace is loaded.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that prints, and panics where something cannot be measured"
)]

mod capture;
mod count;
mod goals;
mod insns;
mod iperf;
mod many;
mod path;
mod raw;
mod read;
mod report;
mod rounds;
#[path = "../../tests/support/mod.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod support;
mod target;

use std::{process::ExitCode, sync::Mutex, thread};

use clap::Parser;

use goals::GOALS;
use report::{Measured, Report};

/// Measure what nstrace costs, on this machine. Timings that miss their goal are marked; only a
/// program that has grown above its ceiling, and what could not be measured, are failures.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench")]
struct Args {
    /// Results, or groups of them, to measure: count, path.nstrace, ..; all if none is given
    names: Vec<String>,

    /// Also write the results to this file
    #[arg(long, value_name = "FILE")]
    json: Option<String>,

    /// Fewer rounds: a minute rather than ten
    #[arg(long)]
    quick: bool,

    /// Look at the host once: what this program starts itself, inside a lab
    #[arg(long, hide = true)]
    look: bool,
}

/// What every group gets.
struct Bench {
    args: Args,
    report: Mutex<Report>,
}

impl Bench {
    /// Whether a result is asked for.
    fn wants(&self, name: &str) -> bool {
        let is_in = |group: &String| name.strip_prefix(group.as_str()).is_some_and(starts_anew);
        self.args.names.is_empty() || self.args.names.iter().any(is_in)
    }

    /// Whether a result whose name begins so is asked for.
    fn wants_any(&self, group: &str) -> bool {
        let mut names = GOALS.iter().map(|goal| goal.name);
        names.any(|name| name.starts_with(group) && self.wants(name))
    }

    /// Prints and keeps a result, if it is asked for.
    fn report(&self, value: Measured) {
        if self.wants(value.name()) {
            self.report.lock().unwrap().add(value);
        }
    }

    /// Says what is to be known about the results before.
    #[expect(clippy::unused_self, reason = "said where results are")]
    fn note(&self, text: &str) {
        println!("  note: {text}");
    }

    /// A number of rounds, or of whatever makes it take longer.
    fn pick<T>(&self, full: T, quick: T) -> T {
        if self.args.quick { quick } else { full }
    }
}

fn starts_anew(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with('.')
}

/// Modules, and the beginnings of the names of their results.
type Group = (&'static [&'static str], fn(&Bench));

const GROUPS: &[Group] = &[
    (&["insns."], insns::run),
    (&["count."], count::run),
    (&["path."], path::run),
    (&["capture."], capture::run),
    (&["read."], read::run),
    (
        &["discover.", "attach.", "rss.", "cpu_idle.", "wakeups."],
        many::run,
    ),
    (&["iperf."], iperf::run),
];

fn main() -> ExitCode {
    let args = Args::parse();
    if args.look {
        many::look_inside();
        return ExitCode::SUCCESS;
    }
    if let Err(why) = can_measure(&args) {
        eprintln!("bench: {why}");
        return ExitCode::from(2);
    }
    let bench = Bench {
        report: Mutex::new(Report::new(args.quick)),
        args,
    };
    let mut failed = 0;
    for (names, run) in GROUPS {
        if names.iter().any(|group| bench.wants_any(group)) {
            failed += usize::from(!measure(&bench, *run));
        }
    }
    let report = bench.report.into_inner().unwrap();
    report.summarize();
    if let Some(path) = &bench.args.json {
        report.write(path);
    }
    let above = report.above_ceiling();
    if !above.is_empty() {
        eprintln!(
            "bench: above the ceiling (nstrace/benches/goals.rs): {}",
            above.join(" ")
        );
    }
    if failed > 0 {
        eprintln!("bench: groups that could not be measured: {failed}");
    }
    ExitCode::from(u8::from(failed > 0 || !above.is_empty()))
}

/// Runs a group on a thread of its own, which it may pin. Whether it came to its end.
fn measure(bench: &Bench, run: fn(&Bench)) -> bool {
    // What panics has said why.
    thread::scope(|scope| scope.spawn(|| run(bench)).join().is_ok())
}

fn can_measure(args: &Args) -> Result<(), String> {
    let is_known = |name: &String| {
        let is_in = |goal: &goals::Row| {
            goal.name
                .strip_prefix(name.as_str())
                .is_some_and(starts_anew)
        };
        GOALS.iter().any(is_in)
    };
    if let Some(name) = args.names.iter().find(|name| !is_known(name)) {
        let names: Vec<_> = GOALS.iter().map(|goal| goal.name).collect();
        return Err(format!("no result is called {name}: {}", names.join(" ")));
    }
    if !nix::unistd::geteuid().is_root() {
        return Err("it needs root: cargo xtask bench".to_owned());
    }
    if report::setting("kernel/bpf_stats_enabled") != "0" {
        return Err(
            "kernel.bpf_stats_enabled makes every program dearer: sysctl -w \
             kernel.bpf_stats_enabled=0"
                .to_owned(),
        );
    }
    Ok(())
}
