//! `nstrace ls`: the namespaces, in each format.

use std::io::Write;

use serde::Serialize;

use super::{
    SinkError,
    table::{self, Align},
};
use crate::{
    topology::model::{Container, Identity, Iface, Kind, Netns, NetnsInode, Nsid, Peer, Watch},
    untrusted::escape,
};

/// How `ls` prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// The columns that are read most.
    #[default]
    Table,
    /// All columns and all interfaces.
    Wide,
    /// One document of schema `nstrace.ls/v1`.
    Json,
    /// The same document as YAML.
    Yaml,
    /// The wide columns, comma-separated.
    Csv,
    /// Names alone, one a line.
    Name,
}

/// The document: `nstrace.ls/v1`.
#[derive(Debug, Serialize)]
struct Document<'a> {
    schema: &'static str,
    namespaces: Vec<NetnsRecord<'a>>,
    warnings: &'a [String],
}

#[derive(Debug, Serialize)]
struct NetnsRecord<'a> {
    name: &'a str,
    kind: String,
    inode: Option<u32>,
    nsid: Option<i32>,
    paths: Vec<String>,
    pids: &'a [u32],
    container: Option<ContainerRecord<'a>>,
    interfaces: Vec<IfaceRecord<'a>>,
}

#[derive(Debug, Serialize)]
struct ContainerRecord<'a> {
    runtime: &'a str,
    id: &'a str,
    name: &'a str,
    image: &'a str,
}

#[derive(Debug, Serialize)]
struct IfaceRecord<'a> {
    name: &'a str,
    ifindex: u32,
    kind: &'a str,
    mac: Option<&'a str>,
    mtu: u32,
    state: &'a str,
    addresses: &'a [String],
    peer: Option<PeerRecord<'a>>,
    watch: &'static str,
    why: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct PeerRecord<'a> {
    name: &'a str,
    ifindex: u32,
    master: Option<&'a str>,
}

impl<'a> From<&'a Netns> for NetnsRecord<'a> {
    fn from(netns: &'a Netns) -> Self {
        Self {
            name: &netns.name,
            kind: netns.kind.to_string(),
            inode: netns.identity.inode().map(|NetnsInode(inode)| inode),
            nsid: netns.nsid.map(|Nsid(nsid)| nsid),
            paths: netns
                .paths
                .iter()
                .map(|path| path.display().to_string())
                .collect(),
            pids: &netns.pids,
            container: netns.container.as_ref().map(ContainerRecord::from),
            interfaces: netns.interfaces.iter().map(IfaceRecord::from).collect(),
        }
    }
}

impl<'a> From<&'a Container> for ContainerRecord<'a> {
    fn from(container: &'a Container) -> Self {
        let Container {
            runtime,
            id,
            name,
            image,
            pid: _,
            inode: _,
        } = container;
        Self {
            runtime,
            id,
            name,
            image,
        }
    }
}

impl<'a> From<&'a Iface> for IfaceRecord<'a> {
    fn from(iface: &'a Iface) -> Self {
        let link = &iface.link;
        let (watch, why) = match &iface.watch {
            Watch::HostVeth => ("host-veth", None),
            Watch::No(why) => ("none", Some(why.as_str())),
        };
        Self {
            name: &link.name,
            ifindex: link.ifindex.0,
            kind: &link.kind,
            mac: link.mac.as_deref(),
            mtu: link.mtu,
            state: &link.state,
            addresses: &link.addresses,
            peer: iface.peer.as_ref().map(PeerRecord::from),
            watch,
            why,
        }
    }
}

impl<'a> From<&'a Peer> for PeerRecord<'a> {
    fn from(peer: &'a Peer) -> Self {
        Self {
            name: &peer.name,
            ifindex: peer.ifindex.0,
            master: peer.master.as_deref(),
        }
    }
}

const SCHEMA: &str = "nstrace.ls/v1";

/// A copy in which every string that others chose is escaped.
fn escaped(netns: &Netns) -> Netns {
    let mut netns = netns.clone();
    netns.name = escape(&netns.name);
    for path in &mut netns.paths {
        *path = escape(&path.to_string_lossy()).into();
    }
    if let Some(container) = &mut netns.container {
        container.name = escape(&container.name);
        container.image = escape(&container.image);
        container.id = escape(&container.id);
    }
    for iface in &mut netns.interfaces {
        iface.link.name = escape(&iface.link.name);
        iface.link.kind = escape(&iface.link.kind);
        if let Some(peer) = &mut iface.peer {
            peer.name = escape(&peer.name);
            peer.master = peer.master.as_deref().map(escape);
        }
        if let Watch::No(why) = &mut iface.watch {
            *why = escape(why);
        }
    }
    netns
}

/// Prints `netnses` and, where the format has room for them, `warnings`.
///
/// # Errors
///
/// If the writer fails.
pub fn write(
    out: &mut impl Write,
    format: Format,
    headers: bool,
    netnses: &[&Netns],
    warnings: &[String],
) -> Result<(), SinkError> {
    let document = || Document {
        schema: SCHEMA,
        namespaces: netnses
            .iter()
            .map(|netns| NetnsRecord::from(*netns))
            .collect(),
        warnings,
    };
    match format {
        Format::Table => table::write(out, &TABLE, &rows(netnses, false), headers)?,
        Format::Wide => table::write(out, &WIDE, &rows(netnses, true), headers)?,
        Format::Json => super::json(out, &document())?,
        Format::Yaml => {
            // Its writer leaves what reorders or hides as it is: names are shown escaped.
            let netnses: Vec<Netns> = netnses.iter().map(|netns| escaped(netns)).collect();
            let warnings: Vec<String> = warnings.iter().map(|warning| escape(warning)).collect();
            let document = Document {
                schema: SCHEMA,
                namespaces: netnses.iter().map(NetnsRecord::from).collect(),
                warnings: &warnings,
            };
            let text = serde_saphyr::to_string(&document).map_err(|source| SinkError::Format {
                format: "YAML",
                source: source.into(),
            })?;
            out.write_all(text.as_bytes())?;
            out.flush()?;
        }
        Format::Csv => write_csv(out, headers, &rows(netnses, true))?,
        Format::Name => {
            for netns in netnses {
                writeln!(out, "{}", escape(&netns.name))?;
            }
            out.flush()?;
        }
    }
    Ok(())
}

