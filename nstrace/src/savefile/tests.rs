//! What was written is read, and nothing that is read does harm.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on panics, with its stack"
)]

use std::fs;

use nstrace_ebpf::wire::Direction;
use proptest::prelude::*;

use super::*;
use crate::{
    packet::{CaptureCounts, LinkType},
    sink::savefile::{FileFormat, Rotation, SaveFile, SaveOptions, Tag},
};

/// A packet that owns its bytes.
#[derive(Clone, Debug, PartialEq)]
struct Owned {
    time: u64,
    iface: usize,
    direction: Option<Direction>,
    orig_len: u32,
    data: Vec<u8>,
    lost: u64,
}

impl Owned {
    fn of(packet: &Packet<'_>) -> Self {
        Self {
            time: packet.time,
            iface: packet.iface,
            direction: packet.direction,
            orig_len: packet.orig_len,
            data: packet.data.to_vec(),
            lost: packet.lost,
        }
    }

    fn packet(&self) -> Packet<'_> {
        Packet {
            time: self.time,
            iface: self.iface,
            direction: self.direction,
            orig_len: self.orig_len,
            data: &self.data,
            lost: self.lost,
        }
    }
}

/// All that a file holds, and why no more was read.
#[derive(Default)]
struct Contents {
    ifaces: Vec<CaptureIface>,
    packets: Vec<Owned>,
    names: Vec<(IpAddr, String)>,
    statistics: Vec<FileStatistics>,
    error: Option<String>,
}

fn read(bytes: &[u8]) -> Contents {
    let mut contents = Contents::default();
    let mut reader = match Reader::new(bytes) {
        Ok(reader) => reader,
        Err(error) => {
            contents.error = Some(error.to_string());
            return contents;
        }
    };
    while let Some(item) = reader.next_item() {
        match item {
            Ok(Item::Interface(iface)) => contents.ifaces.push(iface),
            Ok(Item::Packet(packet)) => contents.packets.push(Owned::of(&packet)),
            Ok(Item::Names(names)) => contents.names.extend(names),
            Ok(Item::Statistics(statistics)) => contents.statistics.push(statistics),
            Err(error) => contents.error = Some(error.to_string()),
        }
    }
    contents
}

fn written(
    format: FileFormat,
    ifaces: &[CaptureIface],
    names: &[(IpAddr, String)],
    packets: &[(Owned, Option<Tag>)],
) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    let mut save = SaveFile::create(SaveOptions {
        path: path.clone(),
        format,
        force: false,
        rotation: Rotation::default(),
        min_free: None,
        owner: None,
        start: 5,
        kernel: "6.18.0".to_owned(),
    })
    .unwrap();
    for iface in ifaces {
        save.interface(iface).unwrap();
    }
    save.names(names);
    for (packet, tag) in packets {
        assert_eq!(
            save.packet(&packet.packet(), *tag).unwrap(),
            crate::sink::savefile::Saved::Yes
        );
    }
    let counts: Vec<_> = (0..ifaces.len())
        .map(|iface| CaptureCounts {
            matched: iface as u64 + 6,
            captured: iface as u64 + 1,
            lost_ring: 3,
            lost_disk: 2,
        })
        .collect();
    save.finish(&counts, u64::MAX).unwrap();
    fs::read(path).unwrap()
}

fn iface(name: &str) -> CaptureIface {
    CaptureIface {
        name: format!("{name}/eth0"),
        netns: name.to_owned(),
        description: "container 0123, host veth v-web".to_owned(),
        link_type: LinkType::ETHERNET,
        mac: Some([2, 0, 0, 0, 0, 1]),
        addresses: vec![
            ("192.0.2.1".parse().unwrap(), 24),
            ("2001:db8::1".parse().unwrap(), 64),
        ],
        filter: Some("tcp port 443".to_owned()),
        snaplen: 262_144,
    }
}

/// A packet of one of two interfaces.
fn packet() -> impl Strategy<Value = Owned> {
    let direction = prop_oneof![
        Just(None),
        Just(Some(Direction::Rx)),
        Just(Some(Direction::Tx))
    ];
    let data = prop::collection::vec(any::<u8>(), 0..200);
    (
        any::<u64>(),
        0..2_usize,
        direction,
        0..9_u32,
        data,
        0..3_u64,
    )
        .prop_map(|(time, iface, direction, cut, data, lost)| Owned {
            time,
            iface,
            direction,
            orig_len: u32::try_from(data.len()).unwrap() + cut,
            data,
            lost: if lost == 2 { u64::MAX } else { 0 },
        })
}

fn name() -> impl Strategy<Value = String> {
    "[a-z/é網]{1,20}"
}

