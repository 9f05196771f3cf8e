//! Capture files as other tools see them, and theirs as we do: tshark, capinfos, tcpdump, editcap,
//! mergecap.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Read as _,
    net::IpAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use nstrace::{
    packet::{CaptureCounts, CaptureIface, LinkType, Packet},
    savefile::{Item, Reader},
    sink::savefile::{FileFormat, Rotation, SaveError, SaveFile, SaveOptions, Saved, Tag},
};
use nstrace_ebpf::wire::Direction;
use tempfile::TempDir;

use super::text;

const START: u64 = 1_700_000_000_000_000_000;
const PODS: u8 = 16;

/// Runs a tool in a folder; panics if it fails. Gives what it printed, and what it complained of.
#[track_caller]
fn run(folder: &Path, tool: &str, args: &[&str]) -> (String, String) {
    let output = Command::new(tool)
        .args(args)
        .current_dir(folder)
        .env("TZ", "UTC")
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{tool}: {error}; it is installed by: cargo xtask test"));
    // tshark says so whatever it reads.
    let errors: Vec<_> = text(&output.stderr)
        .lines()
        .filter(|line| !line.starts_with("Running as user \"root\""))
        .map(str::to_owned)
        .collect();
    let errors = errors.join("\n");
    assert!(output.status.success(), "{tool} {args:?}: {errors}");
    (text(&output.stdout), errors)
}

/// The same for what must say nothing on standard error.
#[track_caller]
fn silent(folder: &Path, tool: &str, args: &[&str]) -> String {
    let (printed, errors) = run(folder, tool, args);
    assert_eq!(errors, "", "{tool} {args:?}");
    printed
}

/// Fields of each packet as tshark reads them.
#[track_caller]
fn fields(folder: &Path, file: &str, fields: &[&str]) -> Vec<Vec<String>> {
    let mut args = vec!["-N", "n", "-r", file, "-T", "fields"];
    for field in fields {
        args.extend(["-e", field]);
    }
    let printed = silent(folder, "tshark", &args);
    let split = |line: &str| line.split('\t').map(str::to_owned).collect();
    printed.lines().map(split).collect()
}

fn options(path: PathBuf, format: FileFormat) -> SaveOptions {
    SaveOptions {
        path,
        format,
        force: false,
        rotation: Rotation::default(),
        min_free: None,
        owner: None,
        start: START,
        kernel: "6.18.0-test".to_owned(),
    }
}

fn pod(number: u8) -> CaptureIface {
    CaptureIface {
        name: format!("web-{number}/eth0"),
        netns: format!("web-{number}"),
        description: format!("container c{number}, host veth v-web-{number}"),
        link_type: LinkType::ETHERNET,
        mac: Some([2, 0, 0, 0, 0, number]),
        addresses: vec![
            (IpAddr::from([192, 0, 2, number]), 24),
            ("2001:db8::1".parse().unwrap(), 64),
        ],
        filter: Some("udp port 5000".to_owned()),
        snaplen: 262_144,
    }
}

/// A UDP datagram in a frame of 60 bytes.
fn frame(from: u8, to: u8) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, from, 8, 0];
    frame.extend([0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17, 0, 0]);
    frame.extend([192, 0, 2, from, 192, 0, 2, to]);
    frame.extend([0x13, 0x88, 0x13, 0x89, 0, 26, 0, 0]);
    frame.resize(60, 7);
    frame
}

fn names() -> Vec<(IpAddr, String)> {
    (0..PODS)
        .map(|pod| (IpAddr::from([192, 0, 2, pod]), format!("web-{pod}")))
        .collect()
}

/// Two packets of each pod, one in each direction; the second of pod 5 after a loss of three, and
/// that of pod 7 with a VLAN tag.
fn save(options: SaveOptions) {
    let mut save = SaveFile::create(options).unwrap();
    for number in 0..PODS {
        assert_eq!(save.interface(&pod(number)).unwrap(), usize::from(number));
    }
    save.names(&names());
    for number in 0..2 * PODS {
        let iface = number % PODS;
        let is_second = number >= PODS;
        let data = frame(iface, PODS - 1 - iface);
        let packet = Packet {
            time: START + 123_456_789 + u64::from(number),
            iface: iface.into(),
            direction: Some([Direction::Rx, Direction::Tx][usize::from(is_second)]),
            orig_len: 60,
            data: &data,
            lost: if iface == 5 && is_second { 3 } else { 0 },
        };
        let tag = Tag {
            tpid: 0x8100,
            tci: 0x2005,
        };
        let tag = (iface == 7 && is_second).then_some(tag);
        assert_eq!(save.packet(&packet, tag).unwrap(), Saved::Yes);
    }
    let counts: Vec<_> = (0..PODS)
        .map(|number| CaptureCounts {
            matched: if number == 5 { 5 } else { 2 },
            captured: 2,
            lost_ring: if number == 5 { 3 } else { 0 },
            lost_disk: 0,
        })
        .collect();
    save.finish(&counts, START + 2_000_000_000).unwrap();
}

