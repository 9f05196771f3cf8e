//! Names and flows for tests.

use std::{sync::Arc, time::Duration};

use nstrace_ebpf::wire::FlowKind;

use crate::{
    state::{
        Labels,
        flow::{Counts, FlowKey, FlowSnapshot, FlowState},
    },
    topology::model::{Identity, Iface, Ifindex, Kind, Link, Netns, NetnsInode, Peer, Watch},
};

/// Of eth0 of a named namespace, whose host end has this index.
pub(super) fn labels(name: &str, ifindex: u32) -> Labels {
    let peer = Peer {
        name: format!("veth{ifindex}"),
        ifindex: Ifindex(ifindex),
        master: Some("br0".to_owned()),
    };
    let iface = Iface {
        link: Link {
            addresses: vec!["198.18.0.2/24".to_owned()],
            ..Link::sample(2, "eth0", "veth")
        },
        peer: Some(peer.clone()),
        watch: Watch::HostVeth,
    };
    let netns = Netns {
        identity: Identity::Inode(NetnsInode(4_026_532_200), None),
        nsid: None,
        name: name.to_owned(),
        kind: Kind::Named,
        paths: Vec::new(),
        pids: Vec::new(),
        containers: Vec::new(),
        interfaces: vec![iface.clone()],
    };
    Labels {
        netns: Arc::new(netns),
        iface,
        peer,
    }
}

/// Packets, bytes, and what they are on a wire.
pub(super) const fn counts(packets: u64, bytes: u64, wire_packets: u64, wire_bytes: u64) -> Counts {
    Counts {
        packets,
        bytes,
        wire_packets,
        wire_bytes,
    }
}

/// Ten super-packets in and six plain packets out over TCP, from a port of the namespace to HTTPS.
pub(super) fn tcp(local_port: u16) -> FlowSnapshot {
    let ends = ["198.18.0.2", "203.0.113.9"];
    FlowSnapshot {
        counts: [counts(10, 25_540, 30, 26_620), counts(6, 396, 6, 396)],
        bps: [102_160, 1584],
        pps: [5, 3],
        age: Duration::from_millis(61_234),
        idle: Duration::from_millis(12),
        state: FlowState::Established,
        // SYN, ACK, PSH.
        tcp_flags: [0x1a, 0x12],
        syns: 2,
        ..other(FlowKind::Ports, 6, Some(ends), [local_port, 443])
    }
}

/// Of another kind or protocol, with what stands in its port fields.
pub(super) fn other(
    kind: FlowKind,
    protocol: u8,
    addresses: Option<[&str; 2]>,
    [local_port, remote_port]: [u16; 2],
) -> FlowSnapshot {
    FlowSnapshot {
        key: FlowKey {
            kind,
            protocol,
            addresses: addresses.map(|[local, remote]| {
                let address = |text: &str| text.parse().expect("an address");
                (address(local), address(remote))
            }),
            local_port,
            remote_port,
        },
        counts: [counts(1, 98, 1, 98); 2],
        bps: [784; 2],
        pps: [1; 2],
        age: Duration::from_secs(3),
        idle: Duration::from_secs(1),
        state: FlowState::Active,
        tcp_flags: [0; 2],
        syns: 0,
    }
}
