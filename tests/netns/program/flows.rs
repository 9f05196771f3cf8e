//! Which flow a packet is of, and what is known of the flow.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use nstrace::{state::flow::FlowKey, sys::clock};
use nstrace_ebpf::wire::{Class, DIRECTIONS, FlowKind, Hook};

use super::{
    HOOKS, Rig, class,
    packets::{
        ACK, IPV4, IPV6, Packet, SYN, TCP, UDP, extended, fragment4, fragment6, frame, icmp, ipv4,
        ipv6, tcp, turned, udp,
    },
};
use crate::support::wait_until;

const V4: u16 = 0x0800;
const V6: u16 = 0x86dd;
const VLAN: u16 = 0x8100;
const QINQ: u16 = 0x88a8;
/// Of the namespace, then of the far end.
const PORTS: [u16; 2] = [40_000, 443];
const MORE_FRAGMENTS: u16 = 0x2000;

/// A packet that the namespace sends and its answer must be of one flow, with this key, and count as
/// this class.
#[track_caller]
fn check(rig: &mut Rig, expected_class: Class, key: FlowKey, sent: Vec<u8>, answer: Vec<u8>) {
    rig.renew();
    let (sent, answer) = (Packet::plain(sent), Packet::plain(answer));
    // What arrives on the host's end is what the namespace sends.
    rig.repeat(Hook::Ingress, &sent, 3);
    rig.repeat(Hook::Egress, &answer, 2);
    let counts = [answer.counts(2), sent.counts(3)];
    let flows = rig.assert_all_in_flows();
    let keys: Vec<_> = flows.keys().collect();
    assert_eq!(keys, [&key]);
    assert_eq!(flows[&key].counts, counts);
    assert_eq!(
        rig.classes(),
        counts.map(|counts| class(expected_class, counts))
    );
}

fn v4(kind: FlowKind, protocol: u8, [local_port, remote_port]: [u16; 2]) -> FlowKey {
    let [local, remote] = IPV4.map(|end| IpAddr::from(Ipv4Addr::from(end)));
    FlowKey {
        kind,
        protocol,
        addresses: Some((local, remote)),
        local_port,
        remote_port,
    }
}

fn v6(kind: FlowKind, protocol: u8, ports: [u16; 2]) -> FlowKey {
    let [local, remote] = IPV6.map(|end| IpAddr::from(Ipv6Addr::from(end)));
    FlowKey {
        addresses: Some((local, remote)),
        ..v4(kind, protocol, ports)
    }
}

fn no_ip(kind: FlowKind, what: u16) -> FlowKey {
    FlowKey {
        addresses: None,
        ..v4(kind, 0, [0, what])
    }
}

/// A packet and its answer, each made of its ends.
fn both<A: Copy, T>(ends: [A; 2], make: impl Fn([A; 2], [u16; 2]) -> T) -> [T; 2] {
    [make(ends, PORTS), make(turned(ends), turned(PORTS))]
}

#[test]
fn a_packet_and_its_answer_are_one_flow_of_ipv4() {
    let mut rig = Rig::new();
    // UDP-Lite, SCTP and DCCP have their ports where UDP has them.
    for (protocol, class) in [
        (TCP, Class::Ipv4Tcp),
        (UDP, Class::Ipv4Udp),
        (132, Class::Ipv4Other),
        (136, Class::Ipv4Other),
        (33, Class::Ipv4Other),
    ] {
        // As they come, with options, tagged.
        for (options, tags) in [
            (&[][..], &[][..]),
            (&[1; 8], &[]),
            (&[], &[VLAN]),
            (&[], &[QINQ, VLAN]),
        ] {
            let [sent, answer] = both(IPV4, |ends, ports| {
                let payload = if protocol == TCP {
                    tcp(ports, ACK, &[], 5)
                } else {
                    udp(ports, 50)
                };
                frame(tags, V4, &ipv4(protocol, ends, options, &payload))
            });
            check(
                &mut rig,
                class,
                v4(FlowKind::Ports, protocol, PORTS),
                sent,
                answer,
            );
        }
    }
}

