//! Whole screens, as they are drawn at three sizes.

use std::{path::PathBuf, sync::Arc, time::Duration};

use crossterm::event::KeyCode;
use nstrace_ebpf::wire::{Class, Direction, Tally};
use ratatui::{Terminal, backend::TestBackend, style::Color as Paint};

use super::*;
use crate::{
    services::Services,
    state::{
        IfaceKey, Labels, Mechanism, RowState, Snapshot, SortKey, Totals,
        flow::Rest,
        snapshot::{Header, Rate, RowSnapshot},
    },
    topology::model::{
        Container, Identity, Iface, Ifindex, Init, Kind, Link, Netns, NetnsInode, Nsid, Peer,
        Runtime, Watch,
    },
    tui::{
        CaptureStatus,
        model::{Columns, Message, Options},
        theme::Color,
    },
    units::Units,
    untrusted::is_unsafe,
};

pub(super) const SIZES: [(u16, u16); 3] = [(80, 24), (160, 48), (40, 10)];

fn iface(name: &str, ifindex: u32, addresses: &[&str], peer: Option<Peer>, watch: Watch) -> Iface {
    Iface {
        link: Link {
            mac: Some("02:00:00:00:00:02".to_owned()),
            addresses: addresses.iter().map(ToString::to_string).collect(),
            ..Link::sample(ifindex, name, "veth")
        },
        peer,
        watch,
    }
}

/// An idle row of a namespace below /run/netns.
pub(super) fn row(name: &str, interface: &str, ifindex: u32) -> RowSnapshot {
    let peer = Peer {
        name: format!("veth{ifindex:x}"),
        ifindex: Ifindex(ifindex),
        master: Some("br0".to_owned()),
    };
    let addresses = [&*format!("198.18.0.{ifindex}/24")];
    let iface = iface(
        interface,
        2,
        &addresses,
        Some(peer.clone()),
        Watch::HostVeth,
    );
    let netns = Netns {
        identity: Identity::Inode(NetnsInode(4_026_532_000 + ifindex), None),
        nsid: Some(Nsid(0)),
        name: name.to_owned(),
        kind: Kind::Named,
        paths: vec![PathBuf::from("/run/netns").join(name)],
        pids: Vec::new(),
        containers: Vec::new(),
        interfaces: vec![iface.clone()],
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
        rates: Default::default(),
        history: Vec::new(),
        flows: Vec::new(),
        other: Rest::default(),
    }
}

pub(super) const fn key_of(ifindex: u32) -> IfaceKey {
    IfaceKey {
        ifindex: Ifindex(ifindex),
        generation: 1,
    }
}

const fn rate(pps: u64, bps: u64, peak_bps: u64) -> Rate {
    Rate {
        pps,
        wire_pps: pps,
        bps,
        wire_bps: bps,
        peak_bps,
    }
}

fn count(row: &mut RowSnapshot, direction: Direction, class: Class, packets: u64, bytes: u64) {
    row.totals.classes[direction as usize][class as usize] = Tally { packets, bytes };
}

/// A busy container with everything that the details can tell.
pub(super) fn web() -> RowSnapshot {
    let mut row = row("web", "eth0", 14);
    let mut labels = Labels::clone(&row.labels);
    let netns = Arc::make_mut(&mut labels.netns);
    netns.kind = Kind::Container;
    netns.pids = vec![4242, 4250, 4251];
    netns.paths = vec![PathBuf::from("/run/docker/netns/0123456789ab")];
    netns.containers = vec![Container {
        image: "registry.example/shop/web:1.27".to_owned(),
        init: Some(Init {
            pid: 4242,
            started: 1,
        }),
        inode: None,
        ..Container::new(
            Runtime::Docker,
            "fedcba9876543210fedcba9876543210".to_owned(),
            "web".to_owned(),
        )
    }];
    labels
        .iface
        .link
        .addresses
        .push("2001:db8::14/64".to_owned());
    let mut lo = iface(
        "lo",
        1,
        &["127.0.0.1/8"],
        None,
        Watch::No("loopback".to_owned()),
    );
    lo.link.kind = "loopback".to_owned();
    lo.link.mac = None;
    netns.interfaces = vec![lo, labels.iface.clone()];
    row.labels = Arc::new(labels);
    row.rates = [
        rate(812_345, 9_870_000_000, 19_990_000_000),
        rate(404_000, 213_312_000, 1_000_000_000),
    ];
    count(
        &mut row,
        Direction::Rx,
        Class::Ipv4Tcp,
        123_456_789,
        187_654_321_098,
    );
    count(
        &mut row,
        Direction::Tx,
        Class::Ipv4Tcp,
        61_728_394,
        4_074_074_004,
    );
    count(&mut row, Direction::Rx, Class::Ipv6Udp, 10, 980);
    count(&mut row, Direction::Tx, Class::Ipv6Icmp, 3, 258);
    count(&mut row, Direction::Rx, Class::Arp, 2, 84);
    count(&mut row, Direction::Tx, Class::Arp, 2, 84);
    row.history = (1..=60).map(|second| second * second * 2_000_000).collect();
    row
}

