//! The same traffic captured by tcpdump within a pod and by nstrace outside of it.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    thread,
};

use super::{file, numbered, pods, pods_of_both_families};
use crate::support::{
    capture::Capture,
    lab::{Lab, Pod},
    savefile::{Saved, SavedPacket},
    send,
    tcpdump::Tcpdump,
};

/// What ends a comparison: packets behind it may be in one capture only.
const LAST: u32 = u32::MAX;

/// Both captures of what `traffic` is: what is in them up to the end, which they agree on.
fn beside(
    lab: &Lab,
    [a, b]: &[Pod; 2],
    filter: &str,
    traffic: impl FnOnce(),
) -> (Vec<SavedPacket>, Vec<SavedPacket>) {
    let (name, path) = file(lab);
    let filter = format!("{filter} or ether proto 0x88b5");
    let capture = Capture::start(lab, &["a", "-U", "-w", name, &filter]);
    let tcpdump = Tcpdump::start(lab, a, &[&filter]);
    traffic();
    let last = numbered(a, b, LAST, 60);
    send::frames(lab, a, &last, 1);
    let is_last = |packet: &SavedPacket| packet.data == last;
    let is_there = |saved: &Saved| saved.packets.iter().any(is_last);
    tcpdump.until("the last packet is captured", is_there);
    crate::support::wait_until("the last packet is captured", || {
        is_there(&Saved::so_far(&path).0).then_some(())
    });
    let summary = capture.end("INT").with_code(0);
    summary.assert_adds_up();
    let ours = Saved::read(&path);
    summary.assert_all(ours.packets.len() as u64);
    let theirs = tcpdump.end();
    let until_last = |saved: Saved| {
        let end = saved.packets.iter().position(is_last).unwrap();
        saved.packets[..end].to_vec()
    };
    ours.assert_in_order();
    (until_last(ours), until_last(theirs))
}

/// Asserts that both hold the same packets. Both directions are queued on several CPUs, so their
/// order need not be the same.
#[track_caller]
fn assert_same(ours: &[SavedPacket], theirs: &[SavedPacket]) {
    let sorted = |packets: &[SavedPacket]| {
        let mut bytes: Vec<_> = packets
            .iter()
            .map(|packet| (packet.orig_len, packet.data.clone()))
            .collect();
        bytes.sort();
        bytes
    };
    let (ours, theirs) = (sorted(ours), sorted(theirs));
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs);
    }
}

/// Asserts that the direction of each is what its addresses say: `a` is the pod that was captured.
#[track_caller]
fn assert_directions(packets: &[SavedPacket], a: &Pod) {
    for packet in packets {
        let is_tx = packet.data[6..12] == a.mac;
        assert_eq!(packet.is_tx, Some(is_tx), "{packet:?}");
    }
}

fn exchange(lab: &Lab, [a, b]: &[Pod; 2], address: &str, bytes: usize) {
    let listener = lab.inside(&b.name, || TcpListener::bind((address, 5001)).unwrap());
    let answerer = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut received = vec![0; bytes];
        stream.read_exact(&mut received).unwrap();
        stream.write_all(&received).unwrap();
    });
    lab.inside(&a.name, || {
        let mut stream = TcpStream::connect((address, 5001)).unwrap();
        let sent: Vec<u8> = (0..=250).cycle().take(bytes).collect();
        let mut half = stream.try_clone().unwrap();
        let mut received = Vec::new();
        thread::scope(|scope| {
            scope.spawn(|| half.write_all(&sent).unwrap());
            stream.read_to_end(&mut received).unwrap();
        });
        assert!(sent == received);
    });
    answerer.join().unwrap();
}

fn count(packets: &[SavedPacket], is_meant: impl Fn(&SavedPacket) -> bool) -> usize {
    packets.iter().filter(|packet| is_meant(packet)).count()
}

