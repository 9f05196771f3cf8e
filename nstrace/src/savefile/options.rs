//! What options and fixed fields of pcapng mean, in the section's byte order.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nstrace_ebpf::wire::Direction;
use pcap_parser::PcapNGOption;

use super::FileStatistics;
use crate::packet::{CaptureIface, LinkType};

/// A section's byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

impl Order {
    pub(super) fn u16(self, bytes: &[u8]) -> Option<u16> {
        let bytes = bytes.first_chunk().copied()?;
        Some(match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        })
    }

    pub(super) fn u32(self, bytes: &[u8]) -> Option<u32> {
        let bytes = bytes.first_chunk().copied()?;
        Some(match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        })
    }

    pub(super) fn u64(self, bytes: &[u8]) -> Option<u64> {
        let bytes = bytes.first_chunk().copied()?;
        Some(match self {
            Self::Little => u64::from_le_bytes(bytes),
            Self::Big => u64::from_be_bytes(bytes),
        })
    }

    /// A time in the interface's units: its higher half comes first in either order.
    fn time(self, bytes: &[u8]) -> Option<u64> {
        let (high, low) = bytes.split_at_checked(4)?;
        Some(join(self.u32(high)?, self.u32(low)?))
    }
}

/// The two halves of a time.
pub(super) fn join(high: u32, low: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

/// How an interface counts time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticks {
    /// `if_tsresol`: a negative power of 10, or of 2 with the highest bit.
    resolution: u8,
    /// `if_tsoffset`: seconds to add.
    offset: i64,
}

impl Ticks {
    /// What holds where nothing is said: microseconds.
    const DEFAULT: Self = Self {
        resolution: 6,
        offset: 0,
    };

    /// Nanoseconds since 1970-01-01 UTC; the nearest that there are for what is out of range.
    pub(super) fn nanos(self, ticks: u64) -> u64 {
        const SECOND: i128 = 1_000_000_000;
        let exponent = u32::from(self.resolution & 0x7f);
        let nanos = if self.resolution & 0x80 != 0 {
            // Less than 2^94, so that nothing is lost at the top.
            (u128::from(ticks) * SECOND.unsigned_abs()) >> exponent
        } else if let Some(missing) = 9_u32.checked_sub(exponent) {
            u128::from(ticks) * u128::from(10_u32.pow(missing))
        } else {
            10_u128
                .checked_pow(exponent - 9)
                .map_or(0, |unit| u128::from(ticks) / unit)
        };
        // Both are less than 2^95.
        let nanos = i128::try_from(nanos).unwrap_or(i128::MAX) + i128::from(self.offset) * SECOND;
        u64::try_from(nanos.max(0)).unwrap_or(u64::MAX)
    }
}

/// An interface as a block describes it. `is_ours`: the section was written by nstrace.
pub(super) fn iface(
    order: Order,
    is_ours: bool,
    link_type: LinkType,
    snaplen: u32,
    options: &[PcapNGOption<'_>],
) -> (CaptureIface, Ticks) {
    let mut iface = CaptureIface {
        name: String::new(),
        netns: String::new(),
        description: String::new(),
        link_type,
        mac: None,
        addresses: Vec::new(),
        filter: None,
        snaplen,
    };
    let mut ticks = Ticks::DEFAULT;
    for (code, value) in values(options) {
        match (code, value) {
            (2, name) => {
                iface.name = text(name);
                // A name may have slashes; an interface's has none.
                if let Some((netns, _)) = iface.name.rsplit_once('/').filter(|_| is_ours) {
                    iface.netns = netns.to_owned();
                }
            }
            (3, description) => iface.description = text(description),
            (4, value) => {
                if let Some((address, mask)) = value.split_at_checked(4)
                    && let (Some(address), Some(mask)) = (ipv4(address), ipv4(mask))
                {
                    let prefix = mask.to_bits().leading_ones();
                    #[expect(clippy::cast_possible_truncation, reason = "at most 32")]
                    iface.addresses.push((address.into(), prefix as u8));
                }
            }
            (5, value) => {
                if let (Some(address), Some(&prefix)) = (ipv6(value), value.get(16)) {
                    iface.addresses.push((address.into(), prefix));
                }
            }
            (6, mac) => iface.mac = mac.try_into().ok(),
            (9, &[resolution, ..]) => ticks.resolution = resolution,
            (11, [0, filter @ ..]) => iface.filter = Some(text(filter)),
            (14, value) => {
                ticks.offset = order.u64(value).map_or(0, u64::cast_signed);
            }
            _ => {}
        }
    }
    (iface, ticks)
}

/// What a packet's options say: its direction, and how many were lost before it.
pub(super) fn packet(order: Order, options: &[PcapNGOption<'_>]) -> (Option<Direction>, u64) {
    let mut direction = None;
    let mut lost = 0;
    for (code, value) in values(options) {
        match code {
            2 => {
                direction = match order.u32(value).map(|flags| flags & 3) {
                    Some(1) => Some(Direction::Rx),
                    Some(2) => Some(Direction::Tx),
                    _ => None,
                };
            }
            4 => lost = order.u64(value).unwrap_or(0),
            _ => {}
        }
    }
    (direction, lost)
}

/// What a statistics block says.
pub(super) fn statistics(
    order: Order,
    iface: usize,
    ticks: Ticks,
    options: &[PcapNGOption<'_>],
) -> FileStatistics {
    let mut said = FileStatistics {
        iface,
        ..FileStatistics::default()
    };
    for (code, value) in values(options) {
        match code {
            1 => said.comment = Some(text(value)),
            2 => said.start = order.time(value).map(|time| ticks.nanos(time)),
            3 => said.end = order.time(value).map(|time| ticks.nanos(time)),
            4 => said.received = order.u64(value),
            5 => said.dropped = order.u64(value),
            6 => said.matched = order.u64(value),
            7 => said.lost = order.u64(value),
            8 => said.captured = order.u64(value),
            _ => {}
        }
    }
    said
}

/// The names in the value of a record of type `code`: an address, then texts that end with NUL.
pub(super) fn names(code: u16, value: &[u8]) -> impl Iterator<Item = (IpAddr, String)> {
    let (address, texts): (Option<IpAddr>, _) = match code {
        1 => (ipv4(value).map(Into::into), value.get(4..)),
        2 => (ipv6(value).map(Into::into), value.get(16..)),
        _ => (None, None),
    };
    let texts = texts.unwrap_or_default().split(|&byte| byte == 0);
    texts
        .filter(|name| !name.is_empty())
        .filter_map(move |name| Some((address?, text(name))))
}

/// Whether a section says that nstrace wrote it.
pub(super) fn is_ours(options: &[PcapNGOption<'_>]) -> bool {
    values(options).any(|(code, value)| code == 4 && value.starts_with(b"nstrace "))
}

/// Codes and values up to the end of options, without padding.
fn values<'a>(options: &'a [PcapNGOption<'_>]) -> impl Iterator<Item = (u16, &'a [u8])> {
    options
        .iter()
        .map(|option| (option.code.0, option.as_bytes().unwrap_or_default()))
        .take_while(|&(code, _)| code != 0)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .trim_end_matches('\0')
        .to_owned()
}

fn ipv4(bytes: &[u8]) -> Option<Ipv4Addr> {
    bytes.first_chunk().map(|&octets| Ipv4Addr::from(octets))
}

fn ipv6(bytes: &[u8]) -> Option<Ipv6Addr> {
    bytes
        .first_chunk::<16>()
        .map(|&octets| Ipv6Addr::from(octets))
}
