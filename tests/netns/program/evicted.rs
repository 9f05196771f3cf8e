//! More flows than there is room for: none of what they carry is lost.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use nstrace::{
    state::flow::{
        Counts, FlowKey,
        ledger::{Delta, Ledger},
    },
    sys::mapped::CachedFlow,
};
use nstrace_ebpf::wire::{BUSY_PACKETS, DIRECTIONS, FlowFamily, Hook, LostReason, Owner, Spill};

use super::{
    HOOKS, Rig, add,
    packets::{ACK, IPV4, IPV6, Packet, SYN, TCP, UDP, frame, ipv4, ipv6, tcp, turned, udp},
};
use crate::support::wait_until;

/// Fewest flows that a cache can be made for.
const FEW: u32 = 16;
/// Well below the second after which a flow is idle.
const SOON: Duration = Duration::from_millis(500);

/// Packet of one of many flows, of several kinds and lengths.
fn packet(family: FlowFamily, number: u16, hook: Hook) -> Packet {
    let payload = usize::from(number % 97);
    let ports = [number, 443];
    let ports = match hook {
        Hook::Ingress => ports,
        Hook::Egress => turned(ports),
    };
    let is_tcp = number.is_multiple_of(3);
    let segment = if is_tcp {
        let flags = if number.is_multiple_of(2) { SYN } else { ACK };
        tcp(ports, flags, &[], 100 + payload)
    } else {
        udp(ports, 100 + payload)
    };
    let protocol = if is_tcp { TCP } else { UDP };
    let bytes = match family {
        FlowFamily::V4 => {
            let ends = if hook == Hook::Ingress {
                IPV4
            } else {
                turned(IPV4)
            };
            frame(&[], 0x0800, &ipv4(protocol, ends, &[], &segment))
        }
        FlowFamily::V6 => {
            let ends = if hook == Hook::Ingress {
                IPV6
            } else {
                turned(IPV6)
            };
            frame(&[], 0x86dd, &ipv6(protocol, ends, &segment))
        }
    };
    if number.is_multiple_of(5) {
        Packet::segmented(bytes, 100 + payload, 40, true)
    } else {
        Packet::plain(bytes)
    }
}

/// One packet to three of each flow, in both directions, in turn.
fn flood(rig: &mut Rig, family: FlowFamily, numbers: impl Iterator<Item = u16>) {
    for number in numbers {
        let times = 1 + u32::from(number % 3);
        for hook in HOOKS {
            rig.repeat(hook, &packet(family, number, hook), times);
        }
    }
}

const FAMILIES: [FlowFamily; 2] = [FlowFamily::V4, FlowFamily::V6];

#[test]
fn more_flows_than_entries_are_all_in_cache_and_spills() {
    let mut rig = Rig::with(64, FEW, 8192);
    for family in FAMILIES {
        flood(&mut rig, family, 0..1000);
        // Those that have left come back.
        flood(&mut rig, family, 0..500);
    }
    let flows = rig.assert_all_in_flows();
    assert_eq!(flows.len(), 2000);
    // Most of it went through the lane.
    assert!(rig.spills.len() > 2000, "{} spills", rig.spills.len());
    for (key, flow) in flows {
        let rounds = if key.local_port < 500 { 2 } else { 1 };
        let times = rounds * (1 + u32::from(key.local_port % 3));
        let is_v6 = key.addresses.unwrap().0.is_ipv6();
        let family = FAMILIES[usize::from(is_v6)];
        let expected = HOOKS.map(|hook| packet(family, key.local_port, hook).counts(times));
        assert_eq!(flow.counts, turned(expected), "{key:?}");
    }
}

#[test]
fn what_a_full_lane_cannot_take_is_in_the_rest_and_a_drained_one_takes_again() {
    for family in FAMILIES {
        let mut rig = Rig::with(64, FEW, 8);
        flood(&mut rig, family, 0..1000);
        let lost = rig.lost(LostReason::NoFlowRoom);
        assert!(lost > 2000, "{lost} packets found no room");
        assert_eq!(rig.drain(), 8);
        rig.assert_exact();

        // Room for eight more.
        flood(&mut rig, family, 2000..2500);
        assert_eq!(rig.drain(), 8);
        assert!(rig.lost(LostReason::NoFlowRoom) > lost);
        rig.assert_exact();

        // As long as somebody drains, nothing more is lost.
        let lost = rig.lost(LostReason::NoFlowRoom);
        for number in 3000..3500 {
            flood(&mut rig, family, number..=number);
            rig.drain();
        }
        assert_eq!(rig.lost(LostReason::NoFlowRoom), lost);
        rig.assert_exact();
    }
}

