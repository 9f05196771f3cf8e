//! DNS.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::line::{Line, Printed, say};
use crate::decode::packet::{
    Bytes, Cut,
    dns::{
        HEADER, Header, MAX_NAME, Name, OPT, Part, Record, extended_rcode, skip_name, type_name,
    },
};

const OPCODES: [&str; 16] = [
    "",
    " inv_q",
    " stat",
    " op3",
    " notify",
    " update",
    " op6",
    " op7",
    " op8",
    " updateA",
    " updateD",
    " updateDA",
    " updateM",
    " updateMA",
    " zoneInit",
    " zoneRef",
];

const RCODES: [(u16, &str); 14] = [
    (0, ""),
    (1, " FormErr"),
    (2, " ServFail"),
    (3, " NXDomain"),
    (4, " NotImp"),
    (5, " Refused"),
    (6, " YXDomain"),
    (7, " YXRRSet"),
    (8, " NXRRSet"),
    (9, " NotAuth"),
    (10, " NotZone"),
    (15, " NoChange"),
    (16, " BadVers"),
    (23, " BadCookie"),
];

const IN: u16 = 1;
/// An inverse query, an opcode.
const INVERSE: u16 = 1;
/// In mDNS a bit of the class: the answer may be unicast, or others in a cache are outdated.
const TOP_BIT: u16 = 0x8000;

/// A message, and how it came.
#[derive(Clone, Copy)]
struct Message<'a> {
    bytes: Bytes<'a>,
    is_mdns: bool,
}

