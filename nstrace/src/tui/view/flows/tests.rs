//! Pages of flows, as they are drawn.

use nstrace_ebpf::wire::{Class, FlowKind};

use ratatui::style::Modifier;

use super::*;
use crate::{
    services::Services,
    state::{Snapshot, flow::FlowSnapshot},
    tui::{
        model::{FlowSort, Page},
        sample::{carrying, flow, portless},
        view::tests::{SIZES, check, drawn, empty, header, key_of, lines, row, web},
    },
};

const fn counts(packets: u64, bytes: u64) -> Counts {
    Counts {
        packets,
        bytes,
        wire_packets: packets * 2,
        wire_bytes: bytes + packets * 54,
    }
}

/// One flow of each kind.
fn kinds() -> Vec<FlowSnapshot> {
    let own = "198.18.0.14";
    let own6 = "2001:db8::14";
    let mut opening = flow(6, (own, 50_124), ("203.0.113.250", 5432));
    opening.state = FlowState::Opening;
    let mut closed = flow(6, (own, 443), ("198.51.100.23", 50_901));
    closed.state = FlowState::Closed;
    closed.age = std::time::Duration::from_secs(40_000);
    let mut idle = flow(17, (own6, 50_125), ("2001:db8::53", 53));
    idle.state = FlowState::Idle;
    vec![
        carrying(
            flow(6, (own, 443), ("198.51.100.117", 61_234)),
            Direction::Tx,
            (9_870_000_000, 45_600),
            75,
        ),
        carrying(
            flow(
                6,
                (own6, 443),
                ("2001:db8:1234:5678:9abc:def0:1122:3344", 50_123),
            ),
            Direction::Rx,
            (213_312_000, 9_999),
            4000,
        ),
        carrying(opening, Direction::Tx, (592, 1), 1),
        closed,
        carrying(idle, Direction::Tx, (760, 1), 12),
        portless(1, FlowKind::Icmp, [77, 0x0800], Some((own, "192.0.2.1"))),
        portless(
            58,
            FlowKind::Icmp,
            [65_535, 0x8000],
            Some((own6, "fe80::1")),
        ),
        portless(
            17,
            FlowKind::LaterFragment,
            [0, 0],
            Some((own, "198.51.100.9")),
        ),
        portless(47, FlowKind::Portless, [0, 0], Some((own, "198.51.100.9"))),
        portless(0, FlowKind::Ethertype, [0, 0x0806], None),
        portless(0, FlowKind::Unparsed, [0, Class::ManyTags as u16], None),
    ]
}

fn of(key: Option<IfaceKey>, rows: Vec<RowSnapshot>) -> Model {
    let mut model = empty();
    model.page = Page::Flows(key);
    model.snapshot = Snapshot {
        header: header(),
        rows,
        flow_events: Vec::new(),
    };
    model.snapshot.header.lost_samples = 0;
    model.snapshot.header.failed = 0;
    model.snapshot.header.warnings.clear();
    model
}

fn busy() -> RowSnapshot {
    let mut row = web();
    row.flows = kinds();
    row.other = Rest {
        flows: 12,
        counts: [counts(1_234, 98_765), counts(56_789, 4_321_000)],
    };
    row
}

fn of_one() -> Model {
    of(Some(key_of(14)), vec![busy(), row("idle", "eth0", 15)])
}

fn totals() -> Model {
    let mut model = of_one();
    model.columns = Columns::Totals;
    model.flow_table.sort = FlowSort::Remote;
    model
}

fn without_flows() -> Model {
    of(Some(key_of(15)), vec![busy(), row("idle", "eth0", 15)])
}

fn paused_and_filtered() -> Model {
    let mut model = of_one();
    model.is_paused = true;
    model.flow_table.filter = "tcp".to_owned();
    model.flow_table.sort = FlowSort::Age;
    model.flow_table.is_reversed = true;
    model
}

