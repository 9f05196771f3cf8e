//! Packet bytes to a class and a flow. One parser for the kernel, its tests and its fuzzing.
//!
//! Two ways lead to the same result. [`quick4`] and [`quick6`] take the packets that nearly all
//! traffic consists of (no tag, no option, no extension header, no fragment, TCP or UDP, headers in
//! the linear part), and read them in place, at constant offsets: without `CAP_PERFMON` the
//! verifier lets a program add only constants to a packet pointer. What they do not take goes to
//! [`full`], which copies each header from wherever it is. Host tests hold the two equal.
//!
//! The ethertype is read from the bytes, not from `skb->protocol`: a tag in the skb's metadata is
//! not in the bytes, and a raw socket may put anything into `skb->protocol`. Parsing never fails;
//! what is cut short or makes no sense gets the class and the flow kind that say so. Nothing is
//! said of checksums, and a tunnel is what its outer header says.

#![expect(
    clippy::inline_always,
    reason = "a call would cost the packet's path more than the code, and offsets would no longer be \
              constants to the verifier"
)]
#![expect(
    clippy::cast_possible_truncation,
    reason = "offsets of headers are small, flags are the lower half of their word, and what was forgotten is as \
              wide as it was"
)]

mod head;

use core::mem::MaybeUninit;

pub use head::{Copied, Head};

use crate::wire::{Class, Direction, FlowFamily, FlowKind, FlowTail};

/// Bytes of a packet, from its link-layer header on.
pub trait PacketBytes {
    /// The first `N` bytes, where they can be read in place.
    fn head<const N: usize>(&self) -> Option<Head<'_, N>>;

    /// Copies the `N` bytes at `offset` to the start of `into`, and says whether all were there.
    fn copy<const N: usize>(&self, offset: usize, into: &mut Copied) -> bool;

    /// `value`, of which a verifier shall know nothing any more. It follows a program along every
    /// way, and holds two of them for one only if it knows the same of both: so between the steps of
    /// [`full`] what each way has found is forgotten, or their numbers would multiply. `PLACE` is
    /// below 8; two values that are forgotten at the same time have two.
    #[inline(always)]
    fn forget<const PLACE: usize>(&self, value: u64) -> u64 {
        value
    }
}

/// What a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parsed<K> {
    /// What it counts as.
    pub class: Class,
    /// Which flow it is part of.
    pub key: K,
    /// TCP flags (CWR to FIN), 0 for what is not TCP.
    pub tcp_flags: u8,
    /// Length of all headers that were understood: what each segment of a super-packet repeats.
    pub headers: u32,
}

/// [`Parsed`] of either family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// [`FlowFamily::V4`] also for what is not IP or could not be parsed.
    pub family: FlowFamily,
    /// With a [`FlowKey4`](crate::wire::FlowKey4) in the first two words and zeroes behind it, or with a [`FlowKey6`](crate::wire::FlowKey6).
    pub parsed: Parsed<[u64; 5]>,
}

const ETHERTYPE_AT: usize = 12;
const ETHERNET_LEN: usize = 14;
const VLAN_TAG_LEN: usize = 4;
const IPV4_LEN: usize = 20;
const IPV6_LEN: usize = 40;
const UDP_LEN: usize = 8;
/// SCTP's common header, which each of its segments has.
const SCTP_LEN: usize = 12;
/// The TCP header up to and including its flags.
const TCP_TO_FLAGS: usize = 14;
const PORTS_LEN: usize = 4;

/// Where the headers of an untagged packet without options or extensions are.
const QUICK4_L4: usize = ETHERNET_LEN + IPV4_LEN;
const QUICK6_L4: usize = ETHERNET_LEN + IPV6_LEN;

/// `QinQ` has two tags; a third is taken for what it is not worth to look behind.
const MAX_VLAN_TAGS: usize = 2;
/// RFC 8200 names seven extension headers; real packets carry one or two.
const MAX_EXTENSION_HEADERS: usize = 6;
/// "More fragments" and the offset, of the third word of an IPv4 header.
const IPV4_FRAGMENT: u16 = 0x3fff;
const IPV4_FRAGMENT_OFFSET: u16 = 0x1fff;

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
    pub(super) const DCCP: u8 = 33;
    pub(super) const ROUTING: u8 = 43;
    pub(super) const FRAGMENT: u8 = 44;
    pub(super) const AUTHENTICATION: u8 = 51;
    pub(super) const ICMPV6: u8 = 58;
    pub(super) const DESTINATION_OPTIONS: u8 = 60;
    pub(super) const SCTP: u8 = 132;
    pub(super) const MOBILITY: u8 = 135;
    pub(super) const UDP_LITE: u8 = 136;
}

