//! Packets as text: against tcpdump's, on its own terms, and whatever the bytes are.

use std::net::{IpAddr, Ipv4Addr};

use jiff::tz::Offset;
use proptest::prelude::*;

use super::*;
use crate::{
    packet::LinkType,
    sink::packet::{
        NoNames, Proto, TimeStyle,
        corpus::{DIFFERENT, LINK_TYPES, Sample, corpus, time},
        sample::{iface, packet},
    },
    untrusted::is_unsafe,
};

fn printer(style: Style) -> Text {
    Text::new(style, TimeZone::UTC, Box::new(NoNames))
}

#[track_caller]
fn sample(name: &str) -> Sample {
    let mut samples = corpus().into_iter();
    samples
        .find(|sample| sample.name == name)
        .expect("in the corpus")
}

#[track_caller]
fn once(style: Style, name: &str) -> String {
    let sample = sample(name);
    let mut out = String::new();
    let iface = iface(LinkType(sample.link_type));
    printer(style).packet(&mut out, &packet(&sample.data), &iface);
    out
}

/// Compares with what tcpdump prints.
#[track_caller]
fn check_golden(style: Style, golden: &str) {
    let mut out = String::new();
    for link_type in LINK_TYPES {
        let mut text = printer(style);
        let samples = corpus().into_iter();
        let samples = samples
            .filter(|sample| sample.link_type == link_type && !DIFFERENT.contains(&sample.name));
        for (place, sample) in samples.enumerate() {
            let packet = Packet {
                time: time(place),
                ..packet(&sample.data)
            };
            text.packet(&mut out, &packet, &iface(LinkType(link_type)));
        }
    }
    for (ours, theirs) in out.lines().zip(golden.lines()) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(out.len(), golden.len());
}

#[test]
fn packets_are_printed_as_tcpdump_does() {
    check_golden(Style::default(), include_str!("golden/plain.txt"));
    let style = Style {
        link: true,
        verbose: 2,
        ..Style::default()
    };
    check_golden(style, include_str!("golden/link-verbose.txt"));
}

#[test]
fn a_bad_option_hides_no_other() {
    let line = once(Style::default(), "TCP odd option lengths");
    assert!(
        line.contains("options [mss 258[len 5],wscale 7[len 4],nop,sackOK[len 3],eol]"),
        "{line}"
    );
}

#[test]
fn the_netns_comes_first_and_is_escaped() {
    let style = Style {
        prefix: true,
        time: TimeStyle::None,
        ..Style::default()
    };
    let data = sample("UDP").data;
    let print = |netns: &str, name: &str| {
        let mut iface = iface(LinkType::ETHERNET);
        (iface.netns, iface.name) = (netns.to_owned(), name.to_owned());
        let mut out = String::new();
        printer(style).packet(&mut out, &packet(&data), &iface);
        out.split(" IP ").next().expect("a part").to_owned()
    };
    assert_eq!(print("web", "web/eth0"), "web");
    assert_eq!(print("", "eth0"), "eth0");
    assert_eq!(print("", ""), "-");
    assert_eq!(print("a\x1b[31m\nb", ""), r"a\x1b[31m\x0ab");
}

#[test]
fn times_are_of_the_zone_and_may_go_backwards() {
    let print = |style, hours, times: [u64; 2]| {
        let style = Style {
            time: style,
            ..Style::default()
        };
        let zone = TimeZone::fixed(Offset::constant(hours));
        let mut text = Text::new(style, zone, Box::new(NoNames));
        times.map(|time| {
            let mut out = String::new();
            text.clock.print(&mut out, time);
            out
        })
    };
    let times = [1_795_225_600_999_999_999, 1_795_225_599_000_000_999];
    let second = |style, hours| {
        let [_, second] = print(style, hours, times);
        second
    };
    assert_eq!(
        print(TimeStyle::Clock, 2, times),
        ["03:46:40.999999 ", "03:46:39.000000 "]
    );
    assert_eq!(second(TimeStyle::Date, -2), "2026-11-20 23:46:39.000000 ");
    assert_eq!(second(TimeStyle::Epoch, 0), "1795225599.000000 ");
    assert_eq!(second(TimeStyle::Delta, 0), "-00:00:01.999999 ");
    assert_eq!(second(TimeStyle::Elapsed, 0), "-00:00:01.999999 ");
    assert_eq!(second(TimeStyle::None, 0), "");
    let [_, last] = print(TimeStyle::Clock, 0, [0, u64::MAX]);
    assert_eq!(last, "23:34:33.709551 ");
}

#[test]
fn sequence_numbers_are_relative_to_the_first_on_that_interface() {
    let mut text = printer(Style::default());
    let mut print = |name, iface_place| {
        let sample = sample(name);
        let mut out = String::new();
        let packet = Packet {
            iface: iface_place,
            ..packet(&sample.data)
        };
        text.packet(&mut out, &packet, &iface(LinkType::ETHERNET));
        let (_, numbers) = out.split_once("seq ").expect("a sequence number");
        numbers.split(", win").next().expect("a part").to_owned()
    };
    let data = "TCP data around the wrap of sequence numbers";
    assert_eq!(print("TCP SYN ACK", 0), "1000, ack 4294967291");
    assert_eq!(print(data, 0), "1:17, ack 1");
    assert_eq!(print(data, 1), "4294967291:11, ack 1001");
}

