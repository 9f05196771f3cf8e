//! pcapng blocks, appended to bytes: `draft-ietf-opsawg-pcapng`.
//!
//! Always little-endian, always nanoseconds. Nothing here fails: what is too long is cut, and what
//! others chose is escaped.

use std::net::{IpAddr, Ipv4Addr};

use nstrace_ebpf::wire::Direction;

use super::frame::Frame;
use crate::{packet::CaptureIface, untrusted::escape};

const INTERFACE_DESCRIPTION: u32 = 1;
const NAME_RESOLUTION: u32 = 4;
const INTERFACE_STATISTICS: u32 = 5;
pub(super) const ENHANCED_PACKET: u32 = 6;
const SECTION_HEADER: u32 = 0x0a0d_0d0a;

const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
const END_OF_OPTIONS: [u8; 4] = [0; 4];
/// `if_tsresol`: units of 10^-9 s.
const NANOSECONDS: u8 = 9;
/// Option values have a length of 16 bits; nobody reads a text that is near that.
const LONGEST_TEXT: usize = 16 << 10;

/// What a section says of who wrote it.
pub(super) fn section(out: &mut Vec<u8>, application: &str, os: &str) {
    block(out, SECTION_HEADER, |out| {
        out.extend(BYTE_ORDER_MAGIC.to_le_bytes());
        out.extend(1_u16.to_le_bytes());
        out.extend(0_u16.to_le_bytes());
        // The section's length, which is not known beforehand.
        out.extend((-1_i64).to_le_bytes());
        text_option(out, 3, os);
        text_option(out, 4, application);
        out.extend(END_OF_OPTIONS);
    });
}

/// An interface; its number is that of those before it in the section.
pub(super) fn interface(out: &mut Vec<u8>, iface: &CaptureIface) {
    block(out, INTERFACE_DESCRIPTION, |out| {
        out.extend(iface.link_type.0.to_le_bytes());
        out.extend(0_u16.to_le_bytes());
        out.extend(iface.snaplen.to_le_bytes());
        text_option(out, 2, &iface.name);
        text_option(out, 3, &iface.description);
        for &(address, prefix) in &iface.addresses {
            match address {
                IpAddr::V4(address) => {
                    let mut value = [0; 8];
                    value[..4].copy_from_slice(&address.octets());
                    value[4..].copy_from_slice(&netmask(prefix).octets());
                    option(out, 4, &value);
                }
                IpAddr::V6(address) => {
                    let mut value = [prefix; 17];
                    value[..16].copy_from_slice(&address.octets());
                    option(out, 5, &value);
                }
            }
        }
        if let Some(mac) = &iface.mac {
            option(out, 6, mac);
        }
        option(out, 9, &[NANOSECONDS]);
        if let Some(filter) = &iface.filter {
            // The first byte says that what follows is an expression of pcap-filter(7).
            let mut value = vec![0];
            value.extend(clean(filter).bytes());
            option(out, 11, &value);
        }
        out.extend(END_OF_OPTIONS);
    });
}

/// Names of addresses.
pub(super) fn names(out: &mut Vec<u8>, names: &[(IpAddr, String)]) {
    const LONGEST_NAME: usize = 1024;
    block(out, NAME_RESOLUTION, |out| {
        for (address, name) in names {
            let name = clean(name);
            let name = &name.as_bytes()[..name.floor_char_boundary(LONGEST_NAME)];
            let value: Vec<u8> = match address {
                IpAddr::V4(address) => [&address.octets()[..], name, &[0]].concat(),
                IpAddr::V6(address) => [&address.octets()[..], name, &[0]].concat(),
            };
            option(out, if address.is_ipv4() { 1 } else { 2 }, &value);
        }
        // nrb_record_end; there are no options.
        out.extend(END_OF_OPTIONS);
    });
}

/// What became of an interface's packets since the capture began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Statistics<'a> {
    pub(super) iface: u32,
    /// A comment. Untrusted.
    pub(super) remark: &'a str,
    pub(super) start: u64,
    pub(super) end: u64,
    /// The filter accepted them: `isb_filteraccept`.
    pub(super) matched: u64,
    /// `isb_osdrop`.
    pub(super) lost_ring: u64,
    /// `isb_usrdeliv`.
    pub(super) captured: u64,
    /// Known in a comment only: the format has no field for it.
    pub(super) lost_disk: u64,
}

pub(super) fn statistics(out: &mut Vec<u8>, of: &Statistics<'_>) {
    block(out, INTERFACE_STATISTICS, |out| {
        out.extend(of.iface.to_le_bytes());
        out.extend(halves(of.end));
        text_option(out, 1, of.remark);
        if of.lost_disk > 0 {
            let comment = format!("{} packets could not be written to the file", of.lost_disk);
            text_option(out, 1, &comment);
        }
        option(out, 2, &halves(of.start));
        option(out, 3, &halves(of.end));
        option(out, 6, &of.matched.to_le_bytes());
        option(out, 7, &of.lost_ring.to_le_bytes());
        option(out, 8, &of.captured.to_le_bytes());
        out.extend(END_OF_OPTIONS);
    });
}

