//! `capture.producer_*`: what a captured packet costs on its way, over a way without a hook, beside
//! what it costs where a tool like tcpdump takes it whole (`af_packet`: a ring of `TPACKET_V3`).
//!
//! Nobody reads. As many packets a round as find room, and their room is given back between rounds:
//! a full ring makes losses look fast. Ratios are nstrace's over the tool's.

use std::cell::RefCell;

use crate::{
    Bench,
    count::{Family, Transport, frame},
    path::Way,
    raw::packet_ring::PacketRing,
    report::Measured,
    rounds::{Arm, Series, interleaved},
    target::{CaptureTarget, Reads, filter},
};

use super::BUFFER;

const ROUNDS: usize = 41;
const QUICK_ROUNDS: usize = 15;
/// Of them so many a call.
const MOST_PACKETS: u32 = 200_000;
/// What stands around a packet in either ring, at the most: nstrace's records have sizes of which
/// each is up to half larger than that below.
const AROUND: u32 = 256;
const WHOLE: u32 = 1 << 18;

pub(super) fn run(bench: &Bench, ifindex: u32) {
    let small = measure(bench, ifindex, 60, &[WHOLE]);
    let large = measure(bench, ifindex, 1514, &[WHOLE, 96]);
    let over = |one: &Series, none: &Series| (one.min() - none.min(), one.p25() - none.p25());
    for (name, of, arm) in [
        ("capture.producer_60.nstrace", &small, 2),
        ("capture.producer_60.af_packet", &small, 1),
        ("capture.producer_1514.nstrace", &large, 2),
        ("capture.producer_1514.snap96", &large, 3),
        ("capture.producer_1514.af_packet", &large, 1),
    ] {
        let (min, p25) = over(&of[arm], &of[0]);
        let value = Measured::new(name, min).p25(p25);
        bench.report(value.baseline("none", of[0].min()));
    }
    for (name, of, arm) in [
        ("capture.producer_60", &small, 2),
        ("capture.producer_1514", &large, 2),
        ("capture.producer_1514_snap96", &large, 3),
    ] {
        let (ours, theirs) = (over(&of[arm], &of[0]), over(&of[1], &of[0]));
        bench.report(Measured::new(name, ours.0 / theirs.0).p25(ours.1 / theirs.1));
    }
    let noise = small[0].noise().max(large[0].noise());
    bench.report(Measured::new("capture.producer_noise", noise));
}

/// Series without a hook, with the tool's ring, and with nstrace at each snaplen.
fn measure(bench: &Bench, ifindex: u32, length: usize, snaplens: &[u32]) -> Vec<Series> {
    let targets: Vec<_> = snaplens
        .iter()
        .map(|snaplen| {
            let mut target = CaptureTarget::load(filter("", Reads::Direct), *snaplen, BUFFER);
            target.watch(ifindex);
            RefCell::new(target)
        })
        .collect();
    let room = targets[0].borrow().ring_bytes();
    let packets = (room / (u32::try_from(length).unwrap() + AROUND)).min(MOST_PACKETS);
    let frame = frame(Family::V4, Transport::Udp, length);
    let way = Way::of(ifindex, frame, packets);
    let mut arms: Vec<Arm<'_>> = vec![
        Box::new(|| way.run()),
        Box::new(|| {
            let bytes = usize::try_from(BUFFER).unwrap();
            let ring = PacketRing::open(ifindex, bytes).unwrap();
            let cost = way.run();
            let [taken, lost] = ring.counts().unwrap();
            assert_eq!([taken, lost], [packets, 0], "the tool took every packet");
            cost
        }),
    ];
    arms.extend(targets.iter().map(|target| {
        let way = &way;
        Box::new(move || {
            let before = target.borrow().counts();
            let link = way.attach(target.borrow().ingress());
            let cost = way.run();
            drop(link);
            let after = target.borrow().counts();
            let new = [after[0] - before[0], after[1] - before[1]];
            assert_eq!(new, [u64::from(packets), 0], "every packet was captured");
            target.borrow_mut().empty();
            cost
        }) as Arm<'_>
    }));
    bench.note(&format!(
        "{length} bytes: {packets} packets a round, none lost"
    ));
    interleaved(bench.pick(ROUNDS, QUICK_ROUNDS), &mut arms)
}
