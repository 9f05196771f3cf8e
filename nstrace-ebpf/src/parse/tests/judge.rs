//! What etherparse, another parser, makes of a packet, in our words.

use etherparse::{
    Icmpv4Slice, Icmpv4Type, Icmpv6Slice, Icmpv6Type, Ipv6ExtensionSlice, LaxIpv4Slice,
    LaxIpv6Slice, LaxNetSlice, LaxSlicedPacket, TcpHeaderSlice, UdpHeaderSlice, icmpv4, icmpv6,
    ip_number,
};

use super::*;

/// What must be seen of a packet, whole and cut.
#[derive(Clone, Debug)]
pub(super) struct Judged {
    /// A length, and what is seen of the packet when it is cut below that; the shortest first.
    cuts: Vec<(usize, Seen)>,
    /// Of the whole packet.
    pub(super) whole: Seen,
    /// Where its IP header is, and what is behind IP.
    pub(super) l3: usize,
    pub(super) l4: usize,
}

impl Judged {
    /// What must be seen of the first `len` bytes.
    pub(super) fn cut(&self, len: usize) -> Seen {
        let cut = self.cuts.iter().find(|(needed, _)| len < *needed);
        cut.map_or(self.whole, |(_, seen)| *seen)
    }
}

/// Of a packet that is whole and well-formed.
#[track_caller]
pub(super) fn judge(frame: &[u8]) -> Judged {
    let sliced = LaxSlicedPacket::from_ethernet(frame).expect("an Ethernet header");
    let tags = sliced.link_exts.len();
    let truncated = |headers| Seen::unparsed(Class::Truncated, headers);
    let mut cuts = vec![(14, truncated(12))];
    cuts.extend((0..tags).map(|tag| (18 + 4 * tag, truncated(14 + 4 * tag))));
    let l3 = 14 + 4 * tags;
    let network = match sliced.net.expect("a network layer") {
        LaxNetSlice::Ipv4(ip) => {
            cuts.push((l3 + 20, truncated(l3)));
            of_ipv4(&ip, l3)
        }
        LaxNetSlice::Ipv6(ip) => {
            cuts.push((l3 + 40, truncated(l3)));
            of_ipv6(&ip, l3, &mut cuts)
        }
        LaxNetSlice::Arp(_) => panic!("only IP is generated"),
    };
    let whole = match network.kind {
        FlowKind::LaterFragment => network,
        _ => of_transport(frame, &network, &mut cuts),
    };
    Judged {
        cuts,
        whole,
        l3,
        l4: network.headers,
    }
}

/// Its class, protocol and addresses; its headers up to the transport's.
fn of_ipv4(ip: &LaxIpv4Slice<'_>, l3: usize) -> Seen {
    let header = ip.header();
    let protocol = header.protocol();
    Seen {
        class: match protocol {
            ip_number::TCP => Class::Ipv4Tcp,
            ip_number::UDP => Class::Ipv4Udp,
            ip_number::ICMP => Class::Ipv4Icmp,
            _ => Class::Ipv4Other,
        },
        kind: match header.fragments_offset().value() {
            0 => FlowKind::Portless,
            _ => FlowKind::LaterFragment,
        },
        protocol: protocol.0,
        ends: Some([
            header.source_addr().into(),
            header.destination_addr().into(),
        ]),
        ports: [0; 2],
        tcp_flags: 0,
        headers: l3 + header.slice().len(),
    }
}

/// The same of IPv6, with where its extension headers can be cut.
fn of_ipv6(ip: &LaxIpv6Slice<'_>, l3: usize, cuts: &mut Vec<(usize, Seen)>) -> Seen {
    let header = ip.header();
    let mut seen = Seen {
        class: Class::Truncated,
        kind: FlowKind::Truncated,
        protocol: header.next_header().0,
        ends: Some([
            header.source_addr().into(),
            header.destination_addr().into(),
        ]),
        ports: [0; 2],
        tcp_flags: 0,
        headers: l3 + 40,
    };
    let mut is_later = false;
    for extension in ip.extensions().clone() {
        // Its type and length are needed, and of a fragment the offset; not what follows.
        cuts.push((seen.headers + 4, seen));
        let (next, length) = match extension {
            Ipv6ExtensionSlice::HopByHop(header)
            | Ipv6ExtensionSlice::Routing(header)
            | Ipv6ExtensionSlice::DestinationOptions(header) => {
                (header.next_header(), header.slice().len())
            }
            Ipv6ExtensionSlice::Authentication(header) => {
                (header.next_header(), header.slice().len())
            }
            Ipv6ExtensionSlice::Fragment(header) => {
                is_later |= header.fragment_offset().value() != 0;
                (header.next_header(), header.slice().len())
            }
        };
        seen.protocol = next.0;
        seen.headers += length;
    }
    seen.class = match ip.payload().ip_number {
        ip_number::TCP => Class::Ipv6Tcp,
        ip_number::UDP => Class::Ipv6Udp,
        ip_number::IPV6_ICMP => Class::Ipv6Icmp,
        _ => Class::Ipv6Other,
    };
    assert_eq!(seen.protocol, ip.payload().ip_number.0);
    seen.kind = if is_later {
        FlowKind::LaterFragment
    } else {
        FlowKind::Portless
    };
    seen
}

