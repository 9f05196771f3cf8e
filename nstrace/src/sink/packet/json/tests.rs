//! Packets as JSON.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    sink::packet::{
        corpus::{LINK_TYPES, Sample, corpus},
        sample::{iface, packet},
    },
    untrusted::is_unsafe,
};

#[track_caller]
fn sample(name: &str) -> Sample {
    let mut samples = corpus().into_iter();
    samples
        .find(|sample| sample.name == name)
        .expect("in the corpus")
}

fn text(packet: &Packet<'_>, iface: &CaptureIface) -> String {
    let mut out = Vec::new();
    line(&mut out, packet, iface).expect("writes to memory");
    String::from_utf8(out).expect("UTF-8")
}

fn value(link_type: u16, packet: &Packet<'_>) -> Value {
    let text = text(packet, &iface(LinkType(link_type)));
    serde_json::from_str(&text).expect("JSON")
}

/// A packet of the corpus.
#[track_caller]
fn of(name: &str) -> Value {
    let sample = sample(name);
    value(sample.link_type, &packet(&sample.data))
}

#[test]
fn a_line_is_what_it_is() {
    let sample = sample("TCP SYN");
    let packet = Packet {
        direction: Some(Direction::Tx),
        lost: 3,
        ..packet(&sample.data)
    };
    let expected = concat!(
        r#"{"schema":"nstrace.packet/v1","time":"2026-11-21T01:46:40.123456789Z","#,
        r#""name":"web","interface":"eth0","direction":"tx","orig_len":74,"cap_len":74,"lost":3,"#,
        r#""link_type":1,"eth":{"src":"02:00:00:00:00:01","dst":"02:00:00:00:00:02","type":2048},"#,
        r#""ipv4":{"src":"192.0.2.10","dst":"198.51.100.7","ttl":64,"proto":6,"id":0,"tos":0,"#,
        r#""total_len":60,"dont_fragment":true},"#,
        r#""tcp":{"src_port":40000,"dst_port":443,"flags":"S","seq":4294967290,"ack":0,"win":64240,"#,
        r#""options":[{"kind":2,"mss":1460},{"kind":4},{"kind":8,"ts_val":1000,"ts_ecr":0},"#,
        r#"{"kind":1},{"kind":3,"wscale":7}],"len":0}}"#,
        "\n"
    );
    assert_eq!(text(&packet, &iface(LinkType::ETHERNET)), expected);
}

#[test]
fn what_a_packet_has_not_is_not_in_its_line() {
    let line = of("UDP");
    for absent in ["direction", "lost", "vlan", "ipv6", "tcp", "dns", "note"] {
        assert_eq!(line.get(absent), None, "{absent}");
    }
    assert_eq!(
        line["udp"],
        json!({"src_port": 5000, "dst_port": 6000, "len": 11})
    );
}

#[test]
fn tags_and_link_types_are_said() {
    assert_eq!(
        of("VLAN in VLAN")["vlan"],
        json!([
            {"id": 5, "priority": 0, "dei": false, "type": 0x8100},
            {"id": 100, "priority": 0, "dei": false, "type": 0x0800},
        ])
    );
    for name in [
        "raw IPv4",
        "null IPv4",
        "cooked",
        "cooked 2",
        "VLAN with priority",
    ] {
        assert_eq!(of(name)["udp"]["dst_port"], 6000, "{name}");
    }
    let unknown = value(147, &packet(&[1; 60]));
    assert_eq!(unknown["note"], "unknown link type");
    assert_eq!(unknown["link_type"], 147);
}

#[test]
fn arp_is_said() {
    assert_eq!(
        of("ARP reply")["arp"],
        json!({
            "operation": 2, "hardware_type": 1, "protocol_type": 0x0800,
            "sender_hardware": "02:00:00:00:00:01", "sender_address": "192.0.2.10",
            "target_hardware": "02:00:00:00:00:02", "target_address": "198.51.100.7",
        })
    );
}

#[test]
fn sack_blocks_and_unknown_options_are_said() {
    assert_eq!(
        of("TCP FIN")["tcp"]["options"][0],
        json!({"kind": 5, "sack": [[11, 21], [31, 41]]})
    );
    assert_eq!(
        of("TCP unknown option")["tcp"]["options"][0],
        json!({"kind": 99, "hex": "010203"})
    );
}

#[test]
fn fragments_are_said_and_only_the_first_has_ports() {
    let first = of("IPv6 first fragment");
    let fragment = json!({"offset": 0, "more": true, "id": 0xdead_beef_u32});
    assert_eq!(first["ipv6"]["fragment"], fragment);
    assert_eq!(first["udp"]["src_port"], 5000);
    let later = of("IPv4 later fragment");
    assert_eq!(
        later["ipv4"]["fragment"],
        json!({"offset": 40, "more": true})
    );
    assert_eq!(later.get("udp"), None);
}

#[test]
fn icmp_is_said() {
    let icmp = json!({"type": 8, "code": 0, "id": 0x1234, "seq": 1, "len": 15});
    assert_eq!(of("ICMP echo request")["icmp"], icmp);
    let icmp6 = json!({"type": 129, "code": 0, "id": 0x1234, "seq": 1, "len": 15});
    assert_eq!(of("ICMPv6 echo reply")["icmpv6"], icmp6);
    let other = json!({"type": 2, "code": 0, "len": 56});
    assert_eq!(of("ICMPv6 packet too big")["icmpv6"], other);
}

