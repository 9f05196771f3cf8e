//! UDP.

use etherparse::{PacketBuilder, UdpHeader};

use super::{Add, CLIENT4, CLIENT6, MACS, SERVER4, SERVER6, built, eth4, eth6};

pub(super) fn raw(source: u16, destination: u16, payload: &[u8]) -> Vec<u8> {
    let header = UdpHeader::without_ipv4_checksum(source, destination, payload.len());
    [&header.expect("short").to_bytes()[..], payload].concat()
}

pub(super) fn all(add: &mut Add<'_>) {
    let builder = PacketBuilder::ethernet2(MACS[0], MACS[1])
        .ipv4(CLIENT4, SERVER4, 64)
        .udp(5000, 6000);
    add(
        "UDP",
        built(builder, |builder, out| builder.write(out, b"hello\tworld")),
    );
    add("UDP without checksum", eth4(17, &raw(5000, 6000, b"hello")));
    let mut wrong = raw(5000, 6000, b"hello");
    wrong[7] = 1;
    add("UDP with a wrong checksum", eth4(17, &wrong));
    let mut long = raw(5000, 6000, b"hello");
    long[5] = 100;
    add("UDP that says it is longer", eth4(17, &long));
    let mut short = raw(5000, 6000, b"hello");
    short[5] = 7;
    add("UDP that says it is too short", eth4(17, &short));
    add(
        "UDP without room for its header",
        eth4(17, &[1, 2, 3, 4, 5, 6]),
    );
    let builder = PacketBuilder::ethernet2(MACS[0], MACS[1])
        .ipv6(CLIENT6, SERVER6, 64)
        .udp(5000, 6000);
    add(
        "UDP over IPv6",
        built(builder, |builder, out| builder.write(out, b"hello")),
    );
    add(
        "UDP over IPv6 with a wrong checksum",
        eth6(17, &raw(5000, 6000, b"hello")),
    );
}