proptest! {
    #[test]
    fn what_was_written_is_read(
        packets in prop::collection::vec(packet(), 0..20),
        ifaces in prop::collection::vec(name(), 2..4),
        prefix in 0..33_u8,
        snaplen in 200..300_u32,
        texts in prop::collection::vec(name(), 3),
        names in prop::collection::btree_set((any::<IpAddr>(), name()), 0..5),
    ) {
        let ifaces: Vec<_> = ifaces.iter().map(|name| CaptureIface {
            description: texts[0].clone(),
            filter: Some(texts[1].clone()),
            addresses: vec![("192.0.2.1".parse().unwrap(), prefix)],
            snaplen,
            ..iface(name)
        }).collect();
        let names: Vec<_> = names.into_iter().collect();
        let tagless: Vec<_> = packets.iter().map(|packet| (packet.clone(), None)).collect();
        let contents = read(&written(FileFormat::Pcapng, &ifaces, &names, &tagless));
        prop_assert_eq!(contents.error, None);
        prop_assert_eq!(&contents.packets, &packets);
        prop_assert_eq!(contents.ifaces, ifaces.clone());
        prop_assert_eq!(contents.names, names);
        prop_assert_eq!(contents.statistics.len(), ifaces.len());
        for (at, statistics) in contents.statistics.into_iter().enumerate() {
            let comment = "2 packets could not be written to the file";
            prop_assert_eq!(statistics, FileStatistics {
                iface: at,
                start: Some(5),
                end: Some(u64::MAX),
                received: None,
                dropped: None,
                matched: Some(at as u64 + 6),
                lost: Some(3),
                captured: Some(at as u64 + 1),
                comment: Some(comment.to_owned()),
            });
        }
    }

    #[test]
    fn pcap_holds_packets_and_their_times(packets in prop::collection::vec(packet(), 0..20)) {
        let ifaces = [iface("a"), iface("b")];
        let tagless: Vec<_> = packets
            .into_iter()
            .map(|packet| (Owned { time: packet.time >> 3, ..packet }, None))
            .collect();
        let contents = read(&written(FileFormat::Pcap, &ifaces, &[], &tagless));
        prop_assert_eq!(contents.error, None);
        let expected: Vec<_> = tagless
            .into_iter()
            .map(|(packet, _)| Owned { iface: 0, direction: None, lost: 0, ..packet })
            .collect();
        prop_assert_eq!(contents.packets, expected);
        prop_assert_eq!(contents.ifaces.len(), 1);
        prop_assert_eq!(contents.ifaces[0].link_type, LinkType::ETHERNET);
        prop_assert_eq!(contents.ifaces[0].snaplen, 262_144);
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(
        magic in 0..MAGICS.len() + 1,
        bytes in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let head = MAGICS.get(magic).copied().unwrap_or_default();
        read(&[head, &bytes].concat());
    }

    #[test]
    fn a_spoilt_file_is_read_without_a_panic(
        format in 0..FILES.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = FILES[format].clone();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        read(&bytes);
    }
}

/// What files begin with.
const MAGICS: [&[u8]; 8] = [
    &[0xa1, 0xb2, 0xc3, 0xd4],
    &[0xd4, 0xc3, 0xb2, 0xa1],
    &[0xa1, 0xb2, 0x3c, 0x4d],
    &[0x4d, 0x3c, 0xb2, 0xa1],
    &[0x34, 0xcd, 0xb2, 0xa1],
    &[0x0a, 0x0d, 0x0d, 0x0a],
    &[0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a],
    &[0x0a, 0x0d, 0x0d, 0x0a, 0, 0, 0, 28, 0x1a, 0x2b, 0x3c, 0x4d],
];

/// Files of either format and byte order with all kinds of blocks.
static FILES: std::sync::LazyLock<[Vec<u8>; 4]> = std::sync::LazyLock::new(|| {
    let packets: Vec<_> = (0..5_u8)
        .map(|number| {
            let packet = Owned {
                time: number.into(),
                iface: 0,
                direction: Some(Direction::Tx),
                orig_len: 80,
                data: vec![number; 70],
                lost: u64::from(number / 3),
            };
            (packet, None)
        })
        .collect();
    let names = [("192.0.2.1".parse().unwrap(), "web".to_owned())];
    let make = |format| written(format, &[iface("web")], &names, &packets);
    [
        make(FileFormat::Pcapng),
        make(FileFormat::Pcap),
        crafted(Order::Big),
        crafted(Order::Little),
    ]
});

use super::options::Order;

/// Blocks in either byte order.
struct Craft {
    order: Order,
    bytes: Vec<u8>,
}

impl Craft {
    fn u16(&self, value: u16) -> [u8; 2] {
        match self.order {
            Order::Little => value.to_le_bytes(),
            Order::Big => value.to_be_bytes(),
        }
    }

    fn u32(&self, value: u32) -> [u8; 4] {
        match self.order {
            Order::Little => value.to_le_bytes(),
            Order::Big => value.to_be_bytes(),
        }
    }

    fn words(&self, words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|&word| self.u32(word)).collect()
    }

    fn option(&self, code: u16, value: &[u8]) -> Vec<u8> {
        let mut option = self.u16(code).to_vec();
        option.extend(self.u16(u16::try_from(value.len()).unwrap()));
        option.extend(value);
        option.resize(option.len().next_multiple_of(4), 0);
        option
    }

    fn block(&mut self, kind: u32, parts: &[Vec<u8>]) {
        let body = parts.concat();
        assert_eq!(body.len() % 4, 0);
        let len = u32::try_from(body.len() + 12).unwrap();
        self.bytes.extend(self.words(&[kind, len]));
        self.bytes.extend(body);
        self.bytes.extend(self.u32(len));
    }

    fn section(&mut self) {
        let version = [self.u16(1), self.u16(0)].concat();
        let unknown = vec![0xff; 8];
        let magic = self.words(&[0x1a2b_3c4d]);
        self.block(0x0a0d_0d0a, &[magic, version, unknown]);
    }

    /// An interface of a link type, with options.
    fn iface(&mut self, link_type: u16, snaplen: u32, options: &[Vec<u8>]) {
        let head = [&self.u16(link_type)[..], &self.u16(0), &self.u32(snaplen)].concat();
        self.block(1, &[head, options.concat()]);
    }
}

