//! Keys and snapshots in, what is shown out.

use std::sync::Arc;

use super::*;
use crate::{
    state::{
        Labels, Mechanism, RowState, Totals,
        flow::Rest,
        snapshot::{Header, Rate},
    },
    topology::model::{Identity, Iface, Ifindex, Kind, Link, Netns, NetnsInode, Peer, Watch},
    tui::keymap::BINDINGS,
};

pub(super) const fn key_of(ifindex: u32) -> IfaceKey {
    IfaceKey {
        ifindex: Ifindex(ifindex),
        generation: 1,
    }
}

/// A row that carries `bps`, all of it into the namespace.
pub(super) fn row(name: &str, ifindex: u32, bps: u64) -> RowSnapshot {
    let peer = Peer {
        name: format!("veth{ifindex}"),
        ifindex: Ifindex(ifindex),
        master: None,
    };
    let iface = Iface {
        link: Link::sample(2, "eth0", "veth"),
        peer: Some(peer.clone()),
        watch: Watch::HostVeth,
    };
    let netns = Netns {
        identity: Identity::Inode(NetnsInode(ifindex), None),
        nsid: None,
        name: name.to_owned(),
        kind: Kind::Named,
        paths: Vec::new(),
        pids: Vec::new(),
        containers: Vec::new(),
        interfaces: vec![iface.clone()],
    };
    let rate = Rate {
        pps: 1,
        wire_pps: 1,
        bps,
        wire_bps: bps,
        peak_bps: bps,
    };
    RowSnapshot {
        key: key_of(ifindex),
        labels: Arc::new(Labels {
            netns: Arc::new(netns),
            iface,
            peer,
        }),
        state: RowState::Attached(0, Mechanism::Tcx),
        mechanism: Some(Mechanism::Tcx),
        gone_for: None,
        generation: 1,
        totals: Totals::default(),
        rates: [rate, Rate::default()],
        history: Vec::new(),
        flows: Vec::new(),
        other: Rest::default(),
    }
}

pub(super) fn snapshot(rows: Vec<RowSnapshot>) -> Snapshot {
    Snapshot {
        header: Header::default(),
        rows,
        flow_events: Vec::new(),
    }
}

pub(super) fn options() -> Options {
    Options {
        host: "node-7".to_owned(),
        interval: Duration::from_secs(1),
        sort: SortKey::Rate,
        filter: String::new(),
        units: Units::Bits,
        color: Color::Never,
        services: Services::default(),
        sizes: String::new(),
    }
}

/// Five rows: a is the fastest, e the slowest.
fn five() -> Model {
    let names = ["e", "d", "c", "b", "a"];
    let rows = names
        .into_iter()
        .zip(1..)
        .map(|(name, ifindex)| row(name, ifindex, u64::from(ifindex) * 1000));
    let mut model = Model::new(options());
    show(&mut model, rows.collect());
    model
}

#[track_caller]
fn show(model: &mut Model, rows: Vec<RowSnapshot>) {
    assert_eq!(model.update(Message::Snapshot(snapshot(rows))), None);
}

pub(super) fn press(model: &mut Model, code: KeyCode) -> Option<Effect> {
    model.update(Message::Key(KeyEvent::new(code, KeyModifiers::NONE)))
}

fn press_control(model: &mut Model, c: char) -> Option<Effect> {
    let key = KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL);
    model.update(Message::Key(key))
}

/// Presses the keys of `text`, none of which has an effect outside of the model.
#[track_caller]
pub(super) fn type_keys(model: &mut Model, text: &str) {
    for c in text.chars() {
        assert_eq!(press(model, KeyCode::Char(c)), None, "{c:?}");
    }
}

fn names(model: &Model) -> String {
    model.visible().iter().map(|row| row.name()).collect()
}

fn selected(model: &Model) -> Option<&str> {
    let rows = model.visible();
    let at = model.selected_at(&rows)?;
    Some(rows[at].name())
}

#[test]
fn a_new_model_shows_what_its_options_say() {
    let model = Model::new(Options {
        sort: SortKey::Tx,
        filter: "web".to_owned(),
        units: Units::Bytes,
        ..options()
    });
    assert_eq!((&*model.host, &*model.filter), ("node-7", "web"));
    assert_eq!((model.sort, model.units), (SortKey::Tx, Units::Bytes));
    assert_eq!((model.page, model.columns), (Page::List, Columns::Rates));
    assert_eq!(model.interval, Duration::from_secs(1));
    assert_eq!(model.selected, None);
    assert_eq!(model.visible(), [] as [&RowSnapshot; 0]);
    assert!(!(model.is_paused || model.is_typing || model.is_reversed));
}