#[test]
fn a_packet_and_its_answer_are_one_flow_of_ipv6() {
    let mut rig = Rig::new();
    for (protocol, class) in [
        (TCP, Class::Ipv6Tcp),
        (UDP, Class::Ipv6Udp),
        (132, Class::Ipv6Other),
    ] {
        // As they come, tagged, behind six headers of several kinds.
        for (tags, headers) in [
            (&[][..], &[][..]),
            (&[VLAN], &[]),
            (
                &[],
                &[(0, 8), (43, 24), (60, 16), (135, 8), (60, 8), (43, 8)],
            ),
        ] {
            let [sent, answer] = both(IPV6, |ends, ports| {
                let payload = if protocol == TCP {
                    tcp(ports, ACK, &[1; 12], 5)
                } else {
                    udp(ports, 50)
                };
                let (first, payload) = behind(headers, protocol, payload);
                frame(tags, V6, &ipv6(first, ends, &payload))
            });
            check(
                &mut rig,
                class,
                v6(FlowKind::Ports, protocol, PORTS),
                sent,
                answer,
            );
        }
    }
}

/// The number of the first of these extension headers (number, length), and all that is behind the
/// IPv6 header.
fn behind(headers: &[(u8, usize)], protocol: u8, payload: Vec<u8>) -> (u8, Vec<u8>) {
    let innermost = (protocol, payload);
    headers
        .iter()
        .rev()
        .fold(innermost, |(next, payload), (number, length)| {
            (*number, extended(next, *length, &payload))
        })
}

#[test]
fn an_echo_and_its_reply_are_one_flow() {
    let mut rig = Rig::new();
    let echo = |kind| move |ends, _| frame(&[], V4, &ipv4(1, ends, &[], &icmp(kind, 0, 0x1234)));
    for [request, reply] in [[8, 0], [13, 14], [15, 16], [17, 18]] {
        let [sent, _] = both(IPV4, echo(request));
        let [_, answer] = both(IPV4, echo(reply));
        let key = v4(FlowKind::Icmp, 1, [0x1234, u16::from(request) << 8]);
        check(&mut rig, Class::Ipv4Icmp, key, sent, answer);
    }
    let echo = |kind| move |ends, _| frame(&[], V6, &ipv6(58, ends, &icmp(kind, 0, 0x1234)));
    let [sent, _] = both(IPV6, echo(128));
    let [_, answer] = both(IPV6, echo(129));
    let key = v6(FlowKind::Icmp, 58, [0x1234, 128 << 8]);
    check(&mut rig, Class::Ipv6Icmp, key, sent, answer);
}

#[test]
fn other_icmp_is_a_flow_of_its_type_and_code() {
    let mut rig = Rig::new();
    // What stands where an echo has its identifier is something else here.
    let [sent, answer] = both(IPV4, |ends, _| {
        frame(&[], V4, &ipv4(1, ends, &[], &icmp(3, 4, 0x1234)))
    });
    let key = v4(FlowKind::Icmp, 1, [0, 0x0304]);
    check(&mut rig, Class::Ipv4Icmp, key, sent, answer);
    let [sent, answer] = both(IPV6, |ends, _| {
        frame(&[], V6, &ipv6(58, ends, &icmp(135, 0, 0x1234)))
    });
    let key = v6(FlowKind::Icmp, 58, [0, 135 << 8]);
    check(&mut rig, Class::Ipv6Icmp, key, sent, answer);
}

#[test]
fn protocols_without_ports_are_a_flow_of_their_addresses() {
    let mut rig = Rig::new();
    for protocol in [2, 4, 47, 50, 253] {
        let [sent, answer] = both(IPV4, |ends, _| {
            frame(&[], V4, &ipv4(protocol, ends, &[], &[0x45; 30]))
        });
        let key = v4(FlowKind::Portless, protocol, [0; 2]);
        check(&mut rig, Class::Ipv4Other, key, sent, answer);
        let [sent, answer] = both(IPV6, |ends, _| {
            frame(&[], V6, &ipv6(protocol, ends, &[0x45; 30]))
        });
        let key = v6(FlowKind::Portless, protocol, [0; 2]);
        check(&mut rig, Class::Ipv6Other, key, sent, answer);
    }
}