fn crafted(order: Order) -> Vec<u8> {
    let mut craft = Craft {
        order,
        bytes: Vec::new(),
    };
    craft.section();
    craft.iface(1, 64, &[craft.option(2, b"web/eth0")]);
    // Units of 2^-10 s, an hour later.
    let offset = match order {
        Order::Little => 3600_u64.to_le_bytes(),
        Order::Big => 3600_u64.to_be_bytes(),
    };
    let options = [
        craft.option(9, &[0x80 | 0x0a]),
        craft.option(14, &offset),
        craft.option(5, &[7; 17]),
    ];
    craft.iface(101, 0, &options);
    // A block that nobody knows, of any length.
    craft.block(0x4242, &[vec![1; 400_000]]);
    // Enhanced: interface, time, two lengths, data, flags with more than a direction.
    let head = craft.words(&[1, 0, 1536, 3, 9]);
    let flags = craft.option(2, &craft.u32(0xffff_0002));
    craft.block(6, &[head, vec![1, 2, 3, 0], flags]);
    // Simple: the length on the wire; the interface's snaplen is what was captured.
    let head = craft.words(&[100]);
    craft.block(3, &[head, vec![4; 64]]);
    // Obsolete: interface and drops in halves.
    let halves = [craft.u16(0), craft.u16(5)].concat();
    let head = craft.words(&[0, 7, 2, 6]);
    craft.block(2, &[halves, head, vec![8, 9, 0, 0]]);
    // A list of names without an end, of one address with two.
    let record = craft.option(1, b"\xc0\x00\x02\x01web\0www\0");
    craft.block(4, &[record]);
    let received = craft.option(
        4,
        &match order {
            Order::Little => 77_u64.to_le_bytes(),
            Order::Big => 77_u64.to_be_bytes(),
        },
    );
    let end = craft.option(3, &craft.words(&[0, 1024]));
    craft.block(5, &[craft.words(&[1, 0, 0]), received, end]);
    // Another section, whose interfaces are others.
    craft.section();
    craft.iface(113, 0, &[]);
    let head = craft.words(&[0, 0, 1, 0, 0]);
    craft.block(6, &[head]);
    craft.bytes
}

#[test]
fn blocks_of_either_byte_order_and_of_all_ages_are_read() {
    for order in [Order::Little, Order::Big] {
        let contents = read(&crafted(order));
        assert_eq!(contents.error, None);
        let types: Vec<_> = contents
            .ifaces
            .iter()
            .map(|iface| iface.link_type.0)
            .collect();
        assert_eq!(types, [1, 101, 113]);
        assert_eq!(contents.ifaces[0].name, "web/eth0");
        assert_eq!(contents.ifaces[0].netns, "", "it is not ours");
        let address: IpAddr = [7; 16].into();
        assert_eq!(contents.ifaces[1].addresses, [(address, 7)]);
        let packet = |time, iface, direction, orig_len, data: &[u8], lost| Owned {
            time,
            iface,
            direction,
            orig_len,
            data: data.to_vec(),
            lost,
        };
        assert_eq!(
            contents.packets,
            [
                packet(3_601_500_000_000, 1, Some(Direction::Tx), 9, &[1, 2, 3], 0),
                packet(0, 0, None, 100, &[4; 64], 0),
                packet(7000, 0, None, 6, &[8, 9], 5),
                packet(1000, 2, None, 0, &[], 0),
            ]
        );
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        assert_eq!(
            contents.names,
            [(address, "web".to_owned()), (address, "www".to_owned())]
        );
        assert_eq!(
            contents.statistics,
            [FileStatistics {
                iface: 1,
                end: Some(3_601_000_000_000),
                received: Some(77),
                ..FileStatistics::default()
            }]
        );
    }
}