/// `seen` is what is known of it from IP, with its headers up to there.
fn of_transport(frame: &[u8], seen: &Seen, cuts: &mut Vec<(usize, Seen)>) -> Seen {
    let l4 = seen.headers;
    let rest = &frame[l4..];
    let mut cut_below = |length: usize| {
        let cut = Seen {
            kind: FlowKind::Truncated,
            ..*seen
        };
        cuts.push((l4 + length, cut));
    };
    let ports = |ports, headers| Seen {
        kind: FlowKind::Ports,
        ports,
        headers: l4 + headers,
        ..*seen
    };
    let icmp = |ports| Seen {
        kind: FlowKind::Icmp,
        ports,
        ..*seen
    };
    match etherparse::IpNumber(seen.protocol) {
        ip_number::TCP => {
            cut_below(14);
            let tcp = TcpHeaderSlice::from_slice(rest).expect("TCP");
            Seen {
                tcp_flags: flags(&tcp),
                ..ports(
                    [tcp.source_port(), tcp.destination_port()],
                    tcp.slice().len(),
                )
            }
        }
        ip_number::UDP => {
            cut_below(4);
            let udp = UdpHeaderSlice::from_slice(rest).expect("UDP");
            ports(
                [udp.source_port(), udp.destination_port()],
                udp.slice().len(),
            )
        }
        // Of the others with ports etherparse knows only the numbers. SCTP's common header has 12
        // bytes (RFC 9260, section 3.1); what is taken for the header of the others is as long as
        // UDP's.
        number @ (ip_number::UDP_LITE | ip_number::SCTP | ip_number::DCCP) => {
            cut_below(4);
            let port = |at| u16::from_be_bytes([rest[at], rest[at + 1]]);
            let length = if number == ip_number::SCTP { 12 } else { 8 };
            ports([port(0), port(2)], length)
        }
        ip_number::ICMP => {
            cut_below(8);
            // Of a timestamp message etherparse wants the whole and nothing else.
            icmp(of_icmp4(
                &Icmpv4Slice::from_slice(&rest[..20]).expect("ICMP"),
            ))
        }
        ip_number::IPV6_ICMP => {
            cut_below(8);
            icmp(of_icmp6(&Icmpv6Slice::from_slice(rest).expect("ICMPv6")))
        }
        _ => *seen,
    }
}

fn flags(tcp: &TcpHeaderSlice<'_>) -> u8 {
    let flags = [
        tcp.fin(),
        tcp.syn(),
        tcp.rst(),
        tcp.psh(),
        tcp.ack(),
        tcp.urg(),
        tcp.ece(),
        tcp.cwr(),
    ];
    let bits = flags.into_iter().enumerate();
    bits.fold(0, |all, (bit, is_set)| all | u8::from(is_set) << bit)
}

/// Identifier, and type with code.
fn of_icmp4(icmp: &Icmpv4Slice<'_>) -> [u16; 2] {
    let identifier = match icmp.icmp_type() {
        Icmpv4Type::EchoRequest(echo) | Icmpv4Type::EchoReply(echo) => echo.id,
        Icmpv4Type::TimestampRequest(stamp) | Icmpv4Type::TimestampReply(stamp) => stamp.id,
        // Information and address mask, which etherparse does not name.
        Icmpv4Type::Unknown {
            type_u8: 15..=18,
            bytes5to8: [high, low, ..],
            ..
        } => u16::from_be_bytes([high, low]),
        _ => 0,
    };
    let request = match icmp.type_u8() {
        icmpv4::TYPE_ECHO_REPLY => icmpv4::TYPE_ECHO_REQUEST,
        icmpv4::TYPE_TIMESTAMP_REPLY => icmpv4::TYPE_TIMESTAMP,
        16 => 15,
        18 => 17,
        other => other,
    };
    [identifier, u16::from_be_bytes([request, icmp.code_u8()])]
}

fn of_icmp6(icmp: &Icmpv6Slice<'_>) -> [u16; 2] {
    let identifier = match icmp.icmp_type() {
        Icmpv6Type::EchoRequest(echo) | Icmpv6Type::EchoReply(echo) => echo.id,
        _ => 0,
    };
    let request = match icmp.type_u8() {
        icmpv6::TYPE_ECHO_REPLY => icmpv6::TYPE_ECHO_REQUEST,
        other => other,
    };
    [identifier, u16::from_be_bytes([request, icmp.code_u8()])]
}
