//! Link-layer headers.

use super::{
    dump,
    line::{Line, Printed, say},
};
use crate::{
    decode::packet::{Bytes, Cut},
    packet::LinkType,
    sink::packet::Hex,
};

pub(super) const IPV4: u16 = 0x0800;
pub(super) const ARP: u16 = 0x0806;
pub(super) const REVERSE_ARP: u16 = 0x8035;
pub(super) const IPV6: u16 = 0x86dd;
/// The tags of VLANs: 802.1Q, its older numbers, and 802.1ad.
const VLANS: [u16; 4] = [0x8100, 0x9100, 0x9200, 0x88a8];

/// Above this an Ethernet type is a type, up to it a length.
const MAX_LENGTH: u16 = 1500;

/// What Ethernet types are called; the IEEE and IANA registries.
pub(super) const ETHERTYPES: [(u16, &str); 44] = [
    (IPV4, "IPv4"),
    (0x8847, "MPLS unicast"),
    (0x8848, "MPLS multicast"),
    (IPV6, "IPv6"),
    (0x8100, "802.1Q"),
    (0x9100, "802.1Q-9100"),
    (0x88a8, "802.1Q-QinQ"),
    (0x9200, "802.1Q-9200"),
    (0x88e5, "802.1AE MACsec"),
    (ARP, "ARP"),
    (REVERSE_ARP, "Reverse ARP"),
    (0x1000, "Trail"),
    (0x6001, "MOP DL"),
    (0x6002, "MOP RC"),
    (0x6003, "DN"),
    (0x6004, "LAT"),
    (0x6007, "SCA"),
    (0x6558, "TEB"),
    (0x8038, "Lanbridge"),
    (0x809b, "Appletalk"),
    (0x80f3, "Appletalk ARP"),
    (0x8137, "IPX"),
    (0x880b, "PPP"),
    (0x8808, "MPCP"),
    (0x8809, "Slow Protocols"),
    (0x8863, "PPPoE D"),
    (0x8864, "PPPoE S"),
    (0x888e, "EAPOL"),
    (0x8899, "Realtek protocols"),
    (0x886f, "MS NLB heartbeat"),
    (0x8870, "Jumbo"),
    (0x894f, "NSH"),
    (0x9000, "Loopback"),
    (0xfefe, "OSI"),
    (0x8902, "CFM"),
    (0x893a, "IEEE1905.1"),
    (0x88cc, "LLDP"),
    (0x88ca, "TIPC"),
    (0x8947, "GeoNet"),
    (0x1111, "CALM FAST"),
    (0x88a2, "AoE"),
    (0x88f7, "PTP"),
    (0xd28b, "Arista Vendor Specific Protocol"),
    (0xabcd, "CFM (old)"),
];

const SLL: usize = 16;
const SLL2: usize = 20;

