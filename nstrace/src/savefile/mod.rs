//! Reading capture files: pcap and pcapng of any writer.
//!
//! Whatever is in a file, reading it does not panic, and the memory that takes has a bound. A file that ends within a packet gives all packets before it, then an
//! error that says where.
//!
//! The crate pcap-parser reads what is in a block. Blocks are found here, since its own reader
//! cannot say why reading failed, and so that no block is believed to be larger than
//! [`LARGEST_BLOCK`]. What an option means is decided here too: the crate takes all for
//! little-endian.

mod options;
mod pcap;
mod pcapng;
mod source;
#[cfg(test)]
mod tests;

use std::{
    io::{self, Read},
    net::IpAddr,
};

use self::{pcap::PcapReader, pcapng::PcapngReader, source::Source};
use crate::packet::{CaptureIface, Packet};

/// A larger packet is not believed. Sixteen times what libpcap and Wireshark read.
pub const LARGEST_BLOCK: usize = 4 << 20;
/// Interfaces in a file. More than any host has, and little memory.
pub const MOST_INTERFACES: usize = 1 << 16;

/// What a capture file holds, in its order.
#[derive(Debug, PartialEq)]
pub enum Item<'a> {
    /// An interface. Its number is that of those before it in the file, in whichever section.
    Interface(CaptureIface),
    /// A packet. A VLAN tag is among its bytes.
    Packet(Packet<'a>),
    /// Names of addresses. Untrusted.
    Names(Vec<(IpAddr, String)>),
    /// What became of an interface's packets.
    Statistics(FileStatistics),
}

/// What a file says of an interface's packets: only what it says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileStatistics {
    /// The interface's number.
    pub iface: usize,
    /// When the capture began, in nanoseconds since 1970-01-01 UTC.
    pub start: Option<u64>,
    /// When it ended.
    pub end: Option<u64>,
    /// Packets that came: `isb_ifrecv`.
    pub received: Option<u64>,
    /// Packets that the interface dropped: `isb_ifdrop`.
    pub dropped: Option<u64>,
    /// Packets that the filter matched: `isb_filteraccept`.
    pub matched: Option<u64>,
    /// Packets that were lost before the writer got them: `isb_osdrop`.
    pub lost: Option<u64>,
    /// Packets that were captured: `isb_usrdeliv`.
    pub captured: Option<u64>,
    /// A comment. Untrusted.
    pub comment: Option<String>,
}

/// A capture file could not be read, or no further.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The kernel refuses.
    #[error("read at byte {offset}")]
    Io {
        /// Where in the file.
        offset: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It begins like neither format.
    #[error("this is neither a pcapng nor a pcap file")]
    Unknown,
    /// It ends where it should not. All packets before were read.
    #[error("the file ends at byte {end}, within a {what} that begins at byte {offset}")]
    Truncated {
        /// What is cut.
        what: &'static str,
        /// Where that begins.
        offset: u64,
        /// Where the file ends.
        end: u64,
    },
    /// What is there makes no sense. All packets before were read.
    #[error("the {what} at byte {offset} makes no sense: {reason}")]
    Malformed {
        /// What.
        what: &'static str,
        /// Where it begins.
        offset: u64,
        /// Why not.
        reason: &'static str,
    },
}

/// Reads a capture file, item by item.
pub struct Reader<R>(Format<R>);

enum Format<R> {
    Pcap(PcapReader<R>),
    Pcapng(PcapngReader<R>),
}

impl<R: Read> Reader<R> {
    /// Begins to read. No buffer is needed below.
    ///
    /// # Errors
    ///
    /// If it is no capture file, or cannot be read.
    pub fn new(from: R) -> Result<Self, ReadError> {
        let mut source = Source::new(from);
        Ok(Self(if source.peek(4)? == pcapng::MAGIC {
            Format::Pcapng(PcapngReader::new(source))
        } else {
            Format::Pcap(PcapReader::new(source)?)
        }))
    }

    /// The next item; `None` at the end, and after an error.
    pub fn next_item(&mut self) -> Option<Result<Item<'_>, ReadError>> {
        match &mut self.0 {
            Format::Pcap(reader) => reader.next_item(),
            Format::Pcapng(reader) => reader.next_item(),
        }
    }
}
