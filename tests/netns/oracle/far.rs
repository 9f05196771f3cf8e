//! Packets whose bytes are not all in one piece. A test run makes no such packet, so these travel:
//! a filter returns `TC_ACT_SHOT` of what matches, and what does not arrive has matched.

use std::{
    net::{SocketAddr, UdpSocket},
    os::fd::AsFd as _,
};

use nstrace::{
    filter::{Source, compile, ebpf::Ebpf, translate::translate},
    packet::LinkType,
    sys::pcap::Library,
};
use nstrace_ebpf::wire::Hook;

use super::{ROOM, library};
use crate::support::{
    bpf::{Socket, attach_filter, load_classifier},
    lab::Lab,
};

/// The verdict that takes a packet off the way.
const SHOT: u32 = 2;
const PORT: u16 = 9999;
/// Ethernet, IPv4 and UDP.
const HEADERS: u32 = 42;

/// Two pods with a way for large datagrams: `from` sends, `to` listens.
struct Way {
    _lab: Lab,
    filter: Socket,
    receiver: UdpSocket,
    sender: UdpSocket,
}

impl Way {
    fn new() -> Self {
        let lab = Lab::new();
        let [from, to] = ["a", "b"].map(|name| lab.pod(name));
        for pod in [&from, &to] {
            let (name, veth) = (&pod.name, &pod.veth);
            lab.shell(&format!(
                "ip link set {veth} mtu 65535; ip -n {name} link set eth0 mtu 65535"
            ));
            lab.up(pod);
        }
        lab.introduce(&from, &to);
        let target = SocketAddr::new(to.ipv4.parse().unwrap(), PORT);
        let receiver = lab.inside(&to.name, || UdpSocket::bind(target).unwrap());
        receiver
            .set_read_timeout(Some(crate::support::DEADLINE))
            .unwrap();
        let source = SocketAddr::new(from.ipv4.parse().unwrap(), PORT);
        let sender = lab.inside(&from.name, || {
            let sender = UdpSocket::bind(source).unwrap();
            sender.connect(target).unwrap();
            sender
        });
        let filter = Socket::for_packets_from(1000);
        lab.run(&format!("tc qdisc add dev {} clsact", from.veth));
        attach_filter(&lab, &from, Hook::Ingress, 1, filter.program.as_fd());
        Self {
            _lab: lab,
            filter,
            receiver,
            sender,
        }
    }

    /// Whether a datagram matches the filter, on the host's end of its way.
    fn matches(&self, filter: &[Ebpf], datagram: &[u8]) -> bool {
        const LAST: &[u8] = b"that was all";

        // The filter's arguments: the skb, and that the packet is not outbound.
        let inbound = Ebpf {
            code: 0xb4,
            dst: 2,
            src: 0,
            off: 0,
            imm: 0,
        };
        let all: Vec<[u8; 8]> = [inbound]
            .iter()
            .chain(filter)
            .map(|instruction| instruction.to_bytes())
            .collect();
        let program = load_classifier(&all).unwrap();
        self.filter.put(program.as_fd());
        self.sender.send(datagram).unwrap();
        self.sender.send(LAST).unwrap();
        let mut received = vec![0; 65535];
        let length = self.receiver.recv(&mut received).unwrap();
        if &received[..length] == LAST {
            return true;
        }
        assert!(received[..length] == *datagram);
        let length = self.receiver.recv(&mut received).unwrap();
        assert_eq!(&received[..length], LAST);
        false
    }
}

fn filters(library: &Library, expression: &str) -> Vec<Vec<Ebpf>> {
    let classic = compile(library, LinkType::ETHERNET, SHOT, expression, Source::Iface).unwrap();
    let both = translate(&classic, ROOM).unwrap();
    let slow = translate(&classic, both.len() - 1).unwrap();
    vec![both, slow]
}

/// Matches what has fewer than `length` bytes in its linear part.
fn is_shorter_in_one_piece(length: u32) -> Vec<Ebpf> {
    let one = |code, dst, src, off, imm| Ebpf {
        code,
        dst,
        src,
        off,
        imm,
    };
    vec![
        one(0x61, 3, 1, 76, 0),
        one(0x61, 4, 1, 80, 0),
        one(0x07, 3, 0, 0, i32::try_from(length).unwrap()),
        one(0xb4, 0, 0, 0, SHOT.cast_signed()),
        // if r3 > r4
        one(0x2d, 3, 4, 1, 0),
        one(0xb4, 0, 0, 0, 0),
        one(0x95, 0, 0, 0, 0),
    ]
}

#[test]
fn bytes_in_pieces_are_read() {
    let library = library();
    let way = Way::new();
    let datagram: Vec<u8> = (0..60_000_u32).map(|n| (n % 251) as u8).collect();
    assert!(
        way.matches(&is_shorter_in_one_piece(250), &datagram),
        "the datagram is in one piece"
    );
    assert!(!way.matches(&is_shorter_in_one_piece(HEADERS), &datagram));
    // From the headers, across the end of the linear part, to what is never read directly.
    for offset in [
        50, 100, 130, 150, 160, 170, 180, 185, 190, 195, 200, 220, 240, 252, 253, 300, 4000, 59_000,
    ] {
        let word = u32::from_be_bytes(
            datagram[(offset - HEADERS) as usize..][..4]
                .try_into()
                .unwrap(),
        );
        for (value, expected) in [(word, true), (word ^ 1, false), (word ^ 0x8000_0000, false)] {
            for expression in [
                format!("udp and ether[{offset}:4] = {value}"),
                format!("udp[{}:4] = {value}", offset - HEADERS + 8),
                format!("udp and ether[udp[1] + {}:4] = {value}", offset - 0x0f),
            ] {
                for filter in filters(&library, &expression) {
                    assert_eq!(way.matches(&filter, &datagram), expected, "{expression}");
                }
            }
        }
    }
    for expression in [
        "udp and len = 60042",
        "udp and ip[2:2] = 60028",
        "udp and ether[len - 1] = 10",
    ] {
        for filter in filters(&library, expression) {
            assert!(way.matches(&filter, &datagram), "{expression}");
        }
    }
    for expression in [
        "udp and ether[60042] >= 0",
        "udp and ether[60039:4] >= 0",
        "udp and ether[len] >= 0",
    ] {
        for filter in filters(&library, expression) {
            assert!(!way.matches(&filter, &datagram), "{expression}");
        }
    }
}
