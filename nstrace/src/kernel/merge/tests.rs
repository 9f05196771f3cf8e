//! Rings made of vectors, written while they are read.

use std::cell::Cell;

use nstrace_ebpf::wire::WIRE_VERSION;
use proptest::prelude::*;
use zerocopy::IntoBytes as _;

use super::*;

/// A record of the model: its time, and whether it is written yet. Positions are indexes.
#[derive(Clone, Debug)]
struct Record {
    /// Aligned as in a ring.
    bytes: RecordHeader,
    is_busy: bool,
}

#[derive(Debug, Default)]
struct Model {
    records: Vec<Record>,
    consumed: Cell<u64>,
}

impl Ring for Model {
    fn consumed(&self) -> u64 {
        self.consumed.get()
    }

    fn produced(&self) -> u64 {
        self.records.len() as u64
    }

    fn look(&self, at: u64, end: u64) -> Slot<'_> {
        match self.records.get(usize::try_from(at).expect("an index")) {
            Some(record) if at < end && record.is_busy => Slot::Busy,
            Some(record) if at < end => Slot::Record(record.bytes.as_bytes(), at + 1),
            _ => Slot::End,
        }
    }

    fn release(&mut self, at: u64) {
        assert!(at >= self.consumed.get());
        self.consumed.set(at);
    }
}

fn record(time: u64) -> Record {
    let header = RecordHeader {
        time,
        version: u16::try_from(WIRE_VERSION).expect("small"),
        ..RecordHeader::default()
    };
    Record {
        bytes: header,
        is_busy: false,
    }
}

fn ring(times: &[u64]) -> Model {
    Model {
        records: times.iter().map(|time| record(*time)).collect(),
        consumed: Cell::new(0),
    }
}

fn drain(merge: &mut Merge<Model>, bound: u64) -> Vec<u64> {
    let mut times = Vec::new();
    merge.drain(bound, |_, header, _| {
        times.push(header.time);
        ControlFlow::Continue(())
    });
    times
}

#[test]
fn records_of_several_rings_come_in_the_order_of_their_times() {
    let mut merge = Merge::new(vec![ring(&[1, 5, 6]), ring(&[]), ring(&[2, 3, 7])]);
    assert_eq!(drain(&mut merge, 6), [1, 2, 3, 5, 6]);
    assert_eq!(drain(&mut merge, 10), [7]);
    assert_eq!(drain(&mut merge, 10), [0; 0]);
}

#[test]
fn nothing_overtakes_a_record_that_is_still_being_written() {
    let mut slow = ring(&[1, 4, 9]);
    slow.records[1].is_busy = true;
    let mut merge = Merge::new(vec![slow, ring(&[2, 3, 5])]);
    // It will be of 1 or later.
    assert_eq!(drain(&mut merge, 10), [1]);
    merge.lanes[0].ring.records[1].is_busy = false;
    assert_eq!(drain(&mut merge, 10), [2, 3, 4, 5, 9]);
}

#[test]
fn who_breaks_goes_on_behind_the_last_record() {
    let mut merge = Merge::new(vec![ring(&[1, 2, 3])]);
    let mut taken = 0;
    merge.drain(10, |_, _, _| {
        taken += 1;
        ControlFlow::Break(())
    });
    assert_eq!(taken, 1);
    assert_eq!(merge.lanes[0].ring.consumed(), 1);
    assert_eq!(drain(&mut merge, 10), [2, 3]);
}

#[test]
fn a_record_of_another_version_is_counted_and_hides_no_other() {
    let mut rings = ring(&[1, 2]);
    rings.records[0].bytes.version ^= 0xff;
    let mut merge = Merge::new(vec![rings]);
    let mut times = Vec::new();
    let drained = merge.drain(10, |_, header, _| {
        times.push(header.time);
        ControlFlow::Continue(())
    });
    assert_eq!((times, drained.unreadable), (vec![2], 1));
}

proptest! {
    #[test]
    fn whatever_the_rings_hold_comes_once_and_in_order(
        mut rings in prop::collection::vec(prop::collection::vec(0..50_u64, 0..20), 1..5),
        bounds in prop::collection::vec(0..50_u64, 0..5),
    ) {
        let mut all: Vec<u64> = rings.iter().flatten().copied().collect();
        all.sort_unstable();
        for ring in &mut rings {
            ring.sort_unstable();
        }
        let mut merge = Merge::new(rings.iter().map(|times| ring(times)).collect());
        let mut found = Vec::new();
        let mut sorted = bounds;
        sorted.sort_unstable();
        for bound in sorted {
            found.extend(drain(&mut merge, bound));
            prop_assert!(found.iter().all(|time| *time <= bound));
        }
        found.extend(drain(&mut merge, u64::MAX));
        prop_assert_eq!(found, all);
    }
}
