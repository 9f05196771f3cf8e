//! `attach.*`: how long it takes until packets are counted, and how long others wait meanwhile.
//!
//! - `cold_1000`: from the start of the process, with all that it does before, until both programs
//!   are on all 1,000 interfaces, told by its open descriptors; at the end nstrace itself must say
//!   that all are attached.
//! - `rtnl_p99`: during that, somebody else takes the lock of all network devices (RTNL) five
//!   thousand times a second; how long the request takes. The baseline is the same before.
//! - `single_p99`: from the kernel's first message that a new veth is there until both its links
//!   are. A new one comes each second or so, at moments that have nothing to do with nstrace's
//!   refreshes.

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use nstrace_ebpf::wire::Hook;

use super::{COUNT, descriptors, milliseconds, start, until_attached};
use crate::{
    Bench,
    raw::{
        bpf::{self, Link},
        socket::{LinkEvents, Rtnl},
    },
    report::Measured,
    rounds::Series,
    support::{bpf::tcx_programs, lab::Lab, wait_until},
};

const STARTS: usize = 5;
const QUICK_STARTS: usize = 2;
const SINGLES: usize = 60;
const QUICK_SINGLES: usize = 6;
/// Between two new interfaces, at least: one that is new by itself, not a storm.
const BETWEEN: Duration = Duration::from_secs(1);
/// Between two looks, and between two requests.
const PAUSE: Duration = Duration::from_micros(200);
/// How long the baseline is taken.
const BEFORE: Duration = Duration::from_millis(500);
/// After that long with the same number of descriptors, that is their number.
const SETTLED: Duration = Duration::from_millis(100);

pub(super) fn cold(bench: &Bench, lab: &Lab) {
    let mut times = Series::new();
    let (mut before, mut during) = (Series::new(), Series::new());
    for _ in 0..bench.pick(STARTS, QUICK_STARTS) {
        let (time, requests) = cold_start(lab);
        times.push(time.as_secs_f64());
        for (at, latency) in requests {
            let series = match at {
                Moment::Before => &mut before,
                Moment::During => &mut during,
                Moment::After => continue,
            };
            series.push(milliseconds(latency));
        }
    }
    bench.report(Measured::new("attach.cold_1000", times.min()).p25(times.p25()));
    bench.report(
        Measured::new("attach.rtnl_p99", during.quantile(0.99))
            .baseline("before", before.quantile(0.99)),
    );
    bench.note(&format!(
        "attach.rtnl_p99 is of {} requests; the longest took {:.2} ms",
        during.len(),
        during.quantile(1.0)
    ));
}

/// When a request was made.
enum Moment {
    Before,
    During,
    After,
}

/// One start: how long it took, and every request that somebody else made.
fn cold_start(lab: &Lab) -> (Duration, Vec<(Moment, Duration)>) {
    let stop = AtomicBool::new(false);
    let requests = Mutex::new(Vec::new());
    let (began, attached) = thread::scope(|scope| {
        scope.spawn(|| lab.on_host(|| request(&stop, &requests)));
        thread::sleep(BEFORE);
        let began = Instant::now();
        let mut top = start(lab);
        let pid = top.pid;
        let is_attached = AtomicBool::new(false);
        let attached = thread::scope(|scope| {
            let watcher = scope.spawn(|| watch(lab, pid, &is_attached));
            until_attached(&mut top);
            thread::sleep(SETTLED * 2);
            is_attached.store(true, Ordering::Relaxed);
            watcher.join().unwrap()
        });
        stop.store(true, Ordering::Relaxed);
        drop(top.end("TERM"));
        (began, attached)
    });
    let moment = |at: Instant| {
        if at < began {
            Moment::Before
        } else if at < attached {
            Moment::During
        } else {
            Moment::After
        }
    };
    let requests = requests.into_inner().unwrap().into_iter();
    let requests = requests.map(|(at, latency): (Instant, Duration)| (moment(at), latency));
    (attached - began, requests.collect())
}

