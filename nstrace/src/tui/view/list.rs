//! The table of namespaces. Columns come and go with the width; 80 cells show the most needed.

use nstrace_ebpf::wire::Direction;
use ratatui::{
    Frame,
    layout::{Constraint, HorizontalAlignment, Rect},
    text::Text,
    widgets::{Cell, Paragraph, Row, Table, Wrap},
};

use super::{ViewState, meter};
use crate::{
    state::{RowState, SortKey, snapshot::RowSnapshot},
    tui::{
        model::{Columns, Model},
        theme::Theme,
    },
    units,
    untrusted::escape,
};

/// One column.
struct Column {
    title: &'static str,
    width: Constraint,
    alignment: HorizontalAlignment,
    /// Narrower screens leave it out.
    from_width: u16,
    what: What,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Name,
    Kind,
    Interface,
    Address,
    Peer,
    Master,
    Amount(Direction),
    Packets(Direction),
    WirePackets(Direction),
    Peak,
    Total(Direction),
    Share,
    Minute,
}

const fn column(
    title: &'static str,
    width: u16,
    from_width: u16,
    alignment: HorizontalAlignment,
    what: What,
) -> Column {
    Column {
        title,
        width: Constraint::Length(width),
        alignment,
        from_width,
        what,
    }
}

fn columns(model: &Model, width: u16) -> Vec<Column> {
    use HorizontalAlignment::{Left, Right};

    let rates = model.columns == Columns::Rates;
    let (rx, tx) = if rates {
        ("RX/s", "TX/s")
    } else {
        ("RX", "TX")
    };
    let (rx_packets, tx_packets) = if rates {
        ("RXpk/s", "TXpk/s")
    } else {
        ("RXpkts", "TXpkts")
    };
    let (rx_wire, tx_wire) = if rates {
        ("RXwp/s", "TXwp/s")
    } else {
        ("RXwpk", "TXwpk")
    };
    // Kernel names have 15 characters at most.
    let iface = if width >= 120 { 15 } else { 7 };
    let minute = if width >= 140 { 20 } else { 12 };
    let mut all = vec![
        Column {
            title: "NAME",
            width: Constraint::Fill(1),
            alignment: Left,
            from_width: 0,
            what: What::Name,
        },
        column("KIND", 9, 100, Left, What::Kind),
        column("IFACE", iface, 50, Left, What::Interface),
        column("ADDRESS", 18, 188, Left, What::Address),
        column("PEER", 15, 168, Left, What::Peer),
        column("MASTER", 15, 206, Left, What::Master),
        column(rx, 7, 0, Right, What::Amount(Direction::Rx)),
        column(tx, 7, 0, Right, What::Amount(Direction::Tx)),
        column(rx_packets, 7, 62, Right, What::Packets(Direction::Rx)),
        column(tx_packets, 7, 62, Right, What::Packets(Direction::Tx)),
        column(rx_wire, 7, 112, Right, What::WirePackets(Direction::Rx)),
        column(tx_wire, 7, 112, Right, What::WirePackets(Direction::Tx)),
    ];
    if rates {
        all.push(column("PEAK/s", 7, 128, Right, What::Peak));
        all.push(column("RX", 7, 152, Right, What::Total(Direction::Rx)));
        all.push(column("TX", 7, 152, Right, What::Total(Direction::Tx)));
    }
    all.push(column("SHARE", 9, 72, Left, What::Share));
    all.push(column("LAST MINUTE", minute, 76, Left, What::Minute));
    all.retain(|column| column.from_width <= width);
    all
}

/// Which column an order is shown at.
fn is_sorted_by(sort: SortKey, what: What, columns: Columns) -> bool {
    // Totals are sorted by what is not shown, unless by their sum; the header says so.
    if columns == Columns::Totals {
        return match sort {
            SortKey::Total => what == What::Share,
            SortKey::Name => what == What::Name,
            _ => false,
        };
    }
    match sort {
        SortKey::Rate => what == What::Share,
        SortKey::Rx => what == What::Amount(Direction::Rx),
        SortKey::Tx => what == What::Amount(Direction::Tx),
        SortKey::Packets => matches!(what, What::Packets(_)),
        SortKey::Total => matches!(what, What::Total(_)),
        SortKey::Peak => what == What::Peak,
        SortKey::Name => what == What::Name,
    }
}

