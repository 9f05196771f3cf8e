//! Outputs that cannot be made, or take no more.

use std::{
    fs,
    io::{Read as _, pipe},
};

use super::{OWN, file, pods, send_numbered};
use crate::{
    residue::attached,
    support::{capture::Capture, lab::Lab, nstrace::run, savefile::Saved, send},
};

#[test]
fn a_file_that_is_there_is_left_alone_unless_forced() {
    let lab = Lab::new();
    let both = pods(&lab, ["a", "b"]);
    let before = attached(&lab, &both);
    let (name, path) = file(&lab);
    fs::write(&path, "somebody's").unwrap();
    let output = run(&lab, &["capture", "a", "-w", name, OWN]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(5), "{errors}");
    assert_eq!(
        errors,
        format!(
            "nstrace: create the capture file {name}: it exists\n\
             hint: choose another name, or replace it: --force\n"
        )
    );
    assert_eq!(fs::read(&path).unwrap(), b"somebody's");
    assert_eq!(attached(&lab, &both), before);
    let capture = Capture::start(&lab, &["a", "--force", "-w", name, OWN]);
    let sent = send_numbered(&lab, &both[0], &both[1], 10, 100);
    capture.end("INT").with_code(0).assert_all(10);
    assert_eq!(Saved::read(&path).bytes(), sent.iter().collect::<Vec<_>>());
}

#[test]
fn a_file_system_that_is_read_only_is_refused() {
    let lab = Lab::new();
    let both = pods(&lab, ["a", "b"]);
    let before = attached(&lab, &both);
    lab.shell("mkdir /run/fixed; mount -t tmpfs -o ro tmpfs /run/fixed");
    let output = run(&lab, &["capture", "a", "-w", "/run/fixed/it.pcapng", OWN]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(5), "{errors}");
    assert!(
        errors.contains("create the capture file /run/fixed/it.pcapng: Read-only file system"),
        "{errors}"
    );
    assert_eq!(attached(&lab, &both), before);
}

/// Sends until the capture has ended, since nobody reads any more.
fn until_ended(
    lab: &Lab,
    capture: &mut Capture<'_>,
    frame: &[u8],
    from: &crate::support::lab::Pod,
) {
    crate::support::wait_until("the capture ends", || {
        send::frames(lab, from, frame, 1);
        capture.has_ended().then_some(())
    });
}

#[test]
fn a_pipe_that_is_closed_is_an_error_of_a_capture_file() {
    let lab = Lab::new();
    let [a, b] = pods(&lab, ["a", "b"]);
    let (mut reader, writer) = pipe().unwrap();
    let mut capture = Capture::start_into(&lab, &["a", "-w", "-", OWN], writer);
    let sent = send_numbered(&lab, &a, &b, 1, 100);
    // Written at once, since somebody may be looking.
    let mut read: Vec<u8> = Vec::new();
    let mut buffer = [0; 4096];
    while !read.windows(100).any(|window| window == sent[0]) {
        let length = reader.read(&mut buffer).unwrap();
        assert_ne!(length, 0);
        read.extend(&buffer[..length]);
    }
    drop(reader);
    until_ended(&lab, &mut capture, &sent[0], &a);
    let ended = capture.wait();
    let summary = ended.with_code(5);
    summary.assert_adds_up();
    assert_eq!(summary.captured, 1);
    assert!(summary.lost_disk > 0);
    assert!(
        ended.errors.contains("which ends whole after 1 packets")
            && ended.errors.contains("Broken pipe"),
        "{}",
        ended.errors
    );
}

#[test]
fn a_pipe_that_is_closed_is_a_normal_end_of_text() {
    let lab = Lab::new();
    let [a, b] = pods(&lab, ["a", "b"]);
    for format in ["text", "json"] {
        let (mut reader, writer) = pipe().unwrap();
        let mut capture = Capture::start_into(&lab, &["a", "-o", format, OWN], writer);
        let sent = send_numbered(&lab, &a, &b, 1, 100);
        assert_ne!(reader.read(&mut [0; 4096]).unwrap(), 0);
        drop(reader);
        until_ended(&lab, &mut capture, &sent[0], &a);
        let ended = capture.wait();
        ended.with_code(0).assert_adds_up();
        assert!(!ended.errors.contains("nstrace: print"), "{}", ended.errors);
    }
}

/// The file holds whole packets, as many as are said to be captured; the rest is said to be lost.
#[test]
fn a_full_disk_leaves_a_whole_file_and_exact_counts() {
    const SENT: u32 = 2000;
    const FILE: &str = "/run/small/it.pcapng";

    let lab = Lab::new();
    let [a, b] = pods(&lab, ["a", "b"]);
    lab.run("mkdir /run/small");
    for (size, options, message) in [
        ("256k", &[][..], "No space left on device"),
        ("256k", &["-U"], "No space left on device"),
        ("256k", &["--format", "pcap"], "No space left on device"),
        ("4m", &["--min-free", "2m"], "the file system is down to "),
    ] {
        lab.run(&format!("mount -t tmpfs -o size={size} tmpfs /run/small"));
        let args = [&["a", "b", "-w", FILE], options, &[OWN]].concat();
        let capture = Capture::start(&lab, &args);
        // All are in the ring before the first is written, so that it is known how many there are.
        capture.signal("STOP");
        let sent = send_numbered(&lab, &a, &b, SENT, 1000);
        capture.go_on();
        let ended = capture.wait();
        let summary = ended.with_code(5);
        summary.assert_adds_up();
        assert_eq!(summary.matched, 2 * u64::from(SENT), "{options:?}");
        assert!(
            summary.captured > 0 && summary.lost_disk > 0,
            "{summary:#?}"
        );
        assert!(ended.errors.contains(message), "{}", ended.errors);
        let told = format!("which ends whole after {} packets", summary.captured);
        assert!(ended.errors.contains(&told), "{told}: {}", ended.errors);
        let saved = Saved::read(&lab.path(FILE));
        assert_eq!(saved.packets.len() as u64, summary.captured, "{options:?}");
        assert!(
            saved
                .packets
                .iter()
                .all(|packet| sent.contains(&packet.data))
        );
        assert_eq!(saved.packets[0].data, sent[0]);
        lab.run("umount /run/small");
    }
}
