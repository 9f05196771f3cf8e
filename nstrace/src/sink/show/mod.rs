//! `nstrace show`: everything about one namespace, as a page or a document.

use std::{collections::BTreeMap, io::Write};

use serde::Serialize;

use super::{
    SinkError,
    ls::record::NetnsRecord,
    table::{self, Align},
};
use crate::{
    topology::{
        inside::{End, Inside, Listener, Neighbour, Process, Program, Qdisc, Route},
        inspect::Inspected,
        model::{Iface, Link, Netns, NetnsInode, Watch},
    },
    units,
    untrusted::escape,
};

/// How a namespace is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A page to read.
    #[default]
    Text,
    /// A document of schema `nstrace.show/v1`.
    Json,
}

/// What is shown.
#[derive(Debug)]
pub struct Page<'a> {
    /// The namespace.
    pub netns: &'a Netns,
    /// What was asked about it.
    pub found: &'a Inspected,
    /// The host's links, by index.
    pub host: &'a BTreeMap<u32, &'a Link>,
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    namespace: NetnsRecord<'a>,
    processes: &'a [Process],
    devices: Vec<DeviceRecord<'a>>,
    routes: &'a [Route],
    neighbours: &'a [Neighbour],
    listening: &'a [Listener],
    connections: &'a BTreeMap<&'static str, BTreeMap<&'static str, usize>>,
    warnings: &'a [String],
}

/// What is attached to both ends of an interface.
#[derive(Serialize)]
struct DeviceRecord<'a> {
    name: &'a str,
    ifindex: u32,
    mtu: u32,
    mtu_mismatch: bool,
    #[serde(flatten)]
    end: Option<&'a End>,
    peer: Option<PeerRecord<'a>>,
}

#[derive(Serialize)]
struct PeerRecord<'a> {
    name: &'a str,
    ifindex: u32,
    mtu: u32,
    state: &'a str,
    master: Option<&'a str>,
    #[serde(flatten)]
    end: Option<&'a End>,
}

/// Prints a page.
///
/// # Errors
///
/// If the writer fails.
pub fn write(out: &mut impl Write, format: Format, page: &Page<'_>) -> Result<(), SinkError> {
    match format {
        Format::Json => super::json(out, &page.document()),
        Format::Text => {
            out.write_all(&page.text()?)?;
            out.flush()?;
            Ok(())
        }
    }
}

