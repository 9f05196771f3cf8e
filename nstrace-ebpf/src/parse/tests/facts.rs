//! Hand-made frames.

use super::*;

const SOURCE4: [u8; 4] = [192, 0, 2, 1];
const DESTINATION4: [u8; 4] = [198, 51, 100, 2];
const SOURCE6: [u8; 16] = *b"\x20\x01\x0d\xb8source______";
const DESTINATION6: [u8; 16] = *b"\x20\x01\x0d\xb8destination_";

/// An option header, and each other type, of eight bytes; and those that are longer.
const OPTIONS: (u8, &[u8]) = (60, &[0; 8]);
const HOP_BY_HOP: (u8, &[u8]) = (0, &[0; 8]);
const ROUTING_OF_24: (u8, &[u8]) = (43, &with_length::<24>(2));
const MOBILITY_OF_16: (u8, &[u8]) = (135, &with_length::<16>(1));
/// In units of four bytes, less two.
const AUTHENTICATION_OF_24: (u8, &[u8]) = (51, &with_length::<24>(4));
const FIRST_FRAGMENT: (u8, &[u8]) = (44, &[0, 0xff, 0, 1, 0, 0, 0, 0]);
const LATER_FRAGMENT: (u8, &[u8]) = (44, &[0, 0xff, 0, 8, 0, 0, 0, 0]);

const fn with_length<const N: usize>(length: u8) -> [u8; N] {
    let mut header = [0; N];
    header[1] = length;
    header
}

/// A TCP header of 24 bytes with SYN and CWR, from port 1000 to port 80.
const TCP: [u8; 24] = {
    let mut header = [0; 24];
    [header[0], header[1], header[2], header[3]] = [0x03, 0xe8, 0, 80];
    [header[12], header[13]] = [0x60, 0x82];
    header
};
/// UDP from port 1000 to port 53.
const UDP: [u8; 8] = [0x03, 0xe8, 0, 53, 0, 8, 0, 0];

fn ipv4(words: &[u16], protocol: u8, behind: &[u8]) -> Vec<u8> {
    let mut header = [0; 20];
    header[0] = 0x45;
    header[9] = protocol;
    header[12..16].copy_from_slice(&SOURCE4);
    header[16..].copy_from_slice(&DESTINATION4);
    [&ethernet(&[words, &[0x0800]].concat()), &header[..], behind].concat()
}

/// `chain` is (type of the header, its bytes); each header's first byte is set to the next type.
fn ipv6(words: &[u16], chain: &[(u8, &[u8])], last: u8, behind: &[u8]) -> Vec<u8> {
    let mut frame = ethernet(&[words, &[0x86dd]].concat());
    let mut header = [0; 40];
    header[0] = 0x60;
    header[6] = chain.first().map_or(last, |(kind, _)| *kind);
    header[8..24].copy_from_slice(&SOURCE6);
    header[24..].copy_from_slice(&DESTINATION6);
    frame.extend(header);
    for (at, (_, bytes)) in chain.iter().enumerate() {
        let start = frame.len();
        frame.extend(*bytes);
        frame[start] = chain.get(at + 1).map_or(last, |(kind, _)| *kind);
    }
    frame.extend(behind);
    frame
}

fn seen4(class: Class, kind: FlowKind, protocol: u8, headers: usize) -> Seen {
    Seen {
        class,
        kind,
        protocol,
        ends: Some([SOURCE4.into(), DESTINATION4.into()]),
        ports: [0; 2],
        tcp_flags: 0,
        headers,
    }
}

fn seen6(class: Class, kind: FlowKind, protocol: u8, headers: usize) -> Seen {
    Seen {
        ends: Some([SOURCE6.into(), DESTINATION6.into()]),
        ..seen4(class, kind, protocol, headers)
    }
}

/// With [`TCP`] behind `headers` bytes.
fn tcp(seen: fn(Class, FlowKind, u8, usize) -> Seen, class: Class, headers: usize) -> Seen {
    Seen {
        ports: [1000, 80],
        tcp_flags: 0x82,
        ..seen(class, FlowKind::Ports, 6, headers + TCP.len())
    }
}

/// With [`UDP`] behind `headers` bytes.
fn udp(seen: fn(Class, FlowKind, u8, usize) -> Seen, class: Class, headers: usize) -> Seen {
    Seen {
        ports: [1000, 53],
        ..seen(class, FlowKind::Ports, 17, headers + UDP.len())
    }
}

#[track_caller]
fn check_quick(frame: &[u8], expected: &Seen) {
    assert!(check(frame, expected), "it goes the long way");
}

#[track_caller]
fn check_slow(frame: &[u8], expected: &Seen) {
    assert!(!check(frame, expected), "it goes a quick way");
}

