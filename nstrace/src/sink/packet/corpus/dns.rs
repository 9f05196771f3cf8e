//! DNS.

use super::{Add, SERVER6, eth4, tcp, udp};

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

pub(super) fn all(add: &mut Add<'_>) {
    queries(add);
    odd_queries(add);
    answers(add);
    others(add);
}

fn queries(add: &mut Add<'_>) {
    let query = |add: &mut Add<'_>, name, message: &[u8]| {
        add(name, eth4(17, &udp::raw(40_000, 53, message)));
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
}

fn odd_queries(add: &mut Add<'_>) {
    let query = |add: &mut Add<'_>, name, message: &[u8]| {
        add(name, eth4(17, &udp::raw(40_000, 53, message)));
    };
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
}

fn answers(add: &mut Add<'_>) {
    let answer = |add: &mut Add<'_>, name, message: &[u8]| {
        add(name, eth4(17, &udp::raw(53, 40_000, message)));
    };
    let opt = record(b"\0", 41, 1232, 0x8000, b"");
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
}

fn others(add: &mut Add<'_>) {
    let mdns = message(
        [0, 0, 2, 0, 0, 0],
        &[QUESTION, b"\x05_http\x04_tcp\x05local\0\0\x0c\x80\x01"],
    );
    add("mDNS query", eth4(17, &udp::raw(5353, 5353, &mdns)));
    let flush = record(b"\x03web\x05local\0", 1, 0x8001, 120, &[192, 0, 2, 1]);
    add(
        "mDNS answer",
        eth4(
            17,
            &udp::raw(5353, 5353, &message([0, 0x8400, 0, 1, 0, 0], &[&flush])),
        ),
    );

    let message = message([7, 0x0100, 1, 0, 0, 0], &[QUESTION]);
    let prefix = u16::try_from(message.len()).expect("short").to_be_bytes();
    let framed = [&prefix[..], &message].concat();
    add(
        "DNS over TCP",
        eth4(6, &tcp::raw(40_001, 53, 0x18, &[], &framed)),
    );
    add(
        "DNS over TCP, a part",
        eth4(6, &tcp::raw(40_001, 53, 0x18, &[], &framed[..20])),
    );
    add(
        "DNS over TCP, a byte",
        eth4(6, &tcp::raw(40_001, 53, 0x18, &[], b"\0")),
    );
}
