//! Scenarios: what happened and when, and what is shown of it.

mod flows;

use std::cell::RefCell;

use nstrace_ebpf::wire::{Class, Direction, Tally, WIRE_VERSION};
use proptest::prelude::*;
use zerocopy::FromZeros as _;

use super::{snapshot::RowSnapshot, *};
use crate::topology::{
    model::{Container, Identity, Init, Kind, Link, NetnsInode, Nsid, Runtime, Watch},
    target::{Pattern, Target},
};

const SETTINGS: Settings = Settings {
    window: Duration::from_millis(10),
    jiffy: Duration::from_millis(4),
    cpus: 2,
    flows4: 4,
    flows6: 4,
    flow_limit: 8,
    tells_flows: false,
};
const TCX: Mechanism = Mechanism::Tcx;

const fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A namespace with one watched eth0, whose host end has `host_ifindex`.
pub(super) fn netns(name: &str, inode: u32, host_ifindex: u32) -> Netns {
    let link = Link {
        link: Some(Ifindex(host_ifindex)),
        link_nsid: Some(Nsid(0)),
        ..Link::sample(2, "eth0", "veth")
    };
    Netns {
        identity: Identity::Inode(NetnsInode(inode), Some(u64::from(inode) + 1000)),
        nsid: None,
        name: name.to_owned(),
        kind: Kind::Named,
        paths: Vec::new(),
        pids: Vec::new(),
        containers: Vec::new(),
        interfaces: vec![Iface {
            link,
            peer: Some(Peer {
                name: format!("veth{host_ifindex}"),
                ifindex: Ifindex(host_ifindex),
                master: None,
            }),
            watch: Watch::HostVeth,
        }],
    }
}

pub(super) fn topology(netnses: Vec<Netns>) -> Topology {
    Topology {
        netnses: netnses.into_iter().map(Arc::new).collect(),
        warnings: Vec::new(),
    }
}

fn watch_all() -> State {
    State::new(Selection::default(), SETTINGS)
}

/// A state that has attached `netns` in slot 3 at second 1, and its key.
#[track_caller]
fn attached(netns: Netns) -> (State, IfaceKey) {
    let mut state = watch_all();
    state.follow(&topology(vec![netns]), at(0));
    let key = only_wanted(&state);
    state.attached(key, owner(3), TCX, at(1));
    (state, key)
}

#[track_caller]
fn only_wanted(state: &State) -> IfaceKey {
    let [key] = state.wanted()[..] else {
        panic!("not one is wanted: {:?}", state.wanted());
    };
    key
}

#[track_caller]
fn row(state: &mut State, key: IfaceKey) -> RowSnapshot {
    let row = state
        .snapshot(FlowsAsked::None)
        .rows
        .into_iter()
        .find(|row| row.key == key);
    row.expect("the row is shown")
}

fn is_shown(state: &mut State, key: IfaceKey) -> bool {
    state
        .snapshot(FlowsAsked::None)
        .rows
        .iter()
        .any(|row| row.key == key)
}

const fn owner(slot: u16) -> Owner {
    Owner { slot, tenure: 0 }
}

const fn tally(packets: u64, bytes: u64) -> Tally {
    Tally { packets, bytes }
}

/// Counters of one CPU: all of `rx` and `tx` in one class each, and nothing in an open window.
/// With nothing in the open window.
fn counters(rx: Tally, tx: Tally) -> CpuCounters {
    let mut counters = CpuCounters::new_zeroed();
    counters.window_base = [rx, tx];
    counters.classes[Direction::Rx as usize][Class::Ipv4Tcp as usize] = rx;
    counters.classes[Direction::Tx as usize][Class::Arp as usize] = tx;
    counters
}

fn totals(rx: Tally, tx: Tally) -> Totals {
    Totals::sum([counters(rx, tx)])
}

fn sample(slot: u32, window_end: u64, rx_bytes: u64) -> Sample {
    Sample {
        version: WIRE_VERSION,
        slot,
        window_end,
        tallies: [tally(1, rx_bytes), Tally::default()],
    }
}