/// An untagged IPv4 packet without options or fragments, with TCP or UDP in it.
///
/// The key is that of [`FlowKey4`](crate::wire::FlowKey4), made of whole words in registers: one that is written field by
/// field and then read in words would wait for the processor's store buffer.
#[inline(always)]
pub fn quick4(
    packet: &impl PacketBytes,
    owner: u32,
    direction: Direction,
) -> Option<Parsed<[u64; 2]>> {
    let head = packet.head::<{ QUICK4_L4 + PORTS_LEN }>()?;
    if head.u16::<ETHERTYPE_AT>() != ethertype::IPV4.to_be()
        || head.u8::<ETHERNET_LEN>() != 0x45
        || head.u16::<{ ETHERNET_LEN + 6 }>() & IPV4_FRAGMENT.to_be() != 0
    {
        return None;
    }
    let protocol = head.u8::<{ ETHERNET_LEN + 9 }>();
    let (class, tcp_flags, headers) = match protocol {
        protocol::TCP => {
            let word = packet.head::<{ QUICK4_L4 + TCP_TO_FLAGS }>()?;
            let word = u16::from_be(word.u16::<{ QUICK4_L4 + 12 }>());
            (Class::Ipv4Tcp, word as u8, QUICK4_L4 as u32 + tcp_len(word))
        }
        protocol::UDP => (Class::Ipv4Udp, 0, (QUICK4_L4 + UDP_LEN) as u32),
        _ => return None,
    };
    let addresses = match direction {
        Direction::Tx => head.u64::<{ ETHERNET_LEN + 12 }>(),
        Direction::Rx => head.u64::<{ ETHERNET_LEN + 12 }>().rotate_left(32),
    };
    let ports = head.u32::<QUICK4_L4>();
    Some(Parsed {
        class,
        key: [addresses, ports_tail(ports, owner, protocol, direction)],
        tcp_flags,
        headers,
    })
}

/// An untagged IPv6 packet with TCP or UDP right behind its header. The key is that of
/// [`FlowKey6`](crate::wire::FlowKey6).
#[inline(always)]
pub fn quick6(
    packet: &impl PacketBytes,
    owner: u32,
    direction: Direction,
) -> Option<Parsed<[u64; 5]>> {
    let head = packet.head::<{ QUICK6_L4 + PORTS_LEN }>()?;
    if head.u16::<ETHERTYPE_AT>() != ethertype::IPV6.to_be() || head.u8::<ETHERNET_LEN>() >> 4 != 6
    {
        return None;
    }
    let protocol = head.u8::<{ ETHERNET_LEN + 6 }>();
    let (class, tcp_flags, headers) = match protocol {
        protocol::TCP => {
            let word = packet.head::<{ QUICK6_L4 + TCP_TO_FLAGS }>()?;
            let word = u16::from_be(word.u16::<{ QUICK6_L4 + 12 }>());
            (Class::Ipv6Tcp, word as u8, QUICK6_L4 as u32 + tcp_len(word))
        }
        protocol::UDP => (Class::Ipv6Udp, 0, (QUICK6_L4 + UDP_LEN) as u32),
        _ => return None,
    };
    let source = [
        head.u64::<{ ETHERNET_LEN + 8 }>(),
        head.u64::<{ ETHERNET_LEN + 16 }>(),
    ];
    let destination = [
        head.u64::<{ ETHERNET_LEN + 24 }>(),
        head.u64::<{ ETHERNET_LEN + 32 }>(),
    ];
    let [[first, second], [third, fourth]] = local_first([source, destination], direction);
    let tail = ports_tail(head.u32::<QUICK6_L4>(), owner, protocol, direction);
    Some(Parsed {
        class,
        key: [first, second, third, fourth, tail],
        tcp_flags,
        headers,
    })
}

/// A [`FlowTail`] as a word, of both ports as they stand in the header.
#[inline(always)]
fn ports_tail(ports: u32, owner: u32, protocol: u8, direction: Direction) -> u64 {
    const { assert!(cfg!(target_endian = "little"), "the layout in a word") };
    let ports = match direction {
        Direction::Tx => ports,
        Direction::Rx => ports.rotate_left(16),
    };
    let bits = FlowTail::new(owner, FlowKind::Ports, protocol, [0; 2]).bits;
    u64::from(ports) | u64::from(bits) << 32
}