#[test]
fn the_first_fragment_has_ports_and_the_later_have_none() {
    let mut rig = Rig::new();
    let first = |ends, ports| {
        let udp = udp(ports, 40);
        frame(&[], V4, &fragment4(UDP, ends, &[], MORE_FRAGMENTS, &udp))
    };
    let [sent, answer] = both(IPV4, first);
    check(
        &mut rig,
        Class::Ipv4Udp,
        v4(FlowKind::Ports, UDP, PORTS),
        sent,
        answer,
    );
    // Bytes where a first one has its ports; the last fragment and one in between.
    for offset in [1, 0x1fff, MORE_FRAGMENTS | 5] {
        let [sent, answer] = both(IPV4, |ends, ports| {
            let bytes = udp(ports, 40);
            frame(&[], V4, &fragment4(UDP, ends, &[], offset, &bytes))
        });
        let key = v4(FlowKind::LaterFragment, UDP, [0; 2]);
        check(&mut rig, Class::Ipv4Udp, key, sent, answer);
    }
    for (word, kind, ports) in [
        (1, FlowKind::Ports, PORTS),
        (8, FlowKind::LaterFragment, [0; 2]),
    ] {
        let [sent, answer] = both(IPV6, |ends, ports| {
            let bytes = fragment6(TCP, word, &tcp(ports, ACK, &[], 40));
            frame(&[], V6, &ipv6(44, ends, &bytes))
        });
        check(&mut rig, Class::Ipv6Tcp, v6(kind, TCP, ports), sent, answer);
    }
}

#[test]
fn packets_that_end_before_their_ports_are_a_flow_that_says_so() {
    let mut rig = Rig::new();
    for (protocol, class, length) in [
        (TCP, Class::Ipv4Tcp, 13),
        (TCP, Class::Ipv4Tcp, 0),
        (UDP, Class::Ipv4Udp, 3),
        (1, Class::Ipv4Icmp, 7),
    ] {
        let [sent, answer] = both(IPV4, |ends, ports| {
            let bytes = &tcp(ports, SYN, &[], 0)[..length];
            frame(&[], V4, &ipv4(protocol, ends, &[], bytes))
        });
        let key = v4(FlowKind::Truncated, protocol, [0; 2]);
        check(&mut rig, class, key, sent, answer);
    }
    let [sent, answer] = both(IPV6, |ends, ports| {
        let bytes = &tcp(ports, SYN, &[], 0)[..13];
        frame(&[], V6, &ipv6(TCP, ends, bytes))
    });
    check(
        &mut rig,
        Class::Ipv6Tcp,
        v6(FlowKind::Truncated, TCP, [0; 2]),
        sent,
        answer,
    );
    // Within an extension header.
    let [sent, answer] = both(IPV6, |ends, _| frame(&[], V6, &ipv6(0, ends, &[TCP, 0, 0])));
    check(
        &mut rig,
        Class::Truncated,
        v6(FlowKind::Truncated, 0, [0; 2]),
        sent,
        answer,
    );
}

/// Ports are there as soon as a TCP header has its flags.
#[test]
fn a_tcp_header_that_is_cut_behind_its_flags_has_ports() {
    let mut rig = Rig::new();
    let [sent, answer] = both(IPV4, |ends, ports| {
        let bytes = &tcp(ports, SYN, &[], 0)[..14];
        frame(&[], V4, &ipv4(TCP, ends, &[], bytes))
    });
    check(
        &mut rig,
        Class::Ipv4Tcp,
        v4(FlowKind::Ports, TCP, PORTS),
        sent,
        answer,
    );
}