#[test]
fn packets_of_every_kind_are_those_that_tcpdump_sees_in_the_pod() {
    let lab = Lab::new();
    // Nobody is introduced: they ask for each other, by ARP and by neighbour discovery.
    let both = ["a", "b"].map(|name| lab.pod(name));
    for pod in &both {
        lab.up(pod);
    }
    let [a, b] = &both;
    // Groups are reported whenever the kernel likes.
    let (ours, theirs) = beside(&lab, &both, "not (ip6 and ip6[6] == 0)", || {
        exchange(&lab, &both, &b.ipv4, 1000);
        exchange(&lab, &both, &b.ipv6, 1000);
        send::udp(&lab, a, b, &b.ipv4, 20, 100);
        send::udp(&lab, b, a, &a.ipv4, 10, 1400);
        // Larger than the MTU: fragments.
        send::udp(&lab, a, b, &b.ipv4, 3, 4000);
        send::udp(&lab, a, b, &b.ipv6, 20, 100);
        send::udp(&lab, b, a, &a.ipv6, 10, 1);
        lab.run(&format!(
            "ip netns exec a busybox ping -q -c 3 -i 0.01 {}",
            b.ipv4
        ));
        lab.run(&format!(
            "ip netns exec a busybox ping6 -q -c 3 -i 0.01 {}",
            b.ipv6
        ));
        send::frames(&lab, a, &send::arp(a, 60), 5);
    });
    assert_same(&ours, &theirs);
    assert_directions(&ours, a);
    let ipv4 = |protocol: u8| {
        move |packet: &SavedPacket| packet.ethertype() == 0x0800 && packet.data[23] == protocol
    };
    let ipv6 = |protocol: u8| {
        move |packet: &SavedPacket| packet.ethertype() == 0x86dd && packet.data[20] == protocol
    };
    assert_eq!(count(&ours, ipv4(17)), 20 + 10 + 3 * 3);
    assert_eq!(count(&ours, ipv6(17)), 30);
    assert_eq!(count(&ours, ipv4(1)), 6);
    let echo = |packet: &SavedPacket| ipv6(58)(packet) && packet.data[54] >> 1 == 64;
    assert_eq!(count(&ours, echo), 6);
    // A question and its answer at least.
    assert!(count(&ours, ipv6(58)) >= 6 + 2);
    assert!(count(&ours, |packet| packet.ethertype() == 0x0806) >= 5 + 2);
    assert!(count(&ours, ipv4(6)) >= 8);
    assert!(count(&ours, ipv6(6)) >= 8);
}

/// The tag is beside the bytes when a packet reaches the hook, and in them in the file.
#[test]
fn tagged_packets_are_those_that_tcpdump_sees_in_the_pod() {
    let lab = Lab::new();
    let both = pods(&lab, ["a", "b"]);
    let [a, b] = &both;
    let ctag = [0x81, 0x00, 0x60, 0x05, 0x08, 0x00, 0x45, 0, 0, 46];
    let stag = [0x88, 0xa8, 0x00, 0x07, 0x81, 0x00, 0x00, 0x09, 0x08, 0x00];
    let sent = [
        send::ethernet(a, b, &ctag, 64),
        send::ethernet(a, b, &stag, 68),
        send::ethernet(b, a, &ctag, 1518),
        send::ethernet(b, a, &stag, 200),
    ];
    let (ours, theirs) = beside(&lab, &both, "len > 0", || {
        for (nth, frame) in sent.iter().enumerate() {
            send::frames(&lab, if nth < 2 { a } else { b }, frame, 30);
        }
    });
    let is_tagged = |packet: &&SavedPacket| [0x8100, 0x88a8].contains(&packet.ethertype());
    let [ours, theirs] = [ours, theirs]
        .map(|packets| -> Vec<SavedPacket> { packets.iter().filter(is_tagged).cloned().collect() });
    assert_same(&ours, &theirs);
    assert_directions(&ours, a);
    assert_eq!(ours.len(), 4 * 30);
    for frame in &sent {
        assert_eq!(count(&ours, |packet| packet.data == *frame), 30);
    }
}

/// Super-packets pass a veth whole, so both see the same ones.
#[test]
fn super_packets_are_those_that_tcpdump_sees_in_the_pod() {
    const BYTES: usize = 2_000_000;

    let lab = Lab::new();
    let both = pods_of_both_families(&lab, ["a", "b"]);
    let (ours, theirs) = beside(&lab, &both, "tcp", || {
        exchange(&lab, &both, &both[1].ipv4, BYTES);
        exchange(&lab, &both, &both[1].ipv6, BYTES);
    });
    assert_same(&ours, &theirs);
    assert_directions(&ours, &both[0]);
    let is_super = |is_tx| {
        move |packet: &SavedPacket| packet.data.len() > 10_000 && packet.is_tx == Some(is_tx)
    };
    assert!(count(&ours, is_super(true)) > 0);
    assert!(count(&ours, is_super(false)) > 0);
    assert!(
        ours.iter()
            .all(|packet| packet.data.len() == packet.orig_len as usize)
    );
}
