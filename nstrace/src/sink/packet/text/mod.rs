//! A packet as tcpdump prints it.
//!
//! Fields are read in the order in which they are printed, so that of a packet that was cut
//! everything before the cut is there, with `[|layer]` after it. What tcpdump 4.99.3 prints for the
//! protocols that are here is the judge: `tests/cli/tcpdump.rs` compares, at each cut too.
//!
//! Where lines differ from tcpdump's on purpose:
//!
//! - What is not here is printed like what tcpdump does not know: SCTP, GRE, ESP, IGMP and others
//!   are ` ip-proto-N LENGTH`; another Ethernet type or 802.3 is its addresses, type, length and
//!   bytes. What comes over UDP and TCP is told by its port, and is DNS or a length.
//! - Of IPv4's options their kind is printed, of EDNS's their length, of multipath TCP's their
//!   bytes; extensions of ICMP (RFC 4884) are not.
//! - Types of DNS records have the names that newer ones have: `HTTPS`, not `Type65`. A DNS
//!   message ends where UDP says that it does.
//! - A TCP option ends where its length says, also if its kind has another.
//! - IP packets that are too long for their length field have the packet's.
//! - `-X` and `--ascii` of a packet that was cut begin with the network header, like all.
//! - A cooked packet's interface is its number: which name that has here says nothing.
//! - At most [`MAX_DEPTH`] IP headers are followed into each other, and relative sequence numbers
//!   are known of the last [`connections::CAPACITY`] connections of all.

#![cfg_attr(not(test), warn(clippy::indexing_slicing))]

mod arp;
mod clock;
mod connections;
mod dns;
mod dump;
mod icmp;
mod icmp6;
mod ip;
mod ip6;
mod line;
mod link;
mod ndp;
mod tcp;
mod udp;

use std::fmt;

use jiff::tz::TimeZone;

use self::{clock::Clock, connections::Connections, line::Line};
use super::{Hex, Names, Style};
use crate::{
    decode::packet::Bytes,
    packet::{CaptureIface, Packet},
    untrusted::Untrusted,
};

/// More headers in each other than anybody has; beyond it they are not followed.
const MAX_DEPTH: u8 = 8;

/// Prints packets as text.
pub struct Text {
    style: Style,
    clock: Clock,
    names: Box<dyn Names + Send>,
    connections: Connections,
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Text")
            .field("style", &self.style)
            .finish_non_exhaustive()
    }
}

impl Text {
    /// Prints so, with times of `zone`.
    #[must_use]
    pub fn new(style: Style, zone: TimeZone, names: Box<dyn Names + Send>) -> Self {
        Self {
            style,
            clock: Clock::new(style.time, zone),
            names,
            connections: Connections::default(),
        }
    }

    /// Appends a packet of an interface: a line, or several, with the newline at the end.
    pub fn packet(&mut self, out: &mut String, packet: &Packet<'_>, iface: &CaptureIface) {
        if self.style.prefix {
            let name = [&iface.netns, &iface.name]
                .into_iter()
                .find(|name| !name.is_empty());
            let name = name.map_or("-", String::as_str);
            fmt::Write::write_fmt(out, format_args!("{} ", Untrusted(name))).unwrap_or_default();
        }
        self.clock.print(out, packet.time);
        let mut line = Line {
            out,
            style: self.style,
            names: &mut *self.names,
            connections: &mut self.connections,
            iface: packet.iface,
            layer: "",
            link_len: 0,
            depth: 0,
        };
        let data = Bytes(packet.data);
        // A file may say so: what was captured is then all that is known of the length.
        let length = usize::try_from(packet.orig_len)
            .unwrap_or(usize::MAX)
            .max(data.len());
        if line.link(iface.link_type, data, length).is_err() {
            line.cut();
        }
        line.dump(data);
        out.push('\n');
    }
}

impl Line<'_> {
    /// The bytes below the line.
    fn dump(&mut self, data: Bytes<'_>) {
        let network = data.from(self.link_len);
        match self.style.hex {
            Hex::Link => dump::hex(self.out, data),
            Hex::Network => dump::hex(self.out, network),
            Hex::None if self.style.ascii => dump::ascii(self.out, network),
            Hex::None => {}
        }
    }
}

#[cfg(test)]
mod tests;
