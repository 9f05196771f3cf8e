//! The columns of the table of flows: which of them a width has room for, and what stands in them.

use std::net::IpAddr;

use nstrace_ebpf::wire::Direction;
use ratatui::{layout::HorizontalAlignment, style::Style, text::Text, widgets::Cell};

use super::super::list;
use crate::{
    state::flow::FlowState,
    tui::{
        model::{Columns, FlowRow, FlowSort, Model},
        theme::Theme,
    },
    units,
    untrusted::escape,
};

/// One column.
pub(super) struct Column {
    pub(super) title: &'static str,
    /// In cells; 0 for those that share what the others leave.
    pub(super) width: u16,
    pub(super) alignment: HorizontalAlignment,
    /// Narrower screens leave it out.
    from_width: u16,
    what: What,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Name,
    Protocol,
    Remote,
    RemotePort,
    Local,
    LocalPort,
    Amount(Direction),
    Packets,
    WirePackets,
    Total(Direction),
    Age,
    State,
}

/// The columns of a page that is `width` cells wide, and their widths.
pub(super) fn columns(model: &Model, is_of_all: bool, width: u16) -> Vec<Column> {
    use HorizontalAlignment::{Left, Right};

    let rates = model.columns == Columns::Rates;
    let [rx, tx, packets] = if rates {
        ["RX/s", "TX/s", "PK/s"]
    } else {
        ["RX", "TX", "PKTS"]
    };
    // The least that shows the usual whole: a five-digit port; `443 https`; `echo 128/0`.
    let is_wide = width >= 120;
    let remote = if width < 60 { "PORT" } else { "R.PORT" };
    let [remote_port, local_port] = match width {
        ..60 => [5, 5],
        60..70 => [6, 6],
        70..120 => [11, 9],
        120.. => [16, 16],
    };
    let protocol = match width {
        ..60 => 4,
        60..120 => 6,
        120.. => 9,
    };
    let state = if is_wide { 11 } else { 7 };
    // From which width on: of the page of one namespace, and of that of all.
    let column = |title, width, from: [u16; 2], alignment, what| Column {
        title,
        width,
        alignment,
        from_width: from[usize::from(is_of_all)],
        what,
    };
    let mut all = vec![
        column("PROTO", protocol, [36, 56], Left, What::Protocol),
        column("LOCAL", 0, [128, 148], Left, What::Local),
        column("REMOTE", 0, [0, 0], Left, What::Remote),
        column(remote, remote_port, [34, 48], Left, What::RemotePort),
        column("L.PORT", local_port, [60, 74], Left, What::LocalPort),
        column(rx, 6, [0, 0], Right, What::Amount(Direction::Rx)),
        column(tx, 6, [0, 0], Right, What::Amount(Direction::Tx)),
        column(packets, 5, [80, 96], Right, What::Packets),
    ];
    if rates {
        all.extend([
            column("RX", 6, [152, 172], Right, What::Total(Direction::Rx)),
            column("TX", 6, [152, 172], Right, What::Total(Direction::Tx)),
        ]);
    }
    all.extend([
        column("WIREPK", 6, [110, 128], Right, What::WirePackets),
        column("AGE", 5, [76, 90], Right, What::Age),
        column("STATE", state, [66, 80], Left, What::State),
    ]);
    if is_of_all {
        let name = match width {
            ..60 => 8,
            60..120 => 12,
            120.. => 20,
        };
        all.insert(0, column("NAME", name, [0, 0], Left, What::Name));
    }
    all.retain(|column| column.from_width <= width);
    share_the_rest(&mut all, width);
    all
}

/// Gives what the others leave to those columns without a width, in even shares.
fn share_the_rest(columns: &mut [Column], width: u16) {
    let gaps = columns.len().saturating_sub(1);
    let taken: u16 = columns.iter().map(|column| column.width).sum();
    let mut left = width
        .saturating_sub(taken)
        .saturating_sub(u16::try_from(gaps).unwrap_or(u16::MAX));
    let mut sharing = columns.iter().filter(|column| column.width == 0).count();
    for column in columns.iter_mut().filter(|column| column.width == 0) {
        column.width = left / u16::try_from(sharing).unwrap_or(1);
        left -= column.width;
        sharing -= 1;
    }
}

impl Column {
    /// Whether the order is shown at this column.
    pub(super) fn is_sorted_by(&self, model: &Model) -> bool {
        match model.flow_table.sort {
            FlowSort::Rx => self.what == What::Amount(Direction::Rx),
            FlowSort::Tx => self.what == What::Amount(Direction::Tx),
            FlowSort::Packets => self.what == What::Packets,
            FlowSort::Age => self.what == What::Age,
            FlowSort::Remote => self.what == What::Remote,
            // Both directions together have no column; the header says it.
            FlowSort::Rate | FlowSort::Total => false,
        }
    }

