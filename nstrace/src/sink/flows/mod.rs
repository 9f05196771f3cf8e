//! `nstrace flows`: what has happened to flows in each interval, in each format.

use std::io::Write;

use serde::Serialize;

use super::{
    Print, SinkError, csv_error,
    flow::{FlowRecord, endpoint, flag_letters},
    table::{self, Align},
};
use crate::{
    state::{
        Labels, Snapshot,
        flow::{FlowEvent, FlowSnapshot},
    },
    units::{self, Units},
    untrusted::escape,
};

/// How records are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A table for each interval in which something happened.
    #[default]
    Table,
    /// One object a line and record, of schema `nstrace.flow/v1`.
    Json,
    /// A record a line.
    Csv,
}

/// Prints records.
#[derive(Debug)]
pub struct Printer<W> {
    out: W,
    format: Format,
    units: Units,
    has_printed: bool,
}

/// The line: `nstrace.flow/v1`.
#[derive(Serialize)]
struct Line<'a> {
    schema: &'static str,
    time: &'a str,
    event: &'static str,
    name: &'a str,
    kind: String,
    interface: &'a str,
    peer: &'a str,
    #[serde(flatten)]
    flow: FlowRecord,
}

const fn parts(event: &FlowEvent) -> (&'static str, &FlowSnapshot) {
    match event {
        FlowEvent::New(flow) => ("new", flow),
        FlowEvent::Update(flow) => ("update", flow),
        FlowEvent::End(flow) => ("end", flow),
    }
}

impl<W: Write> Printer<W> {
    /// Prints to `out`.
    pub const fn new(out: W, format: Format, units: Units) -> Self {
        Self {
            out,
            format,
            units,
            has_printed: false,
        }
    }

