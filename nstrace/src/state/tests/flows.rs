//! Flows of the watched interfaces: whose they are, and that with what no flow holds they are all
//! that was counted.

use nstrace_ebpf::wire::{FlowCounts, WireTally};

use super::{
    flow::{
        Counts, FlowSnapshot, FlowState, Rest,
        ledger::tests::{
            drive::{Drive, Seen, steps},
            model::{ENTRIES, Flow, Truth},
        },
    },
    *,
};

const FLOW_SETTINGS: Settings = Settings {
    cpus: 4,
    flows4: ENTRIES,
    flows6: ENTRIES,
    // Fewer than there are, so that some must make room.
    flow_limit: 3,
    tells_flows: true,
    ..SETTINGS
};

const WEB: Owner = Owner { slot: 3, tenure: 0 };
const DB: Owner = Owner {
    slot: 4,
    tenure: 31,
};
/// The slot that web had.
const NEXT: Owner = Owner { slot: 3, tenure: 1 };

fn flow(owner: Owner, number: u16) -> Flow {
    Flow {
        owner,
        is_v6: number % 2 == 1,
        number,
    }
}

/// Packets into the namespace, as a spill of a flow that was never cached.
fn spill(flow: Flow, packets: u32, bytes: u32) -> Spill {
    let mut stats = FlowStats::new_zeroed();
    stats.counts[0] = FlowCounts {
        packets,
        bytes,
        ..FlowCounts::default()
    };
    Spill {
        entry: Spill::NOT_CACHED,
        family: flow.family() as u32,
        key: flow.words(),
        stats,
    }
}

/// What one CPU counts of packets into the namespace, all of which a flow holds.
fn received(packets: u64, bytes: u64) -> std::vec::IntoIter<CpuCounters> {
    vec![counters(tally(packets, bytes), Tally::default())].into_iter()
}

/// A state that tells of flows, with web and db attached at second 1.
#[track_caller]
fn two_attached() -> (State, [IfaceKey; 2]) {
    let mut state = State::new(Selection::default(), FLOW_SETTINGS);
    let two = topology(vec![netns("web", 7, 13), netns("db", 8, 14)]);
    state.follow(&two, at(0));
    let [web, db] = state.wanted()[..] else {
        panic!("not two are wanted");
    };
    state.attached(web, WEB, TCX, at(1));
    state.attached(db, DB, TCX, at(1));
    (state, [web, db])
}

#[track_caller]
fn flows(state: &mut State, key: IfaceKey) -> (Vec<FlowSnapshot>, Rest) {
    let rows = state.snapshot(FlowsAsked::OfAll(100)).rows;
    let row = rows.into_iter().find(|row| row.key == key);
    let row = row.expect("the row is shown");
    (row.flows, row.other)
}

/// Number and bytes of each flow of a row, and bytes of what is in none.
#[track_caller]
fn check(state: &mut State, key: IfaceKey, expected: &[(u16, u64)], other: u64) {
    let (flows, rest) = flows(state, key);
    let flows = flows.iter();
    let flows: Vec<(u16, u64)> = flows
        .map(|flow| (flow.key.local_port, flow.total_bytes()))
        .collect();
    assert_eq!((flows.as_slice(), rest.counts[0].bytes), (expected, other));
}

/// Names, kinds and numbers of what is told.
#[track_caller]
fn told(state: &mut State) -> Vec<(String, &'static str, u16)> {
    let events = state.snapshot(FlowsAsked::None).flow_events;
    let mut told: Vec<_> = events
        .iter()
        .map(|(labels, event)| {
            let (kind, flow) = match event {
                FlowEvent::New(flow) => ("new", flow),
                FlowEvent::Update(flow) => ("update", flow),
                FlowEvent::End(flow) => ("end", flow),
            };
            (labels.netns.name.clone(), kind, flow.key.local_port)
        })
        .collect();
    told.sort_unstable();
    told
}

