//! The parser, held to stated facts ([`facts`]) and to another parser ([`judge`]) over generated
//! packets ([`packets`]), whole and cut at every length, in both directions.

mod facts;
mod judge;
mod packets;
mod properties;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::*;
use crate::wire::{FlowKey4, FlowKey6};

impl PacketBytes for &[u8] {
    fn head<const N: usize>(&self) -> Option<Head<'_, N>> {
        self.first_chunk().map(Head::new)
    }

    fn copy<const N: usize>(&self, offset: usize, into: &mut Copied) -> bool {
        let bytes = self.get(offset..).and_then(<[u8]>::first_chunk::<N>);
        if let Some(bytes) = bytes {
            *into.first_mut() = *bytes;
        }
        bytes.is_some()
    }
}

/// A packet of which only the first bytes can be read in place, as one in pages.
struct Paged<'a> {
    bytes: &'a [u8],
    linear: usize,
}

impl PacketBytes for Paged<'_> {
    fn head<const N: usize>(&self) -> Option<Head<'_, N>> {
        let linear = &self.bytes[..self.linear.min(self.bytes.len())];
        linear.first_chunk().map(Head::new)
    }

    fn copy<const N: usize>(&self, offset: usize, into: &mut Copied) -> bool {
        self.bytes.copy::<N>(offset, into)
    }
}

const DIRECTIONS: [Direction; 2] = [Direction::Rx, Direction::Tx];
/// Every bit that an owner can have.
const OWNER: u32 = crate::wire::Owner::MASK;

/// What a packet is, whichever way it goes: source before destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    class: Class,
    kind: FlowKind,
    protocol: u8,
    ends: Option<[IpAddr; 2]>,
    /// Of [`FlowKind::Ports`] source, then destination; else as they stand.
    ports: [u16; 2],
    tcp_flags: u8,
    headers: usize,
}

impl Seen {
    /// Nothing but that it could not be parsed.
    fn unparsed(class: Class, headers: usize) -> Self {
        Self {
            class,
            kind: FlowKind::Unparsed,
            protocol: 0,
            ends: None,
            ports: [0, class as u16],
            tcp_flags: 0,
            headers,
        }
    }

    fn ethertype(class: Class, ethertype: u16, headers: usize) -> Self {
        Self {
            kind: FlowKind::Ethertype,
            ports: [0, ethertype],
            ..Self::unparsed(class, headers)
        }
    }
}

/// What the parser says of a packet that goes in `direction`. Asserts what must hold of any key.
#[track_caller]
fn seen(packet: &Packet, direction: Direction) -> Seen {
    let Packet { family, parsed } = packet;
    let key = parsed.key;
    let (tail, local, remote): (FlowTail, IpAddr, IpAddr) = match family {
        FlowFamily::V4 => {
            assert_eq!(key[2..], [0; 3], "words behind an IPv4 key");
            let FlowKey4 {
                local,
                remote,
                tail,
            } = zerocopy::transmute!([key[0], key[1]]);
            let address = |address: u32| Ipv4Addr::from(address.to_ne_bytes()).into();
            (tail, address(local), address(remote))
        }
        FlowFamily::V6 => {
            let FlowKey6 {
                local,
                remote,
                tail,
            } = zerocopy::transmute!(key);
            let address = |words: [u64; 2]| {
                let bytes: [u8; 16] = zerocopy::transmute!(words);
                Ipv6Addr::from(bytes).into()
            };
            (tail, address(local), address(remote))
        }
    };
    assert_eq!(tail.owner().to_bits(), OWNER);
    let kind = tail.kind().expect("a kind that has a name");
    let ends = if matches!(kind, FlowKind::Ethertype | FlowKind::Unparsed) {
        assert_eq!((key[0], *family), (0, FlowFamily::V4), "of what is not IP");
        None
    } else {
        Some(source_first([local, remote], direction))
    };
    let ports = [tail.local_port, tail.remote_port].map(u16::from_be);
    Seen {
        class: parsed.class,
        kind,
        protocol: tail.protocol(),
        ends,
        ports: if kind == FlowKind::Ports {
            source_first(ports, direction)
        } else {
            ports
        },
        tcp_flags: parsed.tcp_flags,
        headers: parsed.headers as usize,
    }
}

fn source_first<T>([local, remote]: [T; 2], direction: Direction) -> [T; 2] {
    match direction {
        Direction::Tx => [local, remote],
        Direction::Rx => [remote, local],
    }
}

/// That the packet is this, in both directions and on every way to it. Returns whether it goes the
/// quick way.
#[track_caller]
fn check(frame: &[u8], expected: &Seen) -> bool {
    let mut is_quick = false;
    for direction in DIRECTIONS {
        let packet = full(&frame, OWNER, direction);
        assert_eq!(seen(&packet, direction), *expected, "{direction:?}");
        is_quick = check_quick(&frame, &packet, direction);
    }
    is_quick
}

/// That a quick way, if it is one, leads where the long one does. Returns whether it is.
#[track_caller]
fn check_quick(frame: &impl PacketBytes, packet: &Packet, direction: Direction) -> bool {
    let quick4 = quick4(frame, OWNER, direction).map(|parsed| {
        let [first, second] = parsed.key;
        let parsed = Parsed {
            class: parsed.class,
            key: [first, second, 0, 0, 0],
            tcp_flags: parsed.tcp_flags,
            headers: parsed.headers,
        };
        (FlowFamily::V4, parsed)
    });
    let quick6 = quick6(frame, OWNER, direction).map(|parsed| (FlowFamily::V6, parsed));
    assert!(quick4.is_none() || quick6.is_none(), "both families");
    let Some((family, parsed)) = quick4.or(quick6) else {
        return false;
    };
    assert_eq!(Packet { family, parsed }, *packet, "{direction:?}");
    true
}

/// MAC addresses, then each 16-bit word of `tags_and_type`.
fn ethernet(tags_and_type: &[u16]) -> Vec<u8> {
    let mut frame = vec![2; 12];
    for word in tags_and_type {
        frame.extend(word.to_be_bytes());
    }
    frame
}
