//! What a super-packet is on a wire.

use nstrace::state::flow::Counts;
use nstrace_ebpf::wire::{Hook, LostReason, Owner};

use super::{
    HOOKS, LO, Rig,
    packets::{
        ACK, IPV4, IPV6, Packet, SCTP, TCP, UDP, extended, frame, ipv4, ipv6, sctp, tcp, udp,
    },
};
use crate::support::{bpf::SkBuff, lab::Lab};

const PORTS: [u16; 2] = [40_000, 443];
const PAYLOAD: usize = 2500;
/// Bytes of an option field that says nothing.
const NO_OPERATION: [u8; 40] = [1; 40];

/// Every kind of packet that can be a super-packet, with the length of its headers.
fn shapes() -> Vec<(&'static str, usize, Vec<u8>)> {
    let (short, long) = (&NO_OPERATION[..12], &NO_OPERATION[..]);
    let tcp = |options| tcp(PORTS, ACK, options, PAYLOAD);
    let udp = udp(PORTS, PAYLOAD);
    let tcp4 = |ip, options| ipv4(TCP, IPV4, ip, &tcp(options));
    let tcp6 = |options| ipv6(TCP, IPV6, &tcp(options));
    let (v4, v6, tag, provider) = (0x0800, 0x86dd, 0x8100, 0x88a8);
    vec![
        ("TCP", 54, frame(&[], v4, &tcp4(&[], &[]))),
        ("TCP options", 66, frame(&[], v4, &tcp4(&[], short))),
        ("full TCP header", 94, frame(&[], v4, &tcp4(&[], long))),
        ("IP options", 66, frame(&[], v4, &tcp4(short, &[]))),
        ("both full", 134, frame(&[], v4, &tcp4(long, long))),
        ("a tag", 58, frame(&[tag], v4, &tcp4(&[], &[]))),
        (
            "two tags",
            74,
            frame(&[provider, tag], v4, &tcp4(&[], short)),
        ),
        ("TCP 6", 74, frame(&[], v6, &tcp6(&[]))),
        ("TCP 6 options", 86, frame(&[], v6, &tcp6(short))),
        ("TCP 6, a tag", 78, frame(&[tag], v6, &tcp6(&[]))),
        (
            "TCP 6, hop-by-hop",
            82,
            frame(&[], v6, &ipv6(0, IPV6, &extended(TCP, 8, &tcp(&[])))),
        ),
        (
            "TCP 6, routing and destination options",
            14 + 40 + 24 + 16 + 32,
            frame(
                &[],
                v6,
                &ipv6(43, IPV6, &extended(60, 24, &extended(TCP, 16, &tcp(short)))),
            ),
        ),
        ("UDP", 42, frame(&[], v4, &ipv4(UDP, IPV4, &[], &udp))),
        (
            "UDP, IP options",
            54,
            frame(&[], v4, &ipv4(UDP, IPV4, short, &udp)),
        ),
        (
            "UDP, a tag",
            46,
            frame(&[tag], v4, &ipv4(UDP, IPV4, &[], &udp)),
        ),
        ("UDP 6", 62, frame(&[], v6, &ipv6(UDP, IPV6, &udp))),
        (
            "SCTP",
            46,
            frame(&[], v4, &ipv4(SCTP, IPV4, &[], &sctp(PORTS, PAYLOAD))),
        ),
        (
            "SCTP 6",
            66,
            frame(&[], v6, &ipv6(SCTP, IPV6, &sctp(PORTS, PAYLOAD))),
        ),
        (
            "UDP 6, destination options",
            70,
            frame(&[], v6, &ipv6(60, IPV6, &extended(UDP, 8, &udp))),
        ),
    ]
}

/// Runs every shape in both directions, as `make` has it of a size of segments.
fn check(sizes: &[usize], make: impl Fn(Vec<u8>, usize) -> Packet) {
    let mut rig = Rig::new();
    for (name, headers, bytes) in shapes() {
        assert_eq!(bytes.len(), headers + PAYLOAD, "{name}");
        rig.renew();
        for (times, size) in (1..).zip(sizes) {
            for hook in HOOKS {
                rig.repeat(hook, &make(bytes.clone(), *size), times);
            }
        }
        assert_eq!(rig.totals(), rig.sent, "{name}");
        let flows = rig.assert_all_in_flows();
        let counts: Vec<_> = flows.values().map(|flow| flow.counts).collect();
        // With source and destination as they are, each direction is a flow of its own.
        assert_eq!(counts.len(), 2, "{name}");
    }
}

/// Of 1, of two, with a shorter one at the end, with one byte there, one byte each.
const SIZES: [usize; 6] = [2500, 1250, 1000, 833, 2499, 1];

#[test]
fn a_super_packet_is_its_segments_each_with_its_own_headers() {
    check(&SIZES, |bytes, size| {
        Packet::segmented(bytes, PAYLOAD, size, true)
    });
}

/// As they come from a virtual machine (`SKB_GSO_DODGY`).
#[test]
fn segments_that_nobody_has_counted_are_counted() {
    check(&SIZES, |bytes, size| {
        Packet::segmented(bytes, PAYLOAD, size, false)
    });
}

