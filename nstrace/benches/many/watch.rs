//! What nstrace takes while it watches 1,000 namespaces, a refresh a second.
//!
//! - `rss.1000`: resident memory, without the maps that it shares with the kernel.
//! - `cpu_idle.1000`: CPU time of all its threads while nothing happens, in percent of one core;
//!   `cpu_idle.screen` is the same with the screen, in a terminal of 80 by 24, rather than a JSON
//!   line with all rows.
//! - `wakeups.*`: how often the thread that drains a ring begins to run, a second and ring, while
//!   nothing happens and while millions of packets a second come through one interface.

use std::{
    fs,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use super::{COUNT, SECOND, descriptors};
use crate::{
    Bench,
    path::Way,
    report::Measured,
    rounds::to_f64,
    support::{lab::Lab, nstrace::Top, tty::Tty, wait_until},
    target::{RING_THREAD, RINGS},
};

const WATCHED: Duration = Duration::from_secs(20);
const QUICK_WATCHED: Duration = Duration::from_secs(5);
const LOADED: Duration = Duration::from_secs(3);
/// Until what the start has left to do is done.
const CALM: Duration = Duration::from_secs(3);

/// A process of the lab, in `/proc`.
struct Process(PathBuf);

impl Process {
    fn new(lab: &Lab, pid: u32) -> Self {
        Self(lab.path(&format!("/proc/{pid}")))
    }

    fn threads(&self) -> impl Iterator<Item = PathBuf> {
        let tasks = fs::read_dir(self.0.join("task")).unwrap();
        tasks.flatten().map(|task| task.path())
    }

    /// CPU time of all threads that are there.
    fn cpu(&self) -> Duration {
        let of = |thread: PathBuf| {
            // Nanoseconds on a CPU, nanoseconds of waiting, number of turns.
            let text = fs::read_to_string(thread.join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse::<u64>().ok()
        };
        Duration::from_nanos(self.threads().filter_map(of).sum())
    }

    /// How often the threads that drain a ring have gone to sleep.
    fn sleeps_of_rings(&self) -> u64 {
        let is_ring = |thread: &PathBuf| {
            let name = fs::read_to_string(thread.join("comm")).unwrap_or_default();
            name.starts_with(RING_THREAD)
        };
        let of = |thread: PathBuf| {
            let text = fs::read_to_string(thread.join("status")).unwrap();
            let line = text.lines().find(|line| line.starts_with("voluntary"));
            let count = line.and_then(|line| line.split_whitespace().last());
            count.unwrap().parse::<u64>().unwrap()
        };
        let rings: Vec<_> = self.threads().filter(is_ring).map(of).collect();
        assert!(!rings.is_empty(), "a thread called {RING_THREAD}");
        rings.iter().sum()
    }

    /// KiB of memory that are resident, but for maps of eBPF.
    fn own_memory(&self) -> u64 {
        let smaps = fs::read_to_string(self.0.join("smaps")).unwrap();
        let mut is_map = false;
        let mut sum = 0;
        for line in smaps.lines() {
            let mut words = line.split_whitespace();
            let first = words.next().unwrap_or_default();
            if !first.ends_with(':') {
                is_map = line.contains("anon_inode:bpf-map");
            } else if first == "Rss:" && !is_map {
                sum += words.next().unwrap().parse::<u64>().unwrap();
            }
        }
        sum
    }

    /// CPU time in percent of a core, and turns of the rings' threads a second, while `work` runs.
    fn during(&self, work: impl FnOnce()) -> (f64, f64) {
        let (start, cpu, sleeps) = (Instant::now(), self.cpu(), self.sleeps_of_rings());
        work();
        let seconds = start.elapsed().as_secs_f64();
        let cpu = self.cpu().saturating_sub(cpu);
        let sleeps = self.sleeps_of_rings() - sleeps;
        (
            cpu.as_secs_f64() / seconds * 100.0,
            to_f64(usize::try_from(sleeps).unwrap()) / seconds / RINGS,
        )
    }
}

pub(super) fn memory(bench: &Bench, lab: &Lab, top: &Top<'_>) {
    thread::sleep(CALM);
    let kib = Process::new(lab, top.pid).own_memory();
    bench.report(Measured::new(
        "rss.1000",
        to_f64(usize::try_from(kib).unwrap()) / 1024.0,
    ));
}

pub(super) fn idle(bench: &Bench, lab: &Lab, top: &Top<'_>) {
    let watched = bench.pick(WATCHED, QUICK_WATCHED);
    let (cpu, wakeups) = Process::new(lab, top.pid).during(|| thread::sleep(watched));
    bench.report(Measured::new("cpu_idle.1000", cpu));
    bench.report(Measured::new("wakeups.idle", wakeups));
}

pub(super) fn under_load(bench: &Bench, lab: &Lab, top: &Top<'_>) {
    if !bench.wants("wakeups.load") {
        return;
    }
    let ifindex = lab.ifindex("v1");
    let (_, wakeups) = Process::new(lab, top.pid).during(|| {
        lab.on_host(|| {
            let (start, way) = (Instant::now(), Way::new(ifindex));
            while start.elapsed() < LOADED {
                way.run();
            }
        });
    });
    bench.report(Measured::new("wakeups.load", wakeups));
}

/// A second nstrace, with the screen.
pub(super) fn screen(bench: &Bench, lab: &Lab) {
    let mut tty = Tty::start(lab, &[&["top"], &SECOND[..]].concat());
    let pid = wait_until("it says who it is", || {
        let pid = fs::read_to_string(lab.path("/run/tty.pid")).ok()?;
        pid.trim().parse().ok()
    });
    // What is on the screen is drawn in pieces.
    wait_until("all interfaces are attached", || {
        (descriptors(lab, pid) >= 2 * COUNT).then_some(())
    });
    thread::sleep(CALM);
    let process = Process::new(lab, pid);
    let watched = bench.pick(WATCHED, QUICK_WATCHED);
    let (cpu, _) = process.during(|| thread::sleep(watched));
    bench.report(Measured::new("cpu_idle.screen", cpu));
    tty.keys("q");
    tty.end();
}
