//! What one interface has carried, by direction and class.

use nstrace_ebpf::wire::{CLASSES, CpuCounters, DIRECTIONS, Direction, Tally};

use super::flow::Counts;

/// Packets and bytes of one interface since it was attached, all CPUs together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// By [`Direction`], then by [`nstrace_ebpf::wire::Class`].
    pub classes: [[Tally; CLASSES]; DIRECTIONS],
    /// What wire packets and bytes are more than that, by [`Direction`].
    pub extra: [Tally; DIRECTIONS],
    /// The part of all that which no flow could hold, by [`Direction`].
    pub other: [Counts; DIRECTIONS],
}

impl Totals {
    /// Adds up what each CPU has counted.
    pub fn sum(cpus: impl IntoIterator<Item = CpuCounters>) -> Self {
        let mut totals = Self::default();
        for cpu in cpus {
            for direction in 0..DIRECTIONS {
                let into = &mut totals.classes[direction];
                for (into, from) in into.iter_mut().zip(cpu.classes[direction]) {
                    *into = plus(*into, from);
                }
                totals.extra[direction] = plus(totals.extra[direction], cpu.extra[direction]);
                totals.other[direction] += cpu.other[direction].into();
            }
        }
        totals
    }

    /// All classes of one direction together.
    #[must_use]
    pub fn of(&self, direction: Direction) -> Tally {
        self.classes[direction as usize]
            .iter()
            .copied()
            .fold(Tally::default(), plus)
    }

    /// The same, with what it is on a wire.
    #[must_use]
    pub fn counts(&self, direction: Direction) -> Counts {
        Counts::new(self.of(direction), self.extra[direction as usize])
    }
}

/// The sum of two tallies.
const fn plus(a: Tally, b: Tally) -> Tally {
    Tally {
        packets: a.packets + b.packets,
        bytes: a.bytes + b.bytes,
    }
}

/// What came since `before`. Two reads may see a packet's count before its bytes, but neither
/// counter ever shrinks.
pub(super) const fn since(now: Tally, before: Tally) -> Tally {
    Tally {
        packets: now.packets.saturating_sub(before.packets),
        bytes: now.bytes.saturating_sub(before.bytes),
    }
}
