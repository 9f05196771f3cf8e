//! Flow pages: how one comes there and back, and which flows are shown in which order.

use std::time::Duration;

use crossterm::event::KeyCode;
use nstrace_ebpf::wire::{Direction, FlowKind};

use super::*;
use crate::{
    state::flow::FlowState,
    tui::{
        model::{
            Columns, Effect, Message, Model, Options, Page,
            tests::{key_of, options, press, row, snapshot, type_keys},
        },
        sample::{carrying, flow, portless},
    },
};

const SERVICES: &str = "https 443/tcp\ndomain 53/udp\n";

fn web() -> RowSnapshot {
    RowSnapshot {
        flows: vec![
            carrying(
                flow(6, ("192.0.2.10", 443), ("198.51.100.7", 51_000)),
                Direction::Tx,
                (9_000, 9),
                1,
            ),
            carrying(
                flow(17, ("192.0.2.10", 40_000), ("192.0.2.53", 53)),
                Direction::Rx,
                (5_000, 50),
                100,
            ),
            portless(
                1,
                FlowKind::Icmp,
                [77, 0x0800],
                Some(("192.0.2.10", "192.0.2.1")),
            ),
            portless(0, FlowKind::Ethertype, [0, 0x0806], None),
        ],
        ..row("web", 1, 1000)
    }
}

fn db() -> RowSnapshot {
    let mut closed = flow(6, ("2001:db8::5", 5432), ("2001:db8::10", 50_000));
    closed.state = FlowState::Closed;
    closed.age = Duration::from_mins(15);
    RowSnapshot {
        flows: vec![carrying(closed, Direction::Rx, (7_000, 7), 3)],
        ..row("db", 2, 500)
    }
}

/// Two namespaces on the list.
fn two() -> Model {
    let mut model = Model::new(Options {
        services: Services::parse(SERVICES),
        ..options()
    });
    take(&mut model, vec![web(), db()], None);
    model
}

#[track_caller]
fn take(model: &mut Model, rows: Vec<RowSnapshot>, expected: impl Into<Option<Effect>>) {
    let effect = model.update(Message::Snapshot(snapshot(rows)));
    assert_eq!(effect, expected.into());
}

const fn of_one(ifindex: u32) -> Effect {
    Effect::Ask(FlowsAsked::OfOne(key_of(ifindex), FLOWS_OF_ONE))
}

const OF_ALL: Effect = Effect::Ask(FlowsAsked::OfAll(1024));
const NO_MORE: Effect = Effect::Ask(FlowsAsked::None);
const WEB: Page = Page::Flows(Some(key_of(1)));

/// The page of one namespace, with its flows.
fn of_web() -> Model {
    let mut model = two();
    assert_eq!(press(&mut model, KeyCode::Enter), Some(of_one(1)));
    take(&mut model, vec![web(), db()], None);
    model
}

/// The page of all.
fn of_all() -> Model {
    let mut model = two();
    assert_eq!(press(&mut model, KeyCode::Char('f')), Some(OF_ALL));
    take(&mut model, vec![web(), db()], None);
    model
}

/// What is shown, each flow as one letter: Tcp, Udp, Icmp, Arp, Closed (that of the other one).
fn shown(model: &Model) -> String {
    let Page::Flows(of) = model.page else {
        panic!("{:?} is no page of flows", model.page);
    };
    let letter = |flow: &FlowRow<'_>| match flow.flow.key.protocol {
        _ if flow.row.key == key_of(2) => 'C',
        6 => 'T',
        17 => 'U',
        1 => 'I',
        _ => 'A',
    };
    model.visible_flows(of).iter().map(letter).collect()
}

#[test]
fn enter_leads_to_the_flows_of_a_row_then_to_its_details_and_back() {
    let mut model = two();
    assert_eq!(press(&mut model, KeyCode::Enter), Some(of_one(1)));
    assert_eq!((model.page, model.selected), (WEB, Some(key_of(1))));
    // Its flows stay asked for while its details are shown.
    assert_eq!(press(&mut model, KeyCode::Enter), None);
    assert_eq!(model.page, Page::Details(key_of(1)));
    assert_eq!(press(&mut model, KeyCode::Enter), None);
    assert_eq!(model.page, Page::Details(key_of(1)));
    assert_eq!(press(&mut model, KeyCode::Esc), None);
    assert_eq!(model.page, WEB);
    assert_eq!(press(&mut model, KeyCode::Esc), Some(NO_MORE));
    assert_eq!(model.page, Page::List);
}

