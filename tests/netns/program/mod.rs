//! The programs themselves, on packets made here: attached nowhere, run by `BPF_PROG_TEST_RUN`.
//!
//! What they must count is worked out from the packets; the rig adds it up beside them.

mod evicted;
mod flows;
mod packets;
mod restarted;
mod wire;

use std::{collections::BTreeMap, iter, os::fd::AsFd as _};

use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};
use nstrace::{
    kernel::{Kernel, capacity::Request},
    state::flow::{Counts, FlowKey},
    sys::mapped::CachedFlow,
};
use nstrace_ebpf::wire::{
    Class, CpuCounters, DIRECTIONS, Direction, FlowStats, Hook, LostReason, Owner, Spill, Tally,
};

use self::packets::Packet;
use crate::support::bpf::test_run;

const HOOKS: [Hook; 2] = [Hook::Ingress, Hook::Egress];
/// The loopback device, on which packets of a test run are.
const LO: u32 = 1;
const SLOTS: u16 = 4;
/// What every program must return: the next one of the chain goes on.
const NEXT: i32 = -1;

/// Keeps the calling thread on one CPU, whose flows a test then has all in one slice.
struct Pinned(CpuSet);

impl Pinned {
    fn new() -> Self {
        let me = Pid::from_raw(0);
        let allowed = sched_getaffinity(me).unwrap();
        let cpu = (0..CpuSet::count())
            .find(|cpu| allowed.is_set(*cpu).unwrap())
            .unwrap();
        let mut only = CpuSet::new();
        only.set(cpu).unwrap();
        sched_setaffinity(me, &only).unwrap();
        Self(allowed)
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        sched_setaffinity(Pid::from_raw(0), &self.0).unwrap();
    }
}

/// One flow, from the cache and from spills together.
#[derive(Clone, Copy, Debug, Default)]
struct Flow {
    counts: [Counts; DIRECTIONS],
    tcp_flags: [u8; DIRECTIONS],
    syns: u64,
    /// Of its last life.
    first_seen: u32,
    last_seen: u32,
}

impl Flow {
    fn add(&mut self, stats: &FlowStats) {
        add(&mut self.counts, stats.counts.map(Counts::from));
        for (all, flags) in self.tcp_flags.iter_mut().zip(stats.tcp_flags) {
            *all |= flags;
        }
        self.syns += u64::from(stats.syns);
        self.first_seen = stats.first_seen;
        self.last_seen = stats.last_seen;
    }
}

fn add(sum: &mut [Counts; DIRECTIONS], more: [Counts; DIRECTIONS]) {
    for (sum, more) in sum.iter_mut().zip(more) {
        *sum += more;
    }
}

/// The programs, loaded for one test, and what they were run on.
struct Rig {
    kernel: Kernel,
    owner: Owner,
    sent: [Counts; DIRECTIONS],
    /// What was taken off the lanes.
    spills: Vec<Spill>,
    _pinned: Pinned,
}

impl Rig {
    /// With room for so many flows and spills.
    fn with(flows4: u32, flows6: u32, spills: u32) -> Self {
        assert!(
            nix::unistd::geteuid().is_root(),
            "namespace tests need root: cargo xtask test"
        );
        let request = Request {
            slots: u32::from(SLOTS),
            ring_bytes: 4096,
            flows4: Some(flows4),
            flows6: Some(flows6),
            spills: Some(spills),
        };
        let mut kernel = Kernel::load(request).unwrap();
        // No field is this by accident.
        let owner = Owner {
            slot: SLOTS - 1,
            tenure: 21,
        };
        kernel.slots.set(LO, Some(owner)).unwrap();
        Self {
            kernel,
            owner,
            sent: Default::default(),
            spills: Vec::new(),
            _pinned: Pinned::new(),
        }
    }

    /// With room for all flows of most tests, if not each in the cache.
    fn new() -> Self {
        Self::with(1024, 256, 256)
    }

    /// Lets the device count for its slot's next owner, as if nothing had been counted before: a
    /// load takes long. What the last owners had stays in the cache.
    fn renew(&mut self) {
        self.owner.tenure += 1;
        if self.owner.tenure == Owner::TENURES {
            self.owner.slot = self.owner.slot.checked_sub(1).expect("an owner is left");
            self.owner.tenure = 0;
        }
        self.kernel.slots.set(LO, Some(self.owner)).unwrap();
        self.kernel.counters.clear(u32::from(self.owner.slot));
        self.drain();
        self.sent = Default::default();
    }

    /// Has a packet go by once.
    #[track_caller]
    fn send(&mut self, hook: Hook, packet: &Packet) {
        self.repeat(hook, packet, 1);
    }

    /// Has a packet go by so often, and expects it to be counted.
    #[track_caller]
    fn repeat(&mut self, hook: Hook, packet: &Packet, times: u32) {
        self.run(hook, packet, times);
        self.sent[Direction::of(hook) as usize] += packet.counts(times);
    }