fn with_state(state: RowState, row: RowSnapshot) -> RowSnapshot {
    let mechanism = match &state {
        RowState::Gone { mechanism, .. } => *mechanism,
        RowState::Attached(_, mechanism) => Some(*mechanism),
        RowState::Pending | RowState::Failed(_) => None,
    };
    RowSnapshot {
        state,
        mechanism,
        ..row
    }
}

fn failed() -> RowSnapshot {
    let why = "attach nstrace_ingress to veth11 ingress: Device or resource busy (os error 16)";
    with_state(
        RowState::Failed(why.to_owned()),
        row("payments", "eth0", 17),
    )
}

/// One row of each kind, and names that somebody means harm with.
fn rows() -> Vec<RowSnapshot> {
    let mut cjk = row("網路資料庫", "網卡0", 15);
    cjk.rates = [rate(999, 999_999, 1_230_000), rate(1000, 45_600, 45_600)];
    count(
        &mut cjk,
        Direction::Rx,
        Class::Ipv4Udp,
        999_999,
        999_999_999,
    );
    cjk.history = vec![0, 0, 1_000_000, 0, 30_000, 999_999, 0];
    let mut gone = row("batch-7", "eth0", 16);
    gone.gone_for = Some(Duration::from_secs(2));
    count(&mut gone, Direction::Tx, Class::Ipv4Tcp, 1, 66);
    let gone = with_state(
        RowState::Gone {
            since: Duration::from_mins(62),
            mechanism: Some(Mechanism::Tcx),
        },
        gone,
    );
    let pending = with_state(RowState::Pending, row("pid:31337(sleep)", "eth0", 18));
    let mut hostile = row("evil\x1b[2J\x1b[31m\nweb", "a\x1b]0;x\x07b", 19);
    hostile.rates = [rate(1, 672, 53_760), rate(0, 0, 0)];
    let mut bidi = row("web\u{202e}gnp\u{200b}", "eth\u{9b}0", 20);
    let mut labels = Labels::clone(&bidi.labels);
    labels.peer.name = "v\x1b[7m".to_owned();
    labels.peer.master = Some("br\u{2066}".to_owned());
    labels.iface.link.addresses = Vec::new();
    bidi.labels = Arc::new(labels);
    let long =
        "k8s_a-very-long-name-of-a-container-that-somebody-thought-was-a-good-idea_default_0";
    let mut long = row(long, "enp0s31f6-very-l", 21);
    long.rates = [rate(12, 9_600, 9_600), rate(11, 8_640, 8_640)];
    vec![web(), cjk, gone, failed(), pending, hostile, bidi, long]
}

pub(super) fn header() -> Header {
    Header {
        elapsed: Duration::from_secs(3723),
        interval: Duration::from_secs(1),
        netnses: 12,
        watched: 7,
        attached: 5,
        failed: 1,
        mechanism: Some(Mechanism::Tcx),
        lost_samples: 42,
        uncounted: 0,
        flowless: 0,
        warnings: vec![
            "/run/netns/old: stale: it holds no network namespace".to_owned(),
            "interfaces of netns:4026532999 are not known: \x1b[31moops".to_owned(),
        ],
    }
}

pub(super) fn empty() -> Model {
    Model::new(Options {
        host: "node-7".to_owned(),
        interval: Duration::from_secs(1),
        sort: SortKey::Rate,
        filter: String::new(),
        units: Units::Bits,
        color: Color::Never,
        services: Services::parse("https 443/tcp\ndomain 53/udp\npostgresql 5432/tcp\n"),
        sizes: "8 interfaces, 2 flows each".to_owned(),
    })
}

fn full() -> Model {
    let mut model = empty();
    model.snapshot = Snapshot {
        header: header(),
        rows: rows(),
        flow_events: Vec::new(),
    };
    model
}

fn calm() -> Model {
    let mut model = full();
    let header = &mut model.snapshot.header;
    header.lost_samples = 0;
    header.failed = 0;
    header.warnings.clear();
    let is_calm = |row: &RowSnapshot| matches!(row.state, RowState::Attached(..));
    model.snapshot.rows.retain(is_calm);
    model.selected = Some(key_of(15));
    model
}

fn paused_and_filtered() -> Model {
    let mut model = full();
    model.is_paused = true;
    model.filter = "e".to_owned();
    model.interval = Duration::from_millis(250);
    model.sort = SortKey::Name;
    model.is_reversed = true;
    model
}