#[test]
fn an_interface_is_pending_then_attached_then_counted() {
    let mut state = watch_all();
    state.follow(&topology(vec![netns("web", 7, 13)]), at(0));
    let key = only_wanted(&state);
    assert_eq!(key.ifindex, Ifindex(13));
    assert_eq!(row(&mut state, key).state, RowState::Pending);
    assert_eq!(row(&mut state, key).mechanism, None);

    state.attached(key, owner(3), TCX, at(1));
    assert_eq!(only_wanted(&state), key);
    assert_eq!(row(&mut state, key).state, RowState::Attached(3, TCX));

    state.sampled(&[sample(3, 20, 500), sample(3, 20, 750)], 0);
    state.tick(at(3), 0, |slot| {
        assert_eq!(slot, 3);
        // Two CPUs.
        let first = counters(tally(10, 1000), tally(1, 60));
        let second = counters(tally(5, 500), tally(0, 0));
        [first, second].into_iter()
    });
    let counted = row(&mut state, key);
    assert_eq!(counted.totals, totals(tally(15, 1500), tally(1, 60)));
    // Over two seconds; bits. The peak is 1250 bytes in 10 ms.
    let [rx, tx] = counted.rates;
    assert_eq!((rx.pps, rx.bps, rx.peak_bps), (8, 6000, 1_000_000));
    assert_eq!((tx.pps, tx.bps, tx.peak_bps), (1, 240, 240));

    // The next interval is of one second, and knows nothing of the last one's peak.
    state.tick(at(4), 0, |_| {
        [counters(tally(16, 2500), tally(1, 60))].into_iter()
    });
    let counted = row(&mut state, key);
    assert_eq!(counted.totals, totals(tally(16, 2500), tally(1, 60)));
    let [rx, tx] = counted.rates;
    assert_eq!((rx.pps, rx.bps, rx.peak_bps), (1, 8000, 8000));
    assert_eq!((tx.pps, tx.bps, tx.peak_bps), (0, 0, 0));
}

#[test]
fn an_open_window_counts_for_the_peak() {
    let (mut state, key) = attached(netns("web", 7, 13));
    state.tick(at(2), 0, |_| {
        let mut cpu = counters(tally(1, 1250), Tally::default());
        cpu.window_base = Default::default();
        cpu.window_end = 40;
        [cpu].into_iter()
    });
    assert_eq!(row(&mut state, key).rate(Direction::Rx).peak_bps, 1_000_000);
    assert_eq!(row(&mut state, key).rate(Direction::Rx).bps, 10_000);
}

#[test]
fn the_last_minute_is_in_bits_of_both_directions() {
    let (mut state, key) = attached(netns("web", 7, 13));
    state.tick(at(3), 0, |_| {
        [counters(tally(1, 1000), tally(1, 500))].into_iter()
    });
    assert_eq!(row(&mut state, key).history[..2], [6000, 6000]);
}

#[test]
fn an_interface_that_goes_leaves_its_final_totals() {
    let (mut state, key) = attached(netns("web", 7, 13));
    state.tick(at(2), 0, |_| {
        [counters(tally(1, 100), tally(1, 60))].into_iter()
    });
    state.follow(&topology(vec![]), at(3));
    assert_eq!(state.wanted(), []);
    let gone = RowState::Gone {
        since: at(3),
        mechanism: Some(TCX),
    };
    assert_eq!(row(&mut state, key).state, gone);
    assert_eq!(row(&mut state, key).mechanism, Some(TCX));

    // What was counted between the last tick and the end comes with the detachment.
    let last = totals(tally(9, 900), tally(2, 120));
    state.detached(key, &last, at(4));
    let shown = row(&mut state, key);
    assert_eq!((shown.state, shown.totals), (gone, last));
    state.tick(at(5), 0, |_| -> std::iter::Empty<CpuCounters> {
        panic!("nothing is read of what is gone")
    });
    let shown = row(&mut state, key);
    assert_eq!(shown.totals, last);
    assert_eq!(shown.rates, [snapshot::Rate::default(); 2]);
    assert_eq!(shown.gone_for, Some(at(2)));
}

#[test]
fn a_gone_row_is_forgotten_after_its_time() {
    let (mut state, key) = attached(netns("web", 7, 13));
    let nothing = |_| std::iter::empty();
    state.follow(&topology(vec![]), at(3));
    state.detached(key, &Totals::default(), at(4));
    let almost = GONE_FOR.saturating_sub(Duration::from_millis(1));
    state.tick(at(3) + almost, 0, nothing);
    assert!(is_shown(&mut state, key));
    state.tick(at(3) + GONE_FOR, 0, nothing);
    assert!(!is_shown(&mut state, key));
    assert_eq!(state.wanted(), []);
    // Late news of it changes nothing.
    state.detached(key, &totals(tally(1, 1), tally(1, 1)), at(9));
    state.attached(key, owner(3), TCX, at(9));
    state.failed(key, "late");
    assert_eq!(state.snapshot(FlowsAsked::None).rows, []);
}

