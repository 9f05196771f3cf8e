//! Captures: the programs by themselves, and `nstrace capture` on real traffic.

mod beside;
mod ends;
mod filters;
mod follow;
mod others;
mod outputs;
mod overload;
mod program;
mod readers;
mod rotation;
mod screen;
mod times;

use std::path::PathBuf;

use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

use crate::support::{
    lab::{Lab, Pod},
    send, wait_until,
};

/// A type field that nobody speaks: frames of it are the test's own.
const OWN: &str = "ether proto 0x88b5";

/// Pods that are up, know each other, and say nothing by themselves.
fn pods<const N: usize>(lab: &Lab, names: [&str; N]) -> [Pod; N] {
    const SILENT: &str = "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6";

    lab.shell(SILENT);
    let pods = names.map(|name| lab.pod(name));
    for pod in &pods {
        lab.shell(&format!("ip netns exec {} sh -c '{SILENT}'", pod.name));
        lab.up(pod);
    }
    for who in &pods {
        for whom in pods.iter().filter(|whom| whom.name != who.name) {
            let mac = whom.mac.map(|byte| format!("{byte:02x}")).join(":");
            lab.run(&format!(
                "ip -n {} neigh replace {} lladdr {mac} dev eth0 nud permanent",
                who.name, whom.ipv4
            ));
        }
    }
    pods
}

/// Pods that are up and know each other, by IPv6 too; then the kernel reports groups when it likes.
fn pods_of_both_families<const N: usize>(lab: &Lab, names: [&str; N]) -> [Pod; N] {
    let pods = names.map(|name| lab.pod(name));
    for pod in &pods {
        lab.up(pod);
    }
    for (at, pod) in pods.iter().enumerate() {
        for other in &pods[at + 1..] {
            lab.introduce(pod, other);
        }
    }
    pods
}

/// Removes a pod, and waits until its veth is gone with it: nothing may keep its namespace.
fn remove(lab: &Lab, pod: &Pod) {
    lab.run(&format!("ip netns del {}", pod.name));
    wait_until("its veth is gone", || {
        (!lab.run("ip -o link").contains(&pod.veth)).then_some(())
    });
}

/// A file for a capture, as it is called in the lab and outside.
fn file(lab: &Lab) -> (&'static str, PathBuf) {
    const FILE: &str = "/run/capture.pcapng";
    (FILE, lab.path(FILE))
}

/// A frame of our own type with a number in it.
fn numbered(from: &Pod, to: &Pod, number: u32, length: usize) -> Vec<u8> {
    let rest = [&[0x88, 0xb5], &number.to_be_bytes()[..]].concat();
    send::ethernet(from, to, &rest, length)
}

/// Has the calling thread run on one CPU, always the same: what it sends passes in order, and is
/// recorded in one ring.
fn stay_on_one_cpu() {
    let this = Pid::from_raw(0);
    let allowed = sched_getaffinity(this).unwrap();
    let cpu = (0..CpuSet::count()).find(|cpu| allowed.is_set(*cpu).unwrap());
    let mut one = CpuSet::new();
    one.set(cpu.unwrap()).unwrap();
    sched_setaffinity(this, &one).unwrap();
}

/// Sends numbered frames from one CPU, and gives them when all have passed the hooks of both pods:
/// each was sent by the other's host veth.
fn send_numbered(lab: &Lab, from: &Pod, to: &Pod, count: u32, length: usize) -> Vec<Vec<u8>> {
    let passed = || lab.device(&to.veth)[2];
    let before = passed();
    send::many_frames(lab, from, count, |number, frame| {
        if number == 0 {
            stay_on_one_cpu();
        }
        *frame = numbered(from, to, number, length);
    });
    wait_until("all have passed", || {
        (passed() >= before + u64::from(count)).then_some(())
    });
    (0..count)
        .map(|number| numbered(from, to, number, length))
        .collect()
}
