//! `ICMPv6`.

use std::net::{IpAddr, Ipv6Addr};

use super::{
    dump,
    ip::{ICMPV6, Ip, TCP, UDP},
    line::{Line, Printed, say},
};
use crate::decode::packet::{Bytes, Cut};

const TYPES: [(u16, &str); 29] = [
    (1, "destination unreachable"),
    (2, "packet too big"),
    (3, "time exceeded in-transit"),
    (4, "parameter problem"),
    (128, "echo request"),
    (129, "echo reply"),
    (130, "multicast listener query"),
    (131, "multicast listener report"),
    (132, "multicast listener done"),
    (133, "router solicitation"),
    (134, "router advertisement"),
    (135, "neighbor solicitation"),
    (136, "neighbor advertisement"),
    (137, "redirect"),
    (138, "router renumbering"),
    (139, "node information query"),
    (140, "node information reply"),
    (141, "inverse neighbor solicitation"),
    (142, "inverse neighbor advertisement"),
    (143, "multicast listener report v2"),
    (144, "ha discovery request"),
    (145, "ha discovery reply"),
    (146, "mobile router solicitation"),
    (147, "mobile router advertisement"),
    (155, "RPL"),
    (160, "extended echo request"),
    (161, "extended echo reply"),
    (200, "mtrace message"),
    (201, "mtrace response"),
];

/// Where the packet begins that an error is about.
const INNER: usize = 8;

