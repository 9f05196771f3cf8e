//! `capture.cpu_*`, `capture.wakeups`, `capture.lost_3mpps`, `capture.max_rate`: all of `nstrace
//! capture -w /dev/null` beside `tcpdump -w /dev/null`, in turn, on the same device, each with a
//! buffer of 64 MiB; packets come on the last CPU, and are read and written on CPU 0.
//!
//! - `cpu_60`, `cpu_1500`: CPU time of all threads for a packet of that size, at 1 Mpps; nstrace's
//!   over tcpdump's.
//! - `wakeups`: how often the thread that reads nstrace's rings begins to run, a second, meanwhile.
//! - `lost_3mpps`: packets of 60 bytes that nstrace lost at 3 Mpps, in the best of a few tries; `rate`
//!   is what came about of those 3 Mpps, which is less where others use the CPU too.
//! - `max_rate`: the highest rate of 60-byte packets that came about without a loss, in any of a few
//!   tries; nstrace's over tcpdump's.
//!
//! nstrace shares its buffer evenly among the CPUs, and all packets come on one: with two CPUs it has
//! half of what tcpdump has.

use std::{thread, time::Duration};

use crate::{
    Bench,
    count::{Family, Transport, frame},
    report::Measured,
    rounds::{Arm, Series, interleaved, to_f64},
    support::lab::{Lab, Pod},
};

use super::{
    stream::Stream,
    tool::{Kind, Tool},
};

const ROUNDS: usize = 7;
const QUICK_ROUNDS: usize = 2;
/// Of 1 Mpps: two seconds.
const CPU_PACKETS: u32 = 2_000_000;
const CPU_RATE: f64 = 1.0;
/// Many times what the buffers hold.
const PACKETS: u32 = 6_000_000;
const QUICK_PACKETS: u32 = 3_000_000;
const TRIES: usize = 4;
const QUICK_TRIES: usize = 2;
/// Millions a second; then as many as there can be.
const RATES: [f64; 12] = [
    2.0, 2.5, 3.0, 3.25, 3.5, 3.75, 4.0, 4.25, 4.5, 5.0, 5.5, 6.0,
];
const QUICK_RATES: [f64; 5] = [2.0, 3.0, 3.5, 4.0, 5.0];
/// Until all that came has been written: tcpdump gets what does not fill a block after a second.
const CALM: Duration = Duration::from_millis(1300);

/// One packet's size, with a tool beside it.
struct Rig<'a> {
    lab: &'a Lab,
    pod: &'a Pod,
    ifindex: u32,
    length: usize,
}

/// What came of a stream.
struct Outcome {
    /// Nanoseconds of the tool's for a packet.
    cpu: f64,
    /// Millions of packets a second.
    rate: f64,
    /// Of nstrace, a second.
    wakeups: f64,
    lost: u64,
}

impl Rig<'_> {
    fn run(&self, kind: Kind, packets: u32, rate: Option<f64>) -> Outcome {
        let tool = Tool::start(self.lab, self.pod, kind);
        let sleeps = || {
            if kind == Kind::Nstrace {
                tool.sleeps()
            } else {
                0
            }
        };
        let (cpu, before) = (tool.cpu(), sleeps());
        let reached = self.lab.on_host(|| {
            let frame = frame(Family::V4, Transport::Udp, self.length);
            Stream::new(self.ifindex, frame).run(packets, rate)
        });
        let sleeps = sleeps() - before;
        thread::sleep(CALM);
        let cpu = tool.cpu().saturating_sub(cpu);
        let ended = tool.end();
        assert_eq!(
            ended.captured + ended.dropped,
            u64::from(packets),
            "{kind:?} knows of each packet: {ended:?}"
        );
        Outcome {
            cpu: cpu.as_secs_f64() * 1e9 / f64::from(packets),
            rate: reached,
            wakeups: to_f64(usize::try_from(sleeps).unwrap()) * reached * 1e6 / f64::from(packets),
            lost: ended.dropped,
        }
    }
}

