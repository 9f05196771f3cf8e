//! A packet as one line of JSON, of schema `nstrace.packet/v1`.
//!
//! Each header that was captured is an object of its own; a field that was not is not there, and
//! `note` says why. Numbers are what stands in the packet: nothing is relative or looked up.

#![cfg_attr(not(test), warn(clippy::indexing_slicing))]

mod dns;
mod transport;

use std::{fmt::Write as _, io::Write};

use etherparse::{
    ArpPacketSlice, EtherType, Ipv4HeaderSlice, LaxIpPayloadSlice, LaxIpv6Slice, LaxLinkExtSlice,
    LaxNetSlice, LaxSlicedPacket, LinkSlice, err::packet::SliceError,
};
use jiff::Timestamp;
use nstrace_ebpf::wire::Direction;
use serde::Serialize;

use self::transport::Transport;
use crate::{
    decode::packet::Bytes,
    packet::{CaptureIface, LinkType, Packet},
    sink::{self, SinkError},
};

/// The line.
#[derive(Serialize)]
struct Line<'a> {
    schema: &'static str,
    time: String,
    name: &'a str,
    interface: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    direction: Option<&'static str>,
    orig_len: u32,
    cap_len: usize,
    #[serde(skip_serializing_if = "is_zero")]
    lost: u64,
    link_type: u16,
    #[serde(flatten)]
    headers: Headers,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The headers that were read.
#[derive(Default, Serialize)]
struct Headers {
    #[serde(skip_serializing_if = "Option::is_none")]
    eth: Option<Ethernet>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    vlan: Vec<Vlan>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arp: Option<Arp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ipv4: Option<Ipv4>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ipv6: Option<Ipv6>,
    #[serde(flatten)]
    transport: Transport,
}

#[derive(Serialize)]
struct Ethernet {
    src: String,
    dst: String,
    r#type: u16,
}

#[derive(Serialize)]
struct Vlan {
    id: u16,
    priority: u8,
    dei: bool,
    r#type: u16,
}

#[derive(Serialize)]
struct Arp {
    operation: u16,
    hardware_type: u16,
    protocol_type: u16,
    sender_hardware: String,
    sender_address: String,
    target_hardware: String,
    target_address: String,
}

#[derive(Serialize)]
struct Ipv4 {
    src: String,
    dst: String,
    ttl: u8,
    proto: u8,
    id: u16,
    tos: u8,
    total_len: u16,
    dont_fragment: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    fragment: Option<Fragment>,
}

#[derive(Serialize)]
struct Ipv6 {
    src: String,
    dst: String,
    hop_limit: u8,
    /// Of what comes after all extension headers.
    proto: u8,
    traffic_class: u8,
    flow_label: u32,
    payload_len: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    fragment: Option<Fragment>,
}

#[derive(Serialize)]
struct Fragment {
    /// In bytes.
    offset: u32,
    more: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u32>,
}

/// Writes a packet of an interface as a line.
///
/// # Errors
///
/// If the writer fails.
pub fn line(
    out: &mut impl Write,
    packet: &Packet<'_>,
    iface: &CaptureIface,
) -> Result<(), SinkError> {
    let mut reader = Reader::default();
    reader.link(iface.link_type, packet);
    let prefix = iface.name.strip_prefix(iface.netns.as_str());
    let ifname = prefix.and_then(|rest| rest.strip_prefix('/'));
    let line = Line {
        schema: "nstrace.packet/v1",
        time: rfc3339(packet.time),
        name: &iface.netns,
        interface: ifname.unwrap_or(&iface.name),
        direction: packet.direction.map(|direction| match direction {
            Direction::Rx => "rx",
            Direction::Tx => "tx",
        }),
        orig_len: packet.orig_len,
        cap_len: packet.data.len(),
        lost: packet.lost,
        link_type: iface.link_type.0,
        headers: reader.headers,
        note: reader.note,
    };
    sink::json(out, &line)
}

fn rfc3339(nanos: u64) -> String {
    // In 64 bits they end in 2554, well within what it knows.
    let time = Timestamp::from_nanosecond(nanos.into()).unwrap_or_default();
    format!("{time:.9}")
}

