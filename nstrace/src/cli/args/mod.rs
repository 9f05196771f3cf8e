//! Exactly what can be typed.

mod capture;
mod select;

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{Args as ClapArgs, Parser, Subcommand};
use clap_complete::ArgValueCompleter;

pub use capture::{CaptureArgs, Directions, PacketFormat};
pub use select::{DEFAULT, NameArgs, SelectArgs};

use super::{complete, complete::Shell};
use crate::{
    kernel::{capacity::Request, object::RING_BYTES},
    sink::{flows, ls, show, top},
    state::{FLOW_LIMIT, Mechanism, SortKey},
    sys::rcu,
    topology::target::Target,
    tui::Color,
    units::Units,
};

/// Live traffic per network namespace, counted by eBPF at the host's end of each veth pair.
///
/// A TARGET is a name as `nstrace ls` shows it (of a Kubernetes pod: NAMESPACE/POD), the name of a pod
/// or container, the start of a container's id, pod/NAME, ctr/NAME, docker:NAME (or podman:,
/// containerd:, cri-o:, lxc:, systemd-nspawn:), ip:ADDRESS, netns:NAME-or-PATH, inode:N, pid:N, or
/// if:HOSTVETH. Names may be patterns with *, ? and [..], for all that match.
///
/// Exit codes: 0 ok; 1 failed, or nothing matches; 2 usage; 3 a privilege or a feature of the
/// kernel is missing; 4 what was captured is gone; 5 output error; 6 packets were dropped, with
/// --fail-on-drop.
#[derive(Debug, Parser)]
#[command(name = "nstrace", version, max_term_width = 100)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// What every subcommand knows.
    #[command(flatten)]
    pub global: GlobalArgs,
}

impl Args {
    /// Whether the screen is about to be taken.
    #[must_use]
    pub fn is_interactive(&self) -> bool {
        matches!(&self.command, Command::Top(top) if !top.batch)
    }
}

/// Options of every subcommand.
#[derive(Debug, ClapArgs)]
pub struct GlobalArgs {
    /// Where names come from.
    #[command(flatten)]
    pub names: NameArgs,

    /// Append log lines to this file (their level is set by the variable `NSTRACE_LOG`: error, warn, info, debug).
    #[arg(long, value_name = "FILE", global = true)]
    pub log_file: Option<PathBuf>,
}

/// A subcommand.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List network namespaces, their interfaces, and the host's end of each.
    Ls(LsArgs),
    /// Show live traffic of each namespace.
    Top(TopArgs),
    /// Print what happens to flows: those that are new, that had packets, that have ended.
    Flows(FlowsArgs),
    /// Capture packets, filtered in the kernel: to a file for Wireshark, or as text.
    Capture(Box<CaptureArgs>),
    /// Show everything about one namespace.
    Show(ShowArgs),
    /// Run a command of the host in a namespace's network.
    Exec(ExecArgs),
    /// Print what a shell is to run to complete subcommands, options and TARGETs.
    Completion {
        /// For which shell.
        shell: Shell,
    },
    /// Not for use by hand: keeps grace periods expedited until standard input ends.
    #[command(name = rcu::GUARD, hide = true)]
    RcuGuard,
}

/// `nstrace ls`.
#[derive(Debug, ClapArgs)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own"
)]
#[command(args_override_self = true)]
pub struct LsArgs {
    /// Namespaces to list; all if none is given.
    #[arg(value_name = "TARGET", add = ArgValueCompleter::new(complete::targets))]
    pub targets: Vec<Target>,

    /// Which of them.
    #[command(flatten)]
    pub select: SelectArgs,

    /// Output format.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: ls::Format,

    /// More columns, and all interfaces: as -o wide.
    #[arg(short, long, conflicts_with_all = ["output", "tree"])]
    pub wide: bool,

    /// As a tree: bridge or router, host veth, namespace, containers.
    #[arg(long, conflicts_with = "output")]
    pub tree: bool,

