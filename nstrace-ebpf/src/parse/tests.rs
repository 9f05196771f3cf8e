//! The parser on hand-made frames, and on every truncation of each.

use super::*;

impl PacketBytes for &[u8] {
    fn u8_at(&self, offset: usize) -> Option<u8> {
        self.get(offset).copied()
    }

    fn be16_at(&self, offset: usize) -> Option<u16> {
        let bytes = self.get(offset..offset + 2)?;
        Some(u16::from_be_bytes([bytes[0], bytes[1]]))
    }
}

/// MAC addresses, then each 16-bit word of `tags_and_type`.
fn ethernet(tags_and_type: &[u16]) -> Vec<u8> {
    let mut frame = vec![2; 12];
    for word in tags_and_type {
        frame.extend(word.to_be_bytes());
    }
    frame
}

fn ipv4_frame(tags: &[u16], protocol: u8) -> Vec<u8> {
    let mut frame = ethernet(&[tags, &[0x0800]].concat());
    let mut header = [0; 20];
    header[0] = 0x45;
    header[9] = protocol;
    frame.extend(header);
    frame
}

/// `chain` is (type of the header, its bytes); each header's first byte is set to the next type.
fn ipv6_frame(tags: &[u16], chain: &[(u8, &[u8])], last: u8) -> Vec<u8> {
    let mut frame = ethernet(&[tags, &[0x86dd]].concat());
    let mut header = [0; 40];
    header[0] = 0x60;
    header[6] = chain.first().map_or(last, |(kind, _)| *kind);
    frame.extend(header);
    for (at, (_, bytes)) in chain.iter().enumerate() {
        let start = frame.len();
        frame.extend(*bytes);
        frame[start] = chain.get(at + 1).map_or(last, |(kind, _)| *kind);
    }
    frame
}

#[track_caller]
fn check(frame: &[u8], expected: Class) {
    assert_eq!(classify(&frame), expected);
}

#[test]
fn ipv4_is_classed_by_its_protocol() {
    check(&ipv4_frame(&[], 6), Class::Ipv4Tcp);
    check(&ipv4_frame(&[], 17), Class::Ipv4Udp);
    check(&ipv4_frame(&[], 1), Class::Ipv4Icmp);
    check(&ipv4_frame(&[], 132), Class::Ipv4Other);
    // ICMPv6 over IPv4 is nonsense, and counted as such.
    check(&ipv4_frame(&[], 58), Class::Ipv4Other);
}

#[test]
fn ipv6_is_classed_by_its_last_header() {
    check(&ipv6_frame(&[], &[], 6), Class::Ipv6Tcp);
    check(&ipv6_frame(&[], &[], 17), Class::Ipv6Udp);
    check(&ipv6_frame(&[], &[], 58), Class::Ipv6Icmp);
    check(&ipv6_frame(&[], &[], 1), Class::Ipv6Other);
    check(&ipv6_frame(&[], &[], 59), Class::Ipv6Other);
}

#[test]
fn ipv6_extension_headers_are_walked_by_their_own_lengths() {
    let hop_by_hop = (0, &[0, 0, 0, 0, 0, 0, 0, 0][..]);
    let options_of_24 = (60, &[&[0, 2][..], &[0; 22]].concat()[..]);
    let fragment = (44, &[0, 0xff, 0, 0, 0, 0, 0, 0][..]);
    let authentication_of_24 = (51, &[&[0, 4][..], &[0; 22]].concat()[..]);
    check(&ipv6_frame(&[], &[hop_by_hop], 58), Class::Ipv6Icmp);
    check(&ipv6_frame(&[], &[fragment], 17), Class::Ipv6Udp);
    check(
        &ipv6_frame(&[], &[hop_by_hop, options_of_24, authentication_of_24], 6),
        Class::Ipv6Tcp,
    );
}

#[test]
fn a_chain_past_the_bound_is_ipv6_other() {
    let options = (60, &[0, 0, 0, 0, 0, 0, 0, 0][..]);
    check(&ipv6_frame(&[], &[options; 6], 6), Class::Ipv6Tcp);
    check(&ipv6_frame(&[], &[options; 7], 6), Class::Ipv6Other);
}

#[test]
fn up_to_two_vlan_tags_are_looked_through() {
    check(&ipv4_frame(&[0x8100, 5], 17), Class::Ipv4Udp);
    check(&ipv4_frame(&[0x88a8, 7, 0x8100, 5], 6), Class::Ipv4Tcp);
    check(&ipv6_frame(&[0x8100, 5], &[], 58), Class::Ipv6Icmp);
    check(
        &ipv4_frame(&[0x8100, 1, 0x8100, 2, 0x8100, 3], 6),
        Class::Other,
    );
}

#[test]
fn what_is_not_ip_is_arp_or_other() {
    check(&ethernet(&[0x0806]), Class::Arp);
    check(&ethernet(&[0x8100, 9, 0x0806]), Class::Arp);
    check(&ethernet(&[0x88cc]), Class::Other);
    // An 802.3 length field instead of a type.
    check(&ethernet(&[0x0026]), Class::Other);
}

#[test]
fn every_truncation_has_the_class_of_what_could_be_read() {
    let options = (60, &[0, 0, 0, 0, 0, 0, 0, 0][..]);
    let whole = ipv6_frame(&[0x88a8, 7, 0x8100, 5], &[options], 6);
    for len in 0..whole.len() {
        let expected = match len {
            // Up to the innermost ethertype nothing is known.
            0..22 => Class::Other,
            // Then IPv6, until the extension header's first two bytes are whole.
            22..64 => Class::Ipv6Other,
            _ => Class::Ipv6Tcp,
        };
        assert_eq!(classify(&&whole[..len]), expected, "cut at {len}");
    }
    let whole = ipv4_frame(&[], 17);
    for len in 0..whole.len() {
        let expected = match len {
            0..14 => Class::Other,
            14..24 => Class::Ipv4Other,
            _ => Class::Ipv4Udp,
        };
        assert_eq!(classify(&&whole[..len]), expected, "cut at {len}");
    }
}
