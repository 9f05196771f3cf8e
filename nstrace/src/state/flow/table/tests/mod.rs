//! The table of one interface's flows: what it shows, what it tells, and that nothing is missing.

mod properties;

use std::net::{IpAddr, Ipv4Addr};

use nstrace_ebpf::wire::{FlowKind, Owner};

use super::*;

const UDP: u8 = 17;
/// Jiffies of a second.
const HZ: u32 = 250;
/// When the watch began: jiffies wrap 20 seconds later.
const BEGAN: u32 = u32::MAX - 20 * HZ + 1;

fn key(protocol: u8, number: u16) -> FlowKey {
    let address = |last| IpAddr::V4(Ipv4Addr::new(192, 0, 2, last));
    FlowKey {
        kind: FlowKind::Ports,
        protocol,
        addresses: Some((address(1), address(2))),
        local_port: number,
        remote_port: 443,
    }
}

const fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn jiffies(seconds: u32) -> u32 {
    BEGAN.wrapping_add(seconds * HZ)
}

fn clock(seconds: u32) -> Clock {
    Clock {
        now: at(seconds.into()),
        jiffies: jiffies(seconds),
        jiffy: Duration::from_secs(1) / HZ,
    }
}

/// A packet of so many bytes into the namespace, seen at that second.
fn delta(key: FlowKey, seconds: u32, bytes: u64) -> Delta {
    let counts = Counts {
        packets: 1,
        bytes,
        wire_packets: 2,
        wire_bytes: bytes + 54,
    };
    Delta {
        owner: Owner::default(),
        key,
        counts: [counts, Counts::default()],
        tcp_flags: [0; 2],
        syns: 0,
        first_seen: jiffies(seconds),
        last_seen: jiffies(seconds),
    }
}

/// The same with flags, of which those of `tx` came with a packet of their own.
fn with_flags(delta: Delta, tcp_flags: [u8; 2]) -> Delta {
    Delta { tcp_flags, ..delta }
}

/// A table that has room for all, and tells.
#[derive(Default)]
struct Told(FlowTable);

impl Told {
    fn add(&mut self, delta: &Delta) {
        self.0.add(delta, 1000, true);
    }

    /// Ends an interval of one second.
    fn tick(&mut self, seconds: u32) -> Vec<FlowEvent> {
        let mut events = Vec::new();
        let mut tell = |event| events.push(event);
        self.0.tick(&clock(seconds), at(1), Some(&mut tell));
        events
    }

    /// The only flow, as it stands at that second.
    #[track_caller]
    fn only(&self, seconds: u32) -> FlowSnapshot {
        let (flows, _) = self.0.top(10, &clock(seconds));
        let [flow] = &flows[..] else {
            panic!("not one flow: {flows:?}");
        };
        flow.clone()
    }
}

/// Kind and number of each event.
fn told(events: &[FlowEvent]) -> Vec<(&'static str, u16)> {
    let name = |event: &FlowEvent| match event {
        FlowEvent::New(flow) => ("new", flow.key.local_port),
        FlowEvent::Update(flow) => ("update", flow.key.local_port),
        FlowEvent::End(flow) => ("end", flow.key.local_port),
    };
    events.iter().map(name).collect()
}

/// The state of a flow that had these flags, when it was silent for so long.
#[track_caller]
fn check_state(protocol: u8, flags: [u8; 2], silent: u32, expected: FlowState) {
    let mut table = Told::default();
    table.add(&with_flags(delta(key(protocol, 1), 0, 100), flags));
    assert_eq!(table.only(silent).state, expected);
}

