//! Names and records of DNS messages (RFC 1035): where they are, not what they mean.

use super::{Bytes, Cut};

/// Length of the header.
pub const HEADER: usize = 12;

/// The longest name there may be, in bytes of the message (RFC 1035 section 2.3.4). Longer ones
/// are cut there.
pub const MAX_NAME: usize = 255;

/// No good name has more labels, nor more pointers: thousands of them would cost thousands of
/// times what they are worth.
const MAX_POINTERS: u8 = 127;

/// What a name consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// One label. Untrusted, any bytes.
    Label(&'a [u8]),
    /// The part of one that was captured: nothing comes after it.
    CutLabel(&'a [u8]),
    /// Why the name does not go on.
    Bad(&'static str),
}

/// The labels of a name, from the one at a position on, through compression pointers.
#[derive(Clone, Debug)]
pub struct Name<'a> {
    message: Bytes<'a>,
    at: usize,
    /// Pointers must go below this, or there would be loops.
    ceiling: usize,
    /// How many pointers are still followed.
    pointers: u8,
    is_done: bool,
}

impl<'a> Name<'a> {
    /// The name at a position of a message.
    #[must_use]
    pub const fn new(message: Bytes<'a>, at: usize) -> Self {
        Self {
            message,
            at,
            ceiling: at,
            pointers: MAX_POINTERS,
            is_done: false,
        }
    }

    fn read(&mut self) -> Result<Option<Part<'a>>, Cut> {
        loop {
            let len = self.message.u8(self.at)?;
            match len >> 6 {
                0 if len == 0 => return Ok(None),
                0 => {
                    let label = self.message.from(self.at + 1).upto(usize::from(len));
                    self.at += 1 + usize::from(len);
                    return Ok(Some(if label.len() < usize::from(len) {
                        Part::CutLabel(label.0)
                    } else {
                        Part::Label(label.0)
                    }));
                }
                3 => {
                    let target = usize::from(self.message.u16(self.at)? & 0x3fff);
                    let left = self.pointers.checked_sub(1);
                    let Some(left) = left.filter(|_| target < self.ceiling) else {
                        return Ok(Some(Part::Bad("<BAD PTR>")));
                    };
                    self.pointers = left;
                    self.ceiling = target;
                    self.at = target;
                }
                _ => return Ok(Some(Part::Bad("<BAD LABEL TYPE>"))),
            }
        }
    }
}

impl<'a> Iterator for Name<'a> {
    type Item = Result<Part<'a>, Cut>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        let part = self.read();
        self.is_done = !matches!(part, Ok(Some(Part::Label(_))));
        part.transpose()
    }
}

/// Where the name at a position ends. It need not be a good one.
///
/// # Errors
///
/// If the message ends before, or the name has a label of an unknown type.
pub fn skip_name(message: Bytes<'_>, mut at: usize) -> Result<usize, Cut> {
    loop {
        let len = message.u8(at)?;
        at += 1;
        match len >> 6 {
            0 if len == 0 => return Ok(at),
            0 => at += usize::from(len),
            3 => return Ok(at + 1),
            _ => return Err(Cut),
        }
    }
}

/// The header of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What a response has of its query.
    pub id: u16,
    /// As they stand.
    pub flags: u16,
    /// How many questions, answers, authority records, additional records there should be.
    pub counts: [u16; 4],
}

impl Header {
    /// Reads it.
    ///
    /// # Errors
    ///
    /// If the message ends before.
    pub fn read(message: Bytes<'_>) -> Result<Self, Cut> {
        Ok(Self {
            id: message.u16(0)?,
            flags: message.u16(2)?,
            counts: [
                message.u16(4)?,
                message.u16(6)?,
                message.u16(8)?,
                message.u16(10)?,
            ],
        })
    }

    /// Whether it is an answer.
    #[must_use]
    pub const fn is_response(self) -> bool {
        self.flags >> 15 == 1
    }

    /// What is asked for: 0 is a query.
    #[must_use]
    pub const fn opcode(self) -> u16 {
        self.flags >> 11 & 0xf
    }

    /// How it went, without the bits that an OPT record adds.
    #[must_use]
    pub const fn rcode(self) -> u16 {
        self.flags & 0xf
    }
}

/// What stands before the data of a resource record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Type.
    pub kind: u16,
    /// Class, or in an OPT record the size of a UDP message.
    pub class: u16,
    /// Seconds that it may be kept, or in an OPT record flags and more of the rcode.
    pub ttl: u32,
    /// Where its data begin.
    pub data: usize,
    /// How long they are.
    pub len: usize,
}

