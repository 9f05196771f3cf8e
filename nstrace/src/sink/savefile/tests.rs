//! What is in the file after whatever happens is what the counts say.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on panics, with its stack"
)]

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex},
};

use nstrace_ebpf::wire::Direction;
use pcap_parser::{Block, parse_block_le, parse_pcap_frame};

use super::{file::Lower, *};
use crate::sys::savefile::{OpenError, Room};

/// Files in memory, on a disk that takes `capacity` bytes more and at most `at_once` of them in a
/// call.
#[derive(Default)]
struct Disk {
    files: Vec<(String, Vec<u8>)>,
    capacity: usize,
    at_once: usize,
    is_pipe: bool,
}

struct Handle {
    disk: Arc<Mutex<Disk>>,
    number: usize,
}

impl Lower for Handle {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut disk = self.disk.lock().unwrap();
        let len = bytes.len().min(disk.at_once).min(disk.capacity);
        if len == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        disk.capacity -= len;
        disk.files[self.number].1.extend_from_slice(&bytes[..len]);
        Ok(len)
    }

    fn cut(&mut self, written: u64, keep: u64) -> io::Result<()> {
        let mut disk = self.disk.lock().unwrap();
        if disk.is_pipe {
            return Ok(());
        }
        let file = &mut disk.files[self.number].1;
        assert_eq!(file.len() as u64, written);
        file.truncate(usize::try_from(keep).unwrap());
        Ok(())
    }

    fn room(&self) -> io::Result<Option<Room>> {
        let free = self.disk.lock().unwrap().capacity as u64;
        Ok(Some(Room { free, total: 1000 }))
    }
}

fn options(format: FileFormat) -> SaveOptions {
    SaveOptions {
        path: "/x/web.pcapng".into(),
        format,
        force: false,
        rotation: Rotation::default(),
        min_free: None,
        owner: None,
        start: 1_000_000_000,
        kernel: "6.18.0".to_owned(),
    }
}

fn disk(capacity: usize) -> Arc<Mutex<Disk>> {
    Arc::new(Mutex::new(Disk {
        capacity,
        at_once: usize::MAX,
        ..Disk::default()
    }))
}

fn create(options: SaveOptions, disk: &Arc<Mutex<Disk>>) -> Result<SaveFile, SaveError> {
    let disk = Arc::clone(disk);
    let opener = move |path: &Path, replace: bool| {
        let name = path.display().to_string();
        let mut files = disk.lock().unwrap();
        if !replace && files.files.iter().any(|(there, _)| *there == name) {
            return Err(OpenError::Exists);
        }
        files.files.push((name, Vec::new()));
        let number = files.files.len() - 1;
        let disk = Arc::clone(&disk);
        Ok(Box::new(Handle { disk, number }) as Box<dyn Lower>)
    };
    SaveFile::with_opener(options, Box::new(opener), TimeZone::UTC)
}

fn iface(name: &str) -> CaptureIface {
    CaptureIface {
        name: name.to_owned(),
        netns: String::new(),
        description: "a pod".to_owned(),
        link_type: LinkType::ETHERNET,
        mac: None,
        addresses: Vec::new(),
        filter: None,
        snaplen: 0,
    }
}

fn packet(number: u64, data: &[u8]) -> Packet<'_> {
    Packet {
        time: 1_000_000_000 + number,
        iface: usize::try_from(number % 2).unwrap(),
        direction: Some(Direction::Tx),
        orig_len: u32::try_from(data.len()).unwrap(),
        data,
        lost: u64::from(number % 5 == 4),
    }
}

/// Packets of each interface in a pcapng file, which must be whole blocks.
fn packets_of(bytes: &[u8]) -> [u64; 2] {
    let mut found = [0; 2];
    let mut rest = bytes;
    while !rest.is_empty() {
        let (after, block) = parse_block_le(rest).expect("whole blocks");
        if let Block::EnhancedPacket(packet) = block {
            found[packet.if_id as usize] += 1;
        }
        rest = after;
    }
    found
}

/// Packets in a pcap file, which must be whole.
fn records_of(bytes: &[u8]) -> u64 {
    if bytes.is_empty() {
        return 0;
    }
    let (mut rest, _) = pcap_parser::parse_pcap_header(bytes).expect("a whole header");
    let mut found = 0;
    while !rest.is_empty() {
        rest = parse_pcap_frame(rest).expect("a whole record").0;
        found += 1;
    }
    found
}