#[test]
fn a_key_is_never_wanted_again() {
    let web = || topology(vec![netns("web", 7, 13)]);
    let (mut state, first) = attached(netns("web", 7, 13));
    state.follow(&topology(vec![]), at(2));
    state.follow(&web(), at(3));
    let second = only_wanted(&state);
    assert_eq!(second.ifindex, first.ifindex);
    assert_ne!(second.generation, first.generation);
    state.follow(&topology(vec![]), at(4));
    state.follow(&web(), at(100));
    let third = only_wanted(&state);
    assert!(![first, second].contains(&third));
}

/// That `next`, found with the ifindex of an attached `before`, is another row.
#[track_caller]
fn check_replaced(before: Netns, next: Netns) {
    let name = next.name.clone();
    let (mut state, old) = attached(before);
    state.tick(at(2), 0, |_| {
        [counters(tally(1, 100), tally(1, 60))].into_iter()
    });
    state.follow(&topology(vec![next]), at(3));
    let new = only_wanted(&state);
    assert_ne!(new, old);
    assert_eq!(row(&mut state, new).name(), name);
    assert_eq!(row(&mut state, new).state, RowState::Pending);
    assert_eq!(row(&mut state, new).totals, Totals::default());
    assert_eq!(row(&mut state, old).name(), "web");
    assert!(matches!(row(&mut state, old).state, RowState::Gone { .. }));
    assert_eq!(
        row(&mut state, old).totals,
        totals(tally(1, 100), tally(1, 60))
    );
}

/// That `next`, found with the ifindex of an attached `before`, is the same row by its new name.
#[track_caller]
fn check_kept(before: Netns, next: Netns) {
    let name = next.name.clone();
    let (mut state, key) = attached(before);
    state.tick(at(2), 0, |_| {
        [counters(tally(1, 100), tally(1, 60))].into_iter()
    });
    state.follow(&topology(vec![next]), at(3));
    assert_eq!(only_wanted(&state), key);
    let row = row(&mut state, key);
    assert_eq!(row.name(), name);
    assert_eq!(row.state, RowState::Attached(3, TCX));
    assert_eq!(row.totals, totals(tally(1, 100), tally(1, 60)));
    assert_eq!(state.snapshot(FlowsAsked::None).rows.len(), 1);
}

fn with_identity(identity: Identity) -> Netns {
    Netns {
        identity,
        ..netns("web", 7, 13)
    }
}

#[test]
fn another_namespace_behind_the_same_ifindex_is_another_row() {
    check_replaced(netns("web", 7, 13), netns("web", 8, 13));
    check_replaced(netns("web", 7, 13), netns("db", 8, 13));
    // The inode was given to the next namespace; only the id tells.
    let inode = |id| with_identity(Identity::Inode(NetnsInode(7), Some(id)));
    check_replaced(inode(1), inode(2));
    let nsid = |nsid| with_identity(Identity::Nsid(Nsid(nsid)));
    check_replaced(nsid(1), nsid(2));
    // The same namespace, but another of its interfaces.
    let mut other = netns("web", 7, 13);
    other.interfaces[0].link.ifindex = Ifindex(3);
    check_replaced(netns("web", 7, 13), other);
}

#[test]
fn a_namespace_that_fades_keeps_its_row_and_its_name() {
    let known = |nsid| Netns {
        nsid: Some(Nsid(nsid)),
        ..netns("web", 7, 13)
    };
    let fading = Netns {
        identity: Identity::Nsid(Nsid(4)),
        name: "nsid:4".to_owned(),
        ..known(4)
    };
    let (mut state, key) = attached(known(4));
    state.follow(&topology(vec![fading.clone()]), at(2));
    assert_eq!(only_wanted(&state), key);
    assert_eq!(row(&mut state, key).name(), "web");
    // One that had another id is another.
    check_replaced(known(5), fading);
}

#[test]
fn a_new_name_of_anything_keeps_the_row_and_its_totals() {
    check_kept(netns("web", 7, 13), netns("web", 7, 13));
    check_kept(netns("web", 7, 13), netns("shop", 7, 13));
    let mut renamed = netns("shop", 7, 13);
    renamed.containers = vec![Container {
        image: "busybox:latest".to_owned(),
        init: Some(Init {
            pid: 42,
            started: 1,
        }),
        inode: Some(NetnsInode(7)),
        ..Container::new(
            Runtime::Docker,
            "0123456789abcdef".to_owned(),
            "shop".to_owned(),
        )
    }];
    renamed.kind = Kind::Container;
    renamed.interfaces[0].link.name = "net0".to_owned();
    check_kept(netns("web", 7, 13), renamed);
}

