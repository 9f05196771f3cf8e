//! `capture.reject.*`: what a filter adds to a packet that it does not let through.
//!
//! By `BPF_PROG_TEST_RUN`, in nanoseconds over an empty program, on one 60-byte IPv4 packet that has
//! to be looked at to the end:
//!
//! | result | filter | packet |
//! |---|---|---|
//! | `tcp_443` | `tcp port 443` | TCP, other ports |
//! | `tcp_443_udp` | the same | UDP |
//! | `udp_53` | `udp port 53` | UDP, other ports |
//! | `host` | `host 198.51.100.9` | between others |
//! | `or_20` | 20 times `port N`, in a chain of `or` | TCP, other ports |
//! | `ld_abs` | a yardstick: `tcp_443`, read by `LD_ABS` alone | TCP, other ports |
//!
//! And in a packet's way up from a veth (see `path`), 200,000 UDP packets a round, where packets are
//! counted already: `path` is what a capture adds that waits for `tcp port 443`, `path_empty` what an
//! empty program in its place adds, and `path_filter` the difference, which is the filter's.

use std::{
    cell::RefCell,
    os::fd::{AsFd as _, OwnedFd},
};

use crate::{
    Bench,
    count::{Family, Transport, empty, frame, test_run},
    path::Way,
    report::Measured,
    rounds::{Arm, interleaved},
    support::bpf::SkBuff,
    target::{CaptureTarget, Flows, Reads, Target, filter},
};

const ROUNDS: usize = 41;
const QUICK_ROUNDS: usize = 15;
const PACKETS: u32 = 200_000;
const LENGTH: usize = 60;
const SNAPLEN: u32 = 1 << 18;
/// Nothing gets into the rings here.
const NO_BUFFER: u64 = 1;

const CASES: [(&str, &str, Transport, Reads); 6] = [
    (
        "capture.reject.tcp_443",
        TCP_443,
        Transport::Tcp,
        Reads::Direct,
    ),
    (
        "capture.reject.tcp_443_udp",
        TCP_443,
        Transport::Udp,
        Reads::Direct,
    ),
    (
        "capture.reject.udp_53",
        "udp port 53",
        Transport::Udp,
        Reads::Direct,
    ),
    (
        "capture.reject.host",
        "host 198.51.100.9",
        Transport::Udp,
        Reads::Direct,
    ),
    ("capture.reject.or_20", "", Transport::Tcp, Reads::Direct),
    (
        "capture.reject.ld_abs",
        TCP_443,
        Transport::Tcp,
        Reads::LdAbs,
    ),
];
const TCP_443: &str = "tcp port 443";

pub(super) fn run(bench: &Bench) {
    let wanted: Vec<_> = CASES
        .into_iter()
        .filter(|(name, ..)| bench.wants(name))
        .collect();
    if wanted.is_empty() {
        return;
    }
    let targets: Vec<_> = wanted
        .iter()
        .map(|(_, expression, transport, reads)| {
            let chain = || {
                let terms: Vec<_> = (5001..=5020).map(|port| format!("port {port}")).collect();
                terms.join(" or ")
            };
            let expression = if expression.is_empty() {
                chain()
            } else {
                (*expression).to_owned()
            };
            let target = CaptureTarget::load(filter(&expression, *reads), SNAPLEN, NO_BUFFER);
            (target, frame(Family::V4, *transport, LENGTH))
        })
        .collect();
    let empty = empty();
    let context = SkBuff::single();
    let packet = frame(Family::V4, Transport::Tcp, LENGTH);
    let mut arms: Vec<Arm<'_>> = vec![Box::new(|| {
        test_run(empty.as_fd(), &packet, &context, PACKETS) / f64::from(PACKETS)
    })];
    arms.extend(targets.iter().map(|(target, packet)| {
        let context = &context;
        Box::new(move || test_run(target.ingress(), packet, context, PACKETS) / f64::from(PACKETS))
            as Arm<'_>
    }));
    let series = interleaved(bench.pick(ROUNDS, QUICK_ROUNDS), &mut arms);
    let [empty, measured @ ..] = &series[..] else {
        unreachable!("a series for each arm")
    };
    for ((name, ..), series) in wanted.iter().zip(measured) {
        bench.report(
            Measured::new(name, series.min() - empty.min())
                .p25(series.p25() - empty.p25())
                .baseline("empty", empty.min()),
        );
    }
    bench.report(Measured::new("capture.reject.noise", empty.noise()));
}

/// In the namespace of the device.
pub(super) fn in_path(bench: &Bench, ifindex: u32) {
    let names = [
        "capture.reject.path_filter",
        "capture.reject.path",
        "capture.reject.path_empty",
    ];
    if !names.iter().any(|name| bench.wants(name)) {
        return;
    }
    let way = Way::new(ifindex);
    let mut target = Target::load(Flows::On, 1);
    target.watch(ifindex, 0);
    let target = RefCell::new(target);
    let mut capture = CaptureTarget::load(filter(TCP_443, Reads::Direct), SNAPLEN, NO_BUFFER);
    capture.watch(ifindex);
    let nothing = empty();
    let counting = |second: Option<OwnedFd>| {
        let link = way.attach(target.borrow().ingress());
        let cost = way.run();
        drop((link, second));
        target.borrow_mut().drain();
        cost
    };
    let mut arms: [Arm<'_>; 3] = [
        Box::new(|| counting(None)),
        Box::new(|| counting(Some(way.attach(nothing.as_fd())))),
        Box::new(|| counting(Some(way.attach(capture.ingress())))),
    ];
    let series = interleaved(bench.pick(ROUNDS, QUICK_ROUNDS), &mut arms);
    let [counting, empty, rejecting] = &series[..] else {
        unreachable!("a series for each arm")
    };
    assert_eq!(capture.counts(), [0, 0], "nothing matches");
    for (name, more, less, which) in [
        (names[0], rejecting, empty, "empty"),
        (names[1], rejecting, counting, "counting"),
        (names[2], empty, counting, "counting"),
    ] {
        bench.report(
            Measured::new(name, more.min() - less.min())
                .p25(more.p25() - less.p25())
                .baseline(which, less.min()),
        );
    }
}
