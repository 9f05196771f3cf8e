//! Packets that expressions are decided on.

/// An Ethernet frame of the corpus.
pub(super) struct Packet {
    /// For a test that fails.
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
    pub(super) is_cut: bool,
}

const A4: [u8; 4] = [192, 0, 2, 10];
const B4: [u8; 4] = [198, 51, 100, 20];
const C4: [u8; 4] = [203, 0, 113, 7];
const A6: [u8; 16] = v6(0x2001_0db8, 0, 0x10);
const B6: [u8; 16] = v6(0x2001_0db8, 0x0001_0000, 0x20);
const LINK6: [u8; 16] = v6(0xfe80_0000, 0, 1);
const ALL6: [u8; 16] = v6(0xff02_0000, 0, 1);

const MAC_A: [u8; 6] = [2, 0, 0, 0, 0, 1];
const MAC_B: [u8; 6] = [2, 0, 0, 0, 0, 2];
const EVERYBODY: [u8; 6] = [0xff; 6];

/// What fills packets.
const FILLER: u8 = 0x5a;

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;

const fn v6(first: u32, second: u32, last: u8) -> [u8; 16] {
    ((first as u128) << 96 | (second as u128) << 64 | last as u128).to_be_bytes()
}

fn word(number: usize) -> [u8; 2] {
    u16::try_from(number).unwrap().to_be_bytes()
}

fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

fn ether(dst: [u8; 6], src: [u8; 6], ethertype: u16, payload: &[u8]) -> Vec<u8> {
    join(&[&dst, &src, &ethertype.to_be_bytes(), payload])
}

fn plain(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    ether(MAC_B, MAC_A, ethertype, payload)
}

struct Ip4<'a> {
    protocol: u8,
    ends: [[u8; 4]; 2],
    options: &'a [u8],
    /// Flags and offset.
    fragment: u16,
    tos: u8,
    ttl: u8,
}

impl Ip4<'_> {
    fn of(protocol: u8) -> Self {
        Self {
            protocol,
            ends: [A4, B4],
            options: &[],
            fragment: 0x4000,
            tos: 0,
            ttl: 64,
        }
    }

    fn with(&self, payload: &[u8]) -> Vec<u8> {
        let header = 20 + self.options.len();
        let first = 0x40 | u8::try_from(header / 4).unwrap();
        join(&[
            &[first, self.tos],
            &word(header + payload.len()),
            &[0x12, 0x34],
            &self.fragment.to_be_bytes(),
            &[self.ttl, self.protocol, 0xab, 0xcd],
            &self.ends[0],
            &self.ends[1],
            self.options,
            payload,
        ])
    }
}

fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    Ip4::of(protocol).with(payload)
}

fn ipv6_of(ends: [[u8; 16]; 2], next: u8, payload: &[u8]) -> Vec<u8> {
    join(&[
        &[0x60, 0, 0, 0],
        &word(payload.len()),
        &[next, 64],
        &ends[0],
        &ends[1],
        payload,
    ])
}

fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    ipv6_of([A6, B6], next, payload)
}

/// An extension header of eight bytes, or of so many more times eight.
fn extension(next: u8, more: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![next, more];
    bytes.resize(8 + usize::from(more) * 8, 0);
    bytes.extend(payload);
    bytes
}

fn tcp(ports: [u16; 2], flags: u8, payload: &[u8]) -> Vec<u8> {
    tcp_with(ports, flags, &[], payload)
}

fn tcp_with(ports: [u16; 2], flags: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let offset = u8::try_from(5 + options.len() / 4).unwrap() << 4;
    join(&[
        &ports[0].to_be_bytes(),
        &ports[1].to_be_bytes(),
        &[
            0x90, 0, 0, 1, 0, 0, 0, 2, offset, flags, 0xff, 0, 0xbe, 0xef, 0, 0,
        ],
        options,
        payload,
    ])
}

fn udp(ports: [u16; 2], payload: &[u8]) -> Vec<u8> {
    join(&[
        &ports[0].to_be_bytes(),
        &ports[1].to_be_bytes(),
        &word(8 + payload.len()),
        &[0, 0],
        payload,
    ])
}

