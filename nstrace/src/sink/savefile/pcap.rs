//! pcap records, appended to bytes: little-endian, nanoseconds. One link type a file; interfaces,
//! directions, names and counts have no place in it.

use super::frame::Frame;
use crate::packet::LinkType;

/// Of a file with nanoseconds.
const MAGIC: u32 = 0xa1b2_3c4d;
/// Length of the file's header.
pub(super) const FILE_HEADER: usize = 24;
/// Length of what stands before a packet.
const RECORD_HEADER: usize = 16;

/// The file's header.
pub(super) fn header(out: &mut Vec<u8>, link_type: LinkType, snaplen: u32) {
    out.extend(MAGIC.to_le_bytes());
    out.extend(2_u16.to_le_bytes());
    out.extend(4_u16.to_le_bytes());
    // Time zone and accuracy, which nobody fills.
    out.extend([0; 8]);
    out.extend(snaplen.to_le_bytes());
    out.extend(u32::from(link_type.0).to_le_bytes());
}

/// A packet.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "32 bits are what the format has for seconds; packets are bound by their snaplen"
)]
pub(super) fn packet(out: &mut Vec<u8>, time: u64, frame: &Frame<'_>) {
    const SECOND: u64 = 1_000_000_000;
    let mut head = [0; RECORD_HEADER];
    head[..4].copy_from_slice(&((time / SECOND) as u32).to_le_bytes());
    head[4..8].copy_from_slice(&((time % SECOND) as u32).to_le_bytes());
    head[8..12].copy_from_slice(&(frame.len() as u32).to_le_bytes());
    head[12..].copy_from_slice(&frame.orig_len.to_le_bytes());
    out.reserve(RECORD_HEADER + frame.len());
    out.extend_from_slice(&head);
    frame.append(out);
}

/// Length of the record that `bytes` begin with; `None` if they are cut.
pub(super) fn first_record(bytes: &[u8]) -> Option<usize> {
    let cap_len = u32::from_le_bytes(bytes.get(8..12)?.try_into().ok()?);
    let len = RECORD_HEADER + usize::try_from(cap_len).ok()?;
    (len <= bytes.len()).then_some(len)
}
