//! When packets came, and in which order.

use std::{
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{OWN, file, numbered, pods, send_numbered};
use crate::support::{capture::Capture, lab::Lab, savefile::Saved, send};

/// Each packet's time lies between what the clock said before it was sent, and after.
#[test]
fn times_are_those_of_the_clock_on_the_wall() {
    /// Two clocks cannot be read at once.
    const SLACK: Duration = Duration::from_millis(1);
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap();

    let lab = Lab::new();
    let [a, b] = pods(&lab, ["a", "b"]);
    let (name, path) = file(&lab);
    let capture = Capture::start(&lab, &["a", "b", "-w", name, OWN]);
    let mut bounds = Vec::new();
    for _ in 0..10 {
        let before = now().checked_sub(SLACK).unwrap();
        send_numbered(&lab, &a, &b, 20, 100);
        bounds.push(before..=now() + SLACK);
    }
    capture.end("INT").with_code(0).assert_all(400);
    let saved = Saved::read(&path);
    saved.assert_in_order();
    for (burst, bounds) in saved.packets.chunks(40).zip(bounds) {
        for packet in burst {
            let time = Duration::from_nanos(packet.time);
            assert!(bounds.contains(&time), "{time:?} in {bounds:?}");
        }
    }
    // Nanoseconds, not microseconds in their place.
    assert!(saved.packets.iter().any(|packet| packet.time % 1000 != 0));
    assert_eq!(saved.ifaces[0].filter.as_deref(), Some(OWN));
}

/// Each CPU has a ring of its own; the file has one order.
#[test]
fn packets_of_several_cpus_are_in_order() {
    const EACH: u32 = 5000;

    let lab = Lab::new();
    let [a, b] = pods(&lab, ["a", "b"]);
    let (name, path) = file(&lab);
    let capture = Capture::start(&lab, &["a", "b", "-w", name, OWN]);
    thread::scope(|scope| {
        for (from, to) in [(&a, &b), (&b, &a)] {
            let lab = &lab;
            scope.spawn(move || {
                send::many_frames(lab, from, EACH, |number, frame| {
                    *frame = numbered(from, to, number, 100);
                });
            });
        }
    });
    capture.until_matched(4 * u64::from(EACH));
    capture
        .end("INT")
        .with_code(0)
        .assert_all(4 * u64::from(EACH));
    let saved = Saved::read(&path);
    saved.assert_in_order();
    for number in 0..2 {
        for (from, to) in [(&a, &b), (&b, &a)] {
            let packets = saved.packets.iter();
            let of_iface = packets.filter(|packet| packet.iface == number);
            let mut numbers: Vec<u32> = of_iface
                .filter(|packet| packet.data[..6] == to.mac && packet.data[6..12] == from.mac)
                .map(|packet| u32::from_be_bytes(packet.data[14..18].try_into().unwrap()))
                .collect();
            // A sender may have been moved to another CPU while its packets waited on the first.
            numbers.sort_unstable();
            assert!(numbers.into_iter().eq(0..EACH));
        }
    }
}