#[test]
fn details_lead_back_to_where_they_were_asked_for() {
    let mut model = two();
    type_keys(&mut model, "d");
    assert_eq!(model.page, Page::Details(key_of(1)));
    assert_eq!(press(&mut model, KeyCode::Esc), None);
    assert_eq!(model.page, Page::List);

    let mut model = of_all();
    type_keys(&mut model, "d");
    assert_eq!(model.page, Page::Details(key_of(1)));
    assert_eq!(press(&mut model, KeyCode::Esc), None);
    assert_eq!(model.page, Page::Flows(None));
}

#[test]
fn from_all_flows_enter_leads_to_those_of_the_chosen_ones_namespace() {
    let mut model = of_all();
    assert_eq!(shown(&model), "TCUIA");
    press(&mut model, KeyCode::Down);
    press(&mut model, KeyCode::Down);
    assert_eq!(press(&mut model, KeyCode::Enter), Some(of_one(2)));
    assert_eq!(model.page, Page::Flows(Some(key_of(2))));
    // It stays chosen there, and on the way back.
    let flows = model.visible_flows(Some(key_of(2)));
    assert_eq!(model.selected_flow_at(&flows), Some(0));
    assert_eq!(press(&mut model, KeyCode::Esc), Some(OF_ALL));
    assert_eq!(model.page, Page::Flows(None));
    let flows = model.visible_flows(None);
    assert_eq!(model.selected_flow_at(&flows), Some(1));
}

#[test]
fn f_leads_to_all_flows_from_everywhere_and_back_from_there() {
    for keys in ["", "d", "?", "?d"] {
        let mut model = two();
        type_keys(&mut model, keys);
        let asked_from = if keys == "d" { model.page } else { Page::List };
        assert_eq!(
            press(&mut model, KeyCode::Char('f')),
            Some(OF_ALL),
            "{keys}"
        );
        assert_eq!(model.page, Page::Flows(None));
        assert_eq!(press(&mut model, KeyCode::Char('f')), None);
        assert_eq!(press(&mut model, KeyCode::Esc), Some(NO_MORE));
        assert_eq!(model.page, asked_from);
    }
}

#[test]
fn the_way_back_never_leads_twice_through_a_page() {
    let mut model = of_web();
    for _ in 0..20 {
        press(&mut model, KeyCode::Char('f'));
        press(&mut model, KeyCode::Enter);
        press(&mut model, KeyCode::Char('d'));
    }
    let mut seen = vec![model.page];
    while model.page != Page::List {
        press(&mut model, KeyCode::Esc);
        assert!(!seen.contains(&model.page), "{seen:?}, {:?}", model.page);
        seen.push(model.page);
    }
}

#[test]
fn help_leads_back_to_flows_and_they_stay_asked_for() {
    let mut model = of_web();
    for back in [KeyCode::Char('?'), KeyCode::Esc] {
        type_keys(&mut model, "?");
        assert_eq!(model.page, Page::Help);
        assert_eq!(press(&mut model, back), None);
        assert_eq!(model.page, WEB);
    }
}

#[test]
fn a_page_of_flows_leaves_with_its_row() {
    let mut model = of_web();
    take(&mut model, vec![db()], Some(NO_MORE));
    assert_eq!(model.page, Page::List);
    // From behind the help and the details, too.
    let mut model = of_web();
    type_keys(&mut model, "d?");
    take(&mut model, vec![db()], Some(NO_MORE));
    assert_eq!(model.page, Page::Help);
    assert_eq!(press(&mut model, KeyCode::Esc), None);
    assert_eq!(model.page, Page::List);
    // And to the flows of all, where it was asked for there: they are wanted again.
    let mut model = of_all();
    assert_eq!(press(&mut model, KeyCode::Enter), Some(of_one(1)));
    take(&mut model, vec![db()], Some(OF_ALL));
    assert_eq!(model.page, Page::Flows(None));
}

#[test]
fn many_rows_have_a_smaller_share_each_which_changes_seldom() {
    let share = |rows| match asked(None, rows) {
        FlowsAsked::OfAll(share) => share,
        other => panic!("{other:?} is not of all"),
    };
    assert_eq!([0, 1, 5].map(share), [1024; 3]);
    assert_eq!([40, 60, 78].map(share), [128; 3]);
    assert_eq!([1000, 65_536].map(share), [16; 2]);
    for rows in 1..3000 {
        assert!(share(rows) * rows <= FLOWS_OF_ALL.max(MIN_SHARE * rows));
    }
}