#[test]
fn tcp_is_known_by_its_flags() {
    check_state(TCP, [SYN, 0], 0, FlowState::Opening);
    check_state(TCP, [0, SYN], 50, FlowState::Opening);
    // The answer alone is not an established connection: the third packet makes it one.
    check_state(TCP, [SYN, SYN | ACK], 0, FlowState::Opening);
    check_state(TCP, [SYN | ACK, SYN | ACK], 0, FlowState::Established);
    // No SYN was seen: it is older than the watch.
    check_state(TCP, [ACK, 0], 50, FlowState::Established);
    check_state(TCP, [ACK | FIN, ACK], 0, FlowState::Closing);
    check_state(TCP, [ACK, SYN | ACK | FIN], 0, FlowState::Closing);
    check_state(TCP, [ACK | FIN, SYN | ACK | FIN], 0, FlowState::Closed);
    check_state(TCP, [SYN, RST | ACK], 0, FlowState::Reset);
    check_state(TCP, [ACK | FIN | RST, ACK | FIN], 0, FlowState::Reset);
}

#[test]
fn what_is_not_tcp_or_has_no_flags_is_active_until_it_is_silent() {
    for protocol in [UDP, TCP] {
        check_state(protocol, [0, 0], 0, FlowState::Active);
        check_state(protocol, [0, 0], 9, FlowState::Active);
        check_state(protocol, [0, 0], 10, FlowState::Idle);
    }
}

#[test]
fn each_state_has_a_name_of_its_own() {
    let states = [
        (FlowState::Opening, "opening"),
        (FlowState::Established, "established"),
        (FlowState::Closing, "closing"),
        (FlowState::Closed, "closed"),
        (FlowState::Reset, "reset"),
        (FlowState::Active, "active"),
        (FlowState::Idle, "idle"),
    ];
    for (state, name) in states {
        assert_eq!(state.as_str(), name);
    }
}

#[test]
fn a_flow_is_all_that_was_added_of_it() {
    let mut table = Told::default();
    let first = delta(key(TCP, 1), 5, 100);
    let mut second = delta(key(TCP, 1), 7, 40);
    second.counts.swap(0, 1);
    second.syns = 2;
    table.add(&with_flags(first, [SYN, 0]));
    table.add(&with_flags(second, [0, SYN | ACK]));
    table.add(&with_flags(delta(key(TCP, 1), 6, 1000), [ACK, 0]));
    let flow = table.only(9);
    let counts = |packets, bytes, wire_packets, wire_bytes| Counts {
        packets,
        bytes,
        wire_packets,
        wire_bytes,
    };
    let expected = [counts(2, 1100, 4, 1208), counts(1, 40, 2, 94)];
    assert_eq!((flow.key, flow.counts), (key(TCP, 1), expected));
    assert_eq!(flow.tcp_flags, [SYN | ACK, SYN | ACK]);
    assert_eq!(flow.syns, 2);
    // Since the earliest and the latest of all, in whatever order they come.
    assert_eq!((flow.age, flow.idle), (at(4), at(2)));
    assert_eq!((flow.total_bytes(), flow.total_bps()), (1140, 0));
}

#[test]
fn times_count_across_the_wrap_of_jiffies() {
    let mut table = Told::default();
    // Seconds 20 and 21 are on either side of it.
    table.add(&delta(key(UDP, 1), 21, 100));
    table.add(&delta(key(UDP, 1), 19, 100));
    assert!(jiffies(21) < jiffies(19));
    let flow = table.only(24);
    assert_eq!((flow.age, flow.idle), (at(5), at(3)));
    table.add(&delta(key(UDP, 1), 23, 100));
    table.add(&delta(key(UDP, 1), 18, 100));
    let flow = table.only(24);
    assert_eq!((flow.age, flow.idle), (at(6), at(1)));
}

#[test]
fn a_stamp_that_is_ahead_of_the_clock_is_now() {
    let mut table = Told::default();
    table.add(&delta(key(UDP, 1), 9, 100));
    let flow = table.only(8);
    assert_eq!((flow.age, flow.idle), (at(0), at(0)));
    assert_eq!(flow.state, FlowState::Active);
    assert_eq!(told(&table.tick(8)), [("new", 1)]);
    assert_eq!(table.0.len(), 1);
}

