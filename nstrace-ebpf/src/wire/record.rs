//! What the capture object says: records of packets, and counters of what became of them.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Settings of the capture programs: a global in `.rodata`, frozen at load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct CaptureConfig {
    /// Number of slots: row length of the `COUNTERS` array.
    pub slots: u32,
    /// At most so many bytes of a packet are copied, 1 to [`MAX_SNAPLEN`].
    pub snaplen: u32,
    /// Bit `1 << direction` is set for each [`super::Direction`] that is captured.
    pub directions: u32,
}

const _: () = assert!(size_of::<CaptureConfig>() == 12);

/// Most bytes of a packet that can be captured, as of libpcap (`MAXIMUM_SNAPLEN`).
pub const MAX_SNAPLEN: u32 = 262_144;

/// What became of one slot's packets on one CPU.
///
/// `matched` is the number of records plus `lost`, from the first packet on.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct CaptureCounters {
    /// Packets that the filter matched.
    pub matched: u64,
    /// Those of them that found no room in the ring.
    pub lost: u64,
}

const _: () = assert!(size_of::<CaptureCounters>() == 16);

/// The start of each record of a ring; the packet's first bytes follow.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct RecordHeader {
    /// `CLOCK_BOOTTIME`, in nanoseconds, read after the record's place was reserved: in the order
    /// of a CPU's records.
    pub time: u64,
    /// [`super::Owner::to_bits`] of the interface.
    pub owner: u32,
    /// `skb->len`: link-layer header included, a tag in the metadata not.
    pub orig_len: u32,
    /// Bytes that follow.
    pub cap_len: u32,
    /// The low bits of [`CaptureCounters::lost`] of this slot and CPU, before this record.
    pub lost: u32,
    /// TPID of the VLAN tag in the metadata, in host byte order; 0: there is none.
    pub vlan_proto: u16,
    /// The tag itself.
    pub vlan_tci: u16,
    /// [`super::Direction`].
    pub direction: u16,
    /// The low bits of [`super::WIRE_VERSION`] of the writer.
    pub version: u16,
}

const _: () = assert!(size_of::<RecordHeader>() == 32);
