//! ICMP and `ICMPv6`.

use super::{Add, CLIENT6, LOCAL6, ROUTERS6, SERVER6, eth4, eth6, ethernet, ip4, ip6, tcp, udp};

fn checksummed(mut message: Vec<u8>) -> Vec<u8> {
    let sum = etherparse::checksum::Sum16BitWords::new().add_slice(&message);
    message[2..4].copy_from_slice(&sum.ones_complement().to_ne_bytes());
    message
}

pub(super) fn v4(add: &mut Add<'_>) {
    let mut icmp = |name, message: Vec<u8>| add(name, eth4(1, &checksummed(message)));
    icmp(
        "ICMP echo request",
        b"\x08\0\0\0\x12\x34\0\x01payload".to_vec(),
    );
    icmp("ICMP echo reply", b"\0\0\0\0\x12\x34\0\x01payload".to_vec());
    let inner = ip4(17, &udp::raw(5000, 53, b""));
    let about =
        |kind: u8, code: u8, rest: [u8; 4]| [&[kind, code, 0, 0][..], &rest, &inner].concat();
    for code in 0..=16 {
        icmp("ICMP unreachable", about(3, code, [0, 0, 5, 0]));
    }
    for code in 0..=4 {
        icmp("ICMP redirect", about(5, code, [192, 0, 2, 1]));
    }
    for code in 0..=2 {
        icmp("ICMP time exceeded", about(11, code, [0; 4]));
    }
    icmp("ICMP parameter problem", about(12, 0, [9, 0, 0, 0]));
    icmp("ICMP parameter problem", about(12, 1, [9, 0, 0, 0]));
    icmp("ICMP source quench", about(4, 0, [0; 4]));
    let tcp = [
        &[3, 3, 0, 0, 0, 0, 0, 0][..],
        &ip4(6, &tcp::raw(1, 2, 2, &[], b"")),
    ]
    .concat();
    icmp("ICMP unreachable TCP port", tcp);
    let other = [&[3, 3, 0, 0, 0, 0, 0, 0][..], &ip4(99, &[0; 8])].concat();
    icmp("ICMP unreachable port of another", other);
    icmp(
        "ICMP time stamp",
        b"\x0d\0\0\0\0\x01\0\x02\0\0\0\0\0\0\0\0\0\0\0\0".to_vec(),
    );
    icmp(
        "ICMP time stamp reply",
        b"\x0e\0\0\0\0\x01\0\x02\0\0\x10\0\0\x80\0\0\x04\0\0\0".to_vec(),
    );
    icmp("ICMP router solicitation", b"\x0a\0\0\0\0\0\0\0".to_vec());
    icmp(
        "ICMP router advertisement",
        b"\x09\0\0\0\x01\x02\x07\x08\xc0\0\x02\x01\0\0\0\x05".to_vec(),
    );
    icmp("ICMP mask", b"\x12\0\0\0\0\0\0\0\xff\xff\xff\0".to_vec());
    icmp("ICMP strange", b"\x63\0\0\0\0\0\0\0".to_vec());
    add(
        "ICMP with a wrong checksum",
        eth4(1, b"\x08\0\0\0\x12\x34\0\x01payload"),
    );
}

fn icmp6_message(source: [u8; 16], message: &[u8]) -> Vec<u8> {
    let mut message = message.to_vec();
    let len = u32::try_from(message.len()).expect("short");
    let sum = etherparse::checksum::Sum16BitWords::new()
        .add_slice(&source)
        .add_slice(&ROUTERS6)
        .add_slice(&len.to_be_bytes())
        .add_slice(&[0, 0, 0, 58])
        .add_slice(&message);
    if let Some(place) = message.get_mut(2..4) {
        place.copy_from_slice(&sum.ones_complement().to_ne_bytes());
    }
    ethernet(0x86dd, &ip6(source, ROUTERS6, 58, &message))
}