    /// Go on, and print what changes, as it changes; with -o json, a line for each.
    #[arg(long)]
    pub watch: bool,

    /// Leave out the line of column names.
    #[arg(long)]
    pub no_headers: bool,

    /// Look at the whole host no more often than this, rather than every three seconds.
    #[arg(long, value_name = "SECS", default_value = "3", hide = true, value_parser = parse_delay)]
    pub full_check: Duration,
}

impl LsArgs {
    /// How to print.
    #[must_use]
    pub const fn format(&self) -> ls::Format {
        if self.wide {
            ls::Format::Wide
        } else {
            self.output
        }
    }
}

/// `nstrace top`.
#[derive(Debug, ClapArgs)]
#[command(args_override_self = true)]
pub struct TopArgs {
    /// Namespaces to watch, also when they go and come again; all if none is given.
    #[arg(value_name = "TARGET", add = ArgValueCompleter::new(complete::targets))]
    pub targets: Vec<Target>,

    /// Which of them.
    #[command(flatten)]
    pub select: SelectArgs,

    /// Print refreshes instead of taking the screen.
    #[arg(short, long)]
    pub batch: bool,

    /// Seconds between refreshes.
    #[arg(short, long, value_name = "SECS", default_value = "1", value_parser = parse_delay)]
    pub delay: Duration,

    /// End after this many refreshes.
    #[arg(short, long, value_name = "COUNT", requires = "batch", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,

    /// Output format of --batch.
    #[arg(short, long, value_enum, default_value_t, requires = "batch")]
    pub output: top::Format,

    /// Sort by this column, largest first.
    #[arg(short, long, value_enum, value_name = "KEY", default_value_t)]
    pub sort: SortKey,

    /// Show only rows whose name, interface, address or peer contains this text.
    #[arg(long, value_name = "TEXT")]
    pub filter: Option<String>,

    /// Unit of rates and totals on the screen and in tables.
    #[arg(long, value_enum, default_value_t)]
    pub units: Units,

    /// When to use colours; `NO_COLOR` is honoured too.
    #[arg(long, value_enum, value_name = "WHEN", default_value_t)]
    pub color: Color,

    /// With --batch and JSON: the top N flows of each row, and all others as a sum.
    #[arg(long, value_name = "N", requires = "batch")]
    pub flows: Option<usize>,

    /// How large things are made.
    #[command(flatten)]
    pub sizes: SizeArgs,

    /// How to attach.
    #[command(flatten)]
    pub attach: AttachArgs,
}

/// `nstrace flows`.
#[derive(Debug, ClapArgs)]
#[command(args_override_self = true)]
pub struct FlowsArgs {
    /// Namespaces to watch, also when they go and come again; all if none is given.
    #[arg(value_name = "TARGET", add = ArgValueCompleter::new(complete::targets))]
    pub targets: Vec<Target>,

    /// Which of them.
    #[command(flatten)]
    pub select: SelectArgs,

    /// Output format.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: flows::Format,

    /// Seconds between looks: a flow has at most one update in each.
    #[arg(short, long, value_name = "SECS", default_value = "1", value_parser = parse_delay)]
    pub delay: Duration,

    /// End after this many looks.
    #[arg(short, long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,

    /// Look once, after SECS, and end: the flows that had packets meanwhile.
    #[arg(long, conflicts_with = "count")]
    pub once: bool,

    /// Unit of rates in tables.
    #[arg(long, value_enum, default_value_t)]
    pub units: Units,

    /// How large things are made.
    #[command(flatten)]
    pub sizes: SizeArgs,

    /// How to attach.
    #[command(flatten)]
    pub attach: AttachArgs,
}

/// `nstrace show`.
#[derive(Debug, ClapArgs)]
#[command(args_override_self = true)]
pub struct ShowArgs {
    /// Which namespace.
    #[arg(value_name = "TARGET", add = ArgValueCompleter::new(complete::targets))]
    pub target: Target,