/// Hands in packets of both interfaces and finishes, whatever fails. Gives how many were handed in
/// of each, and whether anything failed.
fn run(save: &mut SaveFile) -> ([u64; 2], bool) {
    let mut handed = [0; 2];
    let mut failed = false;
    for name in ["web/eth0", "db/eth0"] {
        save.interface(&iface(name)).expect("fits");
    }
    save.names(&[("192.0.2.1".parse().unwrap(), "web".to_owned())]);
    for number in 0..20 {
        let data = [7; 90];
        let packet = packet(number, &data[..60 + usize::try_from(number).unwrap()]);
        handed[packet.iface] += 1;
        failed |= save.packet(&packet, None).is_err();
        if number % 7 == 6 {
            failed |= save.flush().is_err();
        }
    }
    failed |= save.finish(&[CaptureCounts::default(); 2], 9).is_err();
    (handed, failed)
}

#[test]
fn a_disk_that_is_full_at_any_byte_leaves_whole_packets_and_exact_counts() {
    for format in [FileFormat::Pcapng, FileFormat::Pcap] {
        let whole = {
            let disk = disk(usize::MAX);
            let mut save = create(options(format), &disk).unwrap();
            assert_eq!(run(&mut save), ([10, 10], false));
            disk.lock().unwrap().files[0].1.len()
        };
        for capacity in 0..=whole {
            for at_once in [usize::MAX, 100] {
                let disk = disk(capacity);
                disk.lock().unwrap().at_once = at_once;
                let mut save = create(options(format), &disk).unwrap();
                let (handed, failed) = run(&mut save);
                assert_eq!(failed, capacity < whole, "at byte {capacity}");
                let bytes = disk.lock().unwrap().files[0].1.clone();
                let tallies = [0, 1].map(|at| save.tally(at));
                let written = tallies.map(|tally| tally.written);
                match format {
                    FileFormat::Pcapng => assert_eq!(packets_of(&bytes), written),
                    FileFormat::Pcap => {
                        assert_eq!(records_of(&bytes), written.iter().sum::<u64>());
                    }
                }
                assert_eq!(tallies.map(|tally| tally.buffered), [0, 0]);
                assert_eq!(tallies.map(|tally| tally.written + tally.lost), handed);
            }
        }
    }
}

#[test]
fn a_pipe_that_ends_within_a_packet_has_taken_only_those_before() {
    let disk = disk(900);
    disk.lock().unwrap().is_pipe = true;
    let mut save = create(options(FileFormat::Pcapng), &disk).unwrap();
    let (handed, failed) = run(&mut save);
    assert!(failed);
    let bytes = disk.lock().unwrap().files[0].1.clone();
    assert_eq!(bytes.len(), 900, "what was taken cannot be taken back");
    let mut rest = &bytes[..];
    let mut whole = 0;
    while let Ok((after, block)) = parse_block_le(rest) {
        whole += u64::from(matches!(block, Block::EnhancedPacket(_)));
        rest = after;
    }
    let tallies = [0, 1].map(|at| save.tally(at));
    assert_eq!(tallies[0].written + tallies[1].written, whole);
    assert_eq!(tallies.map(|tally| tally.written + tally.lost), handed);
}

#[test]
fn what_failed_is_said_and_no_more_is_taken() {
    let disk = disk(1000);
    let mut save = create(options(FileFormat::Pcapng), &disk).unwrap();
    save.interface(&iface("web/eth0")).unwrap();
    for number in 0..10 {
        assert_eq!(
            save.packet(&packet(number * 2, &[0; 60]), None).unwrap(),
            Saved::Yes
        );
    }
    assert_eq!(save.tally(0).buffered, 10);
    let error = save.flush().unwrap_err();
    let written = save.tally(0).written;
    assert!((1..10).contains(&written));
    assert_eq!(
        error.to_string(),
        format!(
            "write the capture file /x/web.pcapng, which ends with {written} packets, {} less \
             than came",
            10 - written
        )
    );
    assert!(error.hint().unwrap().contains("-W COUNT"));
    assert!(!error.is_closed_pipe());
    let refused = save.packet(&packet(0, &[0; 60]), None).unwrap_err();
    assert!(matches!(refused, SaveError::Closed));
    assert_eq!(save.tally(0).lost, 11 - written);
    save.finish(&[], 0).expect("nothing is left to do");
}

