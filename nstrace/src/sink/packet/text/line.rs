//! The line that is being printed.

use std::{
    fmt::{self, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::connections::Connections;
use crate::{
    decode::packet::Cut,
    sink::packet::{Names, Proto, Style},
    untrusted::Untrusted,
};

/// Whether a layer was there to its end.
pub(super) type Printed = Result<(), Cut>;

/// The line of one packet, and what is needed to print it.
pub(super) struct Line<'t> {
    pub(super) out: &'t mut String,
    pub(super) style: Style,
    pub(super) names: &'t mut dyn Names,
    pub(super) connections: &'t mut Connections,
    /// The interface that it came through: sequence numbers are those of a connection there.
    pub(super) iface: usize,
    /// The layer that is being printed, as tcpdump calls it.
    pub(super) layer: &'static str,
    /// Length of the link-layer header.
    pub(super) link_len: usize,
    /// How many IP headers there were.
    pub(super) depth: u8,
}

/// Appends formatted text to a line.
macro_rules! say {
    ($line:expr, $($format:tt)*) => { $line.put(format_args!($($format)*)) };
}
pub(super) use say;

impl Line<'_> {
    /// Appends formatted text.
    pub(super) fn put(&mut self, text: fmt::Arguments<'_>) {
        // A string takes all of it.
        self.out.write_fmt(text).unwrap_or_default();
    }

    /// Appends text.
    pub(super) fn str(&mut self, text: &str) {
        self.out.push_str(text);
    }

    /// Says that the layer is not there to its end.
    pub(super) fn cut(&mut self) {
        let layer = self.layer;
        say!(self, " [|{layer}]");
    }

    /// Says that what stands there cannot be.
    pub(super) fn invalid(&mut self) {
        self.str(" (invalid)");
    }

    /// Appends a decimal number.
    pub(super) fn number(&mut self, number: u32) {
        // Longer than any number of 32 bits.
        let mut digits = [0_u8; 10];
        let mut rest = number;
        let mut len = 0;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
            rest /= 10;
            len += 1;
            if rest == 0 {
                break;
            }
        }
        let used = digits.get(digits.len() - len..).unwrap_or_default();
        self.out.extend(used.iter().map(|digit| char::from(*digit)));
    }

    /// Appends bytes as hex digits.
    pub(super) fn hex(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.out.extend(hex_digits(*byte));
        }
    }

    /// Appends a link-layer address.
    pub(super) fn mac(&mut self, address: &[u8]) {
        for (place, byte) in address.iter().enumerate() {
            if place > 0 {
                self.out.push(':');
            }
            self.out.extend(hex_digits(*byte));
        }
    }

    /// Appends an address, or its name.
    pub(super) fn host(&mut self, address: IpAddr) {
        match (self.names.host(address), address) {
            (Some(name), _) => say!(self, "{}", Untrusted(&name)),
            (None, IpAddr::V4(address)) => self.ipv4(address),
            (None, IpAddr::V6(address)) => self.ipv6(address),
        }
    }

    /// Appends an address.
    pub(super) fn ipv4(&mut self, address: Ipv4Addr) {
        for (place, byte) in address.octets().into_iter().enumerate() {
            if place > 0 {
                self.out.push('.');
            }
            self.number(byte.into());
        }
    }

    /// Appends an address.
    pub(super) fn ipv6(&mut self, address: Ipv6Addr) {
        match address.segments() {
            // inet_ntop(3) takes these for IPv4 addresses; the standard library does not.
            [0, 0, 0, 0, 0, 0, high, _] if high != 0 => {
                let [.., a, b, c, d] = address.octets();
                self.str("::");
                self.ipv4(Ipv4Addr::new(a, b, c, d));
            }
            _ => say!(self, "{address}"),
        }
    }

    /// Appends `source > destination`.
    pub(super) fn hosts(&mut self, source: IpAddr, destination: IpAddr) {
        self.host(source);
        self.str(" > ");
        self.host(destination);
    }

    /// Appends a port, or its name.
    pub(super) fn port(&mut self, port: u16, proto: Proto) {
        match self.names.port(port, proto) {
            Some(name) => say!(self, "{}", Untrusted(&name)),
            None => self.number(port.into()),
        }
    }

    /// Appends bytes as text: what is not printable ASCII as `^X` or `M-^X`, as tcpdump has it.
    pub(super) fn untrusted(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if !byte.is_ascii() {
                self.str("M-");
            }
            let low = byte & 0x7f;
            if low.is_ascii_control() {
                self.out.push('^');
                self.out.push(char::from(low ^ 0x40));
            } else {
                self.out.push(char::from(low));
            }
        }
    }

    /// Appends the names of the bits that are set, or `none`.
    pub(super) fn bits(&mut self, bits: u32, names: &[(u32, &str)]) {
        let mut separator = "";
        for (bit, name) in names {
            if bits & bit != 0 {
                self.str(separator);
                self.str(name);
                separator = ", ";
            }
        }
        if separator.is_empty() {
            self.str("none");
        }
    }

    /// Appends what a number is called, or what stands for it.
    pub(super) fn name_of(
        &mut self,
        number: u16,
        names: &[(u16, &str)],
        unknown: fmt::Arguments<'_>,
    ) {
        match names.iter().find(|(known, _)| *known == number) {
            Some((_, name)) => self.str(name),
            None => self.put(unknown),
        }
    }
}

/// The two digits of a byte.
pub(super) fn hex_digits(byte: u8) -> [char; 2] {
    [byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16).unwrap_or('0'))
}
