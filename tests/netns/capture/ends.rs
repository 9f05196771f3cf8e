//! How a capture ends, and what it does when it is asked meanwhile.

use std::{
    os::unix::fs::PermissionsExt as _,
    time::{Duration, Instant},
};

use super::{OWN, file, pods, send_numbered};
use crate::{
    residue::attached,
    support::{
        capture::{Capture, Summary},
        lab::Lab,
        nstrace::run,
        savefile::Saved,
        wait_until,
    },
};

#[test]
fn a_count_is_captured_to_the_packet() {
    let lab = Lab::new();
    let [a, b] = pods(&lab, ["a", "b"]);
    let (name, path) = file(&lab);
    let before = attached(&lab, &[a.clone(), b.clone()]);
    let capture = Capture::start(&lab, &["a", "-c", "25", "-w", name, OWN]);
    let printing = Capture::start(&lab, &["a", "-c", "10", "-t", "-e", OWN]);
    let ring = Capture::start(
        &lab,
        &["a", "b", "--buffer", "8k", "-c", "15", "-w", "/run/b", OWN],
    );
    ring.signal("STOP");
    let sent = send_numbered(&lab, &a, &b, 100, 100);
    let ended = capture.wait();
    ended.with_code(0).assert_all(25);
    let saved = Saved::read(&path);
    assert_eq!(saved.bytes(), sent[..25].iter().collect::<Vec<_>>());
    assert_eq!(saved.statistics[0].captured, Some(25));
    assert_eq!(saved.statistics[0].matched, Some(25));
    let ended = printing.wait();
    ended.with_code(0).assert_all(10);
    let text = String::from_utf8(ended.output).unwrap();
    let of_packet = |line: &&str| line.contains("ethertype Unknown (0x88b5)");
    assert_eq!(text.lines().filter(of_packet).count(), 10, "{text}");
    // What was lost behind the last one is not of this capture.
    ring.go_on();
    let summary = ring.wait().with_code(0);
    summary.assert_adds_up();
    assert_eq!((summary.captured, summary.matched), (15, 15));
    assert_eq!(Saved::read(&lab.path("/run/b")).packets.len(), 15);
    assert_eq!(attached(&lab, &[a, b]), before);
}

#[test]
fn a_duration_ends_it() {
    let lab = Lab::new();
    let [a, b] = pods(&lab, ["a", "b"]);
    let (name, path) = file(&lab);
    let start = Instant::now();
    let capture = Capture::start(&lab, &["a", "--duration", "1", "-w", name, OWN]);
    send_numbered(&lab, &a, &b, 10, 100);
    let summary = capture.wait().with_code(0);
    assert!(start.elapsed() >= Duration::from_secs(1));
    let captured = Saved::read(&path).packets.len();
    summary.assert_all(captured as u64);
}

#[test]
fn a_signal_that_ends_it_leaves_a_whole_file_and_nothing_attached() {
    let lab = Lab::new();
    let both = pods(&lab, ["a", "b"]);
    let [a, b] = &both;
    let before = attached(&lab, &both);
    let (name, path) = file(&lab);
    for signal in ["INT", "TERM", "HUP"] {
        let capture = Capture::start(&lab, &["--all", "--force", "-w", name, OWN]);
        assert_ne!(attached(&lab, &both), before);
        let sent = send_numbered(&lab, a, b, 50, 100);
        capture.end(signal).with_code(0).assert_all(100);
        assert_eq!(attached(&lab, &both), before, "{signal}");
        let saved = Saved::read(&path);
        assert_eq!(saved.packets.len(), 100);
        assert!(
            sent.iter()
                .all(|sent| { saved.bytes().iter().filter(|bytes| *bytes == sent).count() == 2 })
        );
        assert_eq!(saved.statistics.len(), 2);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
    }
}

#[test]
fn the_summary_is_told_while_it_goes_on() {
    let lab = Lab::new();
    let [a, b] = pods(&lab, ["a", "b"]);
    let (name, _) = file(&lab);
    let capture = Capture::start(&lab, &["a", "-w", name, OWN]);
    capture.summary().assert_all(0);
    for round in 1..=3 {
        send_numbered(&lab, &a, &b, 10, 100);
        capture.until_matched(round * 10).assert_all(round * 10);
    }
    let ended = capture.end("INT");
    ended.with_code(0).assert_all(30);
    assert!(Summary::all(&ended.errors).len() >= 5);
}

/// What waits is written at once. Without being asked it is written twice a minute.
#[test]
fn what_waits_is_written_when_asked_for() {
    let lab = Lab::new();
    let [a, b] = pods(&lab, ["a", "b"]);
    let (name, path) = file(&lab);
    let capture = Capture::start(&lab, &["a", "-w", name, OWN]);
    for round in 1..=10 {
        let expected = round * 20;
        let sent = send_numbered(&lab, &a, &b, 20, 100);
        capture.until_matched(expected);
        capture.signal("USR2");
        let start = Instant::now();
        let saved = wait_until("all are in the file", || {
            let (saved, error) = Saved::so_far(&path);
            (error.is_none() && saved.packets.len() as u64 >= expected).then_some(saved)
        });
        let took = start.elapsed();
        assert!(took < Duration::from_secs(10), "{took:?}");
        assert_eq!(saved.packets.len() as u64, expected);
        assert_eq!(
            saved.bytes()[saved.packets.len() - 20..],
            sent.iter().collect::<Vec<_>>()
        );
        assert_eq!(saved.statistics, []);
    }
    capture.end("INT").with_code(0).assert_all(200);
}

#[test]
fn a_wrong_expression_is_shown_with_its_place_and_nothing_is_made() {
    let lab = Lab::new();
    let both = pods(&lab, ["a", "b"]);
    let before = attached(&lab, &both);
    let (name, path) = file(&lab);
    let output = run(&lab, &["capture", "a", "-w", name, "tcp prot 80"]);
    assert_eq!(output.status.code(), Some(2));
    let errors = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<&str> = errors.lines().collect();
    let place = lines
        .iter()
        .position(|line| line.contains("tcp prot 80") && !line.contains("nstrace:"));
    let place = place.unwrap_or_else(|| panic!("{errors}"));
    assert_eq!(
        lines[place + 1].find('^'),
        lines[place].find("prot"),
        "{errors}"
    );
    assert!(!path.exists());
    assert_eq!(attached(&lab, &both), before);
}