/// Looks at how many descriptors a process has until it is told to stop. Gives the moment when it
/// had as many as in the end.
fn watch(lab: &Lab, pid: u32, is_done: &AtomicBool) -> Instant {
    let mut looks = Vec::new();
    while !is_done.load(Ordering::Relaxed) {
        looks.push((Instant::now(), descriptors(lab, pid)));
        thread::sleep(PAUSE);
    }
    let end = looks.last().unwrap().0;
    let settled = looks.iter().filter(|(at, _)| end - *at < SETTLED);
    // A look at the host opens some more for a moment.
    let count = settled.map(|(_, count)| *count).min().unwrap();
    assert!(
        count >= 2 * COUNT,
        "two TCX links for each interface among {count} descriptors"
    );
    looks.iter().find(|(_, seen)| *seen >= count).unwrap().0
}

fn request(stop: &AtomicBool, requests: &Mutex<Vec<(Instant, Duration)>>) {
    let rtnl = Rtnl::open().unwrap();
    while !stop.load(Ordering::Relaxed) {
        let start = Instant::now();
        rtnl.take().unwrap();
        requests.lock().unwrap().push((start, start.elapsed()));
        thread::sleep(PAUSE);
    }
}

/// What the two watchers of [`single`] have seen, by ifindex.
#[derive(Default)]
struct Seen {
    announced: HashMap<u32, Instant>,
    links: HashMap<u32, Vec<Instant>>,
}

impl Seen {
    /// Times from the announcement to the second link.
    fn latencies(&self) -> impl Iterator<Item = Duration> {
        self.announced.iter().filter_map(|(ifindex, announced)| {
            let attached = self.links.get(ifindex)?.get(1)?;
            Some(attached.saturating_duration_since(*announced))
        })
    }
}

/// With nstrace running in the lab.
pub(super) fn single(bench: &Bench, lab: &Lab) {
    if !bench.wants_any("attach.single") {
        return;
    }
    let count = bench.pick(SINGLES, QUICK_SINGLES);
    let seen = Mutex::new(Seen::default());
    let stop = AtomicBool::new(false);
    let attached = lab.ifindex("v1");
    let programs =
        lab.on_host(|| [Hook::Ingress, Hook::Egress].map(|hook| tcx_programs(attached, hook)));
    let programs = programs.concat();
    thread::scope(|scope| {
        scope.spawn(|| lab.on_host(|| listen(&stop, &seen)));
        scope.spawn(|| follow_links(&programs, &stop, &seen));
        thread::sleep(BEFORE);
        for nth in 1..=count {
            lab.shell(&format!(
                "ip netns add single{nth}
                 ip link add s{nth} type veth peer name eth0 netns single{nth}
                 ip link set s{nth} up"
            ));
            wait_until("the new interface is attached", || {
                (seen.lock().unwrap().latencies().count() == nth).then_some(())
            });
            // 137 is prime to all that happens regularly.
            thread::sleep(BETWEEN + Duration::from_millis(nth as u64 * 137 % 500));
        }
        stop.store(true, Ordering::Relaxed);
    });
    let mut series = Series::new();
    for latency in seen.into_inner().unwrap().latencies() {
        series.push(milliseconds(latency));
    }
    bench.report(
        Measured::new("attach.single_p99", series.quantile(0.99))
            .baseline("median", series.quantile(0.5)),
    );
}

fn listen(stop: &AtomicBool, seen: &Mutex<Seen>) {
    let events = LinkEvents::open().unwrap();
    while !stop.load(Ordering::Relaxed) {
        while let Some(links) = events.next() {
            let now = Instant::now();
            let mut seen = seen.lock().unwrap();
            for ifindex in links {
                seen.announced.entry(ifindex).or_insert(now);
            }
        }
        thread::sleep(PAUSE);
    }
}

/// Links of these programs: ifindexes alone say nothing, since others have namespaces too.
fn follow_links(programs: &[u32], stop: &AtomicBool, seen: &Mutex<Seen>) {
    let mut last = 0;
    // What is there already is not new.
    while let Some(next) = bpf::link_after(last) {
        last = next;
    }
    while !stop.load(Ordering::Relaxed) {
        while let Some(next) = bpf::link_after(last) {
            match bpf::link(next) {
                Link::Unfinished => break,
                Link::Tcx { program, ifindex } if programs.contains(&program) => {
                    let mut seen = seen.lock().unwrap();
                    seen.links.entry(ifindex).or_default().push(Instant::now());
                }
                Link::Tcx { .. } | Link::Other => {}
            }
            last = next;
        }
        thread::sleep(PAUSE);
    }
}
