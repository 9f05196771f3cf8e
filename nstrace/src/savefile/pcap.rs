//! pcap: micro- or nanoseconds, either byte order, and the variant of old Red Hats.

use std::io::Read;

use pcap_parser::{
    PcapHeader, parse_pcap_frame, parse_pcap_frame_be, parse_pcap_frame_modified, parse_pcap_header,
};

use super::{Item, LARGEST_BLOCK, ReadError, source::Source};
use crate::packet::{CaptureIface, LinkType, Packet};

pub(super) struct PcapReader<R> {
    source: Source<R>,
    header: PcapHeader,
    /// The only interface has been told.
    is_begun: bool,
    is_done: bool,
}

impl<R: Read> PcapReader<R> {
    pub(super) fn new(mut source: Source<R>) -> Result<Self, ReadError> {
        const HEADER: usize = 24;
        let bytes = source.peek(HEADER)?;
        let header = match parse_pcap_header(bytes) {
            Ok((_, header)) => header,
            // It has a magic number, but is short.
            Err(error) if error.is_incomplete() && bytes.len() >= 4 => {
                let end = bytes.len() as u64;
                return Err(ReadError::Truncated {
                    what: "file header",
                    offset: 0,
                    end,
                });
            }
            Err(_) => return Err(ReadError::Unknown),
        };
        source.consume(HEADER);
        Ok(Self {
            source,
            header,
            is_begun: false,
            is_done: false,
        })
    }

    pub(super) fn next_item(&mut self) -> Option<Result<Item<'_>, ReadError>> {
        if self.is_done {
            return None;
        }
        if !self.is_begun {
            self.is_begun = true;
            return Some(Ok(Item::Interface(self.iface())));
        }
        let len = match self.record() {
            Ok(Some(len)) => len,
            end => {
                self.is_done = true;
                return end.err().map(Err);
            }
        };
        let offset = self.source.offset;
        let bytes = self.source.consume(len);
        let parsed = match (self.header.is_modified_format(), self.header.is_bigendian()) {
            (true, _) => parse_pcap_frame_modified(bytes),
            (false, true) => parse_pcap_frame_be(bytes),
            (false, false) => parse_pcap_frame(bytes),
        };
        let Ok((_, record)) = parsed else {
            self.is_done = true;
            return Some(Err(malformed(offset, "it cannot be read")));
        };
        let fraction = if self.header.is_nanosecond_precision() {
            1
        } else {
            1000
        };
        Some(Ok(Item::Packet(Packet {
            time: u64::from(record.ts_sec) * 1_000_000_000 + u64::from(record.ts_usec) * fraction,
            iface: 0,
            direction: None,
            orig_len: record.origlen,
            data: record.data,
            lost: 0,
        })))
    }

    /// The whole length of the next record; `None` at the end.
    fn record(&mut self) -> Result<Option<usize>, ReadError> {
        let head_len = if self.header.is_modified_format() {
            24
        } else {
            16
        };
        let offset = self.source.offset;
        let head = self.source.peek(head_len)?;
        if head.is_empty() {
            return Ok(None);
        }
        let truncated = |read: usize| ReadError::Truncated {
            what: "packet",
            offset,
            end: offset + read as u64,
        };
        if head.len() < head_len {
            return Err(truncated(head.len()));
        }
        let cap_len: [u8; 4] = head[8..12].try_into().unwrap_or_default();
        let cap_len = if self.header.is_bigendian() {
            u32::from_be_bytes(cap_len)
        } else {
            u32::from_le_bytes(cap_len)
        } as usize;
        if cap_len > LARGEST_BLOCK {
            return Err(malformed(offset, "it is longer than 4 MiB"));
        }
        let len = head_len + cap_len;
        let read = self.source.peek(len)?.len();
        if read < len {
            return Err(truncated(read));
        }
        Ok(Some(len))
    }

    fn iface(&self) -> CaptureIface {
        CaptureIface {
            name: String::new(),
            netns: String::new(),
            description: String::new(),
            // The upper half says whether frames end with a checksum.
            link_type: LinkType(
                (self.header.network.0 & 0xffff)
                    .try_into()
                    .unwrap_or_default(),
            ),
            mac: None,
            addresses: Vec::new(),
            filter: None,
            snaplen: self.header.snaplen,
        }
    }
}

fn malformed(offset: u64, reason: &'static str) -> ReadError {
    ReadError::Malformed {
        what: "packet",
        offset,
        reason,
    }
}
