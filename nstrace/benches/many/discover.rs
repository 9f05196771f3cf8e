//! `discover.*`: one look at the host by a new process, in milliseconds of wall time, as the loader
//! of `nstrace ls` and `top` has it. `links` is the dump of the host's links alone, `proc` the look
//! at all processes alone.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use nstrace::{
    sys::{
        ask::Ask,
        netlink::RouteSocket,
        proc,
        runtime::{Names, Roots},
    },
    topology::discover::Discoverer,
};

use super::{COUNT, milliseconds};
use crate::{Bench, report::Measured, rounds::Series, support::lab::Lab};

const ROUNDS: usize = 15;
const QUICK_ROUNDS: usize = 5;
const NAMES: [&str; 3] = ["discover.1000", "discover.links", "discover.proc"];

pub(super) fn run(bench: &Bench, lab: &Lab) {
    let mut series = [const { Series::new() }; NAMES.len()];
    for _ in 0..bench.pick(ROUNDS, QUICK_ROUNDS) {
        let output = lab
            .command(std::env::current_exe().unwrap().to_str().unwrap())
            .arg("--look")
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(output.status.success(), "a look from inside the lab");
        let text = String::from_utf8(output.stdout).unwrap();
        let values = text.split_whitespace().map(|value| value.parse().unwrap());
        for (series, value) in series.iter_mut().zip(values) {
            series.push(value);
        }
    }
    for (name, series) in NAMES.into_iter().zip(&series) {
        bench.report(Measured::new(name, series.min()).p25(series.p25()));
    }
}

/// What a process in the lab does for a round: prints a number for each of [`NAMES`].
pub(crate) fn look_inside() {
    let (topology, whole) = timed(|| {
        let names = Names::start(&Roots::default(), &Ask::default(), None).unwrap();
        let mut discoverer = Discoverer::open(names).unwrap();
        discoverer.topology().unwrap()
    });
    assert_eq!(topology.watchable().count(), COUNT, "all are found");
    let (found, links) = timed(|| RouteSocket::open().unwrap().links(None).unwrap());
    assert!(found.len() > COUNT, "{} links", found.len());
    let (found, processes) = timed(|| proc::processes().unwrap());
    assert!(found.by_netns.len() > COUNT);
    let values = [whole, links, processes].map(|time| milliseconds(time).to_string());
    println!("{}", values.join(" "));
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    (work(), start.elapsed())
}