/// With room for nothing else: the key of what is in the rest was never in the cache.
#[test]
fn a_full_lane_leaves_the_cache_as_it_is() {
    let mut rig = Rig::with(FEW, FEW, 1);
    flood(&mut rig, FlowFamily::V4, 0..500);
    let keys = |rig: &Rig| -> BTreeMap<u32, ([u64; 5], u32)> {
        let entry = |flow: &CachedFlow| (flow.entry, (flow.key, flow.stats.generation));
        rig.cached().iter().map(entry).collect()
    };
    let before = keys(&rig);
    assert_eq!(before.len(), FEW as usize);
    flood(&mut rig, FlowFamily::V4, 1000..1500);
    assert_eq!(keys(&rig), before);
    rig.assert_exact();
}

fn ports(family: u32, key: &[u64; 5]) -> u16 {
    FlowKey::read(family, key).unwrap().1.local_port
}

/// Tries anew where the machine was so slow that a flow may have been idle for a second.
fn unless_slow(work: impl Fn() -> Duration) {
    wait_until("a test comes to its end before a flow is idle", || {
        (work() < SOON).then_some(())
    });
}

#[test]
fn a_flood_of_short_flows_does_not_displace_a_busy_one() {
    const BUSY: u16 = 60_000;

    for family in FAMILIES {
        unless_slow(|| {
            let mut rig = Rig::with(FEW, FEW, 8192);
            let busy = packet(family, BUSY, Hook::Ingress);
            let start = Instant::now();
            rig.repeat(Hook::Ingress, &busy, BUSY_PACKETS + 1);
            for number in 0..1000 {
                rig.send(Hook::Ingress, &packet(family, number, Hook::Ingress));
            }
            let elapsed = start.elapsed();
            rig.repeat(Hook::Ingress, &busy, 2);
            let flows = rig.assert_all_in_flows();
            assert_eq!(flows.len(), 1001);
            if elapsed < SOON {
                let spilled = |spill: &Spill| ports(spill.family, &spill.key) == BUSY;
                assert!(!rig.spills.iter().any(spilled), "the busy flow was spilled");
                let cached = rig.cached();
                let is_busy = |flow: &&CachedFlow| ports(flow.family as u32, &flow.key) == BUSY;
                let stats = cached.iter().find(is_busy).unwrap().stats;
                assert_eq!(stats.generation, 2, "its first life");
                let [rx, tx] = stats.counts.map(|counts| counts.packets);
                assert_eq!((rx, tx), (0, BUSY_PACKETS + 3));
            }
            elapsed
        });
    }
}

#[test]
fn a_cache_of_busy_flows_has_room_for_no_other_until_they_are_idle() {
    let newcomer = packet(FlowFamily::V4, 60_000, Hook::Egress);
    let mut full = None;
    wait_until("all entries are busy at once", || {
        let mut rig = Rig::with(FEW, FEW, 65_536);
        let start = Instant::now();
        for number in 0..300 {
            let packet = packet(FlowFamily::V4, number, Hook::Ingress);
            rig.repeat(Hook::Ingress, &packet, BUSY_PACKETS + 1);
        }
        rig.drain();
        let before = rig.spills.len();
        rig.repeat(Hook::Egress, &newcomer, 3);
        if start.elapsed() >= SOON {
            return None;
        }
        // Each of its packets is a flow of one packet.
        assert_eq!(rig.drain(), 3);
        for spill in &rig.spills[before..] {
            assert_eq!(spill.entry, Spill::NOT_CACHED);
            assert_eq!(spill.stats.counts.map(|counts| counts.packets), [1, 0]);
        }
        rig.assert_all_in_flows();
        full = Some(rig);
        Some(())
    });
    let mut rig = full.unwrap();
    // It takes the place of one that nobody has heard of for a second.
    wait_until("a flow is idle", || {
        rig.send(Hook::Egress, &newcomer);
        rig.drain();
        let spill = rig.spills.last().unwrap();
        (spill.entry != Spill::NOT_CACHED).then_some(())
    });
    let spill = *rig.spills.last().unwrap();
    let cached = rig.cached();
    let place = cached.iter().find(|flow| flow.entry == spill.entry);
    let place = place.unwrap();
    assert_eq!(ports(place.family as u32, &place.key), 60_000);
    assert_eq!(place.stats.generation, spill.stats.generation + 2);
    assert_eq!(spill.stats.counts[1].packets, BUSY_PACKETS + 1);
    rig.assert_all_in_flows();
}