impl Record {
    /// Reads what comes after its name.
    ///
    /// # Errors
    ///
    /// If the message ends before its data do.
    pub fn read(message: Bytes<'_>, at: usize) -> Result<Self, Cut> {
        let record = Self::read_start(message, at)?;
        message.slice(record.data, record.len)?;
        Ok(record)
    }

    /// Reads what comes after its name, with its data or without.
    ///
    /// # Errors
    ///
    /// If the message ends before its data begin.
    pub fn read_start(message: Bytes<'_>, at: usize) -> Result<Self, Cut> {
        Ok(Self {
            kind: message.u16(at)?,
            class: message.u16(at + 2)?,
            ttl: message.u32(at + 4)?,
            data: at + 10,
            len: usize::from(message.u16(at + 8)?),
        })
    }
}

/// The OPT pseudo-record's type (RFC 6891).
pub const OPT: u16 = 41;

/// The rcode with the bits of the OPT record, as far as that can be found.
#[must_use]
pub fn extended_rcode(message: Bytes<'_>, header: Header) -> u16 {
    let more = find_opt(message, header).unwrap_or_default();
    header.rcode() | u16::from(more) << 4
}

/// The first byte of the TTL of the OPT record: more of the rcode.
fn find_opt(message: Bytes<'_>, header: Header) -> Option<u8> {
    let [questions, answers, authorities, additional] = header.counts.map(u32::from);
    let mut at = HEADER;
    for _ in 0..questions {
        at = skip_name(message, at).ok()? + 4;
    }
    for place in 0..answers + authorities + additional {
        let end = skip_name(message, at).ok()?;
        if message.u16(end).ok()? == OPT && place >= answers + authorities {
            return message.u8(end + 4).ok();
        }
        let record = Record::read_start(message, end).ok()?;
        at = record.data + record.len;
    }
    None
}

/// Names of the types of records; the IANA registry.
const TYPES: [(u16, &str); 72] = [
    (1, "A"),
    (2, "NS"),
    (3, "MD"),
    (4, "MF"),
    (5, "CNAME"),
    (6, "SOA"),
    (7, "MB"),
    (8, "MG"),
    (9, "MR"),
    (10, "NULL"),
    (11, "WKS"),
    (12, "PTR"),
    (13, "HINFO"),
    (14, "MINFO"),
    (15, "MX"),
    (16, "TXT"),
    (17, "RP"),
    (18, "AFSDB"),
    (19, "X25"),
    (20, "ISDN"),
    (21, "RT"),
    (22, "NSAP"),
    (23, "NSAP_PTR"),
    (24, "SIG"),
    (25, "KEY"),
    (26, "PX"),
    (27, "GPOS"),
    (28, "AAAA"),
    (29, "LOC"),
    (30, "NXT"),
    (31, "EID"),
    (32, "NIMLOC"),
    (33, "SRV"),
    (34, "ATMA"),
    (35, "NAPTR"),
    (36, "KX"),
    (37, "CERT"),
    (38, "A6"),
    (39, "DNAME"),
    (40, "SINK"),
    (41, "OPT"),
    (42, "APL"),
    (43, "DS"),
    (44, "SSHFP"),
    (45, "IPSECKEY"),
    (46, "RRSIG"),
    (47, "NSEC"),
    (48, "DNSKEY"),
    (49, "DHCID"),
    (50, "NSEC3"),
    (51, "NSEC3PARAM"),
    (52, "TLSA"),
    (53, "SMIMEA"),
    (55, "HIP"),
    (59, "CDS"),
    (60, "CDNSKEY"),
    (61, "OPENPGPKEY"),
    (62, "CSYNC"),
    (63, "ZONEMD"),
    (64, "SVCB"),
    (65, "HTTPS"),
    (99, "SPF"),
    (108, "EUI48"),
    (109, "EUI64"),
    (249, "TKEY"),
    (250, "TSIG"),
    (251, "IXFR"),
    (252, "AXFR"),
    (253, "MAILB"),
    (255, "ANY"),
    (256, "URI"),
    (257, "CAA"),
];

/// What a type of record is called.
#[must_use]
pub fn type_name(kind: u16) -> Option<&'static str> {
    let at = TYPES
        .binary_search_by_key(&kind, |(number, _)| *number)
        .ok()?;
    TYPES.get(at).map(|(_, name)| *name)
}
