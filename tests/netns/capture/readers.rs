//! What tshark and tcpdump make of our files: no warning, and the same packets.

use std::collections::BTreeMap;

use super::{OWN, file, pods, pods_of_both_families, send_numbered};
use crate::support::{
    capture::Capture,
    lab::{Lab, Pod},
    nstrace::run,
    savefile::Saved,
    send,
    tcpdump::{read_by_tcpdump, tshark},
};

/// A hub and the pods that talk to it.
const PODS: usize = 20;

#[test]
fn a_port_on_twenty_pods_is_captured_and_they_are_told_apart() {
    let lab = Lab::new();
    let [hub] = pods_of_both_families(&lab, ["hub"]);
    let others: Vec<Pod> = (0..PODS).map(|nth| lab.pod(&format!("p{nth}"))).collect();
    for pod in &others {
        lab.up(pod);
        lab.introduce(pod, &hub);
    }
    let (name, path) = file(&lab);
    let capture = Capture::start(&lab, &["--all", "-w", name, "udp port 7777"]);
    let mut expected = BTreeMap::new();
    let mut total = 0;
    for (nth, pod) in others.iter().enumerate() {
        send::udp_from(&lab, pod, &hub, &hub.ipv4, 7777, nth + 1, 100);
        send::udp_from(&lab, pod, &hub, &hub.ipv4, 7778, 5, 100);
        expected.insert(format!("{}/eth0", pod.name), nth + 1);
        total += nth + 1;
    }
    expected.insert("hub/eth0".to_owned(), total);
    capture.until_matched(2 * total as u64);
    let summary = capture.end("INT").with_code(0);
    summary.assert_all(2 * total as u64);
    for (iface, &count) in &expected {
        let count = count as u64;
        assert_eq!(summary.of(iface), [count, count, 0, 0], "{iface}");
    }

    let fields = [
        "frame.interface_name",
        "udp.srcport",
        "ip.src",
        "frame.packet_flags_direction",
        "frame.time_epoch",
    ];
    let rows = tshark(&path, &fields);
    let mut counts = BTreeMap::new();
    let mut times = Vec::new();
    for row in rows {
        let [iface, port, source, direction, time] = &row[..] else {
            panic!("{row:?}");
        };
        *counts.entry(iface.clone()).or_insert(0) += 1;
        assert_eq!(port, "7777");
        // 1 is inbound, 2 outbound; a tshark without the name of the field prints the same number.
        let is_hub = iface == "hub/eth0";
        assert!(
            direction.ends_with(if is_hub { '1' } else { '2' }),
            "{row:?}"
        );
        let sender = others.iter().find(|pod| pod.ipv4 == *source).unwrap();
        assert!(
            is_hub || *iface == format!("{}/eth0", sender.name),
            "{row:?}"
        );
        times.push(time.clone());
    }
    assert_eq!(counts, expected);
    assert!(times.is_sorted(), "{times:?}");
    assert_eq!(read_by_tcpdump(&path), 2 * total);

    // And what we read in it ourselves, of one pod.
    let output = run(&lab, &["capture", "-r", name, "-t", "p7", "udp"]);
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 8);
}

#[test]
fn a_file_of_a_full_disk_and_one_with_losses_are_read_without_a_warning() {
    const FULL: &str = "/run/small/it.pcapng";

    let lab = Lab::new();
    let [a, b] = pods(&lab, ["a", "b"]);
    lab.shell("mkdir /run/small; mount -t tmpfs -o size=256k tmpfs /run/small");
    for format in ["pcapng", "pcap"] {
        let args = ["a", "--force", "--format", format, "-w", FULL, OWN];
        let capture = Capture::start(&lab, &args);
        capture.signal("STOP");
        // More than is written at a time.
        send_numbered(&lab, &a, &b, 1500, 1000);
        capture.go_on();
        let captured = capture.wait().with_code(5).captured;
        let path = lab.path(FULL);
        assert_eq!(tshark(&path, &["frame.number"]).len() as u64, captured);
        assert_eq!(read_by_tcpdump(&path) as u64, captured);
        let output = run(&lab, &["capture", "-t", "-q", "-r", FULL]);
        assert!(output.status.success());
        let lines = String::from_utf8(output.stdout).unwrap();
        assert_eq!(
            lines.lines().filter(|line| !line.starts_with('\t')).count() as u64,
            captured
        );
        lab.run(&format!("rm {FULL}"));
    }

    let (name, path) = file(&lab);
    let capture = Capture::start(&lab, &["a", "--buffer", "8k", "-w", name, OWN]);
    capture.signal("STOP");
    send_numbered(&lab, &a, &b, 500, 1000);
    capture.go_on();
    capture.until_summary("the ring was read", |summary| summary.captured > 0);
    send_numbered(&lab, &a, &b, 5, 100);
    let summary = capture.end("INT").with_code(0);
    let saved = Saved::read(&path);
    let rows = tshark(&path, &["frame.number", "frame.drop_count"]);
    assert_eq!(rows.len() as u64, summary.captured);
    let told: u64 = saved.packets.iter().map(|packet| packet.lost).sum();
    assert!(
        told > 0 && told == summary.lost_ring,
        "{told}: {summary:#?}"
    );
    for (row, packet) in rows.iter().zip(&saved.packets) {
        let lost: u64 = match row.get(1).map(String::as_str) {
            None | Some("") => 0,
            Some(lost) => lost.parse().unwrap(),
        };
        assert_eq!(lost, packet.lost, "{row:?}");
    }
    assert_eq!(read_by_tcpdump(&path) as u64, summary.captured);
}

#[test]
fn files_of_a_rotation_are_whole_to_others() {
    let lab = Lab::new();
    let [a, b] = pods(&lab, ["a", "b"]);
    lab.run("mkdir /run/files");
    let args = ["a", "b", "-C", "64k", "-w", "/run/files/it", OWN];
    let capture = Capture::start(&lab, &args);
    send_numbered(&lab, &a, &b, 150, 1000);
    capture.end("INT").with_code(0).assert_all(300);
    let mut numbers = Vec::new();
    let mut files = 0;
    for entry in std::fs::read_dir(lab.path("/run/files")).unwrap() {
        let path = entry.unwrap().path();
        let rows = tshark(&path, &["frame.interface_name", "data.data"]);
        assert_eq!(read_by_tcpdump(&path), rows.len());
        numbers.extend(
            rows.into_iter()
                .map(|row| (row[0].clone(), row[1][..8].to_owned())),
        );
        files += 1;
    }
    assert!(files >= 4, "{files}");
    numbers.sort();
    let expected = ["a", "b"].iter().flat_map(|name| {
        (0..150).map(move |number: u32| (format!("{name}/eth0"), format!("{number:08x}")))
    });
    assert_eq!(numbers, expected.collect::<Vec<_>>());
}
