//! What is in a file that could not be written to its end, and what is not.

use super::{FileFormat, SaveError, SaveFile, file::Cause, pcap, pcapng};

/// Where an interface's packets are; each that was handed in counts in exactly one of the three,
/// except for those answered by [`Saved::Complete`](super::Saved::Complete).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Whole in a file, or taken by a pipe.
    pub written: u64,
    /// Not yet written.
    pub buffered: u64,
    /// In no file, and will never be.
    pub lost: u64,
}

impl SaveFile {
    /// Only the first `arrived` bytes of the buffer are in the file: cuts off what is no whole
    /// packet, counts, and closes.
    #[cold]
    pub(super) fn fail(&mut self, arrived: usize, cause: Cause) -> SaveError {
        let Some(mut stream) = self.stream.take() else {
            return SaveError::Closed;
        };
        let begins_file = stream.written == arrived as u64;
        let whole = self.count_whole(arrived, begins_file);
        if let Err(error) = stream.cut((arrived - whole) as u64) {
            tracing::warn!(path = ?self.path, %error, "the file may end with a part of a packet");
        }
        self.buffer.clear();
        self.order.clear();
        if let Some(iface) = self
            .waiting
            .take()
            .and_then(|iface| self.ifaces.get_mut(iface))
        {
            iface.taken += 1;
        }
        let (mut written, mut lost) = (0, 0);
        for iface in &mut self.ifaces {
            iface.lost = iface.taken - iface.written;
            written += iface.written;
            lost += iface.lost;
        }
        let path = self.path.display().to_string();
        match cause {
            Cause::Io(source) => SaveError::Write {
                path,
                written,
                lost,
                source,
            },
            Cause::MinFree { free } => SaveError::MinFree {
                path,
                written,
                lost,
                free,
            },
        }
    }

    /// Counts the packets that are whole in the first `arrived` bytes of the buffer as written;
    /// gives where the last block ends.
    fn count_whole(&mut self, arrived: usize, begins_file: bool) -> usize {
        let bytes = &self.buffer[..arrived];
        let mut at = 0;
        match self.options.format {
            FileFormat::Pcapng => {
                while let Some((kind, len, first)) = pcapng::first_block(&bytes[at..]) {
                    at += len;
                    if kind == pcapng::ENHANCED_PACKET
                        && let Some(iface) = self.ifaces.get_mut(first as usize)
                    {
                        iface.written += 1;
                    }
                }
            }
            FileFormat::Pcap => {
                if begins_file {
                    if bytes.len() < pcap::FILE_HEADER {
                        return 0;
                    }
                    at = pcap::FILE_HEADER;
                }
                for &iface in &self.order {
                    let Some(len) = pcap::first_record(&bytes[at..]) else {
                        break;
                    };
                    at += len;
                    if let Some(iface) = self.ifaces.get_mut(iface as usize) {
                        iface.written += 1;
                    }
                }
            }
        }
        at
    }
}
