//! Packets of each kind that is printed, for tests here and against tcpdump.

mod dns;
mod icmp;
mod ip;
mod link;
mod tcp;
mod udp;

use etherparse::{
    IpNumber, Ipv4Header, Ipv6Header, PacketBuilderStep, err::packet::BuildWriteError,
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

/// What packets begin with, each of which has samples.
pub(crate) const LINK_TYPES: [u16; 5] = [1, 101, 0, 113, 276];

/// When a sample that is the n-th of its link type came, in nanoseconds: 2026-11-21T01:46:40Z and
/// a bit that microseconds do not show, and each a bit later.
pub(crate) fn time(place: usize) -> u64 {
    let place = u64::try_from(place).expect("a small number");
    1_795_225_600_123_456_789 + place * 12_345_678
}

/// Samples that are printed otherwise than by tcpdump: it looks for the next option where one of
/// that kind would end, we where this one does.
pub(crate) const DIFFERENT: [&str; 1] = ["TCP odd option lengths"];

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
    tcp::connection(&mut add);
    tcp::others(&mut add);
    udp::all(&mut add);
    dns::all(&mut add);
    icmp::v4(&mut add);
    icmp::v6(&mut add);
    ip::extensions(&mut add);
    link::ethernets(&mut add);
    ip::malformed(&mut add);
    let mut cooked = link::others();
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