    /// Which of them.
    #[command(flatten)]
    pub select: SelectArgs,

    /// Output format.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: show::Format,
}

/// `nstrace exec`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
As with `nsenter -t PID -n`, only the network is the namespace's. Files in /etc/netns/NAME, where NAME is \
what `ip netns` calls the namespace, stand in /etc for the command, as with `ip netns exec`.

The exit code is the command's: 126 if it cannot be run, 127 if it is not there, 128 and the signal's \
number if one has ended it; with --all-of, that of the first that failed.

Examples:
  nstrace exec shop/web-1 -- ss -tlnp
  nstrace exec --all-of 'shop/*' -- ip -br addr")]
pub struct ExecArgs {
    /// Where to run it: one namespace.
    #[arg(
        value_name = "TARGET",
        conflicts_with = "all_of",
        add = ArgValueCompleter::new(complete::targets)
    )]
    pub target: Option<Target>,

    /// Which of them.
    #[command(flatten)]
    pub select: SelectArgs,

    /// Run it in each namespace that this means, one after the other, without input, and put the
    /// namespace's name before each line.
    #[arg(long, value_name = "GLOB")]
    pub all_of: Vec<Target>,

    /// The command and its arguments.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// How large maps and tables are made. What is not given depends on CPUs and memory; `top` says in
/// its help what it came to, and every subcommand in its log.
#[derive(Debug, ClapArgs)]
pub struct SizeArgs {
    /// Watch at most this many interfaces at a time; by default what the host has, and room for
    /// as many more.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub max_interfaces: Option<u32>,

    /// IPv4 flows that each CPU counts at a time, of 64 bytes; 0 counts no flows at all. What does
    /// not fit is handed over early, and nothing is lost by it.
    #[arg(long, value_name = "N")]
    pub ipv4_flows: Option<u32>,

    /// The same for IPv6, of 128 bytes.
    #[arg(long, value_name = "N")]
    pub ipv6_flows: Option<u32>,

    /// Flows that can be on their way from each CPU to nstrace, of 96 bytes. Packets that find no
    /// room are counted as "other" of their namespace.
    #[arg(long, value_name = "N")]
    pub spills: Option<u32>,

    /// Flows that are remembered of each interface; the least of those beyond become a sum.
    #[arg(long, value_name = "N", default_value_t = FLOW_LIMIT)]
    pub flow_limit: usize,

    /// Size of the samples' ring, in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = RING_BYTES)]
    pub ring_bytes: u32,
}

impl SizeArgs {
    /// What is asked of the loader, but for the slots, which depend on the host.
    #[must_use]
    pub const fn request(&self) -> Request {
        Request {
            slots: 0,
            ring_bytes: self.ring_bytes,
            flows4: self.ipv4_flows,
            flows6: self.ipv6_flows,
            spills: self.spills,
        }
    }
}

/// Options of every subcommand that attaches.
#[derive(Debug, ClapArgs)]
pub struct AttachArgs {
    /// Leave `/sys/kernel/rcu_expedited` alone, which otherwise is raised while many interfaces are
    /// attached or detached at once: without it, each takes 20 ms.
    #[arg(long)]
    pub no_expedite: bool,

    /// Look at the whole host no more often than this, rather than every three seconds.
    #[arg(long, value_name = "SECS", default_value = "3", hide = true, value_parser = parse_delay)]
    pub full_check: Duration,

    /// Attach this way only, rather than by TCX where the kernel has it and by clsact where not.
    #[arg(long, value_enum, hide = true)]
    pub mechanism: Option<Mechanism>,
}

/// A tenth of a second to an hour.
fn parse_delay(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_error| "not a number of seconds".to_owned())?;
    if (0.1..=3600.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("must be between 0.1 and 3600 seconds".to_owned())
    }
}
