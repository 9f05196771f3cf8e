//! Flows of one namespace or of all: who it is, its flows as a table, and the sum of all others.

mod columns;

use nstrace_ebpf::wire::Direction;
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::Style,
    text::{Line, Span, Text},
    widgets::{Cell, Paragraph, Row, Table, TableState, Wrap},
};

use super::{ViewState, list};
use crate::{
    state::{
        IfaceKey, RowState,
        flow::{Counts, FlowState, Rest},
        snapshot::{Rate, RowSnapshot},
    },
    tui::{
        model::{Columns, FlowRow, Model},
        theme::Theme,
    },
    units,
    untrusted::escape,
};
use columns::Column;

/// Lower areas have no room for a heading.
const MIN_HEIGHT: u16 = 6;

pub(super) fn draw(
    frame: &mut Frame<'_>,
    area: Rect,
    model: &Model,
    theme: Theme,
    of: Option<IfaceKey>,
    state: &mut ViewState,
) {
    let width = usize::from(area.width);
    let mut heading = match of {
        Some(key) => model
            .details_of(key)
            .map_or_else(Vec::new, |row| of_one(row, model, theme, width)),
        None => vec![sums(
            "all namespaces  ",
            &model.snapshot.rows,
            model,
            theme,
            width,
        )],
    };
    if area.height < MIN_HEIGHT {
        heading.clear();
    }
    let height = u16::try_from(heading.len()).unwrap_or(0);
    let areas = [
        Constraint::Length(height),
        Constraint::Min(1),
        Constraint::Length(1),
    ];
    let [top, middle, bottom] = Layout::vertical(areas).areas(area);
    frame.render_widget(Paragraph::new(heading), top);
    let flows = model.visible_flows(of);
    let others = others(model, of, flows.len(), width);
    if flows.is_empty() {
        state.page = usize::from(middle.height.saturating_sub(1));
        let text = Paragraph::new(nothing(model)).wrap(Wrap { trim: true });
        frame.render_widget(text, middle);
    } else {
        table(frame, middle, &flows, of, model, theme, state);
    }
    frame.render_widget(Paragraph::new(others), bottom);
}

/// Who it is, and how fast both directions are.
fn of_one(row: &RowSnapshot, model: &Model, theme: Theme, width: usize) -> Vec<Line<'static>> {
    let mut first = vec![
        Span::styled(list::name(row), theme.title()),
        Span::raw(format!(
            "  {}  {}",
            row.labels.netns.kind,
            escape(row.interface())
        )),
    ];
    if let RowState::Failed(why) = &row.state {
        first.push(Span::styled(format!("  {}", escape(why)), theme.alarm()));
    }
    let addresses = &row.labels.iface.link.addresses;
    first.extend(
        addresses
            .iter()
            .map(|address| Span::raw(format!("  {address}"))),
    );
    vec![
        Line::from(first),
        sums("", std::slice::from_ref(row), model, theme, width),
    ]
}

/// Both directions of all these: what the columns show, with packets and those on a wire where
/// there is room.
fn sums(
    title: &'static str,
    rows: &[RowSnapshot],
    model: &Model,
    theme: Theme,
    width: usize,
) -> Line<'static> {
    let texts = |detail| {
        [("RX", Direction::Rx), ("TX", Direction::Tx)]
            .map(|(name, direction)| format!("{name} {}", sum(rows, direction, model, detail)))
    };
    let fits = |[rx, tx]: &[String; 2]| title.len() + rx.len() + 2 + tx.len() <= width;
    let [rx, tx] = [Detail::Wire, Detail::Packets]
        .into_iter()
        .map(texts)
        .find(fits)
        .unwrap_or_else(|| texts(Detail::Bytes));
    Line::from(vec![
        Span::styled(title, theme.title()),
        Span::styled(rx, theme.rx()),
        Span::raw("  "),
        Span::styled(tx, theme.tx()),
    ])
}

/// How much is told of an amount.
#[derive(Clone, Copy)]
enum Detail {
    Bytes,
    Packets,
    Wire,
}

fn sum(rows: &[RowSnapshot], direction: Direction, model: &Model, detail: Detail) -> String {
    if model.columns == Columns::Totals {
        let mut sum = Counts::default();
        for row in rows {
            sum += row.counts(direction);
        }
        return total(sum, detail);
    }
    let sum = |part: fn(Rate) -> u64| rows.iter().map(|row| part(row.rate(direction))).sum();
    let bits = model.units.rate(sum(|rate| rate.bps));
    let packets = units::scaled(sum(|rate| rate.pps));
    let wire = units::scaled(sum(|rate| rate.wire_pps));
    match detail {
        Detail::Bytes => format!("{bits}/s"),
        Detail::Packets => format!("{bits}/s {packets} pkt/s"),
        Detail::Wire => format!("{bits}/s {packets} pkt/s ({wire} on a wire)"),
    }
}

