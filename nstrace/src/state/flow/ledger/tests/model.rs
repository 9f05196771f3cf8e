//! A small kernel side: caches of a few entries and short lanes, and what is true of the packets.
//!
//! A packet is a row of writes, each of them seen by whoever reads in between, in the order in
//! which the programs make them.

use std::collections::{BTreeMap, VecDeque};

use nstrace_ebpf::wire::{
    Direction, FlowCounts, FlowFamily, FlowKey4, FlowKey6, FlowKind, FlowStats, FlowTail, Owner,
    Spill,
};
use zerocopy::{FromZeros as _, IntoBytes as _};

use super::super::super::{Counts, FlowKey};

/// Entries of a CPU's cache, of each family. Two neighbours are looked at for a key.
pub(in crate::state) const ENTRIES: u32 = 4;
/// Spills of a lane.
const LANE: usize = 3;
/// As the programs, but for numbers that are reached soon.
const BUSY_PACKETS: u32 = 3;
const IDLE_JIFFIES: u32 = 20;
const SPILL_AT: u32 = 1 << 31;
const SPILL_AT_SYNS: u16 = 3;
const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;

/// A packet.
#[derive(Clone, Copy, Debug)]
pub(in crate::state) struct Packet {
    pub(in crate::state) flow: Flow,
    pub(in crate::state) direction: Direction,
    pub(in crate::state) bytes: u32,
    pub(in crate::state) extra: (u32, u32),
    pub(in crate::state) tcp_flags: u8,
}

/// Whose, of which family, and a number that tells it apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::state) struct Flow {
    pub(in crate::state) owner: Owner,
    pub(in crate::state) is_v6: bool,
    pub(in crate::state) number: u16,
}

impl Flow {
    pub(in crate::state) const fn family(self) -> FlowFamily {
        if self.is_v6 {
            FlowFamily::V6
        } else {
            FlowFamily::V4
        }
    }

    pub(in crate::state) fn words(self) -> [u64; 5] {
        let tail = FlowTail::new(
            self.owner.to_bits(),
            FlowKind::Ports,
            6,
            [self.number.to_be(), 80_u16.to_be()],
        );
        let mut words = [0; 5];
        if self.is_v6 {
            let (local, remote) = ([1, 2], [3, 4]);
            let key = FlowKey6 {
                local,
                remote,
                tail,
            };
            words.copy_from_slice(&zerocopy::transmute!(key) as &[u64; 5]);
        } else {
            let (local, remote) = (1, 2);
            let key = FlowKey4 {
                local,
                remote,
                tail,
            };
            words.as_mut_bytes()[..size_of_val(&key)].copy_from_slice(key.as_bytes());
        }
        words
    }

    pub(in crate::state) fn key(self) -> FlowKey {
        let (_, key) = FlowKey::read(self.family() as u32, &self.words()).expect("a key");
        key
    }
}

/// What is true of the packets of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::state) struct Truth {
    /// Of all.
    pub(in crate::state) counts: [Counts; 2],
    /// Of those that no flow could hold.
    pub(in crate::state) other: [Counts; 2],
    /// Of all but those.
    pub(in crate::state) tcp_flags: [u8; 2],
    pub(in crate::state) syns: u64,
    /// When the first of them came, and the last.
    pub(in crate::state) seen: Option<(u32, u32)>,
}

type Write = Box<dyn FnOnce(&mut Cpu)>;

#[derive(Clone, Copy, Debug)]
struct Entry {
    key: [u64; 5],
    stats: FlowStats,
}

#[derive(Default)]
struct Cpu {
    /// By family.
    entries: [Vec<Entry>; 2],
    lane: VecDeque<Spill>,
    /// What is left of the packet that it is at.
    writes: VecDeque<Write>,
}

/// All CPUs.
pub(in crate::state) struct Kernel {
    cpus: Vec<Cpu>,
    pub(in crate::state) now: u32,
    pub(in crate::state) truth: BTreeMap<Flow, Truth>,
}

impl Kernel {
    pub(in crate::state) fn new(cpus: usize, now: u32) -> Self {
        let empty = Entry {
            key: [0; 5],
            stats: FlowStats::new_zeroed(),
        };
        let cpu = || Cpu {
            entries: [vec![empty; ENTRIES as usize], vec![empty; ENTRIES as usize]],
            ..Cpu::default()
        };
        Self {
            cpus: (0..cpus).map(|_| cpu()).collect(),
            now,
            truth: BTreeMap::new(),
        }
    }

