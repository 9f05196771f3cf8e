//! Packets of each kind that is printed, for tests here and against tcpdump.

use etherparse::{
    IpNumber, Ipv4Header, Ipv6Header, PacketBuilder, PacketBuilderStep, TcpHeader,
    TcpOptionElement, UdpHeader, err::packet::BuildWriteError,
};

/// One packet of the corpus.
pub(crate) struct Sample {
    /// What it is.
    pub(crate) name: &'static str,
    /// The `LINKTYPE_` number of what it begins with.
    pub(crate) link_type: u16,
    /// Its bytes.
    pub(crate) data: Vec<u8>,
}

const ETHERNET: u16 = 1;
const CLIENT4: [u8; 4] = [192, 0, 2, 10];
const SERVER4: [u8; 4] = [198, 51, 100, 7];
const CLIENT6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10];
const SERVER6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
const LOCAL6: [u8; 16] = [
    0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0x11, 0x22, 0xff, 0xfe, 0x33, 0x44, 0x55,
];
const ROUTERS6: [u8; 16] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
const MACS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];

/// All of them, in an order in which the segments of a connection follow each other.
pub(crate) fn corpus() -> Vec<Sample> {
    let mut all = Vec::new();
    let mut add = |name, data| {
        all.push(Sample {
            name,
            link_type: ETHERNET,
            data,
        });
    };
    connection(&mut add);
    tcp_others(&mut add);
    udp(&mut add);
    dns(&mut add);
    icmp(&mut add);
    icmp6(&mut add);
    extensions(&mut add);
    links(&mut add);
    malformed(&mut add);
    let mut cooked = other_links();
    all.append(&mut cooked);
    all
}

type Add<'a> = dyn FnMut(&'static str, Vec<u8>) + 'a;

fn built<T>(
    builder: PacketBuilderStep<T>,
    write: impl FnOnce(PacketBuilderStep<T>, &mut Vec<u8>) -> Result<(), BuildWriteError>,
) -> Vec<u8> {
    let mut data = Vec::new();
    write(builder, &mut data).expect("a packet that can be");
    data
}

fn ethernet(kind: u16, payload: &[u8]) -> Vec<u8> {
    let [source, destination] = MACS;
    [&destination[..], &source, &kind.to_be_bytes(), payload].concat()
}

fn ip4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len()).expect("short");
    let mut header = Ipv4Header::new(len, 64, IpNumber(protocol), CLIENT4, SERVER4).expect("short");
    header.identification = 0x1234;
    header.header_checksum = header.calc_header_checksum();
    [&header.to_bytes()[..], payload].concat()
}

fn ip6(source: [u8; 16], destination: [u8; 16], next: u8, payload: &[u8]) -> Vec<u8> {
    let header = Ipv6Header {
        traffic_class: 0,
        flow_label: 0.try_into().expect("fits"),
        payload_length: u16::try_from(payload.len()).expect("short"),
        next_header: IpNumber(next),
        hop_limit: 255,
        source,
        destination,
    };
    [&header.to_bytes()[..], payload].concat()
}

fn eth4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    ethernet(0x0800, &ip4(protocol, payload))
}

fn eth6(next: u8, payload: &[u8]) -> Vec<u8> {
    ethernet(0x86dd, &ip6(CLIENT6, SERVER6, next, payload))
}

/// A segment of one connection, over IPv4.
fn segment(from_client: bool, header: impl FnOnce(&mut TcpHeader), payload: &[u8]) -> Vec<u8> {
    let (ports, addresses) = if from_client {
        ([40_000, 443], [CLIENT4, SERVER4])
    } else {
        ([443, 40_000], [SERVER4, CLIENT4])
    };
    let mut tcp = TcpHeader::new(ports[0], ports[1], 0, 64_240);
    header(&mut tcp);
    let builder = PacketBuilder::ethernet2(MACS[0], MACS[1])
        .ipv4(addresses[0], addresses[1], 64)
        .tcp_header(tcp);
    built(builder, |builder, out| builder.write(out, payload))
}

