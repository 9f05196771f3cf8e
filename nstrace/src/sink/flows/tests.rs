//! Each format of hand-made events.

use std::{sync::Arc, time::Duration};

use nstrace_ebpf::wire::{Class, FlowKind};
use serde_json::{Value, json};

use super::*;
use crate::{
    sink::sample::{self, counts, labels},
    state::flow::FlowState,
};

const TIME: &str = "2026-01-02T03:04:05Z";
const ENDS: Option<[&str; 2]> = Some(["198.18.0.2", "203.0.113.9"]);

type Event = (Arc<Labels>, FlowEvent);

fn of(name: &str, event: FlowEvent) -> Event {
    (Arc::new(labels(name, 14)), event)
}

fn printer(format: Format) -> Printer<Vec<u8>> {
    Printer::new(Vec::new(), format, Units::Bits)
}

#[track_caller]
fn print(printer: &mut Printer<Vec<u8>>, flow_events: Vec<Event>) {
    let snapshot = Snapshot {
        flow_events,
        ..Snapshot::default()
    };
    printer.print(&snapshot, TIME).expect("writes to memory");
}

/// What is printed since the last time.
#[track_caller]
fn taken(printer: &mut Printer<Vec<u8>>) -> String {
    String::from_utf8(std::mem::take(&mut printer.out)).expect("UTF-8")
}

#[track_caller]
fn once(format: Format, events: Vec<Event>) -> String {
    let mut printer = printer(format);
    print(&mut printer, events);
    taken(&mut printer)
}

fn ping() -> FlowSnapshot {
    sample::other(FlowKind::Icmp, 1, ENDS, [77, 0x0800])
}

/// An event of each kind, of two namespaces, in no order.
fn events() -> Vec<Event> {
    vec![
        of("web", FlowEvent::Update(sample::tcp(40_000))),
        of("web", FlowEvent::End(ping())),
        of("db", FlowEvent::New(sample::tcp(40_001))),
    ]
}

fn records(text: &str) -> Vec<Value> {
    let parse = |line| serde_json::from_str(line).expect("JSON");
    text.lines().map(parse).collect()
}

#[test]
fn json_is_a_line_for_each_event_with_every_number() {
    let text = once(Format::Json, events());
    assert!(text.ends_with('\n'));
    let records = records(&text);
    assert_eq!(records.len(), 3);
    let expected = json!({
        "schema": "nstrace.flow/v1",
        "time": TIME,
        "event": "update",
        "name": "web",
        "kind": "named",
        "interface": "eth0",
        "peer": "veth14",
        "proto": "tcp",
        "local": { "address": "198.18.0.2", "port": 40_000 },
        "remote": { "address": "203.0.113.9", "port": 443 },
        "rx": {
            "packets": 10,
            "bytes": 25_540,
            "wire_packets": 30,
            "wire_bytes": 26_620,
            "pps": 5,
            "bps": 102_160,
        },
        "tx": {
            "packets": 6,
            "bytes": 396,
            "wire_packets": 6,
            "wire_bytes": 396,
            "pps": 3,
            "bps": 1584,
        },
        "age_s": 61.234,
        "idle_s": 0.012,
        "state": "established",
        "tcp": { "rx_flags": "SP.", "tx_flags": "S.", "syns": 2 },
    });
    assert_eq!(records[1], expected);
    let told = |record: &Value| (record["name"].clone(), record["event"].clone());
    assert_eq!(told(&records[0]), (json!("db"), json!("new")));
    assert_eq!(told(&records[2]), (json!("web"), json!("end")));
    assert_eq!(
        records[2]["icmp"],
        json!({ "type": 8, "code": 0, "id": 77 })
    );
}

#[test]
fn what_has_no_addresses_says_null_and_why() {
    let arp = sample::other(FlowKind::Ethertype, 0, None, [0, 0x0806]);
    let tags = sample::other(FlowKind::Unparsed, 0, None, [0, Class::ManyTags as u16]);
    let fragments = sample::other(FlowKind::LaterFragment, 17, ENDS, [0; 2]);
    let events = [arp, tags, fragments].map(|flow| of("web", FlowEvent::New(flow)));
    let records = records(&once(Format::Json, events.into()));
    // Kinds stand in the order of their numbers.
    let told: Vec<_> = records
        .iter()
        .map(|record| (&record["proto"], record.get("note")))
        .collect();
    let not_parsed = json!("not parsed");
    let expected = [
        (&json!("udp"), Some(&json!("fragments"))),
        (&json!("arp"), None),
        (&json!("many-tags"), Some(&not_parsed)),
    ];
    assert_eq!(told, expected);
    let nothing = json!({ "address": null, "port": null });
    for record in &records[1..] {
        assert_eq!((&record["local"], &record["remote"]), (&nothing, &nothing));
    }
    assert_eq!(records[0]["local"]["address"], "198.18.0.2");
    assert_eq!(records[0]["local"]["port"], Value::Null);
}

