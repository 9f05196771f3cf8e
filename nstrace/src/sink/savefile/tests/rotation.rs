//! When files are full, and what they are called.

use super::*;

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