#[test]
fn rates_are_of_the_last_interval() {
    let mut table = FlowTable::default();
    let mut both = delta(key(UDP, 1), 1, 1000);
    both.counts[1] = Counts {
        packets: 3,
        bytes: 500,
        wire_packets: 3,
        wire_bytes: 500,
    };
    table.add(&both, 10, false);
    let only = |table: &FlowTable| table.top(1, &clock(2)).0.remove(0);
    assert_eq!((only(&table).bps, only(&table).pps), ([0; 2], [0; 2]));
    table.tick(&clock(2), at(2), None);
    assert_eq!(only(&table).bps, [4000, 2000]);
    // Half a packet a second is rounded up.
    assert_eq!(only(&table).pps, [1, 2]);
    assert_eq!(only(&table).total_bps(), 6000);
    table.add(&both, 10, false);
    table.tick(&clock(2), at(0), None);
    assert_eq!((only(&table).bps, only(&table).pps), ([0; 2], [0; 2]));
    table.tick(&clock(3), at(1), None);
    assert_eq!((only(&table).bps, only(&table).pps), ([0; 2], [0; 2]));
    assert_eq!(only(&table).total_bytes(), 3000);
}

/// That a flow that was ended by `last` at second 1 is there until five seconds later, then a part
/// of the rest; each second is told as expected.
#[track_caller]
fn check_ended(last: &Delta) {
    let mut table = Told::default();
    table.add(last);
    assert_eq!(told(&table.tick(1)), [("new", 1)]);
    for second in 2..6 {
        assert_eq!(told(&table.tick(second)), [], "{second}");
        assert_eq!(table.0.len(), 1);
        assert_eq!(table.0.rest(), Rest::default());
    }
    assert_eq!(told(&table.tick(6)), [("end", 1)]);
    assert!(table.0.is_empty());
    let expected = Rest {
        flows: 1,
        counts: last.counts,
    };
    assert_eq!(table.0.rest(), expected);
    assert_eq!(told(&table.tick(7)), []);
}

#[test]
fn a_flow_that_has_ended_stays_for_the_eye_and_leaves_into_the_rest() {
    let last = delta(key(TCP, 1), 1, 100);
    check_ended(&with_flags(last, [RST, 0]));
    check_ended(&with_flags(last, [FIN | ACK, FIN | ACK]));
}

#[test]
fn a_flow_that_is_silent_for_a_minute_has_ended() {
    for protocol in [UDP, TCP] {
        let mut table = Told::default();
        table.add(&with_flags(delta(key(protocol, 1), 1, 100), [ACK, ACK]));
        assert_eq!(told(&table.tick(1)), [("new", 1)]);
        for second in 2..66 {
            assert_eq!(told(&table.tick(second)), [], "{second}");
            assert_eq!(table.0.len(), 1, "{second}");
        }
        assert_eq!(told(&table.tick(66)), [("end", 1)]);
        assert_eq!(table.0.rest().flows, 1);
    }
}

#[test]
fn a_late_packet_gives_an_ended_flow_its_time_anew() {
    let mut table = Told::default();
    let reset = with_flags(delta(key(TCP, 1), 1, 100), [RST, 0]);
    table.add(&reset);
    table.tick(1);
    table.tick(5);
    table.add(&delta(key(TCP, 1), 5, 10));
    assert_eq!(told(&table.tick(6)), [("update", 1)]);
    assert_eq!(told(&table.tick(10)), []);
    assert_eq!(told(&table.tick(11)), [("end", 1)]);
    assert_eq!(table.0.sum(Direction::Rx).bytes, 110);
}