impl<'a> Page<'a> {
    fn inside(&self) -> &'a Inside {
        &self.found.inside
    }

    /// An interface's own end, the host's link at the other, and what is attached there.
    fn ends(&self, iface: &Iface) -> (Option<&'a End>, Option<(&'a Link, Option<&'a End>)>) {
        let own = self.inside().ends.get(&iface.link.ifindex);
        let peer = iface
            .peer
            .as_ref()
            .filter(|_| iface.watch == Watch::HostVeth);
        let peer = peer.and_then(|peer| {
            let link = self.host.get(&peer.ifindex.0)?;
            Some((*link, self.found.outside.get(&peer.ifindex)))
        });
        (own, peer)
    }

    fn document(&self) -> Document<'a> {
        let inside = self.inside();
        let device = |iface: &'a Iface| {
            let (end, peer) = self.ends(iface);
            let master = iface.peer.as_ref().and_then(|peer| peer.master.as_deref());
            DeviceRecord {
                name: &iface.link.name,
                ifindex: iface.link.ifindex.0,
                mtu: iface.link.mtu,
                mtu_mismatch: peer.is_some_and(|(link, _)| link.mtu != iface.link.mtu),
                end,
                peer: peer.map(|(link, end)| PeerRecord {
                    name: &link.name,
                    ifindex: link.ifindex.0,
                    mtu: link.mtu,
                    state: &link.state,
                    master,
                    end,
                }),
            }
        };
        Document {
            schema: "nstrace.show/v1",
            namespace: NetnsRecord::from(self.netns),
            processes: &self.found.processes,
            devices: self.netns.interfaces.iter().map(device).collect(),
            routes: &inside.routes,
            neighbours: &inside.neighbours,
            listening: &inside.listening,
            connections: &inside.connections,
            warnings: &inside.warnings,
        }
    }

    fn text(&self) -> Result<Vec<u8>, SinkError> {
        let mut text = self.identity().into_bytes();
        section(&mut text, "Containers", &self.containers())?;
        if !self.netns.interfaces.is_empty() {
            text.extend_from_slice(b"\nInterfaces\n");
            for iface in &self.netns.interfaces {
                self.interface(iface, &mut text)?;
            }
        }
        let inside = self.inside();
        section(
            &mut text,
            "Routes",
            &inside.routes.iter().map(route).collect::<Vec<_>>(),
        )?;
        let neighbours: Vec<_> = inside.neighbours.iter().map(neighbour).collect();
        section(&mut text, "Neighbours", &neighbours)?;
        let listening: Vec<_> = inside.listening.iter().map(listener).collect();
        section(&mut text, "Listening", &listening)?;
        section(&mut text, "Sockets", &connections(inside))?;
        Ok(text)
    }

    fn identity(&self) -> String {
        let netns = self.netns;
        let mut first = vec![escape(&netns.name), netns.kind.to_string()];
        if let Some(NetnsInode(inode)) = netns.identity.inode() {
            first.push(format!("inode {inode}"));
        }
        if let Some(nsid) = netns.nsid {
            first.push(format!("nsid {}", nsid.0));
        }
        if let Some(pod) = netns.pod() {
            first.extend(pod.uid.iter().map(|uid| format!("uid {}", escape(uid))));
            first.extend(
                pod.owner
                    .iter()
                    .map(|owner| format!("of {}", escape(owner))),
            );
        }
        let mut text = first.join("  ");
        text.push('\n');
        for path in &netns.paths {
            text.extend([format!("  {}\n", escape(&path.to_string_lossy()))]);
        }
        text.push_str(&processes(&self.found.processes));
        text
    }

    fn containers(&self) -> Vec<Vec<String>> {
        let row = |container: &crate::topology::model::Container| {
            let mut said = Vec::new();
            if container.is_sandbox {
                said.push("sandbox".to_owned());
            }
            if let (true, Some(pod)) = (self.netns.pod().is_none(), &container.pod) {
                said.push(format!("of {}", escape(&pod.to_string())));
            }
            if let Some(user) = container.user {
                said.push(format!("of user {user}"));
            }
            if !container.image.is_empty() {
                said.push(escape(&container.image));
            }
            let labels = container.labels.iter();
            said.extend(labels.map(|(key, value)| format!("{}={}", escape(key), escape(value))));
            vec![
                escape(&container.name),
                container.runtime.to_string(),
                escape(&container.short_id()),
                container
                    .init
                    .map_or_else(String::new, |init| format!("pid {}", init.pid)),
                said.join("  "),
            ]
        };
        self.netns.containers.iter().map(row).collect()
    }

    fn interface(&self, iface: &Iface, text: &mut Vec<u8>) -> Result<(), SinkError> {
        let (own, peer) = self.ends(iface);
        let link = &iface.link;
        writeln!(text, "  {}", device(link, own))?;
        if !link.addresses.is_empty() {
            writeln!(text, "    {}", link.addresses.join("  "))?;
        }
        attached(own, "    ", text)?;
        match (&iface.watch, peer) {
            (_, Some((other, end))) => {
                let master = iface.peer.as_ref().and_then(|peer| peer.master.as_deref());
                let place = place(master, end);
                writeln!(text, "    the host's end: {}{place}", device(other, end))?;
                if other.mtu != link.mtu {
                    writeln!(
                        text,
                        "      MTU MISMATCH: {} in here, {} on the host",
                        link.mtu, other.mtu
                    )?;
                }
                attached(end, "      ", text)?;
            }
            (Watch::No(why), None) => writeln!(text, "    not watched: {}", escape(why))?,
            (Watch::HostVeth, None) => {}
        }
        Ok(())
    }
}

/// A heading with rows below it, unless there are none.
fn section(text: &mut Vec<u8>, heading: &str, rows: &[Vec<String>]) -> Result<(), SinkError> {
    let Some(first) = rows.first() else {
        return Ok(());
    };
    writeln!(text, "\n{heading}")?;
    let columns = vec![("", Align::Left); first.len()];
    let indented: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let mut row = row.clone();
            row[0].insert_str(0, "  ");
            row
        })
        .collect();
    table::write(text, &columns, &indented, false)?;
    Ok(())
}

/// The first few, and how many there are.
fn processes(processes: &[Process]) -> String {
    const SHOWN: usize = 8;
    if processes.is_empty() {
        return String::new();
    }
    let shown: Vec<String> = processes
        .iter()
        .take(SHOWN)
        .map(|process| format!("{} {}", process.pid, escape(&process.name)))
        .collect();
    let more = processes.len().saturating_sub(SHOWN);
    let more = if more > 0 {
        format!(", and {more} more")
    } else {
        String::new()
    };
    format!("  processes: {}{more}\n", shown.join(", "))
}