#[test]
fn new_names_of_interface_and_peer_are_shown() {
    let (mut state, key) = attached(netns("web", 7, 13));
    let mut renamed = netns("web", 7, 13);
    renamed.interfaces[0].link.name = "net0".to_owned();
    renamed.interfaces[0].peer = Some(Peer {
        name: "web-host".to_owned(),
        ifindex: Ifindex(13),
        master: Some("br0".to_owned()),
    });
    state.follow(&topology(vec![renamed.clone()]), at(2));
    let row = row(&mut state, key);
    assert_eq!(row.interface(), "net0");
    assert_eq!(Some(&row.labels.peer), renamed.interfaces[0].peer.as_ref());
    assert_eq!(*row.labels.netns, renamed);
}

#[test]
fn a_live_row_that_is_detached_is_gone_and_seen_anew() {
    let (mut state, old) = attached(netns("web", 7, 13));
    let last = totals(tally(9, 900), tally(2, 120));
    state.detached(old, &last, at(2));
    assert_eq!(state.wanted(), []);
    assert_eq!(row(&mut state, old).totals, last);
    assert!(matches!(row(&mut state, old).state, RowState::Gone { .. }));
    // It was only the attachment that went.
    state.follow(&topology(vec![netns("web", 7, 13)]), at(3));
    let new = only_wanted(&state);
    assert_ne!(new, old);
    assert_eq!(row(&mut state, new).totals, Totals::default());
    assert_eq!(row(&mut state, old).totals, last);
}

#[test]
fn what_is_attached_after_it_has_gone_stays_gone() {
    let mut state = watch_all();
    state.follow(&topology(vec![netns("web", 7, 13)]), at(0));
    let key = only_wanted(&state);
    state.follow(&topology(vec![]), at(1));
    state.attached(key, owner(3), TCX, at(2));
    state.failed(key, "no such device");
    let gone = RowState::Gone {
        since: at(1),
        mechanism: None,
    };
    assert_eq!(row(&mut state, key).state, gone);
    assert_eq!(state.wanted(), []);
}

#[test]
fn targets_restrict_what_is_watched() {
    #[track_caller]
    fn check(words: &[&str], expected: &[u32]) {
        let targets = words.iter().map(|word| word.parse().expect("a TARGET"));
        let mut state = State::new(targets.collect::<Vec<_>>().into(), SETTINGS);
        let all = [("web", 7, 13), ("db", 8, 14), ("web", 9, 15)];
        let all = all.map(|(name, inode, ifindex)| netns(name, inode, ifindex));
        state.follow(&topology(all.to_vec()), at(0));
        let wanted: Vec<u32> = state.wanted().iter().map(|key| key.ifindex.0).collect();
        assert_eq!(wanted, expected);
        assert_eq!(state.header().netnses, 3);
        assert_eq!(state.header().watched, expected.len());
    }

    check(&[], &[13, 14, 15]);
    check(&["db"], &[14]);
    check(&["inode:9", "if:veth14"], &[14, 15]);
    // What comes with the name of what was meant is meant, too.
    check(&["web"], &[13, 15]);
    check(&["nobody"], &[]);
}

#[test]
fn a_namespace_that_loses_the_name_it_was_watched_by_is_gone() {
    let mut state = State::new(vec![Target::Name(Pattern::exact("web"))].into(), SETTINGS);
    state.follow(&topology(vec![netns("web", 7, 13)]), at(0));
    let key = only_wanted(&state);
    state.follow(&topology(vec![netns("shop", 7, 13)]), at(1));
    assert_eq!(state.wanted(), []);
    assert!(matches!(row(&mut state, key).state, RowState::Gone { .. }));
}

