//! ICMP.

use std::net::{IpAddr, Ipv4Addr};

use super::{
    ip::{Ip, TCP, UDP},
    line::{Line, Printed, say},
};
use crate::{
    decode::packet::{Bytes, Cut},
    sink::packet::Proto,
};

const UNREACHABLE: u8 = 3;
const QUENCH: u8 = 4;
const REDIRECT: u8 = 5;
const EXCEEDED: u8 = 11;
const PROBLEM: u8 = 12;

/// Where the packet begins that an error is about, and the destination in it.
const INNER: usize = 8;
const INNER_DESTINATION: usize = INNER + 16;

impl Line<'_> {
    pub(super) fn icmp(&mut self, data: Bytes<'_>, length: usize, ip: &Ip) -> Printed {
        self.layer = "icmp";
        let start = self.out.len();
        self.str("ICMP ");
        if let Err(Cut) = self.icmp_message(data) {
            // As tcpdump has it: the whole message or nothing of it.
            self.out.truncate(start);
            return Err(Cut);
        }
        say!(self, ", length {length}");
        if self.style.verbose == 0 {
            return Ok(());
        }
        if !ip.is_fragment
            && let Ok(Some(wrong)) = Self::checksum(data, length, 2, None)
        {
            say!(
                self,
                " (wrong icmp cksum {:x} (->{:x})!)",
                wrong.is,
                wrong.should_be
            );
        }
        let kind = data.u8(0)?;
        if matches!(kind, UNREACHABLE | QUENCH | REDIRECT | EXCEEDED | PROBLEM) {
            self.str("\n\t");
            let total = usize::from(data.u16(INNER + 2)?);
            self.ip4(data.from(INNER).upto(total), total)?;
            self.layer = "icmp";
        }
        Ok(())
    }

    fn icmp_message(&mut self, data: Bytes<'_>) -> Printed {
        let (kind, code) = (data.u8(0)?, data.u8(1)?);
        match kind {
            0 | 8 => {
                let name = if kind == 8 { "request" } else { "reply" };
                say!(
                    self,
                    "echo {name}, id {}, seq {}",
                    data.u16(4)?,
                    data.u16(6)?
                );
            }
            UNREACHABLE => self.icmp_unreachable(data, code)?,
            REDIRECT => {
                let by_tos = if matches!(code, 2 | 3) { "-tos" } else { "" };
                let target = if matches!(code, 0 | 2) {
                    "net "
                } else {
                    "host "
                };
                let (inner, gateway) = (address(data, INNER_DESTINATION)?, address(data, 4)?);
                if code > 3 {
                    say!(self, "redirect-#{code} ");
                } else {
                    say!(self, "redirect{by_tos} ");
                }
                self.host(inner);
                self.str(" to ");
                self.str(if code > 3 { "" } else { target });
                self.host(gateway);
            }
            9 => self.icmp_router(data)?,
            EXCEEDED => {
                address(data, INNER_DESTINATION)?;
                match code {
                    0 => self.str("time exceeded in-transit"),
                    1 => self.str("ip reassembly time exceeded"),
                    _ => say!(self, "time exceeded-#{code}"),
                }
            }
            PROBLEM if code > 0 => say!(self, "parameter problem - code {code}"),
            PROBLEM => say!(self, "parameter problem - octet {}", data.u8(4)?),
            18 => say!(self, "address mask is 0x{:08x}", data.u32(8)?),
            13 => say!(
                self,
                "time stamp query id {} seq {}",
                data.u16(4)?,
                data.u16(6)?
            ),
            14 => {
                let (id, seq) = (data.u16(4)?, data.u16(6)?);
                say!(self, "time stamp reply id {id} seq {seq}");
                for (name, at) in [(": org", 8), (", recv", 12), (", xmit", 16)] {
                    let millis = data.u32(at)?;
                    let (hours, minutes) = (millis / 3_600_000, millis / 60_000 % 60);
                    say!(self, "{name} {hours:02}:{minutes:02}:");
                    say!(self, "{:02}.{:03}", millis / 1000 % 60, millis % 1000);
                }
            }
            QUENCH => self.str("source quench"),
            10 => self.str("router solicitation"),
            15 => self.str("information request"),
            16 => self.str("information reply"),
            17 => self.str("address mask request"),
            _ => say!(self, "type-#{kind}"),
        }
        Ok(())
    }

    fn icmp_unreachable(&mut self, data: Bytes<'_>, code: u8) -> Printed {
        let inner = || address(data, INNER_DESTINATION);
        let (before, after) = match code {
            0 => ("net ", " unreachable"),
            1 => ("host ", " unreachable"),
            5 => ("", " unreachable - source route failed"),
            6 => ("net ", " unreachable - unknown"),
            7 => ("host ", " unreachable - unknown"),
            8 => ("", " unreachable - source host isolated"),
            9 => ("net ", " unreachable - admin prohibited"),
            10 => ("host ", " unreachable - admin prohibited"),
            11 => ("net ", " unreachable - tos prohibited"),
            12 => ("host ", " unreachable - tos prohibited"),
            13 => ("host ", " unreachable - admin prohibited filter"),
            14 => ("host ", " unreachable - host precedence violation"),
            15 => ("host ", " unreachable - precedence cutoff"),
            2 => {
                let protocol = data.u8(INNER + 9)?;
                self.host(inner()?);
                say!(self, " protocol {protocol} unreachable");
                return Ok(());
            }
            3 => {
                let header_len = usize::from(data.u8(INNER)? & 15) * 4;
                let port = data.u16(INNER + header_len + 2)?;
                let protocol = data.u8(INNER + 9)?;
                self.host(inner()?);
                self.unreachable_port(protocol, port);
                self.str(" unreachable");
                return Ok(());
            }
            4 => {
                let mtu = data.u16(6)?;
                self.host(inner()?);
                self.str(" unreachable - need to frag");
                if mtu > 0 {
                    say!(self, " (mtu {mtu})");
                }
                return Ok(());
            }
            _ => {
                self.host(inner()?);
                say!(self, " unreachable - #{code}");
                return Ok(());
            }
        };
        self.str(before);
        self.host(inner()?);
        self.str(after);
        Ok(())
    }

    /// The port that nobody listens on.
    pub(super) fn unreachable_port(&mut self, protocol: u8, port: u16) {
        match protocol {
            TCP => {
                self.str(" tcp port ");
                self.port(port, Proto::Tcp);
            }
            UDP => {
                self.str(" udp port ");
                self.port(port, Proto::Udp);
            }
            _ => say!(self, " protocol {protocol} port {port}"),
        }
    }

    fn icmp_router(&mut self, data: Bytes<'_>) -> Printed {
        let (count, size, lifetime) = (data.u8(4)?, data.u8(5)?, data.u16(6)?);
        self.str("router advertisement lifetime ");
        let (hours, minutes, seconds) = (lifetime / 3600, lifetime / 60 % 60, lifetime % 60);
        match (hours, minutes) {
            (0, 0) => say!(self, "{seconds}"),
            (0, _) => say!(self, "{minutes}:{seconds:02}"),
            _ => say!(self, "{hours}:{minutes:02}:{seconds:02}"),
        }
        say!(self, " {count}:");
        if size != 2 {
            say!(self, " [size {size}]");
            return Ok(());
        }
        for place in 0..usize::from(count) {
            let at = 8 + 8 * place;
            self.str(" {");
            self.host(address(data, at)?);
            say!(self, " {}}}", data.u32(at + 4)?);
        }
        Ok(())
    }
}

fn address(data: Bytes<'_>, at: usize) -> Result<IpAddr, Cut> {
    Ok(Ipv4Addr::from(data.array::<4>(at)?).into())
}
