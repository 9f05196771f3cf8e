//! Which flow.

use std::{
    borrow::Cow,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use nstrace_ebpf::wire::{Class, FlowFamily, FlowKey4, FlowKey6, FlowKind, FlowTail, Owner};
use zerocopy::FromBytes as _;
use zerocopy::IntoBytes as _;

/// A flow of one namespace's interface, from the namespace's view: both directions of a
/// conversation are one flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowKey {
    /// What the other fields mean.
    pub kind: FlowKind,
    /// IANA protocol number; 0 for what is not IP.
    pub protocol: u8,
    /// Address in the namespace, and that of the far end; none for what is not IP.
    pub addresses: Option<(IpAddr, IpAddr)>,
    /// Port in the namespace, or what [`FlowKind`] says.
    pub local_port: u16,
    /// Port of the far end, or what [`FlowKind`] says.
    pub remote_port: u16,
}

impl FlowKey {
    /// Reads a key as it stands in a cache entry or a spill, and whose flow it is. `None` for a
    /// family or a kind that is none.
    #[must_use]
    pub fn read(family: u32, words: &[u64; 5]) -> Option<(Owner, Self)> {
        if family == FlowFamily::V4 as u32 {
            let key = FlowKey4::read_from_bytes(words[..2].as_bytes()).ok()?;
            let address = |address: u32| IpAddr::V4(Ipv4Addr::from(address.to_ne_bytes()));
            Self::of(key.tail, address(key.local), address(key.remote))
        } else if family == FlowFamily::V6 as u32 {
            let key = FlowKey6::read_from_bytes(words.as_bytes()).ok()?;
            let address = |address: [u64; 2]| {
                let mut bytes = [0; 16];
                bytes.copy_from_slice(address.as_bytes());
                IpAddr::V6(Ipv6Addr::from(bytes))
            };
            Self::of(key.tail, address(key.local), address(key.remote))
        } else {
            None
        }
    }

    fn of(tail: FlowTail, local: IpAddr, remote: IpAddr) -> Option<(Owner, Self)> {
        let kind = tail.kind()?;
        let is_ip = !matches!(kind, FlowKind::Ethertype | FlowKind::Unparsed);
        let key = Self {
            kind,
            protocol: tail.protocol(),
            addresses: is_ip.then_some((local, remote)),
            local_port: u16::from_be(tail.local_port),
            remote_port: u16::from_be(tail.remote_port),
        };
        Some((tail.owner(), key))
    }

    /// Name of its protocol: of the one in IP, else of the ethertype, else why it is not known.
    #[must_use]
    pub fn protocol_name(&self) -> Cow<'static, str> {
        match self.kind {
            FlowKind::Ethertype => match self.remote_port {
                0x0806 => "arp".into(),
                0x88cc => "lldp".into(),
                0x8847 | 0x8848 => "mpls".into(),
                0x8863 | 0x8864 => "pppoe".into(),
                ethertype => format!("{ethertype:#06x}").into(),
            },
            FlowKind::Unparsed => self.unparsed_name().into(),
            _ => protocol_name(self.protocol),
        }
    }

    fn unparsed_name(&self) -> &'static str {
        let class = Class::ALL.get(usize::from(self.remote_port));
        match class {
            Some(Class::Truncated) => "truncated",
            Some(Class::Malformed) => "malformed",
            Some(Class::ManyTags) => "many-tags",
            _ => "unparsed",
        }
    }

    /// Ports of the namespace and of the far end, where the protocol has them and the packets too.
    #[must_use]
    pub fn ports(&self) -> Option<(u16, u16)> {
        (self.kind == FlowKind::Ports).then_some((self.local_port, self.remote_port))
    }

    /// Type, code and identifier of an ICMP flow; the type is that of the request.
    #[must_use]
    pub fn icmp(&self) -> Option<(u8, u8, u16)> {
        let [kind, code] = self.remote_port.to_be_bytes();
        (self.kind == FlowKind::Icmp).then_some((kind, code, self.local_port))
    }

    /// What is odd about it, in a word or two.
    #[must_use]
    pub const fn note(&self) -> Option<&'static str> {
        match self.kind {
            FlowKind::LaterFragment => Some("fragments"),
            FlowKind::Truncated => Some("truncated"),
            FlowKind::Unparsed => Some("not parsed"),
            _ => None,
        }
    }
}

