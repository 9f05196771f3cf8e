//! TCP.

use super::{
    connections::Base,
    ip::{Ip, TCP},
    line::{Line, Printed, say},
    udp::DNS,
};
use crate::{
    decode::packet::{
        Bytes, Cut,
        option::{Stop, TcpOption, TcpOptions},
    },
    sink::packet::Proto,
};

const HEADER: usize = 20;

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;
const URG: u8 = 32;

/// As tcpdump writes them, lowest bit first.
pub(crate) const FLAGS: [char; 8] = ['F', 'S', 'R', 'P', '.', 'U', 'E', 'W'];

/// How much of what an RST says is printed.
const RST_DATA: usize = 30;

/// What options are called; the IANA registry.
pub(crate) const OPTIONS: [(u16, &str); 19] = [
    (0, "eol"),
    (1, "nop"),
    (2, "mss"),
    (3, "wscale"),
    (4, "sackOK"),
    (5, "sack"),
    (6, "echo"),
    (7, "echoreply"),
    (8, "TS"),
    (11, "cc"),
    (12, "ccnew"),
    (13, ""),
    (19, "md5"),
    (20, "scps"),
    (28, "uto"),
    (29, "tcp-ao"),
    (30, "mptcp"),
    (34, "tfo"),
    (254, "exp"),
];