#[test]
fn names_are_asked_for_and_escaped() {
    struct Hostile;
    impl Names for Hostile {
        fn host(&mut self, address: IpAddr) -> Option<String> {
            let known = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10));
            (address == known).then(|| "evil\x1b]0;\u{202e}host".to_owned())
        }

        fn port(&mut self, port: u16, proto: Proto) -> Option<String> {
            (port == 6000 && proto == Proto::Udp).then(|| "x11\n".to_owned())
        }
    }
    let mut text = Text::new(Style::default(), TimeZone::UTC, Box::new(Hostile));
    let mut out = String::new();
    let data = sample("UDP").data;
    text.packet(&mut out, &packet(&data), &iface(LinkType::ETHERNET));
    let (_, line) = out.split_once(' ').expect("a time");
    assert_eq!(
        line,
        "IP evil\\x1b]0;\\u{202e}host.5000 > 198.51.100.7.x11\\x0a: UDP, length 11\n"
    );
}

#[test]
fn packets_longer_than_ip_can_say_have_the_length_of_the_packet() {
    for (name, header, length_at) in [
        ("TCP with a wrong checksum", 40, 16),
        ("TCP over IPv6", 60, 18),
    ] {
        let mut data = sample(name).data;
        data[length_at..length_at + 2].copy_from_slice(&[0, 0]);
        let mut out = String::new();
        let packet = Packet {
            orig_len: 14 + header + 180_000,
            ..packet(&data)
        };
        printer(Style::default()).packet(&mut out, &packet, &iface(LinkType::ETHERNET));
        assert!(out.ends_with(", length 180000\n"), "{out}");
    }
}

#[test]
fn of_an_unknown_link_type_the_length_is_printed() {
    let style = Style {
        time: TimeStyle::None,
        ..Style::default()
    };
    let mut out = String::new();
    printer(style).packet(&mut out, &packet(&[1; 60]), &iface(LinkType(147)));
    assert_eq!(out, "linktype 147, length 60\n");
}

#[test]
fn headers_in_each_other_are_followed_so_far() {
    // Sixteen IPv4 headers, each of which says that another comes.
    let mut data = Vec::new();
    for left in (1..=16_u16).rev() {
        let [high, low] = (left * 20).to_be_bytes();
        data.extend([0x45, 0, high, low, 0, 0, 0, 0, 64, 4, 0, 0]);
        data.extend([192, 0, 2, 1, 192, 0, 2, 2]);
    }
    let mut out = String::new();
    let packet = packet(&data);
    printer(Style::default()).packet(&mut out, &packet, &iface(LinkType::RAW));
    assert_eq!(
        out.matches("IP 192.0.2.1 > 192.0.2.2: ").count(),
        8,
        "{out}"
    );
    assert!(out.ends_with("[too many headers]\n"), "{out}");
}

fn styles() -> impl Strategy<Value = Style> {
    let hex = prop_oneof![Just(Hex::None), Just(Hex::Network), Just(Hex::Link)];
    let flags = any::<[bool; 4]>();
    (flags, 0..4_u8, hex, 0..6_u8).prop_map(|([link, quiet, ascii, prefix], verbose, hex, time)| {
        Style {
            link,
            verbose,
            quiet,
            hex,
            ascii,
            time: TimeStyle::from_count(time),
            prefix,
        }
    })
}

fn link_types() -> impl Strategy<Value = LinkType> {
    prop_oneof![
        9 => prop::sample::select(LINK_TYPES.to_vec()).prop_map(LinkType),
        1 => any::<u16>().prop_map(LinkType),
    ]
}

/// Prints it, and checks what always holds of what is printed.
fn check_safe(style: Style, link_type: LinkType, packet: &Packet<'_>) -> Result<(), TestCaseError> {
    let mut out = String::new();
    printer(style).packet(&mut out, packet, &iface(link_type));
    prop_assert!(out.ends_with('\n'));
    let is_safe = |c: char| matches!(c, '\n' | '\t') || !is_unsafe(c);
    prop_assert!(out.chars().all(is_safe), "{out:?}");
    Ok(())
}

proptest! {
    #[test]
    fn any_bytes_are_printed_and_command_no_terminal(
        style in styles(),
        link_type in link_types(),
        data in prop::collection::vec(any::<u8>(), 0..300),
        orig_len: u32,
        time: u64,
    ) {
        let packet = Packet { time, orig_len, ..packet(&data) };
        check_safe(style, link_type, &packet)?;
    }

    #[test]
    fn changed_packets_are_printed_and_command_no_terminal(
        style in styles(),
        place: prop::sample::Index,
        changes in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 0..6),
        len: prop::sample::Index,
        more in prop_oneof![Just(0_u32), 0..100_000_u32],
    ) {
        let samples = corpus();
        let sample = place.get(&samples);
        let mut data = sample.data.clone();
        for (at, value) in changes {
            let at = at.index(data.len());
            data[at] = value;
        }
        data.truncate(len.index(data.len()) + 1);
        let orig_len = u32::try_from(data.len()).expect("short") + more;
        let packet = Packet { orig_len, ..packet(&data) };
        check_safe(style, LinkType(sample.link_type), &packet)?;
    }
}
