//! Namespaces as JSON and YAML show them: `nstrace.ls/v1`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    topology::model::{Container, Iface, Netns, NetnsInode, Nsid, Peer, Pod, Watch},
    untrusted::escape,
};

#[derive(Debug, Serialize)]
pub(in crate::sink) struct NetnsRecord<'a> {
    name: &'a str,
    kind: String,
    inode: Option<u32>,
    nsid: Option<i32>,
    paths: Vec<String>,
    pids: &'a [u32],
    container: Option<OwnerRecord<'a>>,
    pod: Option<PodRecord<'a>>,
    containers: Vec<ContainerRecord<'a>>,
    interfaces: Vec<IfaceRecord<'a>>,
}

/// The container that a namespace is called after.
#[derive(Debug, Serialize)]
struct OwnerRecord<'a> {
    runtime: &'static str,
    id: &'a str,
    name: &'a str,
    image: &'a str,
}

#[derive(Debug, Serialize)]
struct ContainerRecord<'a> {
    runtime: &'static str,
    id: &'a str,
    name: &'a str,
    image: &'a str,
    pod: Option<PodRecord<'a>>,
    sandbox: bool,
    pid: Option<u32>,
    user: Option<u32>,
    labels: &'a BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
struct PodRecord<'a> {
    namespace: Option<&'a str>,
    name: &'a str,
    uid: Option<&'a str>,
    owner: Option<&'a str>,
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
            container: netns.container().map(OwnerRecord::from),
            pod: netns.pod().map(PodRecord::from),
            containers: netns.containers.iter().map(ContainerRecord::from).collect(),
            interfaces: netns.interfaces.iter().map(IfaceRecord::from).collect(),
        }
    }
}

impl<'a> From<&'a Container> for OwnerRecord<'a> {
    fn from(container: &'a Container) -> Self {
        Self {
            runtime: container.runtime.as_str(),
            id: &container.id,
            name: &container.name,
            image: &container.image,
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
            pod,
            is_sandbox,
            labels,
            init,
            network: _,
            inode: _,
            user,
        } = container;
        Self {
            runtime: runtime.as_str(),
            id,
            name,
            image,
            pod: pod.as_ref().map(PodRecord::from),
            sandbox: *is_sandbox,
            pid: init.map(|init| init.pid),
            user: *user,
            labels,
        }
    }
}

impl<'a> From<&'a Pod> for PodRecord<'a> {
    fn from(pod: &'a Pod) -> Self {
        Self {
            namespace: pod.namespace.as_deref(),
            name: &pod.name,
            uid: pod.uid.as_deref(),
            owner: pod.owner.as_deref(),
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

/// A copy in which every string that others chose is escaped.
pub(super) fn escaped(netns: &Netns) -> Netns {
    let mut netns = netns.clone();
    netns.name = escape(&netns.name);
    for path in &mut netns.paths {
        *path = escape(&path.to_string_lossy()).into();
    }
    for container in &mut netns.containers {
        container.name = escape(&container.name);
        container.image = escape(&container.image);
        container.id = escape(&container.id);
        container.labels = std::mem::take(&mut container.labels)
            .iter()
            .map(|(key, value)| (escape(key), escape(value)))
            .collect();
        if let Some(pod) = &mut container.pod {
            pod.name = escape(&pod.name);
            pod.namespace = pod.namespace.as_deref().map(escape);
            pod.uid = pod.uid.as_deref().map(escape);
            pod.owner = pod.owner.as_deref().map(escape);
        }
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
