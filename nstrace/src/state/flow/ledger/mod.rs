//! Takes each packet of the flow cache exactly once.
//!
//! An entry is read again and again while it grows, then spilled, then rewritten for the next
//! flow. Each life of an entry has a generation of its own, and ends with exactly one spill. The
//! ledger remembers what it has taken of the life it last saw, takes only the difference when it
//! sees that life again, and takes the rest when its spill comes. While a spill is on its way the
//! entry's next life waits. And since a spill is written before its entry is rewritten, the entry may
//! show a life whose spill was taken already: that life is over. So the order in which entries and
//! spills are looked at does not matter.

use nstrace_ebpf::wire::{DIRECTIONS, FlowCounts, FlowFamily, FlowStats, Owner, Spill};
use zerocopy::FromZeros;

use super::{Counts, FlowKey};

/// What is new of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delta {
    /// Whose flow.
    pub owner: Owner,
    /// Which.
    pub key: FlowKey,
    /// To be added, by [`nstrace_ebpf::wire::Direction`].
    pub counts: [Counts; DIRECTIONS],
    /// TCP flags seen.
    pub tcp_flags: [u8; DIRECTIONS],
    /// Packets with SYN, to be added.
    pub syns: u64,
    /// Jiffies of the first packet that is known of, modulo 2^32.
    pub first_seen: u32,
    /// Jiffies of the last, modulo 2^32.
    pub last_seen: u32,
}

impl Delta {
    /// Whether it brings nothing to add. A new flow may be read when its SYN is there and its packet
    /// is not yet; nobody will bring that SYN again.
    pub(in crate::state) fn is_empty(&self) -> bool {
        self.counts == <[Counts; DIRECTIONS]>::default() && self.syns == 0
    }
}

/// What was taken of an entry's life.
#[derive(Clone, Copy, Debug, Default, FromZeros)]
struct Taken {
    /// Even: of this life, or, if 0, of none. Odd: the life before this number is over, and nothing
    /// is taken of the next.
    generation: u32,
    syns: u16,
    tcp_flags: [u8; DIRECTIONS],
    counts: [FlowCounts; DIRECTIONS],
}

impl Taken {
    /// Whether it is of no life.
    const fn is_between(&self) -> bool {
        self.generation == 0 || self.generation % 2 == 1
    }
}

/// Stands for the end of a life, as the entry's own generation does while it is being rewritten.
const fn over(generation: u32) -> u32 {
    generation | 1
}

/// Remembers what was taken, in 40 bytes an entry. Those of entries that were never used take no
/// memory, since nothing has touched their pages.
#[derive(Debug)]
pub struct Ledger {
    v4: Slices,
    v6: Slices,
}

#[derive(Debug)]
struct Slices {
    taken: Vec<Taken>,
    length: usize,
}

impl Slices {
    fn new(cpus: u32, length: u32) -> Self {
        let (cpus, length) = (cpus as usize, length as usize);
        Self {
            // Pages that the allocator gets from the kernel are zero already. Without memory for
            // it, no entry is ever taken, and every flow is what spills and the rest say.
            taken: Taken::new_vec_zeroed(cpus * length).unwrap_or_default(),
            length,
        }
    }

    fn at(&mut self, cpu: u32, entry: u32) -> Option<&mut Taken> {
        let (cpu, entry) = (cpu as usize, entry as usize);
        if entry >= self.length {
            return None;
        }
        self.taken.get_mut(cpu * self.length + entry)
    }
}

impl Ledger {
    /// For caches of so many entries on each of `cpus`.
    #[must_use]
    pub fn new(cpus: u32, flows4: u32, flows6: u32) -> Self {
        Self {
            v4: Slices::new(cpus, flows4),
            v6: Slices::new(cpus, flows6),
        }
    }

    fn at(&mut self, family: u32, cpu: u32, entry: u32) -> Option<&mut Taken> {
        if family == FlowFamily::V4 as u32 {
            self.v4.at(cpu, entry)
        } else if family == FlowFamily::V6 as u32 {
            self.v6.at(cpu, entry)
        } else {
            None
        }
    }

    /// What is new in an entry, as it was read in one life: its generation even, and the same
    /// before and after.
    pub fn live(
        &mut self,
        family: FlowFamily,
        cpu: u32,
        entry: u32,
        key: &[u64; 5],
        stats: &FlowStats,
    ) -> Option<Delta> {
        let taken = self.at(family as u32, cpu, entry)?;
        let is_over = taken.generation == over(stats.generation);
        let is_waiting = !taken.is_between() && taken.generation != stats.generation;
        if stats.generation == 0 || is_over || is_waiting {
            return None;
        }
        let is_known = taken.counts == stats.counts
            && taken.tcp_flags == stats.tcp_flags
            && taken.syns == stats.syns;
        if is_known {
            return None;
        }
        let delta = difference(family as u32, key, stats, taken);
        *taken = Taken {
            generation: stats.generation,
            syns: stats.syns,
            tcp_flags: stats.tcp_flags,
            counts: stats.counts,
        };
        delta
    }

    /// What is new in a spill. `None` for one that makes no sense, which a kernel side of the same
    /// version does not write.
    pub fn spilled(&mut self, cpu: u32, spill: &Spill) -> Option<Delta> {
        let Spill {
            entry,
            family,
            key,
            stats,
        } = spill;
        let nothing = Taken::default();
        if *entry == Spill::NOT_CACHED {
            return difference(*family, key, stats, &nothing);
        }
        let taken = self.at(*family, cpu, *entry)?;
        let before = if taken.generation == stats.generation {
            *taken
        } else {
            nothing
        };
        // Unless it is a later life that was seen: then this one is not seen any more.
        if taken.is_between() || taken.generation == stats.generation {
            *taken = Taken {
                generation: over(stats.generation),
                ..nothing
            };
        }
        difference(*family, key, stats, &before)
    }
}

fn difference(family: u32, key: &[u64; 5], now: &FlowStats, before: &Taken) -> Option<Delta> {
    let (owner, key) = FlowKey::read(family, key)?;
    let since = |now: FlowCounts, before: FlowCounts| {
        Counts::from(FlowCounts {
            packets: now.packets.saturating_sub(before.packets),
            bytes: now.bytes.saturating_sub(before.bytes),
            extra_packets: now.extra_packets.saturating_sub(before.extra_packets),
            extra_bytes: now.extra_bytes.saturating_sub(before.extra_bytes),
        })
    };
    let [rx, tx] = now.counts;
    let [rx_before, tx_before] = before.counts;
    Some(Delta {
        owner,
        key,
        counts: [since(rx, rx_before), since(tx, tx_before)],
        tcp_flags: now.tcp_flags,
        syns: u64::from(now.syns.saturating_sub(before.syns)),
        first_seen: now.first_seen,
        last_seen: now.last_seen,
    })
}

#[cfg(test)]
pub(in crate::state) mod tests;
