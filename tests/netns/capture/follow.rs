//! Namespaces that come and go in mid-capture.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Instant,
};

use super::{OWN, file, numbered, pods, remove, send_numbered};
use crate::support::lab::Lab;
use crate::support::{capture::Capture, savefile::Saved, send};

#[test]
fn a_pod_that_comes_in_mid_capture_is_in_the_file_by_its_name() {
    let lab = Lab::new();
    let [a] = pods(&lab, ["a"]);
    let (name, path) = file(&lab);
    let capture = Capture::start(&lab, &["--all", "-w", name, OWN]);
    let before = Instant::now();
    let late = lab.pod("late");
    capture.until_follows("late/eth0");
    let waited = before.elapsed();
    lab.up(&late);
    let sent = send_numbered(&lab, &late, &a, 50, 100);
    let summary = capture.end("INT").with_code(0);
    summary.assert_all(100);
    assert_eq!(summary.of("late/eth0"), [50, 50, 0, 0]);

    let saved = Saved::read(&path);
    let names: Vec<&str> = saved
        .ifaces
        .iter()
        .map(|iface| iface.name.as_str())
        .collect();
    assert_eq!(names, ["a/eth0", "late/eth0"]);
    for (number, is_tx) in [(1, true), (0, false)] {
        let of_iface = saved.packets.iter().filter(|packet| packet.iface == number);
        let of_iface: Vec<_> = of_iface.collect();
        assert!(of_iface.iter().all(|packet| packet.is_tx == Some(is_tx)));
        let bytes: Vec<_> = of_iface.iter().map(|packet| &packet.data).collect();
        assert_eq!(bytes, sent.iter().collect::<Vec<_>>());
    }
    // How long it took stands on the summary, and in the statistics of its interface.
    for (number, since) in [(0, "the capture began"), (1, "it appeared")] {
        let said = &summary.ifaces[number].1.attached;
        assert_eq!(saved.statistics[number].iface, number);
        assert_eq!(saved.statistics[number].comment.as_ref(), Some(said));
        let millis = said.strip_prefix("attached ").unwrap();
        let millis = millis.strip_suffix(&format!(" ms after {since}")).unwrap();
        let millis: f64 = millis.parse().unwrap();
        assert!(millis > 0.0, "{said}");
        assert!(
            number == 0 || millis <= waited.as_secs_f64() * 1000.0,
            "{said}"
        );
    }
    // Its addresses came while the names of the others were written already.
    assert!(
        saved
            .names
            .contains(&(late.ipv4.parse().unwrap(), "late".to_owned()))
    );
}

#[test]
fn a_target_that_comes_again_is_another_interface_of_the_file() {
    let lab = Lab::new();
    let [a, b] = pods(&lab, ["a", "b"]);
    let (name, path) = file(&lab);
    let capture = Capture::start(&lab, &["b", "-w", name, OWN]);
    let first = send_numbered(&lab, &b, &a, 30, 100);
    remove(&lab, &b);
    let again = lab.pod("b");
    capture.until_follows("b/eth0");
    lab.up(&again);
    let second = send_numbered(&lab, &again, &a, 20, 200);
    let summary = capture.end("INT").with_code(0);
    summary.assert_all(50);

    let saved = Saved::read(&path);
    assert_eq!(saved.ifaces.len(), 2);
    assert!(saved.ifaces.iter().all(|iface| iface.name == "b/eth0"));
    // Even its inode may be the same again.
    for (iface, pod) in saved.ifaces.iter().zip([&b, &again]) {
        assert_eq!(iface.mac, Some(pod.mac));
    }
    let of = |number| -> Vec<&Vec<u8>> {
        let packets = saved.packets.iter();
        let of_iface = packets.filter(|packet| packet.iface == number);
        of_iface.map(|packet| &packet.data).collect()
    };
    assert_eq!(of(0), first.iter().collect::<Vec<_>>());
    assert_eq!(of(1), second.iter().collect::<Vec<_>>());
    let counted = saved.statistics.iter();
    let counted: Vec<_> = counted
        .map(|of| (of.iface, of.matched, of.captured))
        .collect();
    assert_eq!(counted, [(0, Some(30), Some(30)), (1, Some(20), Some(20))]);
}

#[test]
fn without_following_it_ends_when_all_is_gone() {
    let lab = Lab::new();
    let [a, b] = pods(&lab, ["a", "b"]);
    let (name, path) = file(&lab);
    let capture = Capture::start(&lab, &["a", "b", "--no-follow", "-w", name, OWN]);
    let sent = send_numbered(&lab, &a, &b, 10, 100);
    capture.until_matched(20);
    // It is seen, as the others' end is, and makes no difference.
    remove(&lab, &a);
    lab.pod("a");
    remove(&lab, &b);
    let ended = capture.wait();
    ended.with_code(4).assert_all(20);
    assert!(
        ended
            .errors
            .contains("everything that was captured is gone"),
        "{}",
        ended.errors
    );
    let saved = Saved::read(&path);
    assert_eq!(
        saved.by_iface().into_iter().collect::<Vec<_>>(),
        [("a/eth0", 10), ("b/eth0", 10)]
    );
    assert_eq!(saved.ifaces.len(), 2);
    assert_eq!(
        saved
            .bytes()
            .iter()
            .filter(|bytes| **bytes == sent[9])
            .count(),
        2
    );
}

/// Says to stop, also where a test ends by a panic.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Those that were read before its end was seen, and those after.
#[test]
fn a_pod_that_goes_in_mid_traffic_leaves_no_packet_unaccounted_for() {
    let lab = Lab::new();
    let [a, b] = pods(&lab, ["a", "b"]);
    let (name, path) = file(&lab);
    let capture = Capture::start(&lab, &["--all", "-w", name, OWN]);
    let stop = AtomicBool::new(false);
    let sent = thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let mut sent = 0;
            while !stop.load(Ordering::Relaxed) {
                send::frames(&lab, &a, &numbered(&a, &b, sent, 100), 100);
                sent += 100;
            }
            sent
        });
        let stop = Stop(&stop);
        capture.until_matched(1000);
        remove(&lab, &b);
        let seen = capture.summary().matched;
        capture.until_matched(seen + 1000);
        drop(stop);
        sender.join().unwrap()
    });
    capture.until_summary("all of a's are read", |summary| {
        summary.of("a/eth0")[1] >= u64::from(sent)
    });
    let summary = capture.end("INT").with_code(0);
    summary.assert_adds_up();
    assert_eq!(summary.lost_disk + summary.lost_ring, 0);
    let [captured, ..] = summary.of("a/eth0");
    assert_eq!(captured, u64::from(sent));
    let of_b = summary.of("b/eth0")[0];
    assert!((500..captured).contains(&of_b), "{of_b} of {captured}");
    let saved = Saved::read(&path);
    // Its name goes before its veth, which makes no other interface of it.
    let counts = saved.by_iface().into_iter();
    let counts: Vec<_> = counts.map(|(name, count)| (name, count as u64)).collect();
    assert_eq!(counts, [("a/eth0", captured), ("b/eth0", of_b)]);
    assert_eq!(saved.packets.len() as u64, summary.captured);
    saved.assert_in_order();
}