/// Any packet.
#[inline(always)]
pub fn full(packet: &impl PacketBytes, owner: u32, direction: Direction) -> Packet {
    // One for all headers: the eBPF stack is small, and each would have its own room there.
    let mut room = MaybeUninit::uninit();
    let copied = Copied::zeroed(&mut room);
    let network = network(packet, direction, copied).forgotten(packet);
    let Network { protocol, l4, .. } = network;
    let transport = match network.kind {
        FlowKind::Ports => transport(packet, l4, protocol, direction, copied),
        kind => Transport::nothing(kind, [0, network.what.to_be()], l4),
    };
    let tail = FlowTail::new(owner, transport.kind, protocol, transport.ports);
    let tail: u64 = zerocopy::transmute!(tail);
    let [first, second, third, fourth] = network.addresses;
    Packet {
        family: network.family,
        parsed: Parsed {
            class: network.class,
            key: match network.family {
                FlowFamily::V4 => [first, tail, 0, 0, 0],
                FlowFamily::V6 => [first, second, third, fourth, tail],
            },
            tcp_flags: transport.tcp_flags,
            headers: transport.headers,
        },
    }
}

/// What the headers up to the transport's say.
struct Network {
    family: FlowFamily,
    class: Class,
    /// [`FlowKind::Ports`] also where it is yet to be seen what the transport has.
    kind: FlowKind,
    /// What stands as the remote port of those that have none.
    what: u16,
    protocol: u8,
    /// Local, then remote: as in a [`FlowKey4`](crate::wire::FlowKey4) in the first word, or as in a [`FlowKey6`](crate::wire::FlowKey6).
    addresses: [u64; 4],
    /// Where the transport's header is, or where understanding ends.
    l4: usize,
}

impl Network {
    /// The same, of which nothing is known.
    #[inline(always)]
    fn forgotten(self, packet: &impl PacketBytes) -> Self {
        let numbers = [
            self.family as u8,
            self.class as u8,
            self.kind as u8,
            self.protocol,
        ];
        let numbers = packet.forget::<0>(u32::from_le_bytes(numbers).into()) as u32;
        let [family, class, kind, protocol] = numbers.to_le_bytes();
        let [first, second, third, fourth] = self.addresses;
        Self {
            family: if family == FlowFamily::V4 as u8 {
                FlowFamily::V4
            } else {
                FlowFamily::V6
            },
            // SAFETY: the number of one, of the same representation.
            class: unsafe { core::mem::transmute::<u32, Class>(class.into()) },
            // SAFETY: as above.
            kind: unsafe { core::mem::transmute::<u8, FlowKind>(kind) },
            protocol,
            what: packet.forget::<1>(self.what.into()) as u16,
            l4: packet.forget::<2>(self.l4 as u64) as usize,
            addresses: [
                packet.forget::<3>(first),
                packet.forget::<4>(second),
                packet.forget::<5>(third),
                packet.forget::<6>(fourth),
            ],
        }
    }

    #[inline(always)]
    fn not_ip(class: Class, ethertype: u16, l4: usize) -> Self {
        Self {
            family: FlowFamily::V4,
            class,
            kind: FlowKind::Ethertype,
            what: ethertype,
            protocol: 0,
            addresses: [0; 4],
            l4,
        }
    }

    #[inline(always)]
    fn unparsed(class: Class, l4: usize) -> Self {
        Self {
            kind: FlowKind::Unparsed,
            ..Self::not_ip(class, class as u16, l4)
        }
    }
}

#[inline(always)]
fn network(packet: &impl PacketBytes, direction: Direction, copied: &mut Copied) -> Network {
    if !packet.copy::<2>(ETHERTYPE_AT, copied) {
        return Network::unparsed(Class::Truncated, ETHERTYPE_AT);
    }
    let mut ethertype = copied.be16::<0>();
    let mut l3 = ETHERNET_LEN;
    for _ in 0..MAX_VLAN_TAGS {
        if ethertype != ethertype::VLAN && ethertype != ethertype::QINQ {
            break;
        }
        if !packet.copy::<2>(l3 + 2, copied) {
            return Network::unparsed(Class::Truncated, l3);
        }
        ethertype = copied.be16::<0>();
        l3 += VLAN_TAG_LEN;
    }
    let ethertype = packet.forget::<0>(ethertype.into()) as u16;
    let l3 = packet.forget::<1>(l3 as u64) as usize;
    match ethertype {
        ethertype::IPV4 => network4(packet, direction, l3, copied),
        ethertype::IPV6 => network6(packet, direction, l3, copied),
        ethertype::VLAN | ethertype::QINQ => Network::unparsed(Class::ManyTags, l3),
        ethertype::ARP => Network::not_ip(Class::Arp, ethertype, l3),
        _ => Network::not_ip(Class::Other, ethertype, l3),
    }
}