fn connection(add: &mut Add<'_>) {
    use TcpOptionElement::{
        MaximumSegmentSize, Noop, SelectiveAcknowledgement, SelectiveAcknowledgementPermitted,
        Timestamp, WindowScale,
    };
    let syn = [
        MaximumSegmentSize(1460),
        SelectiveAcknowledgementPermitted,
        Timestamp(1000, 0),
        Noop,
        WindowScale(7),
    ];
    let stamps = |a, b| [Noop, Noop, Timestamp(a, b)];
    add(
        "TCP SYN",
        segment(
            true,
            |tcp| {
                tcp.syn = true;
                tcp.sequence_number = 4_294_967_290;
                tcp.set_options(&syn).expect("fit");
            },
            b"",
        ),
    );
    add(
        "TCP SYN ACK",
        segment(
            false,
            |tcp| {
                (tcp.syn, tcp.ack) = (true, true);
                tcp.sequence_number = 1000;
                tcp.acknowledgment_number = 4_294_967_291;
                tcp.set_options(&syn).expect("fit");
            },
            b"",
        ),
    );
    add(
        "TCP ACK",
        segment(
            true,
            |tcp| {
                tcp.ack = true;
                tcp.sequence_number = 4_294_967_291;
                tcp.acknowledgment_number = 1001;
                tcp.set_options(&stamps(1001, 7)).expect("fit");
            },
            b"",
        ),
    );
    add(
        "TCP data around the wrap of sequence numbers",
        segment(
            true,
            |tcp| {
                (tcp.ack, tcp.psh) = (true, true);
                tcp.sequence_number = 4_294_967_291;
                tcp.acknowledgment_number = 1001;
                tcp.set_options(&stamps(1002, 8)).expect("fit");
            },
            b"sixteen bytes!\r\n",
        ),
    );
    add(
        "TCP SACK",
        segment(
            false,
            |tcp| {
                tcp.ack = true;
                tcp.sequence_number = 1001;
                tcp.acknowledgment_number = 4_294_967_291;
                let blocks = [None, None, None];
                tcp.set_options(&[Noop, Noop, SelectiveAcknowledgement((1, 11), blocks)])
                    .expect("fit");
            },
            b"",
        ),
    );
    add(
        "TCP FIN",
        segment(
            false,
            |tcp| {
                (tcp.ack, tcp.fin) = (true, true);
                tcp.sequence_number = 1001;
                tcp.acknowledgment_number = 11;
                tcp.set_options(&[SelectiveAcknowledgement(
                    (11, 21),
                    [Some((31, 41)), None, None],
                )])
                .expect("fit");
            },
            b"",
        ),
    );
    add(
        "TCP RST with words",
        segment(
            true,
            |tcp| {
                (tcp.ack, tcp.rst) = (true, true);
                tcp.sequence_number = 11;
                tcp.acknowledgment_number = 1002;
            },
            b"no such\x1b[31m service, and this is longer than is shown",
        ),
    );
    add(
        "TCP all flags",
        segment(
            true,
            |tcp| {
                (tcp.ack, tcp.urg, tcp.ece, tcp.cwr) = (true, true, true, true);
                (tcp.psh, tcp.syn, tcp.fin, tcp.rst) = (true, true, true, true);
                tcp.urgent_pointer = 77;
                tcp.sequence_number = 5;
                tcp.acknowledgment_number = 6;
            },
            b"x",
        ),
    );
    add(
        "TCP no flags",
        segment(true, |tcp| tcp.sequence_number = 99, b""),
    );
}

/// A TCP header with options as they are given.
fn tcp_raw(source: u16, destination: u16, flags: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut options = options.to_vec();
    options.resize(options.len().next_multiple_of(4), 0);
    let words = u8::try_from(5 + options.len() / 4).expect("few");
    [
        &source.to_be_bytes()[..],
        &destination.to_be_bytes(),
        &[
            0,
            0,
            0,
            100,
            0,
            0,
            0,
            200,
            words << 4,
            flags,
            2,
            0,
            0,
            0,
            0,
            0,
        ],
        &options,
        payload,
    ]
    .concat()
}

fn tcp_others(add: &mut Add<'_>) {
    let over4 = |options: &[u8]| eth4(6, &tcp_raw(50_000, 8443, 0x10, options, b"data"));
    add("TCP with a wrong checksum", over4(&[]));
    add("TCP fast open request", over4(&[34, 2]));
    add(
        "TCP fast open cookie",
        over4(&[34, 10, 1, 2, 3, 4, 5, 6, 7, 8]),
    );
    add(
        "TCP experiment",
        over4(&[254, 6, 0xf9, 0x89, 1, 2, 254, 4, 0xab, 0xcd]),
    );
    add("TCP unknown option", over4(&[99, 5, 1, 2, 3]));
    add("TCP option too long", over4(&[99, 50, 1, 2]));
    add("TCP option too short", over4(&[1, 99, 1, 2]));
    add(
        "TCP odd option lengths",
        over4(&[2, 5, 1, 2, 3, 3, 4, 7, 7, 1, 4, 3, 9]),
    );
    add("TCP user timeout", over4(&[28, 4, 0x80, 5, 28, 4, 0, 7]));
    add("TCP bad SACK", over4(&[5, 6, 1, 2, 3, 4]));
    let mut short = tcp_raw(1, 2, 2, &[], b"");
    short[12] = 0x40;
    add("TCP header too short", eth4(6, &short));
    let mut long = tcp_raw(1, 2, 2, &[], b"");
    long[12] = 0xf0;
    add("TCP header too long", eth4(6, &long));
    let builder = PacketBuilder::ethernet2(MACS[0], MACS[1])
        .ipv6(CLIENT6, SERVER6, 64)
        .tcp(443, 40_000, 7000, 512)
        .syn()
        .ack(42);
    add(
        "TCP over IPv6",
        built(builder, |builder, out| builder.write(out, b"")),
    );
    let builder = PacketBuilder::ethernet2(MACS[0], MACS[1])
        .ipv6(SERVER6, CLIENT6, 64)
        .tcp(40_000, 443, 42, 512)
        .ack(7001)
        .psh();
    add(
        "TCP over IPv6 back",
        built(builder, |builder, out| builder.write(out, b"hello")),
    );
}

