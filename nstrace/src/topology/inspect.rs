//! Everything about one namespace, once.
//!
//! Most of it only the namespace itself tells: it is entered, on a thread made for that, which ends
//! with the answers. The host is asked about the other ends.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use nstrace_ebpf::wire::Hook;

use super::{
    discover,
    inside::{End, Inside, Listener, Process},
    model::{Ifindex, Netns},
};
use crate::{
    error_chain,
    sys::{
        chain,
        netlink::{self, InetSocket, NetlinkError, RouteSocket},
        proc,
    },
};

/// Processes whose open sockets are looked for, at most.
const MAX_PROCESSES: usize = 4096;
/// `TCP_LISTEN` and `TCP_CLOSE`, of `include/net/tcp_states.h`.
const LISTEN: u8 = 10;
const CLOSE: u8 = 7;
/// The states by their number, as ss(8) calls them.
const STATES: [&str; 13] = [
    "unknown",
    "estab",
    "syn-sent",
    "syn-recv",
    "fin-wait-1",
    "fin-wait-2",
    "time-wait",
    "unconn",
    "close-wait",
    "last-ack",
    "listen",
    "closing",
    "syn-recv",
];

/// What is known of a namespace.
#[derive(Debug, Default)]
pub struct Inspected {
    /// In it.
    pub inside: Inside,
    /// The host's ends of its interfaces, by their index on the host.
    pub outside: BTreeMap<Ifindex, End>,
    /// Processes in it.
    pub processes: Vec<Process>,
}

/// Asks for everything.
#[must_use]
pub fn inspect(netns: &Netns) -> Inspected {
    let processes: Vec<Process> = netns
        .pids
        .iter()
        .map(|pid| Process {
            pid: *pid,
            name: proc::comm(*pid),
        })
        .collect();
    let names: HashMap<u32, String> = netns
        .interfaces
        .iter()
        .map(|iface| (iface.link.ifindex.0, iface.link.name.clone()))
        .collect();
    let ifindexes: Vec<Ifindex> = names.keys().map(|index| Ifindex(*index)).collect();
    let mut inside = match discover::open(netns) {
        Some(open) => open
            .run_inside(|| ask_within(&names, &ifindexes))
            .unwrap_or_else(|error| warned(&format!("not looked into: {}", error_chain(&error)))),
        None => warned("not looked into: no file and no process holds it"),
    };
    let is_own = netns.kind == super::model::Kind::Host;
    let peers: Vec<Ifindex> = netns
        .interfaces
        .iter()
        .filter_map(|iface| Some(iface.peer.as_ref()?.ifindex))
        .filter(|_| !is_own)
        .collect();
    let mut outside = BTreeMap::new();
    match RouteSocket::open() {
        Ok(mut socket) => outside = ends(&mut socket, &peers, &mut inside.warnings),
        Err(error) => inside.warnings.push(error_chain(&error)),
    }
    name_listeners(&mut inside.listening, &processes);
    Inspected {
        inside,
        outside,
        processes,
    }
}

fn warned(warning: &str) -> Inside {
    Inside {
        warnings: vec![warning.to_owned()],
        ..Inside::default()
    }
}

/// In the calling thread's namespace.
fn ask_within(names: &HashMap<u32, String>, ifindexes: &[Ifindex]) -> Inside {
    let mut inside = Inside::default();
    let mut socket = match RouteSocket::open() {
        Ok(socket) => socket,
        Err(error) => return warned(&error_chain(&error)),
    };
    let name_of = |index: u32| {
        names
            .get(&index)
            .cloned()
            .unwrap_or_else(|| format!("if{index}"))
    };
    let warnings = &mut inside.warnings;
    inside.routes = told(socket.routes(&name_of), warnings);
    inside.neighbours = told(socket.neighbours(&name_of), warnings);
    inside.ends = ends(&mut socket, ifindexes, warnings);
    for (protocol, name) in [(netlink::TCP, "tcp"), (netlink::UDP, "udp")] {
        let sockets = told(netlink::sockets(protocol), warnings);
        let counts = inside.connections.entry(name).or_default();
        for socket in &sockets {
            let state = STATES.get(usize::from(socket.state)).unwrap_or(&STATES[0]);
            *counts.entry(*state).or_default() += 1;
        }
        let waiting = sockets
            .into_iter()
            .filter(|socket| is_waiting(socket, name));
        inside.listening.extend(waiting.map(|socket| Listener {
            protocol: name,
            address: socket.local,
            inode: socket.inode,
            process: None,
        }));
    }
    inside
        .listening
        .sort_by_key(|one| (one.protocol, one.address.port(), one.address));
    inside
}

/// Whether a socket waits for whoever comes.
fn is_waiting(socket: &InetSocket, protocol: &str) -> bool {
    match protocol {
        "tcp" => socket.state == LISTEN,
        _ => socket.state == CLOSE && socket.local.port() != 0,
    }
}

fn told<T: Default>(asked: Result<T, NetlinkError>, warnings: &mut Vec<String>) -> T {
    asked.unwrap_or_else(|error| {
        warnings.push(error_chain(&error));
        T::default()
    })
}

/// What is attached to devices of the calling thread's namespace.
fn ends(
    socket: &mut RouteSocket,
    ifindexes: &[Ifindex],
    warnings: &mut Vec<String>,
) -> BTreeMap<Ifindex, End> {
    let mut ends: BTreeMap<Ifindex, End> = ifindexes
        .iter()
        .map(|ifindex| (*ifindex, End::default()))
        .collect();
    let mut has_clsact = BTreeSet::new();
    for (ifindex, qdisc) in told(socket.qdiscs(), warnings) {
        if let Some(end) = ends.get_mut(&ifindex) {
            if qdisc.kind == "clsact" {
                has_clsact.insert(ifindex);
            }
            end.qdiscs.push(qdisc);
        }
    }
    for (ifindex, end) in &mut ends {
        end.qdiscs.sort_by_key(|qdisc| qdisc.parent != "root");
        for hook in [Hook::Ingress, Hook::Egress] {
            match chain::programs(*ifindex, hook) {
                Ok(programs) => end.programs.extend(programs),
                Err(error) => warnings.push(format!("programs of TCX are not known: {error}")),
            }
            if has_clsact.contains(ifindex) {
                end.programs
                    .extend(told(socket.filters(*ifindex, hook), warnings));
            }
        }
        // It may have gone meanwhile.
        if let Ok((vlan, port)) = socket.vlan_and_port(*ifindex) {
            (end.vlan, end.port) = (vlan, port);
        }
    }
    warnings.dedup();
    ends
}

/// Finds who holds each socket, among the processes of the namespace.
fn name_listeners(listening: &mut [Listener], processes: &[Process]) {
    if listening.is_empty() {
        return;
    }
    let mut holders: HashMap<u32, &Process> = HashMap::new();
    for process in processes.iter().take(MAX_PROCESSES) {
        for socket in proc::sockets(process.pid) {
            holders.entry(socket).or_insert(process);
        }
    }
    for one in listening {
        one.process = holders.get(&one.inode).map(|holder| (*holder).clone());
    }
}