impl Line<'_> {
    pub(super) fn icmp6(&mut self, data: Bytes<'_>, length: usize, ip: &Ip) -> Printed {
        self.layer = "icmp6";
        if length == 0 {
            self.str("ICMP6, length 0");
            self.invalid();
            return Ok(());
        }
        let is_verbose = self.style.verbose > 0;
        if is_verbose && !ip.is_fragment {
            match Self::checksum(data, length, 2, Some((ip, ICMPV6))) {
                Ok(None) => self.str("[icmp6 sum ok] "),
                Ok(Some(wrong)) => {
                    say!(
                        self,
                        "[bad icmp6 cksum 0x{:04x} -> 0x{:04x}!] ",
                        wrong.is,
                        wrong.should_be
                    );
                }
                Err(Cut) => {}
            }
        }
        let kind = data.u8(0)?;
        self.str("ICMP6, ");
        self.name_of(
            kind.into(),
            &TYPES,
            format_args!("unknown icmp6 type ({kind})"),
        );
        // As tcpdump has it: with -v others say no length.
        if is_verbose && matches!(kind, 133..=137) {
            say!(self, ", length {length}");
        }
        let code = data.u8(1)?;
        match kind {
            1 if code > 4 => {
                say!(self, ", unknown unreach code ({code})");
                self.icmp6_unknown(data, length);
                return Ok(());
            }
            1 => self.icmp6_unreachable(data, code)?,
            2 => say!(self, ", mtu {}", data.u32(4)?),
            3 => match code {
                0 => {
                    let inner = address(data, INNER + 24)?;
                    self.str(" for ");
                    self.host(inner);
                }
                1 => self.str(" (reassembly)"),
                _ => say!(self, ", unknown code ({code})"),
            },
            4 => {
                address(data, INNER + 24)?;
                let octet = data.u32(4)?;
                match code {
                    0 => say!(self, ", erroneous - octet {octet}"),
                    1 => say!(self, ", next header - octet {octet}"),
                    2 => say!(self, ", option - octet {octet}"),
                    3 => say!(self, ", incomplete header chain - octet {octet}"),
                    _ => say!(self, ", code-#{code}"),
                }
            }
            128 | 129 => {
                let (id, seq) = (data.u16(4)?, data.u16(6)?);
                say!(self, ", id {id}, seq {seq}");
            }
            130 if length == 24 => self.listener(data)?,
            130 if length >= 28 => {
                self.str(" v2");
                self.listener_query(data, length)?;
            }
            130 => say!(self, " unknown-version (len {length}) "),
            131 | 132 => self.listener(data)?,
            133..=137 => self.neighbor(kind, data, length)?,
            143 => self.listener_report(data, length)?,
            _ => {
                say!(self, ", length {length}");
                self.icmp6_unknown(data, length);
                return Ok(());
            }
        }
        if !is_verbose {
            say!(self, ", length {length}");
        }
        Ok(())
    }

    fn icmp6_unknown(&mut self, data: Bytes<'_>, length: usize) {
        if self.style.verbose <= 1 {
            dump::plain(self.out, "\n\t", data.upto(length));
        }
    }

    fn icmp6_unreachable(&mut self, data: Bytes<'_>, code: u8) -> Printed {
        let inner = || address(data, INNER + 24);
        // As tcpdump has it, with a space too many.
        let names = [
            "unreachable route",
            " unreachable prohibited",
            "beyond scope",
            "unreachable address",
            "unreachable port",
        ];
        let name = names.get(usize::from(code)).unwrap_or(&"");
        say!(self, ", {name}");
        if code == 4 {
            let (protocol, port) = upper_port(data.from(INNER)).ok_or(Cut)?;
            let host = inner()?;
            self.str(", ");
            self.host(host);
            self.unreachable_port(protocol, port);
            return Ok(());
        }
        let host = inner()?;
        self.out.push(' ');
        self.host(host);
        if code == 2 {
            self.str(", source address ");
            self.host(address(data, INNER + 8)?);
        }
        Ok(())
    }

    fn listener(&mut self, data: Bytes<'_>) -> Printed {
        if data.len() >= 24 {
            say!(self, "max resp delay: {} addr: ", data.u16(4)?);
            self.host(address(data, 8)?);
        }
        Ok(())
    }

    fn listener_query(&mut self, data: Bytes<'_>, length: usize) -> Printed {
        let delay = u32::from(data.u16(4)?);
        let delay = match delay {
            0..0x8000 => delay,
            _ => (delay & 0xfff | 0x1000) << ((delay >> 12 & 7) + 3),
        };
        let is_verbose = self.style.verbose > 0;
        if is_verbose {
            say!(self, " [max resp delay={delay}]");
        }
        let group = address(data, 8)?;
        self.str(" [gaddr ");
        self.host(group);
        if is_verbose {
            let flags = data.u8(24)?;
            self.str(if flags & 8 != 0 { " sflag" } else { "" });
            if flags & 7 != 0 {
                say!(self, " robustness={}", flags & 7);
            }
            let interval = u32::from(data.u8(25)?);
            let interval = match interval {
                0..0x80 => interval,
                _ => (interval & 15 | 16) << ((interval >> 4 & 7) + 3),
            };
            say!(self, " qqi={interval}");
        }
        let sources = usize::from(data.u16(26)?);
        if sources > 0 {
            if length < 28 + sources * 16 {
                self.str(" [invalid number of sources]");
            } else if self.style.verbose > 1 {
                self.sources(data.from(28), sources)?;
            } else {
                say!(self, ", {sources} source(s)");
            }
        }
        self.out.push(']');
        Ok(())
    }

    fn sources(&mut self, data: Bytes<'_>, count: usize) -> Printed {
        self.str(" {");
        for place in 0..count {
            let source = address(data, place * 16)?;
            self.out.push(' ');
            self.host(source);
        }
        self.str(" }");
        Ok(())
    }

    fn listener_report(&mut self, data: Bytes<'_>, length: usize) -> Printed {
        if length < 8 {
            say!(self, " [invalid len {length}]");
            return Ok(());
        }
        let records = data.u16(6)?;
        say!(self, ", {records} group record(s)");
        if self.style.verbose == 0 {
            return Ok(());
        }
        let mut at = 8;
        for _ in 0..records {
            if length < at + 20 {
                self.str(" [invalid number of groups]");
                return Ok(());
            }
            let group = address(data, at + 4)?;
            self.str(" [gaddr ");
            self.host(group);
            let kind = data.u8(at)?;
            let name = ["is_in", "is_ex", "to_in", "to_ex", "allow", "block"];
            match kind
                .checked_sub(1)
                .and_then(|kind| name.get(usize::from(kind)))
            {
                Some(name) => say!(self, " {name}"),
                None => say!(self, "  [v2-report-#{kind}]"),
            }
            let sources = usize::from(data.u16(at + 2)?);
            if length < at + 20 + sources * 16 {
                say!(self, " [invalid number of sources {sources}]");
                return Ok(());
            }
            if self.style.verbose == 1 {
                say!(self, ", {sources} source(s)");
            } else {
                self.sources(data.from(at + 20), sources)?;
            }
            at += 20 + sources * 16;
            self.out.push(']');
        }
        Ok(())
    }
}

/// The protocol and the destination port of the packet that an error is about.
fn upper_port(data: Bytes<'_>) -> Option<(u8, u16)> {
    let mut next = data.u8(6).ok()?;
    let mut at = 40;
    while at < data.len() {
        match next {
            TCP | UDP => return Some((next, data.u16(at + 2).ok()?)),
            0 | 43 | 60 => {
                next = data.u8(at).ok()?;
                at += (usize::from(data.u8(at + 1).ok()?) + 1) * 8;
            }
            44 => {
                if data.u16(at + 2).ok()? & 0xfff8 != 0 {
                    return None;
                }
                next = data.u8(at).ok()?;
                at += 8;
            }
            51 => {
                next = data.u8(at).ok()?;
                at += (usize::from(data.u8(at + 1).ok()?) + 2) * 4;
            }
            _ => return None,
        }
    }
    None
}

pub(super) fn address(data: Bytes<'_>, at: usize) -> Result<IpAddr, Cut> {
    Ok(Ipv6Addr::from(data.array::<16>(at)?).into())
}
