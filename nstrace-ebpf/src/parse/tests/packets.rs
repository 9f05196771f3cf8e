//! Packets of every shape, built by etherparse.

use etherparse::{
    IpAuthHeader, IpFragOffset, IpHeaders, IpNumber, Ipv4Extensions, Ipv4Header, Ipv6Extensions,
    Ipv6FragmentHeader, Ipv6Header, Ipv6RawExtHeader, Ipv6RoutingExtensions, PacketBuilder,
    TcpHeader, TcpOptions, ip_number,
};
use proptest::{collection::vec, option, prelude::*, sample::select};

use super::ethernet;

/// What is behind IP.
#[derive(Clone, Debug)]
enum Transport {
    Tcp(TcpHeader),
    Udp([u16; 2]),
    /// Of either family, in packets of either.
    Icmp(IpNumber, [u8; 8]),
    Other(u8),
}

/// Whole and well-formed IPv4 and IPv6 packets, with up to two tags and as many extension headers
/// as are walked. Some are longer than they say.
pub(super) fn packets() -> impl Strategy<Value = Vec<u8>> {
    let payload = vec(any::<u8>(), 12..64);
    (tags(), ip(), transport(), payload, 0..4_usize).prop_map(
        |(tags, ip, transport, payload, padding)| {
            let ethertype = match ip {
                IpHeaders::Ipv4(..) => 0x0800,
                IpHeaders::Ipv6(..) => 0x86dd,
            };
            let mut frame = ethernet(&[&tags[..], &[ethertype]].concat());
            write(ip, transport, &payload, &mut frame);
            frame.resize(frame.len() + padding, 0);
            frame
        },
    )
}

/// The words of up to two tags.
fn tags() -> impl Strategy<Value = Vec<u16>> {
    let tag = (select(vec![0x8100_u16, 0x88a8]), any::<u16>());
    let tags = prop_oneof![3 => Just(0_usize), 1 => Just(1), 1 => Just(2)];
    tags.prop_flat_map(move |count| vec(tag.clone(), count))
        .prop_map(|tags| tags.into_iter().flat_map(|(kind, id)| [kind, id]).collect())
}

fn ip() -> impl Strategy<Value = IpHeaders> {
    prop_oneof![ipv4(), ipv6()]
}

fn ipv4() -> impl Strategy<Value = IpHeaders> {
    let options = prop_oneof![2 => Just(0_usize), 1 => 0..=10_usize]
        .prop_flat_map(|words| vec(any::<u8>(), words * 4));
    let addresses = any::<([u8; 4], [u8; 4])>();
    (addresses, options, fragment(), any::<bool>()).prop_map(
        |((source, destination), options, (offset, more_fragments), dont_fragment)| {
            let header = Ipv4Header {
                source,
                destination,
                options: (&options[..]).try_into().expect("a multiple of four"),
                fragment_offset: offset,
                more_fragments,
                dont_fragment,
                ..Ipv4Header::default()
            };
            IpHeaders::Ipv4(header, Ipv4Extensions::default())
        },
    )
}

fn ipv6() -> impl Strategy<Value = IpHeaders> {
    let addresses = any::<([u8; 16], [u8; 16])>();
    let extensions = (
        seldom(raw_extension()),
        seldom(raw_extension()),
        seldom((raw_extension(), option::of(raw_extension()))),
        seldom(fragment()),
        seldom((0..=4_usize).prop_flat_map(|words| vec(any::<u8>(), words * 4))),
    );
    (addresses, extensions).prop_map(|((source, destination), extensions)| {
        let (hop_by_hop_options, destination_options, routing, fragment, auth) = extensions;
        let last = ip_number::TCP;
        let extensions = Ipv6Extensions {
            hop_by_hop_options,
            destination_options,
            routing: routing.map(
                |(routing, final_destination_options)| Ipv6RoutingExtensions {
                    routing,
                    final_destination_options,
                },
            ),
            fragment: fragment.map(|(offset, more)| Ipv6FragmentHeader::new(last, offset, more, 7)),
            auth: auth.map(|icv| IpAuthHeader::new(last, 1, 2, &icv).expect("whole words")),
        };
        let header = Ipv6Header {
            source,
            destination,
            ..Ipv6Header::default()
        };
        // What follows a later fragment is no header of this packet.
        let is_later = fragment.is_some_and(|(offset, _)| offset.value() != 0);
        let extensions = Ipv6Extensions {
            auth: extensions.auth.filter(|_| !is_later),
            routing: extensions.routing.map(|routing| Ipv6RoutingExtensions {
                final_destination_options: routing.final_destination_options.filter(|_| !is_later),
                ..routing
            }),
            ..extensions
        };
        IpHeaders::Ipv6(header, extensions)
    })
}