fn udp_raw(source: u16, destination: u16, payload: &[u8]) -> Vec<u8> {
    let header = UdpHeader::without_ipv4_checksum(source, destination, payload.len());
    [&header.expect("short").to_bytes()[..], payload].concat()
}

fn udp(add: &mut Add<'_>) {
    let builder = PacketBuilder::ethernet2(MACS[0], MACS[1])
        .ipv4(CLIENT4, SERVER4, 64)
        .udp(5000, 6000);
    add(
        "UDP",
        built(builder, |builder, out| builder.write(out, b"hello\tworld")),
    );
    add(
        "UDP without checksum",
        eth4(17, &udp_raw(5000, 6000, b"hello")),
    );
    let mut wrong = udp_raw(5000, 6000, b"hello");
    wrong[7] = 1;
    add("UDP with a wrong checksum", eth4(17, &wrong));
    let mut long = udp_raw(5000, 6000, b"hello");
    long[5] = 100;
    add("UDP that says it is longer", eth4(17, &long));
    let mut short = udp_raw(5000, 6000, b"hello");
    short[5] = 7;
    add("UDP that says it is too short", eth4(17, &short));
    add(
        "UDP without room for its header",
        eth4(17, &[1, 2, 3, 4, 5, 6]),
    );
    let builder = PacketBuilder::ethernet2(MACS[0], MACS[1])
        .ipv6(CLIENT6, SERVER6, 64)
        .udp(5000, 6000);
    add(
        "UDP over IPv6",
        built(builder, |builder, out| builder.write(out, b"hello")),
    );
    add(
        "UDP over IPv6 with a wrong checksum",
        eth6(17, &udp_raw(5000, 6000, b"hello")),
    );
}

const QUESTION: &[u8] = b"\x03www\x07example\x03com\x00\x00\x01\x00\x01";

fn message(header: [u16; 6], sections: &[&[u8]]) -> Vec<u8> {
    let mut message: Vec<u8> = header
        .iter()
        .flat_map(|field| field.to_be_bytes())
        .collect();
    message.extend(sections.concat());
    message
}

fn record(name: &[u8], kind: u16, class: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let len = u16::try_from(data.len()).expect("short");
    [
        name,
        &kind.to_be_bytes(),
        &class.to_be_bytes(),
        &ttl.to_be_bytes(),
        &len.to_be_bytes(),
        data,
    ]
    .concat()
}