#[test]
fn room_that_is_to_be_left_is_left() {
    let disk = disk(8 << 20);
    let mut wanted = options(FileFormat::Pcapng);
    wanted.min_free = Some(MinFree::Bytes(4 << 20));
    let mut save = create(wanted, &disk).unwrap();
    save.interface(&iface("web/eth0")).unwrap();
    let data = vec![0; 1000];
    let mut handed = 0;
    let error = loop {
        handed += 1;
        if let Err(error) = save.packet(&packet(0, &data), None) {
            break error;
        }
        assert!(handed < 10_000, "the limit was not seen");
    };
    assert!(matches!(error, SaveError::MinFree { free, .. } if free >= 4 << 20));
    let disk = disk.lock().unwrap();
    assert!(disk.capacity >= 4 << 20);
    assert!(disk.capacity < 6 << 20, "and not much more");
    let tally = save.tally(0);
    assert_eq!(packets_of(&disk.files[0].1), [tally.written, 0]);
    assert_eq!(tally.written + tally.lost, handed);
}

/// The files that are made, and what each holds, while a packet comes at each of `times`, in
/// seconds after the start.
fn rotated(path: &str, rotation: Rotation, times: &[u64]) -> (Vec<(String, u64)>, Option<Saved>) {
    let disk = disk(usize::MAX);
    let mut wanted = options(FileFormat::Pcap);
    wanted.path = path.into();
    wanted.rotation = rotation;
    let mut save = create(wanted, &disk).unwrap();
    save.interface(&iface("web/eth0")).unwrap();
    let mut last = None;
    for time in times {
        let packet = Packet {
            time: 1_000_000_000 * (1 + time),
            ..packet(0, &[0; 84])
        };
        last = Some(save.packet(&packet, None).unwrap());
    }
    save.finish(&[], 0).unwrap();
    let disk = disk.lock().unwrap();
    let files = disk.files.iter();
    let files = files.map(|(name, bytes)| (name.clone(), records_of(bytes)));
    (files.collect(), last)
}

#[track_caller]
fn check_rotation(path: &str, rotation: Rotation, times: &[u64], expected: &[(&str, u64)]) {
    let (files, last) = rotated(path, rotation, times);
    let files: Vec<_> = files
        .iter()
        .map(|(name, held)| (&name[..], *held))
        .collect();
    assert_eq!(files, expected);
    let held: u64 = expected.iter().map(|(_, held)| held).sum();
    let is_complete = held < times.len() as u64;
    assert_eq!(last == Some(Saved::Complete), is_complete);
}

/// A header takes 24 bytes, a packet 100: a file is larger than 200 after its second packet.
const TWO_PACKETS: Rotation = Rotation {
    size: Some(200),
    seconds: None,
    count: None,
};

#[test]
fn a_full_file_is_followed_by_one_with_a_number() {
    check_rotation(
        "/x/a",
        TWO_PACKETS,
        &[0; 5],
        &[("/x/a", 2), ("/x/a1", 2), ("/x/a2", 1)],
    );
}

#[test]
fn a_ring_begins_again_and_its_numbers_sort() {
    let ring = |count| Rotation {
        count: Some(count),
        ..TWO_PACKETS
    };
    check_rotation(
        "/x/a",
        ring(2),
        &[0; 5],
        &[("/x/a0", 2), ("/x/a1", 2), ("/x/a0", 1)],
    );
    check_rotation("/x/a", ring(11), &[0; 3], &[("/x/a00", 2), ("/x/a01", 1)]);
    // tcpdump: one file needs no number.
    check_rotation("/x/a", ring(1), &[0; 3], &[("/x/a", 2), ("/x/a", 1)]);
}

