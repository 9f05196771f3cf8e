//! More packets than a ring holds, while nobody reads it.

use super::{OWN, file, pods, send_numbered};
use crate::support::{capture::Capture, lab::Lab, savefile::Saved};

const SENT: u32 = 5000;

fn flood(args: &[&str]) -> i32 {
    let lab = Lab::new();
    let [a, b] = pods(&lab, ["a", "b"]);
    let (name, path) = file(&lab);
    let all = [&["a", "b", "--buffer", "8k", "-w", name], args, &[OWN]].concat();
    let capture = Capture::start(&lab, &all);
    // Some that have room, so that there are packets before the loss and behind it.
    send_numbered(&lab, &a, &b, 3, 100);
    capture.until_matched(6);
    capture.signal("STOP");
    send_numbered(&lab, &a, &b, SENT, 1000);
    capture.go_on();
    capture.until_summary("the ring was read", |summary| summary.captured > 6);
    send_numbered(&lab, &b, &a, 2, 100);
    let ended = capture.end("INT");

    let summary = ended.summary();
    summary.assert_adds_up();
    let sent = u64::from(SENT) + 5;
    assert_eq!(summary.matched, 2 * sent);
    assert_eq!(summary.lost_disk, 0);
    assert!(summary.lost_ring > 0);
    let saved = Saved::read(&path);
    assert_eq!(saved.packets.len() as u64, summary.captured);
    for (number, iface) in saved.ifaces.iter().enumerate() {
        let [captured, matched, ring, _] = summary.of(&iface.name);
        assert_eq!(matched, sent);
        let said = &saved.statistics[number];
        assert_eq!(said.iface, number);
        let counts = [said.captured, said.matched, said.lost];
        assert_eq!(counts, [captured, matched, ring].map(Some));
        let of_iface = saved.packets.iter().filter(|packet| packet.iface == number);
        let told: u64 = of_iface.clone().map(|packet| packet.lost).sum();
        assert_eq!(of_iface.count() as u64, captured);
        // All on one CPU, so the last packets tell of whatever was lost before them.
        assert_eq!(told, ring);
    }
    ended.status.code().unwrap()
}

#[test]
fn each_packet_is_captured_or_counted_as_dropped() {
    assert_eq!(flood(&[]), 0);
}

#[test]
fn dropped_packets_are_a_failure_if_asked_for() {
    assert_eq!(flood(&["--fail-on-drop"]), 6);
}

#[test]
fn no_dropped_packet_is_no_failure() {
    let lab = Lab::new();
    let [a, b] = pods(&lab, ["a", "b"]);
    let (name, _) = file(&lab);
    let capture = Capture::start(&lab, &["a", "--fail-on-drop", "-w", name, OWN]);
    send_numbered(&lab, &a, &b, 1000, 1000);
    capture.end("TERM").with_code(0).assert_all(1000);
}