fn icmp(kind: u8, code: u8) -> Vec<u8> {
    join(&[&[kind, code, 0, 0, 0, 77, 0, 1], &[FILLER; 8]])
}

fn arp(operation: u8, ends: [[u8; 4]; 2]) -> Vec<u8> {
    let [sender, target] = ends;
    join(&[
        &[0, 1, 8, 0, 6, 4, 0, operation],
        &MAC_A,
        &sender,
        &[0; 6],
        &target,
    ])
}

fn filler(length: usize) -> Vec<u8> {
    vec![FILLER; length]
}

/// 802.3: a length where the type would be, then DSAP, SSAP, control.
fn llc(header: &[u8], payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(header.len() + payload.len()).unwrap();
    let mut frame = plain(length, &join(&[header, payload]));
    frame.resize(frame.len().max(60), 0);
    frame
}

/// The corpus.
pub(super) fn packets() -> Vec<Packet> {
    let mut corpus = Corpus(Vec::new());
    corpus.internet();
    corpus.transport();
    corpus.messages();
    corpus.chains();
    corpus.link();
    corpus.tunnels();
    corpus.noise();
    corpus.0
}

/// An IPv6 packet with so many extension headers before TCP.
pub(super) fn chain(headers: usize) -> Vec<u8> {
    let segment = tcp([40000, 80], 0x02, &[]);
    let inner = (1..headers).fold(extension(6, 0, &segment), |inner, _| {
        extension(60, 0, &inner)
    });
    plain(IPV6, &ipv6(60, &inner))
}

struct Corpus(Vec<Packet>);

impl Corpus {
    /// A packet, and what is left of it where it is cut off.
    fn add(&mut self, name: impl Into<String>, bytes: Vec<u8>) {
        /// Around the borders of headers, and of what is read directly.
        const CUTS: [usize; 36] = [
            14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 26, 27, 29, 30, 33, 34, 35, 36, 37, 38, 41,
            42, 47, 48, 50, 54, 57, 58, 66, 74, 94, 255, 256, 257, 1513,
        ];
        let name = name.into();
        for cut in CUTS.into_iter().filter(|cut| *cut < bytes.len()) {
            self.push(format!("{name}, cut at {cut}"), bytes[..cut].to_vec(), true);
        }
        self.push(name, bytes, false);
    }

    fn add_whole(&mut self, name: impl Into<String>, bytes: Vec<u8>) {
        self.push(name.into(), bytes, false);
    }

    fn push(&mut self, name: String, bytes: Vec<u8>, is_cut: bool) {
        assert!(bytes.len() >= 14, "no Ethernet device gives less");
        self.0.push(Packet {
            name,
            bytes,
            is_cut,
        });
    }

