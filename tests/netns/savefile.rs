//! Capture files on a real file system that gets full.

use std::fs::File;

use nstrace::{
    packet::{CaptureIface, LinkType, Packet},
    savefile::{Item, Reader},
    sink::savefile::{FileFormat, MinFree, Rotation, SaveError, SaveFile, SaveOptions, Saved},
};
use nstrace_ebpf::wire::Direction;

use crate::support::lab::Lab;

const SIZE: u64 = 3 << 20;

/// Makes a file system of so many bytes.
fn make(lab: &Lab, size: u64) {
    lab.shell(&format!(
        "mkdir /run/small; mount -t tmpfs -o size={size} tmpfs /run/small"
    ));
}

fn options(lab: &Lab, name: &str) -> SaveOptions {
    SaveOptions {
        path: lab.path(&format!("/run/small/{name}")),
        format: FileFormat::Pcapng,
        force: false,
        rotation: Rotation::default(),
        min_free: None,
        owner: None,
        start: 0,
        kernel: String::new(),
    }
}

/// Hands in packets of two interfaces until that fails, and a few more. Gives the error, and how
/// many of each were handed in.
fn fill(save: &mut SaveFile) -> (SaveError, [u64; 2]) {
    for name in ["web/eth0", "db/eth0"] {
        let iface = CaptureIface {
            name: name.to_owned(),
            netns: String::new(),
            description: String::new(),
            link_type: LinkType::ETHERNET,
            mac: None,
            addresses: Vec::new(),
            filter: None,
            snaplen: 0,
        };
        save.interface(&iface).unwrap();
    }
    let data = [7; 1234];
    let mut handed = [0; 2];
    let mut first = None;
    for number in 0..10_000 {
        let iface = usize::from(number % 3 == 0);
        handed[iface] += 1;
        let packet = Packet {
            time: number,
            iface,
            direction: Some(Direction::Rx),
            orig_len: 1234,
            data: &data,
            lost: 0,
        };
        match save.packet(&packet, None) {
            Ok(saved) => assert_eq!(saved, Saved::Yes),
            Err(error) => {
                first.get_or_insert(error);
            }
        }
    }
    (first.expect("12 MB do not fit"), handed)
}

/// The packets of each interface in a file, which must be whole.
fn held(lab: &Lab, name: &str) -> [u64; 2] {
    let path = lab.path(&format!("/run/small/{name}"));
    let mut reader = Reader::new(File::open(&path).unwrap()).unwrap();
    let mut held = [0; 2];
    while let Some(item) = reader.next_item() {
        if let Item::Packet(packet) = item.unwrap() {
            held[packet.iface] += 1;
        }
    }
    held
}

#[test]
fn a_full_disk_leaves_a_whole_file_and_exact_counts() {
    let lab = Lab::new();
    make(&lab, SIZE);
    let mut save = SaveFile::create(options(&lab, "a")).unwrap();
    let (error, handed) = fill(&mut save);
    let SaveError::Write { source, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(source.kind(), std::io::ErrorKind::StorageFull);
    let tallies = [0, 1].map(|iface| save.tally(iface));
    let written = tallies.map(|tally| tally.written);
    assert!(
        written.iter().sum::<u64>() > 2000,
        "most of it is used: {written:?}"
    );
    assert_eq!(held(&lab, "a"), written);
    assert_eq!(tallies.map(|tally| tally.buffered), [0, 0]);
    assert_eq!(tallies.map(|tally| tally.written + tally.lost), handed);
}

#[test]
fn room_is_left_where_it_is_wanted() {
    let lab = Lab::new();
    make(&lab, 2 * SIZE);
    let mut save = SaveFile::create(SaveOptions {
        min_free: Some(MinFree::Percent(50)),
        ..options(&lab, "a")
    })
    .unwrap();
    let (error, handed) = fill(&mut save);
    let SaveError::MinFree { free, .. } = error else {
        panic!("{error}");
    };
    assert!(free >= SIZE, "{free}");
    let left = nix::sys::statvfs::statvfs(&lab.path("/run/small")).unwrap();
    let left = left.blocks_available() * left.fragment_size();
    assert_eq!(left, free, "nothing was written after the look");
    let tallies = [0, 1].map(|iface| save.tally(iface));
    assert_eq!(held(&lab, "a"), tallies.map(|tally| tally.written));
    assert_eq!(tallies.map(|tally| tally.written + tally.lost), handed);
}
