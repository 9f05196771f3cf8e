//! An interface and a packet, for tests.

use crate::packet::{CaptureIface, LinkType, Packet};

/// `eth0` of the netns `web`.
pub(super) fn iface(link_type: LinkType) -> CaptureIface {
    CaptureIface {
        name: "web/eth0".to_owned(),
        netns: "web".to_owned(),
        description: String::new(),
        link_type,
        mac: None,
        addresses: Vec::new(),
        filter: None,
        snaplen: 262_144,
    }
}

/// These bytes, whole, at a time.
pub(super) fn packet(data: &[u8]) -> Packet<'_> {
    Packet {
        time: super::corpus::time(0),
        iface: 0,
        direction: None,
        orig_len: u32::try_from(data.len()).expect("short"),
        data,
        lost: 0,
    }
}