/// What was read of a packet.
#[derive(Default)]
struct Reader {
    headers: Headers,
    note: Option<String>,
}

impl Reader {
    fn link(&mut self, kind: LinkType, packet: &Packet<'_>) {
        let data = packet.data;
        let bytes = Bytes(data);
        let ether = |kind: Option<u16>, at: usize| {
            kind.map(|kind| LaxSlicedPacket::from_ether_type(EtherType(kind), bytes.from(at).0))
        };
        let sliced = match kind {
            LinkType::ETHERNET => LaxSlicedPacket::from_ethernet(data).ok(),
            LinkType::RAW => LaxSlicedPacket::from_ip(data).ok(),
            LinkType::NULL => LaxSlicedPacket::from_ip(bytes.from(4).0).ok(),
            LinkType::LINUX_SLL => ether(bytes.u16(14).ok(), 16),
            LinkType::LINUX_SLL2 => ether(bytes.u16(0).ok().filter(|_| data.len() >= 20), 20),
            LinkType(_) => {
                self.note = Some("unknown link type".to_owned());
                return;
            }
        };
        let orig_len = usize::try_from(packet.orig_len).unwrap_or(usize::MAX);
        let is_cut = data.len() < orig_len;
        let kind = if is_cut { "truncated" } else { "malformed" };
        let Some(sliced) = sliced else {
            self.note = Some(format!("{kind} at the first header"));
            return;
        };
        match &sliced.stop_err {
            Some((SliceError::Len(_), layer)) => self.note = Some(format!("{kind} at {layer}")),
            Some((_, layer)) => self.note = Some(format!("malformed at {layer}")),
            None => {}
        }
        if let Some(LinkSlice::Ethernet2(header)) = &sliced.link {
            self.headers.eth = Some(Ethernet {
                src: mac(&header.source()),
                dst: mac(&header.destination()),
                r#type: header.ether_type().0,
            });
        }
        for extension in &sliced.link_exts {
            if let LaxLinkExtSlice::Vlan(vlan) = extension {
                self.headers.vlan.push(Vlan {
                    id: vlan.vlan_identifier().value(),
                    priority: vlan.priority_code_point().value(),
                    dei: vlan.drop_eligible_indicator(),
                    r#type: vlan.ether_type().0,
                });
            }
        }
        let Some(net) = &sliced.net else {
            return;
        };
        let (number, is_whole) = self.net(net, data, orig_len.max(data.len()));
        if !is_whole && self.note.is_none() {
            self.note = Some(format!("{kind} at IP protocol {number}"));
        }
    }

    /// The protocol of what comes after it, and whether its headers are whole.
    fn net(&mut self, net: &LaxNetSlice<'_>, data: &[u8], orig_len: usize) -> (u8, bool) {
        match net {
            LaxNetSlice::Arp(header) => {
                self.headers.arp = Some(arp(header));
                (0, true)
            }
            LaxNetSlice::Ipv4(slice) => {
                let header = slice.header();
                self.headers.ipv4 = Some(ipv4(&header));
                let payload = slice.payload();
                let header_len = usize::from(header.ihl()) * 4;
                // Without a length where the device is still to cut the packet.
                let len = match usize::from(header.total_len()) {
                    0 => uncaptured(payload, data, orig_len),
                    total => total.saturating_sub(header_len),
                };
                let is_first = header.fragments_offset().value() == 0;
                self.payload(payload, len, is_first)
            }
            LaxNetSlice::Ipv6(slice) => {
                let header = slice.header();
                let payload = slice.payload();
                let extensions = slice.extensions().slice().len();
                let (record, is_first) = ipv6(slice, payload.ip_number.0);
                self.headers.ipv6 = Some(record);
                let len = match usize::from(header.payload_length()) {
                    0 => uncaptured(payload, data, orig_len),
                    len => len.saturating_sub(extensions),
                };
                self.payload(payload, len, is_first)
            }
        }
    }

