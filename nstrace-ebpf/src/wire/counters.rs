//! Counters of one interface on one CPU.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{DIRECTIONS, Direction};

/// What a packet is by its L3 and L4 protocol. Each packet has exactly one class.
///
/// Totals are sums over classes, so that a packet costs two additions and no total can disagree
/// with its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Class {
    /// TCP over IPv4.
    Ipv4Tcp = 0,
    /// UDP over IPv4.
    Ipv4Udp = 1,
    /// ICMP.
    Ipv4Icmp = 2,
    /// IPv4 with any other payload.
    Ipv4Other = 3,
    /// TCP over IPv6.
    Ipv6Tcp = 4,
    /// UDP over IPv6.
    Ipv6Udp = 5,
    /// `ICMPv6`.
    Ipv6Icmp = 6,
    /// IPv6 with any other payload.
    Ipv6Other = 7,
    /// ARP.
    Arp = 8,
    /// Neither IPv4, IPv6 nor ARP.
    Other = 9,
    /// Could not be parsed: it ends before the ethertype, or within its IP header.
    Truncated = 10,
    /// Could not be parsed: an IP header of another version or of an impossible length.
    Malformed = 11,
    /// Could not be parsed: more than two VLAN tags.
    ManyTags = 12,
    /// Could not be parsed: more IPv6 extension headers than are walked.
    ManyExtensions = 13,
}

/// Number of classes.
pub const CLASSES: usize = 14;

/// Length of the arrays that are indexed by [`Class`]: any index of four bits is within, which is
/// all that the verifier is told.
pub const CLASS_PLACES: usize = 16;

impl Class {
    /// Every class, in the order of its index.
    pub const ALL: [Self; CLASSES] = [
        Self::Ipv4Tcp,
        Self::Ipv4Udp,
        Self::Ipv4Icmp,
        Self::Ipv4Other,
        Self::Ipv6Tcp,
        Self::Ipv6Udp,
        Self::Ipv6Icmp,
        Self::Ipv6Other,
        Self::Arp,
        Self::Other,
        Self::Truncated,
        Self::Malformed,
        Self::ManyTags,
        Self::ManyExtensions,
    ];
}

/// Packets and bytes, as skbs: `skb->len` at the hook, link-layer header included.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Tally {
    /// Number of skbs.
    pub packets: u64,
    /// Sum of their `skb->len`, in bytes.
    pub bytes: u64,
}

/// What [`Tally`] counts, and what the same packets are on a wire.
///
/// A super-packet (GSO, GRO) is one skb here, and on a wire as many packets as it has segments,
/// each with a copy of its headers.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct WireTally {
    /// As skbs.
    pub skbs: Tally,
    /// Wire packets and wire bytes less those.
    pub extra: Tally,
}

/// Counters of one slot on one CPU: an element of the `COUNTERS` array.
///
/// Written by the programs on that CPU only (tc programs run with bottom halves disabled, so two
/// of one CPU never overlap), hence without atomics. User space reads it through a memory map and
/// writes it only while no program uses the slot. Whole cache lines, so that two CPUs share none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C, align(64))]
pub struct CpuCounters {
    /// When the open window ends, in jiffies since some point of boot; 0 before the first packet.
    pub window_end: u64,
    /// All classes together when the open window began, by [`Direction`]: what came since is the
    /// window's, so that a packet need not be added to it too.
    pub window_base: [Tally; DIRECTIONS],
    /// Wire packets and bytes less skbs and their bytes, by [`Direction`].
    pub extra: [Tally; DIRECTIONS],
    /// The part of everything that no flow could hold, by [`Direction`].
    pub other: [WireTally; DIRECTIONS],
    /// By [`Direction`], then by [`Class`]; only ever grows while the slot is in use.
    pub classes: [[Tally; CLASS_PLACES]; DIRECTIONS],
    /// Fills the last cache line.
    pub reserved: [u64; 7],
}

impl CpuCounters {
    /// All classes of one direction together.
    #[must_use]
    pub fn total(&self, direction: Direction) -> Tally {
        let mut total = Tally::default();
        for class in &self.classes[direction as usize] {
            total.packets = total.packets.wrapping_add(class.packets);
            total.bytes = total.bytes.wrapping_add(class.bytes);
        }
        total
    }

    /// What was counted in the open window, by [`Direction`].
    #[must_use]
    pub fn window(&self) -> [Tally; DIRECTIONS] {
        [Direction::Rx, Direction::Tx].map(|direction| {
            let (now, base) = (self.total(direction), self.window_base[direction as usize]);
            Tally {
                packets: now.packets.wrapping_sub(base.packets),
                bytes: now.bytes.wrapping_sub(base.bytes),
            }
        })
    }
}

const _: () = assert!(size_of::<Tally>() == 16);
const _: () = assert!(size_of::<CpuCounters>() == 704);
const _: () = assert!(size_of::<CpuCounters>().is_multiple_of(align_of::<CpuCounters>()));
const _: () = assert!(Direction::Rx as usize + 1 == Direction::Tx as usize);
const _: () = assert!(Class::ALL[CLASSES - 1] as usize == CLASSES - 1);