    /// Starts with a packet, after the one before is done.
    pub(in crate::state) fn begin(&mut self, cpu: usize, packet: &Packet) {
        self.run(cpu, usize::MAX);
        let counts = Counts::from(counts_of(packet));
        let at = packet.direction as usize;
        let truth = self.truth.entry(packet.flow).or_default();
        truth.counts[at] += counts;
        let is_held = self.cpus[cpu].begin(packet, self.now);
        if is_held {
            truth.tcp_flags[at] |= packet.tcp_flags;
            truth.syns += u64::from(packet.tcp_flags & SYN != 0);
            let (first, _) = truth.seen.unwrap_or((self.now, self.now));
            truth.seen = Some((first, self.now));
        } else {
            truth.other[at] += counts;
        }
    }

    /// Makes some of the writes that a CPU's packet has left.
    pub(in crate::state) fn run(&mut self, cpu: usize, writes: usize) {
        let cpu = &mut self.cpus[cpu];
        for _ in 0..writes.min(cpu.writes.len()) {
            if let Some(write) = cpu.writes.pop_front() {
                write(cpu);
            }
        }
    }

    /// Takes up to `most` spills off a CPU's lane.
    pub(in crate::state) fn drain(&mut self, cpu: usize, most: usize) -> Vec<Spill> {
        let lane = &mut self.cpus[cpu].lane;
        lane.drain(..most.min(lane.len())).collect()
    }

    /// An entry as user space reads it, while the CPU makes some writes: each value may be the one
    /// before them or the one after, which `mixed` says bit by bit.
    pub(in crate::state) fn read(
        &mut self,
        cpu: usize,
        family: FlowFamily,
        entry: u32,
        (writes, mixed): (usize, u32),
    ) -> Option<([u64; 5], FlowStats)> {
        let at = |kernel: &Self| kernel.cpus[cpu].entries[place(family)][entry as usize];
        let before = at(self);
        self.run(cpu, writes);
        let after = at(self);
        let generation = before.stats.generation;
        if generation % 2 == 1 || generation == 0 || generation != after.stats.generation {
            return None;
        }
        let mut bits = 0..u32::BITS;
        let mut mix = |before: u32, after: u32| {
            let is_after = bits.next().is_some_and(|bit| mixed >> bit & 1 == 1);
            if is_after { after } else { before }
        };
        let (before, after) = (before.stats, after.stats);
        let mut stats = before;
        stats.last_seen = mix(before.last_seen, after.last_seen);
        if mix(0, 1) == 1 {
            // Flags and SYNs are one word.
            (stats.tcp_flags, stats.syns) = (after.tcp_flags, after.syns);
        }
        for (stats, (before, after)) in stats
            .counts
            .iter_mut()
            .zip(before.counts.into_iter().zip(after.counts))
        {
            stats.packets = mix(before.packets, after.packets);
            stats.bytes = mix(before.bytes, after.bytes);
            stats.extra_packets = mix(before.extra_packets, after.extra_packets);
            stats.extra_bytes = mix(before.extra_bytes, after.extra_bytes);
        }
        Some((at(self).key, stats))
    }
}

const fn place(family: FlowFamily) -> usize {
    match family {
        FlowFamily::V4 => 0,
        FlowFamily::V6 => 1,
    }
}

fn counts_of(packet: &Packet) -> FlowCounts {
    FlowCounts {
        packets: 1,
        bytes: packet.bytes,
        extra_packets: packet.extra.0,
        extra_bytes: packet.extra.1,
    }
}

