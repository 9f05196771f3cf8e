//! Capture files, read.

use std::{collections::BTreeMap, fs::File, net::IpAddr, path::Path};

use nstrace::{
    packet::CaptureIface,
    savefile::{FileStatistics, Item, ReadError, Reader},
};
use nstrace_ebpf::wire::Direction;

/// A packet of a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SavedPacket {
    pub(crate) data: Vec<u8>,
    pub(crate) orig_len: u32,
    pub(crate) time: u64,
    pub(crate) iface: usize,
    pub(crate) is_tx: Option<bool>,
    pub(crate) lost: u64,
}

impl SavedPacket {
    /// The type field of its Ethernet header.
    pub(crate) fn ethertype(&self) -> u16 {
        u16::from_be_bytes([self.data[12], self.data[13]])
    }
}

/// All that is in a file.
#[derive(Debug, Default)]
pub(crate) struct Saved {
    pub(crate) ifaces: Vec<CaptureIface>,
    pub(crate) packets: Vec<SavedPacket>,
    pub(crate) statistics: Vec<FileStatistics>,
    pub(crate) names: Vec<(IpAddr, String)>,
}

impl Saved {
    /// Reads a whole file.
    #[track_caller]
    pub(crate) fn read(path: &Path) -> Self {
        let (saved, error) = Self::so_far(path);
        if let Some(error) = error {
            panic!("{}: {error}", path.display());
        }
        saved
    }

    /// Reads a file that may still be written: what is in it, and what is wrong behind that.
    #[track_caller]
    pub(crate) fn so_far(path: &Path) -> (Self, Option<ReadError>) {
        let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut saved = Self::default();
        let mut reader = match Reader::new(file) {
            Ok(reader) => reader,
            Err(error) => return (saved, Some(error)),
        };
        while let Some(item) = reader.next_item() {
            match item {
                Ok(Item::Interface(iface)) => saved.ifaces.push(iface),
                Ok(Item::Statistics(statistics)) => saved.statistics.push(statistics),
                Ok(Item::Names(names)) => saved.names.extend(names),
                Ok(Item::Packet(packet)) => saved.packets.push(SavedPacket {
                    data: packet.data.to_vec(),
                    orig_len: packet.orig_len,
                    time: packet.time,
                    iface: packet.iface,
                    is_tx: packet
                        .direction
                        .map(|direction| direction as u32 == Direction::Tx as u32),
                    lost: packet.lost,
                }),
                Err(error) => return (saved, Some(error)),
            }
        }
        (saved, None)
    }

    /// Packets of each interface, by its name.
    pub(crate) fn by_iface(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for iface in &self.ifaces {
            counts.entry(iface.name.as_str()).or_default();
        }
        for packet in &self.packets {
            *counts.entry(&self.ifaces[packet.iface].name).or_default() += 1;
        }
        counts
    }

    /// Bytes of the packets, in order.
    pub(crate) fn bytes(&self) -> Vec<&[u8]> {
        let packets = self.packets.iter();
        packets.map(|packet| packet.data.as_slice()).collect()
    }

    /// Asserts that the times of packets never go back.
    #[track_caller]
    pub(crate) fn assert_in_order(&self) {
        assert!(self.packets.is_sorted_by_key(|packet| packet.time));
    }
}