fn total(counts: Counts, detail: Detail) -> String {
    let bytes = units::bytes(counts.bytes);
    let packets = units::scaled(counts.packets);
    let wire = units::scaled(counts.wire_packets);
    match detail {
        Detail::Bytes => bytes,
        Detail::Packets => format!("{bytes} in {packets} packets"),
        Detail::Wire => format!("{bytes} in {packets} packets ({wire} on a wire)"),
    }
}

/// The last line: how many of the flows the filter lets through, and what is in none of them.
fn others(model: &Model, of: Option<IfaceKey>, shown: usize, width: usize) -> Line<'static> {
    let mut rest = Rest::default();
    for row in model.rows_of(of) {
        rest.flows += row.other.flows;
        for (into, from) in rest.counts.iter_mut().zip(row.other.counts) {
            *into += from;
        }
    }
    let [rx, tx] = rest.counts;
    let filtered = if model.flow_table.filter.is_empty() {
        String::new()
    } else {
        format!("{shown} of {} shown; ", model.flows(of).count())
    };
    let who = match rest.flows {
        0 if rx.packets + tx.packets == 0 => return Line::raw(format!("{filtered}no others")),
        // They came while the flows were read, or found no room.
        0 => "in no flow yet".to_owned(),
        1 => "and 1 more flow".to_owned(),
        count => format!("and {} more flows", units::scaled(count)),
    };
    let text = |filtered: &str, detail| {
        let (rx, tx) = (total(rx, detail), total(tx, detail));
        format!("{filtered}{who}:  RX {rx}  TX {tx}")
    };
    let texts = [Detail::Wire, Detail::Packets, Detail::Bytes].map(|it| text(&filtered, it));
    let fitting = texts.into_iter().find(|text| text.len() <= width);
    Line::raw(fitting.unwrap_or_else(|| text("", Detail::Bytes)))
}

/// What stands where there is no flow.
fn nothing(model: &Model) -> String {
    if model.flow_table.filter.is_empty() {
        "No flow yet. What comes is shown here.".to_owned()
    } else {
        format!(
            "No flow contains \"{}\". / and esc clear the filter.",
            escape(&model.flow_table.filter)
        )
    }
}

fn table(
    frame: &mut Frame<'_>,
    area: Rect,
    flows: &[FlowRow<'_>],
    of: Option<IfaceKey>,
    model: &Model,
    theme: Theme,
    state: &mut ViewState,
) {
    let height = usize::from(area.height.saturating_sub(1));
    state.page = height;
    let chosen = model.selected_flow_at(flows);
    if model.flow_table.selected.is_none() {
        state.first_flow = 0;
    }
    state.first_flow = first_shown(state.first_flow, chosen, flows.len(), height);
    let columns = columns::columns(model, of.is_none(), area.width);
    let heading = Row::new(columns.iter().map(|column| {
        let mark = match (column.is_sorted_by(model), is_upward(model)) {
            (false, _) => "",
            (true, true) => "▲",
            (true, false) => "▼",
        };
        Cell::from(Text::from(format!("{}{mark}", column.title)).alignment(column.alignment))
    }));
    // Only what is seen is laid out: there may be thousands.
    let shown = flows.iter().skip(state.first_flow).take(height.max(1));
    let lines = shown.map(|flow| line(*flow, &columns, model, theme));
    let widths = columns
        .iter()
        .map(|column| Constraint::Length(column.width));
    let table = Table::new(lines, widths)
        .header(heading.style(theme.columns()))
        .column_spacing(1)
        .row_highlight_style(theme.selected());
    let mut selection =
        TableState::default().with_selected(chosen.map(|at| at.saturating_sub(state.first_flow)));
    frame.render_stateful_widget(table, area, &mut selection);
}

fn is_upward(model: &Model) -> bool {
    model.flow_table.is_reversed != model.flow_table.sort.is_ascending()
}

/// The first of `count` rows to show: as before, unless the chosen one would not be seen, or the
/// end would be empty.
fn first_shown(before: usize, chosen: Option<usize>, count: usize, height: usize) -> usize {
    let before = before.min(count.saturating_sub(height));
    let Some(chosen) = chosen else { return before };
    before.min(chosen).max((chosen + 1).saturating_sub(height))
}

fn line(flow: FlowRow<'_>, columns: &[Column], model: &Model, theme: Theme) -> Row<'static> {
    let is_over = matches!(flow.flow.state, FlowState::Closed | FlowState::Reset)
        || matches!(flow.row.state, RowState::Gone { .. });
    let style = if is_over { theme.faded() } else { Style::new() };
    Row::new(columns.iter().map(|column| column.cell(flow, model, theme))).style(style)
}

#[cfg(test)]
pub(super) mod tests;