    fn internet(&mut self) {
        let http = tcp([40000, 80], 0x18, b"GET / HTTP/1.1\r\n\r\n");
        let dns = udp([40001, 53], &filler(20));
        let pairs = [[A4, B4], [B4, A4], [A4, C4], [C4, A4], [C4, B4], [A4, A4]];
        let others = [
            [192, 0, 2, 11],
            [192, 0, 2, 255],
            [224, 0, 0, 251],
            [255; 4],
        ];
        for ends in pairs.into_iter().chain(others.map(|other| [A4, other])) {
            for (protocol, payload) in [(6, &http), (17, &dns)] {
                let packet = Ip4 {
                    ends,
                    ..Ip4::of(protocol)
                };
                let name = format!("IPv4 {ends:?} {protocol}");
                let dst = match ends[1] {
                    [255, ..] => EVERYBODY,
                    [224, ..] => [1, 0, 0x5e, 0, 0, 0xfb],
                    _ => MAC_B,
                };
                self.add(name, ether(dst, MAC_A, IPV4, &packet.with(payload)));
            }
        }
        for ends in [
            [A6, B6],
            [B6, A6],
            [A6, A6],
            [LINK6, ALL6],
            [A6, ALL6],
            [v6(0x2001_0db8, 1, 0x10), B6],
            [v6(0x2001_0db9, 0, 0x10), B6],
        ] {
            for (protocol, payload) in [(6, &http), (17, &dns)] {
                let dst = if ends[1] == ALL6 {
                    [0x33, 0x33, 0, 0, 0, 1]
                } else {
                    MAC_B
                };
                let packet = ipv6_of(ends, protocol, payload);
                let name = format!("IPv6 {ends:02x?} {protocol}");
                self.add(name, ether(dst, MAC_A, IPV6, &packet));
            }
        }
        for (ttl, tos, fragment) in [(1, 0, 0), (64, 0xb8, 0x4000), (128, 3, 0), (0, 1, 0x8000)] {
            let packet = Ip4 {
                fragment,
                tos,
                ttl,
                ..Ip4::of(17)
            };
            self.add(format!("IPv4 ttl {ttl}"), plain(IPV4, &packet.with(&dns)));
        }
        let opening = tcp_with([40000, 80], 0x02, &[2, 4, 5, 0xb4, 1, 1, 1, 0], &[]);
        self.add("opening", plain(IPV4, &ipv4(6, &opening)));
        let mut closed = tcp([80, 40000], 0x10, &[]);
        closed[14..16].fill(0);
        self.add("window of 0", plain(IPV4, &ipv4(6, &closed)));
        let mut last_hop = ipv6(17, &dns);
        last_hop[7] = 1;
        self.add("hop limit 1", ether(MAC_B, MAC_B, IPV6, &last_hop));
        for words in 1..=10 {
            let options = vec![1; words * 4];
            for (protocol, payload) in [(6, &http), (17, &dns), (1, &icmp(8, 0)), (132, &dns)] {
                let packet = Ip4 {
                    options: &options,
                    ..Ip4::of(protocol)
                };
                let name = format!("IPv4 with {words} words of options, {protocol}");
                self.add(name, plain(IPV4, &packet.with(payload)));
            }
        }
        for header in [0, 1, 4] {
            let mut packet = ipv4(6, &http);
            packet[0] = 0x40 | header;
            self.add(
                format!("IPv4 header of {header} words"),
                plain(IPV4, &packet),
            );
        }
        for fragment in [0x2000, 0x2001, 0x00b9, 0x1fff, 0x6000] {
            for (protocol, payload) in [(6, &http), (17, &dns)] {
                let packet = Ip4 {
                    fragment,
                    ..Ip4::of(protocol)
                };
                let name = format!("IPv4 fragment {fragment:#x}, {protocol}");
                self.add(name, plain(IPV4, &packet.with(payload)));
            }
        }
    }

    fn transport(&mut self) {
        let ports = [
            [80, 40000],
            [443, 50000],
            [50000, 443],
            [53, 53],
            [22, 6004],
            [6008, 6000],
            [5060, 5060],
            [0, 65535],
            [1024, 1023],
            [90, 60],
            [65535, 0],
        ];
        for ends in ports {
            for (protocol, payload) in [
                (6, tcp(ends, 0x10, &[])),
                (17, udp(ends, &filler(9))),
                (
                    132,
                    join(&[&udp(ends, &[]), &[0; 4], &[1, 0, 0, 20], &[0; 16]]),
                ),
            ] {
                let name = format!("{protocol} {ends:?}");
                self.add(
                    format!("IPv4 {name}"),
                    plain(IPV4, &ipv4(protocol, &payload)),
                );
                self.add(
                    format!("IPv6 {name}"),
                    plain(IPV6, &ipv6(protocol, &payload)),
                );
            }
        }
        for flags in 0..=255 {
            let segment = tcp_with([40000, 443], flags, &[1; 12], &[]);
            self.add_whole(format!("flags {flags:#x}"), plain(IPV4, &ipv4(6, &segment)));
        }
        for length in [0, 1, 2, 3, 50, 86, 200, 210, 214, 558, 1200, 1472, 3000] {
            let datagram = udp([6002, 53], &filler(length));
            self.add(
                format!("datagram of {length}"),
                plain(IPV4, &ipv4(17, &datagram)),
            );
            self.add(
                format!("segment of {length}"),
                plain(IPV6, &ipv6(6, &tcp([443, 6002], 0x10, &filler(length)))),
            );
        }
    }