#[test]
fn an_attachment_that_fails_is_shown_and_counted() {
    let mut state = watch_all();
    let two = topology(vec![netns("web", 7, 13), netns("db", 8, 14)]);
    state.follow(&two, at(0));
    let [web, db] = state.wanted()[..] else {
        panic!("not two are wanted");
    };
    state.attached(web, owner(0), Mechanism::Clsact, at(1));
    state.failed(db, "no such device");
    let failed = RowState::Failed("no such device".to_owned());
    assert_eq!(row(&mut state, db).state, failed);
    let header = state.header();
    assert_eq!((header.watched, header.attached, header.failed), (2, 1, 1));
    assert_eq!(header.mechanism, Some(Mechanism::Clsact));
    // It is tried again, and may succeed.
    assert_eq!(state.wanted(), [web, db]);
    state.attached(db, owner(1), Mechanism::Clsact, at(2));
    let header = state.header();
    assert_eq!((header.watched, header.attached, header.failed), (2, 2, 0));
}

#[test]
fn the_header_counts_no_row_that_is_gone() {
    let (mut state, _) = attached(netns("web", 7, 13));
    let header = state.header();
    assert_eq!((header.watched, header.attached), (1, 1));
    state.follow(&topology(vec![]), at(2));
    let header = state.header();
    assert_eq!((header.watched, header.attached, header.failed), (0, 0, 0));
    assert_eq!(header.mechanism, None);
    assert_eq!(header.netnses, 0);
    assert_eq!(state.snapshot(FlowsAsked::None).rows.len(), 1);
}

#[test]
fn the_header_tells_the_time_and_what_was_odd() {
    let mut state = watch_all();
    let odd = Topology {
        warnings: vec!["odd".to_owned()],
        ..topology(vec![])
    };
    state.follow(&odd, at(0));
    state.tick(at(3), 0, |_| std::iter::empty());
    state.tick(at(5), 0, |_| std::iter::empty());
    let header = state.header();
    assert_eq!((header.elapsed, header.interval), (at(5), at(2)));
    assert_eq!(header.warnings, ["odd"]);
    // What is not odd any more is not said any more.
    state.follow(&topology(vec![]), at(6));
    assert_eq!(state.header().warnings, [""; 0]);
}

#[test]
fn losses_are_in_the_header_the_unreadable_too() {
    let mut state = watch_all();
    state.set_lost(10, 2, 3);
    state.sampled(&[], 3);
    state.sampled(&[], 4);
    // Counts of the kernel side are of its whole life.
    state.set_lost(11, 2, 4);
    let header = state.header();
    assert_eq!((header.lost_samples, header.uncounted), (18, 2));
    assert_eq!(header.flowless, 4);
}

#[test]
fn a_sample_of_a_slot_that_nobody_holds_is_ignored() {
    let (mut state, web) = attached(netns("web", 7, 13));
    state.sampled(&[sample(4, 20, 1250), sample(0, 20, 1250)], 0);
    state.tick(at(2), 0, |_| std::iter::empty());
    assert_eq!(row(&mut state, web).rates, [snapshot::Rate::default(); 2]);
    assert_eq!(state.header().lost_samples, 0);
}

#[test]
fn a_slot_that_changes_hands_brings_nothing_of_the_former_holder() {
    let (mut state, web) = attached(netns("web", 7, 13));
    state.sampled(&[sample(3, 20, 1250)], 0);
    state.follow(&topology(vec![netns("db", 8, 14)]), at(2));
    let db = only_wanted(&state);
    let next = Owner { slot: 3, tenure: 1 };
    state.attached(db, next, TCX, at(2));
    state.sampled(&[sample(3, 30, 500)], 0);
    state.tick(at(3), 0, |_| {
        [counters(tally(1, 500), Tally::default())].into_iter()
    });
    assert_eq!(row(&mut state, db).rate(Direction::Rx).peak_bps, 400_000);
    assert_eq!(row(&mut state, db).total(Direction::Rx), tally(1, 500));
    assert_eq!(row(&mut state, web).rate(Direction::Rx).peak_bps, 0);
    assert_eq!(row(&mut state, web).total(Direction::Rx), Tally::default());
}

#[test]
fn gone_rows_are_bounded_and_the_oldest_leave_first() {
    let mut state = watch_all();
    let some =
        |range: std::ops::Range<u32>| topology(range.map(|n| netns("many", n, 100 + n)).collect());
    let early = 100;
    let all = early + u32::try_from(MAX_GONE).expect("fits");
    state.follow(&some(0..all + 1), at(0));
    state.follow(&some(early..all + 1), at(1));
    assert_eq!(
        state.snapshot(FlowsAsked::None).rows.len(),
        1 + all as usize
    );
    // One stays alive.
    state.follow(&some(all..all + 1), at(2));
    let rows = state.snapshot(FlowsAsked::None).rows;
    assert_eq!(rows.len(), 1 + MAX_GONE);
    assert_eq!(state.header().watched, 1);
    let kept: Vec<u32> = rows.iter().map(|row| row.key.ifindex.0).collect();
    let expected: Vec<u32> = (100 + early..=100 + all).collect();
    assert_eq!(kept, expected);
}