/// A folder with `a.pcapng`.
fn saved(format: FileFormat) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    save(options(folder.path().join("a"), format));
    folder
}

#[test]
fn tshark_tells_sixteen_pods_apart_and_sees_directions_losses_and_times() {
    let folder = saved(FileFormat::Pcapng);
    let read = fields(
        folder.path(),
        "a",
        &[
            "frame.interface_name",
            "frame.interface_description",
            "frame.packet_flags_direction",
            "frame.drop_count",
            "frame.time_epoch",
            "frame.len",
            "frame.cap_len",
            "vlan.id",
            "ip.src_host",
            "_ws.expert",
        ],
    );
    let expected: Vec<Vec<String>> = (0..2 * PODS)
        .map(|number| {
            let (pod, is_second) = (number % PODS, number >= PODS);
            let is_tagged = pod == 7 && is_second;
            let len = if is_tagged { "64" } else { "60" };
            vec![
                format!("web-{pod}/eth0"),
                format!("container c{pod}, host veth v-web-{pod}"),
                if is_second {
                    "0x00000002"
                } else {
                    "0x00000001"
                }
                .to_owned(),
                if pod == 5 && is_second { "3" } else { "" }.to_owned(),
                format!("1700000000.{}", 123_456_789 + u32::from(number)),
                len.to_owned(),
                len.to_owned(),
                if is_tagged { "5" } else { "" }.to_owned(),
                format!("web-{pod}"),
                String::new(),
            ]
        })
        .collect();
    assert_eq!(read, expected);
}

#[test]
fn each_block_is_well_formed_to_wireshark() {
    let folder = saved(FileFormat::Pcapng);
    let mut args = vec!["-X", "read_format:MIME Files Format", "-r", "a"];
    args.extend(["-T", "json", "--no-duplicate-keys"]);
    let printed = silent(folder.path(), "tshark", &args);
    assert!(!printed.contains("_ws.expert"), "{printed}");
    assert!(!printed.contains("_ws.malformed"), "{printed}");
    let document: serde_json::Value = serde_json::from_str(&printed).unwrap();
    // What the file says of all interfaces, in its order.
    let mut found = BTreeMap::new();
    collect(&document, &mut found);
    let of = |field: &str| {
        let field = format!("pcapng.options.option.data.{field}");
        found.get(&field).cloned().unwrap_or_default()
    };
    let each = |text: fn(u8) -> String| (0..PODS).map(text).collect::<Vec<_>>();
    assert_eq!(
        of("user_application"),
        [concat!("nstrace ", env!("CARGO_PKG_VERSION"))]
    );
    assert_eq!(of("os"), ["Linux 6.18.0-test"]);
    assert_eq!(of("interface.name"), each(|pod| format!("web-{pod}/eth0")));
    assert_eq!(
        of("interface.filter.string"),
        each(|_| "udp port 5000".to_owned())
    );
    assert_eq!(of("ipv4"), each(|pod| format!("192.0.2.{pod}")));
    assert_eq!(of("ipv4_mask"), each(|_| "255.255.255.0".to_owned()));
    assert_eq!(of("ipv6"), each(|_| "2001:db8::1".to_owned()));
    assert_eq!(of("mac"), each(|pod| format!("02:00:00:00:00:{pod:02x}")));
    let lost = |pod| if pod == 5 { "3" } else { "0" }.to_owned();
    assert_eq!(of("interface.dropped_by_os"), each(lost));
    assert_eq!(of("interface.delivered_to_user"), each(|_| "2".to_owned()));
    let matched = |pod| if pod == 5 { "5" } else { "2" }.to_owned();
    assert_eq!(of("interface.accepted_by_filter"), each(matched));
    assert_eq!(of("packet.drop_count"), ["3"]);
    assert_eq!(
        found["pcapng.records.record.data.name"],
        each(|pod| format!("web-{pod}"))
    );
}

/// All strings of a document by the key they stand under.
fn collect(value: &serde_json::Value, found: &mut BTreeMap<String, Vec<String>>) {
    match value {
        serde_json::Value::Object(members) => {
            for (key, value) in members {
                let values = match value {
                    serde_json::Value::Array(values) => values.as_slice(),
                    value => std::slice::from_ref(value),
                };
                for value in values {
                    match value.as_str() {
                        Some(text) => found.entry(key.clone()).or_default().push(text.to_owned()),
                        None => collect(value, found),
                    }
                }
            }
        }
        serde_json::Value::Array(values) => {
            for value in values {
                collect(value, found);
            }
        }
        _ => {}
    }
}