impl Line<'_> {
    /// A packet from its link-layer header on.
    pub(super) fn link(&mut self, kind: LinkType, data: Bytes<'_>, length: usize) -> Printed {
        match kind {
            LinkType::ETHERNET => self.ethernet(data, length),
            LinkType::RAW => self.raw(data, length),
            LinkType::NULL => self.null(data, length),
            LinkType::LINUX_SLL => self.cooked(data, length),
            LinkType::LINUX_SLL2 => self.cooked2(data, length),
            LinkType(number) => {
                say!(self, "linktype {number}, length {length}");
                Ok(())
            }
        }
    }

    fn ethernet(&mut self, data: Bytes<'_>, length: usize) -> Printed {
        self.layer = "ether";
        let (Ok(destination), Ok(source), Ok(mut kind)) =
            (data.array::<6>(0), data.array::<6>(6), data.u16(12))
        else {
            self.cut();
            self.link_len = data.len();
            return Ok(());
        };
        if self.style.link {
            self.macs(source, destination);
        }
        let mut at = 14;
        let mut is_tagged = false;
        while VLANS.contains(&kind) {
            let (Ok(tag), Ok(inner)) = (data.u16(at), data.u16(at + 2)) else {
                self.layer = "vlan";
                self.cut();
                self.link_len = data.len();
                return Ok(());
            };
            if self.style.link {
                self.ethertype(kind);
                if is_tagged {
                    self.str(", ");
                } else {
                    say!(self, ", length {length}: ");
                }
                is_tagged = true;
                self.vlan(tag);
            }
            kind = inner;
            at += 4;
        }
        self.link_len = at;
        let payload = data.from(at);
        let payload_len = length.saturating_sub(at);
        if kind <= MAX_LENGTH {
            // 802.3: a length, then headers that are not known here.
            let inner = payload_len.min(kind.into());
            if !self.style.link {
                self.macs(source, destination);
            }
            self.str("802.3");
            if !is_tagged {
                say!(self, ", length {inner}: ");
            }
            self.default_dump(payload.upto(inner));
            return Ok(());
        }
        if self.style.link {
            self.ethertype(kind);
            if is_tagged {
                self.str(", ");
            } else {
                say!(self, ", length {length}: ");
            }
        }
        if !self.ether_payload(kind, payload, payload_len)? {
            if !self.style.link {
                self.macs(source, destination);
                self.ethertype(kind);
                say!(self, ", length {length}: ");
            }
            self.default_dump(payload);
        }
        Ok(())
    }

    /// What an Ethernet type says that comes next; `false` if that is not known here.
    fn ether_payload(&mut self, kind: u16, data: Bytes<'_>, length: usize) -> Result<bool, Cut> {
        match kind {
            IPV4 => self.ip4(data, length)?,
            IPV6 => self.ip6(data, length)?,
            ARP | REVERSE_ARP => self.arp(data, length)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The bytes of what is not known, if they are not asked for anyway or too much.
    fn default_dump(&mut self, data: Bytes<'_>) {
        if self.style.hex == Hex::None && !self.style.quiet {
            dump::hex(self.out, data);
        }
    }

    fn macs(&mut self, source: [u8; 6], destination: [u8; 6]) {
        self.mac(&source);
        self.str(" > ");
        self.mac(&destination);
        self.str(", ");
    }

    fn ethertype(&mut self, kind: u16) {
        if self.style.quiet {
            self.name_of(
                kind,
                &ETHERTYPES,
                format_args!("Unknown Ethertype (0x{kind:04x})"),
            );
        } else {
            self.str("ethertype ");
            self.name_of(kind, &ETHERTYPES, format_args!("Unknown"));
            say!(self, " (0x{kind:04x})");
        }
    }

    fn vlan(&mut self, tag: u16) {
        let dei = if tag & 0x1000 != 0 { ", DEI" } else { "" };
        say!(self, "vlan {}, p {}{dei}, ", tag & 0xfff, tag >> 13);
    }

    fn raw(&mut self, data: Bytes<'_>, length: usize) -> Printed {
        self.layer = "raw";
        if self.style.link {
            self.str("ip: ");
        }
        self.ip_any(data, length)
    }

    fn null(&mut self, data: Bytes<'_>, length: usize) -> Printed {
        self.layer = "null";
        let family = data.array(0)?;
        self.link_len = 4;
        // In the byte order of whoever wrote it; all families are small numbers.
        let little = u32::from_le_bytes(family);
        let family = little.min(u32::from_be_bytes(family));
        let (name, is_ip4) = match family {
            2 => (Some("IPv4"), true),
            24 | 28 | 30 => (Some("IPv6"), false),
            _ => (None, false),
        };
        let header = |line: &mut Self| {
            if line.style.quiet {
                match name {
                    Some(name) => line.str(name),
                    None => say!(line, "Unknown AF {family}"),
                }
            } else {
                say!(line, "AF {} ({family})", name.unwrap_or("Unknown"));
            }
            say!(line, ", length {length}: ");
        };
        if self.style.link || name.is_none() {
            header(self);
        }
        let (payload, inner) = (data.from(4), length.saturating_sub(4));
        match name {
            Some(_) if is_ip4 => self.ip4(payload, inner)?,
            Some(_) => self.ip6(payload, inner)?,
            None => self.default_dump(payload),
        }
        Ok(())
    }

    fn cooked(&mut self, data: Bytes<'_>, length: usize) -> Printed {
        self.layer = "sll";
        data.slice(0, SLL)?;
        let kind = data.u16(14)?;
        if self.style.link {
            say!(self, "{:>3} ", packet_type(data.u16(0)?));
            if data.u16(4)? == 6 {
                self.mac(data.slice(6, 6)?);
                self.out.push(' ');
            }
            self.cooked_type(kind, length);
        }
        self.cooked_payload(kind, data, SLL, length, |line, data| {
            say!(line, "{:>3} ", packet_type(data.u16(0)?));
            if data.u16(4)? == 6 {
                line.mac(data.slice(6, 6)?);
                line.out.push(' ');
            }
            Ok(())
        })
    }

    fn cooked2(&mut self, data: Bytes<'_>, length: usize) -> Printed {
        self.layer = "sll2";
        data.slice(0, SLL2)?;
        let kind = data.u16(0)?;
        say!(self, "{:<5} ", data.u32(4)?);
        say!(self, "{:<3} ", packet_type(data.u8(10)?.into()));
        let header = |line: &mut Self, data: Bytes<'_>| {
            say!(line, "ifindex {} ", data.u32(4)?);
            if data.u8(11)? == 6 {
                line.mac(data.slice(12, 6)?);
                line.out.push(' ');
            }
            Ok(())
        };
        if self.style.link {
            header(self, data)?;
            self.cooked_type(kind, length);
        }
        self.cooked_payload(kind, data, SLL2, length, header)
    }

    fn cooked_type(&mut self, kind: u16, length: usize) {
        if self.style.quiet {
            return;
        }
        match kind {
            1 => self.str("802.3"),
            4 => self.str("802.2"),
            0..=MAX_LENGTH => say!(self, "ethertype Unknown (0x{kind:04x})"),
            _ => {
                self.str("ethertype ");
                self.name_of(kind, &ETHERTYPES, format_args!("Unknown"));
                say!(self, " (0x{kind:04x})");
            }
        }
        say!(self, ", length {length}: ");
    }

    fn cooked_payload(
        &mut self,
        mut kind: u16,
        data: Bytes<'_>,
        mut at: usize,
        length: usize,
        header: impl Fn(&mut Self, Bytes<'_>) -> Printed,
    ) -> Printed {
        let first = kind;
        while kind == 0x8100 {
            let (Ok(tag), Ok(inner)) = (data.u16(at), data.u16(at + 2)) else {
                self.layer = "vlan";
                self.cut();
                self.link_len = data.len();
                return Ok(());
            };
            if self.style.link {
                self.vlan(tag);
            }
            kind = if inner <= MAX_LENGTH { 4 } else { inner };
            if !self.style.quiet {
                self.str("ethertype ");
                self.name_of(kind, &ETHERTYPES, format_args!("Unknown"));
                self.str(", ");
            }
            at += 4;
        }
        self.link_len = at;
        let payload = data.from(at);
        let inner = length.saturating_sub(at);
        if !self.ether_payload(kind, payload, inner)? {
            if !self.style.link {
                header(self, data)?;
                self.cooked_type(first, length);
            }
            self.default_dump(payload);
        }
        Ok(())
    }
}

fn packet_type(kind: u16) -> &'static str {
    match kind {
        0 => "In",
        1 => "B",
        2 => "M",
        3 => "P",
        4 => "Out",
        _ => "?",
    }
}