pub(super) fn v6(add: &mut Add<'_>) {
    let mut icmp = |name, parts: &[&[u8]]| add(name, icmp6_message(LOCAL6, &parts.concat()));
    icmp("ICMPv6 echo request", &[b"\x80\0\0\0\x12\x34\0\x01payload"]);
    icmp("ICMPv6 echo reply", &[b"\x81\0\0\0\x12\x34\0\x01payload"]);
    let inner = ip6(CLIENT6, SERVER6, 17, &udp::raw(5000, 53, b""));
    for code in 0..=5 {
        icmp(
            "ICMPv6 unreachable",
            &[&[1, code, 0, 0, 0, 0, 0, 0], &inner],
        );
    }
    let with_extension = [&[17, 0, 1, 4, 0, 0, 0, 0][..], &udp::raw(5000, 53, b"")].concat();
    let inner_extension = ip6(CLIENT6, SERVER6, 0, &with_extension);
    icmp(
        "ICMPv6 unreachable behind an option",
        &[&[1, 4, 0, 0, 0, 0, 0, 0], &inner_extension],
    );
    icmp("ICMPv6 packet too big", &[b"\x02\0\0\0\0\0\x05\0", &inner]);
    for code in 0..=2 {
        icmp(
            "ICMPv6 time exceeded",
            &[&[3, code, 0, 0, 0, 0, 0, 0], &inner],
        );
    }
    for code in 0..=4 {
        icmp(
            "ICMPv6 parameter problem",
            &[&[4, code, 0, 0, 0, 0, 0, 6], &inner],
        );
    }
    neighbours(add);
}

fn neighbours(add: &mut Add<'_>) {
    let mut icmp = |name, parts: &[&[u8]]| add(name, icmp6_message(LOCAL6, &parts.concat()));
    let source_mac = b"\x01\x01\x02\0\0\0\0\x01";
    icmp(
        "ICMPv6 router solicitation",
        &[b"\x85\0\0\0\0\0\0\0", source_mac],
    );
    let prefix = [
        &b"\x03\x04\x40\xc0\0\x01\x51\x80\xff\xff\xff\xff\0\0\0\0"[..],
        &CLIENT6,
    ]
    .concat();
    let resolver = [&b"\x19\x03\0\0\0\0\x02\x58"[..], &SERVER6].concat();
    icmp(
        "ICMPv6 router advertisement",
        &[
            b"\x86\0\0\0\x40\xc8\x07\x08\0\0\0\x01\0\0\0\x02",
            source_mac,
            b"\x05\x01\0\0\0\0\x05\xdc",
            &prefix,
            &resolver,
            b"\x1f\x03\0\0\0\0\x02\x58\x07example\x03com\0\0\0\0",
            b"\x18\x02\x40\x18\0\0\x02\x58\x20\x01\x0d\xb8\0\x05\0\0",
            b"\x07\x01\0\0\0\0\x10\0",
        ],
    );
    icmp(
        "ICMPv6 neighbour solicitation",
        &[b"\x87\0\0\0\0\0\0\0", &SERVER6, source_mac],
    );
    icmp(
        "ICMPv6 neighbour advertisement",
        &[
            b"\x88\0\0\0\xe0\0\0\0",
            &SERVER6,
            b"\x02\x01\x02\0\0\0\0\x01",
        ],
    );
    icmp(
        "ICMPv6 redirect",
        &[b"\x89\0\0\0\0\0\0\0", &SERVER6, &CLIENT6],
    );
    icmp(
        "ICMPv6 option without length",
        &[b"\x85\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0"],
    );
    icmp("MLD query", &[b"\x82\0\0\0\x27\x10\0\0", &ROUTERS6]);
    icmp("MLD report", &[b"\x83\0\0\0\0\0\0\0", &ROUTERS6]);
    icmp("MLD done", &[b"\x84\0\0\0\0\0\0\0", &ROUTERS6]);
    icmp(
        "MLDv2 query",
        &[
            b"\x82\0\0\0\x90\x10\0\0",
            &ROUTERS6,
            b"\x0a\x8d\0\x01",
            &SERVER6,
        ],
    );
    icmp(
        "MLDv2 report",
        &[
            b"\x8f\0\0\0\0\0\0\x02\x04\0\0\0",
            &ROUTERS6,
            b"\x05\0\0\x01",
            &ROUTERS6,
            &SERVER6,
        ],
    );
    icmp("ICMPv6 strange", &[b"\xd2\0\0\0\0\0\0\0"]);
    add(
        "ICMPv6 with a wrong checksum",
        eth6(58, b"\x80\0\0\0\x12\x34\0\x01payload"),
    );
    add("ICMPv6 without anything", eth6(58, b""));
}
