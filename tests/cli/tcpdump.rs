//! What is printed of a packet, against what tcpdump prints of it.
//!
//! Judged by 4.99.3; a newer one words a few malformed packets differently.

#[path = "../../nstrace/src/sink/packet/corpus/mod.rs"]
mod corpus;

use std::{fs, path::Path, process::Command};

use corpus::{DIFFERENT, LINK_TYPES, Sample, corpus, time};
use jiff::tz::TimeZone;

use nstrace::{
    packet::{CaptureIface, LinkType, Packet},
    sink::packet::{Hex, NoNames, Style, Text, TimeStyle},
};

use crate::text;

/// A packet as it is captured.
struct Captured {
    name: String,
    time: u64,
    orig_len: u32,
    data: Vec<u8>,
}

const NANOS: u64 = 1_000_000_000;

/// Each options of tcpdump's, and the style that is their like.
fn styles() -> Vec<(Vec<&'static str>, Style)> {
    let plain = Style::default();
    let with = |options: &[&'static str], change: &dyn Fn(&mut Style)| {
        let mut style = plain;
        change(&mut style);
        (options.to_vec(), style)
    };
    vec![
        with(&[], &|_| {}),
        with(&["-e"], &|style| style.link = true),
        with(&["-q"], &|style| style.quiet = true),
        with(&["-q", "-e"], &|style| {
            (style.quiet, style.link) = (true, true);
        }),
        with(&["-v"], &|style| style.verbose = 1),
        with(&["-v", "-e"], &|style| {
            (style.verbose, style.link) = (1, true);
        }),
        with(&["-vv"], &|style| style.verbose = 2),
        with(&["-vvv"], &|style| style.verbose = 3),
        with(&["-X"], &|style| style.hex = Hex::Network),
        with(&["-XX"], &|style| style.hex = Hex::Link),
        with(&["-A"], &|style| style.ascii = true),
        with(&["-t"], &|style| style.time = TimeStyle::None),
        with(&["-tt"], &|style| style.time = TimeStyle::Epoch),
        with(&["-ttt"], &|style| style.time = TimeStyle::Delta),
        with(&["-tttt"], &|style| style.time = TimeStyle::Date),
        with(&["-ttttt"], &|style| style.time = TimeStyle::Elapsed),
    ]
}

fn pcap(link_type: u16, packets: &[Captured]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut put = |number: u32| file.extend(number.to_le_bytes());
    put(0xa1b2_c3d4);
    put(4 << 16 | 2);
    put(0);
    put(0);
    put(262_144);
    put(link_type.into());
    for packet in packets {
        for number in [
            packet.time / NANOS,
            packet.time % NANOS / 1000,
            packet.data.len() as u64,
        ] {
            file.extend(u32::try_from(number).unwrap().to_le_bytes());
        }
        file.extend(packet.orig_len.to_le_bytes());
        file.extend(&packet.data);
    }
    file
}

/// What is printed of each packet: a line, and those below it, which begin with white space.
fn by_packet(text: &str) -> Vec<String> {
    let mut packets: Vec<String> = Vec::new();
    for line in text.lines() {
        // A time of -ttt begins with a space or a sign.
        let is_first = !line.starts_with(['\t', ' ']) || line.starts_with(" 0");
        match packets.last_mut() {
            Some(packet) if !is_first => {
                packet.push('\n');
                packet.push_str(line);
            }
            _ => packets.push(line.to_owned()),
        }
    }
    packets
}

fn iface(link_type: u16) -> CaptureIface {
    CaptureIface {
        name: "web/eth0".to_owned(),
        netns: "web".to_owned(),
        description: String::new(),
        link_type: LinkType(link_type),
        mac: None,
        addresses: Vec::new(),
        filter: None,
        snaplen: 262_144,
    }
}

fn ours(style: Style, link_type: u16, packets: &[Captured]) -> Vec<String> {
    let mut printer = Text::new(style, TimeZone::UTC, Box::new(NoNames));
    let iface = iface(link_type);
    let print = |packet: &Captured| {
        let mut out = String::new();
        let packet = Packet {
            time: packet.time,
            iface: 0,
            direction: None,
            orig_len: packet.orig_len,
            data: &packet.data,
            lost: 0,
        };
        printer.packet(&mut out, &packet, &iface);
        out.strip_suffix('\n').unwrap().to_owned()
    };
    packets.iter().map(print).collect()
}

/// What tcpdump prints of a file, with what it cannot know as we have it.
fn tcpdump(options: &[&str], file: &Path) -> Vec<String> {
    let output = Command::new("tcpdump")
        .args(["-nn"])
        .args(options)
        .arg("-r")
        .arg(file)
        .env("TZ", "UTC")
        .output()
        .expect("tcpdump is installed: cargo xtask setup --tests");
    assert!(output.status.success(), "{output:?}");
    let mut packets = by_packet(&text(&output.stdout));
    for text in &mut packets {
        // Which name an index has here is not known from the file.
        *text = text.replacen("?     ", "2147483647 ", 1);
    }
    packets
}