#[test]
fn slices_are_named_by_their_time_and_begin_with_a_packet() {
    let slices = Rotation {
        seconds: Some(60),
        ..Rotation::default()
    };
    check_rotation(
        "/x/%Y-%m-%d-%H%M%S",
        slices,
        &[0, 59, 60, 100, 500],
        &[
            ("/x/1970-01-01-000001", 2),
            ("/x/1970-01-01-000101", 2),
            ("/x/1970-01-01-000821", 1),
        ],
    );
    // A name that would be the same is no reason to lose what is there.
    check_rotation(
        "/x/%Y-%m-%d",
        slices,
        &[0, 60, 90_000],
        &[("/x/1970-01-01", 2), ("/x/1970-01-02", 1)],
    );
    // One that recurs is that of a ring.
    check_rotation(
        "/x/%H",
        slices,
        &[0, 3600, 86_400],
        &[("/x/00", 1), ("/x/01", 1), ("/x/00", 1)],
    );
}

#[test]
fn slices_end_the_capture_when_there_are_enough() {
    let slices = Rotation {
        seconds: Some(60),
        count: Some(2),
        ..Rotation::default()
    };
    check_rotation(
        "/x/%s",
        slices,
        &[0, 60, 61, 120, 121],
        &[("/x/1", 1), ("/x/61", 2)],
    );
}

#[test]
fn both_kinds_together_number_within_a_slice_and_never_end() {
    let both = Rotation {
        seconds: Some(60),
        count: Some(2),
        ..TWO_PACKETS
    };
    check_rotation(
        "/x/%s-",
        both,
        &[0, 0, 0, 0, 0, 60],
        &[("/x/1-0", 2), ("/x/1-1", 2), ("/x/1-2", 1), ("/x/61-0", 1)],
    );
}

#[test]
fn rotation_spares_files_of_others() {
    let disk = disk(usize::MAX);
    disk.lock()
        .unwrap()
        .files
        .push(("/x/web.pcapng1".to_owned(), b"of others".to_vec()));
    let mut wanted = options(FileFormat::Pcap);
    wanted.rotation = TWO_PACKETS;
    let mut save = create(wanted, &disk).unwrap();
    save.interface(&iface("web/eth0")).unwrap();
    for _ in 0..2 {
        assert_eq!(save.packet(&packet(0, &[0; 84]), None).unwrap(), Saved::Yes);
    }
    let error = save.packet(&packet(0, &[0; 84]), None).unwrap_err();
    assert_eq!(
        crate::error_chain(&error),
        "create the capture file /x/web.pcapng1: it exists"
    );
    let expected = Tally {
        written: 2,
        buffered: 0,
        lost: 1,
    };
    assert_eq!(save.tally(0), expected);
    assert_eq!(disk.lock().unwrap().files[0].1, b"of others");
}

#[test]
fn each_file_of_a_ring_knows_interfaces_names_and_counts() {
    let disk = disk(usize::MAX);
    let mut wanted = options(FileFormat::Pcapng);
    // Less than the head takes: each packet has its file, and no file is without.
    wanted.rotation = Rotation {
        size: Some(100),
        ..Rotation::default()
    };
    let mut save = create(wanted, &disk).unwrap();
    for name in ["web/eth0", "db/eth0"] {
        save.interface(&iface(name)).unwrap();
    }
    save.flush().unwrap();
    save.names(&[("192.0.2.1".parse().unwrap(), "web".to_owned())]);
    for number in 0..6 {
        assert_eq!(
            save.packet(&packet(number, &[0; 84]), None).unwrap(),
            Saved::Yes
        );
    }
    save.finish(&[CaptureCounts::default(); 2], 0).unwrap();
    let disk = disk.lock().unwrap();
    assert_eq!(disk.files.len(), 6);
    for (at, (_, bytes)) in disk.files.iter().enumerate() {
        let expected = [u64::from(at % 2 == 0), u64::from(at % 2 == 1)];
        assert_eq!(packets_of(bytes), expected);
        let mut kinds = Vec::new();
        let mut counts = Vec::new();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (after, block) = parse_block_le(rest).unwrap();
            kinds.push(block.magic());
            if let Block::InterfaceStatistics(block) = block {
                counts.push([
                    block.isb_filteraccept().unwrap().unwrap(),
                    block.isb_osdrop().unwrap().unwrap(),
                    block.isb_usrdeliv().unwrap().unwrap(),
                ]);
            }
            rest = after;
        }
        assert_eq!(kinds, [0x0a0d_0d0a, 1, 1, 4, 6, 5, 5]);
        // Packet 4, of the first interface, says that one before it was lost.
        let at = at as u64;
        let lost = u64::from(at == 4);
        if at < 5 {
            let taken = [at / 2 + 1, at.div_ceil(2)];
            assert_eq!(
                counts,
                [[taken[0] + lost, lost, taken[0]], [taken[1], 0, taken[1]]]
            );
        }
    }
}

