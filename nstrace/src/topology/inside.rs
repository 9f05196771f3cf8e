//! What there is to know of one namespace, beyond the graph: plain data, named as in JSON.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use serde::Serialize;

use super::model::Ifindex;

/// What was asked within a namespace. Its strings are untrusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inside {
    /// Of the main table, and of others but the local one.
    pub routes: Vec<Route>,
    /// ARP and neighbour discovery.
    pub neighbours: Vec<Neighbour>,
    /// What is attached to devices.
    pub ends: BTreeMap<Ifindex, End>,
    /// Who listens.
    pub listening: Vec<Listener>,
    /// How many sockets there are, by protocol and state.
    pub connections: BTreeMap<&'static str, BTreeMap<&'static str, usize>>,
    /// What could not be asked.
    pub warnings: Vec<String>,
}

/// A route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Route {
    /// `default`, or an address with its prefix length.
    pub destination: String,
    /// `unicast`, `blackhole`, ..
    pub kind: String,
    /// The next hop.
    pub gateway: Option<IpAddr>,
    /// Its device.
    pub device: Option<String>,
    /// The address that is taken for the source.
    pub source: Option<IpAddr>,
    /// Who made it: `kernel`, `boot`, `static`, ..
    pub protocol: String,
    /// `global`, `link`, `host`.
    pub scope: String,
    /// Lower counts first.
    pub metric: Option<u32>,
    /// Routing table; the main one is 254.
    pub table: u32,
}

/// An entry of the neighbour table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Neighbour {
    /// Whose.
    pub address: IpAddr,
    /// On which device.
    pub device: String,
    /// Link-layer address, where it is known.
    pub mac: Option<String>,
    /// `reachable`, `stale`, ..
    pub state: String,
}

/// One end of a pair, or any other device: what is attached to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct End {
    /// Queueing disciplines, the root one first.
    pub qdiscs: Vec<Qdisc>,
    /// Programs on its tc hooks, ingress first, each hook's in the order in which they run.
    pub programs: Vec<Program>,
    /// The tag of a VLAN device.
    pub vlan: Option<u16>,
    /// How it is in a bridge, if it is.
    pub port: Option<Port>,
}

/// A queueing discipline. Counters are since it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Qdisc {
    /// `noqueue`, `fq_codel`, ..
    pub kind: String,
    /// As tc(8) writes it.
    pub handle: String,
    /// `root`, or the class it is in.
    pub parent: String,
    /// Bytes sent.
    pub bytes: u64,
    /// Packets sent.
    pub packets: u64,
    /// Packets dropped.
    pub drops: u64,
    /// Packets that were more than it lets through.
    pub overlimits: u64,
    /// Bytes that wait.
    pub backlog: u64,
}

/// A program on a tc hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Program {
    /// `ingress` or `egress`, seen from the device.
    pub hook: &'static str,
    /// `tcx`, or `clsact`.
    pub mechanism: &'static str,
    /// The kernel's number of a bpf program.
    pub id: Option<u32>,
    /// Its name, or the kind of a filter that is no bpf program.
    pub name: String,
    /// Of a filter: lower ones run first.
    pub priority: Option<u16>,
    /// Whether it is nstrace's.
    pub ours: bool,
}

/// A port of a bridge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Port {
    /// Its number.
    pub number: Option<u16>,
    /// `forwarding`, `blocking`, ..
    pub state: String,
    /// VLANs whose packets pass it, where the bridge filters them.
    pub vlans: Vec<PortVlan>,
}

/// A VLAN of a bridge's port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PortVlan {
    /// Its number.
    pub id: u16,
    /// Untagged packets that come in are of this one.
    pub pvid: bool,
    /// Packets of it go out untagged.
    pub untagged: bool,
}

/// A socket that waits for others: a listening one of TCP, one of UDP that is bound to no peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listener {
    /// `tcp` or `udp`.
    pub protocol: &'static str,
    /// Where.
    pub address: SocketAddr,
    /// The socket's number.
    pub inode: u32,
    /// Who holds it.
    pub process: Option<Process>,
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its command name.
    pub name: String,
}