#[test]
fn what_is_not_ip_is_a_flow_of_its_ethertype() {
    let mut rig = Rig::new();
    for (ethertype, class) in [
        (0x0806, Class::Arp),
        (0x88cc, Class::Other),
        (0x8847, Class::Other),
        // A length: IEEE 802.3.
        (0x0026, Class::Other),
    ] {
        for tags in [&[][..], &[VLAN]] {
            let bytes = frame(tags, ethertype, &[7; 46]);
            let key = no_ip(FlowKind::Ethertype, ethertype);
            check(&mut rig, class, key, bytes.clone(), bytes);
        }
    }
}

#[test]
fn what_cannot_be_parsed_is_a_flow_of_why() {
    let mut rig = Rig::new();
    let good = ipv4(TCP, IPV4, &[], &tcp(PORTS, ACK, &[], 0));
    let with = |first: u8| [&[first], &good[1..]].concat();
    let mut unparsed = |class, bytes: Vec<u8>| {
        let key = no_ip(FlowKind::Unparsed, class as u16);
        check(&mut rig, class, key, bytes.clone(), bytes);
    };
    // A header of four words, of none, of another version.
    for first in [0x44, 0x40, 0x65, 0x05] {
        unparsed(Class::Malformed, frame(&[], V4, &with(first)));
    }
    unparsed(Class::Malformed, frame(&[], V6, &with(0x45)));
    unparsed(Class::ManyTags, frame(&[QINQ, VLAN, VLAN], V4, &good));
    // Tagged: newer kernels run no program on an IP packet without an IP header.
    unparsed(Class::Truncated, frame(&[VLAN], V4, &good[..19]));
    unparsed(Class::Truncated, frame(&[VLAN], V6, &good[..39]));
    // Within a tag.
    unparsed(Class::Truncated, frame(&[], VLAN, &[0, 7, 8]));
}

#[test]
fn more_extension_headers_than_are_walked_are_a_flow_without_ports() {
    let mut rig = Rig::new();
    let headers = [(60, 8); 7];
    let [sent, answer] = both(IPV6, |ends, ports| {
        let (first, bytes) = behind(&headers, TCP, tcp(ports, ACK, &[], 0));
        frame(&[], V6, &ipv6(first, ends, &bytes))
    });
    let key = v6(FlowKind::Portless, 60, [0; 2]);
    check(&mut rig, Class::ManyExtensions, key, sent, answer);
}

#[test]
fn flows_that_differ_in_one_field_are_different_flows() {
    let mut rig = Rig::new();
    let packet = |ends, ports, protocol| {
        let payload = udp(ports, 20);
        Packet::plain(frame(&[], V4, &ipv4(protocol, ends, &[], &payload)))
    };
    let [local, remote] = IPV4;
    let near = |mut address: [u8; 4]| {
        address[3] ^= 1;
        address
    };
    let different = [
        packet(IPV4, PORTS, UDP),
        packet([near(local), remote], PORTS, UDP),
        packet([local, near(remote)], PORTS, UDP),
        packet(IPV4, [PORTS[0] ^ 1, PORTS[1]], UDP),
        packet(IPV4, [PORTS[0], PORTS[1] ^ 1], UDP),
        packet(IPV4, PORTS, 136),
    ];
    for (times, packet) in (1..).zip(&different) {
        rig.repeat(Hook::Ingress, packet, times);
    }
    let flows = rig.assert_all_in_flows();
    let mut counts: Vec<_> = flows.values().map(|flow| flow.counts[1].packets).collect();
    counts.sort_unstable();
    assert_eq!(counts, [1, 2, 3, 4, 5, 6]);
}