fn nothing_matches() -> Model {
    let mut model = of_one();
    model.flow_table.filter = "nobody\x1b[31m".to_owned();
    model.is_typing = true;
    model
}

fn many() -> Model {
    let mut row = row("pool", "eth0", 14);
    row.flows = (1..=2000)
        .map(|port| {
            let flow = flow(6, ("198.18.0.14", port), ("198.51.100.1", 80));
            carrying(flow, Direction::Rx, (u64::from(port) * 1000, 1), 1)
        })
        .collect();
    row.other.flows = 1_500_000;
    row.other.counts = [counts(3_000_000, 180_000_000); 2];
    let mut model = of(Some(key_of(14)), vec![row]);
    let flows = model.visible_flows(Some(key_of(14)));
    model.flow_table.selected = Some(flows[60].id());
    model
}

/// All namespaces, one of them with a name that somebody means harm with, and services' names too.
fn of_all() -> Model {
    let mut hostile = row(
        "evil\x1b[2J\n-of-a-very-long-name-that-does-not-end",
        "a\x1b]0;x\x07b",
        19,
    );
    hostile.flows = vec![carrying(
        flow(6, ("198.18.0.19", 7), ("198.51.100.4", 9)),
        Direction::Rx,
        (1_000_000, 100),
        3,
    )];
    let mut gone = row("batch-7", "eth0", 16);
    gone.state = RowState::Gone {
        since: std::time::Duration::from_mins(1),
        mechanism: None,
    };
    gone.flows = vec![flow(17, ("198.18.0.16", 50_000), ("198.51.100.53", 53))];
    gone.other.counts[0] = counts(2, 120);
    let mut model = of(
        None,
        vec![busy(), hostile, gone, row("網路資料庫", "eth0", 20)],
    );
    model.services = Services::parse(
        "ech\x1b[7mo 7/tcp\n\u{202e}dcab 9/tcp\nhttps 443/tcp\na-service-with-a-long-name 53/udp\n",
    );
    model
}

fn failed() -> Model {
    let mut row = row("payments", "eth0", 14);
    row.state = RowState::Failed("attach nstrace_ingress to veth11: busy".to_owned());
    of(Some(key_of(14)), vec![row])
}

/// Every page of flows, for the tests that hold of every screen.
pub(in crate::tui::view) fn all() -> Vec<Model> {
    vec![
        of_one(),
        totals(),
        without_flows(),
        paused_and_filtered(),
        nothing_matches(),
        many(),
        of_all(),
        failed(),
    ]
}

#[test]
fn flows_of_one_are_of_every_kind() {
    check("flows", &of_one());
}

#[test]
fn totals_of_flows_take_the_place_of_their_rates() {
    check("flows_totals", &totals());
}

#[test]
fn a_page_without_flows_says_so() {
    check("flows_none", &without_flows());
}

#[test]
fn a_paused_and_filtered_page_of_flows_says_so() {
    check("flows_paused_and_filtered", &paused_and_filtered());
}

#[test]
fn a_filter_that_no_flow_passes_is_said() {
    check("flows_nothing_matches", &nothing_matches());
}

#[test]
fn many_flows_are_scrolled_to_the_chosen_one() {
    check("flows_many", &many());
}

#[test]
fn flows_of_all_have_the_names_of_their_namespaces() {
    check("flows_of_all", &of_all());
}

#[test]
fn what_is_not_attached_is_said_above_its_flows() {
    let screen = lines(&failed(), (80, 24));
    assert!(
        screen[2].starts_with("failed: payments  named  eth0  attach"),
        "{}",
        screen[2]
    );
}

#[test]
fn the_usual_is_shown_whole_at_eighty_cells() {
    let screen = lines(&of_one(), (80, 24)).join("\n");
    for said in [
        "tcp    198.51.100.117    61234       443 https",
        "icmp   192.0.2.1         echo 8/0    id 77",
        "fragments",
        "estab",
        "opening",
        "2001:db8…122:3344",
        "9.87Gb",
        "and 12 more flows:  RX 98.7kB in 1.23k packets  TX 4.32MB in 56.7k packets",
    ] {
        assert!(screen.contains(said), "{said} in\n{screen}");
    }
}