#[inline(always)]
fn network4(
    packet: &impl PacketBytes,
    direction: Direction,
    l3: usize,
    header: &mut Copied,
) -> Network {
    if !packet.copy::<IPV4_LEN>(l3, header) {
        return Network::unparsed(Class::Truncated, l3);
    }
    let first = header.u8::<0>();
    let length = usize::from(first & 15) * 4;
    if first >> 4 != 4 || length < IPV4_LEN {
        return Network::unparsed(Class::Malformed, l3);
    }
    let protocol = header.u8::<9>();
    let class = match protocol {
        protocol::TCP => Class::Ipv4Tcp,
        protocol::UDP => Class::Ipv4Udp,
        protocol::ICMP => Class::Ipv4Icmp,
        _ => Class::Ipv4Other,
    };
    let kind = if header.be16::<6>() & IPV4_FRAGMENT_OFFSET == 0 {
        FlowKind::Ports
    } else {
        FlowKind::LaterFragment
    };
    let addresses = local_first([header.u32::<12>(), header.u32::<16>()], direction);
    Network {
        family: FlowFamily::V4,
        class,
        kind,
        what: 0,
        protocol,
        addresses: [zerocopy::transmute!(addresses), 0, 0, 0],
        l4: l3 + length,
    }
}

#[inline(always)]
fn network6(
    packet: &impl PacketBytes,
    direction: Direction,
    l3: usize,
    header: &mut Copied,
) -> Network {
    if !packet.copy::<IPV6_LEN>(l3, header) {
        return Network::unparsed(Class::Truncated, l3);
    }
    if header.u8::<0>() >> 4 != 6 {
        return Network::unparsed(Class::Malformed, l3);
    }
    let addresses = [
        [header.u64::<8>(), header.u64::<16>()],
        [header.u64::<24>(), header.u64::<32>()],
    ];
    let [[first, second], [third, fourth]] = local_first(addresses, direction);
    let chain = walk(packet, header.u8::<6>(), l3 + IPV6_LEN, header);
    let protocol = chain.protocol;
    let (class, kind) = match chain.end {
        ChainEnd::Protocol => (class6(protocol), FlowKind::Ports),
        ChainEnd::LaterFragment => (class6(protocol), FlowKind::LaterFragment),
        ChainEnd::Truncated => (Class::Truncated, FlowKind::Truncated),
        ChainEnd::TooLong => (Class::ManyExtensions, FlowKind::Portless),
    };
    Network {
        family: FlowFamily::V6,
        class,
        kind,
        what: 0,
        protocol,
        addresses: [first, second, third, fourth],
        l4: chain.offset,
    }
}

#[inline(always)]
fn class6(protocol: u8) -> Class {
    match protocol {
        protocol::TCP => Class::Ipv6Tcp,
        protocol::UDP => Class::Ipv6Udp,
        protocol::ICMPV6 => Class::Ipv6Icmp,
        _ => Class::Ipv6Other,
    }
}

/// Where a chain of extension headers ends, and why there.
struct Chain {
    protocol: u8,
    offset: usize,
    end: ChainEnd,
}

enum ChainEnd {
    Protocol,
    LaterFragment,
    Truncated,
    TooLong,
}

