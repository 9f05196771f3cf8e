//! What user space tells the programs before they are loaded.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Ifindexes below this are looked up in an array, those above in a hash.
///
/// An array lookup is a bounds check and a load, a hash's is a call; 65,536 `u32` are 256 KiB. A
/// host passes this ifindex only after creating as many interfaces since boot.
pub const SLOTS_DIRECT: u32 = 65_536;

/// Settings of the programs: a global in `.rodata`, frozen at load, so that the verifier and the
/// JIT see constants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct ProgramConfig {
    /// Number of slots: row length of the `COUNTERS` array.
    pub slots: u32,
    /// Length of a sample's window, in jiffies, at least 1.
    pub window_jiffies: u32,
}

const _: () = assert!(size_of::<ProgramConfig>() == 8);
