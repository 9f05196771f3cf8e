//! pcapng: any number of sections, each with its byte order and its interfaces.

use std::{io::Read, net::IpAddr};

use pcap_parser::{Block, parse_block_be, parse_block_le};

use super::{
    Item, LARGEST_BLOCK, MOST_INTERFACES, ReadError,
    options::{self, Order, Ticks},
    source::Source,
};
use crate::packet::{LinkType, Packet};

/// What a file begins with: the type of a section header, the same in either byte order.
pub(super) const MAGIC: &[u8] = &[0x0a, 0x0d, 0x0d, 0x0a];

/// Names that are taken from one block.
const MOST_NAMES: usize = 1 << 16;

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const NAME_RESOLUTION: u32 = 4;
const INTERFACE_STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;

/// What has to be known of an interface to read its packets.
#[derive(Clone, Copy)]
struct Known {
    ticks: Ticks,
    snaplen: u32,
}

/// What holds in a section.
struct Section {
    order: Order,
    is_ours: bool,
    /// Interfaces of the sections before.
    before: usize,
    ifaces: Vec<Known>,
}

pub(super) struct PcapngReader<R> {
    source: Source<R>,
    section: Section,
    is_done: bool,
}

impl<R: Read> PcapngReader<R> {
    pub(super) fn new(source: Source<R>) -> Self {
        Self {
            source,
            section: Section {
                order: Order::Little,
                is_ours: false,
                before: 0,
                ifaces: Vec::new(),
            },
            is_done: false,
        }
    }

    pub(super) fn next_item(&mut self) -> Option<Result<Item<'_>, ReadError>> {
        if self.is_done {
            return None;
        }
        let (kind, len) = match self.find() {
            Ok(Some(found)) => found,
            end => {
                self.is_done = true;
                return end.err().map(Err);
            }
        };
        let offset = self.source.offset;
        let item = self.section.item(kind, self.source.consume(len));
        if item.is_err() {
            self.is_done = true;
        }
        Some(item.map_err(|reason| ReadError::Malformed {
            what: name_of(kind),
            offset,
            reason,
        }))
    }

    /// Goes to the next block that is an item; `None` at the end.
    fn find(&mut self) -> Result<Option<(u32, usize)>, ReadError> {
        loop {
            let Some((kind, len)) = self.block()? else {
                return Ok(None);
            };
            match kind {
                SECTION_HEADER => {
                    let offset = self.source.offset;
                    let bytes = self.source.consume(len);
                    let section = self.section.next(bytes);
                    self.section = section.map_err(|reason| ReadError::Malformed {
                        what: name_of(kind),
                        offset,
                        reason,
                    })?;
                }
                _ if is_item(kind) => return Ok(Some((kind, len))),
                _ => {}
            }
        }
    }

    /// The type and length of the next block. All of it is in the buffer if somebody wants it, and
    /// consumed if not.
    fn block(&mut self) -> Result<Option<(u32, usize)>, ReadError> {
        const HEAD: usize = 12;
        let offset = self.source.offset;
        let head = self.source.peek(HEAD)?;
        if head.is_empty() {
            return Ok(None);
        }
        if let ([first, second, third, ..], true) = (head.as_chunks::<4>().0, head.len() == HEAD) {
            if first == MAGIC {
                self.section.order = match *third {
                    [0x4d, 0x3c, 0x2b, 0x1a] => Order::Little,
                    [0x1a, 0x2b, 0x3c, 0x4d] => Order::Big,
                    _ => {
                        return Err(ReadError::Malformed {
                            what: name_of(SECTION_HEADER),
                            offset,
                            reason: "it has no byte order",
                        });
                    }
                };
            }
            let order = self.section.order;
            let kind = order.u32(first).unwrap_or_default();
            let len = order.u32(second).unwrap_or_default() as usize;
            let malformed = |reason| {
                Err(ReadError::Malformed {
                    what: name_of(kind),
                    offset,
                    reason,
                })
            };
            if len < HEAD {
                return malformed("it is shorter than any");
            }
            if !len.is_multiple_of(4) {
                return malformed("its length is no multiple of 4");
            }
            let read = if is_item(kind) || kind == SECTION_HEADER {
                if len > LARGEST_BLOCK {
                    return malformed("it is longer than 4 MiB");
                }
                self.source.peek(len)?.len()
            } else {
                self.source.skip(len)?
            };
            if read == len {
                return Ok(Some((kind, len)));
            }
            return Err(ReadError::Truncated {
                what: name_of(kind),
                offset,
                end: offset + read as u64,
            });
        }
        Err(ReadError::Truncated {
            what: "block",
            offset,
            end: offset + head.len() as u64,
        })
    }
}

