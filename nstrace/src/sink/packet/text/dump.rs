//! The bytes of a packet below its line.

use std::fmt::Write as _;

use super::line::hex_digits;
use crate::decode::packet::Bytes;

/// Bytes in a row.
const ROW: usize = 16;

/// The columns that the hex digits of a row have.
const COLUMNS: usize = ROW / 2 * 5;

/// Appends rows of offset, hex and ASCII, each after a newline.
pub(super) fn hex(out: &mut String, bytes: Bytes<'_>) {
    for (place, row) in bytes.0.chunks(ROW).enumerate() {
        out.push_str("\n\t");
        offset(out, place * ROW);
        let start = out.len();
        for pair in row.chunks(2) {
            out.push(' ');
            out.extend(pair.iter().copied().flat_map(hex_digits));
        }
        let missing = COLUMNS.saturating_sub(out.len() - start);
        out.extend(std::iter::repeat_n(' ', missing + 2));
        out.extend(row.iter().map(|byte| graphic(*byte).unwrap_or('.')));
    }
}

/// Appends rows of offset and hex, each after an indent.
pub(super) fn plain(out: &mut String, indent: &str, bytes: Bytes<'_>) {
    for (place, row) in bytes.0.chunks(ROW).enumerate() {
        out.push_str(indent);
        offset(out, place * ROW);
        for pair in row.chunks(2) {
            out.push(' ');
            out.extend(pair.iter().copied().flat_map(hex_digits));
        }
    }
}

fn offset(out: &mut String, offset: usize) {
    write!(out, "0x{offset:04x}: ").unwrap_or_default();
}

/// Appends the bytes as ASCII after a newline. Their line breaks are kept.
pub(super) fn ascii(out: &mut String, bytes: Bytes<'_>) {
    if bytes.is_empty() {
        return;
    }
    out.push('\n');
    for (place, byte) in bytes.0.iter().enumerate() {
        match byte {
            // It belongs to no line's end here, and within a line it would overwrite it.
            b'\r' => {
                let rest = bytes.from(place + 1);
                if rest.len() > 1 && rest.u8(0) != Ok(b'\n') {
                    out.push('.');
                }
            }
            b'\t' | b' ' | b'\n' => out.push(char::from(*byte)),
            _ => out.push(graphic(*byte).unwrap_or('.')),
        }
    }
}

fn graphic(byte: u8) -> Option<char> {
    byte.is_ascii_graphic().then(|| char::from(byte))
}