/// Before a packet's bytes.
const HEAD: usize = 28;
/// What follows a packet's bytes if nothing is said of it but its direction.
const DIRECTION_OPTION: usize = 12;
const LOST_OPTION: usize = 12;

/// A packet of which `lost` before it are missing. The only function here that has to be fast.
///
/// Numbers are appended one by one. Put together on the stack first and copied from there, by loads
/// wider than the stores, they would have to wait for the stores.
#[inline]
pub(super) fn packet(
    out: &mut Vec<u8>,
    iface: u32,
    time: u64,
    direction: Option<Direction>,
    lost: u64,
    frame: &Frame<'_>,
) {
    let cap_len = frame.len();
    let padding = cap_len.wrapping_neg() & 3;
    let options = match (direction, lost) {
        (None, 0) => 0,
        (Some(_), 0) => DIRECTION_OPTION,
        (_, _) => DIRECTION_OPTION + LOST_OPTION,
    };
    let total = HEAD + cap_len + padding + options + 4;
    out.reserve(total + 3);
    let total = short(total);

    two(out, ENHANCED_PACKET, total);
    out.extend_from_slice(&iface.to_le_bytes());
    out.extend_from_slice(&halves(time));
    two(out, short(cap_len), frame.orig_len);
    frame.append(out);
    // A constant number of bytes is a store, where what is counted is a call.
    let end = out.len() + padding;
    out.extend_from_slice(&[0; 3]);
    out.truncate(end);

    let flags = match direction {
        None => 0,
        Some(Direction::Rx) => 1,
        Some(Direction::Tx) => 2,
    };
    if options > 0 {
        two(out, 4 << 16 | 2, flags);
        if lost > 0 {
            out.extend_from_slice(&(8_u32 << 16 | 4).to_le_bytes());
            out.extend_from_slice(&lost.to_le_bytes());
        }
        out.extend_from_slice(&END_OF_OPTIONS);
    }
    out.extend_from_slice(&total.to_le_bytes());
}

/// Two words by one store.
fn two(out: &mut Vec<u8>, first: u32, second: u32) {
    let both = u64::from(second) << 32 | u64::from(first);
    out.extend_from_slice(&both.to_le_bytes());
}

/// The block that `bytes` begin with: its type, its length, its first word. `None` if they are cut.
pub(super) fn first_block(bytes: &[u8]) -> Option<(u32, usize, u32)> {
    let word = |at: usize| {
        let word = bytes.get(at..at + 4)?;
        Some(u32::from_le_bytes(word.try_into().ok()?))
    };
    let len = usize::try_from(word(4)?).ok()?;
    (len <= bytes.len()).then_some((word(0)?, len, word(8)?))
}

fn block(out: &mut Vec<u8>, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend(kind.to_le_bytes());
    out.extend([0; 4]);
    body(out);
    let total = short(out.len() - start + 4).to_le_bytes();
    out.extend(total);
    out[start + 4..start + 8].copy_from_slice(&total);
}

fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = &value[..value.len().min(usize::from(u16::MAX) & !3)];
    out.extend_from_slice(&code.to_le_bytes());
    #[expect(clippy::cast_possible_truncation, reason = "cut one line above")]
    out.extend_from_slice(&(value.len() as u16).to_le_bytes());
    out.extend_from_slice(value);
    out.extend_from_slice(&[0; 3][..value.len().wrapping_neg() & 3]);
}

/// Nothing is said by an empty text.
fn text_option(out: &mut Vec<u8>, code: u16, text: &str) {
    if !text.is_empty() {
        option(out, code, clean(text).as_bytes());
    }
}

/// Escaped, which leaves no NUL either, and cut between characters.
fn clean(text: &str) -> String {
    let mut text = escape(text);
    text.truncate(text.floor_char_boundary(LONGEST_TEXT));
    text
}

/// A 64-bit time, its higher half first: as pcapng has it whatever the byte order.
fn halves(time: u64) -> [u8; 8] {
    time.rotate_left(32).to_le_bytes()
}

fn netmask(prefix: u8) -> Ipv4Addr {
    let host_bits = u32::from(32_u8.saturating_sub(prefix));
    Ipv4Addr::from_bits(u32::MAX.checked_shl(host_bits).unwrap_or(0))
}

/// Lengths in a block. A packet's is bound by its snaplen, the rest by [`LONGEST_TEXT`].
#[expect(
    clippy::cast_possible_truncation,
    reason = "a packet of 4 GiB does not exist"
)]
fn short(len: usize) -> u32 {
    len as u32
}
