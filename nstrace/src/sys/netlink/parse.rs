//! What nstrace needs of link and address messages, straight from their bytes.
//!
//! The packet crate decodes every attribute of a message, most of which nobody here reads: at a
//! thousand namespaces that took longer than the kernel's part. It also refuses a link whole for a
//! name that is not UTF-8, and a container, which may choose its own, could hide by that.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rtnetlink::packet_core::{NLA_HEADER_SIZE, NlaBuffer, NlasIterator};

use super::{Ifindex, Link, Nsid};

/// `struct nlmsghdr` and `struct ifinfomsg`.
const LINK_HEADER: usize = 16 + 16;
/// `struct nlmsghdr` and `struct ifaddrmsg`.
const ADDRESS_HEADER: usize = 16 + 8;
/// `operstate`s by their number (RFC 2863).
const STATES: [&str; 7] = [
    "unknown",
    "notpresent",
    "down",
    "lowerlayerdown",
    "testing",
    "dormant",
    "up",
];

/// A message's type, from its `struct nlmsghdr`.
pub(super) fn kind(message: &[u8]) -> Option<u16> {
    bytes(message, 4).map(u16::from_ne_bytes)
}

/// Bytes from `at` on.
fn bytes<const N: usize>(from: &[u8], at: usize) -> Option<[u8; N]> {
    from.get(at..)?.first_chunk().copied()
}

/// Attributes up to the first that is none.
fn attributes(from: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    NlasIterator::new(from)
        .map_while(Result::ok)
        .map_while(|attribute: NlaBuffer<&[u8]>| {
            let (kind, length) = (attribute.kind(), usize::from(attribute.length()));
            Some((kind, attribute.into_inner().get(NLA_HEADER_SIZE..length)?))
        })
}

fn u32_of(value: &[u8]) -> Option<u32> {
    bytes(value, 0).map(u32::from_ne_bytes)
}

/// A name up to its NUL. What is not UTF-8 is replaced.
fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0);
    String::from_utf8_lossy(&value[..end.unwrap_or(value.len())]).into_owned()
}

/// The link that an `RTM_NEWLINK` message is about.
pub(super) fn link(message: &[u8]) -> Option<Link> {
    if kind(message)? != libc::RTM_NEWLINK {
        return None;
    }
    let device_type = bytes(message, 18).map(u16::from_ne_bytes)?;
    let mut link = Link {
        ifindex: Ifindex(bytes(message, 20).map(u32::from_ne_bytes)?),
        name: String::new(),
        kind: String::new(),
        mac: None,
        mtu: 0,
        state: STATES[0].to_owned(),
        link: None,
        link_nsid: None,
        master: None,
        addresses: Vec::new(),
    };
    for (kind, value) in attributes(message.get(LINK_HEADER..)?) {
        match kind {
            libc::IFLA_IFNAME => link.name = text(value),
            libc::IFLA_MTU => link.mtu = u32_of(value)?,
            libc::IFLA_OPERSTATE => {
                let state = STATES.get(usize::from(*value.first()?));
                (*state.unwrap_or(&STATES[0])).clone_into(&mut link.state);
            }
            // 0 means "none, and not itself" (tunnels).
            libc::IFLA_LINK => link.link = u32_of(value).filter(|index| *index != 0).map(Ifindex),
            libc::IFLA_LINK_NETNSID => {
                let nsid = bytes(value, 0).map(i32::from_ne_bytes);
                link.link_nsid = nsid.filter(|nsid| *nsid >= 0).map(Nsid);
            }
            libc::IFLA_MASTER => link.master = u32_of(value).map(Ifindex),
            libc::IFLA_ADDRESS => link.mac = mac(value),
            libc::IFLA_LINKINFO => {
                let kind = attributes(value).find(|(kind, _)| *kind == libc::IFLA_INFO_KIND);
                link.kind = kind.map_or_else(String::new, |(_, value)| text(value));
            }
            _ => {}
        }
    }
    if link.kind.is_empty() {
        let kind = match device_type {
            libc::ARPHRD_LOOPBACK => "loopback",
            _ => "device",
        };
        kind.clone_into(&mut link.kind);
    }
    Some(link)
}

/// Link-layer address in the usual form; `None` for a device without.
fn mac(value: &[u8]) -> Option<String> {
    use std::fmt::Write as _;

    let mut text = String::with_capacity(value.len() * 3);
    for byte in value {
        let colon = if text.is_empty() { "" } else { ":" };
        write!(text, "{colon}{byte:02x}").ok()?;
    }
    (!text.is_empty()).then_some(text)
}

/// The address that an `RTM_NEWADDR` message is about, with the device it is of.
pub(super) fn address(message: &[u8]) -> Option<(Ifindex, String)> {
    if kind(message)? != libc::RTM_NEWADDR {
        return None;
    }
    let [_family, prefix_length, ..] = bytes::<4>(message, 16)?;
    let ifindex = Ifindex(bytes(message, 20).map(u32::from_ne_bytes)?);
    let mut found = None;
    for (kind, value) in attributes(message.get(ADDRESS_HEADER..)?) {
        // On a point-to-point link IFA_ADDRESS is the far end; IFA_LOCAL, where present, is ours.
        if kind == libc::IFA_LOCAL || (kind == libc::IFA_ADDRESS && found.is_none()) {
            found = Some(ip(value)?);
        }
    }
    Some((ifindex, format!("{}/{prefix_length}", found?)))
}

fn ip(value: &[u8]) -> Option<IpAddr> {
    match value.len() {
        4 => bytes::<4>(value, 0).map(|octets| Ipv4Addr::from(octets).into()),
        16 => bytes::<16>(value, 0).map(|octets| Ipv6Addr::from(octets).into()),
        _ => None,
    }
}
