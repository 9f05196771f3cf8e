//! What is in the file after whatever happens is what the counts say.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on panics, with its stack"
)]

mod rotation;

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
        format!("write the capture file /x/web.pcapng, which ends whole after {written} packets")
    );
    assert!(error.hint().unwrap().contains("-W COUNT"));
    let refused = save.packet(&packet(0, &[0; 60]), None).unwrap_err();
    assert!(matches!(refused, SaveError::Closed));
    assert_eq!(save.tally(0).lost, 11 - written);
    save.finish(&[], 0).expect("nothing is left to do");
    // What is introduced too late has its number all the same, and its packets are counted.
    let late = save.interface(&iface("late/eth0"));
    assert!(matches!(late, Err(SaveError::Closed)));
    let refused = save.packet(
        &Packet {
            iface: 1,
            ..packet(0, &[0; 60])
        },
        None,
    );
    assert!(refused.is_err());
    assert_eq!(save.tally(1).lost, 1);
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