#[test]
fn tcp_flags_and_syns_are_those_of_each_direction() {
    const FIN: u8 = 0x01;
    const PSH: u8 = 0x08;
    const ECE_CWR: u8 = 0xc0;

    for is_v6 in [false, true] {
        let mut rig = Rig::new();
        let mut send = |hook, flags| {
            let [sent, answer] = if is_v6 {
                both(IPV6, |ends, ports| {
                    frame(&[], V6, &ipv6(TCP, ends, &tcp(ports, flags, &[], 0)))
                })
            } else {
                both(IPV4, |ends, ports| {
                    frame(&[], V4, &ipv4(TCP, ends, &[], &tcp(ports, flags, &[], 0)))
                })
            };
            let bytes = if hook == Hook::Ingress { sent } else { answer };
            rig.send(hook, &Packet::plain(bytes));
        };
        send(Hook::Ingress, SYN | ECE_CWR);
        send(Hook::Ingress, SYN);
        send(Hook::Egress, SYN | ACK);
        send(Hook::Ingress, ACK);
        send(Hook::Egress, PSH | ACK);
        send(Hook::Ingress, FIN | ACK);
        let flows = rig.assert_all_in_flows();
        assert_eq!(flows.len(), 1);
        let flow = flows.values().next().unwrap();
        let expected = [SYN | ACK | PSH, SYN | ECE_CWR | ACK | FIN];
        assert_eq!((flow.tcp_flags, flow.syns), (expected, 3));
    }
}

/// Bytes of a datagram that would be flags in a TCP header.
#[test]
fn what_is_not_tcp_has_no_flags() {
    let mut rig = Rig::new();
    let payload = tcp(PORTS, SYN, &[], 0);
    let (v4, v6) = (ipv4(UDP, IPV4, &[], &payload), ipv6(UDP, IPV6, &payload));
    for bytes in [
        frame(&[], V4, &v4),
        frame(&[VLAN], V4, &v4),
        frame(&[], V6, &v6),
    ] {
        rig.send(Hook::Ingress, &Packet::plain(bytes));
    }
    for flow in rig.assert_all_in_flows().values() {
        assert_eq!((flow.tcp_flags, flow.syns), ([0; DIRECTIONS], 0));
    }
}

#[test]
fn a_flow_says_when_it_was_first_and_last_seen() {
    let jiffy = clock::jiffy();
    let second = u32::try_from(Duration::from_secs(1).as_nanos() / jiffy.as_nanos()).unwrap();
    let now = || clock::jiffies(jiffy);
    let is_near =
        |stamp: u32, time: u32| stamp.wrapping_sub(time).wrapping_add(second) <= 2 * second;
    let mut rig = Rig::new();
    let bytes = frame(&[], V4, &ipv4(UDP, IPV4, &[], &udp(PORTS, 20)));
    let packet = Packet::plain(bytes);
    let only = |rig: &mut Rig| *rig.assert_all_in_flows().values().next().unwrap();

    let start = now();
    rig.send(Hook::Ingress, &packet);
    let new = only(&mut rig);
    assert!(
        is_near(new.first_seen, start),
        "{} at {start}",
        new.first_seen
    );
    assert_eq!(new.last_seen, new.first_seen);

    // Two grains of the clock that is read here.
    let later = start.wrapping_add(second / 50).wrapping_add(1);
    wait_until("the clock goes on", || {
        (now().wrapping_sub(later) < u32::MAX / 2).then_some(())
    });
    rig.send(Hook::Ingress, &packet);
    let known = only(&mut rig);
    assert_eq!(known.first_seen, new.first_seen);
    let passed = known.last_seen.wrapping_sub(new.last_seen);
    assert!((1..=second).contains(&passed), "{passed} jiffies passed");
    assert!(is_near(known.last_seen, now()), "{}", known.last_seen);
}

/// By a flow's own packets only: nothing else moves its stamps or counts.
#[test]
fn both_hooks_see_the_same_flow_from_its_two_ends() {
    let bytes = frame(&[], V4, &ipv4(UDP, IPV4, &[], &udp(PORTS, 20)));
    let packet = Packet::plain(bytes);
    for (hook, key) in HOOKS.into_iter().zip([
        v4(FlowKind::Ports, UDP, PORTS),
        FlowKey {
            addresses: v4(FlowKind::Ports, UDP, PORTS)
                .addresses
                .map(|(local, remote)| (remote, local)),
            ..v4(FlowKind::Ports, UDP, turned(PORTS))
        },
    ]) {
        let mut rig = Rig::new();
        rig.send(hook, &packet);
        let flows = rig.assert_all_in_flows();
        assert_eq!(flows.keys().collect::<Vec<_>>(), [&key]);
    }
}