    /// Runs a program, which must leave the packet and its fate alone.
    #[track_caller]
    fn run(&self, hook: Hook, packet: &Packet, times: u32) {
        let program = match hook {
            Hook::Ingress => &self.kernel.programs.ingress,
            Hook::Egress => &self.kernel.programs.egress,
        };
        let Packet { bytes, context, .. } = packet;
        let mut after = vec![0xa5; bytes.len()];
        let returned = test_run(program.as_fd(), bytes, context, times, &mut after);
        assert_eq!(returned.unwrap(), NEXT);
        assert_eq!(&after, bytes, "the packet is as it was");
    }

    fn counters(&self) -> Vec<CpuCounters> {
        self.kernel
            .counters
            .read(u32::from(self.owner.slot))
            .collect()
    }

    /// Everything counted.
    fn totals(&self) -> [Counts; DIRECTIONS] {
        let mut sum = Default::default();
        for cpu in self.counters() {
            let of = |direction| Counts::new(cpu.total(direction), cpu.extra[direction as usize]);
            add(&mut sum, [of(Direction::Rx), of(Direction::Tx)]);
        }
        sum
    }

    /// What no flow had room for.
    fn other(&self) -> [Counts; DIRECTIONS] {
        let mut sum = Default::default();
        for cpu in self.counters() {
            add(&mut sum, cpu.other.map(Counts::from));
        }
        sum
    }

    /// The classes that have packets, by direction.
    fn classes(&self) -> [BTreeMap<u32, Tally>; DIRECTIONS] {
        let mut all: [BTreeMap<u32, Tally>; DIRECTIONS] = Default::default();
        for cpu in self.counters() {
            for (all, classes) in all.iter_mut().zip(cpu.classes) {
                for (class, tally) in (0..).zip(classes).filter(|(_, tally)| tally.packets > 0) {
                    let sum: &mut Tally = all.entry(class).or_default();
                    sum.packets += tally.packets;
                    sum.bytes += tally.bytes;
                }
            }
        }
        all
    }

    fn lost(&self, reason: LostReason) -> u64 {
        self.kernel.lost.count(reason).unwrap()
    }

    fn cached(&self) -> Vec<CachedFlow> {
        let mut cached = Vec::new();
        self.kernel.flows.read(|flow| cached.push(*flow));
        cached
    }

    /// Takes everything off the lanes. Gives how many spills there were.
    fn drain(&mut self) -> usize {
        let before = self.spills.len();
        for cpu in 0..self.kernel.lanes.cpus() {
            let spills = &mut self.spills;
            self.kernel
                .lanes
                .drain(cpu, u32::MAX, |spill| spills.push(*spill));
        }
        self.spills.len() - before
    }

    /// Every flow of the owner, from spills and from the cache.
    fn flows(&mut self) -> BTreeMap<FlowKey, Flow> {
        self.drain();
        let cached = self.cached();
        let spilled = self
            .spills
            .iter()
            .map(|spill| (spill.family, spill.key, spill.stats));
        let live = cached
            .iter()
            .map(|flow| (flow.family as u32, flow.key, flow.stats));
        let mut flows: BTreeMap<FlowKey, Flow> = BTreeMap::new();
        for (family, key, stats) in spilled.chain(live) {
            let (owner, key) = FlowKey::read(family, &key).expect("a key");
            if owner == self.owner {
                flows.entry(key).or_default().add(&stats);
            }
        }
        flows
    }

    /// Everything sent was counted, and is in the flows or in what no flow had room for, in all
    /// four numbers of both directions. Gives the flows.
    #[track_caller]
    fn assert_exact(&mut self) -> BTreeMap<FlowKey, Flow> {
        assert_eq!(self.totals(), self.sent, "totals");
        let flows = self.flows();
        let mut sum = self.other();
        for flow in flows.values() {
            add(&mut sum, flow.counts);
        }
        assert_eq!(sum, self.sent, "flows and the rest");
        let other: u64 = self.other().iter().map(|counts| counts.packets).sum();
        assert_eq!(self.lost(LostReason::NoFlowRoom), other);
        assert_eq!(self.lost(LostReason::NoSlot), 0);
        flows
    }

    /// The same where every flow must have had room.
    #[track_caller]
    fn assert_all_in_flows(&mut self) -> BTreeMap<FlowKey, Flow> {
        assert_eq!(self.lost(LostReason::NoFlowRoom), 0);
        self.assert_exact()
    }
}

/// A class and what it has counted, as [`Rig::classes`] gives it.
fn class(class: Class, counts: Counts) -> BTreeMap<u32, Tally> {
    let Counts { packets, bytes, .. } = counts;
    iter::once((class as u32, Tally { packets, bytes }))
        .filter(|_| packets > 0)
        .collect()
}
