//! Link-layer headers.

use super::{Add, CLIENT4, CLIENT6, MACS, SERVER4, SERVER6, Sample, ethernet, ip4, ip6, udp};

pub(super) fn ethernets(add: &mut Add<'_>) {
    let ip = ip4(17, &udp::raw(5000, 6000, b"hello"));
    let tagged = |tag: &[u8]| ethernet(0x8100, &[tag, &[8, 0], &ip].concat());
    add("VLAN", tagged(&[0, 100]));
    add("VLAN with priority", tagged(&[0xf0, 1]));
    let inner = [&[0, 100, 8, 0][..], &ip].concat();
    add(
        "VLAN in VLAN",
        ethernet(0x88a8, &[&[0, 5, 0x81, 0][..], &inner].concat()),
    );
    add(
        "VLAN of something unknown",
        ethernet(0x8100, &[0, 100, 0x12, 0x34, 1, 2, 3]),
    );
    add(
        "Ethernet type that is unknown",
        ethernet(0x1234, b"something that is nothing we know of"),
    );
    add("Ethernet type of experiments", ethernet(0x88b5, &[7; 46]));
    let arp = |operation: u8, target: &[u8]| {
        let start = [0, 1, 8, 0, 6, 4, 0, operation];
        let parts = [&start[..], &MACS[0], &CLIENT4, target, &SERVER4];
        ethernet(0x0806, &parts.concat())
    };
    add("ARP request", arp(1, &[0; 6]));
    add(
        "ARP request with padding",
        [arp(1, &[0; 6]), vec![0; 18]].concat(),
    );
    add("ARP request to one", arp(1, &MACS[1]));
    add("ARP reply", arp(2, &MACS[1]));
    add("ARP reverse request", arp(3, &MACS[1]));
    add("ARP reverse reply", arp(4, &MACS[1]));
    add("ARP inverse request", arp(8, &MACS[1]));
    add("ARP inverse reply", arp(9, &MACS[1]));
    add("ARP strange operation", arp(77, &MACS[1]));
    let mut other = arp(1, &MACS[1]);
    other[16] = 0x12;
    add("ARP of another protocol", other);
    let mut other = arp(1, &MACS[1]);
    other[15] = 0x77;
    add("ARP of other hardware", other);
    let mut other = arp(1, &MACS[1]);
    other[19] = 3;
    add("ARP of shorter addresses", other);
    add(
        "IPv4 with padding",
        [ethernet(0x0800, &ip), vec![0; 20]].concat(),
    );
}

pub(super) fn others() -> Vec<Sample> {
    let udp4 = ip4(17, &udp::raw(5000, 6000, b"hello"));
    let udp6 = ip6(CLIENT6, SERVER6, 17, &udp::raw(5000, 6000, b"hello"));
    let sll = |direction: u8, kind: u16, payload: &[u8]| {
        let start = [0, direction, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0];
        [&start[..], &kind.to_be_bytes(), payload].concat()
    };
    let sll2 = |direction: u8, kind: u16, payload: &[u8]| {
        let start = [
            0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 1, direction, 6, 2, 0, 0, 0, 0, 1, 0, 0,
        ];
        [&kind.to_be_bytes()[..], &start, payload].concat()
    };
    let tagged = [&[0, 100, 8, 0][..], &udp4].concat();
    let mut all = Vec::new();
    let mut add = |name, link_type, data| {
        all.push(Sample {
            name,
            link_type,
            data,
        });
    };
    add("raw IPv4", 101, udp4.clone());
    add("raw IPv6", 101, udp6.clone());
    add("raw nothing", 101, vec![0x10; 20]);
    add("null IPv4", 0, [&[2, 0, 0, 0][..], &udp4].concat());
    add("null IPv6", 0, [&[0, 0, 0, 30][..], &udp6].concat());
    add(
        "null of another family",
        0,
        [&[99, 0, 0, 0][..], &udp4].concat(),
    );
    for direction in 0..=5 {
        add("cooked", 113, sll(direction, 0x0800, &udp4));
        add("cooked 2", 276, sll2(direction, 0x0800, &udp4));
    }
    add("cooked IPv6", 113, sll(4, 0x86dd, &udp6));
    add("cooked VLAN", 113, sll(0, 0x8100, &tagged));
    add("cooked unknown", 113, sll(0, 0x1234, b"something"));
    add("cooked 2 IPv6", 276, sll2(4, 0x86dd, &udp6));
    add("cooked 2 VLAN", 276, sll2(0, 0x8100, &tagged));
    add("cooked 2 unknown", 276, sll2(0, 0x1234, b"something"));
    all
}
