//! IPv6 and its extension headers.

use std::net::Ipv6Addr;

use super::{
    ip::{Ip, PROTOCOLS, TCP, UDP},
    line::{Line, Printed, say},
};
use crate::decode::packet::{Bytes, Cut};

const HEADER: usize = 40;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION: u8 = 60;

/// The option that a payload of more than 65,535 bytes needs (RFC 2675).
const JUMBO: u8 = 0xc2;

/// What extension headers say about what comes after them.
#[derive(Default)]
struct Walk {
    has_extension: bool,
    has_hop_by_hop: bool,
    has_jumbo: bool,
    payload_len: usize,
}

impl Line<'_> {
    pub(super) fn ip6(&mut self, data: Bytes<'_>, length: usize) -> Printed {
        self.layer = "ip6";
        if self.is_too_deep() {
            return Ok(());
        }
        if data.len() < HEADER {
            self.cut();
            return Ok(());
        }
        if length < HEADER {
            say!(self, "truncated-ip6 {length}");
            return Ok(());
        }
        if !self.style.link {
            self.str("IP6 ");
        }
        let word = data.u32(0)?;
        if word >> 28 != 6 {
            say!(self, "version error: {} != 6", word >> 28);
            return Ok(());
        }
        let mut walk = Walk {
            payload_len: data.u16(4)?.into(),
            ..Walk::default()
        };
        let mut total = length.saturating_add(HEADER);
        if walk.payload_len > 0 {
            total = walk.payload_len + HEADER;
            if length < total {
                say!(self, "truncated-ip6 - {} bytes missing!", total - length);
            }
        }
        let mut ip = Ip {
            source: Ipv6Addr::from(data.array::<16>(8)?).into(),
            destination: Ipv6Addr::from(data.array::<16>(24)?).into(),
            next: data.u8(6)?,
            is_fragment: false,
        };
        if self.style.verbose > 0 {
            self.ip6_header(word, data.u8(7)?, ip.next, walk.payload_len);
        }
        let data = data.upto(total);
        if !matches!(ip.next, TCP | UDP | 33 | 132) {
            self.hosts(ip.source, ip.destination);
            self.str(": ");
        }
        let (mut at, mut next) = (HEADER, ip.next);
        loop {
            self.layer = "ip6";
            let Some(len) = self.ip6_extension(next, data, at, &mut walk, &mut ip)? else {
                break;
            };
            if len == 0 {
                return Ok(());
            }
            walk.has_extension = true;
            next = data.u8(at)?;
            at += len;
            if total < at {
                self.layer = "ip6";
                self.cut();
                return Ok(());
            }
        }
        let payload_len = match walk {
            Walk {
                has_jumbo: true,
                payload_len,
                ..
            } => {
                total = payload_len.saturating_add(HEADER);
                if length < total {
                    say!(self, "truncated-ip6 - {} bytes missing!", total - length);
                }
                total.saturating_sub(at)
            }
            Walk {
                payload_len: 0,
                has_extension: true,
                ..
            } => {
                self.cut();
                return Ok(());
            }
            // Longer than the field can say, so that it says nothing.
            Walk { payload_len: 0, .. } if length > 65_535 && matches!(next, TCP | UDP) => {
                length.saturating_sub(at)
            }
            Walk { payload_len: 0, .. } => 0,
            Walk { .. } => total.saturating_sub(at),
        };
        self.ip_payload(data.from(at).upto(payload_len), payload_len, &ip, next)
    }

    fn ip6_header(&mut self, word: u32, hop_limit: u8, next: u8, payload_len: usize) {
        self.out.push('(');
        if word & 0x0ff0_0000 != 0 {
            say!(self, "class 0x{:02x}, ", word >> 20 & 0xff);
        }
        if word & 0x000f_ffff != 0 {
            say!(self, "flowlabel 0x{:05x}, ", word & 0x000f_ffff);
        }
        say!(self, "hlim {hop_limit}, next-header ");
        self.name_of(next.into(), &PROTOCOLS, format_args!("unknown"));
        say!(self, " ({next}) payload length: {payload_len}) ");
    }

    /// Length of the extension header at a position; `None` if there is none, 0 if nothing after
    /// it can be read.
    fn ip6_extension(
        &mut self,
        kind: u8,
        data: Bytes<'_>,
        at: usize,
        walk: &mut Walk,
        ip: &mut Ip,
    ) -> Result<Option<usize>, Cut> {
        let header = data.from(at);
        let len = match kind {
            HOP_BY_HOP => {
                if walk.has_hop_by_hop {
                    self.str("[The Hop-by-Hop Options header was already found]");
                    self.invalid();
                    return Ok(Some(0));
                }
                if at != HEADER {
                    self.str("[The Hop-by-Hop Options header don't follow the IPv6 header]");
                    self.invalid();
                    return Ok(Some(0));
                }
                walk.has_hop_by_hop = true;
                self.layer = "hbhopt";
                let len = self.ip6_options("HBH ", header, Some(walk))?;
                if walk.payload_len == 0 && !walk.has_jumbo {
                    self.str("[No valid Jumbo Payload Hop-by-Hop option found]");
                    self.invalid();
                    return Ok(Some(0));
                }
                len
            }
            DESTINATION => {
                self.layer = "dstopt";
                self.ip6_options("DSTOPT ", header, None)?
            }
            FRAGMENT => self.ip6_fragment(data, at, ip)?,
            ROUTING => self.ip6_routing(header)?,
            _ => return Ok(None),
        };
        Ok(Some(len))
    }

    fn ip6_options(
        &mut self,
        name: &str,
        header: Bytes<'_>,
        mut walk: Option<&mut Walk>,
    ) -> Result<usize, Cut> {
        let len = (usize::from(header.u8(1)?) + 1) * 8;
        let options = Bytes(header.slice(0, len)?).from(2);
        self.str(name);
        let is_verbose = self.style.verbose > 0;
        if walk.is_none() && !is_verbose {
            return Ok(len);
        }
        let mut at = 0;
        while at < options.len() {
            let left = options.len() - at;
            let kind = options.u8(at)?;
            let size = match kind {
                0 => 1,
                _ if left < 2 => {
                    self.cut();
                    return Ok(0);
                }
                _ => usize::from(options.u8(at + 1)?) + 2,
            };
            if left < size {
                self.cut();
                return Ok(0);
            }
            let value = Bytes(options.slice(at, size)?).from(2);
            self.ip6_option(kind, value, walk.as_deref_mut());
            at += size;
        }
        if is_verbose {
            self.out.push(' ');
        }
        Ok(len)
    }

    fn ip6_option(&mut self, kind: u8, value: Bytes<'_>, walk: Option<&mut Walk>) {
        let jumbo = value
            .u32(0)
            .ok()
            .filter(|_| kind == JUMBO && value.len() == 4);
        let mut note = "";
        if let (Some(jumbo), Some(walk)) = (jumbo, walk) {
            if walk.has_jumbo {
                note = " - already seen";
            } else if walk.payload_len != 0 {
                note = " - payload len != 0";
            } else if jumbo < 65_536 {
                note = " - < 65536";
            } else {
                walk.has_jumbo = true;
                walk.payload_len = usize::try_from(jumbo).unwrap_or(usize::MAX);
            }
        }
        if self.style.verbose == 0 {
            return;
        }
        match (kind, jumbo) {
            (0, _) => self.str("(pad1)"),
            (1, _) => self.str("(padn)"),
            (5, _) if value.len() == 2 => {
                say!(
                    self,
                    "(rtalert: 0x{:04x}) ",
                    value.u16(0).unwrap_or_default()
                );
            }
            (_, Some(jumbo)) => say!(self, "(jumbo: {jumbo}{note}) "),
            _ => say!(self, "(opt_type 0x{kind:02x}: len={})", value.len()),
        }
    }

    fn ip6_fragment(&mut self, data: Bytes<'_>, at: usize, ip: &mut Ip) -> Result<usize, Cut> {
        self.layer = "frag6";
        let header = data.from(at);
        let offset = header.u16(2)? & 0xfff8;
        if self.style.verbose > 0 {
            let id = header.u32(4)?;
            say!(self, "frag (0x{id:08x}:");
        } else {
            self.str("frag (");
        }
        say!(self, "{offset}|");
        let total = HEADER + usize::from(data.u16(4)?);
        match total.checked_sub(at + 8) {
            Some(len) => say!(self, "{len})"),
            None => self.str("[length < 0] (invalid))"),
        }
        ip.is_fragment = true;
        if offset != 0 {
            return Ok(0);
        }
        self.out.push(' ');
        if data.len() <= at + 8 {
            return Ok(0);
        }
        Ok(8)
    }

    fn ip6_routing(&mut self, header: Bytes<'_>) -> Result<usize, Cut> {
        if header.is_empty() {
            self.cut();
            return Ok(0);
        }
        self.layer = "rt6";
        self.str("RT6");
        let units = usize::from(header.u8(1)?);
        say!(self, " (len={units}");
        let kind = header.u8(2)?;
        say!(self, ", type={kind}");
        if kind == 0 {
            self.str(" [Deprecated]");
        }
        say!(self, ", segleft={}", header.u8(3)?);
        let is_verbose = self.style.verbose > 0;
        match kind {
            0 | 2 => {
                let reserved = header.u32(4)?;
                if is_verbose || reserved != 0 {
                    say!(self, ", rsv=0x{reserved:x}");
                }
            }
            4 => {
                say!(self, ", last-entry={}", header.u8(4)?);
                let flags = header.u8(5)?;
                if is_verbose || flags != 0 {
                    say!(self, ", flags=0x{flags:x}");
                }
                say!(self, ", tag={:x}", header.u16(6)?);
            }
            _ => {
                self.str(" (unknown type)");
                self.invalid();
                return Ok(0);
            }
        }
        if units % 2 == 1 {
            say!(self, " (invalid length {units})");
            self.invalid();
            return Ok(0);
        }
        for place in 0..units / 2 {
            let address = header.array::<16>(8 + place * 16)?;
            say!(self, ", [{place}]");
            self.host(Ipv6Addr::from(address).into());
        }
        self.str(") ");
        Ok((units + 1) * 8)
    }
}