fn nothing_matches() -> Model {
    let mut model = full();
    model.filter = "nobody\x1b[31m".to_owned();
    model
}

fn totals() -> Model {
    let mut model = full();
    model.columns = Columns::Totals;
    model.sort = SortKey::Total;
    model
}

fn bytes() -> Model {
    let mut model = full();
    model.units = Units::Bytes;
    model.sort = SortKey::Packets;
    model
}

fn typing() -> Model {
    let mut model = full();
    model.is_typing = true;
    model.filter = "eth\x1b[0m網".to_owned();
    model
}

/// Asked for, with a wrong filter.
fn capture_form() -> Model {
    let mut model = full();
    let typed = "tcp prot 80".chars().map(KeyCode::Char);
    for code in [KeyCode::Char('c'), KeyCode::Enter]
        .into_iter()
        .chain(typed)
    {
        model.update(Message::Key(code.into()));
    }
    let why = ["syntax error", "tcp prot 80", "    ^^^^"];
    let why = why.map(ToOwned::to_owned).to_vec();
    model.update(Message::Capture(CaptureStatus::Refused(why)));
    model
}

fn capturing() -> Model {
    let mut model = full();
    model.update(Message::Capture(CaptureStatus::Running {
        name: "shop\x1b/web".to_owned(),
        captured: 12_345,
        dropped: 6,
    }));
    model
}

fn help() -> Model {
    let mut model = full();
    model.page = Page::Help;
    model
}

fn details_of(ifindex: u32) -> Model {
    let mut model = full();
    model.page = Page::Details(key_of(ifindex));
    model
}

fn scrolled_details() -> Model {
    let mut model = details_of(14);
    model.scroll = 5;
    model
}

fn many() -> Model {
    let rows = (1..=100).map(|ifindex| row(&format!("pod-{ifindex:03}"), "eth0", ifindex));
    let mut model = empty();
    model.snapshot = Snapshot {
        header: header(),
        rows: rows.collect(),
        flow_events: Vec::new(),
    };
    model.selected = Some(key_of(60));
    model
}

fn uncounted() -> Model {
    let mut model = calm();
    model.snapshot.header.uncounted = 3;
    model.snapshot.header.flowless = 1234;
    model
}

fn all() -> Vec<Model> {
    vec![
        empty(),
        full(),
        calm(),
        paused_and_filtered(),
        nothing_matches(),
        totals(),
        bytes(),
        typing(),
        capture_form(),
        capturing(),
        help(),
        details_of(14),
        details_of(17),
        details_of(19),
        scrolled_details(),
        many(),
        uncounted(),
    ]
    .into_iter()
    .chain(super::flows::tests::all())
    .collect()
}

#[track_caller]
pub(super) fn drawn(model: &Model, theme: Theme, (width, height): (u16, u16)) -> TestBackend {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("memory");
    let mut state = ViewState::default();
    terminal
        .draw(|frame| draw(frame, model, &theme, &mut state))
        .expect("draws to memory");
    terminal.backend().clone()
}

/// The lines of a screen, cells of wide characters included.
pub(super) fn lines(model: &Model, size: (u16, u16)) -> Vec<String> {
    let backend = drawn(model, Theme::new(false), size);
    let cells = backend.buffer().content();
    cells
        .chunks(usize::from(size.0))
        .map(|line| line.iter().map(ratatui::buffer::Cell::symbol).collect())
        .collect()
}

#[track_caller]
pub(super) fn check(name: &str, model: &Model) {
    for size @ (width, height) in SIZES {
        let screen = drawn(model, Theme::new(true), size);
        insta::assert_snapshot!(format!("{name}_{width}x{height}"), screen);
    }
}

#[test]
fn an_empty_screen_says_what_it_waits_for() {
    check("empty", &empty());
}

#[test]
fn a_full_screen_shows_every_kind_of_row() {
    check("full", &full());
}

#[test]
fn a_calm_screen_shows_the_chosen_row() {
    check("calm", &calm());
}

#[test]
fn a_paused_and_filtered_screen_says_so() {
    check("paused_and_filtered", &paused_and_filtered());
}

#[test]
fn a_filter_that_nothing_passes_is_said() {
    check("nothing_matches", &nothing_matches());
}

#[test]
fn totals_take_the_place_of_rates() {
    check("totals", &totals());
}

#[test]
fn rates_are_shown_in_bytes() {
    check("bytes", &bytes());
}

#[test]
fn what_is_typed_stands_in_the_footer() {
    check("typing", &typing());
}

#[test]
fn what_a_capture_needs_is_asked_below_what_was_wrong() {
    check("capture_form", &capture_form());
}

#[test]
fn a_capture_stands_in_the_header() {
    check("capturing", &capturing());
}

#[test]
fn the_help_has_every_key_and_the_warnings() {
    check("help", &help());
}

