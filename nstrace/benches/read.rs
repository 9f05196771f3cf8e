//! `read.*`: what a refresh reads, in milliseconds of CPU time.
//!
//! - `ns_1000`: the counters of 1,000 interfaces, each summed over all CPUs and classes, as `top`
//!   does it for each row.
//! - `flows_64k`: all flows, of which 65,536 were counted.

use std::hint::black_box;

use crate::{
    Bench,
    count::count_flows,
    report::Measured,
    rounds::{Series, pin, thread_cpu, to_f64},
    target::{COUNTS_FLOWS, Flows, Target},
};

const ROUNDS: usize = 101;
const QUICK_ROUNDS: usize = 31;
const INTERFACES: u32 = 1000;
const FLOWS: u32 = 65_536;

pub(crate) fn run(bench: &Bench) {
    pin();
    if bench.wants("read.ns_1000") {
        let target = Target::load(Flows::Off, INTERFACES);
        time(bench, "read.ns_1000", || {
            for slot in 0..INTERFACES {
                black_box(target.totals(slot));
            }
        });
    }
    if bench.wants("read.flows_64k") && COUNTS_FLOWS {
        let target = Target::on_loopback(Flows::On);
        count_flows(&target, FLOWS);
        let found = to_f64(target.read_flows());
        bench.note(&format!("read.flows_64k: {found} flows are in the cache"));
        assert!(found > f64::from(FLOWS) / 2.0);
        time(bench, "read.flows_64k", || {
            black_box(target.read_flows());
        });
    }
}

fn time(bench: &Bench, name: &'static str, mut read: impl FnMut()) {
    let mut series = Series::new();
    for _ in 0..bench.pick(ROUNDS, QUICK_ROUNDS) {
        let start = thread_cpu();
        read();
        series.push(thread_cpu().saturating_sub(start).as_secs_f64() * 1e3);
    }
    bench.report(Measured::new(name, series.min()).p25(series.p25()));
}
