//! TCP.

use etherparse::{PacketBuilder, TcpHeader, TcpOptionElement};

use super::{Add, CLIENT4, CLIENT6, MACS, SERVER4, SERVER6, built, eth4};

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

pub(super) fn connection(add: &mut Add<'_>) {
    use TcpOptionElement::{
        MaximumSegmentSize, Noop, SelectiveAcknowledgementPermitted, Timestamp, WindowScale,
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
    closing(add);
}

fn closing(add: &mut Add<'_>) {
    use TcpOptionElement::{Noop, SelectiveAcknowledgement};
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
pub(super) fn raw(
    source: u16,
    destination: u16,
    flags: u8,
    options: &[u8],
    payload: &[u8],
) -> Vec<u8> {
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

pub(super) fn others(add: &mut Add<'_>) {
    let over4 = |options: &[u8]| eth4(6, &raw(50_000, 8443, 0x10, options, b"data"));
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
    let mut short = raw(1, 2, 2, &[], b"");
    short[12] = 0x40;
    add("TCP header too short", eth4(6, &short));
    let mut long = raw(1, 2, 2, &[], b"");
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
