//! Packet bytes to a [`Class`]. One parser for the kernel, its tests and its fuzzing.
//!
//! It reads the ethertype from the bytes, not from `skb->protocol`: a tag in the skb's metadata
//! is not in the bytes, and a raw socket may put anything into `skb->protocol`. It never fails;
//! what is cut short or unknown lands in the class of what could be read.

#![expect(
    clippy::inline_always,
    reason = "a call would cost the packet's path more than the code, and offsets would no longer be \
              constants to the verifier"
)]

use crate::wire::Class;

/// Bytes of a packet, from its link-layer header on.
pub trait PacketBytes {
    /// The byte at `offset`, or `None` past the end.
    fn u8_at(&self, offset: usize) -> Option<u8>;

    /// The big-endian 16-bit word at `offset`, or `None` if it is not whole.
    fn be16_at(&self, offset: usize) -> Option<u16>;
}

const ETHERTYPE_OFFSET: usize = 12;
const ETHERNET_LEN: usize = 14;
const VLAN_TAG_LEN: usize = 4;
const IPV4_PROTOCOL_OFFSET: usize = 9;
const IPV6_NEXT_HEADER_OFFSET: usize = 6;
const IPV6_LEN: usize = 40;

/// `QinQ` has two tags; a third is taken for what it is not worth to look behind.
const MAX_VLAN_TAGS: usize = 2;
/// RFC 8200 names seven extension headers; real packets carry one or two. A longer chain is
/// counted as IPv6 "other".
const MAX_EXTENSION_HEADERS: usize = 6;

mod ethertype {
    pub(super) const IPV4: u16 = 0x0800;
    pub(super) const ARP: u16 = 0x0806;
    pub(super) const VLAN: u16 = 0x8100;
    pub(super) const IPV6: u16 = 0x86dd;
    pub(super) const QINQ: u16 = 0x88a8;
}

/// IANA protocol numbers.
mod protocol {
    pub(super) const HOP_BY_HOP: u8 = 0;
    pub(super) const ICMP: u8 = 1;
    pub(super) const TCP: u8 = 6;
    pub(super) const UDP: u8 = 17;
    pub(super) const ROUTING: u8 = 43;
    pub(super) const FRAGMENT: u8 = 44;
    pub(super) const AUTHENTICATION: u8 = 51;
    pub(super) const ICMPV6: u8 = 58;
    pub(super) const DESTINATION_OPTIONS: u8 = 60;
    pub(super) const MOBILITY: u8 = 135;
}

/// The class of an Ethernet frame.
#[inline(always)]
pub fn classify(packet: &impl PacketBytes) -> Class {
    let mut offset = ETHERNET_LEN;
    let Some(mut ethertype) = packet.be16_at(ETHERTYPE_OFFSET) else {
        return Class::Other;
    };
    for _ in 0..MAX_VLAN_TAGS {
        if ethertype != ethertype::VLAN && ethertype != ethertype::QINQ {
            break;
        }
        let Some(inner) = packet.be16_at(offset + 2) else {
            return Class::Other;
        };
        ethertype = inner;
        offset += VLAN_TAG_LEN;
    }
    match ethertype {
        ethertype::IPV4 => ipv4(packet, offset),
        ethertype::IPV6 => ipv6(packet, offset),
        ethertype::ARP => Class::Arp,
        _ => Class::Other,
    }
}

#[inline(always)]
fn ipv4(packet: &impl PacketBytes, offset: usize) -> Class {
    match packet.u8_at(offset + IPV4_PROTOCOL_OFFSET) {
        Some(protocol::TCP) => Class::Ipv4Tcp,
        Some(protocol::UDP) => Class::Ipv4Udp,
        Some(protocol::ICMP) => Class::Ipv4Icmp,
        _ => Class::Ipv4Other,
    }
}

/// Walks the extension headers of RFC 8200, section 4, by a constant bound.
#[inline(always)]
fn ipv6(packet: &impl PacketBytes, offset: usize) -> Class {
    let Some(mut next) = packet.u8_at(offset + IPV6_NEXT_HEADER_OFFSET) else {
        return Class::Ipv6Other;
    };
    let mut offset = offset + IPV6_LEN;
    for _ in 0..MAX_EXTENSION_HEADERS {
        // The length byte counts 8-byte units after the first (RFC 8200), or, for the
        // authentication header, 4-byte units less two (RFC 4302); a fragment header is 8 bytes.
        let (unit, extra) = match next {
            protocol::TCP => return Class::Ipv6Tcp,
            protocol::UDP => return Class::Ipv6Udp,
            protocol::ICMPV6 => return Class::Ipv6Icmp,
            protocol::HOP_BY_HOP
            | protocol::ROUTING
            | protocol::DESTINATION_OPTIONS
            | protocol::MOBILITY => (8, 1),
            protocol::AUTHENTICATION => (4, 2),
            protocol::FRAGMENT => (0, 0),
            _ => return Class::Ipv6Other,
        };
        // Two bytes in one read: next header, length.
        let Some(header) = packet.be16_at(offset) else {
            return Class::Ipv6Other;
        };
        next = (header >> 8) as u8;
        let length = usize::from(header & 0xff);
        offset += if unit == 0 {
            8
        } else {
            (length + extra) * unit
        };
    }
    match next {
        protocol::TCP => Class::Ipv6Tcp,
        protocol::UDP => Class::Ipv6Udp,
        protocol::ICMPV6 => Class::Ipv6Icmp,
        _ => Class::Ipv6Other,
    }
}

#[cfg(test)]
mod tests;