impl Cpu {
    /// Decides what becomes of a packet: the writes, and whether any flow holds it.
    fn begin(&mut self, packet: &Packet, now: u32) -> bool {
        let key = packet.flow.words();
        let family = packet.flow.family();
        let near = u32::from(packet.flow.number) * 2 % ENTRIES;
        let entries = &self.entries[place(family)];
        let stats = |entry: u32| entries[entry as usize].stats;
        let held = [near, near + 1]
            .into_iter()
            .find(|at| stats(*at).generation != 0 && entries[*at as usize].key == key);
        if let Some(entry) = held {
            let stats = stats(entry);
            let counts = stats.counts[packet.direction as usize];
            let [rx, tx] = stats.tcp_flags;
            let is_over = (rx | tx) & (FIN | RST) != 0 || stats.syns >= SPILL_AT_SYNS;
            if counts.bytes | counts.extra_bytes >= SPILL_AT
                || packet.tcp_flags & SYN != 0 && is_over
            {
                if !self.spill(entry, family, key, stats) {
                    return false;
                }
                self.rewrite(entry, family, key, now);
            }
            self.add(entry, packet, now);
            return true;
        }
        let is_free = |entry: &u32| {
            let stats = stats(*entry);
            stats.generation == 0 || now.wrapping_sub(stats.last_seen) > IDLE_JIFFIES
        };
        let packets = |entry: &u32| {
            let [rx, tx] = stats(*entry).counts;
            rx.packets + tx.packets
        };
        let free = [near, near + 1].into_iter().find(is_free);
        let least = [near, near + 1]
            .into_iter()
            .min_by_key(packets)
            .filter(|entry| packets(entry) < BUSY_PACKETS);
        let Some(entry) = free.or(least) else {
            let mut stats = FlowStats {
                first_seen: now,
                last_seen: now,
                syns: u16::from(packet.tcp_flags & SYN != 0),
                ..FlowStats::new_zeroed()
            };
            stats.tcp_flags[packet.direction as usize] = packet.tcp_flags;
            stats.counts[packet.direction as usize] = counts_of(packet);
            return self.spill(Spill::NOT_CACHED, family, key, stats);
        };
        let Entry { key: old, stats } = entries[entry as usize];
        if stats.generation != 0 && !self.spill(entry, family, old, stats) {
            return false;
        }
        self.rewrite(entry, family, key, now);
        self.add(entry, packet, now);
        true
    }

    fn spill(&mut self, entry: u32, family: FlowFamily, key: [u64; 5], stats: FlowStats) -> bool {
        if self.lane.len() >= LANE {
            return false;
        }
        let family = family as u32;
        let spill = Spill {
            entry,
            family,
            key,
            stats,
        };
        self.then(move |cpu| cpu.lane.push_back(spill));
        true
    }

    fn then(&mut self, write: impl FnOnce(&mut Self) + 'static) {
        self.writes.push_back(Box::new(write));
    }

    fn then_at(
        &mut self,
        family: FlowFamily,
        entry: u32,
        write: impl FnOnce(&mut Entry) + 'static,
    ) {
        self.then(move |cpu| write(&mut cpu.entries[place(family)][entry as usize]));
    }

    fn rewrite(&mut self, entry: u32, family: FlowFamily, key: [u64; 5], now: u32) {
        self.then_at(family, entry, |entry| entry.stats.generation |= 1);
        self.then_at(family, entry, move |entry| entry.key = key);
        self.then_at(family, entry, move |entry| {
            entry.stats = FlowStats {
                generation: entry.stats.generation,
                first_seen: now,
                last_seen: now,
                ..FlowStats::new_zeroed()
            };
        });
        self.then_at(family, entry, |entry| {
            let next = entry.stats.generation.wrapping_add(1);
            entry.stats.generation = if next == 0 { 2 } else { next };
        });
    }

    fn add(&mut self, entry: u32, packet: &Packet, now: u32) {
        let Packet {
            flow,
            direction,
            tcp_flags,
            ..
        } = *packet;
        let (at, counts) = (direction as usize, counts_of(packet));
        let mut write = |write: fn(&mut FlowCounts, FlowCounts)| {
            self.then_at(flow.family(), entry, move |entry| {
                write(&mut entry.stats.counts[at], counts);
            });
        };
        write(|sum, counts| sum.packets += counts.packets);
        write(|sum, counts| sum.bytes += counts.bytes);
        write(|sum, counts| sum.extra_packets += counts.extra_packets);
        write(|sum, counts| sum.extra_bytes += counts.extra_bytes);
        self.then_at(flow.family(), entry, move |entry| {
            entry.stats.last_seen = now;
        });
        self.then_at(flow.family(), entry, move |entry| {
            entry.stats.tcp_flags[at] |= tcp_flags;
        });
        self.then_at(flow.family(), entry, move |entry| {
            entry.stats.syns += u16::from(tcp_flags & SYN != 0);
        });
    }
}