pub(super) fn run(bench: &Bench, lab: &Lab, pod: &Pod, ifindex: u32) {
    let rig = |length| Rig {
        lab,
        pod,
        ifindex,
        length,
    };
    let names = [
        "capture.cpu_60",
        "capture.cpu_60.nstrace",
        "capture.cpu_60.tcpdump",
    ];
    if bench.wants_any("capture.cpu_60") || bench.wants("capture.wakeups") {
        let wakeups = cpu(bench, &rig(60), names);
        bench.report(Measured::new("capture.wakeups", wakeups));
    }
    let names = [
        "capture.cpu_1500",
        "capture.cpu_1500.nstrace",
        "capture.cpu_1500.tcpdump",
    ];
    if bench.wants_any("capture.cpu_1500") {
        cpu(bench, &rig(1514), names);
    }
    if bench.wants_any("capture.max_rate") || bench.wants("capture.lost_3mpps") {
        rates(bench, &rig(60));
    }
}

/// Gives how often nstrace woke up, a second, at the most.
fn cpu(bench: &Bench, rig: &Rig<'_>, names: [&'static str; 3]) -> f64 {
    let (mut wakeups, mut ours, mut theirs) = (0.0_f64, 0, 0);
    let mut arms: [Arm<'_>; 2] = [
        Box::new(|| {
            let outcome = rig.run(Kind::Nstrace, CPU_PACKETS, Some(CPU_RATE));
            wakeups = wakeups.max(outcome.wakeups);
            ours += outcome.lost;
            outcome.cpu
        }),
        Box::new(|| {
            let outcome = rig.run(Kind::Tcpdump, CPU_PACKETS, Some(CPU_RATE));
            theirs += outcome.lost;
            outcome.cpu
        }),
    ];
    let series = interleaved(bench.pick(ROUNDS, QUICK_ROUNDS), &mut arms);
    drop(arms);
    let [nstrace, tcpdump] = &series[..] else {
        unreachable!("a series for each arm")
    };
    let ratio = |at: fn(&Series) -> f64| at(nstrace) / at(tcpdump);
    bench.report(Measured::new(names[0], ratio(Series::min)).p25(ratio(Series::p25)));
    for (name, series) in [(names[1], nstrace), (names[2], tcpdump)] {
        bench.report(Measured::new(name, series.min()).p25(series.p25()));
    }
    if ours + theirs > 0 {
        bench.note(&format!(
            "{} bytes at {CPU_RATE} Mpps: nstrace lost {ours} packets, tcpdump {theirs}",
            rig.length
        ));
    }
    wakeups
}

fn rates(bench: &Bench, rig: &Rig<'_>) {
    let (packets, tries) = (
        bench.pick(PACKETS, QUICK_PACKETS),
        bench.pick(TRIES, QUICK_TRIES),
    );
    let rates: &[f64] = bench.pick(&RATES, &QUICK_RATES);
    let mut highest = [0.0_f64; 2];
    for rate in rates.iter().copied().map(Some).chain([None]) {
        let tools = [Kind::Nstrace, Kind::Tcpdump];
        let mut seen: [Vec<Outcome>; 2] = [vec![], vec![]];
        for _ in 0..tries {
            for (kind, seen) in tools.into_iter().zip(&mut seen) {
                if seen.last().is_none_or(|last| last.lost > 0) {
                    seen.push(rig.run(kind, packets, rate));
                }
            }
        }
        let best = seen.map(|seen| {
            seen.into_iter()
                .min_by_key(|outcome| outcome.lost)
                .expect("one try at least")
        });
        for (highest, best) in highest.iter_mut().zip(&best) {
            if best.lost == 0 {
                *highest = highest.max(best.rate);
            }
        }
        let [ours, theirs] = &best;
        let asked = rate.map_or("unpaced".to_owned(), |rate| format!("{rate} Mpps"));
        bench.note(&format!(
            "{asked}: nstrace {:.2} Mpps, lost {}, {:.0} ns; tcpdump {:.2} Mpps, lost {}, {:.0} ns",
            ours.rate, ours.lost, ours.cpu, theirs.rate, theirs.lost, theirs.cpu
        ));
        if rate == Some(3.0) {
            let lost = to_f64(usize::try_from(ours.lost).unwrap());
            bench.report(Measured::new("capture.lost_3mpps", lost));
            bench.report(Measured::new("capture.lost_3mpps.rate", ours.rate));
        }
    }
    let [nstrace, tcpdump] = highest;
    bench.report(Measured::new("capture.max_rate", nstrace / tcpdump));
    bench.report(Measured::new("capture.max_rate.nstrace", nstrace));
    bench.report(Measured::new("capture.max_rate.tcpdump", tcpdump));
}