/// The last line of the page of a namespace without a filter.
#[track_caller]
fn check_others(rest: Rest, width: usize, expected: &str) {
    let mut row = row("web", "eth0", 14);
    row.other = rest;
    let model = of(Some(key_of(14)), vec![row]);
    let line = others(&model, Some(key_of(14)), 0, width);
    assert_eq!(line.to_string(), expected);
}

#[test]
fn the_last_line_says_what_is_in_no_row() {
    let rest = |flows| Rest {
        flows,
        counts: [counts(3, 180), counts(0, 0)],
    };
    check_others(Rest::default(), 80, "no others");
    check_others(rest(0), 40, "in no flow yet:  RX 180B  TX 0B");
    check_others(rest(1), 40, "and 1 more flow:  RX 180B  TX 0B");
    let long = "and 4.00k more flows:  RX 180B in 3 packets (6 on a wire)  \
                TX 0B in 0 packets (0 on a wire)";
    check_others(rest(4000), long.len(), long);
    let packets = "and 4.00k more flows:  RX 180B in 3 packets  TX 0B in 0 packets";
    check_others(rest(4000), long.len() - 1, packets);
    let short = "and 4.00k more flows:  RX 180B  TX 0B";
    check_others(rest(4000), packets.len() - 1, short);
}

#[test]
fn columns_never_take_more_than_the_width() {
    for is_of_all in [false, true] {
        for model in [of_one(), totals()] {
            for width in 30..300 {
                let columns = columns::columns(&model, is_of_all, width);
                let cells: u16 = columns.iter().map(|column| column.width + 1).sum();
                assert!(cells <= width + 1, "{cells} in {width}");
                // From here on an IPv4 address has room.
                let remote = columns.iter().find(|column| column.title == "REMOTE");
                let remote = remote.expect("it is always there").width;
                assert!(remote >= 15 || width < 40, "{remote} in {width}");
            }
        }
    }
}

#[test]
fn the_chosen_flow_is_shown_reversed() {
    let screen = drawn(&many(), Theme::new(false), (80, 24));
    let buffer = screen.buffer();
    let is_reversed = |y| buffer[(40, y)].modifier.contains(Modifier::REVERSED);
    let reversed: Vec<u16> = (0..24).filter(|y| is_reversed(*y)).collect();
    // The names of the columns, and the sixty-first flow at the lower end.
    assert_eq!(reversed, [4, 21]);
    let line: String = (0..80).map(|x| buffer[(x, 21)].symbol()).collect();
    assert!(line.contains(" 1940 "), "{line}");
}

#[test]
fn a_page_of_flows_has_room_for_rows_at_every_size() {
    for size in SIZES {
        let screen = lines(&of_one(), size);
        let flows = screen.iter().filter(|line| {
            ["tcp ", "udp ", "icmp", "gre ", "arp ", "many"]
                .iter()
                .any(|protocol| line.starts_with(protocol))
        });
        assert!(flows.count() >= 3, "{screen:#?}");
    }
}

#[test]
fn the_chosen_row_is_seen_and_the_rest_moves_no_more_than_it_must() {
    assert_eq!(first_shown(40, None, 100, 10), 40);
    assert_eq!(first_shown(40, None, 45, 10), 35);
    assert_eq!(first_shown(0, Some(9), 100, 10), 0);
    assert_eq!(first_shown(0, Some(10), 100, 10), 1);
    assert_eq!(first_shown(40, Some(45), 100, 10), 40);
    assert_eq!(first_shown(40, Some(3), 100, 10), 3);
    assert_eq!(first_shown(95, Some(99), 100, 10), 90);
    // There are fewer rows now, or no room.
    assert_eq!(first_shown(40, Some(4), 5, 10), 0);
    assert_eq!(first_shown(4, Some(4), 5, 0), 5);
}