#[test]
fn what_brings_no_packet_makes_no_flow() {
    let nothing = Delta {
        counts: Default::default(),
        ..with_flags(delta(key(TCP, 1), 1, 0), [RST, 0])
    };
    let mut table = Told::default();
    table.add(&nothing);
    assert!(table.0.is_empty());
    assert_eq!(told(&table.tick(1)), []);
    // Of one that is at hand it is taken.
    table.add(&delta(key(TCP, 1), 1, 100));
    table.add(&nothing);
    assert_eq!(table.only(1).state, FlowState::Reset);
    for second in 2..10 {
        table.tick(second);
    }
    table.add(&nothing);
    assert!(table.0.is_empty());
    assert_eq!((table.0.rest().flows, told(&table.tick(10))), (1, vec![]));
}

#[test]
fn a_silent_flow_that_speaks_again_goes_on() {
    let mut table = Told::default();
    table.add(&delta(key(UDP, 1), 1, 100));
    table.tick(1);
    // It is over by now, but still there.
    assert_eq!(told(&table.tick(62)), []);
    assert_eq!(table.only(62).state, FlowState::Idle);
    table.add(&delta(key(UDP, 1), 63, 10));
    assert_eq!(told(&table.tick(63)), [("update", 1)]);
    assert_eq!(table.only(63).state, FlowState::Active);
    assert_eq!(told(&table.tick(122)), []);
    assert_eq!(table.0.len(), 1);
    assert_eq!(table.only(122).age, at(121));
}

#[test]
fn a_flow_is_new_once_then_updated_by_packets_alone() {
    let mut table = Told::default();
    table.add(&delta(key(UDP, 1), 1, 100));
    table.add(&delta(key(UDP, 1), 1, 100));
    assert_eq!(told(&table.tick(1)), [("new", 1)]);
    assert_eq!(told(&table.tick(2)), []);
    table.add(&delta(key(UDP, 1), 3, 100));
    let events = table.tick(3);
    assert_eq!(told(&events), [("update", 1)]);
    let [FlowEvent::Update(flow)] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!((flow.total_bytes(), flow.bps), (300, [800, 0]));
    // Not told, it is not new any more all the same.
    let mut table = Told::default();
    table.add(&delta(key(UDP, 1), 1, 100));
    table.0.tick(&clock(1), at(1), None);
    table.add(&delta(key(UDP, 1), 2, 100));
    assert_eq!(told(&table.tick(2)), [("update", 1)]);
}

#[test]
fn the_end_of_the_watch_is_the_end_of_every_flow() {
    let mut table = Told::default();
    table.add(&delta(key(UDP, 1), 1, 100));
    table.add(&delta(key(UDP, 2), 1, 200));
    table.tick(1);
    let mut events = Vec::new();
    table.0.end(&clock(2), |event| events.push(event));
    events.sort_by_key(|event| match event {
        FlowEvent::New(flow) | FlowEvent::Update(flow) | FlowEvent::End(flow) => flow.key,
    });
    assert_eq!(told(&events), [("end", 1), ("end", 2)]);
}

/// Numbers of the flows that stand at the top, in order.
fn numbers(flows: &[FlowSnapshot]) -> Vec<u16> {
    flows.iter().map(|flow| flow.key.local_port).collect()
}

#[test]
fn the_top_is_by_rate_then_by_bytes_then_by_key() {
    let mut table = Told::default();
    for (number, bytes) in [(1, 500), (2, 900), (3, 500)] {
        table.add(&delta(key(UDP, number), 1, bytes));
    }
    table.tick(1);
    for (number, bytes) in [(4, 300), (5, 400)] {
        table.add(&delta(key(UDP, number), 2, bytes));
    }
    table.tick(2);
    let (flows, rest) = table.0.top(10, &clock(2));
    assert_eq!(numbers(&flows), [5, 4, 2, 1, 3]);
    assert_eq!(rest, Rest::default());
    let (flows, rest) = table.0.top(3, &clock(2));
    assert_eq!(numbers(&flows), [5, 4, 2]);
    assert_eq!((rest.flows, rest.counts[0].bytes), (2, 1000));
    let (flows, rest) = table.0.top(0, &clock(2));
    assert!(flows.is_empty());
    assert_eq!((rest.flows, rest.counts[0].bytes), (5, 2600));
}