#[test]
fn a_plain_packet_is_on_the_wire_what_it_is() {
    check(&[0], |bytes, _| Packet::plain(bytes));
}

#[test]
fn a_segment_alone_has_no_other_headers() {
    // The size is longer than what is there.
    check(&[3000], |bytes, size| {
        Packet::segmented(bytes, PAYLOAD, size, true)
    });
    check(&[3000], |bytes, size| {
        Packet::segmented(bytes, PAYLOAD, size, false)
    });
}

/// Such numbers make no sense, and must wrap nowhere.
#[test]
fn the_most_segments_that_can_be_said_are_counted() {
    const MOST: u32 = 0xffff;
    let bytes = frame(&[], 0x0800, &ipv4(TCP, IPV4, &[], &tcp(PORTS, ACK, &[], 1)));
    let extra = u64::from(MOST - 1);
    let packet = Packet::said_to_be(
        bytes.clone(),
        SkBuff::segmented(MOST, 1),
        (1 + extra, bytes.len() as u64 + extra * 54),
    );
    let mut rig = Rig::new();
    for hook in HOOKS {
        rig.repeat(hook, &packet, 5);
    }
    rig.assert_all_in_flows();
}

/// Headers only: nothing is left to be segmented.
#[test]
fn a_super_packet_without_payload_is_one_packet() {
    for bytes in [
        ipv4(TCP, IPV4, &[], &tcp(PORTS, ACK, &[], 0)),
        ipv4(UDP, IPV4, &[], &udp(PORTS, 0)),
    ] {
        let bytes = frame(&[], 0x0800, &bytes);
        let wire = (1, bytes.len() as u64);
        let mut rig = Rig::new();
        let packet = Packet::said_to_be(bytes, SkBuff::segmented(0, 1448), wire);
        rig.repeat(Hook::Ingress, &packet, 3);
        rig.assert_all_in_flows();
    }
}

#[test]
fn without_flows_totals_are_right_and_nothing_else_is_counted() {
    let mut rig = Rig::with(0, 16, 8);
    for (_, _, bytes) in shapes() {
        for hook in HOOKS {
            rig.repeat(
                hook,
                &Packet::segmented(bytes.clone(), PAYLOAD, 1000, true),
                3,
            );
        }
    }
    assert_eq!(rig.totals(), rig.sent);
    assert!(rig.flows().is_empty());
    assert_eq!(rig.other(), [Counts::default(); 2]);
    assert_eq!(rig.lost(LostReason::NoFlowRoom), 0);
}

#[test]
fn an_interface_without_a_slot_is_lost_and_counted_nowhere() {
    let mut rig = Rig::new();
    let bytes = frame(&[], 0x0800, &ipv4(UDP, IPV4, &[], &udp(PORTS, 10)));
    let packet = Packet::plain(bytes);
    rig.repeat(Hook::Ingress, &packet, 5);
    rig.assert_all_in_flows();

    rig.kernel.slots.set(LO, None).unwrap();
    rig.run(Hook::Ingress, &packet, 3);
    rig.run(Hook::Egress, &packet, 4);
    assert_eq!(rig.lost(LostReason::NoSlot), 7);
    assert_eq!(rig.totals(), rig.sent);

    // A slot that there is not.
    let beyond = Owner {
        slot: u16::MAX,
        ..rig.owner
    };
    rig.kernel.slots.set(LO, Some(beyond)).unwrap();
    rig.run(Hook::Ingress, &packet, 2);
    assert_eq!(rig.lost(LostReason::NoSlot), 9);
    assert_eq!(rig.totals(), rig.sent);

    rig.kernel.slots.set(LO, Some(rig.owner)).unwrap();
    rig.repeat(Hook::Ingress, &packet, 1);
    assert_eq!(rig.totals(), rig.sent);
}

/// Past those that are found by an array lookup.
#[test]
fn an_interface_with_a_high_index_counts_for_its_slot() {
    const HIGH: u32 = 70_000;
    let lab = Lab::new();
    lab.run(&format!("ip link add high index {HIGH} type bridge"));
    let bytes = frame(&[], 0x0800, &ipv4(UDP, IPV4, &[], &udp(PORTS, 10)));
    let packet = Packet::said_to_be(bytes, SkBuff::single().on(HIGH), (1, 52));
    // All of it in the lab: the device is looked for in the namespace of whoever runs the program.
    lab.on_host(|| {
        let mut rig = Rig::new();
        rig.run(Hook::Ingress, &packet, 2);
        assert_eq!(rig.lost(LostReason::NoSlot), 2);
        rig.kernel.slots.set(HIGH, Some(rig.owner)).unwrap();
        rig.repeat(Hook::Ingress, &packet, 5);
        assert_eq!(rig.totals(), rig.sent);
        rig.kernel.slots.set(HIGH, None).unwrap();
        rig.run(Hook::Ingress, &packet, 1);
        assert_eq!(rig.lost(LostReason::NoSlot), 3);
        assert_eq!(rig.totals(), rig.sent);
    });
}