#[test]
fn details_tell_everything_of_one() {
    check("details", &details_of(14));
}

#[test]
fn details_tell_why_an_attachment_failed() {
    check("details_failed", &details_of(17));
}

#[test]
fn a_long_list_is_scrolled_to_the_chosen_row() {
    check("many", &many());
}

#[test]
fn no_cell_holds_what_a_terminal_would_act_on() {
    for model in all() {
        for size in SIZES {
            let screen = drawn(&model, Theme::new(true), size);
            for cell in screen.buffer().content() {
                assert_eq!(cell.symbol().find(is_unsafe), None, "{cell:?} in\n{screen}");
            }
        }
    }
}

#[test]
fn without_colours_no_cell_has_one() {
    for model in all() {
        for size in SIZES {
            let screen = drawn(&model, Theme::new(false), size);
            for cell in screen.buffer().content() {
                assert_eq!((cell.fg, cell.bg), (Paint::Reset, Paint::Reset), "{screen}");
            }
        }
    }
}

#[test]
fn colours_change_no_character() {
    for model in all() {
        for size in SIZES {
            let [plain, colored] =
                [false, true].map(|is_colored| drawn(&model, Theme::new(is_colored), size));
            assert_eq!(plain.to_string(), colored.to_string());
        }
    }
    let screen = drawn(&full(), Theme::new(true), SIZES[0]);
    let mut cells = screen.buffer().content().iter();
    assert!(cells.any(|cell| cell.fg != Paint::Reset));
}

#[test]
fn the_end_of_a_text_stands_in_the_last_row_at_any_width() {
    for width in 30..200 {
        for mut model in [help(), details_of(14)] {
            model.scroll = u16::MAX;
            let screen = lines(&model, (width, 12));
            let (last, before) = (&screen[10], &screen[9]);
            assert!(!last.trim().is_empty(), "{width}: {screen:#?}");
            let end = if model.page == Page::Help {
                "each."
            } else {
                "84B"
            };
            let is_there = last.contains(end) || before.contains(end);
            assert!(is_there, "{width}: {screen:#?}");
        }
    }
}

#[test]
fn any_size_is_drawn() {
    for model in all() {
        // Two cells are too few for ratatui to wrap a character of two.
        for width in [1].into_iter().chain(3..20).chain((20..=240).step_by(20)) {
            for height in [1, 2, 3, 4, 20] {
                drawn(&model, Theme::new(true), (width, height));
            }
        }
    }
}

#[test]
fn a_loss_is_said_in_the_header() {
    let text = |model: &Model| lines(model, (80, 24))[..2].join("\n");
    assert!(text(&full()).contains("lost 42"), "{}", text(&full()));
    assert!(text(&calm()).contains("lost 0"), "{}", text(&calm()));
    for word in ["uncounted", "flowless"] {
        assert!(!text(&calm()).contains(word), "{}", text(&calm()));
    }
    let text = text(&uncounted());
    assert!(text.contains("uncounted 3  flowless 1234"), "{text}");
}

#[test]
fn every_row_says_its_state_in_words() {
    let screen = lines(&full(), (80, 24)).join("\n");
    for said in ["gone: batch-7", "failed: payments", "attaching: pid"] {
        assert!(screen.contains(said), "{said} in\n{screen}");
    }
}

#[test]
fn numbers_of_a_column_end_in_one_cell() {
    let screen = lines(&full(), (160, 48));
    // Of the rows whose names are of narrow characters, a line's characters are its cells.
    let ends: Vec<usize> = ["TX/s", "213Mb", "8.64kb"]
        .iter()
        .zip(["NAME", "web  ", "k8s_"])
        .map(|(number, name)| {
            let line = screen.iter().find(|line| line.starts_with(name));
            let line = line.expect("the row is on the screen");
            let end = line.rfind(number).expect("the number is in its row") + number.len();
            line[..end].chars().count()
        })
        .collect();
    assert!(ends.iter().all(|end| *end == ends[0]), "{ends:?}");
}

#[test]
fn the_view_tells_how_many_rows_a_page_has() {
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).expect("memory");
    let mut state = ViewState::default();
    terminal
        .draw(|frame| draw(frame, &full(), &Theme::new(false), &mut state))
        .expect("draws to memory");
    // Without two lines above, the column names and one line below.
    assert_eq!(state.page(), 20);
}

#[test]
fn scrolled_details_stop_at_their_end() {
    let mut far = details_of(14);
    far.scroll = u16::MAX;
    let screen = lines(&far, (80, 10));
    assert!(screen[8].contains("arp"), "{screen:#?}");
    // What fits is not scrolled.
    let screen = lines(&far, (80, 60));
    assert!(screen[2].starts_with("web"), "{screen:#?}");
}
