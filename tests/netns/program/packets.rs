//! Packets to run the programs on, and what each is on a wire.

use nstrace::state::flow::Counts;

use crate::support::bpf::SkBuff;

/// Addresses in the namespace and at the far end.
pub(super) const IPV4: [[u8; 4]; 2] = [[198, 51, 100, 10], [203, 0, 113, 1]];
pub(super) const IPV6: [[u8; 16]; 2] = [ipv6_address(0x0a), ipv6_address(0x01)];

pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const SCTP: u8 = 132;

pub(super) const SYN: u8 = 0x02;
pub(super) const ACK: u8 = 0x10;

const fn ipv6_address(last: u8) -> [u8; 16] {
    [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]
}

/// What an answer has the other way round.
pub(super) const fn turned<T: Copy>([first, second]: [T; 2]) -> [T; 2] {
    [second, first]
}

fn word(number: usize) -> [u8; 2] {
    u16::try_from(number).unwrap().to_be_bytes()
}

/// An Ethernet frame, with these tags in its bytes.
pub(super) fn frame(tags: &[u16], ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    for tag in tags {
        bytes.extend(tag.to_be_bytes());
        bytes.extend([0, 7]);
    }
    bytes.extend(ethertype.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// An IPv4 packet; the length of its options is a multiple of four.
pub(super) fn ipv4(protocol: u8, ends: [[u8; 4]; 2], options: &[u8], payload: &[u8]) -> Vec<u8> {
    fragment4(protocol, ends, options, 0, payload)
}

/// The same with the word of flags and offset that fragments have.
pub(super) fn fragment4(
    protocol: u8,
    ends: [[u8; 4]; 2],
    options: &[u8],
    fragment: u16,
    payload: &[u8],
) -> Vec<u8> {
    let header = 20 + options.len();
    let mut bytes = vec![0x40 | u8::try_from(header / 4).unwrap(), 0];
    bytes.extend(word(header + payload.len()));
    bytes.extend([0, 1]);
    bytes.extend(fragment.to_be_bytes());
    bytes.extend([64, protocol, 0, 0]);
    bytes.extend(ends.concat());
    bytes.extend(options);
    bytes.extend(payload);
    bytes
}

/// An IPv6 packet: `next` is the first header in its payload.
pub(super) fn ipv6(next: u8, ends: [[u8; 16]; 2], payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x60, 0, 0, 0];
    bytes.extend(word(payload.len()));
    bytes.extend([next, 64]);
    bytes.extend(ends.concat());
    bytes.extend(payload);
    bytes
}

/// An extension header of `length` bytes, a multiple of eight, and what is behind it.
pub(super) fn extended(next: u8, length: usize, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![next, u8::try_from(length / 8 - 1).unwrap()];
    bytes.resize(length, 0);
    bytes.extend(payload);
    bytes
}

/// An IPv6 fragment header, by its word of offset and flags.
pub(super) fn fragment6(next: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![next, 0];
    bytes.extend(fragment.to_be_bytes());
    bytes.extend([0, 0, 0, 1]);
    bytes.extend(payload);
    bytes
}

/// A TCP segment; the length of its options is a multiple of four.
pub(super) fn tcp(ports: [u16; 2], flags: u8, options: &[u8], payload: usize) -> Vec<u8> {
    let header = 20 + options.len();
    let mut bytes = ports.map(u16::to_be_bytes).concat();
    bytes.extend([0, 0, 0, 1, 0, 0, 0, 1]);
    bytes.extend([u8::try_from(header / 4).unwrap() << 4, flags]);
    bytes.extend([0xff, 0xff, 0, 0, 0, 0]);
    bytes.extend(options);
    bytes.resize(header + payload, 0x5a);
    bytes
}

/// A UDP datagram.
pub(super) fn udp(ports: [u16; 2], payload: usize) -> Vec<u8> {
    let mut bytes = ports.map(u16::to_be_bytes).concat();
    bytes.extend(word(8 + payload));
    bytes.extend([0, 0]);
    bytes.resize(8 + payload, 0x5a);
    bytes
}

/// SCTP chunks behind their common header.
pub(super) fn sctp(ports: [u16; 2], chunks: usize) -> Vec<u8> {
    let mut bytes = ports.map(u16::to_be_bytes).concat();
    // Verification tag and checksum.
    bytes.extend([0x5a; 8]);
    bytes.resize(12 + chunks, 0x5a);
    bytes
}

/// An ICMP message of either family.
pub(super) fn icmp(kind: u8, code: u8, identifier: u16) -> Vec<u8> {
    let mut bytes = vec![kind, code, 0, 0];
    bytes.extend(identifier.to_be_bytes());
    bytes.extend([0, 1]);
    bytes.resize(64, 0x5a);
    bytes
}

/// A packet as a program is run on it.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    pub(super) bytes: Vec<u8>,
    pub(super) context: SkBuff,
    /// Packets and bytes on a wire.
    wire: (u64, u64),
}

impl Packet {
    /// One that is on a wire what it is here.
    pub(super) fn plain(bytes: Vec<u8>) -> Self {
        Self {
            wire: (1, bytes.len() as u64),
            context: SkBuff::single(),
            bytes,
        }
    }

    /// A super-packet: the last `payload` bytes go out in segments of `size`, all but the last, each
    /// behind a copy of the rest. With `is_counted`, the kernel knows of how many.
    pub(super) fn segmented(bytes: Vec<u8>, payload: usize, size: usize, is_counted: bool) -> Self {
        let (headers, payload) = bytes.split_at(bytes.len() - payload);
        let lengths: Vec<usize> = payload
            .chunks(size)
            .map(|segment| headers.len() + segment.len())
            .collect();
        let segments = if is_counted { lengths.len() } else { 0 };
        let number = |of: usize| u32::try_from(of).unwrap();
        Self {
            wire: (lengths.len() as u64, lengths.iter().sum::<usize>() as u64),
            context: SkBuff::segmented(number(segments), number(size)),
            bytes,
        }
    }

    /// One of which the kernel says something else than what is in it.
    pub(super) fn said_to_be(bytes: Vec<u8>, context: SkBuff, wire: (u64, u64)) -> Self {
        Self {
            bytes,
            context,
            wire,
        }
    }

    /// What so many of it are.
    pub(super) fn counts(&self, times: u32) -> Counts {
        let times = u64::from(times);
        Counts {
            packets: times,
            bytes: times * self.bytes.len() as u64,
            wire_packets: times * self.wire.0,
            wire_bytes: times * self.wire.1,
        }
    }
}
