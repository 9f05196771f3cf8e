//! `capture.*`: what a capture costs, where it takes packets and where it writes them.
//!
//! [`reject`] is about packets that do not match, [`producer`] about what the packets that match cost
//! on their way, [`beside`] about the whole of `nstrace capture` beside tcpdump.

mod beside;
mod producer;
mod reject;
mod stream;
mod tool;

use crate::{Bench, path::silent_pod, rounds::pin, support::lab::Lab};

/// What tcpdump is given with `-B 65536`, and nstrace with `--buffer 64m`: for all CPUs together.
const BUFFER: u64 = 64 << 20;

pub(crate) fn run(bench: &Bench) {
    pin();
    let lab = Lab::new();
    let pod = silent_pod(&lab);
    let ifindex = lab.ifindex(&pod.veth);
    if bench.wants_any("capture.reject") {
        reject::run(bench);
        lab.on_host(|| reject::in_path(bench, ifindex));
    }
    if bench.wants_any("capture.producer") {
        lab.on_host(|| producer::run(bench, ifindex));
    }
    beside::run(bench, &lab, &pod, ifindex);
}