#[test]
fn every_key_of_the_keymap_does_something() {
    for binding in &BINDINGS {
        for key in binding.keys {
            let mut model = five();
            // From here each action has somewhere to go.
            model.selected = Some(key_of(3));
            model.filter = "e".to_owned();
            model.set_page(2, 0);
            let before = format!("{model:?}");
            let effect = press(&mut model, *key);
            let changed = before != format!("{model:?}");
            assert!(changed || effect.is_some(), "{:?}", binding.action);
        }
    }
}

#[test]
fn a_key_that_means_nothing_does_nothing() {
    let mut model = five();
    let before = format!("{model:?}");
    for code in [KeyCode::Char('x'), KeyCode::F(1), KeyCode::Tab] {
        assert_eq!(press(&mut model, code), None);
    }
    for c in ['q', 's', 'u', ' '] {
        assert_eq!(press_control(&mut model, c), None);
    }
    assert_eq!(format!("{model:?}"), before);
}

#[test]
fn q_and_control_c_quit() {
    assert_eq!(press(&mut five(), KeyCode::Char('q')), Some(Effect::Quit));
    assert_eq!(press_control(&mut five(), 'c'), Some(Effect::Quit));
}

#[test]
fn while_typing_control_c_quits_and_q_is_a_letter() {
    let mut model = five();
    type_keys(&mut model, "/q");
    assert_eq!(model.filter, "q");
    assert_eq!(press_control(&mut model, 'c'), Some(Effect::Quit));
}

#[test]
fn a_filter_is_typed_and_kept_by_enter() {
    let mut model = five();
    show(
        &mut model,
        vec![row("web-1", 1, 1), row("WEB-2", 2, 2), row("db", 3, 3)],
    );
    type_keys(&mut model, "/");
    assert!(model.is_typing);
    type_keys(&mut model, "webs ?");
    assert_eq!(model.filter, "webs ?");
    for _ in 0..3 {
        assert_eq!(press(&mut model, KeyCode::Backspace), None);
    }
    // It filters while it is typed, in whatever case.
    assert_eq!(names(&model), "WEB-2web-1");
    assert_eq!(press(&mut model, KeyCode::Enter), None);
    assert!(!model.is_typing);
    assert_eq!(model.filter, "web");
    assert_eq!(model.page, Page::List);
}

#[test]
fn keys_without_a_character_are_not_typed() {
    let mut model = five();
    type_keys(&mut model, "/a");
    for code in [KeyCode::Up, KeyCode::Tab, KeyCode::F(5), KeyCode::Delete] {
        assert_eq!(press(&mut model, code), None);
    }
    assert_eq!(press_control(&mut model, 'x'), None);
    assert_eq!(model.filter, "a");
    assert!(model.is_typing);
    assert_eq!(model.selected, None);
}

#[test]
fn a_filter_is_cleared_by_esc_while_typing_and_from_the_list() {
    let mut model = five();
    type_keys(&mut model, "/ab");
    assert_eq!(press(&mut model, KeyCode::Esc), None);
    assert_eq!((model.is_typing, &*model.filter), (false, ""));

    type_keys(&mut model, "/ab");
    press(&mut model, KeyCode::Enter);
    assert_eq!(press(&mut model, KeyCode::Esc), None);
    assert_eq!((model.is_typing, &*model.filter), (false, ""));
}

#[test]
fn control_u_clears_what_is_typed_and_typing_goes_on() {
    let mut model = five();
    type_keys(&mut model, "/ab");
    assert_eq!(press_control(&mut model, 'u'), None);
    assert_eq!((model.is_typing, &*model.filter), (true, ""));
    // Nothing is left to take away.
    assert_eq!(press(&mut model, KeyCode::Backspace), None);
    assert_eq!((model.is_typing, &*model.filter), (true, ""));
}

#[test]
fn a_filter_goes_on_from_where_it_was() {
    let mut model = five();
    type_keys(&mut model, "/a");
    press(&mut model, KeyCode::Enter);
    type_keys(&mut model, "/b");
    assert_eq!(model.filter, "ab");
}

