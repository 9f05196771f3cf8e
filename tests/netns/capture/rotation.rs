//! One file after another.

use std::{collections::BTreeMap, path::PathBuf};

use super::{OWN, pods, send_numbered};
use crate::support::{
    capture::Capture,
    lab::{Lab, Pod},
    savefile::Saved,
    send,
};

/// The files of a directory in the lab, by their names.
fn files(lab: &Lab, directory: &str) -> BTreeMap<String, PathBuf> {
    let entries = std::fs::read_dir(lab.path(directory)).unwrap();
    entries
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.path()))
        .collect()
}

fn lab() -> (Lab, [Pod; 2]) {
    let lab = Lab::new();
    let both = pods(&lab, ["a", "b"]);
    lab.run("mkdir /run/files");
    (lab, both)
}

#[test]
fn files_of_a_size_hold_all_packets_in_order() {
    let (lab, [a, b]) = lab();
    let args = ["a", "-C", "16k", "-w", "/run/files/it", OWN];
    let capture = Capture::start(&lab, &args);
    let sent = send_numbered(&lab, &a, &b, 300, 1000);
    capture.end("INT").with_code(0).assert_all(300);
    let files = files(&lab, "/run/files");
    assert!(files.len() >= 15, "{files:?}");
    let mut found = Vec::new();
    for number in 0..files.len() {
        let name = match number {
            0 => "it".to_owned(),
            number => format!("it{number}"),
        };
        let saved = Saved::read(&files[&name]);
        // A file is full by the packet that makes it so.
        let size = std::fs::metadata(&files[&name]).unwrap().len();
        assert!(size < 18 << 10, "{name}: {size}");
        assert_eq!(saved.ifaces[0].name, "a/eth0");
        assert_eq!(saved.statistics.len(), 1);
        found.extend(saved.packets.into_iter().map(|packet| packet.data));
    }
    assert_eq!(found, sent);
}

#[test]
fn a_ring_of_files_holds_the_last_packets() {
    let (lab, [a, b]) = lab();
    let args = ["a", "-C", "16k", "-W", "3", "-w", "/run/files/it", OWN];
    let capture = Capture::start(&lab, &args);
    let sent = send_numbered(&lab, &a, &b, 300, 1000);
    capture.end("INT").with_code(0).assert_all(300);
    let files = files(&lab, "/run/files");
    assert_eq!(files.keys().collect::<Vec<_>>(), ["it0", "it1", "it2"]);
    let mut found: Vec<_> = files
        .values()
        .flat_map(|path| Saved::read(path).packets)
        .collect();
    found.sort_by_key(|packet| packet.time);
    let found: Vec<_> = found.into_iter().map(|packet| packet.data).collect();
    assert!(found.len() > 30, "{}", found.len());
    assert_eq!(found, sent[300 - found.len()..]);
}

#[test]
fn files_of_a_time_hold_all_packets_until_there_are_enough() {
    let (lab, [a, b]) = lab();
    let args = ["a", "-G", "1", "-W", "2", "-w", "/run/files/%s.pcapng", OWN];
    let mut capture = Capture::start(&lab, &args);
    let frame = super::numbered(&a, &b, 0, 100);
    crate::support::wait_until("two files are full", || {
        send::frames(&lab, &a, &frame, 1);
        capture.has_ended().then_some(())
    });
    let summary = capture.wait().with_code(0);
    let files = files(&lab, "/run/files");
    assert_eq!(files.len(), 2, "{files:?}");
    let mut packets = Vec::new();
    for path in files.values() {
        let saved = Saved::read(path);
        saved.assert_in_order();
        packets.extend(saved.packets);
    }
    summary.assert_all(packets.len() as u64);
    // Named by when they begin: the first by the start, the next by its first packet.
    assert!(packets.is_sorted_by_key(|packet| packet.time));
    let second = Saved::read(files.values().next_back().unwrap());
    let begins = second.packets[0].time / 1_000_000_000;
    assert_eq!(
        files.keys().next_back().unwrap(),
        &format!("{begins}.pcapng")
    );
}
