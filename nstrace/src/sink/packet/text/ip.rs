//! IPv4, and what IP carries.

use std::net::{IpAddr, Ipv4Addr};

use etherparse::checksum::Sum16BitWords;

use super::{
    MAX_DEPTH,
    line::{Line, Printed, say},
};
use crate::decode::packet::{Bytes, Cut};

pub(super) const ICMP: u8 = 1;
pub(super) const IPIP: u8 = 4;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const IPV6: u8 = 41;
pub(super) const ICMPV6: u8 = 58;
const NONE: u8 = 59;
/// These print the addresses themselves, with their ports.
const DCCP: u8 = 33;
const SCTP: u8 = 132;

/// What protocols are called in `-v`; the IANA registry.
pub(super) const PROTOCOLS: [(u16, &str); 28] = [
    (0, "Options"),
    (1, "ICMP"),
    (2, "IGMP"),
    (4, "IPIP"),
    (6, "TCP"),
    (8, "EGP"),
    (9, "IGRP"),
    (17, "UDP"),
    (33, "DCCP"),
    (41, "IPv6"),
    (43, "Routing"),
    (44, "Fragment"),
    (46, "RSVP"),
    (47, "GRE"),
    (50, "ESP"),
    (51, "AH"),
    (55, "Mobile IP"),
    (58, "ICMPv6"),
    (62, "Mobile IP (old)"),
    (88, "EIGRP"),
    (89, "OSPF"),
    (103, "PIM"),
    (108, "Compressed IP"),
    (112, "VRRP"),
    (113, "PGM"),
    (132, "SCTP"),
    (135, "Mobility"),
    (143, "Ethernet"),
];

const OPTIONS: [(u16, &str); 9] = [
    (0, "EOL"),
    (1, "NOP"),
    (7, "RR"),
    (68, "timestamp"),
    (82, "traceroute"),
    (130, "security"),
    (131, "LSRR"),
    (137, "SSRR"),
    (148, "RA"),
];

/// What the layers above need of an IP header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ip {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    /// The protocol that the header itself names.
    pub(super) next: u8,
    /// Whether it is a fragment, so that checksums say nothing.
    pub(super) is_fragment: bool,
}

impl Ip {
    /// The checksum of the pseudo-header of `protocol`.
    fn pseudo(&self, protocol: u8, len: usize) -> Sum16BitWords {
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        let mut sum = Sum16BitWords::new();
        sum = match (self.source, self.destination) {
            (IpAddr::V4(a), IpAddr::V4(b)) => sum.add_slice(&a.octets()).add_slice(&b.octets()),
            (IpAddr::V6(a), IpAddr::V6(b)) => sum.add_16bytes(a.octets()).add_16bytes(b.octets()),
            _ => sum,
        };
        let [high @ .., c, d] = len.to_be_bytes();
        if self.source.is_ipv6() {
            sum = sum.add_2bytes(high);
        }
        sum.add_2bytes([c, d]).add_2bytes([0, protocol])
    }
}

/// A checksum that is wrong.
pub(super) struct Wrong {
    pub(super) is: u16,
    pub(super) should_be: u16,
}

/// Compares a checksum at a position with what it covers: `None` if it is right.
fn wrong(sum: Sum16BitWords, data: &[u8], is: u16) -> Option<Wrong> {
    let difference = sum.add_slice(data).ones_complement().to_be();
    if difference == 0 {
        return None;
    }
    // One's complement: the carry comes in again.
    let (sum, has_carry) = is.overflowing_add(difference);
    let should_be = sum + u16::from(has_carry);
    Some(Wrong { is, should_be })
}