#[test]
fn dns_is_said() {
    assert_eq!(
        of("DNS answer")["dns"],
        json!({
            "id": 7, "kind": "response", "opcode": 0, "rcode": 0, "flags": ["rd", "ra"],
            "questions": [{"name": "www.example.com.", "type": "A", "class": 1}],
            "answers": [
                {"name": "www.example.com.", "type": "CNAME", "class": 1, "ttl": 300,
                 "data": "cdn.example.com."},
                {"name": "cdn.example.com.", "type": "A", "class": 1, "ttl": 90061,
                 "data": "192.0.2.1"},
                {"name": "cdn.example.com.", "type": "AAAA", "class": 1, "ttl": 0,
                 "data": "2001:db8:1::7"},
            ],
            "authorities": [], "additional": [],
        })
    );
    let types = of("DNS answer of many types");
    let data: Vec<_> = types["dns"]["answers"]
        .as_array()
        .expect("an array")
        .iter()
        .map(|answer| (answer["type"].as_str(), answer["data"].as_str()))
        .collect();
    assert_eq!(
        data,
        [
            ("MX", "10 mail.example.com."),
            ("TXT", r#""hello" "w\"or\010d""#),
            ("SRV", "1 2 8080 srv.example.com."),
            ("SOA", "ns.example.com. root.example.com. 1 2 3 4 5"),
            ("NS", "ns.example.com."),
            ("PTR", "."),
            ("SPF", "0178"),
            ("TYPE65280", "0178"),
        ]
        .map(|(kind, data)| (Some(kind), Some(data)))
    );
    assert_eq!(
        of("DNS over TCP")["dns"]["questions"][0]["name"],
        "www.example.com."
    );
    assert_eq!(of("DNS answer with an extended code")["dns"]["rcode"], 16);
}

#[test]
fn hostile_names_of_dns_are_escaped() {
    let dns = &of("DNS name with control characters")["dns"];
    assert_eq!(dns["questions"][0]["name"], r"\027[31m\255.a\.b.");
    for name in [
        "DNS pointer loop",
        "DNS pointer to itself",
        "DNS name that is too long",
    ] {
        assert_eq!(of(name)["dns"]["incomplete"], true, "{name}");
    }
}

#[test]
fn of_a_cut_packet_what_is_there_is_said() {
    let sample = sample("TCP SYN");
    let cut = |len: usize| {
        let packet = Packet {
            orig_len: 74,
            ..packet(&sample.data[..len])
        };
        value(1, &packet)
    };
    let header = cut(54);
    assert_eq!(header["tcp"]["flags"], "S");
    assert_eq!(header["tcp"]["len"], 0);
    assert_eq!(header["note"], "truncated at TCP header");
    let ports = cut(38);
    assert_eq!(ports["tcp"], json!({"src_port": 40000, "dst_port": 443}));
    assert_eq!(ports["note"], "truncated at TCP header");
    let ip = cut(30);
    assert_eq!(ip.get("ipv4"), None);
    assert_eq!(ip["eth"]["type"], 0x0800);
    assert_eq!(ip["note"], "truncated at IP header");
}

#[test]
fn what_cannot_be_is_malformed() {
    let note = |name| of(name)["note"].clone();
    assert_eq!(note("TCP header too short"), "malformed at TCP header");
    assert_eq!(
        note("UDP that says it is too short"),
        "malformed at IP protocol 17"
    );
    assert_eq!(note("IPv6 hop-by-hop options"), Value::Null);
}

#[test]
fn lengths_are_those_of_the_packet_and_not_of_the_capture() {
    let sample = sample("TCP with a wrong checksum");
    let mut data = sample.data;
    let whole = value(1, &packet(&data));
    assert_eq!(whole["tcp"]["len"], 4);
    let cut = Packet {
        orig_len: 58,
        ..packet(&data[..54])
    };
    assert_eq!(value(1, &cut)["tcp"]["len"], 4);
    data[16..18].copy_from_slice(&[0, 0]);
    let long = Packet {
        orig_len: 54 + 180_000,
        ..packet(&data)
    };
    assert_eq!(value(1, &long)["tcp"]["len"], 180_000);
}

/// What always holds of a line.
fn check_safe(link_type: u16, packet: &Packet<'_>) -> Result<(), TestCaseError> {
    let text = text(packet, &iface(LinkType(link_type)));
    let line = text.strip_suffix('\n').unwrap_or_default();
    prop_assert!(!line.chars().any(is_unsafe), "{text:?}");
    let value: Value = serde_json::from_str(line)
        .map_err(|error| TestCaseError::fail(format!("{error}: {text}")))?;
    prop_assert_eq!(&value["schema"], "nstrace.packet/v1");
    prop_assert_eq!(&value["cap_len"], packet.data.len());
    Ok(())
}

#[test]
fn packets_cut_at_each_byte_are_lines() {
    for sample in corpus() {
        for len in 0..=sample.data.len() {
            let packet = Packet {
                orig_len: u32::try_from(sample.data.len()).expect("short"),
                ..packet(&sample.data[..len])
            };
            check_safe(sample.link_type, &packet).expect(sample.name);
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_a_line(
        link_type in prop_oneof![prop::sample::select(LINK_TYPES.to_vec()), any::<u16>()],
        data in prop::collection::vec(any::<u8>(), 0..300),
        orig_len: u32,
        time: u64,
    ) {
        let packet = Packet { time, orig_len, ..packet(&data) };
        check_safe(link_type, &packet)?;
    }

    #[test]
    fn changed_packets_are_a_line(
        place: prop::sample::Index,
        changes in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 0..6),
        len: prop::sample::Index,
    ) {
        let samples = corpus();
        let sample = place.get(&samples);
        let mut data = sample.data.clone();
        for (at, value) in changes {
            let at = at.index(data.len());
            data[at] = value;
        }
        data.truncate(len.index(data.len()) + 1);
        check_safe(sample.link_type, &packet(&data))?;
    }
}