#[test]
fn two_interfaces_of_one_namespace_are_two_rows() {
    let mut two = netns("web", 7, 13);
    let mut second = two.interfaces[0].clone();
    second.link.ifindex = Ifindex(3);
    second.link.name = "eth1".to_owned();
    second.peer = netns("web", 7, 14).interfaces.remove(0).peer;
    two.interfaces.push(second);
    let mut state = watch_all();
    state.follow(&topology(vec![two]), at(0));
    let names: Vec<String> = state
        .snapshot(FlowsAsked::None)
        .rows
        .iter()
        .map(|row| row.interface().to_owned())
        .collect();
    assert_eq!(names, ["eth0", "eth1"]);
}

#[test]
fn a_counter_that_seems_to_shrink_gives_no_rate() {
    let (mut state, key) = attached(netns("web", 7, 13));
    state.tick(at(2), 0, |_| {
        [counters(tally(5, 500), Tally::default())].into_iter()
    });
    state.tick(at(3), 0, |_| {
        [counters(tally(4, 400), Tally::default())].into_iter()
    });
    assert_eq!(row(&mut state, key).rates, [snapshot::Rate::default(); 2]);
}

#[test]
fn an_interval_of_no_length_gives_no_rate_and_exact_totals() {
    let (mut state, key) = attached(netns("web", 7, 13));
    let counted = || [counters(tally(5, 500), Tally::default())].into_iter();
    state.tick(at(1), 0, |_| counted());
    assert_eq!(row(&mut state, key).rates, [snapshot::Rate::default(); 2]);
    assert_eq!(row(&mut state, key).total(Direction::Rx), tally(5, 500));
}

/// A packet that a CPU counts, or (`None`) a tick.
type Step = Option<(usize, usize, usize, u64)>;

const CPUS: usize = 4;

proptest! {
    #[test]
    fn classes_add_up_to_the_totals_however_cpus_interleave(
        steps in proptest::collection::vec(
            proptest::option::weighted(0.9, (0..CPUS, 0..2_usize, 0..10_usize, 14..65_550_u64)),
            0..200,
        )
    ) {
        let (mut state, key) = attached(netns("web", 7, 13));
        let nothing = counters(Tally::default(), Tally::default());
        let cpus = RefCell::new([nothing; CPUS]);
        let mut expected = Totals::default();
        let mut by_rate = [0; 2];
        let mut now = at(1);
        let steps: Vec<Step> = steps.into_iter().chain([None]).collect();
        for step in steps {
            if let Some((cpu, direction, class, bytes)) = step {
                for tally in [
                    &mut cpus.borrow_mut()[cpu].classes[direction][class],
                    &mut expected.classes[direction][class],
                ] {
                    tally.packets += 1;
                    tally.bytes += bytes;
                }
                continue;
            }
            now += at(1);
            state.tick(now, 0, |_| cpus.borrow().into_iter());
            let row = row(&mut state, key);
            prop_assert_eq!(row.totals, expected);
            for direction in [Direction::Rx, Direction::Tx] {
                let classes = &row.totals.classes[direction as usize];
                let total = row.total(direction);
                let packets: u64 = classes.iter().map(|class| class.packets).sum();
                let bytes: u64 = classes.iter().map(|class| class.bytes).sum();
                prop_assert_eq!(total, tally(packets, bytes));
                // Each interval is a second: the rates of all add up to the total.
                by_rate[direction as usize] += row.rate(direction).bps;
                prop_assert_eq!(by_rate[direction as usize], total.bytes * 8);
            }
        }
    }
}

#[test]
fn a_name_counts_before_the_start_of_an_id_while_following_too() {
    let mut state = State::new(vec![Target::Name(Pattern::exact("beef"))].into(), SETTINGS);
    let container = Container {
        image: "busybox".to_owned(),
        init: None,
        inode: None,
        ..Container::new(
            Runtime::Docker,
            "beef0123456789".to_owned(),
            "web".to_owned(),
        )
    };
    let mut web = netns("web", 8, 14);
    web.containers = vec![container];
    web.kind = Kind::Container;
    let topology = topology(vec![netns("beef", 7, 13), web]);
    state.follow(&topology, Duration::ZERO);
    assert_eq!(state.wanted().len(), 1);
}