    fn messages(&mut self) {
        for kind in (0..=18).chain([30, 255]) {
            for code in [0, 3] {
                let message = ipv4(1, &icmp(kind, code));
                self.add_whole(format!("ICMP {kind}/{code}"), plain(IPV4, &message));
            }
        }
        for kind in (1..=4).chain(127..=155) {
            for code in [0, 4] {
                let message = ipv6(58, &icmp(kind, code));
                self.add_whole(format!("ICMPv6 {kind}/{code}"), plain(IPV6, &message));
            }
        }
        self.add("ICMP", plain(IPV4, &ipv4(1, &icmp(8, 0))));
        self.add("ICMPv6", plain(IPV6, &ipv6(58, &icmp(128, 0))));
        for protocol in [0, 2, 4, 9, 41, 46, 47, 50, 51, 89, 103, 112, 136, 255] {
            let payload = join(&[&[0x16, 0, 0, 0], &filler(24)]);
            let name = format!("protocol {protocol}");
            self.add(
                format!("IPv4 {name}"),
                plain(IPV4, &ipv4(protocol, &payload)),
            );
            self.add(
                format!("IPv6 {name}"),
                plain(IPV6, &ipv6(protocol, &payload)),
            );
        }
        let numbers = [[0x21, 1, 0, 0], [0x20, 0, 0, 0], [1, 0, 0, 0]];
        for (protocol, first) in [(112, numbers[0]), (103, numbers[1]), (9, numbers[2])] {
            let name = format!("protocol {protocol} by its first byte");
            self.add(
                name,
                plain(IPV4, &ipv4(protocol, &join(&[&first, &filler(20)]))),
            );
        }
    }

    fn chains(&mut self) {
        let segment = tcp([40000, 443], 0x02, &[]);
        let datagram = udp([40000, 53], &filler(12));
        for (last, payload) in [
            (6, &segment),
            (17, &datagram),
            (58, &icmp(128, 0)),
            (59, &vec![]),
        ] {
            for first in [0, 43, 44, 51, 60, 135] {
                for more in [0, 1, 3] {
                    let chain = extension(last, more, payload);
                    let name = format!("IPv6 extension {first} of {more} before {last}");
                    self.add_whole(name, plain(IPV6, &ipv6(first, &chain)));
                }
            }
            // Up to more headers than a filter follows.
            for headers in [2, 3, 5, 8, 9, 16, 20] {
                let mut chain = extension(last, 0, payload);
                for _ in 1..headers {
                    chain = extension(60, 0, &chain);
                }
                let name = format!("IPv6 with {headers} extensions before {last}");
                self.add(name, plain(IPV6, &ipv6(60, &chain)));
            }
            let authenticated = join(&[&[last, 4, 0, 0], &filler(20), payload]);
            let name = format!("authentication header before {last}");
            self.add(
                format!("IPv4 {name}"),
                plain(IPV4, &ipv4(51, &authenticated)),
            );
            self.add(
                format!("IPv6 {name}"),
                plain(IPV6, &ipv6(51, &authenticated)),
            );
        }
        for offset in [0_u8, 1, 8, 0xf8] {
            let fragment = join(&[&[17, 0, 0, offset, 0, 0, 0, 1], &datagram]);
            self.add(
                format!("IPv6 fragment {offset}"),
                plain(IPV6, &ipv6(44, &fragment)),
            );
        }
        // A header that says it is longer than the packet.
        self.add(
            "IPv6 extension too long",
            plain(IPV6, &ipv6(0, &[6, 255, 0, 0])),
        );
    }