#[test]
fn capinfos_finds_order_and_statistics() {
    let folder = saved(FileFormat::Pcapng);
    let printed = silent(folder.path(), "capinfos", &["-M", "a"]);
    for line in [
        "Number of packets:   32",
        "Strict time order:   True",
        "Number of interfaces in file: 16",
        "File timestamp precision:  nanoseconds (9)",
        "Capture oper-sys:    Linux 6.18.0-test",
    ] {
        assert!(printed.contains(line), "no {line:?} in {printed}");
    }
    assert_eq!(printed.matches("Number of stat entries = 1\n").count(), 16);
    assert_eq!(printed.matches("Number of packets = 2\n").count(), 16);
}

#[test]
fn tcpdump_reads_both_formats_without_a_warning() {
    for format in [FileFormat::Pcapng, FileFormat::Pcap] {
        let folder = saved(format);
        let (printed, errors) = run(
            folder.path(),
            "tcpdump",
            &["-n", "-tt", "--nano", "-r", "a"],
        );
        assert_eq!(
            errors,
            "reading from file a, link-type EN10MB (Ethernet), snapshot length 262144"
        );
        let lines: Vec<_> = printed.lines().collect();
        assert_eq!(lines.len(), 32);
        for (number, line) in lines.iter().enumerate() {
            let pod = number % 16;
            let expected = format!(
                "1700000000.{} IP 192.0.2.{pod}.5000 > 192.0.2.{}.5001: UDP, length 18",
                123_456_789 + number,
                15 - pod
            );
            assert_eq!(*line, expected);
        }
    }
}

#[test]
fn each_file_of_a_rotation_is_whole() {
    for format in [FileFormat::Pcapng, FileFormat::Pcap] {
        let folder = tempfile::tempdir().unwrap();
        let rotation = Rotation {
            size: Some(1000),
            ..Rotation::default()
        };
        save(SaveOptions {
            rotation,
            ..options(folder.path().join("a"), format)
        });
        let mut files: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort_by_key(|name| name[1..].parse::<u32>().unwrap_or(0));
        assert!(files.len() > 2, "{files:?}");
        let mut sources = Vec::new();
        for file in &files {
            let info = silent(folder.path(), "capinfos", &[file]);
            if format == FileFormat::Pcapng {
                assert!(info.contains("Number of interfaces in file: 16"));
                assert_eq!(info.matches("Number of stat entries = 1\n").count(), 16);
            }
            sources.extend(fields(
                folder.path(),
                file,
                &["eth.src", "frame.time_epoch"],
            ));
        }
        let expected: Vec<Vec<String>> = (0..2 * PODS)
            .map(|number| {
                let mac = format!("02:00:00:00:00:{:02x}", number % PODS);
                let time = format!("1700000000.{}", 123_456_789 + u32::from(number));
                vec![mac, time]
            })
            .collect();
        assert_eq!(sources, expected);
    }
}

/// What we read of a file: interfaces' names, and of each packet its interface, time, direction,
/// losses and bytes.
type Seen = (
    Vec<String>,
    Vec<(usize, u64, Option<Direction>, u64, Vec<u8>)>,
);

#[track_caller]
fn read(path: &Path) -> Seen {
    let mut reader = Reader::new(File::open(path).unwrap()).unwrap();
    let (mut ifaces, mut packets) = (Vec::new(), Vec::new());
    while let Some(item) = reader.next_item() {
        match item.unwrap() {
            Item::Interface(iface) => ifaces.push(iface.name),
            Item::Packet(packet) => packets.push((
                packet.iface,
                packet.time,
                packet.direction,
                packet.lost,
                packet.data.to_vec(),
            )),
            Item::Names(_) | Item::Statistics(_) => {}
        }
    }
    (ifaces, packets)
}

