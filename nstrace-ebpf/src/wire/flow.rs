//! Flows: the cache that counts them, and the record of one that had to leave it.
//!
//! # The cache
//!
//! Each CPU has its own slice of two arrays, one for IPv4 (and for what is not IP) and one for
//! IPv6. A key is hashed to an entry of its slice and that one's neighbour, and nothing else is ever
//! looked at. A new flow takes an empty one of the two, else one that has been idle for a while, else the one with
//! fewer packets if those are few; that one's counters go to the CPU's spill lane first. If both
//! are busy, the packet itself goes to the lane as a flow of one packet. If the lane is full, the
//! packet is added to [`super::CpuCounters::other`] of its own slot, and nothing leaves the cache:
//! so what is in `other` was never part of any flow, and flows plus `other` are always all
//! packets.
//!
//! # Reading it
//!
//! User space reads entries through a memory map while they change. [`FlowStats::generation`] is
//! odd while an entry is being rewritten, and larger by two after; within one generation every
//! counter only grows. So a reader that remembers what it has read of each generation, and
//! subtracts that from the spilled record of it, takes every packet exactly once, in whatever
//! order it comes to the cache and the lanes.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{Class, DIRECTIONS};

/// A flow with more packets than this keeps its entry while it is not idle, so that a flood of
/// short flows costs only other short flows their place.
pub const BUSY_PACKETS: u32 = 16;

/// What the fields of a key's tail mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum FlowKind {
    /// TCP, UDP, SCTP and others with ports.
    Ports = 0,
    /// ICMP or `ICMPv6`: the identifier as the local port, type and code as the remote one. The
    /// type of a reply is that of its request, so that both are one flow.
    Icmp = 1,
    /// A protocol without ports, tunnels (by their outer header) among them.
    Portless = 2,
    /// Fragments but the first, which have no ports.
    LaterFragment = 3,
    /// Packets that end before their ports.
    Truncated = 4,
    /// Not IP: the ethertype stands as the remote port.
    Ethertype = 5,
    /// Could not be parsed: the number of the [`Class`] that says why stands as the remote port.
    Unparsed = 6,
}

impl FlowKind {
    /// Every kind, in the order of its number.
    pub const ALL: [Self; 7] = [
        Self::Ports,
        Self::Icmp,
        Self::Portless,
        Self::LaterFragment,
        Self::Truncated,
        Self::Ethertype,
        Self::Unparsed,
    ];
}

/// Whose packets these are: a slot, and which of its successive owners.
///
/// A slot is given to another interface some time after its last owner has left it; entries of the
/// old one may still be in the cache. The number of the owner, modulo 32, tells them apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner {
    /// Index into the counters.
    pub slot: u16,
    /// Which owner of the slot, modulo [`Owner::TENURES`].
    pub tenure: u8,
}

impl Owner {
    /// Number of different [`Self::tenure`]s.
    pub const TENURES: u8 = 32;
    /// Bits of [`Self::to_bits`].
    pub const MASK: u32 = 0x1f_ffff;
    /// Set in the value of a watched interface in the `SLOTS` maps, which is 0 for others.
    pub const WATCHED: u32 = 1 << 31;

    /// As it stands in keys and in the `SLOTS` maps.
    #[must_use]
    pub const fn to_bits(self) -> u32 {
        self.slot as u32 | ((self.tenure % Self::TENURES) as u32) << 16
    }

    /// The reverse of [`Self::to_bits`]; other bits are ignored.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "that is how it is packed")]
    pub const fn from_bits(bits: u32) -> Self {
        Self {
            slot: bits as u16,
            tenure: (bits >> 16) as u8 % Self::TENURES,
        }
    }
}

/// The end of every key: owner, kind, protocol, in 21, 3 and 8 bits from the lowest on.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct FlowTail {
    /// Ports in network byte order, or what [`FlowKind`] says instead.
    pub local_port: u16,
    /// The same of the far end.
    pub remote_port: u16,
    /// Owner, kind and IANA protocol number.
    pub bits: u32,
}

impl FlowTail {
    /// Packs it. `owner` is [`Owner::to_bits`], whose other bits must be 0.
    #[inline(always)]
    #[must_use]
    #[expect(clippy::inline_always, reason = "on the packet's path")]
    pub const fn new(
        owner: u32,
        kind: FlowKind,
        protocol: u8,
        [local_port, remote_port]: [u16; 2],
    ) -> Self {
        Self {
            local_port,
            remote_port,
            bits: owner | (kind as u32) << 21 | (protocol as u32) << 24,
        }
    }

    /// Whose flow it is.
    #[must_use]
    pub const fn owner(self) -> Owner {
        Owner::from_bits(self.bits & Owner::MASK)
    }

