//! The ring's record: what one slot counted on one CPU within one window.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{DIRECTIONS, Tally};

/// One closed window of one slot on one CPU.
///
/// Windows lie on one grid of jiffies for all CPUs, so the samples of one `window_end` and slot
/// add up to what the interface carried in that window. A window without packets has no sample.
/// It is sent with the first packet after the window's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Sample {
    /// [`super::WIRE_VERSION`] of the writer.
    pub version: u32,
    /// Slot of the interface.
    pub slot: u32,
    /// End of the window, in jiffies: a multiple of the window's length.
    pub window_end: u64,
    /// What was counted in it, by [`super::Direction`].
    pub tallies: [Tally; DIRECTIONS],
}

const _: () = assert!(size_of::<Sample>() == 48);