    fn payload(
        &mut self,
        payload: &LaxIpPayloadSlice<'_>,
        len: usize,
        is_first: bool,
    ) -> (u8, bool) {
        let number = payload.ip_number.0;
        if !is_first {
            return (number, true);
        }
        let (transport, is_whole) = Transport::read(number, Bytes(payload.payload), len);
        self.headers.transport = transport;
        (number, is_whole)
    }
}

/// How long a payload was, of which the captured part is at the end of the packet's.
fn uncaptured(payload: &LaxIpPayloadSlice<'_>, data: &[u8], orig_len: usize) -> usize {
    payload.payload.len() + orig_len.saturating_sub(data.len())
}

fn arp(header: &ArpPacketSlice<'_>) -> Arp {
    Arp {
        operation: header.operation().0,
        hardware_type: header.hw_addr_type().0,
        protocol_type: header.proto_addr_type().0,
        sender_hardware: mac(header.sender_hw_addr()),
        sender_address: protocol_address(header.sender_protocol_addr()),
        target_hardware: mac(header.target_hw_addr()),
        target_address: protocol_address(header.target_protocol_addr()),
    }
}

fn ipv4(header: &Ipv4HeaderSlice<'_>) -> Ipv4 {
    let offset = u32::from(header.fragments_offset().value()) * 8;
    let more = header.more_fragments();
    Ipv4 {
        src: header.source_addr().to_string(),
        dst: header.destination_addr().to_string(),
        ttl: header.ttl(),
        proto: header.protocol().0,
        id: header.identification(),
        tos: header.dcp().value() << 2 | header.ecn().value(),
        total_len: header.total_len(),
        dont_fragment: header.dont_fragment(),
        fragment: (offset > 0 || more).then_some(Fragment {
            offset,
            more,
            id: None,
        }),
    }
}

/// The header, and whether what comes after it begins there.
fn ipv6(slice: &LaxIpv6Slice<'_>, proto: u8) -> (Ipv6, bool) {
    let header = slice.header();
    let extensions = Bytes(slice.extensions().slice());
    let fragment = fragment(extensions, header.next_header().0);
    let is_first = fragment
        .as_ref()
        .is_none_or(|fragment| fragment.offset == 0);
    let record = Ipv6 {
        src: header.source_addr().to_string(),
        dst: header.destination_addr().to_string(),
        hop_limit: header.hop_limit(),
        proto,
        traffic_class: header.traffic_class(),
        flow_label: header.flow_label().value(),
        payload_len: header.payload_length(),
        fragment,
    };
    (record, is_first)
}

/// The fragment header among extension headers. etherparse 0.21's own iterator reads beyond the
/// end of those that were cut.
fn fragment(extensions: Bytes<'_>, mut next: u8) -> Option<Fragment> {
    let mut at = 0;
    loop {
        let units = usize::from(extensions.u8(at + 1).ok()?);
        let len = match next {
            // Hop-by-hop options, routing, destination options.
            0 | 43 | 60 => (units + 1) * 8,
            // Authentication.
            51 => (units + 2) * 4,
            44 => {
                let offset = extensions.u16(at + 2).ok()?;
                return Some(Fragment {
                    offset: (offset & 0xfff8).into(),
                    more: offset & 1 == 1,
                    id: extensions.u32(at + 4).ok(),
                });
            }
            _ => return None,
        };
        next = extensions.u8(at).ok()?;
        at += len;
    }
}

fn hex(bytes: &[u8]) -> String {
    separated(bytes, "")
}

fn mac(bytes: &[u8]) -> String {
    separated(bytes, ":")
}

fn separated(bytes: &[u8], separator: &str) -> String {
    let mut text = String::new();
    for (place, byte) in bytes.iter().enumerate() {
        let separator = if place > 0 { separator } else { "" };
        write!(text, "{separator}{byte:02x}").unwrap_or_default();
    }
    text
}

/// IPv4 if it is as long, hex otherwise.
fn protocol_address(bytes: &[u8]) -> String {
    match <[u8; 4]>::try_from(bytes) {
        Ok(address) => std::net::Ipv4Addr::from(address).to_string(),
        Err(_) => hex(bytes),
    }
}

#[cfg(test)]
mod tests;