    /// What kind it is, unless the number is unknown.
    #[must_use]
    pub fn kind(self) -> Option<FlowKind> {
        FlowKind::ALL.get((self.bits >> 21 & 7) as usize).copied()
    }

    /// IANA protocol number; 0 for what is not IP.
    #[must_use]
    pub const fn protocol(self) -> u8 {
        (self.bits >> 24) as u8
    }
}

/// Key of an IPv4 flow, from the view of the netns; without addresses for what is not IP.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C, align(8))]
pub struct FlowKey4 {
    /// Address in the netns, in network byte order.
    pub local: u32,
    /// Address of the far end.
    pub remote: u32,
    /// The rest.
    pub tail: FlowTail,
}

/// Key of an IPv6 flow, from the view of the netns.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C, align(8))]
pub struct FlowKey6 {
    /// Address in the netns: its bytes, as two words in native order.
    pub local: [u64; 2],
    /// Address of the far end.
    pub remote: [u64; 2],
    /// The rest.
    pub tail: FlowTail,
}

/// What one direction of a flow has carried since the entry was last rewritten.
///
/// `bytes` and `extra_bytes` are spilled before they pass 2^31, and one packet adds less than 2^30
/// to either, so no field ever wraps.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct FlowCounts {
    /// Number of skbs.
    pub packets: u32,
    /// Sum of their `skb->len`, in bytes.
    pub bytes: u32,
    /// Wire packets less [`Self::packets`].
    pub extra_packets: u32,
    /// Wire bytes less [`Self::bytes`].
    pub extra_bytes: u32,
}

/// The values of a flow.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct FlowStats {
    /// 0: empty. Odd: being rewritten. See the module's documentation.
    pub generation: u32,
    /// When the last packet was counted, in jiffies, modulo 2^32.
    pub last_seen: u32,
    /// When the entry was first used for this flow, in jiffies, modulo 2^32.
    pub first_seen: u32,
    /// Every TCP flag seen, by [`super::Direction`].
    pub tcp_flags: [u8; DIRECTIONS],
    /// Packets with SYN, in both directions. Spilled before it passes 2^15.
    pub syns: u16,
    /// By [`super::Direction`].
    pub counts: [FlowCounts; DIRECTIONS],
}

/// One IPv4 flow in the cache: one cache line.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C, align(64))]
pub struct FlowEntry4 {
    /// Which flow.
    pub key: FlowKey4,
    /// What was seen of it.
    pub stats: FlowStats,
}

/// One IPv6 flow in the cache: two cache lines.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C, align(128))]
pub struct FlowEntry6 {
    /// Which flow.
    pub key: FlowKey6,
    /// What was seen of it.
    pub stats: FlowStats,
    /// Fills the second line.
    pub reserved: [u64; 5],
}

/// Which of the two arrays a [`Spill`] comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum FlowFamily {
    /// IPv4, and what is not IP.
    V4 = 4,
    /// IPv6.
    V6 = 6,
}

/// A flow that left the cache, or was never in it: an element of the `SPILLS` array.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C, align(8))]
pub struct Spill {
    /// Which entry of the CPU's slice it was, or [`Spill::NOT_CACHED`].
    pub entry: u32,
    /// [`FlowFamily`].
    pub family: u32,
    /// The key; of a [`FlowKey4`] the first two words, and then nothing of meaning.
    pub key: [u64; 5],
    /// The values, with the generation that they had.
    pub stats: FlowStats,
}

impl Spill {
    /// [`Self::entry`] of a packet that found no room in the cache.
    pub const NOT_CACHED: u32 = u32::MAX;
}

/// Where a CPU's spill lane stands: an element of the `LANES` array, mapped by user space.
///
/// A lane is a ring with one producer (the programs on that CPU) and one consumer (user space).
/// Both numbers only grow, modulo 2^32; each side writes its own and reads the other's.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C, align(128))]
pub struct Lane {
    /// Number of spills written; the next goes to this one modulo the lane's length.
    pub head: u32,
    /// Keeps the two sides on cache lines of their own.
    pub reserved_head: [u32; 15],
    /// Number of spills read.
    pub tail: u32,
    /// As above.
    pub reserved_tail: [u32; 15],
}

const _: () = assert!(size_of::<FlowKey4>() == 16);
const _: () = assert!(size_of::<FlowKey6>() == 40);
const _: () = assert!(size_of::<FlowStats>() == 48);
const _: () = assert!(size_of::<FlowEntry4>() == 64);
const _: () = assert!(size_of::<FlowEntry6>() == 128);
const _: () = assert!(size_of::<Spill>() == 96);
const _: () = assert!(size_of::<Lane>() == 128);
const _: () = assert!(FlowKind::ALL[6] as usize == 6);
const _: () = assert!(Class::ALL.len() <= 16);