const TABLE: [(&str, Align); 7] = [
    ("NAME", Align::Left),
    ("KIND", Align::Left),
    ("INTERFACE", Align::Left),
    ("ADDRESS", Align::Left),
    ("PEER", Align::Left),
    ("MASTER", Align::Left),
    ("WATCH", Align::Left),
];

const WIDE: [(&str, Align); 16] = [
    ("NAME", Align::Left),
    ("KIND", Align::Left),
    ("INODE", Align::Right),
    ("NSID", Align::Right),
    ("PID", Align::Right),
    ("INTERFACE", Align::Left),
    ("IFINDEX", Align::Right),
    ("TYPE", Align::Left),
    ("STATE", Align::Left),
    ("MTU", Align::Right),
    ("MAC", Align::Left),
    ("ADDRESS", Align::Left),
    ("PEER", Align::Left),
    ("MASTER", Align::Left),
    ("WATCH", Align::Left),
    ("IMAGE", Align::Left),
];

fn rows(netnses: &[&Netns], wide: bool) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for netns in netnses {
        let shown: Vec<&Iface> = netns
            .interfaces
            .iter()
            .filter(|iface| wide || is_worth_a_row(netns, iface))
            .collect();
        if shown.is_empty() {
            rows.push(row(netns, None, wide));
        }
        rows.extend(shown.into_iter().map(|iface| row(netns, Some(iface), wide)));
    }
    rows
}

/// In the narrow table loopbacks are left out, and so are the host's ends of veth pairs, which
/// stand in the rows of the namespaces at the other end.
fn is_worth_a_row(netns: &Netns, iface: &Iface) -> bool {
    iface.link.kind != "loopback" && !(netns.kind == Kind::Host && iface.peer.is_some())
}

fn row(netns: &Netns, iface: Option<&Iface>, wide: bool) -> Vec<String> {
    let none = || "-".to_owned();
    let link = iface.map(|iface| &iface.link);
    let peer = iface.and_then(|iface| iface.peer.as_ref());
    let name = escape(&netns.name);
    let interface = link.map_or_else(none, |link| escape(&link.name));
    let addresses = link.filter(|link| !link.addresses.is_empty());
    let address = addresses.map_or_else(none, |link| {
        if wide {
            link.addresses.join(" ")
        } else {
            one_address(&link.addresses)
        }
    });
    let peer_name = peer.map_or_else(none, |peer| escape(&peer.name));
    let master = peer
        .and_then(|peer| peer.master.as_deref())
        .map_or_else(none, escape);
    let watch = match iface.map(|iface| &iface.watch) {
        Some(Watch::HostVeth) => "host-veth".to_owned(),
        Some(Watch::No(why)) => format!("none: {}", escape(why)),
        // Every namespace has a loopback: it could not be looked into, which a warning explains.
        None if netns.interfaces.is_empty() => "unknown".to_owned(),
        None => "none: no interface but lo".to_owned(),
    };
    if !wide {
        return vec![
            name,
            netns.kind.to_string(),
            interface,
            address,
            peer_name,
            master,
            watch,
        ];
    }
    let image = netns
        .container
        .as_ref()
        .map_or_else(none, |container| escape(&container.image));
    vec![
        name,
        netns.kind.to_string(),
        match netns.identity {
            Identity::Inode(NetnsInode(inode), _) => inode.to_string(),
            Identity::Nsid(_) => none(),
        },
        netns.nsid.map_or_else(none, |Nsid(nsid)| nsid.to_string()),
        netns.pids.first().map_or_else(none, ToString::to_string),
        interface,
        link.map_or_else(none, |link| link.ifindex.0.to_string()),
        link.map_or_else(none, |link| escape(&link.kind)),
        link.map_or_else(none, |link| link.state.clone()),
        link.map_or_else(none, |link| link.mtu.to_string()),
        link.and_then(|link| link.mac.clone()).unwrap_or_else(none),
        address,
        peer_name,
        master,
        watch,
        image,
    ]
}

/// The first address, with how many more there are: link-local ones do not count.
fn one_address(addresses: &[String]) -> String {
    let is_global = |address: &&String| !address.starts_with("fe80:");
    let global: Vec<&String> = addresses.iter().filter(is_global).collect();
    match (global[..].first(), global.len()) {
        (Some(first), 1) => (*first).clone(),
        (Some(first), count) => format!("{first} +{}", count - 1),
        (None, _) => addresses.first().cloned().unwrap_or_default(),
    }
}

fn write_csv(out: &mut impl Write, headers: bool, rows: &[Vec<String>]) -> Result<(), SinkError> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    let heading = WIDE.map(|(name, _)| name.to_lowercase());
    let records = headers
        .then(|| heading.to_vec())
        .into_iter()
        .chain(rows.iter().cloned());
    for record in records {
        csv.write_record(record)
            .map_err(|source| SinkError::Format {
                format: "CSV",
                source: source.into(),
            })?;
    }
    let text = csv.into_inner().map_err(|source| SinkError::Format {
        format: "CSV",
        source: source.into(),
    })?;
    out.write_all(&text)?;
    out.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests;
