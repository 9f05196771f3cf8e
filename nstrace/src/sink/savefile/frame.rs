//! The bytes of a packet as they go into a file: with its VLAN tag, and not longer than wanted.

use crate::packet::Packet;

/// A VLAN tag that the kernel keeps beside a packet's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Its `EtherType`: 0x8100 or 0x88a8.
    pub tpid: u16,
    /// Priority and VLAN.
    pub tci: u16,
}

impl Tag {
    const LEN: usize = 4;
    /// It stands behind two MAC addresses.
    const OFFSET: usize = 12;

    /// The packet with the tag in its bytes, as it goes into a file; `room` is where they are put.
    pub fn put_back<'a>(
        self,
        packet: &Packet<'_>,
        snaplen: u32,
        room: &'a mut Vec<u8>,
    ) -> Packet<'a> {
        let snaplen = super::real_snaplen(snaplen) as usize;
        let frame = Frame::new(packet.data, packet.orig_len, Some(self), snaplen);
        room.clear();
        frame.append(room);
        Packet {
            orig_len: frame.orig_len,
            data: room,
            ..*packet
        }
    }
}

/// In two pieces, so that a tag costs no copy of the packet.
pub(super) struct Frame<'a> {
    /// Addresses and tag; nothing if there is no tag.
    front: [u8; Tag::OFFSET + Tag::LEN],
    front_len: usize,
    rest: &'a [u8],
    pub(super) orig_len: u32,
}

impl<'a> Frame<'a> {
    /// At most `snaplen` bytes of `data`, the tag included: as libpcap cuts.
    #[inline]
    pub(super) fn new(data: &'a [u8], orig_len: u32, tag: Option<Tag>, snaplen: usize) -> Self {
        let mut frame = Self {
            front: [0; Tag::OFFSET + Tag::LEN],
            front_len: 0,
            rest: data,
            orig_len,
        };
        if let Some(tag) = tag {
            frame.insert(tag);
        }
        frame.front_len = frame.front_len.min(snaplen);
        let left = (snaplen - frame.front_len).min(frame.rest.len());
        frame.rest = &frame.rest[..left];
        frame
    }

    /// What is too short to have addresses is left without.
    fn insert(&mut self, tag: Tag) {
        let Some((addresses, rest)) = self.rest.split_at_checked(Tag::OFFSET) else {
            return;
        };
        self.front[..Tag::OFFSET].copy_from_slice(addresses);
        self.front[Tag::OFFSET..14].copy_from_slice(&tag.tpid.to_be_bytes());
        self.front[14..].copy_from_slice(&tag.tci.to_be_bytes());
        self.front_len = self.front.len();
        self.rest = rest;
        self.orig_len = self.orig_len.saturating_add(4);
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.front_len + self.rest.len()
    }

    #[inline]
    pub(super) fn append(&self, out: &mut Vec<u8>) {
        if self.front_len > 0 {
            out.extend_from_slice(&self.front[..self.front_len]);
        }
        out.extend_from_slice(self.rest);
    }
}