impl Section {
    /// The one that a header begins.
    fn next(&self, header: &[u8]) -> Result<Self, &'static str> {
        let Block::SectionHeader(header) = parse(self.order, header)? else {
            return Err("it is no section header");
        };
        if header.major_version != 1 {
            return Err("its version is not 1");
        }
        Ok(Self {
            order: self.order,
            is_ours: options::is_ours(&header.options),
            before: self.before + self.ifaces.len(),
            ifaces: Vec::new(),
        })
    }

    fn item<'a>(&mut self, kind: u32, block: &'a [u8]) -> Result<Item<'a>, &'static str> {
        if kind == OBSOLETE_PACKET {
            return self.obsolete_packet(block).map(Item::Packet);
        }
        if kind == NAME_RESOLUTION {
            return Ok(Item::Names(self.names(block)));
        }
        let order = self.order;
        match parse(order, block)? {
            Block::InterfaceDescription(block) => {
                if self.before + self.ifaces.len() >= MOST_INTERFACES {
                    return Err("there are more interfaces than can be");
                }
                let link_type = u16::try_from(block.linktype.0).unwrap_or_default();
                let (iface, ticks) = options::iface(
                    order,
                    self.is_ours,
                    LinkType(link_type),
                    block.snaplen,
                    &block.options,
                );
                self.ifaces.push(Known {
                    ticks,
                    snaplen: block.snaplen,
                });
                Ok(Item::Interface(iface))
            }
            Block::EnhancedPacket(block) => {
                let (iface, known) = self.known(block.if_id)?;
                let (direction, lost) = options::packet(order, &block.options);
                let data = block.data.get(..block.caplen as usize);
                Ok(Item::Packet(Packet {
                    time: known
                        .ticks
                        .nanos(options::join(block.ts_high, block.ts_low)),
                    iface,
                    direction,
                    orig_len: block.origlen,
                    data: data.ok_or("its packet is longer")?,
                    lost,
                }))
            }
            Block::SimplePacket(block) => {
                let (iface, known) = self.known(0)?;
                let snaplen = match known.snaplen {
                    0 => u32::MAX,
                    snaplen => snaplen,
                };
                // What is not padding follows from the packet's length and the interface's limit.
                let len = (block.origlen.min(snaplen) as usize).min(block.data.len());
                Ok(Item::Packet(Packet {
                    // The only packets without a time.
                    time: 0,
                    iface,
                    direction: None,
                    orig_len: block.origlen,
                    data: block.data.get(..len).unwrap_or_default(),
                    lost: 0,
                }))
            }
            Block::InterfaceStatistics(block) => {
                let (iface, known) = self.known(block.if_id)?;
                let said = options::statistics(order, iface, known.ticks, &block.options);
                Ok(Item::Statistics(said))
            }
            _ => Err("it is of another type"),
        }
    }

    fn known(&self, number: u32) -> Result<(usize, Known), &'static str> {
        let number = number as usize;
        let known = self.ifaces.get(number).copied();
        let known = known.ok_or("it is of an interface that the section does not describe")?;
        Ok((self.before + number, known))
    }

    /// A packet as it was written until 2009; the crate knows no such block.
    fn obsolete_packet<'a>(&self, block: &'a [u8]) -> Result<Packet<'a>, &'static str> {
        /// The block's head, then interface and drops, time, and two lengths.
        const DATA: usize = 28;
        const UNKNOWN: u16 = u16::MAX;
        let order = self.order;
        let word = |at: usize| {
            let word = block.get(at..).and_then(|bytes| order.u32(bytes));
            word.ok_or("it is too short")
        };
        let half = |at: usize| block.get(at..).and_then(|bytes| order.u16(bytes));
        let (iface, known) = self.known(half(8).ok_or("it is too short")?.into())?;
        let cap_len = word(20)? as usize;
        let end = DATA.checked_add(cap_len).ok_or("its packet is longer")?;
        // The length stands at its end again.
        let body = block.get(..block.len().saturating_sub(4));
        let data = body.and_then(|body| body.get(DATA..end));
        Ok(Packet {
            time: known.ticks.nanos(options::join(word(12)?, word(16)?)),
            iface,
            direction: None,
            orig_len: word(24)?,
            data: data.ok_or("its packet is longer")?,
            lost: half(10)
                .filter(|&drops| drops != UNKNOWN)
                .unwrap_or(0)
                .into(),
        })
    }

    /// As far as they can be read: names are an addition to the rest.
    fn names(&self, block: &[u8]) -> Vec<(IpAddr, String)> {
        let mut found = Vec::new();
        let body = block.get(8..block.len().saturating_sub(4));
        let mut rest = body.unwrap_or_default();
        while let Some((head, behind)) = rest.split_at_checked(4) {
            let (Some(code), Some(len)) = (self.order.u16(head), self.order.u16(&head[2..])) else {
                break;
            };
            let len = usize::from(len);
            let Some(value) = behind.get(..len).filter(|_| code != 0) else {
                break;
            };
            let room = MOST_NAMES - found.len();
            found.extend(options::names(code, value).take(room));
            rest = behind.get(len.next_multiple_of(4)..).unwrap_or_default();
        }
        found
    }
}

fn parse(order: Order, block: &[u8]) -> Result<Block<'_>, &'static str> {
    let parsed = match order {
        Order::Little => parse_block_le(block),
        Order::Big => parse_block_be(block),
    };
    match parsed {
        Ok((_, block)) => Ok(block),
        Err(_) => Err("its lengths do not fit together"),
    }
}

fn is_item(kind: u32) -> bool {
    (INTERFACE_DESCRIPTION..=ENHANCED_PACKET).contains(&kind)
}

fn name_of(kind: u32) -> &'static str {
    match kind {
        SECTION_HEADER => "section header",
        INTERFACE_DESCRIPTION => "description of an interface",
        OBSOLETE_PACKET | SIMPLE_PACKET | ENHANCED_PACKET => "packet",
        NAME_RESOLUTION => "list of names",
        INTERFACE_STATISTICS => "statistics",
        _ => "block",
    }
}
