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
///
/// There are two ways to read, since without `CAP_PERFMON` the verifier lets a program add only
/// constants to a packet pointer: at a fixed offset, which the kernel side reads directly, and at
/// any other, for which it calls a helper. Untagged packets need the first way alone.
pub trait PacketBytes {
    /// The byte at `offset`, or `None` past the end.
    fn u8_at(&self, offset: usize) -> Option<u8>;

    /// The big-endian 16-bit word at `offset`, or `None` if it is not whole.
    fn be16_at(&self, offset: usize) -> Option<u16>;

    /// The byte at a fixed offset.
    #[inline(always)]
    fn fixed_u8<const OFFSET: usize>(&self) -> Option<u8> {
        self.u8_at(OFFSET)
    }

    /// The big-endian 16-bit word at a fixed offset.
    #[inline(always)]
    fn fixed_be16<const OFFSET: usize>(&self) -> Option<u16> {
        self.be16_at(OFFSET)
    }
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
    let Some(ethertype) = packet.fixed_be16::<ETHERTYPE_OFFSET>() else {
        return Class::Other;
    };
    match ethertype {
        ethertype::IPV4 => ipv4(packet.fixed_u8::<{ ETHERNET_LEN + IPV4_PROTOCOL_OFFSET }>()),
        ethertype::IPV6 => {
            let next = packet.fixed_u8::<{ ETHERNET_LEN + IPV6_NEXT_HEADER_OFFSET }>();
            ipv6(packet, next, ETHERNET_LEN + IPV6_LEN)
        }
        ethertype::ARP => Class::Arp,
        ethertype::VLAN | ethertype::QINQ => tagged(packet),
        _ => Class::Other,
    }
}

/// A frame with tags in its bytes: rare, since the kernel moves the outer one to the metadata.
#[inline(always)]
fn tagged(packet: &impl PacketBytes) -> Class {
    let mut offset = ETHERNET_LEN;
    for _ in 0..MAX_VLAN_TAGS {
        let Some(ethertype) = packet.be16_at(offset + 2) else {
            return Class::Other;
        };
        offset += VLAN_TAG_LEN;
        match ethertype {
            ethertype::IPV4 => return ipv4(packet.u8_at(offset + IPV4_PROTOCOL_OFFSET)),
            ethertype::IPV6 => {
                let next = packet.u8_at(offset + IPV6_NEXT_HEADER_OFFSET);
                return ipv6(packet, next, offset + IPV6_LEN);
            }
            ethertype::ARP => return Class::Arp,
            ethertype::VLAN | ethertype::QINQ => {}
            _ => return Class::Other,
        }
    }
    Class::Other
}

#[inline(always)]
fn ipv4(protocol: Option<u8>) -> Class {
    match protocol {
        Some(protocol::TCP) => Class::Ipv4Tcp,
        Some(protocol::UDP) => Class::Ipv4Udp,
        Some(protocol::ICMP) => Class::Ipv4Icmp,
        _ => Class::Ipv4Other,
    }
}

/// Walks the extension headers of RFC 8200, section 4, by a constant bound.
#[inline(always)]
fn ipv6(packet: &impl PacketBytes, next: Option<u8>, mut offset: usize) -> Class {
    let Some(mut next) = next else {
        return Class::Ipv6Other;
    };
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
