//! `nstrace top --batch`: one refresh at a time, in each format.

use std::io::Write;

use nstrace_ebpf::wire::{Class, Direction, Tally};
use serde::{Serialize, Serializer};

use super::{
    Print, SinkError, csv_error,
    flow::{CountsRecord, FlowRecord, OtherRecord},
    table::{self, Align},
};
use crate::{
    state::{
        Labels, Mechanism, Snapshot, SortKey, Totals,
        snapshot::{Header, RowSnapshot},
    },
    topology::model::NetnsInode,
    units::{self, Units},
    untrusted::escape,
};

/// How a refresh is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A table below a line about the whole.
    #[default]
    Table,
    /// One object a line, of schema `nstrace.top/v1`.
    Json,
    /// A record a row, with the time in front.
    Csv,
}

/// Prints refreshes.
#[derive(Debug)]
pub struct Printer<W> {
    out: W,
    format: Format,
    sort: SortKey,
    filter: Option<String>,
    units: Units,
    has_flows: bool,
    has_printed: bool,
}

/// The line: `nstrace.top/v1`.
#[derive(Serialize)]
struct Line<'a> {
    schema: &'static str,
    time: &'a str,
    elapsed_s: f64,
    interval_s: f64,
    interfaces: Interfaces,
    lost: Lost,
    rows: Vec<RowRecord<'a>>,
}

#[derive(Debug, Serialize)]
struct Interfaces {
    watched: usize,
    attached: usize,
    failed: usize,
}

#[derive(Debug, Serialize)]
struct Lost {
    samples: u64,
    packets: u64,
    flow_packets: u64,
}

#[derive(Serialize)]
struct RowRecord<'a> {
    name: &'a str,
    kind: String,
    inode: Option<u32>,
    interface: &'a str,
    ifindex: u32,
    peer: &'a str,
    peer_ifindex: u32,
    mechanism: Option<&'static str>,
    gone: bool,
    generation: u64,
    rx: Side,
    tx: Side,
    classes: Classes<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flows: Option<Vec<FlowRecord>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    other: Option<OtherRecord>,
}

/// One direction of a row.
#[derive(Debug, Serialize)]
struct Side {
    #[serde(flatten)]
    counts: CountsRecord,
    pps: u64,
    bps: u64,
    peak_bps: u64,
}

impl Side {
    fn of(row: &RowSnapshot, direction: Direction) -> Self {
        let rate = row.rate(direction);
        Self {
            counts: row.counts(direction).into(),
            pps: rate.pps,
            bps: rate.bps,
            peak_bps: rate.peak_bps,
        }
    }
}

impl<'a> RowRecord<'a> {
    fn new(row: &'a RowSnapshot, has_flows: bool) -> Self {
        let Labels { netns, iface, peer } = &*row.labels;
        Self {
            name: &netns.name,
            kind: netns.kind.to_string(),
            inode: netns.identity.inode().map(|NetnsInode(inode)| inode),
            interface: &iface.link.name,
            ifindex: iface.link.ifindex.0,
            peer: &peer.name,
            peer_ifindex: peer.ifindex.0,
            mechanism: row.mechanism.map(Mechanism::as_str),
            gone: row.gone_for.is_some(),
            generation: row.generation,
            rx: Side::of(row, Direction::Rx),
            tx: Side::of(row, Direction::Tx),
            classes: Classes(&row.totals),
            flows: has_flows.then(|| row.flows.iter().map(FlowRecord::from).collect()),
            other: has_flows.then(|| OtherRecord::from(&row.other)),
        }
    }
}

/// The name of a class in all output.
#[must_use]
pub const fn class_name(class: Class) -> &'static str {
    match class {
        Class::Ipv4Tcp => "ipv4_tcp",
        Class::Ipv4Udp => "ipv4_udp",
        Class::Ipv4Icmp => "ipv4_icmp",
        Class::Ipv4Other => "ipv4_other",
        Class::Ipv6Tcp => "ipv6_tcp",
        Class::Ipv6Udp => "ipv6_udp",
        Class::Ipv6Icmp => "ipv6_icmp",
        Class::Ipv6Other => "ipv6_other",
        Class::Arp => "arp",
        Class::Other => "other",
        Class::Truncated => "truncated",
        Class::Malformed => "malformed",
        Class::ManyTags => "many_tags",
        Class::ManyExtensions => "many_extensions",
    }
}