fn device(link: &Link, end: Option<&End>) -> String {
    let mut words = vec![
        escape(&link.name),
        escape(&link.kind),
        link.state.clone(),
        format!("mtu {}", link.mtu),
    ];
    if let Some(vlan) = end.and_then(|end| end.vlan) {
        words.push(format!("vlan {vlan}"));
    }
    words.extend(link.mac.clone());
    words.join("  ")
}

/// The bridge and the port that an end is in.
fn place(master: Option<&str>, end: Option<&End>) -> String {
    let Some(master) = master else {
        return "  in no bridge".to_owned();
    };
    let mut text = format!("  in {}", escape(master));
    let Some(port) = end.and_then(|end| end.port.as_ref()) else {
        return text;
    };
    if let Some(number) = port.number {
        text.extend([format!(", port {number}")]);
    }
    text.extend([format!(", {}", port.state)]);
    for vlan in &port.vlans {
        let mut said = vec![format!("vlan {}", vlan.id)];
        said.extend(vlan.pvid.then(|| "pvid".to_owned()));
        said.extend(vlan.untagged.then(|| "untagged".to_owned()));
        text.extend([format!(", {}", said.join(" "))]);
    }
    text
}

fn attached(end: Option<&End>, indent: &str, text: &mut Vec<u8>) -> Result<(), SinkError> {
    let Some(end) = end else {
        return Ok(());
    };
    for qdisc in &end.qdiscs {
        writeln!(text, "{indent}qdisc {}", of_qdisc(qdisc))?;
    }
    for hook in ["ingress", "egress"] {
        let on_hook = end.programs.iter().filter(|program| program.hook == hook);
        for (at, program) in on_hook.enumerate() {
            writeln!(text, "{indent}{hook} {}: {}", at + 1, of_program(program))?;
        }
    }
    Ok(())
}

fn of_qdisc(qdisc: &Qdisc) -> String {
    let Qdisc {
        kind,
        handle,
        parent,
        bytes,
        packets,
        drops,
        overlimits,
        backlog,
    } = qdisc;
    let mut text = format!(
        "{} {handle} {parent}  sent {} in {packets} packets  dropped {drops}",
        escape(kind),
        units::bytes(*bytes)
    );
    if *overlimits > 0 {
        text.extend([format!("  over limits {overlimits}")]);
    }
    if *backlog > 0 {
        text.extend([format!("  waiting {}", units::bytes(*backlog))]);
    }
    text
}

fn of_program(program: &Program) -> String {
    let mut words = vec![escape(&program.name), program.mechanism.to_owned()];
    words.extend(
        program
            .priority
            .map(|priority| format!("priority {priority}")),
    );
    words.extend(program.id.map(|id| format!("id {id}")));
    if program.ours {
        words.push("(nstrace)".to_owned());
    }
    words.join("  ")
}

fn route(route: &Route) -> Vec<String> {
    const MAIN: u32 = 254;
    let mut words = Vec::new();
    words.extend(route.gateway.map(|gateway| format!("via {gateway}")));
    words.extend(
        route
            .device
            .as_deref()
            .map(|device| format!("dev {}", escape(device))),
    );
    words.extend(route.source.map(|source| format!("src {source}")));
    words.push(format!("proto {}", route.protocol));
    if route.scope != "global" {
        words.push(format!("scope {}", route.scope));
    }
    words.extend(route.metric.map(|metric| format!("metric {metric}")));
    if route.table != MAIN {
        words.push(format!("table {}", route.table));
    }
    let destination = match route.kind.as_str() {
        "unicast" => route.destination.clone(),
        kind => format!("{kind} {}", route.destination),
    };
    vec![destination, words.join(" ")]
}

fn neighbour(neighbour: &Neighbour) -> Vec<String> {
    vec![
        neighbour.address.to_string(),
        format!("dev {}", escape(&neighbour.device)),
        neighbour.mac.clone().unwrap_or_else(|| "-".to_owned()),
        neighbour.state.clone(),
    ]
}

fn listener(listener: &Listener) -> Vec<String> {
    vec![
        listener.protocol.to_owned(),
        listener.address.to_string(),
        listener
            .process
            .as_ref()
            .map_or_else(String::new, |process| {
                format!("{} {}", process.pid, escape(&process.name))
            }),
    ]
}

fn connections(inside: &Inside) -> Vec<Vec<String>> {
    let counted = inside
        .connections
        .iter()
        .filter(|(_, states)| !states.is_empty());
    counted
        .map(|(protocol, states)| {
            let states: Vec<String> = states
                .iter()
                .map(|(state, count)| format!("{count} {state}"))
                .collect();
            vec![(*protocol).to_owned(), states.join(", ")]
        })
        .collect()
}

#[cfg(test)]
mod tests;