fn dns(add: &mut Add<'_>) {
    let query = |add: &mut Add<'_>, name, message: &[u8]| {
        add(name, eth4(17, &udp_raw(40_000, 53, message)));
    };
    let answer = |add: &mut Add<'_>, name, message: &[u8]| {
        add(name, eth4(17, &udp_raw(53, 40_000, message)));
    };
    let opt = record(b"\0", 41, 1232, 0x8000, b"");
    query(
        add,
        "DNS query",
        &message([7, 0x0100, 1, 0, 0, 0], &[QUESTION]),
    );
    query(
        add,
        "DNS query with EDNS",
        &message([8, 0x0130, 1, 0, 0, 1], &[QUESTION, &opt]),
    );
    query(
        add,
        "DNS query of the root",
        &message([9, 0, 1, 0, 0, 0], &[b"\0\0\x02\0\x01"]),
    );
    query(
        add,
        "DNS query of a class",
        &message([9, 0, 1, 0, 0, 0], &[b"\x01a\0\0\xff\0\x03"]),
    );
    query(
        add,
        "DNS query of a strange type",
        &message([9, 0, 1, 0, 0, 0], &[b"\x01a\0\xff\x00\0\x09"]),
    );
    query(
        add,
        "DNS two questions",
        &message([9, 0, 2, 0, 0, 0], &[QUESTION, QUESTION]),
    );
    query(
        add,
        "DNS question that is not there",
        &message([9, 0, 3, 0, 0, 0], &[QUESTION]),
    );
    query(
        add,
        "DNS odd flags",
        &message([9, 0x7ff0, 1, 1, 1, 0], &[QUESTION]),
    );
    query(
        add,
        "DNS inverse query",
        &message(
            [9, 0x0900, 0, 1, 0, 0],
            &[&record(b"\0", 1, 1, 0, &[192, 0, 2, 1])],
        ),
    );
    query(
        add,
        "DNS name with control characters",
        &message(
            [9, 0x0100, 1, 0, 0, 0],
            &[b"\x06\x1b[31m\xff\x03a.b\0\0\x1c\0\x01"],
        ),
    );
    query(
        add,
        "DNS pointer loop",
        &message([9, 0, 1, 0, 0, 0], &[b"\x01a\xc0\x0c\0\x01\0\x01"]),
    );
    query(
        add,
        "DNS pointer to itself",
        &message([9, 0, 1, 0, 0, 0], &[b"\xc0\x0c\0\x01\0\x01"]),
    );
    query(
        add,
        "DNS label of an unknown type",
        &message([9, 0, 1, 0, 0, 0], &[b"\x80aaaa\0\0\x01\0\x01"]),
    );
    query(add, "DNS shorter than its header", b"\0\x01\0");
    let label = [&[63][..], &[b'a'; 63]].concat();
    let long = [
        &label[..],
        &label,
        &label,
        &label,
        &label,
        b"\0\0\x01\0\x01",
    ]
    .concat();
    query(
        add,
        "DNS name that is too long",
        &message([9, 0, 1, 0, 0, 0], &[&long]),
    );

    let answers = [
        record(b"\xc0\x0c", 5, 1, 300, b"\x03cdn\xc0\x10"),
        record(b"\xc0\x2d", 1, 1, 90_061, &[192, 0, 2, 1]),
        record(b"\xc0\x2d", 28, 1, 0, &SERVER6),
    ];
    let answers: Vec<_> = answers.iter().map(Vec::as_slice).collect();
    let sections = [&[QUESTION][..], &answers].concat();
    answer(
        add,
        "DNS answer",
        &message([7, 0x8180, 1, 3, 0, 0], &sections),
    );
    answer(
        add,
        "DNS answer with more counted",
        &message([7, 0x8180, 1, 9, 0, 0], &sections),
    );
    let rest = [
        record(b"\xc0\x0c", 15, 1, 60, b"\0\x0a\x04mail\xc0\x10"),
        record(b"\xc0\x0c", 16, 1, 60, b"\x05hello\x06w\"or\nd"),
        record(
            b"\xc0\x0c",
            33,
            1,
            60,
            b"\0\x01\0\x02\x1f\x90\x03srv\xc0\x10",
        ),
        record(
            b"\xc0\x0c",
            6,
            1,
            60,
            b"\x02ns\xc0\x10\x04root\xc0\x10\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0\x05",
        ),
        record(b"\xc0\x0c", 2, 1, 60, b"\x02ns\xc0\x10"),
        record(b"\xc0\x0c", 12, 3, 60, b"\0"),
        record(b"\xc0\x0c", 99, 1, 60, b"\x01x"),
        record(b"\xc0\x0c", 65_280, 77, 60, b"\x01x"),
    ];
    let rest: Vec<_> = rest.iter().map(Vec::as_slice).collect();
    let sections = [&[QUESTION][..], &rest].concat();
    answer(
        add,
        "DNS answer of many types",
        &message([7, 0x8580, 1, 8, 0, 0], &sections),
    );
    let soa = record(
        b"\xc0\x10",
        6,
        1,
        60,
        b"\xc0\x0c\xc0\x0c\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0\x05",
    );
    answer(
        add,
        "DNS no such name",
        &message([7, 0x8183, 1, 0, 1, 1], &[QUESTION, &soa, &opt]),
    );
    let more = record(b"\0", 41, 1232, 0x0100_0000, b"");
    answer(
        add,
        "DNS answer with an extended code",
        &message([7, 0x8300, 1, 0, 0, 1], &[QUESTION, &more]),
    );
    answer(
        add,
        "DNS answer without question",
        &message([7, 0x8205, 0, 0, 0, 0], &[]),
    );
    let short = record(b"\xc0\x0c", 1, 1, 60, &[192]);
    answer(
        add,
        "DNS address that is too short",
        &message([7, 0x8180, 1, 1, 0, 0], &[QUESTION, &short]),
    );

    let mdns = message(
        [0, 0, 2, 0, 0, 0],
        &[QUESTION, b"\x05_http\x04_tcp\x05local\0\0\x0c\x80\x01"],
    );
    add("mDNS query", eth4(17, &udp_raw(5353, 5353, &mdns)));
    let flush = record(b"\x03web\x05local\0", 1, 0x8001, 120, &[192, 0, 2, 1]);
    add(
        "mDNS answer",
        eth4(
            17,
            &udp_raw(5353, 5353, &message([0, 0x8400, 0, 1, 0, 0], &[&flush])),
        ),
    );

    let message = message([7, 0x0100, 1, 0, 0, 0], &[QUESTION]);
    let prefix = u16::try_from(message.len()).expect("short").to_be_bytes();
    let framed = [&prefix[..], &message].concat();
    add(
        "DNS over TCP",
        eth4(6, &tcp_raw(40_001, 53, 0x18, &[], &framed)),
    );
    add(
        "DNS over TCP, a part",
        eth4(6, &tcp_raw(40_001, 53, 0x18, &[], &framed[..20])),
    );
    add(
        "DNS over TCP, a byte",
        eth4(6, &tcp_raw(40_001, 53, 0x18, &[], b"\0")),
    );
}