impl Line<'_> {
    /// IPv4 or IPv6, whichever it says it is.
    pub(super) fn ip_any(&mut self, data: Bytes<'_>, length: usize) -> Printed {
        self.layer = "ipn";
        match data.u8(0)? >> 4 {
            4 => self.ip4(data, length),
            6 => self.ip6(data, length),
            version => {
                say!(self, "unknown ip {version}");
                Ok(())
            }
        }
    }

    /// Whether there are more headers in each other than are followed.
    pub(super) fn is_too_deep(&mut self) -> bool {
        self.depth += 1;
        let is_too_deep = self.depth > MAX_DEPTH;
        if is_too_deep {
            self.str("[too many headers]");
        }
        is_too_deep
    }

    pub(super) fn ip4(&mut self, data: Bytes<'_>, length: usize) -> Printed {
        self.layer = "ip";
        if self.is_too_deep() {
            return Ok(());
        }
        let first = data.u8(0)?;
        if first >> 4 != 4 {
            match first >> 4 {
                6 => self.str("IP6, wrong link-layer encapsulation"),
                version => say!(self, "IP{version}"),
            }
            self.invalid();
            return Ok(());
        }
        if !self.style.link {
            self.str("IP ");
        }
        let Ok(header) = data.slice(0, 20) else {
            self.cut();
            return Ok(());
        };
        if length < header.len() {
            say!(self, "truncated-ip {length}");
            return Ok(());
        }
        let header_len = usize::from(first & 15) * 4;
        if header_len < header.len() {
            say!(self, "bad-hlen {header_len}");
            return Ok(());
        }
        let mut total = usize::from(data.u16(2)?);
        if length < total {
            say!(self, "truncated-ip - {} bytes missing! ", total - length);
        }
        if total < header_len {
            if total > 0 || length <= 65_535 {
                say!(self, "bad-len {total}");
                return Ok(());
            }
            // Longer than the field can say, so that it says nothing.
            total = length;
        }
        let data = data.upto(total);
        let flags = data.u16(6)?;
        let offset = usize::from(flags & 0x1fff) * 8;
        let source = Ipv4Addr::from(data.array::<4>(12)?);
        let destination = Ipv4Addr::from(data.array::<4>(16)?);
        let ip = Ip {
            source: source.into(),
            destination: destination.into(),
            next: data.u8(9)?,
            is_fragment: flags & 0x2000 != 0,
        };
        if self.style.verbose > 0 && !self.ip4_header(data, header_len, flags)? {
            self.hosts(ip.source, ip.destination);
            self.str(": ");
            self.cut();
            return Ok(());
        }
        if offset > 0 {
            self.hosts(ip.source, ip.destination);
            say!(self, ": ip-proto-{}", ip.next);
            return Ok(());
        }
        if !matches!(ip.next, TCP | UDP | SCTP | DCCP) {
            self.hosts(ip.source, ip.destination);
            self.str(": ");
        }
        if data.len() < header_len {
            let len = data.len();
            say!(
                self,
                " [remaining caplen({len}) < header length({header_len})]"
            );
            return Err(Cut);
        }
        let payload = data.from(header_len);
        self.ip_payload(payload, total.saturating_sub(header_len), &ip, ip.next)
    }

    /// The parenthesis of `-v`; `false` if the options are cut.
    fn ip4_header(&mut self, data: Bytes<'_>, header_len: usize, flags: u16) -> Result<bool, Cut> {
        let tos = data.u8(1)?;
        let ecn = ["", ",ECT(1)", ",ECT(0)", ",CE"].get(usize::from(tos & 3));
        say!(self, "(tos 0x{tos:x}{}", ecn.unwrap_or(&""));
        let ttl = data.u8(8)?;
        if ttl > 0 {
            say!(self, ", ttl {ttl}");
        }
        let offset = u32::from(flags & 0x1fff) * 8;
        say!(self, ", id {}, offset {offset}, flags [", data.u16(4)?);
        self.bits(
            flags.into(),
            &[(0x2000, "+"), (0x4000, "DF"), (0x8000, "rsvd")],
        );
        self.str("], proto ");
        let protocol = data.u8(9)?;
        self.name_of(protocol.into(), &PROTOCOLS, format_args!("unknown"));
        say!(self, " ({protocol}), length {}", data.u16(2)?);
        let mut is_whole = true;
        if header_len > 20 {
            self.str(", options (");
            is_whole = self.ip4_options(data.upto(header_len).from(20), header_len - 20)?;
            if !is_whole {
                self.str(" [truncated-option]");
            }
            self.str(")");
        }
        if let Ok(header) = data.slice(0, header_len)
            && let Some(wrong) = wrong(Sum16BitWords::new(), header, data.u16(10)?)
        {
            say!(
                self,
                ", bad cksum {:x} (->{:x})!",
                wrong.is,
                wrong.should_be
            );
        }
        self.str(")\n    ");
        Ok(is_whole)
    }

    fn ip4_options(&mut self, mut data: Bytes<'_>, mut left: usize) -> Result<bool, Cut> {
        let mut separator = "";
        while left > 0 {
            self.str(separator);
            separator = ",";
            let kind = data.u8(0)?;
            self.name_of(kind.into(), &OPTIONS, format_args!("unknown {kind}"));
            let len = match kind {
                0 => return Ok(true),
                1 => 1,
                _ => usize::from(data.u8(1)?),
            };
            if len == 0 || len > left || (kind != 1 && len < 2) {
                say!(self, " [bad length {len}]");
                return Ok(true);
            }
            if data.len() < len {
                return Ok(false);
            }
            data = data.from(len);
            left -= len;
        }
        Ok(true)
    }

    /// What comes after all headers of IP.
    pub(super) fn ip_payload(
        &mut self,
        data: Bytes<'_>,
        length: usize,
        ip: &Ip,
        protocol: u8,
    ) -> Printed {
        let is_ip4 = ip.source.is_ipv4();
        match protocol {
            TCP => self.tcp(data, length, ip),
            UDP => self.udp(data, length, ip),
            ICMP if is_ip4 => self.icmp(data, length, ip),
            ICMPV6 if !is_ip4 => self.icmp6(data, length, ip),
            ICMP | ICMPV6 => {
                let (name, version) = if is_ip4 { ("ICMPv6", 6) } else { ("ICMP", 4) };
                say!(self, "[{name} requires IPv{version}]");
                self.invalid();
                Ok(())
            }
            IPIP => self.ip4(data, length),
            IPV6 => self.ip6(data, length),
            NONE => {
                self.str("no next header");
                Ok(())
            }
            _ => {
                if matches!(protocol, SCTP | DCCP) && protocol == ip.next {
                    self.hosts(ip.source, ip.destination);
                    self.str(": ");
                }
                say!(self, " ip-proto-{protocol} {length}");
                Ok(())
            }
        }
    }

    /// What is wrong with the checksum of a packet of IP; `Err` where that cannot be said.
    pub(super) fn checksum(
        data: Bytes<'_>,
        length: usize,
        at: usize,
        pseudo: Option<(&Ip, u8)>,
    ) -> Result<Option<Wrong>, Cut> {
        let covered = data.slice(0, length)?;
        let sum = match pseudo {
            Some((ip, protocol)) => ip.pseudo(protocol, length),
            None => Sum16BitWords::new(),
        };
        Ok(wrong(sum, covered, data.u16(at)?))
    }
}
