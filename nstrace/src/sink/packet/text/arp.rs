//! ARP and its relatives.

use super::{
    dump,
    line::{Line, Printed, say},
    link::{ETHERTYPES, IPV4},
};
use crate::decode::packet::{Bytes, Cut};

/// Trailers, an old way to carry IPv4.
const TRAIL: u16 = 0x1000;

const HARDWARE: [(u16, &str); 8] = [
    (1, "Ethernet"),
    (6, "TokenRing"),
    (7, "ArcNet"),
    (15, "FrameRelay"),
    (19, "ATM"),
    (23, "Strip"),
    (24, "IEEE 1394"),
    (32, "InfiniBand"),
];

const OPERATIONS: [(u16, &str); 7] = [
    (1, "Request"),
    (2, "Reply"),
    (3, "Reverse Request"),
    (4, "Reverse Reply"),
    (8, "Inverse Request"),
    (9, "Inverse Reply"),
    (10, "NACK Reply"),
];

/// The fields whose place depends on how long addresses are.
struct Arp<'a> {
    data: Bytes<'a>,
    proto: u16,
    hardware_len: usize,
    proto_len: usize,
}

impl<'a> Arp<'a> {
    fn hardware(&self, is_target: bool) -> Result<&'a [u8], Cut> {
        let before = usize::from(is_target) * (self.hardware_len + self.proto_len);
        self.data.slice(8 + before, self.hardware_len)
    }

    const fn proto_at(&self, is_target: bool) -> usize {
        let pairs = if is_target { 2 } else { 1 };
        8 + pairs * self.hardware_len + (pairs - 1) * self.proto_len
    }

    const fn is_ip(&self) -> bool {
        matches!(self.proto, IPV4 | TRAIL)
    }
}

impl Line<'_> {
    pub(super) fn arp(&mut self, data: Bytes<'_>, length: usize) -> Printed {
        self.layer = "arp";
        data.slice(0, 8)?;
        let hardware = data.u16(0)?;
        let operation = data.u16(6)?;
        let arp = Arp {
            data,
            proto: data.u16(2)?,
            hardware_len: data.u8(4)?.into(),
            proto_len: data.u8(5)?.into(),
        };
        data.slice(arp.proto_at(true), arp.proto_len)?;
        if !self.style.link {
            self.str("ARP, ");
        }
        let is_verbose = self.style.verbose > 0;
        if is_verbose || !arp.is_ip() || arp.proto_len != 4 || arp.hardware_len == 0 {
            self.name_of(
                hardware,
                &HARDWARE,
                format_args!("Unknown Hardware ({hardware})"),
            );
            say!(self, " (len {}), ", arp.hardware_len);
            let proto = arp.proto;
            self.name_of(
                proto,
                &ETHERTYPES,
                format_args!("Unknown Protocol (0x{proto:04x})"),
            );
            say!(self, " (len {})", arp.proto_len);
            if !is_verbose {
                say!(self, ", length {length}");
                return Ok(());
            }
            self.str(", ");
        }
        self.name_of(
            operation,
            &OPERATIONS,
            format_args!("Unknown ({operation})"),
        );
        self.out.push(' ');
        match operation {
            1 => {
                self.str("who-has ");
                self.arp_ip(&arp, true)?;
                let target = arp.hardware(true)?;
                if target.iter().any(|byte| *byte != 0) {
                    self.str(" (");
                    self.arp_mac(target);
                    self.out.push(')');
                }
                self.str(" tell ");
                self.arp_ip(&arp, false)?;
            }
            2 => {
                self.arp_ip(&arp, false)?;
                self.str(" is-at ");
                self.arp_mac(arp.hardware(false)?);
            }
            3 | 8 => {
                self.str("who-is ");
                self.arp_mac(arp.hardware(true)?);
                self.str(" tell ");
                self.arp_mac(arp.hardware(false)?);
            }
            4 => {
                self.arp_mac(arp.hardware(true)?);
                self.str(" at ");
                self.arp_ip(&arp, true)?;
            }
            9 => {
                self.arp_mac(arp.hardware(false)?);
                self.str(" at ");
                self.arp_ip(&arp, false)?;
            }
            _ => {
                dump::hex(self.out, data);
                return Ok(());
            }
        }
        say!(self, ", length {length}");
        Ok(())
    }

    fn arp_ip(&mut self, arp: &Arp<'_>, is_target: bool) -> Printed {
        if !arp.is_ip() {
            self.str("<wrong proto type>");
        } else if arp.proto_len != 4 {
            self.str("<wrong len>");
        } else {
            let address = arp.data.array::<4>(arp.proto_at(is_target))?;
            self.host(address.into());
        }
        Ok(())
    }

    fn arp_mac(&mut self, address: &[u8]) {
        if address.is_empty() {
            self.str("<empty>");
        } else {
            self.mac(address);
        }
    }
}