fn checksummed(mut message: Vec<u8>) -> Vec<u8> {
    let sum = etherparse::checksum::Sum16BitWords::new().add_slice(&message);
    message[2..4].copy_from_slice(&sum.ones_complement().to_ne_bytes());
    message
}

fn icmp(add: &mut Add<'_>) {
    let mut icmp = |name, message: Vec<u8>| add(name, eth4(1, &checksummed(message)));
    icmp(
        "ICMP echo request",
        b"\x08\0\0\0\x12\x34\0\x01payload".to_vec(),
    );
    icmp("ICMP echo reply", b"\0\0\0\0\x12\x34\0\x01payload".to_vec());
    let inner = ip4(17, &udp_raw(5000, 53, b""));
    let about =
        |kind: u8, code: u8, rest: [u8; 4]| [&[kind, code, 0, 0][..], &rest, &inner].concat();
    for code in 0..=16 {
        icmp("ICMP unreachable", about(3, code, [0, 0, 5, 0]));
    }
    for code in 0..=4 {
        icmp("ICMP redirect", about(5, code, [192, 0, 2, 1]));
    }
    for code in 0..=2 {
        icmp("ICMP time exceeded", about(11, code, [0; 4]));
    }
    icmp("ICMP parameter problem", about(12, 0, [9, 0, 0, 0]));
    icmp("ICMP parameter problem", about(12, 1, [9, 0, 0, 0]));
    icmp("ICMP source quench", about(4, 0, [0; 4]));
    let tcp = [
        &[3, 3, 0, 0, 0, 0, 0, 0][..],
        &ip4(6, &tcp_raw(1, 2, 2, &[], b"")),
    ]
    .concat();
    icmp("ICMP unreachable TCP port", tcp);
    let other = [&[3, 3, 0, 0, 0, 0, 0, 0][..], &ip4(99, &[0; 8])].concat();
    icmp("ICMP unreachable port of another", other);
    icmp(
        "ICMP time stamp",
        b"\x0d\0\0\0\0\x01\0\x02\0\0\0\0\0\0\0\0\0\0\0\0".to_vec(),
    );
    icmp(
        "ICMP time stamp reply",
        b"\x0e\0\0\0\0\x01\0\x02\0\0\x10\0\0\x80\0\0\x04\0\0\0".to_vec(),
    );
    icmp("ICMP router solicitation", b"\x0a\0\0\0\0\0\0\0".to_vec());
    icmp(
        "ICMP router advertisement",
        b"\x09\0\0\0\x01\x02\x07\x08\xc0\0\x02\x01\0\0\0\x05".to_vec(),
    );
    icmp("ICMP mask", b"\x12\0\0\0\0\0\0\0\xff\xff\xff\0".to_vec());
    icmp("ICMP strange", b"\x63\0\0\0\0\0\0\0".to_vec());
    add(
        "ICMP with a wrong checksum",
        eth4(1, b"\x08\0\0\0\x12\x34\0\x01payload"),
    );
}

fn icmp6_message(source: [u8; 16], message: &[u8]) -> Vec<u8> {
    let mut message = message.to_vec();
    let len = u32::try_from(message.len()).expect("short");
    let sum = etherparse::checksum::Sum16BitWords::new()
        .add_slice(&source)
        .add_slice(&ROUTERS6)
        .add_slice(&len.to_be_bytes())
        .add_slice(&[0, 0, 0, 58])
        .add_slice(&message);
    if let Some(place) = message.get_mut(2..4) {
        place.copy_from_slice(&sum.ones_complement().to_ne_bytes());
    }
    ethernet(0x86dd, &ip6(source, ROUTERS6, 58, &message))
}

