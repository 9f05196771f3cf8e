//! Namespaces as rows of tables and CSV.

use crate::{
    sink::table::Align,
    topology::model::{Container, Identity, Iface, Kind, Netns, NetnsInode, Nsid, Watch},
    untrusted::escape,
};

pub(super) const TABLE: [(&str, Align); 7] = [
    ("NAME", Align::Left),
    ("KIND", Align::Left),
    ("INTERFACE", Align::Left),
    ("ADDRESS", Align::Left),
    ("PEER", Align::Left),
    ("MASTER", Align::Left),
    ("WATCH", Align::Left),
];

pub(super) const WIDE: [(&str, Align); 19] = [
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
    ("RUNTIME", Align::Left),
    ("CONTAINERS", Align::Left),
    ("LABELS", Align::Left),
];

pub(super) fn rows(netnses: &[&Netns], wide: bool) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for netns in netnses {
        let shown: Vec<&Iface> = netns
            .interfaces
            .iter()
            .filter(|iface| wide || is_worth_a_row(netns, iface))
            .collect();
        if shown.is_empty() && !netns.is_only_guests() {
            rows.push(row(netns, None, wide));
        }
        rows.extend(shown.into_iter().map(|iface| row(netns, Some(iface), wide)));
        rows.extend(
            netns
                .guests()
                .into_iter()
                .map(|guest| of_guest(netns, guest, wide)),
        );
    }
    rows
}

/// A pod or container that has no namespace of its own.
fn of_guest(host: &Netns, guest: &Container, wide: bool) -> Vec<String> {
    let none = || "-".to_owned();
    let (name, kind) = guest.shown_as();
    let pod = &guest.pod;
    let alike = |other: &&Container| match pod {
        Some(_) => other.pod == *pod,
        None => other.id == guest.id,
    };
    let containers: Vec<&Container> = host.containers.iter().filter(alike).collect();
    let mut row = vec![none(); if wide { WIDE.len() } else { TABLE.len() }];
    row[0] = escape(&name);
    row[1] = kind.to_string();
    let watch = "none: in the host's network".to_owned();
    if !wide {
        row[TABLE.len() - 1] = watch;
        return row;
    }
    if let Some(NetnsInode(inode)) = host.identity.inode() {
        row[2] = inode.to_string();
    }
    if let Some(init) = containers.iter().find_map(|container| container.init) {
        row[4] = init.pid.to_string();
    }
    row[14] = watch;
    row.splice(15.., of_containers(&containers));
    row
}

/// Images, runtime, names and labels of containers.
fn of_containers(containers: &[&Container]) -> [String; 4] {
    let list = |words: Vec<String>| match words.len() {
        0 => "-".to_owned(),
        _ => words.join(" "),
    };
    let apart = containers.iter().filter(|container| !container.is_sandbox);
    let mut images: Vec<String> = Vec::new();
    for container in apart
        .clone()
        .filter(|container| !container.image.is_empty())
    {
        let image = escape(&container.image);
        if !images.contains(&image) {
            images.push(image);
        }
    }
    // Those of a pod are its sandbox's, which stands first.
    let labelled = containers
        .iter()
        .find(|container| !container.labels.is_empty());
    let labels = labelled.map(|container| {
        let labels = container.labels.iter();
        let labels: Vec<String> = labels
            .map(|(key, value)| format!("{}={}", escape(key), escape(value)))
            .collect();
        labels.join(",")
    });
    [
        list(images),
        list(
            containers
                .first()
                .map(|one| one.runtime.to_string())
                .into_iter()
                .collect(),
        ),
        list(apart.map(|container| escape(&container.name)).collect()),
        labels.unwrap_or_else(|| "-".to_owned()),
    ]
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
    let owned: Vec<&Container> = match netns.kind {
        // They have rows of their own.
        Kind::Host => Vec::new(),
        _ => netns.containers.iter().collect(),
    };
    let mut row = vec![
        name,
        netns.kind.to_string(),
        match netns.identity {
            Identity::Inode(NetnsInode(inode), _) => inode.to_string(),
            Identity::Nsid(_) => none(),
        },
        netns.nsid.map_or_else(none, |Nsid(nsid)| nsid.to_string()),
        netns.first_pid().map_or_else(none, |pid| pid.to_string()),
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
    ];
    row.extend(of_containers(&owned));
    row
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
