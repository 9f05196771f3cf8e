//! Which packets, which way, and how much of each.

use std::{
    panic::resume_unwind,
    thread::{self, ScopedJoinHandle},
};

use super::{pods, send_numbered};
use crate::support::{
    capture::Capture,
    lab::Lab,
    savefile::{Saved, SavedPacket},
    send,
};

/// Captures at the same time, each with options of its own.
struct Captures<'a> {
    lab: &'a Lab,
    running: Vec<(&'a str, Capture<'a>)>,
}

impl<'a> Captures<'a> {
    fn start(lab: &'a Lab, all: &[&'a str]) -> Self {
        let running = at_once(all.iter().enumerate(), |(nth, options)| {
            let file = format!("/run/{nth}.pcapng");
            let args = [vec!["-w", &file], options.split(' ').collect()].concat();
            (*options, Capture::start(lab, &args))
        });
        Self { lab, running }
    }

    /// Ends them, and gives each one's file.
    fn end(self) -> Vec<(&'a str, Saved)> {
        let lab = self.lab;
        at_once(
            self.running.into_iter().enumerate(),
            |(nth, (options, capture))| {
                let summary = capture.end("INT").with_code(0);
                let saved = Saved::read(&lab.path(&format!("/run/{nth}.pcapng")));
                summary.assert_all(saved.packets.len() as u64);
                (options, saved)
            },
        )
    }
}

/// Does something with each, all at the same time.
fn at_once<I: Send, T: Send>(
    each: impl Iterator<Item = I>,
    work: impl Fn(I) -> T + Sync,
) -> Vec<T> {
    let work = &work;
    thread::scope(|scope| {
        let threads: Vec<_> = each.map(|one| scope.spawn(move || work(one))).collect();
        let joined = threads.into_iter().map(ScopedJoinHandle::join);
        joined
            .map(|result| result.unwrap_or_else(|panic| resume_unwind(panic)))
            .collect()
    })
}

#[test]
fn directions_are_those_of_the_pod() {
    let lab = Lab::new();
    let [a, b] = pods(&lab, ["a", "b"]);
    let all = [
        "a ether proto 0x88b5",
        "a inbound and ether proto 0x88b5",
        "a outbound and ether proto 0x88b5",
        "-Q in a ether proto 0x88b5",
        "-Q out a ether proto 0x88b5",
        "-Q inout a not outbound and ether proto 0x88b5",
        "-Q in a outbound and ether proto 0x88b5",
    ];
    let captures = Captures::start(&lab, &all);
    let out = send_numbered(&lab, &a, &b, 7, 100);
    let into = send_numbered(&lab, &b, &a, 5, 100);
    let both = [&out[..], &into[..]].concat();
    let expected = [&both, &into, &out, &into, &out, &into, &Vec::new()];
    for ((options, saved), expected) in captures.end().into_iter().zip(expected) {
        assert_eq!(
            saved.bytes(),
            expected.iter().collect::<Vec<_>>(),
            "{options}"
        );
        let is_right = |packet: &SavedPacket| packet.is_tx == Some(packet.data[6..12] == a.mac);
        assert!(saved.packets.iter().all(is_right), "{options}");
    }
}

/// The kernel has moved the tag beside the bytes by the time the filter runs.
#[test]
fn a_tag_is_seen_by_the_filter_and_put_back_into_the_bytes() {
    let lab = Lab::new();
    let [a, b] = pods(&lab, ["a", "b"]);
    let all = [
        "a b vlan",
        "a b vlan 5",
        "a b vlan 6",
        "a b vlan 7",
        "a b not vlan",
        "a b vlan and udp",
        "a b vlan 5 and host 192.0.2.1",
        "a b vlan 7 and vlan 9",
        "a b ether proto 0x88b5",
        "a b ether[12:2] == 0x88b5",
    ];
    let captures = Captures::start(&lab, &all);
    let ipv4 = [
        0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2,
    ];
    let tagged = |tags: &[u8]| send::ethernet(&a, &b, &[tags, &[8, 0], &ipv4].concat(), 80);
    let five = tagged(&[0x81, 0, 0x60, 5]);
    let six = tagged(&[0x81, 0, 0, 6]);
    let double = tagged(&[0x88, 0xa8, 0, 7, 0x81, 0, 0, 9]);
    for frame in [&five, &six, &double] {
        send::frames(&lab, &a, frame, 4);
    }
    // Behind the others.
    let plain = send_numbered(&lab, &a, &b, 3, 80);

    let four = |frames: &[&Vec<u8>]| -> Vec<Vec<u8>> {
        let each = frames.iter().flat_map(|frame| vec![(*frame).clone(); 4]);
        each.collect()
    };
    let expected = [
        four(&[&five, &six, &double]),
        four(&[&five]),
        four(&[&six]),
        four(&[&double]),
        plain.clone(),
        // Behind the outer tag of the doubly tagged ones stands another tag.
        four(&[&five, &six]),
        four(&[&five]),
        four(&[&double]),
        plain.clone(),
        plain,
    ];
    for ((options, saved), expected) in captures.end().into_iter().zip(expected) {
        for number in 0..2 {
            let packets = saved.packets.iter();
            let of_iface = packets.filter(|packet| packet.iface == number);
            let bytes: Vec<_> = of_iface.map(|packet| packet.data.clone()).collect();
            let name = &saved.ifaces[number].name;
            assert_eq!(bytes, expected, "{options}: {name}");
        }
    }
}

#[test]
fn a_snaplen_cuts_packets_and_tells_their_length() {
    let lab = Lab::new();
    let [a, b] = pods(&lab, ["a", "b"]);
    let all = [
        "-s 96 a ether proto 0x88b5 or vlan",
        "-s 0 a ether proto 0x88b5 or vlan",
    ];
    let captures = Captures::start(&lab, &all);
    let tagged = send::ethernet(&a, &b, &[0x81, 0, 0, 5, 0x88, 0xb5], 1004);
    send::frames(&lab, &a, &tagged, 1);
    let sent = [95, 96, 97, 1514].map(|length| send_numbered(&lab, &a, &b, 1, length).remove(0));
    let sent = [vec![tagged], sent.to_vec()].concat();
    for ((_, saved), snaplen) in captures.end().into_iter().zip([96, 262_144]) {
        assert_eq!(saved.ifaces[0].snaplen, snaplen);
        assert_eq!(saved.packets.len(), sent.len());
        for (packet, sent) in saved.packets.iter().zip(&sent) {
            assert_eq!(packet.data, sent[..sent.len().min(snaplen as usize)]);
            assert_eq!(packet.orig_len as usize, sent.len());
        }
    }
}
