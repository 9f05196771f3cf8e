//! DNS messages in JSON.

use std::{
    fmt::Write as _,
    net::{Ipv4Addr, Ipv6Addr},
};

use serde::Serialize;

use super::hex;
use crate::decode::packet::{
    Bytes, Cut,
    dns::{
        HEADER, Header, MAX_NAME, Name, OPT, Part, Record, extended_rcode, skip_name, type_name,
    },
};

/// A message may hold thousands of records that all point to one long name: a line has so many.
const MAX_RECORDS: usize = 256;

#[derive(Serialize)]
pub(super) struct Dns {
    id: u16,
    /// `query` or `response`.
    kind: &'static str,
    opcode: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    rcode: Option<u16>,
    /// Of aa, tc, rd, ra, ad, cd.
    flags: Vec<&'static str>,
    questions: Vec<Question>,
    answers: Vec<RecordLine>,
    authorities: Vec<RecordLine>,
    additional: Vec<RecordLine>,
    /// Fewer questions and records than the header says are here.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    incomplete: bool,
}

#[derive(Serialize)]
struct Question {
    name: String,
    r#type: String,
    class: u16,
}

#[derive(Serialize)]
struct RecordLine {
    name: String,
    r#type: String,
    class: u16,
    ttl: u32,
    data: String,
}

/// What is there of a message; nothing if not even its header is.
pub(super) fn read(message: Bytes<'_>) -> Option<Dns> {
    let header = Header::read(message).ok()?;
    let flags = [
        (10, "aa"),
        (9, "tc"),
        (8, "rd"),
        (7, "ra"),
        (5, "ad"),
        (4, "cd"),
    ];
    let flags = flags
        .into_iter()
        .filter(|(bit, _)| header.flags >> bit & 1 == 1);
    let mut dns = Dns {
        id: header.id,
        kind: if header.is_response() {
            "response"
        } else {
            "query"
        },
        opcode: header.opcode(),
        rcode: header
            .is_response()
            .then(|| extended_rcode(message, header)),
        flags: flags.map(|(_, name)| name).collect(),
        questions: Vec::new(),
        answers: Vec::new(),
        authorities: Vec::new(),
        additional: Vec::new(),
        incomplete: false,
    };
    dns.incomplete = dns.read_sections(message, header).is_err();
    Some(dns)
}

impl Dns {
    fn read_sections(&mut self, message: Bytes<'_>, header: Header) -> Result<(), Cut> {
        let [questions, counts @ ..] = header.counts;
        let mut room = MAX_RECORDS;
        let mut at = HEADER;
        for _ in 0..questions {
            room = room.checked_sub(1).ok_or(Cut)?;
            let end = skip_name(message, at)?;
            self.questions.push(Question {
                name: name(message, at)?,
                r#type: type_text(message.u16(end)?),
                class: message.u16(end + 2)?,
            });
            at = end + 4;
        }
        let sections = [
            &mut self.answers,
            &mut self.authorities,
            &mut self.additional,
        ];
        for (section, count) in sections.into_iter().zip(counts) {
            for _ in 0..count {
                room = room.checked_sub(1).ok_or(Cut)?;
                let end = skip_name(message, at)?;
                let record = Record::read(message, end)?;
                section.push(RecordLine {
                    name: name(message, at)?,
                    r#type: type_text(record.kind),
                    class: record.class,
                    ttl: record.ttl,
                    data: data(message, record)?,
                });
                at = record.data + record.len;
            }
        }
        Ok(())
    }
}

/// The name, or what RFC 3597 section 5 writes for those that have none.
fn type_text(kind: u16) -> String {
    type_name(kind).map_or_else(|| format!("TYPE{kind}"), str::to_owned)
}

/// A name as zone files have it: with a dot at the end, and `\DDD` for what is no printable ASCII
/// (RFC 1035 section 5.1).
fn name(message: Bytes<'_>, at: usize) -> Result<String, Cut> {
    let mut text = String::new();
    let mut len = 0;
    for part in Name::new(message, at) {
        let Part::Label(label) = part? else {
            return Err(Cut);
        };
        len += label.len() + 1;
        if len > MAX_NAME {
            return Err(Cut);
        }
        escape(&mut text, label, b".\\");
        text.push('.');
    }
    if text.is_empty() {
        text.push('.');
    }
    Ok(text)
}

fn escape(text: &mut String, bytes: &[u8], special: &[u8]) {
    for byte in bytes {
        if special.contains(byte) {
            text.push('\\');
            text.push(char::from(*byte));
        } else if byte.is_ascii_graphic() || *byte == b' ' {
            text.push(char::from(*byte));
        } else {
            write!(text, "\\{byte:03}").unwrap_or_default();
        }
    }
}

/// The data of the usual types as zone files have them, those of others in hex.
fn data(message: Bytes<'_>, record: Record) -> Result<String, Cut> {
    let Record {
        kind, data, len, ..
    } = record;
    let value = Bytes(message.slice(data, len)?);
    Ok(match (kind, len) {
        (1, 4) => Ipv4Addr::from(value.array::<4>(0)?).to_string(),
        (28, 16) => Ipv6Addr::from(value.array::<16>(0)?).to_string(),
        (2 | 5 | 12 | 39, _) => name(message, data)?,
        (6, _) => {
            let second = skip_name(message, data)?;
            let mut text = format!("{} {}", name(message, data)?, name(message, second)?);
            let numbers = skip_name(message, second)?;
            for place in 0..5 {
                write!(text, " {}", message.u32(numbers + 4 * place)?).unwrap_or_default();
            }
            text
        }
        (15, _) => format!("{} {}", value.u16(0)?, name(message, data + 2)?),
        (16, _) => {
            let mut text = String::new();
            let mut at = 0;
            while at < len {
                let part = value.slice(at + 1, value.u8(at)?.into())?;
                text.push_str(if at > 0 { " \"" } else { "\"" });
                escape(&mut text, part, b"\"\\");
                text.push('"');
                at += 1 + part.len();
            }
            text
        }
        (33, _) => {
            let [priority, weight, port] = [value.u16(0)?, value.u16(2)?, value.u16(4)?];
            format!("{priority} {weight} {port} {}", name(message, data + 6)?)
        }
        (OPT, 0) => String::new(),
        _ => hex(value.0),
    })
}