fn seldom<S: Strategy>(strategy: S) -> impl Strategy<Value = Option<S::Value>> {
    option::weighted(0.3, strategy)
}

fn raw_extension() -> impl Strategy<Value = Ipv6RawExtHeader> {
    (0..4_usize)
        .prop_flat_map(|units| vec(any::<u8>(), 6 + units * 8))
        .prop_map(|data| Ipv6RawExtHeader::new_raw(ip_number::TCP, &data).expect("whole units"))
}

/// Offset, and whether more follow: none, first and later ones.
fn fragment() -> impl Strategy<Value = (IpFragOffset, bool)> {
    let offset = prop_oneof![3 => Just(0), 1 => 1..=0x1fff_u16];
    let offset = offset.prop_map(|offset| offset.try_into().expect("13 bits"));
    (offset, proptest::bool::weighted(0.2))
}

fn transport() -> impl Strategy<Value = Transport> {
    // Types that are assigned; those with an identifier have no code but 0.
    let with_id = select(vec![0_u8, 8, 13, 14, 15, 16, 17, 18]);
    let without = select(vec![3_u8, 4, 5, 9, 11, 12]);
    let icmp4 = prop_oneof![with_id.prop_map(|kind| (kind, 0)), (without, any::<u8>()),];
    let without = select(vec![1_u8, 2, 3, 4, 130, 133, 134, 135, 136, 137, 143]);
    let icmp6 = prop_oneof![
        select(vec![128_u8, 129]).prop_map(|kind| (kind, 0)),
        (without, any::<u8>()),
    ];
    let icmp = prop_oneof![
        icmp4.prop_map(|icmp| (ip_number::ICMP, icmp)),
        icmp6.prop_map(|icmp| (ip_number::IPV6_ICMP, icmp)),
    ];
    // Portless ones (IGMP, IPIP, GRE, ESP and 253), and those with ports.
    let other = select(vec![2_u8, 4, 47, 50, 253, 33, 132, 136]);
    prop_oneof![
        4 => tcp().prop_map(Transport::Tcp),
        2 => any::<[u16; 2]>().prop_map(Transport::Udp),
        2 => (icmp, any::<[u8; 4]>()).prop_map(|((protocol, (kind, code)), rest)| {
            let [a, b, c, d] = rest;
            Transport::Icmp(protocol, [kind, code, 0, 0, a, b, c, d])
        }),
        2 => other.prop_map(Transport::Other),
    ]
}

fn tcp() -> impl Strategy<Value = TcpHeader> {
    let options = prop_oneof![1 => Just(0_usize), 1 => 0..=10_usize]
        .prop_flat_map(|words| vec(any::<u8>(), words * 4));
    (any::<[u16; 2]>(), any::<[bool; 8]>(), options).prop_map(
        |([source_port, destination_port], flags, options)| {
            let [fin, syn, rst, psh, ack, urg, ece, cwr] = flags;
            TcpHeader {
                source_port,
                destination_port,
                fin,
                syn,
                rst,
                psh,
                ack,
                urg,
                ece,
                cwr,
                options: TcpOptions::try_from_slice(&options).expect("a multiple of four"),
                ..TcpHeader::default()
            }
        },
    )
}

fn write(ip: IpHeaders, transport: Transport, payload: &[u8], frame: &mut Vec<u8>) {
    let builder = PacketBuilder::ip(ip);
    let result = match transport {
        Transport::Tcp(header) => builder.tcp_header(header).write(frame, payload),
        Transport::Udp([source, destination]) => {
            builder.udp(source, destination).write(frame, payload)
        }
        Transport::Icmp(protocol, header) => {
            builder.write(frame, protocol, &[&header[..], payload].concat())
        }
        Transport::Other(protocol) => builder.write(frame, IpNumber(protocol), payload),
    };
    result.expect("a packet that can be written");
}
