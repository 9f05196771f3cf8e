//! Every result there is: its unit, and what it shall be.

use serde::Serialize;

/// What a value shall not pass.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Bound {
    /// At most.
    Max(f64),
    /// At least.
    Min(f64),
}

impl Bound {
    pub(crate) fn holds(self, value: f64) -> bool {
        match self {
            Self::Max(bound) => value <= bound,
            Self::Min(bound) => value >= bound,
        }
    }
}

/// One result.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) goal: Option<Bound>,
    pub(crate) stretch: Option<Bound>,
}

const fn at_most(name: &'static str, unit: &'static str, goal: f64, stretch: f64) -> Row {
    Row {
        name,
        unit,
        goal: Some(Bound::Max(goal)),
        stretch: Some(Bound::Max(stretch)),
    }
}

const fn at_least(name: &'static str, unit: &'static str, goal: f64, stretch: f64) -> Row {
    Row {
        name,
        unit,
        goal: Some(Bound::Min(goal)),
        stretch: Some(Bound::Min(stretch)),
    }
}

/// A goal without a better one. For `insns.*` it is a ceiling: passing it is a failure.
const fn ceiling(name: &'static str, unit: &'static str, goal: f64) -> Row {
    Row {
        name,
        unit,
        goal: Some(Bound::Max(goal)),
        stretch: None,
    }
}

/// The same of what shall not be less.
const fn floor(name: &'static str, unit: &'static str, goal: f64) -> Row {
    Row {
        name,
        unit,
        goal: Some(Bound::Min(goal)),
        stretch: None,
    }
}

const fn just(name: &'static str, unit: &'static str) -> Row {
    Row {
        name,
        unit,
        goal: None,
        stretch: None,
    }
}

/// In the order in which they are measured. Goals are for a quiet machine of two cores.
pub(crate) const GOALS: &[Row] = &[
    // What the programs are made of: see `insns` for how these ceilings are set.
    ceiling("insns.ingress.xlated", "insns", 4000.0),
    ceiling("insns.ingress.verified", "insns", 13_000.0),
    just("insns.ingress.jited", "bytes"),
    ceiling("insns.egress.xlated", "insns", 4000.0),
    ceiling("insns.egress.verified", "insns", 13_000.0),
    just("insns.egress.jited", "bytes"),
    // With the filter `tcp port 443`.
    ceiling("insns.capture_ingress.xlated", "insns", 1500.0),
    ceiling("insns.capture_ingress.verified", "insns", 3000.0),
    just("insns.capture_ingress.jited", "bytes"),
    ceiling("insns.capture_egress.xlated", "insns", 1500.0),
    ceiling("insns.capture_egress.verified", "insns", 3000.0),
    just("insns.capture_egress.jited", "bytes"),
    // Over an empty program.
    at_most("count.ns_only", "ns", 4.0, 2.5),
    at_most("count.flow_1", "ns", 12.0, 9.0),
    at_most("count.flow_4k", "ns", 22.0, 16.0),
    at_most("count.flow_64k", "ns", 90.0, 60.0),
    at_most("count.flow6_1", "ns", 16.0, 12.0),
    just("count.mixed", "ns"),
    just("count.hash_1", "ns"),
    just("count.hash_4k", "ns"),
    just("count.hash_64k", "ns"),
    ceiling("count.noise", "ratio", 1.15),
    // A packet's way up from a veth.
    just("path.none", "ns"),
    just("path.tcx_empty", "ns"),
    just("path.nstrace", "ns"),
    just("path.af_packet", "ns"),
    at_most("path.over_af_packet", "ratio", 0.75, 0.60),
    at_least("path.rate_over_empty", "ratio", 0.90, 0.93),
    ceiling("path.noise", "ratio", 1.15),
    // A capture: what does not match, what matches, and the whole of it beside tcpdump.
    at_most("capture.reject.tcp_443", "ns", 4.0, 2.0),
    at_most("capture.reject.tcp_443_udp", "ns", 4.0, 2.0),
    just("capture.reject.udp_53", "ns"),
    just("capture.reject.host", "ns"),
    just("capture.reject.or_20", "ns"),
    just("capture.reject.ld_abs", "ns"),
    ceiling("capture.reject.noise", "ratio", 1.15),
    at_most("capture.reject.path_filter", "ns", 4.0, 2.0),
    just("capture.reject.path", "ns"),
    just("capture.reject.path_empty", "ns"),
    at_most("capture.producer_60", "ratio", 0.60, 0.45),
    just("capture.producer_60.nstrace", "ns"),
    just("capture.producer_60.af_packet", "ns"),
    at_most("capture.producer_1514", "ratio", 1.0, 0.9),
    at_most("capture.producer_1514_snap96", "ratio", 0.30, 0.20),
    just("capture.producer_1514.nstrace", "ns"),
    just("capture.producer_1514.snap96", "ns"),
    just("capture.producer_1514.af_packet", "ns"),
    ceiling("capture.producer_noise", "ratio", 1.15),
    at_most("capture.cpu_60", "ratio", 0.5, 0.25),
    just("capture.cpu_60.nstrace", "ns"),
    just("capture.cpu_60.tcpdump", "ns"),
    at_most("capture.cpu_1500", "ratio", 0.6, 0.4),
    just("capture.cpu_1500.nstrace", "ns"),
    just("capture.cpu_1500.tcpdump", "ns"),
    at_most("capture.wakeups", "1/s", 1100.0, 250.0),
    ceiling("capture.lost_3mpps", "packets", 0.0),
    floor("capture.lost_3mpps.rate", "Mpps", 2.9),
    floor("capture.max_rate", "ratio", 1.25),
    just("capture.max_rate.nstrace", "Mpps"),
    just("capture.max_rate.tcpdump", "Mpps"),
    // With 1,000 namespaces.
    at_most("read.ns_1000", "ms", 1.0, 0.3),
    at_most("read.flows_64k", "ms", 5.0, 2.0),
    just("read.flows_64k_new", "ms"),
    at_most("discover.1000", "ms", 60.0, 20.0),
    just("discover.links", "ms"),
    just("discover.proc", "ms"),
    at_most("attach.cold_1000", "s", 0.5, 0.15),
    ceiling("attach.rtnl_p99", "ms", 1.0),
    ceiling("attach.single_p99", "ms", 50.0),
    at_most("rss.1000", "MiB", 16.0, 8.0),
    at_most("cpu_idle.1000", "%", 0.5, 0.2),
    just("cpu_idle.screen", "%"),
    at_most("wakeups.idle", "1/s", 1100.0, 250.0),
    at_most("wakeups.load", "1/s", 1100.0, 250.0),
    // Beside the capture tool.
    just("iperf.none", "Gbit/s"),
    just("iperf.nstrace", "ratio"),
    just("iperf.tcpdump", "ratio"),
];

/// The row of a result.
pub(crate) fn of(name: &str) -> &'static Row {
    GOALS
        .iter()
        .find(|goal| goal.name == name)
        .unwrap_or_else(|| panic!("{name} is in no table"))
}
