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