/// Compares what is printed of packets of one link type, in all styles.
fn compare(
    styles: &[(Vec<&'static str>, Style)],
    link_type: u16,
    packets: &[Captured],
    is_known: impl Fn(&[&str], &str, &str) -> bool,
) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("corpus.pcap");
    fs::write(&file, pcap(link_type, packets)).unwrap();
    let mut differences = Vec::new();
    for (options, style) in styles {
        let ours = ours(*style, link_type, packets);
        let theirs = tcpdump(options, &file);
        if style.ascii || style.time == TimeStyle::None {
            // Its lines may begin with anything.
            let ours = by_packet(&ours.join("\n")).join("\n");
            let (ours, theirs) = (ours, theirs.join("\n"));
            if ours != theirs {
                let at = ours
                    .lines()
                    .zip(theirs.lines())
                    .find(|(ours, theirs)| ours != theirs);
                differences.push(format!("{options:?}: {at:#?}"));
            }
            continue;
        }
        assert_eq!(ours.len(), theirs.len(), "{options:?}");
        for ((packet, ours), theirs) in packets.iter().zip(ours).zip(theirs) {
            if ours != theirs && !is_known(options, &ours, &theirs) {
                differences.push(format!(
                    "{options:?} {}\n ours:   {ours}\n theirs: {theirs}",
                    packet.name
                ));
            }
        }
    }
    let version = Command::new("tcpdump").arg("--version").output().unwrap();
    assert!(
        differences.is_empty(),
        "{} differences from {}\n{}",
        differences.len(),
        String::from_utf8_lossy(&version.stdout),
        differences.join("\n")
    );
}

fn captured(samples: &[Sample], link_type: u16) -> Vec<Captured> {
    let samples = samples
        .iter()
        .filter(|sample| sample.link_type == link_type)
        .filter(|sample| !DIFFERENT.contains(&sample.name));
    let captured = samples.enumerate().map(|(place, sample)| Captured {
        name: sample.name.to_owned(),
        time: time(place),
        orig_len: u32::try_from(sample.data.len()).unwrap(),
        data: sample.data.clone(),
    });
    captured.collect()
}

#[test]
fn whole_packets_are_printed_as_tcpdump_does() {
    let samples = corpus();
    for link_type in LINK_TYPES {
        compare(
            &styles(),
            link_type,
            &captured(&samples, link_type),
            |_, _, _| false,
        );
    }
}

/// Of a packet that was cut tcpdump's -X may begin with the link-layer header, ours never does; and a DNS record that is cut where its name begins is not said to be.
fn is_known_of_cut(options: &[&str], ours: &str, theirs: &str) -> bool {
    let first_line = |text: &str| text.lines().next().map(str::to_owned);
    if options == ["-X"] {
        return first_line(ours) == first_line(theirs);
    }
    let cut = ours.strip_suffix(" [|domain]");
    cut.is_some_and(|start| theirs.strip_prefix(start) == Some(" (37)"))
}

#[test]
fn packets_cut_at_each_byte_are_printed_as_tcpdump_does() {
    let samples = corpus();
    let mut styles = styles();
    styles.retain(|(_, style)| !style.ascii);
    for link_type in LINK_TYPES {
        let mut cut = Vec::new();
        for whole in captured(&samples, link_type) {
            for len in 1..whole.data.len() {
                cut.push(Captured {
                    name: format!("{} cut to {len}", whole.name),
                    data: whole.data[..len].to_vec(),
                    ..whole
                });
            }
        }
        compare(&styles, link_type, &cut, is_known_of_cut);
    }
}

/// The library's own test compares with what is kept here, so that it needs no tcpdump.
#[test]
fn what_is_kept_of_tcpdumps_text_is_what_it_prints() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("corpus.pcap");
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sink/packet/text/golden");
    let samples = corpus();
    for (name, options) in [("plain", &[][..]), ("link-verbose", &["-e", "-vv"])] {
        let mut text = String::new();
        for link_type in LINK_TYPES {
            fs::write(&file, pcap(link_type, &captured(&samples, link_type))).unwrap();
            for packet in tcpdump(options, &file) {
                text.push_str(&packet);
                text.push('\n');
            }
        }
        let path = kept.join(name).with_extension("txt");
        if std::env::var_os("BLESS").is_some() {
            fs::write(&path, &text).unwrap();
        }
        let kept = fs::read_to_string(&path).unwrap();
        assert_eq!(kept, text, "{}: BLESS=1 rewrites it", path.display());
    }
}
