//! What user space tells the programs before they are loaded.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Ifindexes below this are looked up in an array, those above in a hash.
///
/// An array lookup is a bounds check and a load, a hash's is a call; 65,536 `u32` are 256 KiB. A
/// host passes this ifindex only after creating as many interfaces since boot.
pub const SLOTS_DIRECT: u32 = 65_536;

/// Number of words that a hash mixes: those of the longer key.
pub const HASH_WORDS: usize = 5;

/// Settings of the programs: a global in `.rodata`, frozen at load, so that the verifier and the
/// JIT see constants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct ProgramConfig {
    /// Odd random numbers by which a key's words are multiplied: nobody who sends packets can aim
    /// at the entry of another's flow.
    pub hash_keys: [u64; HASH_WORDS],
    /// Number of slots: row length of the `COUNTERS` array.
    pub slots: u32,
    /// Length of a sample's window, in jiffies, at least 1.
    pub window_jiffies: u32,
    /// A CPU's slice of IPv4 flows is two to the power of this, 1 to 31; 0: no flow is counted.
    pub flow4_bits: u32,
    /// The same for IPv6. 0 if and only if the one for IPv4 is.
    pub flow6_bits: u32,
    /// Spills of a CPU's lane, a power of two.
    pub lane_length: u32,
    /// A flow without a packet for so many jiffies makes room for any new one.
    pub idle_jiffies: u32,
}

const _: () = assert!(size_of::<ProgramConfig>() == 64);
