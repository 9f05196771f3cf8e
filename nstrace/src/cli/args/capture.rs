//! What can be typed behind `nstrace capture`.

use std::{path::PathBuf, time::Duration};

use clap::{Args as ClapArgs, ValueEnum};
use clap_complete::ArgValueCompleter;
use nstrace_ebpf::wire::{Direction, MAX_SNAPLEN};

use super::{super::complete, AttachArgs, SelectArgs};
use crate::sink::savefile::{FileFormat, MinFree, parse_size};

/// `nstrace capture`.
///
/// Where the filter begins need not be said: TARGETs come first, and the first word that is one of
/// pcap-filter(7), or no word at all, begins the filter. What stands behind `--` is filter.
#[derive(Debug, ClapArgs)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own"
)]
#[command(args_override_self = true)]
#[command(after_help = "\
A capture ends with Ctrl-C and says what became of each packet: captured, or dropped by ring (nstrace \
was too slow) or by disk. SIGUSR1 has it said and goes on; SIGUSR2 has all written that waits.

Examples:
  nstrace capture web -w web.pcapng tcp port 443
  nstrace capture --all -c 100 'icmp or arp'
  nstrace capture web db -w - -U | wireshark -k -i -
  nstrace capture -r web.pcapng host 192.0.2.7")]
pub struct CaptureArgs {
    /// Namespaces to capture, also when they go and come again; then the filter, in the language of
    /// pcap-filter(7). What matches is decided in the kernel. `inbound` is into the namespace.
    #[arg(value_name = "TARGET|FILTER", add = ArgValueCompleter::new(complete::targets))]
    pub words: Vec<String>,

    /// The filter, where it could be taken for a TARGET or an option.
    #[arg(last = true, value_name = "FILTER")]
    pub filter: Vec<String>,

    /// Which of them.
    #[command(flatten)]
    pub select: SelectArgs,

    /// Capture every namespace.
    #[arg(long)]
    pub all: bool,

    /// Write packets to FILE, `-` for standard output; with -G a pattern of strftime(3).
    #[arg(short, long, value_name = "FILE")]
    pub write: Option<PathBuf>,

    /// Read packets from FILE, `-` for standard input, rather than from namespaces: pcapng or pcap.
    #[arg(short, long, value_name = "FILE", conflicts_with = "all")]
    pub read: Option<PathBuf>,

    /// End after COUNT packets.
    #[arg(short, long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,

    /// Capture SNAPLEN bytes of each packet at most; 0: all of it.
    #[arg(short, long, value_name = "SNAPLEN", default_value = "0", value_parser = clap::value_parser!(u32).range(..=i64::from(MAX_SNAPLEN)))]
    pub snaplen: u32,

    /// Capture only what comes into the namespaces, or goes out of them.
    #[arg(
        short = 'Q',
        long,
        value_name = "DIRECTION",
        value_enum,
        default_value_t
    )]
    pub direction: Directions,

    /// Go on with another file when one is larger than SIZE: millions of bytes, or with a suffix of
    /// k, m or g, units of 1024.
    #[arg(short = 'C', long, value_name = "SIZE", requires = "write", value_parser = parse_size)]
    pub rotate_size: Option<u64>,

    /// Go on with another file after so many seconds; FILE is a pattern of strftime(3).
    #[arg(short = 'G', long, value_name = "SECONDS", requires = "write", value_parser = clap::value_parser!(u64).range(1..))]
    pub rotate_seconds: Option<u64>,

    /// With -C, begin anew with the first file after COUNT; with -G, end after COUNT.
    #[arg(short = 'W', long, value_name = "COUNT", requires = "write", value_parser = clap::value_parser!(u64).range(1..))]
    pub rotate_count: Option<u64>,

    /// Write each packet when it comes, rather than when there is a mebibyte.
    #[arg(short = 'U', long)]
    pub packet_buffered: bool,

    /// Format of FILE.
    #[arg(long, value_enum, default_value_t)]
    pub format: FileFormat,

    /// Replace FILE if it is there.
    #[arg(long)]
    pub force: bool,

    /// End when the file system has less room than SIZE, or than such a share of the whole as 5%.
    #[arg(long, value_name = "SIZE", requires = "write")]
    pub min_free: Option<MinFree>,

    /// Print packets, even though they are written to a file.
    #[arg(long)]
    pub print: bool,

    /// Print packets as text, or as lines of JSON.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: PacketFormat,

    /// Print the link-layer header.
    #[arg(short = 'e', long)]
    pub link: bool,

    /// Print more of the headers; may be given up to three times.
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,

    /// Print less of the headers, and nothing on stderr but errors and the summary.
    #[arg(short, long)]
    pub quiet: bool,

    /// Print the bytes too, in hex and ASCII; twice: with the link-layer header.
    #[arg(short = 'X', long, action = clap::ArgAction::Count)]
    pub hex: u8,

    /// Print the bytes too, as ASCII: tcpdump's -A.
    #[arg(long)]
    pub ascii: bool,

    /// Print no time; -tt: seconds since 1970; -ttt: since the packet before; -tttt: with the date;
    /// -ttttt: since the first packet.
    #[arg(short, action = clap::ArgAction::Count)]
    pub time: u8,

    /// Print names of addresses and ports. Whoever answers for DNS learns what is looked at.
    #[arg(long)]
    pub resolve: bool,

    /// Print the filter as libpcap compiles it, and as the kernel gets it, and end.
    #[arg(short, long)]
    pub dump_filter: bool,

    /// Capture only what is there now.
    #[arg(long)]
    pub no_follow: bool,

    /// End after so many seconds.
    #[arg(long, value_name = "SECS", value_parser = super::parse_delay)]
    pub duration: Option<Duration>,

    /// Room for packets that wait to be written, shared by all CPUs: a number of bytes, or with a
    /// suffix of k, m or g.
    #[arg(long, value_name = "SIZE", default_value = "64m", value_parser = parse_buffer)]
    pub buffer: u64,

    /// End with exit code 6 if any packet that matched was dropped.
    #[arg(long)]
    pub fail_on_drop: bool,

    /// Capture at most this many interfaces at a time; by default what the host has, and room for
    /// as many more.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub max_interfaces: Option<u32>,

    /// How to attach.
    #[command(flatten)]
    pub attach: AttachArgs,
}

impl CaptureArgs {
    /// At most so many bytes of a packet.
    #[must_use]
    pub const fn snaplen(&self) -> u32 {
        if self.snaplen == 0 {
            MAX_SNAPLEN
        } else {
            self.snaplen
        }
    }
}

/// Which way packets go, seen from the namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Directions {
    /// Into it.
    In,
    /// Out of it.
    Out,
    /// Both.
    #[default]
    Inout,
}

impl Directions {
    /// A bit `1 << direction` for each.
    #[must_use]
    pub const fn bits(self) -> u32 {
        let (rx, tx) = (1 << Direction::Rx as u32, 1 << Direction::Tx as u32);
        match self {
            Self::In => rx,
            Self::Out => tx,
            Self::Inout => rx | tx,
        }
    }
}

/// How packets are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum PacketFormat {
    /// As tcpdump does.
    #[default]
    Text,
    /// An object a packet, `nstrace.packet/v1`.
    Json,
}

/// Bytes, or a number with a suffix.
fn parse_buffer(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(bytes) => Ok(bytes),
        Err(_) => parse_size(text),
    }
}
