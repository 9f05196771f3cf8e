//! What holds of any table, whatever is added when.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection::vec, prelude::*, sample::select};

use super::*;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Something new of a flow: its number, bytes, flags.
    Add(u16, u64, [u8; 2]),
    /// Seconds pass, and an interval ends.
    Tick(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let flags = select(vec![0, ACK, SYN, FIN | ACK, RST]);
    let step = prop_oneof![
        10 => (0..30_u16, 0..2000_u64, [flags.clone(), flags])
            .prop_map(|(number, bytes, flags)| Step::Add(number, bytes, flags)),
        2 => prop_oneof![8 => Just(1_u32), 2 => 2..10_u32, 1 => 50..70_u32].prop_map(Step::Tick),
    ];
    vec(step, 0..200)
}

/// A TCP flow, or by every third number one of UDP.
fn key_of(number: u16) -> FlowKey {
    key(if number.is_multiple_of(3) { UDP } else { TCP }, number)
}

fn plus(a: [Counts; 2], b: [Counts; 2]) -> [Counts; 2] {
    let mut sum = Rest {
        flows: 0,
        counts: a,
    };
    sum.add(b);
    sum.counts
}

/// A table, and what must hold of it.
#[derive(Default)]
struct Watched {
    table: FlowTable,
    limit: usize,
    seconds: u32,
    added: [Counts; 2],
    /// Flows that were told of and have not ended since.
    open: BTreeSet<FlowKey>,
    ends: u64,
    ended: [Counts; 2],
}

impl Watched {
    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Add(number, bytes, flags) => {
                let mut delta = with_flags(delta(key_of(number), self.seconds, bytes), flags);
                if number.is_multiple_of(2) {
                    delta.counts.swap(0, 1);
                }
                self.added = plus(self.added, delta.counts);
                self.table.add(&delta, self.limit, true);
            }
            Step::Tick(seconds) => {
                self.seconds += seconds;
                let mut events = Vec::new();
                let mut tell = |event| events.push(event);
                let clock = clock(self.seconds);
                self.table.tick(&clock, at(seconds.into()), Some(&mut tell));
                self.check_told(&events)?;
            }
        }
        self.check()
    }

    /// Of each flow: new, then updates, then an end. One that never was at hand when an interval
    /// ended has an end alone.
    fn check_told(&mut self, events: &[FlowEvent]) -> Result<(), TestCaseError> {
        let mut changed = BTreeSet::new();
        for event in events {
            match event {
                FlowEvent::New(flow) => {
                    prop_assert!(self.open.insert(flow.key), "new twice");
                    changed.insert(flow.key);
                }
                FlowEvent::Update(flow) => {
                    prop_assert!(self.open.contains(&flow.key), "it was not new");
                    prop_assert!(changed.insert(flow.key), "twice in an interval");
                }
                FlowEvent::End(flow) => {
                    self.open.remove(&flow.key);
                    self.ends += 1;
                    self.ended = plus(self.ended, flow.counts);
                }
            }
        }
        // Whatever is at hand is open, and whatever has left was told with all it had.
        let (flows, _) = self.table.top(usize::MAX, &clock(self.seconds));
        let at_hand: BTreeSet<FlowKey> = flows.iter().map(|flow| flow.key).collect();
        prop_assert_eq!(&at_hand, &self.open);
        let rest = self.table.rest();
        prop_assert_eq!((rest.flows, rest.counts), (self.ends, self.ended));
        Ok(())
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let table = &self.table;
        prop_assert!(table.len() <= self.limit + self.limit / 4);
        prop_assert_eq!(
            [Direction::Rx, Direction::Tx].map(|at| table.sum(at)),
            self.added
        );
        let (all, _) = table.top(usize::MAX, &clock(self.seconds));
        prop_assert_eq!((table.len(), table.is_empty()), (all.len(), all.is_empty()));
        for count in [0, 1, table.len() / 2, table.len()] {
            let (flows, rest) = table.top(count, &clock(self.seconds));
            prop_assert_eq!(&flows[..], &all[..count.min(all.len())]);
            let others = (all.len() - flows.len()) as u64;
            prop_assert_eq!(rest.flows, table.rest().flows + others);
            let sum = flows
                .iter()
                .fold(rest.counts, |sum, flow| plus(sum, flow.counts));
            prop_assert_eq!(sum, self.added);
        }
        let rank = |flow: &FlowSnapshot| {
            (
                Reverse(flow.total_bps()),
                Reverse(flow.total_bytes()),
                flow.key,
            )
        };
        prop_assert!(all.is_sorted_by_key(rank));
        Ok(())
    }
}

/// Which flows a table must keep: all are sorted, and the first are taken.
#[derive(Default)]
struct Expected {
    /// By key: all bytes, those of this interval, and those of the last, a second.
    flows: BTreeMap<FlowKey, (u64, u64, u64)>,
}

impl Expected {
    fn add(&mut self, key: FlowKey, bytes: u64, limit: usize) {
        let (all, fresh, _) = self.flows.entry(key).or_default();
        (*all, *fresh) = (*all + bytes, *fresh + bytes);
        if self.flows.len() <= limit + limit / 4 {
            return;
        }
        let mut flows: Vec<_> = std::mem::take(&mut self.flows).into_iter().collect();
        flows.sort_by_key(|(key, (all, ..))| (Reverse(*all), *key));
        let half = limit.div_ceil(2);
        flows[half..].sort_by_key(|(key, (_, fresh, last))| (Reverse(*fresh.max(last)), *key));
        flows.truncate(limit);
        self.flows = flows.into_iter().collect();
    }

    fn tick(&mut self) {
        for (_, fresh, last) in self.flows.values_mut() {
            (*fresh, *last) = (0, *fresh);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn nothing_is_missing_of_what_was_added_and_each_flow_is_told_once(
        steps in steps(),
        limit in prop_oneof![0..6_usize, 0..40_usize],
    ) {
        let mut watched = Watched { limit, ..Watched::default() };
        for step in steps {
            watched.step(step)?;
        }
        // All that is at hand leaves when nothing comes any more.
        watched.step(Step::Tick(61))?;
        watched.step(Step::Tick(5))?;
        prop_assert!(watched.table.is_empty());
        prop_assert_eq!(watched.table.rest().counts, watched.added);
    }

    #[test]
    fn half_of_those_kept_are_the_largest_and_half_the_busiest_of_late(
        steps in vec(prop::option::weighted(0.9, (0..30_u16, 0..2000_u64)), 0..200),
        limit in 1..20_usize,
    ) {
        let mut table = FlowTable::default();
        let mut expected = Expected::default();
        // No flow ends: that is for another test.
        let clock = clock(0);
        for step in steps {
            if let Some((number, bytes)) = step {
                let key = key(UDP, number);
                table.add(&delta(key, 0, bytes), limit, false);
                expected.add(key, bytes, limit);
            } else {
                table.tick(&clock, at(1), None);
                expected.tick();
            }
            let (flows, _) = table.top(usize::MAX, &clock);
            let kept: BTreeSet<FlowKey> = flows.iter().map(|flow| flow.key).collect();
            prop_assert_eq!(kept, expected.flows.keys().copied().collect());
        }
    }
}