    fn print_json(&mut self, records: &[Record<'_>], time: &str) -> Result<(), SinkError> {
        let mut text = Vec::new();
        for (labels, event) in records {
            let (event, flow) = parts(event);
            let Labels { netns, iface, peer } = labels;
            let line = Line {
                schema: "nstrace.flow/v1",
                time,
                event,
                name: &netns.name,
                kind: netns.kind.to_string(),
                interface: &iface.link.name,
                peer: &peer.name,
                flow: flow.into(),
            };
            super::json(&mut text, &line)?;
        }
        self.out.write_all(&text)?;
        self.out.flush()?;
        Ok(())
    }

    fn print_table(&mut self, records: &[Record<'_>], time: &str) -> Result<(), SinkError> {
        if records.is_empty() {
            return Ok(());
        }
        let mut text = Vec::new();
        if self.has_printed {
            text.push(b'\n');
        }
        writeln!(text, "{time}")?;
        let rows: Vec<Vec<String>> = records.iter().map(|record| self.cells(record)).collect();
        table::write(&mut text, &COLUMNS, &rows, true)?;
        self.out.write_all(&text)?;
        self.out.flush()?;
        self.has_printed = true;
        Ok(())
    }

    fn cells(&self, (labels, event): &Record<'_>) -> Vec<String> {
        let (event, flow) = parts(event);
        let [rx, tx] = flow.counts;
        let state = match flow.key.note() {
            Some(note) => format!("{} ({note})", flow.state.as_str()),
            None => flow.state.as_str().to_owned(),
        };
        vec![
            event.to_owned(),
            escape(&labels.netns.name),
            protocol(flow),
            endpoint(&flow.key, true),
            endpoint(&flow.key, false),
            state,
            units::clock(flow.age.as_secs()),
            self.units.rate(flow.bps[0]),
            self.units.rate(flow.bps[1]),
            units::bytes(rx.bytes),
            units::bytes(tx.bytes),
            rx.packets.to_string(),
            tx.packets.to_string(),
            rx.wire_packets.to_string(),
            tx.wire_packets.to_string(),
        ]
    }

    fn print_csv(&mut self, records: &[Record<'_>], time: &str) -> Result<(), SinkError> {
        let mut csv = csv::Writer::from_writer(Vec::new());
        if !self.has_printed {
            csv.write_record(CSV_COLUMNS).map_err(csv_error)?;
            self.has_printed = true;
        }
        for (labels, event) in records {
            let (event, flow) = parts(event);
            let Labels { netns, iface, peer } = labels;
            let (local, remote) = flow.key.addresses.unzip();
            let (local_port, remote_port) = flow.key.ports().unzip();
            let mut fields = vec![
                time.to_owned(),
                event.to_owned(),
                escape(&netns.name),
                netns.kind.to_string(),
                escape(&iface.link.name),
                escape(&peer.name),
                flow.key.protocol_name().into_owned(),
                local.map_or_else(String::new, |address| address.to_string()),
                local_port.map_or_else(String::new, |port| port.to_string()),
                remote.map_or_else(String::new, |address| address.to_string()),
                remote_port.map_or_else(String::new, |port| port.to_string()),
            ];
            for counts in flow.counts {
                fields.extend(
                    [
                        counts.packets,
                        counts.bytes,
                        counts.wire_packets,
                        counts.wire_bytes,
                    ]
                    .map(|count| count.to_string()),
                );
            }
            let [rx_flags, tx_flags] = flow.tcp_flags;
            fields.extend([
                format!("{:.3}", flow.age.as_secs_f64()),
                flow.state.as_str().to_owned(),
                flag_letters(rx_flags),
                flag_letters(tx_flags),
                flow.key.note().unwrap_or_default().to_owned(),
            ]);
            csv.write_record(fields).map_err(csv_error)?;
        }
        let text = csv.into_inner().map_err(csv_error)?;
        self.out.write_all(&text)?;
        self.out.flush()?;
        Ok(())
    }
}

/// A record, as a snapshot has it.
type Record<'a> = (&'a Labels, &'a FlowEvent);

impl<W: Write + Send> Print for Printer<W> {
    fn print(&mut self, snapshot: &Snapshot, time: &str) -> Result<(), SinkError> {
        let mut records: Vec<Record<'_>> = snapshot
            .flow_events
            .iter()
            .map(|(labels, event)| (&**labels, event))
            .collect();
        // Of one flow the events stay in their order.
        records.sort_by(|(a, a_event), (b, b_event)| {
            let key = |event| parts(event).1.key;
            let by_name = a.netns.name.cmp(&b.netns.name);
            by_name.then_with(|| key(a_event).cmp(&key(b_event)))
        });
        match self.format {
            Format::Table => self.print_table(&records, time),
            Format::Json => self.print_json(&records, time),
            Format::Csv => self.print_csv(&records, time),
        }
    }
}

/// The protocol, with what stands for ports where it has none.
fn protocol(flow: &FlowSnapshot) -> String {
    let name = flow.key.protocol_name();
    match flow.key.icmp() {
        Some((kind, code, id)) => format!("{name} {kind}/{code} id {id}"),
        None => name.into_owned(),
    }
}

const COLUMNS: [(&str, Align); 15] = [
    ("EVENT", Align::Left),
    ("NAME", Align::Left),
    ("PROTO", Align::Left),
    ("LOCAL", Align::Left),
    ("REMOTE", Align::Left),
    ("STATE", Align::Left),
    ("AGE", Align::Right),
    ("RX/s", Align::Right),
    ("TX/s", Align::Right),
    ("RX", Align::Right),
    ("TX", Align::Right),
    ("RX pkt", Align::Right),
    ("TX pkt", Align::Right),
    ("RX wire", Align::Right),
    ("TX wire", Align::Right),
];

const CSV_COLUMNS: [&str; 24] = [
    "time",
    "event",
    "name",
    "kind",
    "interface",
    "peer",
    "proto",
    "local_address",
    "local_port",
    "remote_address",
    "remote_port",
    "rx_packets",
    "rx_bytes",
    "rx_wire_packets",
    "rx_wire_bytes",
    "tx_packets",
    "tx_bytes",
    "tx_wire_packets",
    "tx_wire_bytes",
    "age_s",
    "state",
    "rx_tcp_flags",
    "tx_tcp_flags",
    "note",
];

#[cfg(test)]
mod tests;
