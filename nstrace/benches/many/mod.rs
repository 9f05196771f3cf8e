//! What 1,000 namespaces cost: finding them, attaching to them, and watching them.
//!
//! They are a lab's: each is named, has a veth pair with the lab's host, both ends up, and a
//! process, as a container would. They are silent.
//!
//! nstrace is the real binary (`top -b -o json`, a refresh a second), but for `discover.*`.

mod attach;
mod discover;
mod watch;

use std::time::Duration;

pub(crate) use discover::look_inside;

use crate::{
    Bench,
    support::{lab::Lab, nstrace::Top},
};

/// Number of namespaces.
pub(crate) const COUNT: usize = 1000;
const SECOND: [&str; 2] = ["-d", "1"];

pub(crate) fn run(bench: &Bench) {
    let lab = make();
    if bench.wants_any("discover.") {
        discover::run(bench, &lab);
    }
    if bench.wants_any("attach.cold") || bench.wants_any("attach.rtnl") {
        attach::cold(bench, &lab);
    }
    if ["attach.single", "rss.", "cpu_idle.", "wakeups."]
        .iter()
        .any(|group| bench.wants_any(group))
    {
        let mut top = start(&lab);
        until_attached(&mut top);
        watch::memory(bench, &lab, &top);
        watch::idle(bench, &lab, &top);
        watch::under_load(bench, &lab, &top);
        attach::single(bench, &lab);
        drop(top.end("TERM"));
    }
    if bench.wants_any("cpu_idle.") {
        watch::screen(bench, &lab);
    }
}

/// The lab: `n1` and its host veth `v1`, and so on.
fn make() -> Lab {
    let lab = Lab::new();
    lab.shell(&format!(
        "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6
         echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6
         for i in $(seq {COUNT}); do
             echo netns add n$i
             echo link add v$i type veth peer name eth0 netns n$i
             echo link set v$i up
         done | ip -batch -
         for i in $(seq {COUNT}); do
             nsenter --net=/run/netns/n$i sh -c '
                 echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6
                 ip link set eth0 up
                 exec sleep infinity' </dev/null >/dev/null 2>&1 &
         done"
    ));
    crate::support::wait_until("each namespace has its process", || {
        let count = lab.shell("pgrep -xc sleep || true");
        (count.trim() == COUNT.to_string()).then_some(())
    });
    lab
}

/// Starts nstrace in the lab, with a refresh a second.
fn start(lab: &Lab) -> Top<'_> {
    Top::start(lab, &SECOND)
}

fn until_attached(top: &mut Top<'_>) {
    top.until("all interfaces are attached", |line| {
        (line["interfaces"]["attached"] == COUNT).then_some(())
    });
}

/// Number of descriptors that a process of the lab has open. Two of each interface are TCX links,
/// and to ask for it takes no lock that anybody else wants.
///
/// # Minimum kernel version
///
/// 6.2.
fn descriptors(lab: &Lab, pid: u32) -> usize {
    let directory = lab.path(&format!("/proc/{pid}/fd"));
    usize::try_from(std::fs::metadata(directory).unwrap().len()).unwrap()
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