fn expected(told: &[(&str, &'static str, u16)]) -> Vec<(String, &'static str, u16)> {
    let told = told.iter();
    told.map(|(name, kind, number)| ((*name).to_owned(), *kind, *number))
        .collect()
}

#[test]
fn a_flow_is_shown_in_the_row_of_its_owner() {
    let (mut state, [web, db]) = two_attached();
    state.spilled(
        0,
        &[spill(flow(WEB, 1), 1, 100), spill(flow(DB, 1), 2, 70)],
        0,
    );
    state.spilled(
        1,
        &[spill(flow(WEB, 1), 1, 30), spill(flow(WEB, 2), 1, 60)],
        0,
    );
    state.tick(at(2), 0, |slot| match slot {
        3 => received(4, 200),
        _ => received(2, 70),
    });
    check(&mut state, web, &[(1, 130), (2, 60)], 10);
    check(&mut state, db, &[(1, 70)], 0);
    let (shown, _) = flows(&mut state, db);
    // The first interval began with the watch.
    assert_eq!(shown[0].bps, [280, 0]);
    assert_eq!(shown[0].state, FlowState::Active);
}

#[test]
fn as_many_flows_are_shown_as_are_asked_for_and_the_others_are_other() {
    let (mut state, [web, db]) = two_attached();
    state.spilled(
        0,
        &[spill(flow(WEB, 1), 1, 100), spill(flow(WEB, 2), 1, 40)],
        0,
    );
    state.tick(at(2), 0, |_| received(2, 140));
    let mut shown = |asked, key| {
        let rows = state.snapshot(asked).rows;
        let row = rows.into_iter().find(|row| row.key == key);
        let row = row.expect("the row is shown");
        (row.flows.len(), row.other.flows, row.other.counts[0].bytes)
    };
    assert_eq!(shown(FlowsAsked::None, web), (0, 2, 140));
    assert_eq!(shown(FlowsAsked::OfAll(1), web), (1, 1, 40));
    assert_eq!(shown(FlowsAsked::OfAll(2), web), (2, 0, 0));
    assert_eq!(shown(FlowsAsked::OfOne(web, 5), web), (2, 0, 0));
    assert_eq!(shown(FlowsAsked::OfOne(db, 5), web), (0, 2, 140));
}

#[test]
fn flows_that_are_known_before_their_row_is_attached_are_its_own() {
    let mut state = State::new(Selection::default(), FLOW_SETTINGS);
    state.follow(&topology(vec![netns("web", 7, 13)]), at(0));
    let web = only_wanted(&state);
    state.spilled(0, &[spill(flow(WEB, 1), 1, 100)], 0);
    state.tick(at(1), 0, |_| received(0, 0));
    check(&mut state, web, &[], 0);
    assert_eq!(state.flow_sum(web), None);
    state.attached(web, WEB, TCX, at(1));
    state.tick(at(2), 0, |_| received(1, 100));
    check(&mut state, web, &[(1, 100)], 0);
}

#[test]
fn the_next_owner_of_a_slot_has_none_of_the_flows_of_the_one_before() {
    let (mut state, [web, _]) = two_attached();
    state.spilled(0, &[spill(flow(WEB, 1), 1, 100)], 0);
    state.tick(at(2), 0, |_| received(1, 100));
    state.follow(&topology(vec![netns("next", 9, 15)]), at(3));
    let next = only_wanted(&state);
    state.detached(web, &totals(tally(3, 190), Tally::default()), at(3));
    state.attached(next, NEXT, TCX, at(3));
    // The same key; and what was late of the one before.
    state.spilled(
        0,
        &[spill(flow(NEXT, 1), 1, 7), spill(flow(WEB, 1), 1, 50)],
        0,
    );
    state.tick(at(4), 0, |slot| {
        assert_eq!(slot, 3);
        received(1, 7)
    });
    check(&mut state, web, &[(1, 150)], 40);
    check(&mut state, next, &[(1, 7)], 0);
}

#[test]
fn what_comes_of_an_owner_that_is_forgotten_is_shown_nowhere() {
    let (mut state, [web, db]) = two_attached();
    state.spilled(0, &[spill(flow(WEB, 1), 1, 100)], 0);
    state.follow(&topology(vec![netns("db", 8, 14)]), at(3));
    state.detached(web, &Totals::default(), at(3));
    state.tick(at(3) + GONE_FOR, 0, |_| received(1, 5));
    assert!(!is_shown(&mut state, web));
    state.spilled(0, &[spill(flow(WEB, 1), 1, 100)], 0);
    state.tick(at(10), 0, |_| received(1, 5));
    check(&mut state, db, &[], 5);
    assert_eq!(state.flow_sum(web), None);
    // It is remembered for no longer than any flow.
    assert_eq!(state.flows.tables.len(), 1);
    state.tick(at(80), 100_000, |_| received(1, 5));
    state.tick(at(85), 101_250, |_| received(1, 5));
    assert_eq!(state.flows.tables.len(), 0);
}

#[test]
fn what_happens_to_flows_is_told_once_with_whose_they_are() {
    let (mut state, [web, _]) = two_attached();
    state.spilled(
        0,
        &[spill(flow(WEB, 1), 1, 100), spill(flow(DB, 2), 1, 70)],
        0,
    );
    state.tick(at(2), 0, |_| received(1, 100));
    assert_eq!(
        told(&mut state),
        expected(&[("db", "new", 2), ("web", "new", 1)])
    );
    assert_eq!(told(&mut state), []);
    state.spilled(0, &[spill(flow(WEB, 1), 1, 100)], 0);
    state.tick(at(3), 0, |_| received(2, 200));
    assert_eq!(told(&mut state), expected(&[("web", "update", 1)]));
    // A row that is forgotten is the end of its flows.
    state.follow(&topology(vec![netns("db", 8, 14)]), at(4));
    state.detached(web, &Totals::default(), at(4));
    state.tick(at(5), 0, |_| received(2, 200));
    assert_eq!(told(&mut state), []);
    state.tick(at(4) + GONE_FOR, 0, |_| received(2, 200));
    assert_eq!(told(&mut state), expected(&[("web", "end", 1)]));
}

#[test]
fn nothing_is_told_where_nobody_asked() {
    let (mut state, _) = attached(netns("web", 7, 13));
    state.spilled(0, &[spill(flow(WEB, 1), 1, 100)], 0);
    state.tick(at(2), 0, |_| received(1, 100));
    assert_eq!(told(&mut state), []);
}

#[test]
fn flows_of_what_is_gone_add_up_with_its_final_totals() {
    let (mut state, [web, _]) = two_attached();
    state.spilled(0, &[spill(flow(WEB, 1), 1, 100)], 0);
    state.tick(at(2), 0, |_| received(1, 100));
    state.follow(&topology(vec![netns("db", 8, 14)]), at(3));
    // Its last packets are known as a flow, and its final totals are still on their way.
    state.spilled(0, &[spill(flow(WEB, 1), 1, 50)], 0);
    state.tick(at(3), 0, |_| received(0, 0));
    check(&mut state, web, &[(1, 150)], 0);
    state.detached(web, &totals(tally(3, 210), Tally::default()), at(4));
    check(&mut state, web, &[(1, 150)], 60);
}

#[test]
fn a_spill_that_makes_no_sense_is_counted_as_lost() {
    let (mut state, [web, _]) = two_attached();
    let good = spill(flow(WEB, 1), 1, 100);
    let bad = Spill { family: 5, ..good };
    state.spilled(0, &[bad, good, bad], 4);
    state.tick(at(2), 0, |_| received(1, 100));
    check(&mut state, web, &[(1, 100)], 0);
    assert_eq!(state.header().lost_samples, 6);
}

/// What CPU 0 would have counted of an owner's packets, if it had counted them all.
fn counted<'a>(truth: impl Iterator<Item = &'a Truth>) -> CpuCounters {
    let mut counters = CpuCounters::new_zeroed();
    let split = |counts: Counts| WireTally {
        skbs: tally(counts.packets, counts.bytes),
        extra: tally(
            counts.wire_packets - counts.packets,
            counts.wire_bytes - counts.bytes,
        ),
    };
    let add = |sum: &mut Tally, part: Tally| {
        sum.packets += part.packets;
        sum.bytes += part.bytes;
    };
    for truth in truth {
        for at in 0..2 {
            let (all, other) = (split(truth.counts[at]), split(truth.other[at]));
            add(&mut counters.classes[at][Class::Ipv4Tcp as usize], all.skbs);
            add(&mut counters.extra[at], all.extra);
            add(&mut counters.other[at].skbs, other.skbs);
            add(&mut counters.other[at].extra, other.extra);
        }
    }
    counters
}

/// A state that watches a model of the kernel side; web and db are attached.
struct Watched {
    state: State,
    drive: Drive,
    owners: [(IfaceKey, Owner); 2],
    now: Duration,
}

impl Watched {
    fn take(&mut self, seen: Vec<Seen>) {
        for seen in seen {
            match seen {
                Seen::Live(cpu, family, entry, key, stats) => {
                    self.state.cached(cpu, family, entry, &key, &stats);
                }
                Seen::Spilled(cpu, spill) => self.state.spilled(cpu, &[spill], 0),
            }
        }
    }

    fn refresh(&mut self) {
        let seen = self.drive.see_all();
        self.take(seen);
        self.now += at(1);
        let truth = &self.drive.kernel.truth;
        let owners = &self.owners;
        self.state.tick(self.now, self.drive.kernel.now, |slot| {
            let owner = owners
                .iter()
                .find(|(_, owner)| u32::from(owner.slot) == slot);
            let owner = owner.map(|(_, owner)| *owner);
            let of_owner = truth.iter().filter(|(flow, _)| Some(flow.owner) == owner);
            std::iter::once(counted(of_owner.map(|(_, truth)| truth)))
        });
    }

    /// That what is shown adds up, however many flows are asked for.
    fn check(&mut self, is_at_rest: bool) -> Result<(), TestCaseError> {
        let [(web, _), _] = self.owners;
        for asked in [
            FlowsAsked::None,
            FlowsAsked::OfAll(1),
            FlowsAsked::OfOne(web, 2),
            FlowsAsked::OfAll(100),
        ] {
            for row in self.state.snapshot(asked).rows {
                prop_assert!(row.flows.len() <= asked.of(row.key));
                for direction in [Direction::Rx, Direction::Tx] {
                    let mut sum = row.other.counts[direction as usize];
                    for flow in &row.flows {
                        sum += flow.counts[direction as usize];
                    }
                    prop_assert_eq!(sum, row.counts(direction));
                }
            }
        }
        for (key, _) in self.owners {
            let sums = self.state.flow_sum(key).expect("it is attached");
            let row = row(&mut self.state, key);
            for direction in [Direction::Rx, Direction::Tx] {
                let (sum, total) = (sums[direction as usize], row.counts(direction));
                let missing = total.without(sum);
                let mut whole = sum;
                whole += missing;
                prop_assert_eq!(whole, total, "flows are more than the total");
                prop_assert!(!is_at_rest || missing == Counts::default());
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn flows_and_other_are_the_totals_whatever_is_asked_for_when(
        steps in steps(4, &[WEB, DB, NEXT]),
        every in 1..60_usize,
    ) {
        let (state, [web, db]) = two_attached();
        let mut watched = Watched {
            state,
            drive: Drive::new(4),
            owners: [(web, WEB), (db, DB)],
            now: at(1),
        };
        for (nth, step) in steps.iter().enumerate() {
            let seen = watched.drive.step(step);
            watched.take(seen);
            if nth % every == 0 {
                watched.refresh();
                watched.check(false)?;
            }
        }
        watched.drive.rest();
        watched.refresh();
        watched.check(true)?;
    }
}
