//! Headers of IP.

use super::{Add, CLIENT6, SERVER6, eth4, eth6, ethernet, ip4, ip6, udp};

pub(super) fn extensions(add: &mut Add<'_>) {
    let udp = udp::raw(5000, 6000, b"hello");
    let hop = |next: u8| [next, 0, 5, 2, 0, 0, 1, 0];
    let with = |first: u8, parts: &[&[u8]]| eth6(first, &parts.concat());
    add("IPv6 hop-by-hop options", with(0, &[&hop(17), &udp]));
    add("IPv6 destination options", with(60, &[&hop(17), &udp]));
    add(
        "IPv6 two hop-by-hop headers",
        with(0, &[&hop(0), &hop(17), &udp]),
    );
    add(
        "IPv6 hop-by-hop options late",
        with(60, &[&hop(0), &hop(17), &udp]),
    );
    let first = [17, 0, 0, 1, 0xde, 0xad, 0xbe, 0xef];
    let later = [17, 0, 0, 8, 0xde, 0xad, 0xbe, 0xef];
    add("IPv6 first fragment", with(44, &[&first, &udp]));
    add("IPv6 later fragment", with(44, &[&later, &udp]));
    add("IPv6 fragment of nothing", with(44, &[&first]));
    let routing = [&[17, 2, 0, 1, 0, 0, 0, 0][..], &SERVER6].concat();
    add("IPv6 routing", with(43, &[&routing, &udp]));
    let segments = [&[17, 2, 4, 1, 0, 0, 0, 0][..], &SERVER6].concat();
    add("IPv6 segment routing", with(43, &[&segments, &udp]));
    add(
        "IPv6 strange routing",
        with(43, &[&[17, 0, 9, 1, 0, 0, 0, 0], &udp]),
    );
    add("IPv6 no next header", with(59, &[b""]));
    add("IPv6 strange protocol", with(200, &[b"abc"]));
    add("IPv6 ICMP of IPv4", with(1, &[b"\x08\0\0\0"]));
    add("IPv4 in IPv6", with(4, &[&ip4(17, &udp)]));
    let mut labelled = eth6(17, &udp);
    labelled[14..18].copy_from_slice(&[0x6a, 0xb1, 0x23, 0x45]);
    add("IPv6 with a class and a label", labelled);
    let mut version = eth6(17, &udp);
    version[14] = 0x50;
    add("IPv6 of another version", version);
    let mut empty = eth6(17, &udp);
    empty[18..20].copy_from_slice(&[0, 0]);
    add("IPv6 without a length", empty);
    let mut longer = eth6(17, &udp);
    longer[18..20].copy_from_slice(&[1, 0]);
    add("IPv6 that says it is longer", longer);
    add(
        "IPv6 padding options",
        with(
            0,
            &[&[17, 1, 0, 0, 1, 2, 0, 0, 99, 4, 1, 2, 3, 4, 1, 0], &udp],
        ),
    );
    add(
        "IPv6 option too long",
        with(0, &[&[17, 0, 99, 40, 0, 0, 0, 0], &udp]),
    );
}

pub(super) fn malformed(add: &mut Add<'_>) {
    let udp = udp::raw(5000, 6000, b"hello");
    let change = |at: usize, with: &[u8]| {
        let mut packet = eth4(17, &udp);
        packet[14 + at..14 + at + with.len()].copy_from_slice(with);
        packet
    };
    add("IPv4 of another version", change(0, &[0x55]));
    add("IPv4 that is IPv6", change(0, &[0x65]));
    add("IPv4 header too short", change(0, &[0x44]));
    add("IPv4 header beyond the packet", change(0, &[0x4f]));
    add("IPv4 without a length", change(2, &[0, 0]));
    add("IPv4 with too short a length", change(2, &[0, 10]));
    add("IPv4 that says it is longer", change(2, &[1, 0]));
    add("IPv4 first fragment", change(6, &[0x20, 0]));
    add("IPv4 later fragment", change(6, &[0x20, 5]));
    add("IPv4 last fragment", change(6, &[0, 5]));
    add("IPv4 all flags", change(6, &[0xc0, 0]));
    add("IPv4 TOS and TTL", change(1, &[0xff]));
    add("IPv4 TTL 0", change(8, &[0]));
    for tos in 1..=2 {
        add("IPv4 ECN", change(1, &[tos]));
    }
    add("IPv4 strange protocol", change(9, &[200]));
    add("IPv4 ICMPv6", change(9, &[58]));
    add("IPv4 no next header", change(9, &[59]));
    add("IPv6 in IPv4", eth4(41, &ip6(CLIENT6, SERVER6, 17, &udp)));
    let mut nested = ip4(17, &udp);
    for _ in 0..3 {
        nested = ip4(4, &nested);
    }
    add("IPv4 in IPv4 in IPv4", ethernet(0x0800, &nested));
    let options = |options: &[u8]| {
        let mut header = ip4(17, &[options, &udp].concat());
        header[0] = 0x45 + u8::try_from(options.len() / 4).expect("few");
        ethernet(0x0800, &header)
    };
    add("IPv4 options", options(&[1, 148, 4, 0, 0, 1, 130, 0]));
    add("IPv4 router alert", options(&[148, 4, 0, 0]));
    add("IPv4 option too long", options(&[130, 50, 0, 0]));
    add("IPv4 options end", options(&[1, 0, 9, 9]));
    add("IPv4 unknown option", options(&[99, 4, 0, 0]));
}