/// Totals of each class, those without packets too, in the order of [`Class::ALL`].
struct Classes<'a>(&'a Totals);

#[derive(Serialize)]
struct ClassRecord {
    rx: TallyRecord,
    tx: TallyRecord,
}

#[derive(Serialize)]
struct TallyRecord {
    packets: u64,
    bytes: u64,
}

impl Serialize for Classes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(Class::ALL.into_iter().map(|class| {
            let [rx, tx] = self.0.classes.map(|classes| {
                let Tally { packets, bytes } = classes[class as usize];
                TallyRecord { packets, bytes }
            });
            (class_name(class), ClassRecord { rx, tx })
        }))
    }
}

impl<W: Write + Send> Print for Printer<W> {
    /// A row stands in it once its interface is attached: from then on every packet counts.
    fn print(&mut self, snapshot: &Snapshot, time: &str) -> Result<(), SinkError> {
        let mut rows: Vec<&RowSnapshot> = snapshot
            .rows
            .iter()
            .filter(|row| row.mechanism.is_some())
            .filter(|row| {
                self.filter
                    .as_ref()
                    .is_none_or(|filter| row.contains(filter))
            })
            .collect();
        rows.sort_by(|a, b| self.sort.compare(a, b));
        match self.format {
            Format::Table => self.print_table(&snapshot.header, &rows, time)?,
            Format::Json => self.print_json(&snapshot.header, &rows, time)?,
            Format::Csv => self.print_csv(&rows, time)?,
        }
        self.has_printed = true;
        Ok(())
    }
}

impl<W: Write> Printer<W> {
    /// Prints to `out`, the rows that contain `filter`, in the order of `sort`; in JSON with their
    /// flows, if `has_flows`.
    pub const fn new(
        out: W,
        format: Format,
        sort: SortKey,
        filter: Option<String>,
        units: Units,
        has_flows: bool,
    ) -> Self {
        Self {
            out,
            format,
            sort,
            filter,
            units,
            has_flows,
            has_printed: false,
        }
    }

    fn print_json(
        &mut self,
        header: &Header,
        rows: &[&RowSnapshot],
        time: &str,
    ) -> Result<(), SinkError> {
        let line = Line {
            schema: "nstrace.top/v1",
            time,
            elapsed_s: header.elapsed.as_secs_f64(),
            interval_s: header.interval.as_secs_f64(),
            interfaces: Interfaces {
                watched: header.watched,
                attached: header.attached,
                failed: header.failed,
            },
            lost: Lost {
                samples: header.lost_samples,
                packets: header.uncounted,
                flow_packets: header.flowless,
            },
            rows: rows
                .iter()
                .map(|row| RowRecord::new(row, self.has_flows))
                .collect(),
        };
        super::json(&mut self.out, &line)
    }

    fn print_table(
        &mut self,
        header: &Header,
        rows: &[&RowSnapshot],
        time: &str,
    ) -> Result<(), SinkError> {
        let mut text = Vec::new();
        if self.has_printed {
            text.push(b'\n');
        }
        writeln!(
            text,
            "{time}  up {}  {} of {} interfaces attached{}{}",
            units::clock(header.elapsed.as_secs()),
            header.attached,
            header.watched,
            header
                .mechanism
                .map_or_else(String::new, |mechanism| format!(
                    " ({})",
                    mechanism.as_str()
                )),
            alarms(header),
        )?;
        let cells: Vec<Vec<String>> = rows.iter().map(|row| self.cells(row)).collect();
        table::write(&mut text, &COLUMNS, &cells, true)?;
        self.out.write_all(&text)?;
        self.out.flush()?;
        Ok(())
    }

