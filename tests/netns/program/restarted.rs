//! Flows whose numbers would pass what an entry holds: they are spilled, and start anew.

use nstrace::state::flow::Counts;
use nstrace_ebpf::wire::{FlowFamily, Hook, LostReason, Spill};

use super::{
    Rig,
    evicted::Taken,
    packets::{ACK, IPV4, IPV6, Packet, SYN, TCP, UDP, frame, ipv4, ipv6, tcp, udp},
};
use crate::support::bpf::SkBuff;

const PORTS: [u16; 2] = [40_000, 443];
/// No number may come near 2^32: an entry is spilled from here on, and no packet adds half as much.
const SPILL_AT: u64 = 1 << 31;
const FAMILIES: [FlowFamily; 2] = [FlowFamily::V4, FlowFamily::V6];

/// An untagged packet of the one flow of this family.
fn bytes(family: FlowFamily, protocol: u8, segment: &[u8]) -> Vec<u8> {
    match family {
        FlowFamily::V4 => frame(&[], 0x0800, &ipv4(protocol, IPV4, &[], segment)),
        FlowFamily::V6 => frame(&[], 0x86dd, &ipv6(protocol, IPV6, segment)),
    }
}

/// As long as a test run takes.
fn long(family: FlowFamily) -> Packet {
    Packet::plain(bytes(family, UDP, &udp(PORTS, 3000)))
}

/// One byte, of which it is said that it is 65,535 segments: 3.5 MB of headers.
fn all_headers(family: FlowFamily) -> Packet {
    let bytes = bytes(family, TCP, &tcp(PORTS, ACK, &[], 1));
    let headers = bytes.len() as u64 - 1;
    let extra = 0xfffe;
    let wire = (1 + extra, bytes.len() as u64 + extra * headers);
    Packet::said_to_be(bytes, SkBuff::segmented(0xffff, 1), wire)
}

fn syn(family: FlowFamily) -> Packet {
    Packet::plain(bytes(family, TCP, &tcp(PORTS, SYN, &[], 0)))
}

/// Lives of the one entry, as they were spilled: each goes on where the last has ended.
#[track_caller]
fn check_lives(rig: &Rig, number: usize, is_full: impl Fn(&Spill) -> bool) {
    let spills = &rig.spills;
    assert_eq!(spills.len(), number);
    let cached = rig.cached();
    assert_eq!(cached.len(), 1);
    for (generation, spill) in (2..).step_by(2).zip(spills) {
        assert_eq!(
            (spill.entry, spill.key),
            (cached[0].entry, {
                let mut key = cached[0].key;
                // Behind an IPv4 key stands nothing of meaning.
                if spill.family == FlowFamily::V4 as u32 {
                    key[2..].copy_from_slice(&spill.key[2..]);
                }
                key
            })
        );
        assert_eq!(spill.stats.generation, generation);
        assert!(is_full(spill), "{:?}", spill.stats);
    }
    let next = u32::try_from(2 + 2 * number).unwrap();
    assert_eq!(cached[0].stats.generation, next);
}

/// How many packets an entry takes before the next one has it spilled.
const fn life(of_each: u64) -> u64 {
    SPILL_AT.div_ceil(of_each)
}

#[test]
fn a_flow_past_two_gigabytes_starts_anew_and_misses_nothing() {
    for family in FAMILIES {
        let mut rig = Rig::with(64, 16, 8);
        let mut taken = Taken::new(&rig);
        let packet = long(family);
        let each = packet.counts(1).bytes;
        // A little more than three lives, in parts that fit none.
        let times = 3 * life(each) + 5;
        let parts = 7;
        for part in 0..parts {
            let end = |part| u32::try_from(times * part / parts).unwrap();
            let packets = end(part + 1) - end(part);
            rig.repeat(Hook::Ingress, &packet, packets);
            taken.take_cached(&rig);
        }
        let is_full = |spill: &Spill| {
            let bytes = u64::from(spill.stats.counts[1].bytes);
            bytes == life(each) * each && bytes >= SPILL_AT
        };
        rig.assert_all_in_flows();
        check_lives(&rig, 3, is_full);
        // The spills were taken off the lane for the rig's own sum.
        let cpu = rig.cached()[0].cpu;
        for spill in rig.spills.clone() {
            taken.take_one(cpu, &spill);
        }
        taken.take_cached(&rig);
        assert_eq!(taken.counts, rig.sent);
        assert!(rig.sent[1].bytes > 3 * SPILL_AT);
    }
}

#[test]
fn so_does_one_of_super_packets_whose_headers_are_that_much() {
    for family in FAMILIES {
        let mut rig = Rig::with(64, 16, 8);
        let packet = all_headers(family);
        let Counts {
            bytes, wire_bytes, ..
        } = packet.counts(1);
        let each = wire_bytes - bytes;
        rig.repeat(
            Hook::Egress,
            &packet,
            u32::try_from(2 * life(each) + 1).unwrap(),
        );
        rig.assert_all_in_flows();
        check_lives(&rig, 2, |spill| {
            let extra = u64::from(spill.stats.counts[0].extra_bytes);
            extra == life(each) * each && extra >= SPILL_AT
        });
    }
}

/// Either direction is enough.
#[test]
fn so_does_one_of_many_syns() {
    const MOST: u32 = 1 << 15;

    for family in FAMILIES {
        let mut rig = Rig::with(64, 16, 8);
        let mut taken = Taken::new(&rig);
        rig.repeat(Hook::Ingress, &syn(family), 3 * MOST + 7);
        taken.take_cached(&rig);
        let flows = rig.assert_all_in_flows();
        let syns: u64 = flows.values().map(|flow| flow.syns).sum();
        assert_eq!(syns, u64::from(3 * MOST + 7));
        check_lives(&rig, 3, |spill| u32::from(spill.stats.syns) == MOST);
        let cpu = rig.cached()[0].cpu;
        for spill in rig.spills.clone() {
            taken.take_one(cpu, &spill);
        }
        assert_eq!((taken.counts, taken.syns), (rig.sent, syns));
    }
}

/// Its entry is as full as it may be, and there is no other place for what comes.
#[test]
fn a_flow_that_cannot_be_spilled_goes_on_in_the_rest() {
    for family in FAMILIES {
        let mut rig = Rig::with(64, 16, 1);
        let packet = long(family);
        let life = life(packet.counts(1).bytes);
        let times = u32::try_from(2 * life + 100).unwrap();
        rig.repeat(Hook::Ingress, &packet, times);
        // The first life went, the second had to stay.
        assert_eq!(rig.lost(LostReason::NoFlowRoom), 100);
        let [_, other] = rig.other();
        assert_eq!(other, packet.counts(100));
        rig.assert_exact();
        assert_eq!(rig.spills.len(), 1);

        // Now there is room for the second.
        rig.repeat(Hook::Ingress, &packet, 3);
        assert_eq!(rig.lost(LostReason::NoFlowRoom), 100);
        rig.assert_exact();
        check_lives(&rig, 2, |spill| {
            u64::from(spill.stats.counts[1].packets) == life
        });
    }
}