    fn link(&mut self) {
        for (operation, ends) in [(1, [A4, B4]), (2, [B4, A4]), (1, [C4, A4]), (2, [C4, C4])] {
            let name = format!("ARP {operation} {ends:?}");
            let dst = if operation == 1 { EVERYBODY } else { MAC_A };
            self.add(name, ether(dst, MAC_B, 0x0806, &arp(operation, ends)));
        }
        for operation in [3, 4] {
            let name = format!("RARP {operation}");
            self.add(
                name,
                ether(EVERYBODY, MAC_A, 0x8035, &arp(operation, [A4, A4])),
            );
        }
        for ethertype in [
            0x6001, 0x6002, 0x6003, 0x6004, 0x6007, 0x809b, 0x80f3, 0x8137, 0x9000, 0x88cc, 0x88a2,
            0x8847, 0x8863, 0x0842, 0x0600, 0x05dd, 0xffff, 0x42,
        ] {
            for payload in [join(&[&[1, 0, 0, 1], &filler(50)]), vec![0; 46]] {
                let name = format!("ethertype {ethertype:#x} {:?}", payload[0]);
                self.add_whole(name, plain(ethertype, &payload));
            }
        }
        // DECnet: length, flags; short and long, with padding.
        for (flags, at) in [
            (&[0x02_u8][..], 1),
            (&[0x06], 8),
            (&[0x81, 0x02], 1),
            (&[0x81, 0x06], 8),
        ] {
            for node in [0x0f28_u16, 0x1028] {
                let mut packet = vec![30, 0];
                packet.extend(flags);
                packet.resize(packet.len() + at - 1, 0);
                packet.extend(node.to_be_bytes());
                packet.extend(node.to_be_bytes());
                packet.resize(60, 0);
                packet[2 + flags.len() + 6..][..2].copy_from_slice(&node.to_be_bytes());
                self.add_whole(format!("DECnet {flags:?} {node:x}"), plain(0x6003, &packet));
            }
        }
        for control in [
            0x00, 0x01, 0x03, 0x05, 0x09, 0x0f, 0x13, 0x43, 0x53, 0x63, 0x6f, 0x73, 0x87, 0xaf,
            0xe3,
        ] {
            for sap in [0x42, 0xfe, 0xf0, 0xe0, 0xaa, 0x06] {
                for next in [0x00, 0x53, 0xbf, 0xe3, 0x87] {
                    let name = format!("LLC {sap:#x} {control:#x} {next:#x}");
                    self.add_whole(name, llc(&[sap, sap, control, next], &filler(40)));
                }
            }
        }
        self.add("LLC DSAP alone", llc(&[0x42, 0, 3], &filler(40)));
        for (oui, ethertype) in [
            ([0, 0, 0], 0x80f3_u16),
            ([8, 0, 7], 0x809b),
            ([0, 0, 0], 0x8137),
        ] {
            let header = join(&[&[0xaa, 0xaa, 3], &oui, &ethertype.to_be_bytes()]);
            self.add(format!("SNAP {ethertype:#x}"), llc(&header, &filler(40)));
        }
        self.add("802.3 without LLC", llc(&[0xff, 0xff], &filler(40)));
        for protocol in [0x81, 0x82, 0x83] {
            for pdu in [15, 16, 17, 18, 20, 24, 25, 26, 27, 1] {
                let osi = [protocol, 27, 1, 0, pdu, 1, 0, 0];
                let name = format!("OSI {protocol:#x} {pdu}");
                self.add_whole(name, llc(&join(&[&[0xfe, 0xfe, 3], &osi]), &filler(40)));
            }
        }
    }

