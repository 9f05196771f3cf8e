//! The ledger, fed by a small kernel side in every order of things.

pub(in crate::state) mod drive;
pub(in crate::state) mod model;

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;

use super::{
    super::{Clock, FlowSnapshot, FlowState, FlowTable, Rest},
    *,
};
use drive::{Drive, Seen, Step, steps};
use model::{ENTRIES, Flow, Truth};

/// What deltas add up to, of one flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    counts: [Counts; 2],
    tcp_flags: [u8; 2],
    syns: u64,
}

impl Sum {
    fn add(&mut self, delta: &Delta) {
        for direction in 0..2 {
            self.counts[direction] += delta.counts[direction];
            self.tcp_flags[direction] |= delta.tcp_flags[direction];
        }
        self.syns += delta.syns;
    }

    /// That it is a part of what is true.
    fn check_within(&self, truth: &Truth) -> Result<(), TestCaseError> {
        for direction in 0..2 {
            let (sum, all) = (self.counts[direction], truth.counts[direction]);
            let other = truth.other[direction];
            for (sum, other, all) in [
                (sum.packets, other.packets, all.packets),
                (sum.bytes, other.bytes, all.bytes),
                (sum.wire_packets, other.wire_packets, all.wire_packets),
                (sum.wire_bytes, other.wire_bytes, all.wire_bytes),
            ] {
                prop_assert!(sum + other <= all, "{:?} of {:?}", self, truth);
            }
            let flags = self.tcp_flags[direction];
            prop_assert_eq!(flags & !truth.tcp_flags[direction], 0);
        }
        prop_assert!(self.syns <= truth.syns, "{:?} of {:?}", self, truth);
        Ok(())
    }
}

/// A ledger, and what it gave.
struct Watch {
    drive: Drive,
    ledger: Ledger,
    /// With the CPU that each comes from.
    deltas: Vec<(u32, Delta)>,
    sums: BTreeMap<(Owner, FlowKey), Sum>,
}

impl Watch {
    fn new(cpus: usize) -> Self {
        Self {
            drive: Drive::new(cpus),
            ledger: Ledger::new(u32::try_from(cpus).expect("few"), ENTRIES, ENTRIES),
            deltas: Vec::new(),
            sums: BTreeMap::new(),
        }
    }

    /// Takes what was seen. What is new must be part of what is true.
    fn take(&mut self, seen: Vec<Seen>) -> Result<(), TestCaseError> {
        for seen in seen {
            let (cpu, delta) = match seen {
                Seen::Live(cpu, family, entry, key, stats) => {
                    (cpu, self.ledger.live(family, cpu, entry, &key, &stats))
                }
                Seen::Spilled(cpu, spill) => (cpu, self.ledger.spilled(cpu, &spill)),
            };
            let Some(delta) = delta else {
                continue;
            };
            let sum = self.sums.entry((delta.owner, delta.key)).or_default();
            sum.add(&delta);
            self.deltas.push((cpu, delta));
            let mut flows = self.drive.kernel.truth.iter();
            let flow = flows.find(|(flow, _)| flow.owner == delta.owner && flow.key() == delta.key);
            let Some((_, truth)) = flow else {
                return Err(TestCaseError::fail(format!("nobody sent {delta:?}")));
            };
            sum.check_within(truth)?;
        }
        Ok(())
    }

    /// Takes all that these steps show, and then all there is.
    fn run(&mut self, steps: &[Step]) -> Result<(), TestCaseError> {
        for step in steps {
            let seen = self.drive.step(step);
            self.take(seen)?;
        }
        self.drive.rest();
        let seen = self.drive.see_all();
        self.take(seen)
    }

    /// That everything was taken, but for what no flow could hold.
    fn check_whole(&self) -> Result<(), TestCaseError> {
        for (flow, truth) in &self.drive.kernel.truth {
            let sum = self.sums.get(&(flow.owner, flow.key()));
            let sum = sum.copied().unwrap_or_default();
            let mut with_other = sum.counts;
            for (into, other) in with_other.iter_mut().zip(truth.other) {
                *into += other;
            }
            prop_assert_eq!(with_other, truth.counts);
            prop_assert_eq!(sum.tcp_flags, truth.tcp_flags);
            prop_assert_eq!(sum.syns, truth.syns);
        }
        Ok(())
    }
}

/// Steps on one to four CPUs, of two successive owners of a slot, and another's.
fn watches() -> impl Strategy<Value = (usize, Vec<Step>)> {
    let owners = [(0, 0), (0, 1), (7, 31)].map(|(slot, tenure)| Owner { slot, tenure });
    (1..=4_usize).prop_flat_map(move |cpus| (Just(cpus), steps(cpus, &owners)))
}