    fn cells(&self, row: &RowSnapshot) -> Vec<String> {
        let (rx, tx) = (row.rate(Direction::Rx), row.rate(Direction::Tx));
        let gone = if row.gone_for.is_some() {
            " (gone)"
        } else {
            ""
        };
        vec![
            format!("{}{gone}", escape(row.name())),
            escape(row.interface()),
            escape(&row.labels.peer.name),
            self.units.rate(rx.bps),
            self.units.rate(tx.bps),
            units::scaled(rx.pps),
            units::scaled(tx.pps),
            self.units.rate(rx.peak_bps.max(tx.peak_bps)),
            units::bytes(row.total(Direction::Rx).bytes),
            units::bytes(row.total(Direction::Tx).bytes),
        ]
    }

    fn print_csv(&mut self, rows: &[&RowSnapshot], time: &str) -> Result<(), SinkError> {
        let mut csv = csv::Writer::from_writer(Vec::new());
        if !self.has_printed {
            csv.write_record(CSV_COLUMNS).map_err(csv_error)?;
        }
        for row in rows {
            let record = RowRecord::new(row, false);
            let side = |side: &Side| {
                let CountsRecord { packets, bytes, .. } = side.counts;
                [packets, bytes, side.pps, side.bps, side.peak_bps].map(|n| n.to_string())
            };
            let wire = |side: &Side| {
                [side.counts.wire_packets, side.counts.wire_bytes].map(|n| n.to_string())
            };
            let names = [
                time.to_owned(),
                escape(record.name),
                record.kind,
                record
                    .inode
                    .map_or_else(String::new, |inode| inode.to_string()),
                escape(record.interface),
                record.ifindex.to_string(),
                escape(record.peer),
                record.peer_ifindex.to_string(),
                record.mechanism.unwrap_or_default().to_owned(),
                record.gone.to_string(),
            ];
            csv.write_record(
                names
                    .into_iter()
                    .chain(side(&record.rx))
                    .chain(side(&record.tx))
                    .chain(wire(&record.rx))
                    .chain(wire(&record.tx)),
            )
            .map_err(csv_error)?;
        }
        let text = csv.into_inner().map_err(csv_error)?;
        self.out.write_all(&text)?;
        self.out.flush()?;
        Ok(())
    }
}

/// What should be 0, where it is not.
fn alarms(header: &Header) -> String {
    [
        ("failed", header.failed as u64),
        ("lost samples", header.lost_samples),
        ("uncounted packets", header.uncounted),
        ("packets in no flow", header.flowless),
    ]
    .into_iter()
    .filter(|(_, count)| *count > 0)
    .flat_map(|(what, count)| {
        [
            "  ".to_owned(),
            what.to_owned(),
            " ".to_owned(),
            count.to_string(),
        ]
    })
    .collect()
}

const COLUMNS: [(&str, Align); 10] = [
    ("NAME", Align::Left),
    ("IFACE", Align::Left),
    ("PEER", Align::Left),
    ("RX/s", Align::Right),
    ("TX/s", Align::Right),
    ("RX pkt/s", Align::Right),
    ("TX pkt/s", Align::Right),
    ("PEAK/s", Align::Right),
    ("RX", Align::Right),
    ("TX", Align::Right),
];

const CSV_COLUMNS: [&str; 24] = [
    "time",
    "name",
    "kind",
    "inode",
    "interface",
    "ifindex",
    "peer",
    "peer_ifindex",
    "mechanism",
    "gone",
    "rx_packets",
    "rx_bytes",
    "rx_pps",
    "rx_bps",
    "rx_peak_bps",
    "tx_packets",
    "tx_bytes",
    "tx_pps",
    "tx_bps",
    "tx_peak_bps",
    "rx_wire_packets",
    "rx_wire_bytes",
    "tx_wire_packets",
    "tx_wire_bytes",
];

#[cfg(test)]
mod tests;