#[test]
fn while_paused_a_page_gets_its_flows_once() {
    let mut model = two();
    type_keys(&mut model, " ");
    assert_eq!(press(&mut model, KeyCode::Enter), Some(of_one(1)));
    let mut first = web();
    first.flows.truncate(2);
    take(&mut model, vec![first], None);
    assert_eq!(shown(&model), "TU");
    // That is what is shown now, until the pause ends.
    take(&mut model, vec![web(), db()], None);
    assert_eq!(shown(&model), "TU");
    type_keys(&mut model, "?");
    press(&mut model, KeyCode::Esc);
    take(&mut model, vec![web(), db()], None);
    assert_eq!(shown(&model), "TU");
    // Also on the way back and here again.
    assert_eq!(press(&mut model, KeyCode::Esc), Some(NO_MORE));
    take(&mut model, vec![web(), db()], None);
    assert_eq!(press(&mut model, KeyCode::Enter), Some(of_one(1)));
    take(&mut model, vec![web(), db()], None);
    assert_eq!(shown(&model), "TU");
    type_keys(&mut model, " ");
    assert_eq!((shown(&model).as_str(), model.is_paused), ("TUIA", false));
}

#[test]
fn the_filter_of_flows_is_their_own_and_starts_empty() {
    let mut model = two();
    type_keys(&mut model, "/web");
    press(&mut model, KeyCode::Enter);
    press(&mut model, KeyCode::Enter);
    assert_eq!((model.page, model.shown_filter()), (WEB, ""));
    type_keys(&mut model, "/udp");
    assert!(model.is_typing);
    assert_eq!((model.page, shown(&model).as_str()), (WEB, "U"));
    press(&mut model, KeyCode::Enter);
    assert_eq!((model.shown_filter(), &*model.filter), ("udp", "web"));
    // From the details it is typed over the flows that they were asked for from.
    type_keys(&mut model, "d/x");
    assert_eq!((model.page, model.shown_filter()), (WEB, "udpx"));
    press(&mut model, KeyCode::Esc);
    assert_eq!(model.shown_filter(), "");
    type_keys(&mut model, "/tcp");
    press(&mut model, KeyCode::Enter);
    press(&mut model, KeyCode::Esc);
    assert_eq!((model.page, model.shown_filter()), (Page::List, "web"));
    press(&mut model, KeyCode::Enter);
    assert_eq!(model.shown_filter(), "");
}

/// That of all flows these contain `text`.
#[track_caller]
fn check_filter(text: &str, expected: &str) {
    let mut model = of_all();
    model.flow_table.filter = text.to_owned();
    assert_eq!(shown(&model), expected, "{text}");
}

#[test]
fn a_filter_finds_everything_that_is_shown_of_a_flow() {
    check_filter("", "TCUIA");
    check_filter("198.51.100.7", "T");
    check_filter("2001:DB8::5", "C");
    check_filter("192.0.2.1", "TUI");
    check_filter("51000", "T");
    check_filter("443", "T");
    check_filter("HTTPS", "T");
    check_filter("domain", "U");
    check_filter("icmp", "I");
    check_filter("echo 8/0", "I");
    check_filter("id 77", "I");
    check_filter("arp", "A");
    check_filter("tcp", "TC");
    check_filter("closed", "C");
    check_filter("db", "C");
    check_filter("web", "TUIA");
    check_filter("\n", "");
    check_filter("nobody", "");
}

/// That in this order, the flows stand so.
#[track_caller]
fn check_sort(sort: FlowSort, columns: Columns, expected: &str) {
    let mut model = of_all();
    model.flow_table.sort = sort;
    model.columns = columns;
    assert_eq!(shown(&model), expected, "{sort:?}");
    type_keys(&mut model, "S");
    let reversed: String = expected.chars().rev().collect();
    assert_eq!(shown(&model), reversed, "{sort:?}, reversed");
}

#[test]
fn flows_have_their_own_orders() {
    // Ties stand by bytes, then by name and key.
    check_sort(FlowSort::Rate, Columns::Rates, "TCUIA");
    check_sort(FlowSort::Rx, Columns::Rates, "CUTIA");
    check_sort(FlowSort::Tx, Columns::Rates, "TUCIA");
    check_sort(FlowSort::Packets, Columns::Rates, "UTCIA");
    check_sort(FlowSort::Total, Columns::Rates, "UCTIA");
    check_sort(FlowSort::Age, Columns::Rates, "CUTIA");
    check_sort(FlowSort::Remote, Columns::Rates, "IUTCA");
    // What is shown decides.
    check_sort(FlowSort::Rx, Columns::Totals, "UCTIA");
    check_sort(FlowSort::Packets, Columns::Totals, "UCTIA");
}

