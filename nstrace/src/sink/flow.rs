//! A flow as it stands in JSON, wherever it does.

use std::{borrow::Cow, time::Duration};

use nstrace_ebpf::wire::{DIRECTIONS, Direction};
use serde::Serialize;

use crate::state::flow::{Counts, FlowKey, FlowSnapshot, Rest};

/// One flow.
#[derive(Debug, Serialize)]
pub(super) struct FlowRecord {
    proto: Cow<'static, str>,
    local: Endpoint,
    remote: Endpoint,
    #[serde(skip_serializing_if = "Option::is_none")]
    icmp: Option<Icmp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'static str>,
    rx: FlowSide,
    tx: FlowSide,
    age_s: f64,
    idle_s: f64,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tcp: Option<Tcp>,
}

/// One end of it; null where what it is of has no addresses or ports.
#[derive(Debug, Serialize)]
struct Endpoint {
    address: Option<String>,
    port: Option<u16>,
}

#[derive(Debug, Serialize)]
struct Icmp {
    r#type: u8,
    code: u8,
    id: u16,
}

#[derive(Debug, Serialize)]
struct Tcp {
    rx_flags: String,
    tx_flags: String,
    syns: u64,
}

/// One direction.
#[derive(Debug, Serialize)]
struct FlowSide {
    #[serde(flatten)]
    counts: CountsRecord,
    pps: u64,
    bps: u64,
}

/// Packets and bytes of both kinds.
#[derive(Debug, Serialize)]
pub(super) struct CountsRecord {
    pub(super) packets: u64,
    pub(super) bytes: u64,
    pub(super) wire_packets: u64,
    pub(super) wire_bytes: u64,
}

impl From<Counts> for CountsRecord {
    fn from(counts: Counts) -> Self {
        let Counts {
            packets,
            bytes,
            wire_packets,
            wire_bytes,
        } = counts;
        Self {
            packets,
            bytes,
            wire_packets,
            wire_bytes,
        }
    }
}

/// All flows that are not shown one by one, and what is in none.
#[derive(Debug, Serialize)]
pub(super) struct OtherRecord {
    flows: u64,
    rx: CountsRecord,
    tx: CountsRecord,
}

impl From<&Rest> for OtherRecord {
    fn from(rest: &Rest) -> Self {
        let [rx, tx] = rest.counts;
        Self {
            flows: rest.flows,
            rx: rx.into(),
            tx: tx.into(),
        }
    }
}

impl From<&FlowSnapshot> for FlowRecord {
    fn from(flow: &FlowSnapshot) -> Self {
        let FlowKey { addresses, .. } = flow.key;
        let ports = flow.key.ports();
        let side = |direction: Direction| FlowSide {
            counts: flow.counts[direction as usize].into(),
            pps: flow.pps[direction as usize],
            bps: flow.bps[direction as usize],
        };
        Self {
            proto: flow.key.protocol_name(),
            local: Endpoint {
                address: addresses.map(|(local, _)| local.to_string()),
                port: ports.map(|(local, _)| local),
            },
            remote: Endpoint {
                address: addresses.map(|(_, remote)| remote.to_string()),
                port: ports.map(|(_, remote)| remote),
            },
            icmp: flow.key.icmp().map(|(kind, code, id)| Icmp {
                r#type: kind,
                code,
                id,
            }),
            note: flow.key.note(),
            rx: side(Direction::Rx),
            tx: side(Direction::Tx),
            age_s: seconds(flow.age),
            idle_s: seconds(flow.idle),
            state: flow.state.as_str(),
            tcp: tcp(flow.tcp_flags, flow.syns),
        }
    }
}

/// To the millisecond: the stamps are no finer.
fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}

fn tcp(flags: [u8; DIRECTIONS], syns: u64) -> Option<Tcp> {
    let [rx, tx] = flags;
    (rx | tx != 0).then(|| Tcp {
        rx_flags: flag_letters(rx),
        tx_flags: flag_letters(tx),
        syns,
    })
}

/// As tcpdump writes them, lowest bit first; `.` is ACK.
pub(super) fn flag_letters(flags: u8) -> String {
    "FSRP.UEW"
        .chars()
        .enumerate()
        .filter(|(bit, _)| flags >> bit & 1 == 1)
        .map(|(_, letter)| letter)
        .collect()
}

/// `address:port`, `[address]:port`, or as much of it as there is.
pub(super) fn endpoint(key: &FlowKey, is_local: bool) -> String {
    let Some((local, remote)) = key.addresses else {
        return "-".to_owned();
    };
    let address = if is_local { local } else { remote };
    match key.ports() {
        Some((local, remote)) => {
            std::net::SocketAddr::new(address, if is_local { local } else { remote }).to_string()
        }
        None => address.to_string(),
    }
}
