//! Captured packets and the interfaces they came through: plain data, whether they come from the
//! kernel or from a file.

use std::net::IpAddr;

use nstrace_ebpf::wire::Direction;

/// A packet as it was captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// When, in nanoseconds since 1970-01-01 UTC.
    pub time: u64,
    /// The interface it came through: its place in the order in which interfaces were introduced.
    pub iface: usize,
    /// Which way it went, seen from the netns; `None` where a file does not say.
    pub direction: Option<Direction>,
    /// Its length on the interface, in bytes, link-layer header included.
    pub orig_len: u32,
    /// The bytes of it that were captured, from the link-layer header on.
    pub data: &'a [u8],
    /// Packets of this interface that were lost between the one before and this.
    pub lost: u64,
}

/// What the first byte of a packet is: a `LINKTYPE_` number of
/// <https://www.tcpdump.org/linktypes.html>.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkType(pub u16);

impl LinkType {
    /// Four bytes of address family in the writer's byte order, then IP.
    pub const NULL: Self = Self(0);
    /// Ethernet.
    pub const ETHERNET: Self = Self(1);
    /// IPv4 or IPv6, without a link-layer header.
    pub const RAW: Self = Self(101);
    /// Linux's cooked header, as `tcpdump -i any` once wrote it.
    pub const LINUX_SLL: Self = Self(113);
    /// The second version of it.
    pub const LINUX_SLL2: Self = Self(276);
}

/// An interface that packets were captured on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptureIface {
    /// `NETNS/IFNAME`. Untrusted.
    pub name: String,
    /// Name of its netns: what a line of text begins with. Untrusted; empty where a file does not say.
    pub netns: String,
    /// A sentence on it: container, host veth, inode, attach delay. Untrusted.
    pub description: String,
    /// What its packets begin with.
    pub link_type: LinkType,
    /// Its link-layer address.
    pub mac: Option<[u8; 6]>,
    /// Its addresses, with their prefix length.
    pub addresses: Vec<(IpAddr, u8)>,
    /// The expression that packets had to match.
    pub filter: Option<String>,
    /// At most so many bytes of each packet were captured.
    pub snaplen: u32,
}

/// What became of an interface's packets: `matched == captured + lost_ring + lost_disk`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaptureCounts {
    /// The filter matched them.
    pub matched: u64,
    /// They were written or printed.
    pub captured: u64,
    /// The ring had no room for them.
    pub lost_ring: u64,
    /// The file could not be written.
    pub lost_disk: u64,
}