#[test]
fn sorting_flows_steps_through_every_order_and_leaves_that_of_rows() {
    let mut model = of_web();
    let mut seen = Vec::new();
    for _ in FlowSort::ALL {
        seen.push(model.flow_table.sort);
        type_keys(&mut model, "s");
    }
    assert_eq!(seen, FlowSort::ALL);
    assert_eq!(model.flow_table.sort, FlowSort::Rate);
    type_keys(&mut model, "hS");
    assert_eq!(model.flow_table.sort, FlowSort::Remote);
    assert!(model.flow_table.is_reversed);
    assert_eq!(model.sort, options().sort);
    assert!(!model.is_reversed);
}

#[test]
fn the_chosen_flow_is_kept_by_its_key() {
    let mut model = of_web();
    press(&mut model, KeyCode::Down);
    press(&mut model, KeyCode::Down);
    let chosen = |model: &Model| {
        let flows = model.visible_flows(Some(key_of(1)));
        let at = model.selected_flow_at(&flows)?;
        Some(flows[at].flow.key.protocol)
    };
    assert_eq!(chosen(&model), Some(17));
    let mut next = web();
    next.flows[1].bps = [20_000, 0];
    take(&mut model, vec![next], None);
    assert_eq!(shown(&model), "UTIA");
    assert_eq!(chosen(&model), Some(17));
    // It ends: the next key goes on from where it was chosen.
    let mut next = web();
    next.flows.remove(1);
    take(&mut model, vec![next], None);
    assert_eq!((shown(&model).as_str(), chosen(&model)), ("TIA", None));
    press(&mut model, KeyCode::Up);
    assert_eq!(chosen(&model), Some(6));
    press(&mut model, KeyCode::End);
    assert_eq!(chosen(&model), Some(0));
    // The same flow of another interface is another flow.
    let mut other = web();
    other.key = key_of(9);
    take(&mut model, vec![other, web()], None);
    press(&mut model, KeyCode::Char('f'));
    let flows = model.visible_flows(None);
    let at = model.selected_flow_at(&flows).expect("it is chosen");
    assert_eq!(flows[at].row.key, key_of(1));
}

#[test]
fn ports_have_the_names_of_their_protocol() {
    let services = Services::parse(SERVICES);
    let (web, db) = (web(), db());
    let texts = |row: &RowSnapshot, at: usize| {
        let flow = FlowRow {
            row,
            flow: &row.flows[at],
        };
        [flow.local_port(&services), flow.remote_port(&services)]
    };
    assert_eq!(texts(&web, 0), ["443 https", "51000"]);
    assert_eq!(texts(&web, 1), ["40000", "53 domain"]);
    assert_eq!(texts(&web, 2), ["id 77", "echo 8/0"]);
    assert_eq!(texts(&web, 3), ["", ""]);
    assert_eq!(texts(&db, 0), ["5432", "50000"]);
}

/// What stands in place of ports: local, remote.
#[track_caller]
fn check_portless(protocol: u8, kind: FlowKind, ports: [u16; 2], expected: [&str; 2]) {
    let flow = portless(protocol, kind, ports, Some(("192.0.2.1", "192.0.2.2")));
    let row = row("web", 1, 0);
    let row = FlowRow {
        row: &row,
        flow: &flow,
    };
    let services = Services::default();
    assert_eq!(
        [row.local_port(&services), row.remote_port(&services)],
        expected
    );
}

#[test]
fn what_has_no_ports_says_why() {
    check_portless(1, FlowKind::Icmp, [0, 0x0303], ["", "unreach 3/3"]);
    check_portless(1, FlowKind::Icmp, [7, 0x0d00], ["id 7", "13/0"]);
    check_portless(58, FlowKind::Icmp, [9, 0x8000], ["id 9", "echo 128/0"]);
    check_portless(58, FlowKind::Icmp, [0, 0x8700], ["", "ns 135/0"]);
    check_portless(17, FlowKind::LaterFragment, [0, 0], ["", "fragments"]);
    check_portless(6, FlowKind::Truncated, [0, 0], ["", "truncated"]);
    check_portless(47, FlowKind::Portless, [0, 0], ["", ""]);
}