#[test]
fn what_cannot_be_meant_is_refused_before_anything_is_made() {
    let disk = disk(usize::MAX);
    let refused = |path: &str, rotation: Rotation| {
        let mut wanted = options(FileFormat::Pcapng);
        wanted.path = path.into();
        wanted.rotation = rotation;
        let error = create(wanted, &disk).err().expect("refused");
        assert!(error.is_usage());
        assert!(error.hint().is_some());
        error.to_string()
    };
    let slices = Rotation {
        seconds: Some(60),
        ..Rotation::default()
    };
    assert_eq!(
        refused("-", TWO_PACKETS),
        "standard output cannot be rotated"
    );
    assert_eq!(refused("-", slices), "standard output cannot be rotated");
    assert_eq!(
        refused("/x/a", slices),
        "with -G each capture file would be named /x/a"
    );
    assert!(refused("/x/%!", slices).starts_with("name capture files by /x/%!: "));
    assert!(disk.lock().unwrap().files.is_empty());
}

#[test]
fn a_pcap_file_refuses_another_link_type_and_goes_on() {
    let disk = disk(usize::MAX);
    let mut save = create(options(FileFormat::Pcap), &disk).unwrap();
    save.interface(&iface("web/eth0")).unwrap();
    let raw = CaptureIface {
        link_type: LinkType::RAW,
        ..iface("db/tun0")
    };
    let error = save.interface(&raw).unwrap_err();
    assert_eq!(
        error.to_string(),
        "db/tun0 has link type 101 where a pcap file has 1 already"
    );
    assert_eq!(error.hint(), Some("pcapng holds any: --format pcapng"));
    assert_eq!(save.packet(&packet(0, &[0; 60]), None).unwrap(), Saved::Yes);
    let stranger = save.packet(&packet(1, &[0; 60]), None).unwrap_err();
    assert!(matches!(stranger, SaveError::NoInterface(1)));
    save.finish(&[], 0).unwrap();
    assert_eq!(records_of(&disk.lock().unwrap().files[0].1), 1);
}

#[test]
fn a_capture_of_nothing_is_a_file_of_its_format() {
    let disk = disk(usize::MAX);
    create(options(FileFormat::Pcap), &disk)
        .unwrap()
        .finish(&[], 0)
        .unwrap();
    assert_eq!(records_of(&disk.lock().unwrap().files[0].1), 0);
    assert_eq!(disk.lock().unwrap().files[0].1.len(), 24);
}

#[test]
fn sizes_are_read_as_tcpdump_reads_them() {
    for (text, size) in [
        ("1", 1_000_000),
        ("20", 20_000_000),
        ("1k", 1024),
        ("1KB", 1024),
        ("3M", 3 << 20),
        ("3mb", 3 << 20),
        ("2g", 2 << 30),
    ] {
        assert_eq!(parse_size(text), Ok(size), "{text}");
    }
    for text in [
        "",
        "0",
        "0k",
        "k",
        "-1",
        "1.5",
        "1t",
        "1 k",
        "99999999999999g",
        "1kk",
    ] {
        assert!(parse_size(text).is_err(), "{text}");
    }
    assert_eq!("5%".parse(), Ok(MinFree::Percent(5)));
    assert_eq!("1g".parse(), Ok(MinFree::Bytes(1 << 30)));
    for text in ["0%", "100%", "%", "5 %", "0"] {
        assert!(text.parse::<MinFree>().is_err(), "{text}");
    }
    assert_eq!(MinFree::Percent(5).of(1000), 50);
}

#[test]
fn names_of_others_make_safe_file_names() {
    for (name, safe) in [
        ("web-0.shop_1", "web-0.shop_1"),
        ("../x", "%2E.%2Fx"),
        ("-rf", "%2Drf"),
        (".hidden", "%2Ehidden"),
        ("a b\n\u{1b}é%", "a%20b%0A%1B%C3%A9%25"),
        ("", "_"),
    ] {
        assert_eq!(sanitise(name), safe);
    }
    assert_eq!(sanitise(&"a".repeat(300)).len(), 200);
    assert_eq!(sanitise(&"é".repeat(300)).len(), 198);
}