impl Line<'_> {
    pub(super) fn dns(
        &mut self,
        data: Bytes<'_>,
        mut length: usize,
        is_tcp: bool,
        is_mdns: bool,
    ) -> Printed {
        self.layer = "domain";
        let mut bytes = data.upto(length);
        if is_tcp {
            let Some(left) = length.checked_sub(2) else {
                say!(self, " [DNS over TCP: length {length} < 2]");
                self.invalid();
                return Ok(());
            };
            length = left;
            let prefix = bytes.u16(0)?;
            if usize::from(prefix) != length {
                say!(self, " [prefix length({prefix}) != length({length})]");
                self.invalid();
                return Ok(());
            }
            bytes = bytes.from(2);
            self.out.push(' ');
        }
        if length < HEADER {
            say!(self, "domain [length {length} < {HEADER}]");
            self.invalid();
            return Ok(());
        }
        let message = Message { bytes, is_mdns };
        let Ok(header) = Header::read(bytes) else {
            self.cut();
            return Ok(());
        };
        let printed = if header.is_response() {
            self.dns_response(message, header)
        } else {
            self.dns_query(message, header)
        };
        match printed {
            Ok(()) => say!(self, " ({length})"),
            Err(Cut) => self.cut(),
        }
        Ok(())
    }

    fn dns_start(&mut self, header: Header) {
        self.number(header.id.into());
        let opcode = OPCODES.get(usize::from(header.opcode()));
        self.str(opcode.unwrap_or(&""));
    }

    fn dns_response(&mut self, message: Message<'_>, header: Header) -> Printed {
        self.dns_start(header);
        let rcode = extended_rcode(message.bytes, header);
        self.name_of(rcode, &RCODES, format_args!(" Resp{rcode}"));
        let flag = |bit: u32| header.flags >> bit & 1 == 1;
        self.str(if flag(10) { "*" } else { "" });
        self.str(if flag(7) { "" } else { "-" });
        self.str(if flag(9) { "|" } else { "" });
        self.str(if flag(5) { "$" } else { "" });
        let [questions, answers, authorities, additional] = header.counts;
        if questions != 1 {
            say!(self, " [{questions}q]");
        }
        let mut at = HEADER;
        for place in 0..questions {
            self.str(if place > 0 { "," } else { "" });
            if self.style.verbose > 1 {
                self.str(" q:");
                at = self.dns_question(message, at)?;
            } else {
                at = skip_name(message.bytes, at)? + 4;
            }
        }
        say!(self, " {answers}/{authorities}/{additional}");
        if answers > 0 {
            at = self.dns_records(message, at, answers)?;
        }
        if self.style.verbose > 1 {
            at = self.dns_section(message, at, authorities, " ns:")?;
            self.dns_section(message, at, additional, " ar:")?;
        }
        Ok(())
    }

    fn dns_query(&mut self, message: Message<'_>, header: Header) -> Printed {
        self.dns_start(header);
        let flag = |bit: u32| header.flags >> bit & 1 == 1;
        self.str(if flag(8) { "+" } else { "" });
        self.str(if flag(4) { "%" } else { "" });
        if header.flags & 0x6cf != 0 {
            say!(self, " [b2&3=0x{:x}]", header.flags);
        }
        let [questions, answers, authorities, additional] = header.counts;
        let is_inverse = header.opcode() == INVERSE;
        let (one_question, one_answer) = if is_inverse { (0, 1) } else { (1, 0) };
        if is_inverse && questions != one_question {
            say!(self, " [{questions}q]");
        }
        if answers != one_answer {
            say!(self, " [{answers}a]");
        }
        if !is_inverse && questions != one_question {
            say!(self, " [{questions}q]");
        }
        if authorities > 0 {
            say!(self, " [{authorities}n]");
        }
        if additional > 0 {
            say!(self, " [{additional}au]");
        }
        let mut at = HEADER;
        for place in 0..questions {
            if place > 0 && at >= message.bytes.len() {
                return Err(Cut);
            }
            at = self.dns_question(message, at)?;
        }
        if self.style.verbose > 1 {
            at = self.dns_records(message, at, answers)?;
            at = self.dns_section(message, at, authorities, " ns:")?;
            self.dns_section(message, at, additional, " ar:")?;
        }
        Ok(())
    }

    fn dns_section(
        &mut self,
        message: Message<'_>,
        at: usize,
        count: u16,
        name: &str,
    ) -> Result<usize, Cut> {
        if count == 0 {
            return Ok(at);
        }
        if at >= message.bytes.len() {
            return Err(Cut);
        }
        self.str(name);
        self.dns_records(message, at, count)
    }

    fn dns_records(
        &mut self,
        message: Message<'_>,
        mut at: usize,
        count: u16,
    ) -> Result<usize, Cut> {
        for place in 0..count {
            if place > 0 {
                if at >= message.bytes.len() {
                    return Err(Cut);
                }
                self.out.push(',');
            }
            at = self.dns_record(message, at)?;
        }
        Ok(at)
    }

    fn dns_class(&mut self, class: u16) {
        match class {
            IN => {}
            3 => self.str(" CHAOS"),
            4 => self.str(" HS"),
            255 => self.str(" ANY"),
            _ => say!(self, " (Class {class})"),
        }
    }

    fn dns_type(&mut self, kind: u16) {
        self.out.push(' ');
        match type_name(kind) {
            Some(name) => self.str(name),
            None => say!(self, "Type{kind}"),
        }
    }

    fn dns_question(&mut self, message: Message<'_>, at: usize) -> Result<usize, Cut> {
        let end = skip_name(message.bytes, at)?;
        let (kind, class) = (message.bytes.u16(end)?, message.bytes.u16(end + 2)?);
        self.dns_type(kind);
        self.dns_class(if message.is_mdns {
            class & !TOP_BIT
        } else {
            class
        });
        if message.is_mdns {
            self.str(if class & TOP_BIT != 0 {
                " (QU)"
            } else {
                " (QM)"
            });
        }
        self.str("? ");
        self.dns_name(message.bytes, at)?;
        Ok(end + 4)
    }

    /// Prints a record and says where it ends. As tcpdump has it, the last may be cut in silence.
    fn dns_record(&mut self, message: Message<'_>, mut at: usize) -> Result<usize, Cut> {
        let bytes = message.bytes;
        if self.style.verbose > 0 {
            self.out.push(' ');
            self.dns_name(bytes, at)?;
        }
        let record = skip_name(bytes, at).and_then(|end| {
            at = end;
            Record::read_start(bytes, end)
        });
        let Ok(record) = record else {
            return Ok(bytes.len());
        };
        let mut class = record.class;
        if message.is_mdns {
            class &= !TOP_BIT;
        }
        if record.kind != OPT {
            self.dns_class(class);
        }
        if message.is_mdns && record.class & TOP_BIT != 0 {
            self.str(" (Cache flush)");
        }
        if record.kind != OPT && self.style.verbose > 2 {
            self.str(" [");
            self.duration(record.ttl);
            self.out.push(']');
        }
        self.dns_type(record.kind);
        let value = Bytes(bytes.slice(record.data, record.len)?);
        self.dns_value(bytes, Record { class, ..record }, value)?;
        Ok(record.data + record.len)
    }

    fn dns_value(&mut self, message: Bytes<'_>, record: Record, value: Bytes<'_>) -> Printed {
        match record.kind {
            // A
            1 => {
                let address = Ipv4Addr::from(message.array::<4>(record.data)?);
                self.out.push(' ');
                self.ipv4(address);
            }
            // NS, CNAME, PTR, DNAME
            2 | 5 | 12 | 39 => {
                self.out.push(' ');
                self.dns_name(message, record.data)?;
            }
            // SOA
            6 if self.style.verbose > 0 => {
                self.out.push(' ');
                self.dns_name(message, record.data)?;
                self.out.push(' ');
                let second = skip_name(message, record.data)?;
                self.dns_name(message, second)?;
                let numbers = skip_name(message, second)?;
                message.slice(numbers, 20)?;
                for place in 0..5 {
                    say!(self, " {}", message.u32(numbers + 4 * place)?);
                }
            }
            // MX
            15 => {
                self.out.push(' ');
                let preference = message.u16(record.data)?;
                self.dns_name(message, record.data + 2)?;
                say!(self, " {preference}");
            }
            // TXT
            16 => {
                let mut at = 0;
                while at < value.len() {
                    let len = usize::from(value.u8(at)?);
                    self.str(" \"");
                    let text = message.from(record.data + at + 1).upto(len);
                    self.untrusted(text.0);
                    if text.len() < len {
                        return Err(Cut);
                    }
                    self.out.push('"');
                    at += 1 + len;
                }
            }
            // AAAA
            28 => {
                let address = Ipv6Addr::from(message.array::<16>(record.data)?);
                self.out.push(' ');
                self.ipv6(address);
            }
            // SRV
            33 => {
                self.out.push(' ');
                message.slice(record.data, 6)?;
                self.dns_name(message, record.data + 6)?;
                let [priority, weight, port] =
                    [0, 2, 4].map(|at| message.u16(record.data + at).unwrap_or_default());
                say!(self, ":{port} {priority} {weight}");
            }
            OPT => {
                say!(self, " UDPsize={}", record.class);
                if record.ttl & 0x8000 != 0 {
                    self.str(" DO");
                }
                if !value.is_empty() {
                    say!(self, " [{} bytes]", value.len());
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A name: its labels, each with a dot after it.
    pub(super) fn dns_name(&mut self, message: Bytes<'_>, at: usize) -> Printed {
        let mut len = 0;
        for part in Name::new(message, at) {
            match part? {
                Part::Label(label) => {
                    let room = MAX_NAME.saturating_sub(len);
                    self.untrusted(Bytes(label).upto(room).0);
                    len += label.len();
                    if len > MAX_NAME {
                        self.str("<DOMAIN NAME TOO LONG>");
                        return Ok(());
                    }
                    self.out.push('.');
                    len += 1;
                }
                Part::CutLabel(label) => {
                    self.untrusted(label);
                    return Err(Cut);
                }
                Part::Bad(note) => {
                    self.str(note);
                    return Err(Cut);
                }
            }
        }
        if len == 0 {
            self.out.push('.');
        }
        Ok(())
    }

    /// Seconds as `1d2h3m4s`.
    fn duration(&mut self, mut seconds: u32) {
        if seconds == 0 {
            self.str("0s");
        }
        let units = [
            (31_536_000, 'y'),
            (604_800, 'w'),
            (86_400, 'd'),
            (3600, 'h'),
            (60, 'm'),
            (1, 's'),
        ];
        for (unit, letter) in units {
            if seconds >= unit {
                say!(self, "{}{letter}", seconds / unit);
                seconds %= unit;
            }
        }
    }
}
