//! `read.*`: what a refresh reads, in milliseconds of CPU time.
//!
//! - `ns_1000`: the counters of 1,000 interfaces, each summed over all CPUs and classes, as `top`
//!   does it for each row.
//! - `flows_64k`: all flows, of which 65,536 were counted, where nothing is new since the last time;
//! - `flows_64k_new`: the same where all of them are new, so that each gets into a table.

use std::hint::black_box;

use crate::{
    Bench,
    count::count_flows,
    report::Measured,
    rounds::{Series, pin, thread_cpu, to_f64},
    target::{Flows, Target},
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
    let names = ["read.flows_64k", "read.flows_64k_new"];
    if names.iter().any(|name| bench.wants(name)) {
        let target = Target::on_loopback(Flows::On);
        count_flows(&target, FLOWS);
        let mut state = target.state();
        let found = to_f64(target.read_flows(&mut state));
        bench.note(&format!("read.flows_64k: {found} flows are in the cache"));
        assert!(found > f64::from(FLOWS) / 2.0);
        if bench.wants(names[0]) {
            time(bench, names[0], || {
                black_box(target.read_flows(&mut state));
            });
        }
        if bench.wants(names[1]) {
            time(bench, names[1], || {
                black_box(target.read_flows(&mut target.state()));
            });
        }
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