/// Numbers of the flows that stay of these (number, bytes), which come in this order.
#[track_caller]
fn check_kept(limit: usize, flows: &[(u16, u64)], expected: &[u16]) {
    let mut table = FlowTable::default();
    for (number, bytes) in flows {
        table.add(&delta(key(UDP, *number), 1, *bytes), limit, false);
    }
    let (flows, _) = table.top(usize::MAX, &clock(1));
    let mut kept = numbers(&flows);
    kept.sort_unstable();
    assert_eq!(kept, expected);
}

#[test]
fn what_makes_room_is_the_least_whatever_the_order() {
    let mut flows = [(1, 10), (2, 60), (3, 30), (4, 40), (5, 50), (6, 20)];
    for _ in 0..flows.len() {
        flows.rotate_left(1);
        check_kept(4, &flows, &[2, 3, 4, 5]);
    }
    // Equal ones by their key.
    check_kept(
        4,
        &[6, 1, 5, 2, 4, 3].map(|number| (number, 7)),
        &[1, 2, 3, 4],
    );
}

#[test]
fn the_smallest_tables_keep_the_largest_flow_or_none() {
    check_kept(1, &[(1, 10), (2, 60), (3, 30)], &[2]);
    check_kept(1, &[(3, 10), (1, 10), (2, 10)], &[1]);
    check_kept(2, &[(1, 10), (2, 60), (3, 30)], &[2, 3]);
    check_kept(0, &[(1, 10), (2, 60)], &[]);
}

#[test]
fn half_of_the_room_is_for_what_has_been_busy_of_late() {
    let mut table = FlowTable::default();
    // Two old large ones, and a small one that has sent 100 bytes in the last second.
    for (number, bytes) in [(1, 9000), (2, 8000), (3, 7000), (4, 6000)] {
        table.add(&delta(key(UDP, number), 1, bytes), 4, false);
    }
    table.tick(&clock(2), at(1), None);
    table.tick(&clock(3), at(1), None);
    table.add(&delta(key(UDP, 5), 4, 100), 4, false);
    table.tick(&clock(4), at(1), None);
    // One that has just begun counts by what it has sent, in the same unit.
    table.add(&delta(key(UDP, 6), 5, 200), 4, false);
    let (flows, rest) = table.top(usize::MAX, &clock(5));
    let mut kept = numbers(&flows);
    kept.sort_unstable();
    assert_eq!(kept, [1, 2, 5, 6]);
    assert_eq!((rest.flows, rest.counts[0].bytes), (2, 13_000));
    // A seventh, that is slower than the fifth was and no larger than any.
    table.add(&delta(key(UDP, 7), 5, 90), 4, false);
    table.add(&delta(key(UDP, 8), 5, 150), 4, false);
    let mut kept = numbers(&table.top(usize::MAX, &clock(5)).0);
    kept.sort_unstable();
    assert_eq!(kept, [1, 2, 6, 8]);
}

#[test]
fn a_flow_that_makes_room_is_told_before_it_comes_again() {
    let mut table = FlowTable::default();
    let mut events = Vec::new();
    let mut tick = |table: &mut FlowTable, seconds| {
        events.clear();
        let mut tell = |event| events.push(event);
        table.tick(&clock(seconds), at(1), Some(&mut tell));
        told(&events)
    };
    table.add(&delta(key(UDP, 1), 1, 10), 1, true);
    assert_eq!(tick(&mut table, 1), [("new", 1)]);
    table.add(&delta(key(UDP, 2), 1, 100), 1, true);
    table.add(&delta(key(UDP, 1), 1, 200), 1, true);
    assert_eq!(tick(&mut table, 2), [("end", 1), ("end", 2), ("new", 1)]);
    assert_eq!(tick(&mut table, 3), []);
}
