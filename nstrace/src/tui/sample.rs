//! Flows for tests.

use std::{net::IpAddr, time::Duration};

use nstrace_ebpf::wire::{DIRECTIONS, Direction, FlowKind};

use crate::state::flow::{Counts, FlowKey, FlowSnapshot, FlowState};

/// A flow of a protocol between an address and port of the namespace and those of the far end.
pub(super) fn flow(protocol: u8, local: (&str, u16), remote: (&str, u16)) -> FlowSnapshot {
    let address = |text: &str| -> IpAddr { text.parse().expect("an address") };
    let is_tcp = protocol == 6;
    FlowSnapshot {
        key: FlowKey {
            kind: FlowKind::Ports,
            protocol,
            addresses: Some((address(local.0), address(remote.0))),
            local_port: local.1,
            remote_port: remote.1,
        },
        counts: [Counts::default(); DIRECTIONS],
        bps: [0; DIRECTIONS],
        pps: [0; DIRECTIONS],
        age: Duration::from_secs(5),
        idle: Duration::ZERO,
        state: if is_tcp {
            FlowState::Established
        } else {
            FlowState::Active
        },
        tcp_flags: [0; DIRECTIONS],
        syns: 0,
    }
}

/// The same of another kind, with what stands in its port fields: local, then remote.
pub(super) fn portless(
    protocol: u8,
    kind: FlowKind,
    [local_port, remote_port]: [u16; 2],
    addresses: Option<(&str, &str)>,
) -> FlowSnapshot {
    let (local, remote) = addresses.unwrap_or(("0.0.0.0", "0.0.0.0"));
    let mut flow = flow(protocol, (local, local_port), (remote, remote_port));
    flow.key.kind = kind;
    if addresses.is_none() {
        flow.key.addresses = None;
    }
    flow
}

/// With so much in one direction: bits and packets per second, and as many seconds of it.
pub(super) fn carrying(
    mut flow: FlowSnapshot,
    direction: Direction,
    (bps, pps): (u64, u64),
    seconds: u64,
) -> FlowSnapshot {
    let at = direction as usize;
    flow.bps[at] = bps;
    flow.pps[at] = pps;
    let (packets, bytes) = (pps * seconds, bps / 8 * seconds);
    flow.counts[at] = Counts {
        packets,
        bytes,
        // As of super-packets of ten segments.
        wire_packets: packets * 10,
        wire_bytes: bytes + packets * 9 * 54,
    };
    flow.age = flow.age.max(Duration::from_secs(seconds));
    flow
}