#[test]
fn files_of_other_tools_are_read() {
    let folder = saved(FileFormat::Pcapng);
    let folder = folder.path();
    let (ifaces, packets) = read(&folder.join("a"));
    assert_eq!((ifaces.len(), packets.len()), (16, 32));

    silent(folder, "editcap", &["a", "edited"]);
    assert_eq!(
        read(&folder.join("edited")),
        (ifaces.clone(), packets.clone())
    );
    silent(
        folder,
        "tshark",
        &["-r", "a", "-w", "filtered", "-Y", "vlan"],
    );
    let filtered = read(&folder.join("filtered"));
    assert_eq!(filtered.1, [packets[23].clone()]);

    // What pcap has no place for is gone.
    let plain = |unit: u64| -> Vec<_> {
        let plain = packets.iter().cloned();
        plain
            .map(|(_, time, _, _, data)| (0, time / unit * unit, None, 0, data))
            .collect()
    };
    silent(folder, "editcap", &["-F", "nsecpcap", "a", "nanos"]);
    assert_eq!(read(&folder.join("nanos")).1, plain(1));
    silent(folder, "editcap", &["-F", "pcap", "a", "micros"]);
    assert_eq!(read(&folder.join("micros")).1, plain(1000));
    silent(
        folder,
        "editcap",
        &["-F", "modlibpcap", "micros", "modified"],
    );
    assert_eq!(read(&folder.join("modified")).1, plain(1000));
    run(folder, "tcpdump", &["-r", "a", "-w", "dumped"]);
    assert_eq!(read(&folder.join("dumped")).1, plain(1000));

    // Interfaces of two files, one after the other.
    silent(
        folder,
        "mergecap",
        &["-I", "none", "-a", "-w", "merged", "a", "nanos"],
    );
    let (ifaces, merged) = read(&folder.join("merged"));
    assert_eq!(ifaces.len(), 17);
    assert_eq!(merged[..32], packets);
    let behind = plain(1)
        .into_iter()
        .map(|(_, time, _, _, data)| (16, time, None, 0, data));
    assert_eq!(merged[32..], behind.collect::<Vec<_>>());
}

/// The names of files in a folder that begin so, with the numbers of packets in them as tcpdump
/// finds them.
fn ring(folder: &Path, prefix: &str) -> BTreeMap<String, usize> {
    let files = fs::read_dir(folder).unwrap();
    files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| {
            let suffix = name.strip_prefix(prefix)?.to_owned();
            let (packets, _) = run(folder, "tcpdump", &["-n", "-r", &name]);
            Some((suffix, packets.lines().count()))
        })
        .collect()
}

#[test]
fn rings_are_those_of_tcpdump() {
    const PACKETS: u32 = 3600;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let write = |rotation, name: &str| {
        let path = folder.join(name);
        let mut save = SaveFile::create(SaveOptions {
            rotation,
            ..options(path, FileFormat::Pcap)
        })
        .unwrap();
        save.interface(&pod(0)).unwrap();
        let mut data = frame(1, 2);
        data.resize(1000, 0);
        for number in 0..PACKETS {
            let packet = Packet {
                time: START + u64::from(number),
                iface: 0,
                direction: None,
                orig_len: 1000,
                data: &data,
                lost: 0,
            };
            assert_eq!(save.packet(&packet, None).unwrap(), Saved::Yes);
        }
        save.finish(&[], START).unwrap();
    };
    write(Rotation::default(), "all");
    for (count, files) in [(None, 4), (Some(2), 2), (Some(12), 4)] {
        let size = Some(1_000_000);
        let rotation = Rotation {
            size,
            seconds: None,
            count,
        };
        let count = count.map(|count| count.to_string()).unwrap_or_default();
        write(rotation, &format!("ours{count}-"));
        let theirs = format!("theirs{count}-");
        // As root it would change to a user who may not write here.
        let mut args = vec!["-Z", "root", "-r", "all", "-w", &theirs, "-C", "1"];
        if !count.is_empty() {
            args.extend(["-W", &count]);
        }
        run(folder, "tcpdump", &args);
        let ours = ring(folder, &format!("ours{count}-"));
        assert_eq!(ours, ring(folder, &theirs));
        assert_eq!(ours.len(), files);
    }
}

#[test]
fn a_reader_that_goes_away_is_a_closed_pipe_and_nothing_is_uncounted() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let reader = thread::spawn({
        let pipe = pipe.clone();
        move || {
            let mut head = vec![0; 100_000];
            File::open(pipe).unwrap().read_exact(&mut head).unwrap();
        }
    });
    // A pipe that is there needs no --force.
    let mut save = SaveFile::create(options(pipe, FileFormat::Pcapng)).unwrap();
    save.interface(&pod(0)).unwrap();
    let data = [0; 1000];
    let mut handed = 0;
    let error = loop {
        let packet = Packet {
            time: START,
            iface: 0,
            direction: None,
            orig_len: 1000,
            data: &data,
            lost: 0,
        };
        handed += 1;
        assert!(handed < 10_000, "a pipe without a reader takes nothing");
        if let Err(error) = save.packet(&packet, None) {
            break error;
        }
    };
    reader.join().unwrap();
    assert!(
        matches!(&error, SaveError::Write { source, .. } if source.kind() == std::io::ErrorKind::BrokenPipe)
    );
    let tally = save.tally(0);
    assert!(tally.written >= 90, "the reader has read them: {tally:?}");
    assert_eq!((tally.buffered, tally.written + tally.lost), (0, handed));
}