#[test]
fn a_file_that_is_cut_anywhere_gives_the_packets_before_and_says_where_it_ends() {
    for (bytes, first) in [(&FILES[0], 12), (&FILES[1], 24)] {
        let whole = read(bytes);
        assert_eq!(whole.packets.len(), 5);
        let mut most = 0;
        for len in first..bytes.len() {
            let cut = read(&bytes[..len]);
            let packets = cut.packets.len();
            assert_eq!(cut.packets, whole.packets[..packets]);
            assert!(packets >= most, "no packet is lost by reading on");
            most = packets;
            if let Some(error) = cut.error {
                assert!(
                    error.starts_with(&format!("the file ends at byte {len}, within a ")),
                    "{error}"
                );
            }
        }
        assert_eq!(most, 5 - usize::from(first == 24));
    }
}

#[test]
fn a_block_of_four_gigabytes_is_an_error_that_takes_no_memory() {
    let mut bytes = FILES[0].clone();
    let at = bytes.len();
    bytes.extend([6, 0, 0, 0, 0xfc, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    let error = read(&bytes).error.unwrap();
    assert_eq!(
        error,
        format!("the packet at byte {at} makes no sense: it is longer than 4 MiB")
    );
    // Of another type, it is gone over.
    bytes[at] = 0x77;
    let error = read(&bytes).error.unwrap();
    let end = at + 12;
    assert_eq!(
        error,
        format!("the file ends at byte {end}, within a block that begins at byte {at}")
    );
}

#[test]
fn what_is_no_capture_is_said_to_be_none() {
    for bytes in [&b""[..], b"x", b"Hello, world", &[0x1f, 0x8b, 8, 0, 0]] {
        let error = read(bytes).error.unwrap();
        assert_eq!(error, "this is neither a pcapng nor a pcap file");
    }
    let error = read(&[0xd4, 0xc3, 0xb2, 0xa1, 2]).error.unwrap();
    assert_eq!(
        error,
        "the file ends at byte 5, within a file header that begins at byte 0"
    );
}

#[test]
fn a_tag_is_put_back_where_it_was_and_cut_with_the_rest() {
    let packet = |len: u8, iface| Owned {
        time: 0,
        iface,
        direction: None,
        orig_len: 60,
        data: (0..len).collect(),
        lost: 0,
    };
    let tag = Some(Tag {
        tpid: 0x8100,
        tci: 0x2042,
    });
    let ifaces = [
        iface("whole"),
        CaptureIface {
            snaplen: 14,
            ..iface("short")
        },
    ];
    let packets = [
        (packet(60, 0), tag),
        (packet(20, 1), tag),
        (packet(20, 1), None),
        (packet(11, 0), tag),
    ];
    let read = read(&written(FileFormat::Pcapng, &ifaces, &[], &packets)).packets;
    let untagged: Vec<u8> = (0..60).collect();
    let tagged = [&untagged[..12], &[0x81, 0, 0x20, 0x42], &untagged[12..]].concat();
    assert_eq!((&read[0].data, read[0].orig_len), (&tagged, 64));
    assert_eq!((&read[1].data[..], read[1].orig_len), (&tagged[..14], 64));
    assert_eq!((&read[2].data[..], read[2].orig_len), (&untagged[..14], 60));
    // Without addresses, there is no place for it.
    assert_eq!((&read[3].data[..], read[3].orig_len), (&untagged[..11], 60));
}

#[test]
fn names_that_others_chose_are_escaped_in_the_file() {
    let hostile = CaptureIface {
        name: "a\u{1b}[31m\nb\0c/eth0".to_owned(),
        netns: "a\\x1b[31m\\x0ab\\x00c".to_owned(),
        ..iface("x")
    };
    let names = [("192.0.2.1".parse().unwrap(), "a\rb\0c".to_owned())];
    let bytes = written(
        FileFormat::Pcapng,
        std::slice::from_ref(&hostile),
        &names,
        &[],
    );
    let contents = read(&bytes);
    assert_eq!(contents.ifaces[0].name, "a\\x1b[31m\\x0ab\\x00c/eth0");
    assert_eq!(contents.ifaces[0].netns, hostile.netns);
    assert_eq!(contents.names[0].1, "a\\x0db\\x00c");
}