    fn tunnels(&mut self) {
        let inner4 = ipv4(6, &tcp([40000, 80], 0x02, &[]));
        let inner6 = ipv6(17, &udp([40000, 53], &filler(4)));
        let label =
            |label: u32, is_last: bool| (label << 12 | u32::from(is_last) << 8 | 64).to_be_bytes();
        for labels in [
            &[100_000][..],
            &[1024],
            &[100_000, 1024],
            &[7, 1024],
            &[1, 2, 3],
        ] {
            for inner in [&inner4, &inner6] {
                let mut stack = Vec::new();
                for (nth, number) in labels.iter().enumerate() {
                    stack.extend(label(*number, nth + 1 == labels.len()));
                }
                let name = format!("MPLS {labels:?} {}", inner[0] >> 4);
                self.add(name, plain(0x8847, &join(&[&stack, inner])));
            }
        }
        for session in [0x27, 0x28] {
            for (protocol, inner) in [(0x21_u16, &inner4), (0x57, &inner6), (0xc021, &vec![1; 8])] {
                let header = [0x11, 0, 0, session, 0, 0];
                let packet = join(&[&header, &protocol.to_be_bytes(), inner]);
                self.add(
                    format!("PPPoE {session:#x} {protocol:#x}"),
                    plain(0x8864, &packet),
                );
            }
        }
        self.add("PPPoE discovery", plain(0x8863, &[0x11, 9, 0, 0, 0, 0]));
        for (tags, ethertype, inner) in [
            (&[(0x8100_u16, 5_u16)][..], IPV4, &inner4),
            (&[(0x8100, 7)], IPV6, &inner6),
            (&[(0x8100, 0xe005)], IPV4, &ipv4(17, &udp([1, 53], &[]))),
            (&[(0x8100, 0)], 0x0806, &arp(1, [A4, B4])),
            (&[(0x88a8, 5), (0x8100, 7)], IPV4, &inner4),
            (&[(0x9100, 4095), (0x8100, 7)], IPV6, &inner6),
            (&[(0x8100, 5), (0x8100, 7), (0x8100, 9)], IPV4, &inner4),
            (&[(0x8100, 5)], 0x8847, &join(&[&label(3, true), &inner4])),
            (
                &[(0x8100, 5)],
                0x8864,
                &join(&[&[0x11, 0, 0, 7, 0, 0, 0, 0x21], &inner4]),
            ),
            (&[(0x8100, 7)], IPV4, &ipv4(1, &icmp(8, 0))),
        ] {
            let mut bytes = join(&[&MAC_B, &MAC_A]);
            for (kind, tag) in tags {
                bytes.extend(kind.to_be_bytes());
                bytes.extend(tag.to_be_bytes());
            }
            bytes.extend(ethertype.to_be_bytes());
            bytes.extend(inner);
            self.add(format!("VLAN {tags:x?} {ethertype:#x}"), bytes);
        }
        for (vni, protocol, inner) in [
            (
                11,
                IPV4,
                &Ip4 {
                    ends: [C4, B4],
                    ..Ip4::of(6)
                }
                .with(&tcp([40000, 80], 2, &[])),
            ),
            (11, 0x6558, &plain(IPV4, &inner4)),
            (12, 0x6558, &plain(0x0806, &arp(1, [C4, B4]))),
            (12, IPV6, &inner6),
        ] {
            for options in [0_u8, 2] {
                let header = join(&[&[options, 0], &protocol.to_be_bytes(), &[0, 0, vni, 0]]);
                let options = vec![0; usize::from(options) * 4];
                let outer = udp([40000, 6081], &join(&[&header, &options, inner]));
                let name = format!("Geneve {vni} {protocol:#x} {}", options.len());
                self.add(format!("{name} over IPv4"), plain(IPV4, &ipv4(17, &outer)));
                self.add(format!("{name} over IPv6"), plain(IPV6, &ipv6(17, &outer)));
            }
        }
        self.add(
            "GRE",
            plain(IPV4, &ipv4(47, &join(&[&[0, 0, 8, 0], &inner4]))),
        );
        self.add("IPv4 in IPv4", plain(IPV4, &ipv4(4, &inner4)));
        self.add("IPv6 in IPv4", plain(IPV4, &ipv4(41, &inner6)));
    }

    /// Bytes without a meaning, of which some get one by chance.
    fn noise(&mut self) {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[0]
        };
        for nth in 0..60 {
            let length = 14 + usize::from(random()) % 100;
            let mut bytes: Vec<u8> = (0..length).map(|_| random()).collect();
            if nth % 3 == 0 {
                bytes[12..14].copy_from_slice(&IPV4.to_be_bytes());
            } else if nth % 3 == 1 {
                bytes[12..14].copy_from_slice(&IPV6.to_be_bytes());
            }
            self.add_whole(format!("noise {nth}"), bytes);
        }
    }
}