#[test]
fn plain_tcp_and_udp_go_the_quick_way() {
    check_quick(&ipv4(&[], 6, &TCP), &tcp(seen4, Class::Ipv4Tcp, 34));
    check_quick(&ipv4(&[], 17, &UDP), &udp(seen4, Class::Ipv4Udp, 34));
    check_quick(&ipv6(&[], &[], 6, &TCP), &tcp(seen6, Class::Ipv6Tcp, 54));
    check_quick(&ipv6(&[], &[], 17, &UDP), &udp(seen6, Class::Ipv6Udp, 54));
    // "Don't fragment" is not a fragment.
    let mut whole = ipv4(&[], 17, &UDP);
    whole[20] = 0x40;
    check_quick(&whole, &udp(seen4, Class::Ipv4Udp, 34));
}

#[test]
fn up_to_two_tags_are_looked_through_and_not_more() {
    let vlan = [0x8100, 5];
    let qinq = [0x88a8, 7, 0x8100, 5];
    check_slow(&ipv4(&vlan, 17, &UDP), &udp(seen4, Class::Ipv4Udp, 38));
    check_slow(&ipv4(&qinq, 6, &TCP), &tcp(seen4, Class::Ipv4Tcp, 42));
    check_slow(&ipv6(&vlan, &[], 6, &TCP), &tcp(seen6, Class::Ipv6Tcp, 58));
    check_slow(&ipv6(&qinq, &[], 17, &UDP), &udp(seen6, Class::Ipv6Udp, 62));
    let three = [0x8100, 1, 0x8100, 2, 0x8100, 3];
    let many = Seen::unparsed(Class::ManyTags, 22);
    check_slow(&ipv4(&three, 6, &TCP), &many);
    // It takes no more than the third tag's type to know.
    check_slow(&ethernet(&three[..5]), &many);
}

#[test]
fn ipv4_options_are_headers_and_are_stepped_over() {
    for words in 1..=10 {
        let options = vec![0xaa; words * 4];
        let mut frame = ipv4(&[], 6, &[&options[..], &TCP].concat());
        frame[14] += u8::try_from(words).expect("at most ten");
        let headers = 34 + options.len();
        check_slow(&frame, &tcp(seen4, Class::Ipv4Tcp, headers));
    }
}

#[test]
fn a_packet_of_zeroes_has_no_key_of_zeroes() {
    let mut frame = vec![0; 100];
    let key = |frame: &[u8]| full(&frame, 0, Direction::Rx).parsed.key;
    assert_ne!(key(&frame), [0; 5]);
    frame[12..15].copy_from_slice(&[0x08, 0, 0x45]);
    assert_ne!(key(&frame), [0; 5]);
    frame[12..15].copy_from_slice(&[0x86, 0xdd, 0x60]);
    assert_ne!(key(&frame), [0; 5]);
}

#[test]
fn a_bad_version_or_header_length_is_malformed() {
    for first in [0x44, 0x40, 0x55, 0x65, 0x05] {
        let mut frame = ipv4(&[], 6, &TCP);
        frame[14] = first;
        check_slow(&frame, &Seen::unparsed(Class::Malformed, 14));
    }
    for first in [0x45, 0x00, 0x70] {
        let mut frame = ipv6(&[], &[], 6, &TCP);
        frame[14] = first;
        check_slow(&frame, &Seen::unparsed(Class::Malformed, 14));
    }
    // Traffic class and flow label are not its business.
    let mut frame = ipv6(&[], &[], 6, &TCP);
    frame[14..18].fill(0x6f);
    check_quick(&frame, &tcp(seen6, Class::Ipv6Tcp, 54));
}

#[test]
fn the_first_fragment_has_ports_and_later_ones_have_none() {
    let with_word = |word: u16| {
        let mut frame = ipv4(&[], 17, &UDP);
        frame[20..22].copy_from_slice(&word.to_be_bytes());
        frame
    };
    check_slow(&with_word(0x2000), &udp(seen4, Class::Ipv4Udp, 34));
    let later = seen4(Class::Ipv4Udp, FlowKind::LaterFragment, 17, 34);
    for word in [0x0001, 0x2001, 0x1fff, 0x0100] {
        check_slow(&with_word(word), &later);
    }
    check_slow(
        &ipv6(&[], &[FIRST_FRAGMENT], 17, &UDP),
        &udp(seen6, Class::Ipv6Udp, 62),
    );
    check_slow(
        &ipv6(&[], &[LATER_FRAGMENT], 17, &UDP),
        &seen6(Class::Ipv6Udp, FlowKind::LaterFragment, 17, 62),
    );
    // What stands behind a later fragment is payload, whatever its type.
    check_slow(
        &ipv6(&[], &[OPTIONS, LATER_FRAGMENT, OPTIONS], 6, &TCP),
        &seen6(Class::Ipv6Other, FlowKind::LaterFragment, 60, 70),
    );
}

