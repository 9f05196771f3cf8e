//! Each format of hand-made snapshots.

use std::{sync::Arc, time::Duration};

use nstrace_ebpf::wire::FlowKind;
use serde_json::{Value, json};

use super::*;
use crate::{
    sink::sample::{self, counts, labels},
    state::{
        IfaceKey, RowState,
        flow::{Counts, Rest},
        snapshot::Rate,
    },
    topology::model::{Identity, Ifindex, Nsid},
};

const TIME: &str = "2026-01-02T03:04:05Z";

/// An attached row that has counted nothing.
fn idle(name: &str, ifindex: u32) -> RowSnapshot {
    RowSnapshot {
        key: IfaceKey {
            ifindex: Ifindex(ifindex),
            generation: 1,
        },
        labels: Arc::new(labels(name, ifindex)),
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

const fn rate(pps: u64, bps: u64, peak_bps: u64) -> Rate {
    Rate {
        pps,
        wire_pps: pps,
        bps,
        wire_bps: bps,
        peak_bps,
    }
}

/// web: 3 packets of TCP in, 1 of ARP out.
fn web() -> RowSnapshot {
    let mut row = idle("web", 14);
    row.totals.classes[0][Class::Ipv4Tcp as usize] = Tally {
        packets: 3,
        bytes: 4500,
    };
    row.totals.classes[1][Class::Arp as usize] = Tally {
        packets: 1,
        bytes: 42,
    };
    // Two of the three were super-packets, of five segments together.
    row.totals.extra[0] = Tally {
        packets: 3,
        bytes: 162,
    };
    row.rates = [rate(2, 18_000, 1_200_000), rate(1, 168, 33_600)];
    row
}

fn gone(row: RowSnapshot) -> RowSnapshot {
    RowSnapshot {
        state: RowState::Gone {
            since: Duration::from_secs(2),
            mechanism: row.mechanism,
        },
        gone_for: Some(Duration::from_secs(1)),
        ..row
    }
}

fn pending(row: RowSnapshot) -> RowSnapshot {
    RowSnapshot {
        state: RowState::Pending,
        mechanism: None,
        ..row
    }
}

fn failed(row: RowSnapshot) -> RowSnapshot {
    RowSnapshot {
        state: RowState::Failed("no such device".to_owned()),
        mechanism: None,
        ..row
    }
}

fn snapshot(rows: Vec<RowSnapshot>) -> Snapshot {
    Snapshot {
        header: Header {
            elapsed: Duration::from_millis(3500),
            interval: Duration::from_millis(500),
            netnses: 5,
            watched: 4,
            attached: 2,
            failed: 1,
            mechanism: Some(Mechanism::Tcx),
            lost_samples: 7,
            uncounted: 1,
            flowless: 9,
            warnings: vec!["odd".to_owned()],
        },
        rows,
        flow_events: Vec::new(),
    }
}

fn printer(format: Format, sort: SortKey, filter: Option<&str>) -> Printer<Vec<u8>> {
    let filter = filter.map(str::to_owned);
    Printer::new(Vec::new(), format, sort, filter, Units::Bits, false)
}

#[track_caller]
fn print(printer: &mut Printer<Vec<u8>>, rows: Vec<RowSnapshot>) {
    let result = printer.print(&snapshot(rows), TIME);
    result.expect("writes to memory");
}

/// What is printed since the last time.
#[track_caller]
fn taken(printer: &mut Printer<Vec<u8>>) -> String {
    String::from_utf8(std::mem::take(&mut printer.out)).expect("UTF-8")
}

#[track_caller]
fn once(format: Format, rows: Vec<RowSnapshot>) -> String {
    let mut printer = printer(format, SortKey::Rate, None);
    print(&mut printer, rows);
    taken(&mut printer)
}

#[track_caller]
fn document(rows: Vec<RowSnapshot>) -> Value {
    serde_json::from_str(&once(Format::Json, rows)).expect("JSON")
}

fn no_packets() -> Value {
    json!({ "rx": { "packets": 0, "bytes": 0 }, "tx": { "packets": 0, "bytes": 0 } })
}

fn idle_side() -> Value {
    json!({
        "packets": 0,
        "bytes": 0,
        "wire_packets": 0,
        "wire_bytes": 0,
        "pps": 0,
        "bps": 0,
        "peak_bps": 0,
    })
}

#[test]
fn json_is_one_line_with_every_number() {
    let text = once(Format::Json, vec![web(), gone(idle("db", 15))]);
    assert_eq!(text.matches('\n').count(), 1);
    assert!(text.ends_with('\n'));
    let none = no_packets();
    let expected = json!({
        "schema": "nstrace.top/v1",
        "time": TIME,
        "elapsed_s": 3.5,
        "interval_s": 0.5,
        "interfaces": { "watched": 4, "attached": 2, "failed": 1 },
        "lost": { "samples": 7, "packets": 1, "flow_packets": 9 },
        "rows": [
            {
                "name": "web",
                "kind": "named",
                "inode": 4_026_532_200_u32,
                "interface": "eth0",
                "ifindex": 2,
                "peer": "veth14",
                "peer_ifindex": 14,
                "mechanism": "tcx",
                "gone": false,
                "generation": 1,
                "rx": {
                    "packets": 3,
                    "bytes": 4500,
                    "wire_packets": 6,
                    "wire_bytes": 4662,
                    "pps": 2,
                    "bps": 18_000,
                    "peak_bps": 1_200_000,
                },
                "tx": {
                    "packets": 1,
                    "bytes": 42,
                    "wire_packets": 1,
                    "wire_bytes": 42,
                    "pps": 1,
                    "bps": 168,
                    "peak_bps": 33_600,
                },
                "classes": {
                    "ipv4_tcp": {
                        "rx": { "packets": 3, "bytes": 4500 },
                        "tx": { "packets": 0, "bytes": 0 },
                    },
                    "ipv4_udp": none,
                    "ipv4_icmp": none,
                    "ipv4_other": none,
                    "ipv6_tcp": none,
                    "ipv6_udp": none,
                    "ipv6_icmp": none,
                    "ipv6_other": none,
                    "arp": {
                        "rx": { "packets": 0, "bytes": 0 },
                        "tx": { "packets": 1, "bytes": 42 },
                    },
                    "other": none,
                    "truncated": none,
                    "malformed": none,
                    "many_tags": none,
                    "many_extensions": none,
                },
            },
            {
                "name": "db",
                "kind": "named",
                "inode": 4_026_532_200_u32,
                "interface": "eth0",
                "ifindex": 2,
                "peer": "veth15",
                "peer_ifindex": 15,
                "mechanism": "tcx",
                "gone": true,
                "generation": 1,
                "rx": idle_side(),
                "tx": idle_side(),
                "classes": {
                    "ipv4_tcp": none,
                    "ipv4_udp": none,
                    "ipv4_icmp": none,
                    "ipv4_other": none,
                    "ipv6_tcp": none,
                    "ipv6_udp": none,
                    "ipv6_icmp": none,
                    "ipv6_other": none,
                    "arp": none,
                    "other": none,
                    "truncated": none,
                    "malformed": none,
                    "many_tags": none,
                    "many_extensions": none,
                },
            },
        ],
    });
    let document: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(document, expected);
}

#[test]
fn a_namespace_without_an_inode_says_null() {
    let mut row = web();
    let mut labels = labels("nsid:7", 14);
    Arc::make_mut(&mut labels.netns).identity = Identity::Nsid(Nsid(7));
    row.labels = Arc::new(labels);
    assert_eq!(document(vec![row.clone()])["rows"][0]["inode"], Value::Null);
    let csv = once(Format::Csv, vec![row]);
    let record = csv.lines().nth(1).expect("a record below the header");
    assert!(
        record.starts_with("2026-01-02T03:04:05Z,nsid:7,named,,eth0,"),
        "{record}"
    );
}

#[test]
fn every_number_survives_json() {
    let mut row = web();
    row.totals.classes[0][Class::Other as usize] = Tally {
        packets: (1 << 53) + 1,
        bytes: u64::MAX - 10_000,
    };
    let rx = &document(vec![row])["rows"][0]["rx"];
    assert_eq!(rx["packets"], (1_u64 << 53) + 4);
    assert_eq!(rx["bytes"], u64::MAX - 5500);
}

#[test]
fn a_row_stands_in_the_output_once_it_is_attached() {
    let rows = || {
        vec![
            pending(idle("pending", 1)),
            failed(idle("failed", 2)),
            // It left before it was attached: there is nothing to say of it.
            gone(pending(idle("missed", 3))),
            gone(idle("gone", 4)),
            idle("idle", 5),
        ]
    };
    let document = document(rows());
    let names: Vec<&Value> = document["rows"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| &row["name"])
        .collect();
    assert_eq!(names, ["gone", "idle"]);
    assert_eq!(once(Format::Csv, rows()).lines().count(), 1 + 2);
    assert_eq!(once(Format::Table, rows()).lines().count(), 2 + 2);
}

/// The names of the rows that are printed, in order.
#[track_caller]
fn check_order(sort: SortKey, filter: Option<&str>, expected: &[&str]) {
    let mut quick = idle("quick", 1);
    quick.rates = [rate(1, 9000, 9000), rate(5, 10, 10)];
    let mut many = idle("many", 2);
    many.rates = [rate(90, 100, 100), rate(90, 8000, 8000)];
    let mut bursty = idle("bursty", 3);
    bursty.rates = [rate(0, 50, 1_000_000), rate(0, 0, 0)];
    bursty.totals.classes[0][0].bytes = 1_000_000;
    let still = idle("a-still", 4);
    let mut printer = printer(Format::Csv, sort, filter);
    print(&mut printer, vec![still, bursty, quick, many]);
    let text = taken(&mut printer);
    let names = text.lines().skip(1).map(|line| line.split(',').nth(1));
    let names: Vec<&str> = names.flatten().collect();
    assert_eq!(names, expected);
}

#[test]
fn rows_are_sorted() {
    check_order(SortKey::Rate, None, &["quick", "many", "bursty", "a-still"]);
    check_order(SortKey::Rx, None, &["quick", "many", "bursty", "a-still"]);
    check_order(SortKey::Tx, None, &["many", "quick", "a-still", "bursty"]);
    check_order(
        SortKey::Packets,
        None,
        &["many", "quick", "a-still", "bursty"],
    );
    check_order(
        SortKey::Total,
        None,
        &["bursty", "a-still", "many", "quick"],
    );
    check_order(SortKey::Peak, None, &["bursty", "quick", "many", "a-still"]);
    check_order(SortKey::Name, None, &["a-still", "bursty", "many", "quick"]);
}

#[test]
fn rows_are_filtered_by_anything_that_is_shown() {
    check_order(SortKey::Name, Some("y"), &["bursty", "many"]);
    check_order(SortKey::Name, Some("VETH3"), &["bursty"]);
    check_order(SortKey::Name, Some("nobody"), &[]);
    check_order(
        SortKey::Name,
        Some(""),
        &["a-still", "bursty", "many", "quick"],
    );
}

#[test]
fn csv_has_its_header_once_and_the_time_in_every_record() {
    let mut printer = printer(Format::Csv, SortKey::Rate, None);
    print(&mut printer, vec![web()]);
    print(&mut printer, vec![]);
    print(&mut printer, vec![gone(web())]);
    let numbers = "3,4500,2,18000,1200000,1,42,1,168,33600,6,4662,1,42";
    let expected = format!(
        "time,name,kind,inode,interface,ifindex,peer,peer_ifindex,mechanism,gone,\
         rx_packets,rx_bytes,rx_pps,rx_bps,rx_peak_bps,\
         tx_packets,tx_bytes,tx_pps,tx_bps,tx_peak_bps,\
         rx_wire_packets,rx_wire_bytes,tx_wire_packets,tx_wire_bytes\n\
         {TIME},web,named,4026532200,eth0,2,veth14,14,tcx,false,{numbers}\n\
         {TIME},web,named,4026532200,eth0,2,veth14,14,tcx,true,{numbers}\n"
    );
    assert_eq!(taken(&mut printer), expected);
}

#[test]
fn a_table_follows_a_line_about_the_whole() {
    let mut printer = printer(Format::Table, SortKey::Rate, None);
    print(&mut printer, vec![idle("db", 15), web()]);
    let head = "2026-01-02T03:04:05Z  up 0:00:03  2 of 4 interfaces attached (tcx)  failed 1  lost samples 7  uncounted packets 1  packets in no flow 9";
    let columns = "NAME  IFACE  PEER      RX/s  TX/s  RX pkt/s  TX pkt/s  PEAK/s      RX   TX";
    let rows = [
        "web   eth0   veth14  18.0kb  168b         2         1  1.20Mb  4.50kB  42B",
        "db    eth0   veth15      0b    0b         0         0      0b      0B   0B",
    ];
    assert_eq!(
        taken(&mut printer).lines().collect::<Vec<_>>(),
        [head, columns, rows[0], rows[1]]
    );
    // Refreshes are a line apart.
    print(&mut printer, vec![gone(web())]);
    let text = taken(&mut printer);
    assert!(text.starts_with(&format!("\n{head}\n")), "{text}");
    assert!(text.contains("\nweb (gone)  eth0 "), "{text}");
}

#[test]
fn a_table_of_bytes_says_bytes() {
    let mut printer = Printer::new(
        Vec::new(),
        Format::Table,
        SortKey::Rate,
        None,
        Units::Bytes,
        false,
    );
    print(&mut printer, vec![web()]);
    let text = taken(&mut printer);
    let row = text.lines().last().expect("a row");
    assert_eq!(
        row.split_whitespace().collect::<Vec<_>>(),
        [
            "web", "eth0", "veth14", "2.25kB", "21B", "2", "1", "150kB", "4.50kB", "42B"
        ]
    );
}

#[test]
fn nothing_lost_and_nothing_attached_is_not_mentioned() {
    let mut printer = printer(Format::Table, SortKey::Rate, None);
    let nothing = Snapshot::default();
    printer.print(&nothing, TIME).expect("writes to memory");
    assert_eq!(
        taken(&mut printer).lines().next(),
        Some("2026-01-02T03:04:05Z  up 0:00:00  0 of 0 interfaces attached")
    );
}

#[test]
fn no_name_commands_the_terminal_or_forges_a_line() {
    let hostile = || {
        let mut labels = labels("a\x1b[31m\n\u{202e},\"", 14);
        labels.iface.link.name = "if\u{9b}31m".to_owned();
        labels.peer.name = "p\r\u{2066}".to_owned();
        let mut row = web();
        row.labels = Arc::new(labels);
        vec![row]
    };
    for (format, lines) in [(Format::Table, 3), (Format::Csv, 2), (Format::Json, 1)] {
        let text = once(format, hostile());
        assert_eq!(text.lines().count(), lines, "{text}");
        let is_unsafe = |c: char| c != '\n' && crate::untrusted::is_unsafe(c);
        assert_eq!(text.find(is_unsafe), None, "{text}");
    }
    // The JSON's reader gets what the name is.
    assert_eq!(document(hostile())["rows"][0]["interface"], "if\u{9b}31m");
}

#[test]
fn each_refresh_is_flushed_in_one_write() {
    #[derive(Default)]
    struct Counts {
        writes: usize,
        flushes: usize,
    }

    impl Write for Counts {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.writes += 1;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            self.flushes += 1;
            Ok(())
        }
    }

    for format in [Format::Table, Format::Csv, Format::Json] {
        let mut printer = Printer::new(
            Counts::default(),
            format,
            SortKey::Rate,
            None,
            Units::Bits,
            false,
        );
        let result = printer.print(&snapshot(vec![web(), idle("db", 15)]), TIME);
        result.expect("writes to memory");
        assert_eq!(printer.out.writes, 1, "{format:?}");
        assert!(printer.out.flushes >= 1, "{format:?}");
    }
}

/// One line with flows, as `--flows` asks for them.
#[track_caller]
fn document_with_flows(rows: Vec<RowSnapshot>) -> Value {
    let (sort, units) = (SortKey::Rate, Units::Bits);
    let mut printer = Printer::new(Vec::new(), Format::Json, sort, None, units, true);
    print(&mut printer, rows);
    serde_json::from_str(&taken(&mut printer)).expect("JSON")
}

/// A row whose totals are its two flows and the rest.
fn with_flows() -> RowSnapshot {
    let mut row = idle("web", 14);
    let ping = sample::other(
        FlowKind::Icmp,
        1,
        Some(["198.18.0.2", "203.0.113.9"]),
        [77, 0x0800],
    );
    row.flows = vec![sample::tcp(40_000), ping];
    row.other = Rest {
        flows: 12,
        counts: [
            counts(400, 30_000, 500, 35_400),
            counts(300, 20_000, 300, 20_000),
        ],
    };
    let [rx, tx] = [0, 1].map(|at| {
        let mut sum = row.other.counts[at];
        for flow in &row.flows {
            sum += flow.counts[at];
        }
        sum
    });
    for (
        at,
        Counts {
            packets,
            bytes,
            wire_packets,
            wire_bytes,
        },
    ) in [rx, tx].into_iter().enumerate()
    {
        row.totals.classes[at][Class::Ipv4Tcp as usize] = Tally { packets, bytes };
        row.totals.extra[at] = Tally {
            packets: wire_packets - packets,
            bytes: wire_bytes - bytes,
        };
    }
    row
}

#[test]
fn a_flow_in_json_is_what_is_known_of_it() {
    let row = &document_with_flows(vec![with_flows()])["rows"][0];
    let ends = || {
        let end = |address, port| json!({ "address": address, "port": port });
        (
            end("198.18.0.2", json!(40_000)),
            end("203.0.113.9", json!(443)),
        )
    };
    let (local, remote) = ends();
    let side = |counts: [u64; 4], pps: u64, bps: u64| {
        let [packets, bytes, wire_packets, wire_bytes] = counts;
        json!({
            "packets": packets,
            "bytes": bytes,
            "wire_packets": wire_packets,
            "wire_bytes": wire_bytes,
            "pps": pps,
            "bps": bps,
        })
    };
    let expected = json!({
        "proto": "tcp",
        "local": local,
        "remote": remote,
        "rx": side([10, 25_540, 30, 26_620], 5, 102_160),
        "tx": side([6, 396, 6, 396], 3, 1584),
        "age_s": 61.234,
        "idle_s": 0.012,
        "state": "established",
        "tcp": { "rx_flags": "SP.", "tx_flags": "S.", "syns": 2 },
    });
    assert_eq!(row["flows"][0], expected);
    let ping = &row["flows"][1];
    assert_eq!(ping["proto"], "icmp");
    assert_eq!(ping["icmp"], json!({ "type": 8, "code": 0, "id": 77 }));
    // No ports, and no word of what is not there.
    assert_eq!(
        ping["local"],
        json!({ "address": "198.18.0.2", "port": null })
    );
    assert_eq!(
        ping["remote"],
        json!({ "address": "203.0.113.9", "port": null })
    );
    assert_eq!((ping.get("tcp"), ping.get("note")), (None, None));
    let side = |counts: [u64; 4]| {
        let [packets, bytes, wire_packets, wire_bytes] = counts;
        json!({
            "packets": packets,
            "bytes": bytes,
            "wire_packets": wire_packets,
            "wire_bytes": wire_bytes,
        })
    };
    let expected = json!({
        "flows": 12,
        "rx": side([400, 30_000, 500, 35_400]),
        "tx": side([300, 20_000, 300, 20_000]),
    });
    assert_eq!(row["other"], expected);
}

#[test]
fn the_flows_of_a_row_and_the_others_are_its_totals() {
    let row = &document_with_flows(vec![with_flows()])["rows"][0];
    for side in ["rx", "tx"] {
        for field in ["packets", "bytes", "wire_packets", "wire_bytes"] {
            let number = |of: &Value| of[side][field].as_u64().expect("a number");
            let flows = row["flows"].as_array().expect("flows");
            let sum = flows.iter().map(number).sum::<u64>() + number(&row["other"]);
            assert_eq!(sum, number(row), "{side} {field}");
        }
    }
}

#[test]
fn flows_stand_in_json_only_where_they_were_asked_for() {
    let without = &document(vec![with_flows()])["rows"][0];
    assert_eq!((without.get("flows"), without.get("other")), (None, None));
    // Where they were, a row without any says so.
    let with = &document_with_flows(vec![idle("db", 15)])["rows"][0];
    assert_eq!(with["flows"], json!([]));
    assert_eq!(with["other"]["flows"], 0);
}