impl Line<'_> {
    pub(super) fn tcp(&mut self, data: Bytes<'_>, length: usize, ip: &Ip) -> Printed {
        self.layer = "tcp";
        let (Ok(source), Ok(destination)) = (data.u16(0), data.u16(2)) else {
            self.hosts(ip.source, ip.destination);
            self.out.push(':');
            return Err(Cut);
        };
        self.ports(ip, [source, destination], Proto::Tcp);
        if data.len() < HEADER {
            self.cut();
            return Ok(());
        }
        let header_len = usize::from(data.u8(12)? >> 4) * 4;
        let is_short = header_len < HEADER;
        let payload_len = length.checked_sub(header_len);
        if is_short {
            say!(self, " tcp {}", payload_len.unwrap_or_default());
            say!(
                self,
                " [bad hdr length {header_len} - too short, < {HEADER}]"
            );
            return Ok(());
        }
        if self.style.quiet {
            // As tcpdump has it, whose number has no sign.
            let shown = i64::try_from(length).unwrap_or(i64::MAX)
                - i64::try_from(header_len).unwrap_or_default();
            let [.., a, b, c, d] = shown.to_be_bytes();
            say!(self, "tcp {}", u32::from_be_bytes([a, b, c, d]));
            if payload_len.is_none() {
                say!(
                    self,
                    " [bad hdr length {header_len} - too long, > {length}]"
                );
            }
            return Ok(());
        }
        let flags = data.u8(13)?;
        self.str("Flags [");
        self.tcp_flags(flags);
        self.out.push(']');
        let (mut seq, mut ack) = (data.u32(4)?, data.u32(8)?);
        let mut base = Base::default();
        if flags & ACK != 0 {
            let ends = [(source, ip.source), (destination, ip.destination)];
            let is_new = flags & SYN != 0;
            base = self.connections.base(self.iface, ends, [seq, ack], is_new);
            seq = seq.wrapping_sub(base.seq);
            ack = ack.wrapping_sub(base.ack);
        }
        let Some(payload_len) = payload_len else {
            say!(
                self,
                " [bad hdr length {header_len} - too long, > {length}]"
            );
            return Ok(());
        };
        let is_very_verbose = self.style.verbose > 1;
        if self.style.verbose > 0 && !ip.is_fragment {
            self.tcp_checksum(data, length, ip)?;
        }
        if is_very_verbose || payload_len > 0 || flags & (SYN | FIN | RST) != 0 {
            self.str(", seq ");
            self.number(seq);
            if payload_len > 0 {
                self.out.push(':');
                // Sequence numbers wrap around.
                let len = u32::try_from(payload_len & 0xffff_ffff).unwrap_or_default();
                self.number(seq.wrapping_add(len));
            }
        }
        if flags & ACK != 0 {
            self.str(", ack ");
            self.number(ack);
        }
        self.str(", win ");
        self.number(data.u16(14)?.into());
        if flags & URG != 0 {
            self.str(", urg ");
            self.number(data.u16(18)?.into());
        }
        if header_len > HEADER && !self.tcp_options(data, header_len - HEADER, base.sack)? {
            return Ok(());
        }
        self.str(", length ");
        self.number(u32::try_from(payload_len).unwrap_or(u32::MAX));
        if payload_len == 0 {
            return Ok(());
        }
        self.tcp_payload(data, header_len, payload_len, flags, [source, destination])
    }

    fn tcp_payload(
        &mut self,
        data: Bytes<'_>,
        header_len: usize,
        len: usize,
        flags: u8,
        ports: [u16; 2],
    ) -> Printed {
        if data.len() < header_len {
            say!(
                self,
                " [remaining caplen({}) < header length({header_len})]",
                data.len()
            );
            return Err(Cut);
        }
        let payload = data.from(header_len);
        if flags & RST != 0 && self.style.verbose > 0 {
            let is_whole = payload.len() >= len;
            self.str(if is_whole { " [RST" } else { " [!RST" });
            if len > RST_DATA {
                self.out.push('+');
            }
            self.out.push(' ');
            self.untrusted(payload.upto(len.min(RST_DATA)).0);
            self.out.push(']');
            return Ok(());
        }
        if ports.contains(&DNS) {
            return self.dns(payload, len, true, false);
        }
        Ok(())
    }

    fn tcp_flags(&mut self, flags: u8) {
        if flags == 0 {
            self.str("none");
        }
        let letters = FLAGS.iter().enumerate();
        let set = letters.filter(|(bit, _)| flags >> bit & 1 == 1);
        self.out.extend(set.map(|(_, letter)| letter));
    }

    fn tcp_checksum(&mut self, data: Bytes<'_>, length: usize, ip: &Ip) -> Printed {
        if let Ok(wrong) = Self::checksum(data, length, 16, Some((ip, TCP))) {
            say!(self, ", cksum 0x{:04x} (", data.u16(16)?);
            match wrong {
                Some(wrong) => say!(self, "incorrect -> 0x{:04x})", wrong.should_be),
                None => self.str("correct)"),
            }
        }
        Ok(())
    }

    /// `false` if they end in a way that hides what comes after.
    fn tcp_options(&mut self, data: Bytes<'_>, len: usize, sack: u32) -> Result<bool, Cut> {
        self.str(", options [");
        let mut separator = "";
        for option in TcpOptions::new(data.from(HEADER), len) {
            self.str(separator);
            match option {
                Ok(option) => self.tcp_option(option, sack),
                Err(Stop::Cut) => return Err(Cut),
                Err(Stop::CutValue { option, len }) => {
                    self.tcp_option_cut(option, len, sack)?;
                    self.cut();
                    // As tcpdump has it.
                    self.str(if separator.is_empty() { "" } else { ">" });
                    return Ok(false);
                }
                Err(Stop::BadLength) => {
                    self.str("[bad opt]");
                    self.str(if separator.is_empty() { "" } else { "]" });
                    return Ok(false);
                }
            }
            separator = ",";
        }
        self.out.push(']');
        Ok(true)
    }

    fn tcp_option_cut(&mut self, option: TcpOption<'_>, len: usize, sack: u32) -> Printed {
        let TcpOption { kind, value } = option;
        self.name_of(kind.into(), &OPTIONS, format_args!("unknown-{kind}"));
        match kind {
            5 if !len.is_multiple_of(8) => {
                self.str(" invalid sack,");
                return Err(Cut);
            }
            5 => {
                say!(self, " {} ", len / 8);
                self.tcp_sack(value, sack);
            }
            19 | 34 | 254 => {}
            _ if OPTIONS.iter().all(|(known, _)| *known != u16::from(kind)) => {
                self.str(" 0x");
                self.hex(value);
            }
            _ => {}
        }
        Ok(())
    }

    fn tcp_sack(&mut self, value: &[u8], base: u32) {
        for block in value.chunks_exact(8).map(Bytes) {
            if let (Ok(start), Ok(end)) = (block.u32(0), block.u32(4)) {
                let [start, end] = [start, end].map(|seq| seq.wrapping_sub(base));
                say!(self, "{{{start}:{end}}}");
            }
        }
    }

    fn tcp_option(&mut self, option: TcpOption<'_>, sack: u32) {
        let TcpOption { kind, value } = option;
        self.name_of(kind.into(), &OPTIONS, format_args!("unknown-{kind}"));
        let bytes = Bytes(value);
        let mut expected = value.len();
        match (kind, bytes.u16(0), bytes.u32(0), bytes.u32(4)) {
            (0 | 1 | 4, ..) => expected = 0,
            (2, Ok(mss), ..) => {
                say!(self, " {mss}");
                expected = 2;
            }
            (3, ..) if !value.is_empty() => {
                say!(self, " {}", bytes.u8(0).unwrap_or_default());
                expected = 1;
            }
            (5, ..) if !value.len().is_multiple_of(8) => self.str(" invalid sack"),
            (5, ..) => {
                say!(self, " {} ", value.len() / 8);
                self.tcp_sack(value, sack);
            }
            (6 | 7 | 11 | 12 | 13, _, Ok(number), _) => {
                say!(self, " {number}");
                expected = 4;
            }
            (8, _, Ok(val), Ok(ecr)) => {
                self.str(" val ");
                self.number(val);
                self.str(" ecr ");
                self.number(ecr);
                expected = 8;
            }
            (28, Ok(timeout), ..) => {
                let seconds = u32::from(timeout >> 1) * if timeout & 1 == 1 { 60 } else { 1 };
                say!(self, " 0x{timeout:x} {seconds}");
                expected = 2;
            }
            (34, ..) => {
                self.out.push(' ');
                self.tcp_fast_open(value);
            }
            (254, Ok(0xf989), ..) => {
                self.str("-tfo");
                self.tcp_fast_open(bytes.from(2).0);
            }
            (254, Ok(magic), ..) => say!(self, "-{magic:04x}"),
            _ if !value.is_empty() => {
                self.str(" 0x");
                self.hex(value);
            }
            _ => {}
        }
        if expected != value.len() {
            say!(self, "[len {}]", value.len() + 2);
        }
    }

    fn tcp_fast_open(&mut self, cookie: &[u8]) {
        match cookie.len() {
            0 => self.str(" cookiereq"),
            4..=16 if cookie.len().is_multiple_of(2) => {
                self.str(" cookie ");
                self.hex(cookie);
            }
            _ => self.invalid(),
        }
    }
}
