//! Flows of the watched namespaces: what the kernel side's cache and its spill lanes tell, put
//! together again.
//!
//! ```text
//! cache entries, read while they change --+
//!                                         +--> Ledger --Delta--> FlowTable of its owner
//! spills, in batches ---------------------+
//! ```
//!
//! The [`ledger`] makes of both one stream of additions, in which each packet occurs once; so a
//! [`FlowTable`] only ever adds. What a table has no room for leaves it as a sum, so that its flows
//! and that sum stay everything that was ever added.

mod key;
pub mod ledger;
mod table;

use std::ops::AddAssign;

use nstrace_ebpf::wire::{FlowCounts, Tally, WireTally};

pub use key::FlowKey;
pub use table::{Clock, FlowEvent, FlowSnapshot, FlowState, FlowTable, Rest};

/// Packets and bytes of one direction, as skbs and as they would be on a wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Number of skbs.
    pub packets: u64,
    /// Sum of their lengths, in bytes.
    pub bytes: u64,
    /// Number of segments.
    pub wire_packets: u64,
    /// Bytes with each segment's own headers.
    pub wire_bytes: u64,
}

impl Counts {
    /// What is left of `self` when `part` is taken away; 0 at least.
    #[must_use]
    pub const fn without(self, part: Self) -> Self {
        Self {
            packets: self.packets.saturating_sub(part.packets),
            bytes: self.bytes.saturating_sub(part.bytes),
            wire_packets: self.wire_packets.saturating_sub(part.wire_packets),
            wire_bytes: self.wire_bytes.saturating_sub(part.wire_bytes),
        }
    }

    /// From skbs, and what segments are more than those.
    #[must_use]
    pub const fn new(skbs: Tally, extra: Tally) -> Self {
        Self {
            packets: skbs.packets,
            bytes: skbs.bytes,
            wire_packets: skbs.packets + extra.packets,
            wire_bytes: skbs.bytes + extra.bytes,
        }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.wire_packets += other.wire_packets;
        self.wire_bytes += other.wire_bytes;
    }
}

impl From<WireTally> for Counts {
    fn from(tally: WireTally) -> Self {
        Self::new(tally.skbs, tally.extra)
    }
}

impl From<FlowCounts> for Counts {
    fn from(counts: FlowCounts) -> Self {
        let wide = |packets, bytes| Tally {
            packets: u64::from(packets),
            bytes: u64::from(bytes),
        };
        Self::new(
            wide(counts.packets, counts.bytes),
            wide(counts.extra_packets, counts.extra_bytes),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn counts(packets: u64, bytes: u64, wire_packets: u64, wire_bytes: u64) -> Counts {
        Counts {
            packets,
            bytes,
            wire_packets,
            wire_bytes,
        }
    }

    #[test]
    fn a_super_packet_is_more_on_the_wire() {
        let skbs = Tally {
            packets: 2,
            bytes: 64_000,
        };
        let extra = Tally {
            packets: 43,
            bytes: 43 * 54,
        };
        let expected = counts(2, 64_000, 45, 66_322);
        assert_eq!(Counts::new(skbs, extra), expected);
        assert_eq!(Counts::from(WireTally { skbs, extra }), expected);
        let narrow = FlowCounts {
            packets: 2,
            bytes: 64_000,
            extra_packets: 43,
            extra_bytes: 43 * 54,
        };
        assert_eq!(Counts::from(narrow), expected);
    }

    #[test]
    fn the_largest_counts_of_an_entry_do_not_wrap() {
        let all = FlowCounts {
            packets: u32::MAX,
            bytes: u32::MAX,
            extra_packets: u32::MAX,
            extra_bytes: u32::MAX,
        };
        let (one, two) = (u64::from(u32::MAX), 2 * u64::from(u32::MAX));
        assert_eq!(Counts::from(all), counts(one, one, two, two));
    }

    #[test]
    fn counts_add_up_and_what_is_taken_away_leaves_no_less_than_nothing() {
        let mut sum = counts(1, 20, 3, 40);
        sum += counts(4, 30, 2, 10);
        assert_eq!(sum, counts(5, 50, 5, 50));
        assert_eq!(sum.without(counts(1, 20, 3, 40)), counts(4, 30, 2, 10));
        assert_eq!(sum.without(counts(6, 1, 6, 1)), counts(0, 49, 0, 49));
    }
}
