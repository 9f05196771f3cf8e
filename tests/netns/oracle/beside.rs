//! What the kernel keeps of a packet beside its bytes: VLAN tag, direction, device.

use nstrace::{
    filter::{Source, compile},
    packet::LinkType,
};

use super::{Beside, Judge, MATCH, corpus::packets, expressions::BESIDE, library};

const TAGS: [Option<(u16, u16)>; 6] = [
    None,
    Some((0x8100, 5)),
    Some((0x8100, 0xe007)),
    Some((0x88a8, 5)),
    Some((0x8100, 0)),
    Some((0x8100, 0xffff)),
];

#[test]
fn what_stands_beside_the_bytes_is_decided_on() {
    let library = library();
    // Each packet with each tag, so not all packets.
    let packets: Vec<_> = packets().into_iter().step_by(5).collect();
    for expression in BESIDE {
        let judge = Judge::of(&library, LinkType::ETHERNET, expression);
        let (mut matches, mut decisions) = (0, 0);
        for tag in TAGS {
            for packet_type in [0, 4] {
                let beside = Beside { packet_type, tag };
                matches += judge.agree(&packets, beside);
                decisions += packets.len();
            }
        }
        let is_as_said = match *expression {
            "ifindex 1" => matches == decisions,
            "ifindex 2" => matches == 0,
            _ => matches > 0 && matches < decisions,
        };
        assert!(is_as_said, "{expression}: {matches} of {decisions}");
    }
}

/// Where a tag is does not matter: beside the bytes, as mostly here, an interface's filter decides
/// as a file's does of the same packet with the tag in its bytes, as it stands in a capture.
#[test]
fn a_tag_beside_the_bytes_counts_as_one_in_them() {
    /// Only what begins with the tag: without, what follows is looked for elsewhere in the bytes.
    const EXPRESSIONS: [&str; 12] = [
        "vlan",
        "vlan 5",
        "vlan 7",
        "vlan 5 and tcp port 80",
        "vlan and udp port 53",
        "vlan and not tcp",
        "vlan and host 192.0.2.10",
        "vlan and ip6",
        "vlan and arp",
        "vlan and vlan 7",
        "vlan 5 and vlan",
        "vlan and mpls",
    ];

    let library = library();
    for expression in EXPRESSIONS {
        let judge = Judge::of(&library, LinkType::ETHERNET, expression);
        let in_bytes = compile(
            &library,
            LinkType::ETHERNET,
            MATCH,
            expression,
            Source::File,
        );
        let in_bytes = library.program(in_bytes.unwrap()).unwrap();
        let mut decided = [0, 0];
        for packet in packets().iter().step_by(3) {
            for (protocol, tag) in TAGS.into_iter().flatten() {
                let (addresses, rest) = packet.bytes.split_at(12);
                let shown = [addresses, &protocol.to_be_bytes(), &tag.to_be_bytes(), rest].concat();
                let expected = in_bytes.matches(&shown, u32::try_from(shown.len()).unwrap());
                decided[usize::from(expected)] += 1;
                let beside = Beside {
                    packet_type: 0,
                    tag: Some((protocol, tag)),
                };
                for loaded in &judge.loaded {
                    assert_eq!(
                        loaded.matches(&packet.bytes, beside),
                        expected,
                        "{expression}: {} with {beside:x?}\n{}",
                        packet.name,
                        judge.listing()
                    );
                }
            }
        }
        assert!(
            decided[1] > 0 && (decided[0] > 0 || expression == "vlan"),
            "{expression}: {decided:?}"
        );
    }
}

/// Without the word, the tag is no part of what is decided on: only bytes are.
#[test]
fn without_the_word_a_tag_beside_the_bytes_is_not_looked_at() {
    let library = library();
    let packets = packets();
    let judge = Judge::of(&library, LinkType::ETHERNET, "tcp port 80");
    let count = |tag| {
        let beside = Beside {
            packet_type: 0,
            tag,
        };
        judge.agree(&packets, beside)
    };
    assert_eq!(count(Some((0x8100, 5))), count(None));
}
