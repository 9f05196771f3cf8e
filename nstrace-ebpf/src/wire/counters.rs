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
    /// IPv4 with any other payload, or cut before it.
    Ipv4Other = 3,
    /// TCP over IPv6.
    Ipv6Tcp = 4,
    /// UDP over IPv6.
    Ipv6Udp = 5,
    /// `ICMPv6`.
    Ipv6Icmp = 6,
    /// IPv6 with any other payload, or cut before it.
    Ipv6Other = 7,
    /// ARP.
    Arp = 8,
    /// Neither IPv4, IPv6 nor ARP, or cut before the ethertype.
    Other = 9,
}

/// Number of classes: length of the arrays that are indexed by [`Class`].
pub const CLASSES: usize = 10;

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

/// Counters of one slot on one CPU: an element of the `COUNTERS` array.
///
/// Written by the programs on that CPU only (tc programs run with bottom halves disabled, so two
/// of one CPU never overlap), hence without atomics. User space reads it through a memory map and
/// writes it only while no program uses the slot. Seven cache lines, so that two CPUs share none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C, align(64))]
pub struct CpuCounters {
    /// By [`Direction`], then by [`Class`]; only ever grows while the slot is in use.
    pub classes: [[Tally; CLASSES]; DIRECTIONS],
    /// The part of it that was counted in the open window, by [`Direction`].
    pub window: [Tally; DIRECTIONS],
    /// When the open window ends, in jiffies since some point of boot; 0 before the first packet.
    pub window_end: u64,
    /// Fills the last cache line, and lets any index of four bits into [`Self::classes`] stay
    /// within the element, as the verifier of an unprivileged load wants it.
    pub reserved: [u64; 11],
}

const _: () = assert!(size_of::<Tally>() == 16);
const _: () = assert!(size_of::<CpuCounters>() == 448);
const _: () = assert!(size_of::<CpuCounters>().is_multiple_of(align_of::<CpuCounters>()));
const _: () = assert!((CLASSES + 16) * size_of::<Tally>() <= size_of::<CpuCounters>());
const _: () = assert!(Direction::Rx as usize + 1 == Direction::Tx as usize);
const _: () = assert!(Class::ALL[CLASSES - 1] as usize == CLASSES - 1);