#[test]
fn a_filter_is_typed_over_the_list() {
    let mut model = five();
    type_keys(&mut model, "?/");
    assert_eq!((model.page, model.is_typing), (Page::List, true));
    press(&mut model, KeyCode::Esc);
    type_keys(&mut model, "d");
    assert!(matches!(model.page, Page::Details(_)));
    type_keys(&mut model, "/");
    assert_eq!((model.page, model.is_typing), (Page::List, true));
}

#[test]
fn a_pause_holds_snapshots_back_and_ends_with_the_latest() {
    let mut model = five();
    type_keys(&mut model, " ");
    assert!(model.is_paused);
    show(&mut model, vec![row("x", 1, 1)]);
    show(&mut model, vec![row("y", 2, 1)]);
    assert_eq!(names(&model), "abcde");
    type_keys(&mut model, " ");
    assert!(!model.is_paused);
    assert_eq!(names(&model), "y");
    show(&mut model, vec![row("z", 3, 1)]);
    assert_eq!(names(&model), "z");
}

#[test]
fn a_pause_without_news_ends_with_what_was_shown() {
    let mut model = five();
    type_keys(&mut model, "  ");
    assert_eq!(
        (names(&model), model.is_paused),
        ("abcde".to_owned(), false)
    );
}

#[test]
fn what_an_earlier_pause_held_back_does_not_come_again() {
    let mut model = five();
    type_keys(&mut model, " ");
    show(&mut model, vec![row("x", 1, 1)]);
    type_keys(&mut model, " ");
    show(&mut model, vec![row("y", 2, 1)]);
    type_keys(&mut model, "  ");
    assert_eq!(names(&model), "y");
}

#[test]
fn a_paused_screen_is_still_sorted_and_filtered() {
    let mut model = five();
    type_keys(&mut model, " S");
    assert_eq!(names(&model), "edcba");
    type_keys(&mut model, "/c");
    assert_eq!(names(&model), "c");
}

/// Where the choice stands after `codes`, in pages of two rows.
#[track_caller]
fn check_moves(codes: &[KeyCode], expected: &str) {
    let mut model = five();
    model.set_page(2, 0);
    for code in codes {
        assert_eq!(press(&mut model, *code), None);
    }
    assert_eq!(selected(&model), Some(expected), "{codes:?}");
}

#[test]
fn the_choice_moves_and_stops_at_the_ends() {
    use KeyCode::{Char, Down, End, Home, PageDown, PageUp, Up};

    // The first key chooses an end.
    check_moves(&[Down], "a");
    check_moves(&[Up], "a");
    check_moves(&[PageDown], "a");
    check_moves(&[Home], "a");
    check_moves(&[End], "e");
    check_moves(&[Down, Down, Char('j')], "c");
    check_moves(&[End, Up, Char('k')], "c");
    check_moves(&[Down, Up, Up], "a");
    check_moves(&[End, Down, Down], "e");
    check_moves(&[Home, PageDown], "c");
    check_moves(&[Home, PageDown, PageDown, PageDown], "e");
    check_moves(&[End, PageUp], "c");
    check_moves(&[End, PageUp, PageUp, PageUp], "a");
    check_moves(&[Char('G')], "e");
    check_moves(&[Char('G'), Char('g')], "a");
}

#[test]
fn a_page_has_a_row_at_least() {
    let mut model = five();
    model.set_page(0, 0);
    press(&mut model, KeyCode::Home);
    press(&mut model, KeyCode::PageDown);
    assert_eq!(selected(&model), Some("b"));
}

#[test]
fn nothing_is_chosen_where_nothing_is_shown() {
    for code in [
        KeyCode::Down,
        KeyCode::End,
        KeyCode::Enter,
        KeyCode::Char('d'),
    ] {
        let mut model = Model::new(options());
        assert_eq!(press(&mut model, code), None);
        assert_eq!((model.selected, model.page), (None, Page::List));
    }
}

#[test]
fn the_choice_follows_its_row_through_new_orders() {
    let mut model = five();
    press(&mut model, KeyCode::Down);
    press(&mut model, KeyCode::Down);
    assert_eq!(selected(&model), Some("b"));
    // b becomes the slowest; then the order is turned round; then another comes.
    let rows = || vec![row("a", 5, 5000), row("b", 4, 1), row("c", 3, 3000)];
    show(&mut model, rows());
    assert_eq!(names(&model), "acb");
    assert_eq!(selected(&model), Some("b"));
    type_keys(&mut model, "S");
    assert_eq!(names(&model), "bca");
    assert_eq!(selected(&model), Some("b"));
    // What is next is next in what is shown.
    press(&mut model, KeyCode::Down);
    assert_eq!(selected(&model), Some("c"));
}

