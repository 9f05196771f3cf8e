//! Captures: the programs by themselves, and `nstrace capture` on real traffic.

mod beside;
mod program;

use std::path::PathBuf;

use crate::support::{
    lab::{Lab, Pod},
    send,
};

/// A type field that nobody speaks: frames of it are the test's own.
const OWN: &str = "ether proto 0x88b5";

/// Pods that are up and know each other's addresses.
fn pods<const N: usize>(lab: &Lab, names: [&str; N]) -> [Pod; N] {
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

/// Sends numbered frames, and gives them.
fn send_numbered(lab: &Lab, from: &Pod, to: &Pod, count: u32, length: usize) -> Vec<Vec<u8>> {
    send::many_frames(lab, from, count, |number, frame| {
        *frame = numbered(from, to, number, length);
    });
    (0..count)
        .map(|number| numbered(from, to, number, length))
        .collect()
}