#[test]
fn every_number_survives_json() {
    let mut flow = sample::tcp(40_000);
    let large = (1 << 53) + 1;
    flow.counts[0] = counts(large, u64::MAX - 1, large + 1, u64::MAX);
    let record = &records(&once(Format::Json, vec![of("web", FlowEvent::End(flow))]))[0];
    let rx = &record["rx"];
    assert_eq!(
        (&rx["packets"], &rx["bytes"]),
        (&json!(large), &json!(u64::MAX - 1))
    );
    assert_eq!(
        (&rx["wire_packets"], &rx["wire_bytes"]),
        (&json!(large + 1), &json!(u64::MAX))
    );
}

#[test]
fn a_table_has_a_row_for_each_event() {
    let text = once(Format::Table, events());
    let expected = "\
2026-01-02T03:04:05Z
EVENT   NAME  PROTO           LOCAL             REMOTE           STATE            AGE   RX/s    TX/s      RX    TX  RX pkt  TX pkt  RX wire  TX wire
new     db    tcp             198.18.0.2:40001  203.0.113.9:443  established  0:01:01  102kb  1.58kb  25.5kB  396B      10       6       30        6
update  web   tcp             198.18.0.2:40000  203.0.113.9:443  established  0:01:01  102kb  1.58kb  25.5kB  396B      10       6       30        6
end     web   icmp 8/0 id 77  198.18.0.2        203.0.113.9      active       0:00:03   784b    784b     98B   98B       1       1        1        1
";
    assert_eq!(text, expected);
}

#[test]
fn a_table_says_what_is_odd_and_leaves_out_what_is_not_there() {
    let arp = sample::other(FlowKind::Ethertype, 0, None, [0, 0x0806]);
    let v6 = Some(["2001:db8::2", "2001:db8::9"]);
    let mut cut = sample::other(FlowKind::Truncated, 6, v6, [0; 2]);
    cut.state = FlowState::Idle;
    let mut udp = sample::other(FlowKind::Ports, 17, v6, [53, 1000]);
    udp.age = Duration::from_hours(1);
    let events = [arp, cut, udp].map(|flow| of("web", FlowEvent::New(flow)));
    let text = once(Format::Table, events.into());
    let rows: Vec<Vec<&str>> = text
        .lines()
        .skip(2)
        .map(|line| line.split_whitespace().skip(2).take(6).collect())
        .collect();
    assert_eq!(
        rows,
        [
            [
                "udp",
                "[2001:db8::2]:53",
                "[2001:db8::9]:1000",
                "active",
                "1:00:00",
                "784b"
            ],
            [
                "tcp",
                "2001:db8::2",
                "2001:db8::9",
                "idle",
                "(truncated)",
                "0:00:03"
            ],
            ["arp", "-", "-", "active", "0:00:03", "784b"],
        ]
    );
}

#[test]
fn a_table_of_bytes_says_bytes() {
    let mut printer = Printer::new(Vec::new(), Format::Table, Units::Bytes);
    print(
        &mut printer,
        vec![of("web", FlowEvent::New(sample::tcp(1)))],
    );
    let text = taken(&mut printer);
    assert!(text.contains(" 12.7kB "), "{text}");
    assert!(text.contains(" 198B "), "{text}");
}

#[test]
fn an_interval_in_which_nothing_happened_is_not_printed() {
    for format in [Format::Table, Format::Json] {
        let mut printer = printer(format);
        print(&mut printer, Vec::new());
        assert_eq!(taken(&mut printer), "");
        print(&mut printer, events());
        let first = taken(&mut printer);
        print(&mut printer, Vec::new());
        assert_eq!(taken(&mut printer), "");
        print(&mut printer, events());
        // Tables are a line apart.
        let apart = if format == Format::Table { "\n" } else { "" };
        assert_eq!(taken(&mut printer), format!("{apart}{first}"));
    }
}