/// Names of the IANA protocol numbers that are met in practice.
fn protocol_name(number: u8) -> Cow<'static, str> {
    let name = match number {
        1 => "icmp",
        2 => "igmp",
        4 => "ipip",
        6 => "tcp",
        17 => "udp",
        33 => "dccp",
        41 => "ipv6",
        47 => "gre",
        50 => "esp",
        51 => "ah",
        58 => "icmpv6",
        89 => "ospf",
        103 => "pim",
        112 => "vrrp",
        115 => "l2tp",
        132 => "sctp",
        136 => "udplite",
        number => return format!("ip-{number}").into(),
    };
    name.into()
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::select};

    use super::*;

    const OWNER: Owner = Owner {
        slot: 0x1234,
        tenure: 21,
    };

    /// Words of an IPv4 key; what stands behind it means nothing.
    fn words4(kind: FlowKind, protocol: u8, ports: [u16; 2]) -> [u64; 5] {
        let key = FlowKey4 {
            local: u32::from_ne_bytes([192, 0, 2, 1]),
            remote: u32::from_ne_bytes([198, 51, 100, 2]),
            tail: FlowTail::new(OWNER.to_bits(), kind, protocol, ports.map(u16::to_be)),
        };
        let [first, second]: [u64; 2] = zerocopy::transmute!(key);
        [first, second, 3, 4, 5]
    }

    fn key4(kind: FlowKind, protocol: u8, ports: [u16; 2]) -> FlowKey {
        let read = FlowKey::read(4, &words4(kind, protocol, ports));
        let (owner, key) = read.expect("a key");
        assert_eq!(owner, OWNER);
        key
    }

    /// What is said of a key of this kind, protocol and remote port.
    #[track_caller]
    fn check(kind: FlowKind, protocol: u8, remote_port: u16, name: &str, note: Option<&str>) {
        let key = key4(kind, protocol, [7, remote_port]);
        assert_eq!((&*key.protocol_name(), key.note()), (name, note));
    }

    #[test]
    fn a_key_says_who_talks_to_whom() {
        let key = key4(FlowKind::Ports, 6, [1000, 443]);
        let ends = ["192.0.2.1", "198.51.100.2"].map(|end| end.parse().expect("an address"));
        assert_eq!(key.addresses, Some((ends[0], ends[1])));
        assert_eq!(key.ports(), Some((1000, 443)));
        assert_eq!((key.icmp(), key.note()), (None, None));

        let ends: [Ipv6Addr; 2] =
            ["2001:db8::1", "2001:db8:1::2"].map(|end| end.parse().expect("v6"));
        let [local, remote] = ends.map(|end| zerocopy::transmute!(end.octets()));
        let ports = [53_u16.to_be(), 1000_u16.to_be()];
        let tail = FlowTail::new(OWNER.to_bits(), FlowKind::Ports, 17, ports);
        let words = zerocopy::transmute!(FlowKey6 {
            local,
            remote,
            tail
        });
        let (owner, key) = FlowKey::read(6, &words).expect("a key");
        assert_eq!(owner, OWNER);
        assert_eq!(key.addresses, Some((ends[0].into(), ends[1].into())));
        assert_eq!((key.protocol, key.ports()), (17, Some((53, 1000))));
    }

    #[test]
    fn what_is_behind_an_ipv4_key_does_not_matter() {
        let words = words4(FlowKind::Ports, 6, [1000, 443]);
        let other = [words[0], words[1], 0, u64::MAX, 1];
        assert_eq!(FlowKey::read(4, &words), FlowKey::read(4, &other));
    }

    #[test]
    fn icmp_has_type_code_and_identifier_and_no_ports() {
        let key = key4(FlowKind::Icmp, 1, [0x1234, 0x0803]);
        assert_eq!((key.icmp(), key.ports()), (Some((8, 3, 0x1234)), None));
        assert_eq!(key.protocol_name(), "icmp");
    }

    #[test]
    fn what_is_not_ip_has_no_addresses() {
        for kind in FlowKind::ALL {
            let is_ip = !matches!(kind, FlowKind::Ethertype | FlowKind::Unparsed);
            let key = key4(kind, 6, [1, 2]);
            assert_eq!(key.addresses.is_some(), is_ip, "{kind:?}");
            assert_eq!(key.ports().is_some(), kind == FlowKind::Ports, "{kind:?}");
            assert_eq!(key.icmp().is_some(), kind == FlowKind::Icmp, "{kind:?}");
        }
    }

    #[test]
    fn a_key_is_named_by_its_protocol_or_by_why_it_has_none() {
        for (protocol, name) in [(6, "tcp"), (17, "udp"), (132, "sctp"), (58, "icmpv6")] {
            check(FlowKind::Ports, protocol, 0, name, None);
        }
        for (protocol, name) in [(47, "gre"), (50, "esp"), (4, "ipip"), (253, "ip-253")] {
            check(FlowKind::Portless, protocol, 0, name, None);
        }
        check(FlowKind::LaterFragment, 17, 0, "udp", Some("fragments"));
        check(FlowKind::Truncated, 6, 0, "tcp", Some("truncated"));
        for (ethertype, name) in [(0x0806, "arp"), (0x88cc, "lldp"), (0x26, "0x0026")] {
            check(FlowKind::Ethertype, 0, ethertype, name, None);
        }
        for (class, name) in [
            (Class::Truncated as u16, "truncated"),
            (Class::Malformed as u16, "malformed"),
            (Class::ManyTags as u16, "many-tags"),
            (99, "unparsed"),
        ] {
            check(FlowKind::Unparsed, 0, class, name, Some("not parsed"));
        }
    }

    #[test]
    fn each_protocol_number_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = (0..=u8::MAX).map(protocol_name).collect();
        assert_eq!(names.len(), 256);
    }

    proptest! {
        #[test]
        fn any_words_are_a_key_or_not_and_cause_no_panic(
            family in prop_oneof![select(vec![4_u32, 6]), any::<u32>()],
            words in any::<[u64; 5]>(),
        ) {
            let read = FlowKey::read(family, &words);
            prop_assert!(read.is_none() || family == 4 || family == 6);
            if let Some((_, key)) = read {
                let is_v4 = key.addresses.map(|(local, remote)| (local.is_ipv4(), remote.is_ipv4()));
                prop_assert!(is_v4.is_none_or(|is_v4| is_v4 == (family == 4, family == 4)));
                prop_assert!(!key.protocol_name().is_empty());
            }
        }
    }
}