#[test]
fn a_choice_that_is_not_shown_is_no_place_and_starts_anew() {
    let mut model = five();
    press(&mut model, KeyCode::End);
    show(&mut model, vec![row("a", 5, 5000), row("b", 4, 4000)]);
    assert_eq!(selected(&model), None);
    press(&mut model, KeyCode::Down);
    assert_eq!(selected(&model), Some("a"));
}

#[test]
fn the_next_interface_of_an_ifindex_is_not_the_chosen_one() {
    let mut model = five();
    press(&mut model, KeyCode::Home);
    let mut next = row("a", 5, 5000);
    next.key.generation = 2;
    show(&mut model, vec![next]);
    assert_eq!(selected(&model), None);
}

#[test]
fn sorting_steps_through_every_order_and_back() {
    let mut model = five();
    let mut seen = Vec::new();
    for _ in SortKey::ALL {
        seen.push(model.sort);
        type_keys(&mut model, "s");
    }
    assert_eq!(seen, SortKey::ALL);
    assert_eq!(model.sort, SortKey::Rate);
    type_keys(&mut model, "h");
    assert_eq!(model.sort, SortKey::Name);
    press(&mut model, KeyCode::Left);
    assert_eq!(model.sort, SortKey::Peak);
    press(&mut model, KeyCode::Right);
    assert_eq!(model.sort, SortKey::Name);
}

#[test]
fn rows_that_are_equal_stand_by_name() {
    let mut model = Model::new(options());
    show(
        &mut model,
        vec![row("c", 1, 7), row("a", 2, 7), row("b", 3, 7)],
    );
    assert_eq!(names(&model), "abc");
}

#[test]
fn units_and_columns_toggle() {
    let mut model = five();
    type_keys(&mut model, "ut");
    assert_eq!(
        (model.units, model.columns),
        (Units::Bytes, Columns::Totals)
    );
    type_keys(&mut model, "ut");
    assert_eq!((model.units, model.columns), (Units::Bits, Columns::Rates));
}

/// The interval in milliseconds after `key`, and that the effect says the same.
#[track_caller]
fn check_interval(from: u64, key: char, expected: u64) {
    let mut model = Model::new(Options {
        interval: Duration::from_millis(from),
        ..options()
    });
    let effect = press(&mut model, KeyCode::Char(key));
    let expected = Duration::from_millis(expected);
    assert_eq!(model.interval, expected);
    assert_eq!(effect, Some(Effect::SetInterval(expected)));
}

/// That `key` does not change an interval of so many milliseconds.
#[track_caller]
fn check_last_interval(from: u64, key: char) {
    let from = Duration::from_millis(from);
    let mut model = Model::new(Options {
        interval: from,
        ..options()
    });
    assert_eq!(press(&mut model, KeyCode::Char(key)), None);
    assert_eq!(model.interval, from);
}

#[test]
fn intervals_have_steps() {
    check_interval(1000, '+', 500);
    check_interval(1000, '=', 500);
    check_interval(1000, '-', 2000);
    check_interval(250, '+', 100);
    check_interval(10_000, '-', 60_000);
    // From between two steps, to the next.
    check_interval(700, '+', 500);
    check_interval(700, '-', 1000);
    check_interval(3_600_000, '+', 60_000);
    check_last_interval(100, '+');
    check_last_interval(60_000, '-');
    check_last_interval(3_600_000, '-');
}

#[test]
fn help_comes_and_goes() {
    let mut model = five();
    type_keys(&mut model, "?");
    assert_eq!(model.page, Page::Help);
    type_keys(&mut model, "?");
    assert_eq!(model.page, Page::List);
    type_keys(&mut model, "?");
    press(&mut model, KeyCode::Esc);
    assert_eq!(model.page, Page::List);
}

#[test]
fn going_back_from_a_page_keeps_the_filter() {
    let mut model = five();
    model.filter = "a".to_owned();
    type_keys(&mut model, "?");
    press(&mut model, KeyCode::Esc);
    type_keys(&mut model, "d");
    press(&mut model, KeyCode::Backspace);
    assert_eq!((model.page, &*model.filter), (Page::List, "a"));
}