    /// What stands in it.
    pub(super) fn cell(&self, flow: FlowRow<'_>, model: &Model, theme: Theme) -> Cell<'static> {
        let plain = Style::new();
        let (row, shown) = (flow.row, flow.flow);
        let [rx, tx] = shown.counts;
        let (text, style) = match self.what {
            What::Name => (list::name(row), plain),
            What::Protocol => (shown.key.protocol_name().into_owned(), plain),
            What::Remote => (self.address(flow.remote()), plain),
            What::Local => (self.address(flow.local()), plain),
            What::RemotePort => (self.port(&flow.remote_port(&model.services)), plain),
            What::LocalPort => (self.port(&flow.local_port(&model.services)), plain),
            What::Amount(direction) => {
                let at = direction as usize;
                let text = match model.columns {
                    Columns::Rates => model.units.rate(shown.bps[at]),
                    Columns::Totals => units::bytes(shown.counts[at].bytes),
                };
                (text, list::paint(direction, theme))
            }
            What::Packets => {
                let packets = match model.columns {
                    Columns::Rates => shown.pps[0] + shown.pps[1],
                    Columns::Totals => rx.packets + tx.packets,
                };
                (units::scaled(packets), plain)
            }
            What::WirePackets => (units::scaled(rx.wire_packets + tx.wire_packets), plain),
            What::Total(direction) => {
                let bytes = shown.counts[direction as usize].bytes;
                (units::bytes(bytes), list::paint(direction, theme))
            }
            What::Age => (age(shown.age.as_secs()), plain),
            What::State => (self.state(shown.state).to_owned(), plain),
        };
        Cell::from(Text::from(text).alignment(self.alignment)).style(style)
    }

    fn address(&self, address: Option<IpAddr>) -> String {
        let text = address.map_or_else(String::new, |address| address.to_string());
        shortened(&text, usize::from(self.width))
    }

    /// A port and what it is called, or its number alone where a name would be a letter or two.
    fn port(&self, port: &str) -> String {
        let shown = match port.split_once(' ') {
            Some((number, _)) if self.width < 9 => number,
            _ => port,
        };
        escape(shown)
    }

    /// A state's name, or its short form (as of ss(8)) where there is no room.
    fn state(&self, state: FlowState) -> &'static str {
        match state.as_str() {
            "established" if self.width < 11 => "estab",
            name => name,
        }
    }
}

/// An address of at most `width` cells: both its ends tell more than its middle.
fn shortened(text: &str, width: usize) -> String {
    let count = text.chars().count();
    if count <= width || width == 0 {
        return text.to_owned();
    }
    let kept = width - 1;
    let head: String = text.chars().take(kept.div_ceil(2)).collect();
    let tail: String = text.chars().skip(count - kept / 2).collect();
    format!("{head}…{tail}")
}

/// A time in five cells: `0:07`, `59:59`, `9h05m`, `23h`, `12d`.
fn age(seconds: u64) -> String {
    const HOUR: u64 = 3600;
    const DAY: u64 = 24 * HOUR;
    match seconds {
        0..HOUR => format!("{}:{:02}", seconds / 60, seconds % 60),
        HOUR..36_000 => format!("{}h{:02}m", seconds / HOUR, seconds / 60 % 60),
        36_000..DAY => format!("{}h", seconds / HOUR),
        _ => format!("{}d", seconds / DAY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_keeps_both_ends() {
        assert_eq!(shortened("192.0.2.10", 15), "192.0.2.10");
        assert_eq!(shortened("2001:db8::14", 12), "2001:db8::14");
        let long = "2001:db8:1234:5678:9abc:def0:1122:3344";
        assert_eq!(shortened(long, 17), "2001:db8…122:3344");
        assert_eq!(shortened(long, 16), "2001:db8…22:3344");
        assert_eq!(shortened(long, 1), "…");
        for width in 1..45 {
            assert_eq!(shortened(long, width).chars().count(), width.min(38));
        }
    }

    #[test]
    fn an_age_takes_five_cells_at_most() {
        for (seconds, shown) in [
            (0, "0:00"),
            (67, "1:07"),
            (3599, "59:59"),
            (3600, "1h00m"),
            (35_999, "9h59m"),
            (36_000, "10h"),
            (86_399, "23h"),
            (86_400, "1d"),
            (86_400 * 400, "400d"),
        ] {
            assert_eq!(age(seconds), shown);
            assert!(shown.len() <= 5);
        }
    }
}