#[test]
fn extension_headers_are_walked_by_their_own_lengths() {
    let all = [
        HOP_BY_HOP,
        OPTIONS,
        ROUTING_OF_24,
        FIRST_FRAGMENT,
        AUTHENTICATION_OF_24,
        MOBILITY_OF_16,
    ];
    let mut headers = 54;
    for count in 0..=all.len() {
        let frame = ipv6(&[], &all[..count], 6, &TCP);
        check(&frame, &tcp(seen6, Class::Ipv6Tcp, headers));
        headers += all.get(count).map_or(0, |(_, bytes)| bytes.len());
    }
}

#[test]
fn a_chain_past_the_bound_is_told_apart() {
    check_slow(
        &ipv6(&[], &[OPTIONS; 6], 6, &TCP),
        &tcp(seen6, Class::Ipv6Tcp, 54 + 6 * 8),
    );
    check_slow(
        &ipv6(&[], &[OPTIONS; 7], 6, &TCP),
        &seen6(Class::ManyExtensions, FlowKind::Portless, 60, 54 + 6 * 8),
    );
}

#[test]
fn a_tcp_headers_length_is_its_own_and_at_least_20() {
    for (offset, length) in [(0, 20_usize), (4, 20), (5, 20), (8, 32), (15, 60)] {
        let mut header = TCP;
        header[12] = offset << 4;
        let expected = |headers| Seen {
            headers: headers + length,
            ..tcp(seen4, Class::Ipv4Tcp, 0)
        };
        check_quick(&ipv4(&[], 6, &header), &expected(34));
        check_slow(&ipv4(&[0x8100, 5], 6, &header), &expected(38));
    }
}

#[test]
fn each_tcp_flag_is_seen_and_no_other_bit() {
    for flags in 0..=u8::MAX {
        let mut header = TCP;
        // Reserved bits too.
        [header[12], header[13]] = [0x6f, flags];
        let expected = Seen {
            tcp_flags: flags,
            ..tcp(seen4, Class::Ipv4Tcp, 34)
        };
        check_quick(&ipv4(&[], 6, &header), &expected);
    }
}

#[test]
fn other_protocols_with_ports_have_them() {
    // SCTP's header is repeated in each segment of a super-packet, all of it.
    for (protocol, length) in [(33, 8), (132, 12), (136, 8)] {
        let expected = |seen| Seen {
            protocol,
            headers: 34 + length,
            class: Class::Ipv4Other,
            ..udp(seen, Class::Ipv4Other, 34)
        };
        check_slow(&ipv4(&[], protocol, &UDP), &expected(seen4));
        let expected = Seen {
            protocol,
            headers: 54 + length,
            ..udp(seen6, Class::Ipv6Other, 54)
        };
        check_slow(&ipv6(&[], &[], protocol, &UDP), &expected);
    }
}

#[test]
fn a_protocol_without_ports_is_a_flow_of_its_addresses() {
    // IGMP, IPIP, IPv6 in IP, GRE, ESP, none, and one that nobody has.
    for protocol in [2, 4, 41, 47, 50, 59, 253] {
        let expected = seen4(Class::Ipv4Other, FlowKind::Portless, protocol, 34);
        check_slow(&ipv4(&[], protocol, &TCP), &expected);
        check_slow(&ipv4(&[], protocol, &[]), &expected);
        let expected = seen6(Class::Ipv6Other, FlowKind::Portless, protocol, 54);
        check_slow(&ipv6(&[], &[], protocol, &TCP), &expected);
    }
    // An authentication header is walked in IPv6 alone.
    let expected = seen4(Class::Ipv4Other, FlowKind::Portless, 51, 34);
    check_slow(&ipv4(&[], 51, &TCP), &expected);
}

/// That ICMP and `ICMPv6` packets of this type and code have these as ports.
#[track_caller]
fn check_icmp(kind: u8, code: u8, expected: [u16; 2]) {
    let icmp = [kind, code, 0, 0, 0x12, 0x34, 0, 1];
    let with_ports = |seen| Seen {
        ports: expected,
        ..seen
    };
    let seen = seen4(Class::Ipv4Icmp, FlowKind::Icmp, 1, 34);
    check_slow(&ipv4(&[], 1, &icmp), &with_ports(seen));
    let seen = seen6(Class::Ipv6Icmp, FlowKind::Icmp, 58, 54);
    check_slow(&ipv6(&[], &[], 58, &icmp), &with_ports(seen));
}

#[test]
fn a_reply_is_of_its_requests_flow_and_has_its_identifier() {
    for (request, reply) in [(8, 0), (13, 14), (15, 16), (17, 18), (128, 129)] {
        let expected = [0x1234, u16::from(request) << 8];
        check_icmp(request, 0, expected);
        check_icmp(reply, 0, expected);
    }
}