proptest! {
    #[test]
    fn every_packet_is_taken_once_whatever_is_read_when((cpus, steps) in watches()) {
        let mut watch = Watch::new(cpus);
        watch.run(&steps)?;
        watch.check_whole()?;
        // There is nothing left to take.
        let taken = watch.deltas.len();
        watch.run(&[])?;
        prop_assert_eq!(watch.deltas.len(), taken);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_table_of_all_flows_is_the_truth_whichever_cpu_is_looked_at_first(
        (cpus, steps) in watches(),
        order in any::<u32>(),
    ) {
        let mut watch = Watch::new(cpus);
        watch.run(&steps)?;
        // One CPU after the other.
        let mut by_cpu = watch.deltas.clone();
        by_cpu.sort_by_key(|(cpu, _)| cpu.wrapping_mul(order | 1).rotate_left(16));
        let tables = |deltas: &[(u32, Delta)]| {
            let mut tables: BTreeMap<Owner, FlowTable> = BTreeMap::new();
            for (_, delta) in deltas {
                tables.entry(delta.owner).or_default().add(delta, usize::MAX / 2, false);
            }
            tables
        };
        let clock = Clock {
            now: Duration::ZERO,
            jiffies: watch.drive.kernel.now,
            jiffy: Duration::from_millis(4),
        };
        let (tables, by_cpu) = (tables(&watch.deltas), tables(&by_cpu));
        let mut flows = 0;
        for (owner, table) in &tables {
            let (shown, rest) = table.top(usize::MAX, &clock);
            // But for the state: that is of the connection that came last, as far as it is known.
            let but_state = |flows: &[FlowSnapshot]| -> Vec<FlowSnapshot> {
                let state = FlowState::Active;
                flows.iter().map(|flow| FlowSnapshot { state, ..flow.clone() }).collect()
            };
            let (other_order, _) = by_cpu[owner].top(usize::MAX, &clock);
            prop_assert_eq!(but_state(&shown), but_state(&other_order));
            prop_assert_eq!(rest, Rest::default());
            for shown in shown {
                let mut all = watch.drive.kernel.truth.iter();
                let truth = all.find(|(flow, _)| flow.owner == *owner && flow.key() == shown.key);
                let (_, truth) = truth.expect("somebody sent it");
                for direction in 0..2 {
                    let mut sum = shown.counts[direction];
                    sum += truth.other[direction];
                    prop_assert_eq!(sum, truth.counts[direction]);
                }
                prop_assert_eq!((shown.tcp_flags, shown.syns), (truth.tcp_flags, truth.syns));
                let (first, last) = truth.seen.expect("it was held");
                let passed = |since: u32| clock.jiffy * watch.drive.kernel.now.wrapping_sub(since);
                prop_assert_eq!(shown.age, passed(first));
                // A look that comes between a packet's counts and its time knows the one before.
                prop_assert!((passed(last)..=shown.age).contains(&shown.idle));
                flows += 1;
            }
        }
        let held = watch.drive.kernel.truth.values().filter(|truth| truth.seen.is_some());
        prop_assert_eq!(flows, held.count());
    }
}

const FLOW: Flow = Flow {
    owner: Owner { slot: 3, tenure: 2 },
    is_v6: false,
    number: 7,
};

/// Values of an entry of [`FLOW`] in a life, after so many packets in, each with SYN.
fn stats(generation: u32, packets: u32) -> FlowStats {
    let mut stats = FlowStats {
        generation,
        syns: packets.try_into().expect("few"),
        ..FlowStats::default()
    };
    stats.counts[0] = FlowCounts {
        packets,
        bytes: packets * 100,
        extra_packets: packets * 2,
        extra_bytes: packets * 108,
    };
    stats
}

fn spill(entry: u32, stats: FlowStats) -> Spill {
    Spill {
        entry,
        family: FlowFamily::V4 as u32,
        key: FLOW.words(),
        stats,
    }
}

/// That so many packets are new.
#[track_caller]
fn check(delta: Option<Delta>, packets: u64) {
    let packets_of = |delta: Delta| {
        assert_eq!((delta.owner, delta.key), (FLOW.owner, FLOW.key()));
        let expected = Counts {
            packets: delta.syns,
            bytes: delta.syns * 100,
            wire_packets: delta.syns * 3,
            wire_bytes: delta.syns * 208,
        };
        assert_eq!(delta.counts, [expected, Counts::default()]);
        delta.syns
    };
    assert_eq!(delta.map_or(0, packets_of), packets);
}

/// Of two CPUs with four entries each.
fn ledger() -> (Ledger, impl Fn(&mut Ledger, FlowStats) -> Option<Delta>) {
    let live =
        |ledger: &mut Ledger, stats| ledger.live(FlowFamily::V4, 1, 2, &FLOW.words(), &stats);
    (Ledger::new(2, ENTRIES, ENTRIES), live)
}

#[test]
fn what_was_read_of_a_life_is_not_taken_again() {
    let (mut ledger, live) = ledger();
    check(live(&mut ledger, stats(2, 3)), 3);
    check(live(&mut ledger, stats(2, 3)), 0);
    check(live(&mut ledger, stats(2, 5)), 2);
    check(ledger.spilled(1, &spill(2, stats(2, 6))), 1);
    check(live(&mut ledger, stats(4, 1)), 1);
}

#[test]
fn the_next_life_waits_for_the_spill_of_the_one_that_was_read() {
    let (mut ledger, live) = ledger();
    check(live(&mut ledger, stats(2, 3)), 3);
    check(live(&mut ledger, stats(6, 9)), 0);
    check(ledger.spilled(1, &spill(2, stats(2, 4))), 1);
    check(live(&mut ledger, stats(6, 9)), 9);
    // The one between was never read; its spill is late.
    check(ledger.spilled(1, &spill(2, stats(4, 5))), 5);
    check(live(&mut ledger, stats(6, 10)), 1);
    check(ledger.spilled(1, &spill(2, stats(6, 10))), 0);
}

#[test]
fn an_entry_that_still_shows_the_life_that_was_spilled_is_not_taken_again() {
    let (mut ledger, live) = ledger();
    check(live(&mut ledger, stats(2, 3)), 3);
    check(ledger.spilled(1, &spill(2, stats(2, 3))), 0);
    check(live(&mut ledger, stats(2, 3)), 0);
    check(live(&mut ledger, stats(4, 1)), 1);
    // The same of a life that was not read.
    check(ledger.spilled(1, &spill(2, stats(4, 1))), 0);
    check(ledger.spilled(1, &spill(2, stats(6, 7))), 7);
    check(live(&mut ledger, stats(6, 7)), 0);
    check(live(&mut ledger, stats(8, 2)), 2);
}

#[test]
fn a_generation_wraps_past_zero() {
    let (mut ledger, live) = ledger();
    check(live(&mut ledger, stats(u32::MAX - 1, 3)), 3);
    check(live(&mut ledger, stats(2, 1)), 0);
    check(ledger.spilled(1, &spill(2, stats(u32::MAX - 1, 4))), 1);
    check(live(&mut ledger, stats(2, 1)), 1);
}

#[test]
fn a_packet_that_was_never_cached_is_taken_each_time() {
    let (mut ledger, _) = ledger();
    let spill = spill(Spill::NOT_CACHED, stats(0, 1));
    check(ledger.spilled(1, &spill), 1);
    check(ledger.spilled(1, &spill), 1);
}

#[test]
fn entries_of_other_cpus_and_families_are_others() {
    let (mut ledger, live) = ledger();
    check(live(&mut ledger, stats(2, 3)), 3);
    let words = FLOW.words();
    check(ledger.live(FlowFamily::V4, 0, 2, &words, &stats(2, 3)), 3);
    check(ledger.live(FlowFamily::V4, 1, 3, &words, &stats(2, 3)), 3);
    assert!(
        ledger
            .live(FlowFamily::V6, 1, 2, &words, &stats(2, 3))
            .is_some()
    );
}

#[test]
fn an_entry_in_use_is_never_of_generation_zero() {
    let (mut ledger, live) = ledger();
    check(live(&mut ledger, stats(0, 3)), 0);
}

#[test]
fn what_makes_no_sense_is_not_taken() {
    let (mut ledger, _) = ledger();
    let good = spill(2, stats(2, 1));
    check(ledger.spilled(2, &good), 0);
    check(ledger.spilled(u32::MAX, &good), 0);
    check(ledger.spilled(1, &Spill { entry: 4, ..good }), 0);
    check(ledger.spilled(1, &Spill { family: 5, ..good }), 0);
    let mut key = good.key;
    // A kind that is none.
    key[1] |= 7 << 53;
    check(ledger.spilled(1, &Spill { key, ..good }), 0);
    check(ledger.spilled(1, &good), 1);
}