/// Walks the extension headers of RFC 8200, section 4, by a constant bound.
#[inline(always)]
fn walk(
    packet: &impl PacketBytes,
    mut protocol: u8,
    mut offset: usize,
    header: &mut Copied,
) -> Chain {
    let mut end = ChainEnd::TooLong;
    // One more than may be walked: the last round only looks whether the chain is at its end.
    for round in 0..=MAX_EXTENSION_HEADERS {
        // The length byte counts 8-byte units after the first (RFC 8200), or, for the
        // authentication header, 4-byte units less two (RFC 4302); a fragment header is 8 bytes.
        let (unit, more) = match protocol {
            protocol::HOP_BY_HOP
            | protocol::ROUTING
            | protocol::DESTINATION_OPTIONS
            | protocol::MOBILITY => (8, 1),
            protocol::AUTHENTICATION => (4, 2),
            protocol::FRAGMENT => (0, 0),
            _ => {
                end = ChainEnd::Protocol;
                break;
            }
        };
        if round == MAX_EXTENSION_HEADERS {
            break;
        }
        if !packet.copy::<4>(offset, header) {
            end = ChainEnd::Truncated;
            break;
        }
        protocol = header.u8::<0>();
        offset += if unit == 0 {
            8
        } else {
            (usize::from(header.u8::<1>()) + more) * unit
        };
        // The offset's 13 bits stand above three others.
        if unit == 0 && header.be16::<2>() >> 3 != 0 {
            end = ChainEnd::LaterFragment;
            break;
        }
        protocol = packet.forget::<0>(protocol.into()) as u8;
        offset = packet.forget::<1>(offset as u64) as usize;
    }
    Chain {
        protocol,
        offset,
        end,
    }
}

/// What the header behind IP says.
struct Transport {
    kind: FlowKind,
    ports: [u16; 2],
    tcp_flags: u8,
    headers: u32,
}

impl Transport {
    #[inline(always)]
    fn nothing(kind: FlowKind, ports: [u16; 2], headers: usize) -> Self {
        Self {
            kind,
            ports,
            tcp_flags: 0,
            headers: headers as u32,
        }
    }
}

#[inline(always)]
fn transport(
    packet: &impl PacketBytes,
    at: usize,
    protocol: u8,
    direction: Direction,
    header: &mut Copied,
) -> Transport {
    let cut = Transport::nothing(FlowKind::Truncated, [0; 2], at);
    match protocol {
        protocol::TCP => {
            if !packet.copy::<TCP_TO_FLAGS>(at, header) {
                return cut;
            }
            let word = header.be16::<12>();
            Transport {
                kind: FlowKind::Ports,
                ports: local_first([header.u16::<0>(), header.u16::<2>()], direction),
                tcp_flags: word as u8,
                headers: at as u32 + tcp_len(word),
            }
        }
        protocol::UDP | protocol::UDP_LITE | protocol::SCTP | protocol::DCCP => {
            if !packet.copy::<PORTS_LEN>(at, header) {
                return cut;
            }
            // DCCP's header is longer, and does not travel in super-packets.
            let length = if protocol == protocol::SCTP {
                SCTP_LEN
            } else {
                UDP_LEN
            };
            Transport {
                kind: FlowKind::Ports,
                ports: local_first([header.u16::<0>(), header.u16::<2>()], direction),
                tcp_flags: 0,
                headers: (at + length) as u32,
            }
        }
        protocol::ICMP | protocol::ICMPV6 => {
            if !packet.copy::<8>(at, header) {
                return cut;
            }
            Transport {
                kind: FlowKind::Icmp,
                ports: icmp(header.u8::<0>(), header.u8::<1>(), header.u16::<4>()),
                tcp_flags: 0,
                headers: at as u32,
            }
        }
        _ => Transport::nothing(FlowKind::Portless, [0; 2], at),
    }
}

/// Identifier, and type with code, in network byte order. Types of both families do not overlap
/// where a reply is concerned.
#[inline(always)]
fn icmp(kind: u8, code: u8, identifier: u16) -> [u16; 2] {
    // RFC 792 and RFC 950: echo, timestamp, information, address mask; RFC 4443: echo.
    let request = match kind {
        0 => 8,
        14 => 13,
        16 => 15,
        18 => 17,
        129 => 128,
        kind => kind,
    };
    let identifier = match request {
        8 | 13 | 15 | 17 | 128 => identifier,
        _ => 0,
    };
    [identifier, u16::from_be_bytes([request, code]).to_be()]
}

/// Length of a TCP header, by its word of offset and flags; the least there is if that is less.
#[inline(always)]
fn tcp_len(word: u16) -> u32 {
    let length = u32::from(word >> 12) * 4;
    if length < 20 { 20 } else { length }
}

/// (source, destination) to (local, remote): a packet that leaves the netns has its source there.
#[inline(always)]
fn local_first<T>([source, destination]: [T; 2], direction: Direction) -> [T; 2] {
    match direction {
        Direction::Tx => [source, destination],
        Direction::Rx => [destination, source],
    }
}

#[cfg(test)]
mod tests;