#[test]
fn what_makes_room_had_few_packets() {
    unless_slow(|| {
        let mut rig = Rig::with(FEW, FEW, 8192);
        let start = Instant::now();
        for number in 0..600_u16 {
            let packet = packet(FlowFamily::V4, number, Hook::Ingress);
            rig.repeat(Hook::Ingress, &packet, 1 + u32::from(number * 7 % 20));
        }
        let elapsed = start.elapsed();
        rig.assert_all_in_flows();
        let most = rig
            .spills
            .iter()
            .filter(|spill| spill.entry != Spill::NOT_CACHED)
            .map(|spill| spill.stats.counts[1].packets)
            .max()
            .unwrap();
        assert!(elapsed >= SOON || most <= BUSY_PACKETS, "{most} packets");
        elapsed
    });
}

/// Packets of the last owner of a slot are not the next one's.
#[test]
fn the_next_owner_of_a_slot_has_none_of_the_lasts_flows() {
    let mut rig = Rig::with(64, FEW, 4096);
    flood(&mut rig, FlowFamily::V4, 0..20);
    let (last, before) = (rig.owner, rig.assert_all_in_flows());
    rig.renew();
    assert_ne!(rig.owner, last);
    assert!(rig.flows().is_empty());
    flood(&mut rig, FlowFamily::V4, 0..20);
    let after = rig.assert_all_in_flows();
    assert_eq!(
        after.keys().collect::<Vec<_>>(),
        before.keys().collect::<Vec<_>>()
    );
}

/// A ledger of what goes on in a rig, and the sum of all it has taken.
pub(super) struct Taken {
    ledger: Ledger,
    owner: Owner,
    pub(super) counts: [Counts; DIRECTIONS],
    pub(super) syns: u64,
}

impl Taken {
    pub(super) fn new(rig: &Rig) -> Self {
        let capacity = rig.kernel.capacity;
        Self {
            ledger: Ledger::new(capacity.cpus, capacity.flows4, capacity.flows6),
            owner: rig.owner,
            counts: Default::default(),
            syns: 0,
        }
    }

    fn add(&mut self, delta: Option<Delta>) {
        if let Some(delta) = delta {
            assert_eq!(delta.owner, self.owner);
            add(&mut self.counts, delta.counts);
            self.syns += delta.syns;
        }
    }

    pub(super) fn take_cached(&mut self, rig: &Rig) {
        for flow in rig.cached() {
            let CachedFlow {
                family,
                cpu,
                entry,
                key,
                stats,
            } = flow;
            let delta = self.ledger.live(family, cpu, entry, &key, &stats);
            self.add(delta);
        }
    }

    /// So many of each lane at most.
    pub(super) fn take_spilled(&mut self, rig: &mut Rig, most: u32) {
        for cpu in 0..rig.kernel.lanes.cpus() {
            rig.kernel
                .lanes
                .drain(cpu, most, |spill| self.take_one(cpu, spill));
        }
    }

    pub(super) fn take_one(&mut self, cpu: u32, spill: &Spill) {
        let delta = self.ledger.spilled(cpu, spill);
        assert!(delta.is_some(), "a spill that makes no sense");
        self.add(delta);
    }
}

#[test]
fn a_ledger_that_is_fed_meanwhile_takes_every_packet_once() {
    let mut rig = Rig::with(64, FEW, 64);
    let mut taken = Taken::new(&rig);
    let mut syns = 0;
    for round in 0..600_u16 {
        // Some come back soon, some late.
        let number = round * 31 % 257;
        for family in FAMILIES {
            flood(&mut rig, family, number..=number);
            if number % 6 == 0 {
                // One packet in both directions.
                syns += 2;
            }
        }
        // Now the one first, now the other; the cache not always, the lane in part.
        let is_cache_first = round % 2 == 0;
        if is_cache_first && round % 3 != 0 {
            taken.take_cached(&rig);
        }
        taken.take_spilled(&mut rig, 4 + u32::from(round % 16));
        if !is_cache_first && round % 3 != 0 {
            taken.take_cached(&rig);
        }
    }
    taken.take_cached(&rig);
    taken.take_spilled(&mut rig, u32::MAX);
    taken.take_cached(&rig);
    assert_eq!(rig.lost(LostReason::NoFlowRoom), 0);
    assert_eq!(rig.totals(), rig.sent);
    assert_eq!(taken.counts, rig.sent);
    assert_eq!(taken.syns, syns);
}