#[test]
fn other_icmp_is_known_by_type_and_code() {
    for (kind, code) in [(3, 1), (3, 4), (11, 0), (5, 0), (1, 4), (135, 0), (143, 0)] {
        check_icmp(kind, code, [0, u16::from_be_bytes([kind, code])]);
    }
}

#[test]
fn icmp_of_the_other_family_is_icmp_of_class_other() {
    let icmp = [128, 0, 0, 0, 0x12, 0x34, 0, 1];
    let ports = [0x1234, 0x8000];
    let seen = seen4(Class::Ipv4Other, FlowKind::Icmp, 58, 34);
    check_slow(&ipv4(&[], 58, &icmp), &Seen { ports, ..seen });
    let seen = seen6(Class::Ipv6Other, FlowKind::Icmp, 1, 54);
    check_slow(&ipv6(&[], &[], 1, &icmp), &Seen { ports, ..seen });
}

#[test]
fn what_is_not_ip_is_known_by_its_ethertype() {
    check_slow(
        &ethernet(&[0x0806]),
        &Seen::ethertype(Class::Arp, 0x0806, 14),
    );
    let tagged = Seen::ethertype(Class::Arp, 0x0806, 18);
    check_slow(&ethernet(&[0x8100, 9, 0x0806]), &tagged);
    // LLDP; an 802.3 length instead of a type; a tag of a type that is not looked through.
    for ethertype in [0x88cc, 0x0026, 0x9100] {
        let expected = Seen::ethertype(Class::Other, ethertype, 14);
        check_slow(&ethernet(&[ethertype]), &expected);
        check_slow(&ethernet(&[ethertype, 0x4500, 0]), &expected);
    }
}

/// That a packet that is cut below each of these lengths, and not below the one before, is seen
/// like that; and from the last on like `whole`.
#[track_caller]
fn check_cuts(frame: &[u8], cuts: &[(usize, Seen)], whole: &Seen) {
    for len in 0..=frame.len() {
        let cut = cuts.iter().find(|(needed, _)| len < *needed);
        check(&frame[..len], cut.map_or(whole, |(_, seen)| seen));
    }
}

#[test]
fn every_cut_says_what_could_be_read() {
    let truncated = |headers| Seen::unparsed(Class::Truncated, headers);
    // Behind two tags, an option header and TCP.
    let in_options = seen6(Class::Truncated, FlowKind::Truncated, 60, 62);
    let in_tcp = seen6(Class::Ipv6Tcp, FlowKind::Truncated, 6, 70);
    check_cuts(
        &ipv6(&[0x88a8, 7, 0x8100, 5], &[OPTIONS], 6, &TCP),
        &[
            (14, truncated(12)),
            (18, truncated(14)),
            (22, truncated(18)),
            (62, truncated(22)),
            (66, in_options),
            (84, in_tcp),
        ],
        &tcp(seen6, Class::Ipv6Tcp, 70),
    );
    let in_udp = seen4(Class::Ipv4Udp, FlowKind::Truncated, 17, 34);
    check_cuts(
        &ipv4(&[], 17, &UDP),
        &[(14, truncated(12)), (34, truncated(14)), (38, in_udp)],
        &udp(seen4, Class::Ipv4Udp, 34),
    );
    let in_tcp = seen4(Class::Ipv4Tcp, FlowKind::Truncated, 6, 34);
    check_cuts(
        &ipv4(&[], 6, &TCP),
        &[(14, truncated(12)), (34, truncated(14)), (48, in_tcp)],
        &tcp(seen4, Class::Ipv4Tcp, 34),
    );
    let in_icmp = seen4(Class::Ipv4Icmp, FlowKind::Truncated, 1, 34);
    let echo = Seen {
        kind: FlowKind::Icmp,
        ports: [0x1234, 0x0800],
        ..in_icmp
    };
    check_cuts(
        &ipv4(&[], 1, &[8, 0, 0, 0, 0x12, 0x34, 0, 1]),
        &[(14, truncated(12)), (34, truncated(14)), (42, in_icmp)],
        &echo,
    );
    // Nothing behind them is needed.
    let later = [(14, truncated(12)), (54, truncated(14))];
    let in_fragment = seen6(Class::Truncated, FlowKind::Truncated, 44, 54);
    check_cuts(
        &ipv6(&[], &[LATER_FRAGMENT], 17, &UDP),
        &[later[0], later[1], (58, in_fragment)],
        &seen6(Class::Ipv6Udp, FlowKind::LaterFragment, 17, 62),
    );
    check_cuts(
        &ethernet(&[0x0806]),
        &[(14, truncated(12))],
        &Seen::ethertype(Class::Arp, 0x0806, 14),
    );
}
