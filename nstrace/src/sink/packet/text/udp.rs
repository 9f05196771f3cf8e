//! UDP.

use super::{
    ip::{Ip, UDP},
    line::{Line, Printed, say},
};
use crate::{decode::packet::Bytes, sink::packet::Proto};

const HEADER: usize = 8;

/// Where DNS is spoken.
pub(super) const DNS: u16 = 53;
/// Where it is spoken without a server (RFC 6762).
const MDNS: u16 = 5353;

impl Line<'_> {
    pub(super) fn udp(&mut self, data: Bytes<'_>, length: usize, ip: &Ip) -> Printed {
        self.layer = "udp";
        let (Ok(source), Ok(destination)) = (data.u16(0), data.u16(2)) else {
            if ip.next == UDP {
                self.hosts(ip.source, ip.destination);
                self.str(": ");
            }
            self.cut();
            return Ok(());
        };
        self.ports(ip, [source, destination], Proto::Udp);
        if length < HEADER {
            say!(self, "truncated-udp {length}");
            return Ok(());
        }
        let Ok(stated) = data.u16(4) else {
            self.cut();
            return Ok(());
        };
        let mut stated = usize::from(stated);
        if stated == 0 && length > 65_535 {
            // A jumbogram (RFC 2675).
            stated = length;
        }
        if stated < HEADER {
            say!(self, "truncated-udplength {stated}");
            return Ok(());
        }
        if data.len() < HEADER {
            self.cut();
            return Ok(());
        }
        let stated = stated - HEADER;
        let length = (length - HEADER).min(stated);
        self.udp_checksum(data, length + HEADER, ip)?;
        let payload = data.from(HEADER);
        let is_port = |port| source == port || destination == port;
        if !self.style.quiet && (is_port(DNS) || is_port(MDNS)) {
            return self.dns(payload, length, false, !is_port(DNS));
        }
        if stated > length && !ip.is_fragment {
            say!(self, "UDP, bad length {stated} > {length}");
        } else {
            self.str("UDP, length ");
            self.number(u32::try_from(stated).unwrap_or(u32::MAX));
        }
        Ok(())
    }

    fn udp_checksum(&mut self, data: Bytes<'_>, length: usize, ip: &Ip) -> Printed {
        let is_ip4 = ip.source.is_ipv4();
        // IPv4 needs none, so that it says less.
        let needed = if is_ip4 { 2 } else { 1 };
        if self.style.verbose < needed || ip.is_fragment {
            return Ok(());
        }
        if is_ip4 && data.u16(6)? == 0 {
            self.str("[no cksum] ");
            return Ok(());
        }
        match Self::checksum(data, length, 6, Some((ip, UDP))) {
            Ok(None) => self.str("[udp sum ok] "),
            Ok(Some(wrong)) => {
                say!(
                    self,
                    "[bad udp cksum 0x{:04x} -> 0x{:04x}!] ",
                    wrong.is,
                    wrong.should_be
                );
            }
            Err(_) => {}
        }
        Ok(())
    }

    /// Addresses and ports; ports alone behind an extension header, where addresses were printed.
    pub(super) fn ports(&mut self, ip: &Ip, [source, destination]: [u16; 2], proto: Proto) {
        let number = match proto {
            Proto::Tcp => super::ip::TCP,
            Proto::Udp => UDP,
        };
        let has_address = ip.next == number;
        for (address, port, after) in [
            (ip.source, source, " > "),
            (ip.destination, destination, ": "),
        ] {
            if has_address {
                self.host(address);
                self.out.push('.');
            }
            self.port(port, proto);
            self.str(after);
        }
    }
}