#[test]
fn details_are_of_the_chosen_row_or_of_the_first() {
    let mut model = five();
    type_keys(&mut model, "d");
    assert_eq!(model.page, Page::Details(key_of(5)));
    assert_eq!(selected(&model), Some("a"));
    press(&mut model, KeyCode::Esc);
    press(&mut model, KeyCode::End);
    type_keys(&mut model, "d");
    assert_eq!(model.page, Page::Details(key_of(1)));
    let shown = model.details_of(key_of(1)).map(RowSnapshot::name);
    assert_eq!(shown, Some("e"));
}

#[test]
fn details_leave_when_their_row_vanishes() {
    let mut model = five();
    type_keys(&mut model, "d");
    show(&mut model, vec![row("a", 5, 0), row("b", 4, 4000)]);
    assert_eq!(model.page, Page::Details(key_of(5)));
    show(&mut model, vec![row("b", 4, 4000)]);
    assert_eq!(model.page, Page::List);
}

#[test]
fn details_of_a_paused_screen_leave_when_it_goes_on() {
    let mut model = five();
    type_keys(&mut model, "d");
    type_keys(&mut model, " ");
    show(&mut model, vec![row("b", 4, 4000)]);
    assert_eq!(model.page, Page::Details(key_of(5)));
    type_keys(&mut model, " ");
    assert_eq!(model.page, Page::List);
}

#[test]
fn on_a_page_without_rows_the_moves_scroll() {
    let mut model = five();
    model.set_page(4, 0);
    type_keys(&mut model, "d");
    press(&mut model, KeyCode::Down);
    press(&mut model, KeyCode::PageDown);
    assert_eq!(model.scroll, 5);
    press(&mut model, KeyCode::Up);
    assert_eq!(model.scroll, 4);
    press(&mut model, KeyCode::Home);
    assert_eq!(model.scroll, 0);
    press(&mut model, KeyCode::Up);
    assert_eq!(model.scroll, 0);
    // The choice has not moved meanwhile.
    press(&mut model, KeyCode::Esc);
    assert_eq!(selected(&model), Some("a"));
}

#[test]
fn details_start_at_their_top() {
    let mut model = five();
    type_keys(&mut model, "d");
    press(&mut model, KeyCode::Down);
    press(&mut model, KeyCode::Esc);
    type_keys(&mut model, "d");
    assert_eq!(model.scroll, 0);
}

#[test]
fn scrolling_past_the_end_is_forgotten_once_the_view_says_where_it_is() {
    let mut model = Model::new(options());
    press(&mut model, KeyCode::Char('?'));
    press(&mut model, KeyCode::End);
    model.set_page(10, 3);
    press(&mut model, KeyCode::Up);
    assert_eq!(model.scroll, 2);
}

#[test]
fn help_leads_back_to_where_it_was_asked_for() {
    let mut model = five();
    type_keys(&mut model, "d");
    let details = model.page;
    assert!(matches!(details, Page::Details(_)));
    for back in [KeyCode::Char('?'), KeyCode::Esc] {
        press(&mut model, KeyCode::Char('?'));
        assert_eq!(model.page, Page::Help);
        press(&mut model, back);
        assert_eq!(model.page, details);
    }
    // Unless that row is no more.
    press(&mut model, KeyCode::Char('?'));
    show(&mut model, Vec::new());
    press(&mut model, KeyCode::Esc);
    assert_eq!(model.page, Page::List);
}

#[test]
fn a_pod_that_is_made_anew_is_the_same_row() {
    let mut gone = row("web", 1, 1000);
    gone.gone_for = Some(Duration::from_secs(1));
    let before = gone.key;
    let mut again = row("web", 2, 1000);
    again.generation = 2;
    let after = again.key;
    let mut model = Model::new(options());
    model.update(Message::Snapshot(snapshot(vec![
        row("web", 1, 1000),
        row("db", 3, 1000),
    ])));
    model.selected = Some(before);
    model.open(Page::Details(before));
    // It is gone, and stays to be looked at.
    model.update(Message::Snapshot(snapshot(vec![
        gone.clone(),
        row("db", 3, 1000),
    ])));
    assert_eq!(
        (model.selected, model.page),
        (Some(before), Page::Details(before))
    );
    assert_eq!(model.visible().len(), 2);
    model.update(Message::Snapshot(snapshot(vec![
        gone,
        again,
        row("db", 3, 1000),
    ])));
    assert_eq!(
        (model.selected, model.page),
        (Some(after), Page::Details(after))
    );
    let keys: Vec<IfaceKey> = model.visible().iter().map(|row| row.key).collect();
    assert!(!keys.contains(&before) && keys.contains(&after), "{keys:?}");
}