#[test]
fn csv_has_its_header_once_and_a_record_for_each_event() {
    let mut printer = printer(Format::Csv);
    print(&mut printer, Vec::new());
    print(&mut printer, events());
    print(&mut printer, Vec::new());
    let fragments = sample::other(FlowKind::LaterFragment, 17, ENDS, [0; 2]);
    print(&mut printer, vec![of("web", FlowEvent::New(fragments))]);
    let expected = "\
time,event,name,kind,interface,peer,proto,\
local_address,local_port,remote_address,remote_port,\
rx_packets,rx_bytes,rx_wire_packets,rx_wire_bytes,\
tx_packets,tx_bytes,tx_wire_packets,tx_wire_bytes,\
age_s,state,rx_tcp_flags,tx_tcp_flags,note
2026-01-02T03:04:05Z,new,db,named,eth0,veth14,tcp,198.18.0.2,40001,203.0.113.9,443,10,25540,30,26620,6,396,6,396,61.234,established,SP.,S.,
2026-01-02T03:04:05Z,update,web,named,eth0,veth14,tcp,198.18.0.2,40000,203.0.113.9,443,10,25540,30,26620,6,396,6,396,61.234,established,SP.,S.,
2026-01-02T03:04:05Z,end,web,named,eth0,veth14,icmp,198.18.0.2,,203.0.113.9,,1,98,1,98,1,98,1,98,3.000,active,,,
2026-01-02T03:04:05Z,new,web,named,eth0,veth14,udp,198.18.0.2,,203.0.113.9,,1,98,1,98,1,98,1,98,3.000,active,,,fragments
";
    assert_eq!(taken(&mut printer), expected);
}

#[test]
fn records_stand_by_name_then_by_flow_and_those_of_one_flow_as_they_happened() {
    let flow = |port| sample::tcp(port);
    let events = vec![
        of("b", FlowEvent::End(flow(2))),
        of("b", FlowEvent::New(flow(2))),
        of("b", FlowEvent::Update(flow(1))),
        of("a", FlowEvent::Update(flow(9))),
    ];
    let records = records(&once(Format::Json, events));
    let told: Vec<_> = records
        .iter()
        .map(|record| {
            let text = |value: &Value| value.as_str().expect("text").to_owned();
            let port = record["local"]["port"].as_u64().expect("a port");
            (text(&record["name"]), port, text(&record["event"]))
        })
        .collect();
    let expected = [
        ("a", 9, "update"),
        ("b", 1, "update"),
        ("b", 2, "end"),
        ("b", 2, "new"),
    ];
    assert_eq!(
        told,
        expected.map(|(name, port, event)| (name.to_owned(), port, event.to_owned()))
    );
}

#[test]
fn no_name_commands_the_terminal_or_forges_a_line() {
    let hostile = || {
        let mut labels = labels("a\x1b[31m\n\u{202e},\"", 14);
        labels.iface.link.name = "if\u{9b}31m".to_owned();
        labels.peer.name = "p\r\u{2066}".to_owned();
        vec![(Arc::new(labels), FlowEvent::New(sample::tcp(1)))]
    };
    for (format, lines) in [(Format::Table, 3), (Format::Csv, 2), (Format::Json, 1)] {
        let text = once(format, hostile());
        assert_eq!(text.lines().count(), lines, "{text}");
        let is_unsafe = |c: char| c != '\n' && crate::untrusted::is_unsafe(c);
        assert_eq!(text.find(is_unsafe), None, "{text}");
    }
    // The JSON's reader gets what the name is.
    let record = &records(&once(Format::Json, hostile()))[0];
    assert_eq!(record["interface"], "if\u{9b}31m");
}

#[test]
fn flags_are_letters_from_the_lowest_bit_on() {
    for (flags, letters) in [(0, ""), (0x02, "S"), (0x11, "F."), (0xff, "FSRP.UEW")] {
        assert_eq!(flag_letters(flags), letters);
    }
}

#[test]
fn each_interval_is_flushed_in_one_write() {
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
        let mut printer = Printer::new(Counts::default(), format, Units::Bits);
        let snapshot = Snapshot {
            flow_events: events(),
            ..Snapshot::default()
        };
        printer.print(&snapshot, TIME).expect("writes to memory");
        assert_eq!(printer.out.writes, 1, "{format:?}");
        assert!(printer.out.flushes >= 1, "{format:?}");
    }
}