fn icmp6(add: &mut Add<'_>) {
    let mut icmp = |name, parts: &[&[u8]]| add(name, icmp6_message(LOCAL6, &parts.concat()));
    icmp("ICMPv6 echo request", &[b"\x80\0\0\0\x12\x34\0\x01payload"]);
    icmp("ICMPv6 echo reply", &[b"\x81\0\0\0\x12\x34\0\x01payload"]);
    let inner = ip6(CLIENT6, SERVER6, 17, &udp_raw(5000, 53, b""));
    for code in 0..=5 {
        icmp(
            "ICMPv6 unreachable",
            &[&[1, code, 0, 0, 0, 0, 0, 0], &inner],
        );
    }
    let with_extension = [&[17, 0, 1, 4, 0, 0, 0, 0][..], &udp_raw(5000, 53, b"")].concat();
    let inner_extension = ip6(CLIENT6, SERVER6, 0, &with_extension);
    icmp(
        "ICMPv6 unreachable behind an option",
        &[&[1, 4, 0, 0, 0, 0, 0, 0], &inner_extension],
    );
    icmp("ICMPv6 packet too big", &[b"\x02\0\0\0\0\0\x05\0", &inner]);
    for code in 0..=2 {
        icmp(
            "ICMPv6 time exceeded",
            &[&[3, code, 0, 0, 0, 0, 0, 0], &inner],
        );
    }
    for code in 0..=4 {
        icmp(
            "ICMPv6 parameter problem",
            &[&[4, code, 0, 0, 0, 0, 0, 6], &inner],
        );
    }
    let source_mac = b"\x01\x01\x02\0\0\0\0\x01";
    icmp(
        "ICMPv6 router solicitation",
        &[b"\x85\0\0\0\0\0\0\0", source_mac],
    );
    let prefix = [
        &b"\x03\x04\x40\xc0\0\x01\x51\x80\xff\xff\xff\xff\0\0\0\0"[..],
        &CLIENT6,
    ]
    .concat();
    let resolver = [&b"\x19\x03\0\0\0\0\x02\x58"[..], &SERVER6].concat();
    icmp(
        "ICMPv6 router advertisement",
        &[
            b"\x86\0\0\0\x40\xc8\x07\x08\0\0\0\x01\0\0\0\x02",
            source_mac,
            b"\x05\x01\0\0\0\0\x05\xdc",
            &prefix,
            &resolver,
            b"\x1f\x03\0\0\0\0\x02\x58\x07example\x03com\0\0\0\0",
            b"\x18\x02\x40\x18\0\0\x02\x58\x20\x01\x0d\xb8\0\x05\0\0",
            b"\x07\x01\0\0\0\0\x10\0",
        ],
    );
    icmp(
        "ICMPv6 neighbour solicitation",
        &[b"\x87\0\0\0\0\0\0\0", &SERVER6, source_mac],
    );
    icmp(
        "ICMPv6 neighbour advertisement",
        &[
            b"\x88\0\0\0\xe0\0\0\0",
            &SERVER6,
            b"\x02\x01\x02\0\0\0\0\x01",
        ],
    );
    icmp(
        "ICMPv6 redirect",
        &[b"\x89\0\0\0\0\0\0\0", &SERVER6, &CLIENT6],
    );
    icmp(
        "ICMPv6 option without length",
        &[b"\x85\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0"],
    );
    icmp("MLD query", &[b"\x82\0\0\0\x27\x10\0\0", &ROUTERS6]);
    icmp("MLD report", &[b"\x83\0\0\0\0\0\0\0", &ROUTERS6]);
    icmp("MLD done", &[b"\x84\0\0\0\0\0\0\0", &ROUTERS6]);
    icmp(
        "MLDv2 query",
        &[
            b"\x82\0\0\0\x90\x10\0\0",
            &ROUTERS6,
            b"\x0a\x8d\0\x01",
            &SERVER6,
        ],
    );
    icmp(
        "MLDv2 report",
        &[
            b"\x8f\0\0\0\0\0\0\x02\x04\0\0\0",
            &ROUTERS6,
            b"\x05\0\0\x01",
            &ROUTERS6,
            &SERVER6,
        ],
    );
    icmp("ICMPv6 strange", &[b"\xd2\0\0\0\0\0\0\0"]);
    add(
        "ICMPv6 with a wrong checksum",
        eth6(58, b"\x80\0\0\0\x12\x34\0\x01payload"),
    );
    add("ICMPv6 without anything", eth6(58, b""));
}

