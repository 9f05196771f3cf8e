//! Wire types: what the kernel side writes and the user side reads, byte for byte.
//!
//! The rules for a wire type: `#[repr(C)]`; only integers and arrays of them (no `enum`, `bool`,
//! `Option` or `usize`); explicit padding, which the `zerocopy` derives enforce; a `const`
//! assertion of its size. Any change to a layout or a meaning raises [`WIRE_VERSION`].

mod config;
mod counters;
mod flow;
mod hook;
mod lost;
mod record;
mod sample;

pub use config::{HASH_WORDS, ProgramConfig, SLOTS_DIRECT};
pub use counters::{CLASS_PLACES, CLASSES, Class, CpuCounters, Tally, WireTally};
pub use flow::{
    BUSY_PACKETS, FlowCounts, FlowEntry4, FlowEntry6, FlowFamily, FlowKey4, FlowKey6, FlowKind,
    FlowStats, FlowTail, Lane, Owner, Spill,
};
pub use hook::{DIRECTIONS, Direction, Hook};
pub use lost::{LOST_REASONS, LostReason};
pub use record::{CaptureConfig, CaptureCounters, MAX_SNAPLEN, RecordHeader};
pub use sample::Sample;

/// Version of every layout in this module.
///
/// It stands in each [`Sample`] and [`RecordHeader`], and user space refuses a record of another version: an object
/// that was built apart from its loader must not be misread.
pub const WIRE_VERSION: u32 = 2;

#[cfg(test)]
mod tests;