pub(super) fn draw(
    frame: &mut Frame<'_>,
    area: Rect,
    model: &Model,
    theme: Theme,
    state: &mut ViewState,
) {
    let rows = model.visible();
    state.page = usize::from(area.height.saturating_sub(1));
    if rows.is_empty() {
        frame.render_widget(
            Paragraph::new(nothing(model)).wrap(Wrap { trim: true }),
            area,
        );
        return;
    }
    let columns = columns(model, area.width);
    let amount_of_all: u64 = model
        .snapshot
        .rows
        .iter()
        .map(|row| amount(row, model))
        .sum();
    let titles = columns.iter().map(|column| {
        let mark = if !is_sorted_by(model.sort, column.what, model.columns) {
            ""
        } else if model.is_reversed != (model.sort == SortKey::Name) {
            "▲"
        } else {
            "▼"
        };
        Cell::from(Text::from(format!("{}{mark}", column.title)).alignment(column.alignment))
    });
    let heading = Row::new(titles).style(theme.columns());
    let lines = rows.iter().map(|row| {
        let cells = columns
            .iter()
            .map(|column| cell(column, row, model, theme, amount_of_all));
        let style = match row.state {
            RowState::Gone { .. } | RowState::Pending => theme.faded(),
            RowState::Failed(_) => theme.alarm(),
            RowState::Attached(..) => ratatui::style::Style::new(),
        };
        Row::new(cells).style(style)
    });
    let table = Table::new(lines, columns.iter().map(|column| column.width))
        .header(heading)
        .column_spacing(1)
        .row_highlight_style(theme.selected());
    state.table.select(model.selected_at(&rows));
    frame.render_stateful_widget(table, area, &mut state.table);
}

/// What stands where there is no row.
fn nothing(model: &Model) -> String {
    if !model.filter.is_empty() {
        return format!(
            "Nothing contains \"{}\". Esc clears the filter.",
            escape(&model.filter)
        );
    }
    "Nothing to watch yet: no namespace has a veth peer on this host. What comes is shown here. \
     `nstrace ls` says of each namespace why it cannot be watched."
        .to_owned()
}

/// What the share is a share of: bits per second, or bytes since attach.
fn amount(row: &RowSnapshot, model: &Model) -> u64 {
    match model.columns {
        Columns::Rates => row.rate(Direction::Rx).bps + row.rate(Direction::Tx).bps,
        Columns::Totals => row.total(Direction::Rx).bytes + row.total(Direction::Tx).bytes,
    }
}

fn cell(
    column: &Column,
    row: &RowSnapshot,
    model: &Model,
    theme: Theme,
    amount_of_all: u64,
) -> Cell<'static> {
    let labels = &row.labels;
    let plain = ratatui::style::Style::new();
    let (text, style) = match column.what {
        What::Name => (name(row), plain),
        What::Kind => (labels.netns.kind.to_string(), plain),
        What::Interface => (escape(row.interface()), plain),
        What::Address => (
            labels
                .iface
                .link
                .addresses
                .first()
                .cloned()
                .unwrap_or_default(),
            plain,
        ),
        What::Peer => (escape(&labels.peer.name), plain),
        What::Master => (
            labels
                .peer
                .master
                .as_deref()
                .map_or_else(String::new, escape),
            plain,
        ),
        What::Amount(direction) => {
            let shown = match model.columns {
                Columns::Rates => model.units.rate(row.rate(direction).bps),
                Columns::Totals => units::bytes(row.total(direction).bytes),
            };
            (shown, paint(direction, theme))
        }
        What::Packets(direction) => {
            let shown = match model.columns {
                Columns::Rates => row.rate(direction).pps,
                Columns::Totals => row.total(direction).packets,
            };
            (units::scaled(shown), plain)
        }
        What::WirePackets(direction) => {
            let shown = match model.columns {
                Columns::Rates => row.rate(direction).wire_pps,
                Columns::Totals => row.counts(direction).wire_packets,
            };
            (units::scaled(shown), plain)
        }
        What::Peak => {
            let [rx, tx] = row.rates;
            (model.units.rate(rx.peak_bps.max(tx.peak_bps)), plain)
        }
        What::Total(direction) => (units::bytes(row.total(direction).bytes), plain),
        What::Share => (share(amount(row, model), amount_of_all), theme.bar()),
        What::Minute => {
            let Constraint::Length(width) = column.width else {
                return Cell::default();
            };
            (
                meter::sparkline(&row.history, 60, usize::from(width)),
                theme.bar(),
            )
        }
    };
    Cell::from(Text::from(text).alignment(column.alignment)).style(style)
}

/// The name, behind a word about a row that does not count: a long name is cut at its end.
pub(super) fn name(row: &RowSnapshot) -> String {
    let name = escape(row.name());
    match &row.state {
        RowState::Attached(..) => name,
        RowState::Pending => format!("attaching: {name}"),
        RowState::Failed(_) => format!("failed: {name}"),
        RowState::Gone { .. } => format!("gone: {name}"),
    }
}

pub(super) fn paint(direction: Direction, theme: Theme) -> ratatui::style::Style {
    match direction {
        Direction::Rx => theme.rx(),
        Direction::Tx => theme.tx(),
    }
}

fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        return String::new();
    }
    #[expect(clippy::cast_precision_loss, reason = "shown as a percentage")]
    let share = part as f64 / whole as f64;
    format!("{}{:>3.0}%", meter::bar(share, 5), share * 100.0)
}