fn extensions(add: &mut Add<'_>) {
    let udp = udp_raw(5000, 6000, b"hello");
    let hop = |next: u8| [next, 0, 5, 2, 0, 0, 1, 0];
    let with = |first: u8, parts: &[&[u8]]| eth6(first, &parts.concat());
    add("IPv6 hop-by-hop options", with(0, &[&hop(17), &udp]));
    add("IPv6 destination options", with(60, &[&hop(17), &udp]));
    add(
        "IPv6 two hop-by-hop headers",
        with(0, &[&hop(0), &hop(17), &udp]),
    );
    add(
        "IPv6 hop-by-hop options late",
        with(60, &[&hop(0), &hop(17), &udp]),
    );
    let first = [17, 0, 0, 1, 0xde, 0xad, 0xbe, 0xef];
    let later = [17, 0, 0, 8, 0xde, 0xad, 0xbe, 0xef];
    add("IPv6 first fragment", with(44, &[&first, &udp]));
    add("IPv6 later fragment", with(44, &[&later, &udp]));
    add("IPv6 fragment of nothing", with(44, &[&first]));
    let routing = [&[17, 2, 0, 1, 0, 0, 0, 0][..], &SERVER6].concat();
    add("IPv6 routing", with(43, &[&routing, &udp]));
    let segments = [&[17, 2, 4, 1, 0, 0, 0, 0][..], &SERVER6].concat();
    add("IPv6 segment routing", with(43, &[&segments, &udp]));
    add(
        "IPv6 strange routing",
        with(43, &[&[17, 0, 9, 1, 0, 0, 0, 0], &udp]),
    );
    add("IPv6 no next header", with(59, &[b""]));
    add("IPv6 strange protocol", with(200, &[b"abc"]));
    add("IPv6 ICMP of IPv4", with(1, &[b"\x08\0\0\0"]));
    add("IPv4 in IPv6", with(4, &[&ip4(17, &udp)]));
    let mut labelled = eth6(17, &udp);
    labelled[14..18].copy_from_slice(&[0x6a, 0xb1, 0x23, 0x45]);
    add("IPv6 with a class and a label", labelled);
    let mut version = eth6(17, &udp);
    version[14] = 0x50;
    add("IPv6 of another version", version);
    let mut empty = eth6(17, &udp);
    empty[18..20].copy_from_slice(&[0, 0]);
    add("IPv6 without a length", empty);
    let mut longer = eth6(17, &udp);
    longer[18..20].copy_from_slice(&[1, 0]);
    add("IPv6 that says it is longer", longer);
    add(
        "IPv6 padding options",
        with(
            0,
            &[&[17, 1, 0, 0, 1, 2, 0, 0, 99, 4, 1, 2, 3, 4, 1, 0], &udp],
        ),
    );
    add(
        "IPv6 option too long",
        with(0, &[&[17, 0, 99, 40, 0, 0, 0, 0], &udp]),
    );
}

fn links(add: &mut Add<'_>) {
    let ip = ip4(17, &udp_raw(5000, 6000, b"hello"));
    let tagged = |tag: &[u8]| ethernet(0x8100, &[tag, &[8, 0], &ip].concat());
    add("VLAN", tagged(&[0, 100]));
    add("VLAN with priority", tagged(&[0xf0, 1]));
    let inner = [&[0, 100, 8, 0][..], &ip].concat();
    add(
        "VLAN in VLAN",
        ethernet(0x88a8, &[&[0, 5, 0x81, 0][..], &inner].concat()),
    );
    add(
        "VLAN of something unknown",
        ethernet(0x8100, &[0, 100, 0x12, 0x34, 1, 2, 3]),
    );
    add(
        "Ethernet type that is unknown",
        ethernet(0x1234, b"something that is nothing we know of"),
    );
    add("Ethernet type of experiments", ethernet(0x88b5, &[7; 46]));
    let arp = |operation: u8, target: &[u8]| {
        let start = [0, 1, 8, 0, 6, 4, 0, operation];
        let parts = [&start[..], &MACS[0], &CLIENT4, target, &SERVER4];
        ethernet(0x0806, &parts.concat())
    };
    add("ARP request", arp(1, &[0; 6]));
    add(
        "ARP request with padding",
        [arp(1, &[0; 6]), vec![0; 18]].concat(),
    );
    add("ARP request to one", arp(1, &MACS[1]));
    add("ARP reply", arp(2, &MACS[1]));
    add("ARP reverse request", arp(3, &MACS[1]));
    add("ARP reverse reply", arp(4, &MACS[1]));
    add("ARP inverse request", arp(8, &MACS[1]));
    add("ARP inverse reply", arp(9, &MACS[1]));
    add("ARP strange operation", arp(77, &MACS[1]));
    let mut other = arp(1, &MACS[1]);
    other[16] = 0x12;
    add("ARP of another protocol", other);
    let mut other = arp(1, &MACS[1]);
    other[15] = 0x77;
    add("ARP of other hardware", other);
    let mut other = arp(1, &MACS[1]);
    other[19] = 3;
    add("ARP of shorter addresses", other);
    add(
        "IPv4 with padding",
        [ethernet(0x0800, &ip), vec![0; 20]].concat(),
    );
}

