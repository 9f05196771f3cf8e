//! Why something that was seen could not be handed over or counted.

/// Index into the per-CPU `LOST` array. Its counters only ever grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum LostReason {
    /// A sample did not fit in the ring. No packet or byte is missing from any total.
    SampleRingFull = 0,
    /// A packet came through an interface that has no slot, and was not counted.
    ///
    /// The slot is set before the program is attached and cleared after it is detached, so this
    /// stays 0 unless that order is broken.
    NoSlot = 1,
    /// A packet found no room among the flows, and was counted as `other` of its slot. No packet
    /// or byte is missing from any total.
    NoFlowRoom = 2,
}

/// Number of reasons: length of the `LOST` array.
pub const LOST_REASONS: u32 = 3;