fn malformed(add: &mut Add<'_>) {
    let udp = udp_raw(5000, 6000, b"hello");
    let change = |at: usize, with: &[u8]| {
        let mut packet = eth4(17, &udp);
        packet[14 + at..14 + at + with.len()].copy_from_slice(with);
        packet
    };
    add("IPv4 of another version", change(0, &[0x55]));
    add("IPv4 that is IPv6", change(0, &[0x65]));
    add("IPv4 header too short", change(0, &[0x44]));
    add("IPv4 header beyond the packet", change(0, &[0x4f]));
    add("IPv4 without a length", change(2, &[0, 0]));
    add("IPv4 with too short a length", change(2, &[0, 10]));
    add("IPv4 that says it is longer", change(2, &[1, 0]));
    add("IPv4 first fragment", change(6, &[0x20, 0]));
    add("IPv4 later fragment", change(6, &[0x20, 5]));
    add("IPv4 last fragment", change(6, &[0, 5]));
    add("IPv4 all flags", change(6, &[0xc0, 0]));
    add("IPv4 TOS and TTL", change(1, &[0xff]));
    add("IPv4 TTL 0", change(8, &[0]));
    for tos in 1..=2 {
        add("IPv4 ECN", change(1, &[tos]));
    }
    add("IPv4 strange protocol", change(9, &[200]));
    add("IPv4 ICMPv6", change(9, &[58]));
    add("IPv4 no next header", change(9, &[59]));
    add("IPv6 in IPv4", eth4(41, &ip6(CLIENT6, SERVER6, 17, &udp)));
    let mut nested = ip4(17, &udp);
    for _ in 0..3 {
        nested = ip4(4, &nested);
    }
    add("IPv4 in IPv4 in IPv4", ethernet(0x0800, &nested));
    let options = |options: &[u8]| {
        let mut header = ip4(17, &[options, &udp].concat());
        header[0] = 0x45 + u8::try_from(options.len() / 4).expect("few");
        ethernet(0x0800, &header)
    };
    add("IPv4 options", options(&[1, 148, 4, 0, 0, 1, 130, 0]));
    add("IPv4 router alert", options(&[148, 4, 0, 0]));
    add("IPv4 option too long", options(&[130, 50, 0, 0]));
    add("IPv4 options end", options(&[1, 0, 9, 9]));
    add("IPv4 unknown option", options(&[99, 4, 0, 0]));
}

fn other_links() -> Vec<Sample> {
    let udp4 = ip4(17, &udp_raw(5000, 6000, b"hello"));
    let udp6 = ip6(CLIENT6, SERVER6, 17, &udp_raw(5000, 6000, b"hello"));
    let sll = |direction: u8, kind: u16, payload: &[u8]| {
        let start = [0, direction, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0];
        [&start[..], &kind.to_be_bytes(), payload].concat()
    };
    let sll2 = |direction: u8, kind: u16, payload: &[u8]| {
        let start = [
            0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 1, direction, 6, 2, 0, 0, 0, 0, 1, 0, 0,
        ];
        [&kind.to_be_bytes()[..], &start, payload].concat()
    };
    let tagged = [&[0, 100, 8, 0][..], &udp4].concat();
    let mut all = Vec::new();
    let mut add = |name, link_type, data| {
        all.push(Sample {
            name,
            link_type,
            data,
        });
    };
    add("raw IPv4", 101, udp4.clone());
    add("raw IPv6", 101, udp6.clone());
    add("raw nothing", 101, vec![0x10; 20]);
    add("null IPv4", 0, [&[2, 0, 0, 0][..], &udp4].concat());
    add("null IPv6", 0, [&[0, 0, 0, 30][..], &udp6].concat());
    add(
        "null of another family",
        0,
        [&[99, 0, 0, 0][..], &udp4].concat(),
    );
    for direction in 0..=5 {
        add("cooked", 113, sll(direction, 0x0800, &udp4));
        add("cooked 2", 276, sll2(direction, 0x0800, &udp4));
    }
    add("cooked IPv6", 113, sll(4, 0x86dd, &udp6));
    add("cooked VLAN", 113, sll(0, 0x8100, &tagged));
    add("cooked unknown", 113, sll(0, 0x1234, b"something"));
    add("cooked 2 IPv6", 276, sll2(4, 0x86dd, &udp6));
    add("cooked 2 VLAN", 276, sll2(0, 0x8100, &tagged));
    add("cooked 2 unknown", 276, sll2(0, 0x1234, b"something"));
    all
}
