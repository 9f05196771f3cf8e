//! Which interfaces a capture has, and what was said of each. Pure: it is told what happened.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use super::{
    IfaceKey,
    wanted::{self, Anchor, Meant},
};
use crate::{
    packet::{CaptureIface, LinkType},
    topology::{
        model::{Netns, Topology},
        target::Selection,
    },
};

/// What is the same for every interface of a capture.
#[derive(Clone, Debug)]
pub struct Scope {
    /// What to capture.
    pub selection: Selection,
    /// Whether interfaces that come later are taken in.
    pub follows: bool,
    /// The expression, as typed.
    pub filter: Option<String>,
    /// At most so many bytes of each packet are captured.
    pub snaplen: u32,
}

/// An interface that is new to the capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewIface {
    /// Which.
    pub key: IfaceKey,
    /// When it was seen first; `None`: it was there from the start.
    pub appeared: Option<Duration>,
    /// What is said of it.
    pub iface: CaptureIface,
}

/// The interfaces of a capture.
#[derive(Debug)]
pub struct CaptureState {
    scope: Scope,
    generations: u64,
    has_started: bool,
    live: BTreeMap<IfaceKey, Live>,
}

#[derive(Debug)]
struct Live {
    anchor: Anchor,
    host_veth: String,
    host_mac: Option<String>,
}

impl CaptureState {
    /// Nothing yet.
    #[must_use]
    pub const fn new(scope: Scope) -> Self {
        Self {
            scope,
            generations: 0,
            has_started: false,
            live: BTreeMap::new(),
        }
    }

    /// Takes in what the host looks like, and gives what is new. What is new was there at `appeared`
    /// at the latest.
    pub fn follow(&mut self, topology: &Topology, appeared: Duration) -> Vec<NewIface> {
        let mut seen = wanted::meant(&self.scope.selection, topology);
        self.live.retain(|key, live| {
            let stays = seen
                .get(&key.ifindex)
                .is_some_and(|(netns, iface, _)| live.anchor.is(netns, iface));
            if stays {
                seen.remove(&key.ifindex);
            }
            stays
        });
        if self.has_started && !self.scope.follows {
            return Vec::new();
        }
        let appeared = self.has_started.then_some(appeared);
        self.has_started = true;
        let macs = wanted::host_macs(topology);
        let mut new = Vec::new();
        for (ifindex, meant) in seen {
            self.generations += 1;
            let key = IfaceKey {
                ifindex,
                generation: self.generations,
            };
            let live = Live {
                anchor: Anchor::of(meant.0, meant.1),
                host_veth: meant.2.name.clone(),
                host_mac: macs.get(&ifindex).map(|mac| (*mac).to_owned()),
            };
            self.live.insert(key, live);
            new.push(NewIface {
                key,
                appeared,
                iface: self.describe(meant),
            });
        }
        new
    }

    /// What shall be attached, each with the link-layer address of its host veth.
    pub fn wanted(&self) -> impl Iterator<Item = (IfaceKey, Option<&str>)> {
        self.live
            .iter()
            .map(|(key, live)| (*key, live.host_mac.as_deref()))
    }

    /// Name of an interface's host veth. Untrusted.
    #[must_use]
    pub fn host_veth(&self, key: IfaceKey) -> Option<&str> {
        Some(&self.live.get(&key)?.host_veth)
    }

    /// How many interfaces there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.live.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    fn describe(&self, (netns, iface, peer): Meant<'_>) -> CaptureIface {
        let mut said = vec![format!("netns {}", netns.name)];
        for container in &netns.containers {
            let (runtime, id) = (container.runtime, container.short_id());
            said.push(if container.is_sandbox {
                format!("{runtime} sandbox {id}")
            } else if container.name == netns.name {
                format!("{runtime} container {id}")
            } else {
                format!("{runtime} container {} {id}", container.name)
            });
            if !container.image.is_empty() {
                said.push(format!("image {}", container.image));
            }
        }
        if let Some(inode) = netns.identity.inode() {
            said.push(format!("inode {}", inode.0));
        }
        said.push(format!("host veth {}", peer.name));
        CaptureIface {
            name: format!("{}/{}", netns.name, iface.link.name),
            netns: netns.name.clone(),
            description: said.join(", "),
            // Every veth is an Ethernet device.
            link_type: LinkType::ETHERNET,
            mac: iface.link.mac.as_deref().and_then(parse_mac),
            addresses: iface
                .link
                .addresses
                .iter()
                .filter_map(|text| parse_address(text))
                .collect(),
            filter: self.scope.filter.clone(),
            snaplen: self.scope.snaplen,
        }
    }
}

/// The addresses of all namespaces, with the name of each: a capture of one pod talks to others.
#[must_use]
pub fn names(topology: &Topology) -> Vec<(IpAddr, String)> {
    let pods = topology.netnses.iter().skip(1);
    let addresses = pods.flat_map(|netns: &std::sync::Arc<Netns>| {
        let texts = netns
            .interfaces
            .iter()
            .flat_map(|iface| &iface.link.addresses);
        texts
            .filter_map(|text| parse_address(text))
            .map(|(address, _)| (address, netns.name.clone()))
    });
    let mut names: Vec<_> = addresses
        .filter(|(address, _)| is_worth_a_name(*address))
        .collect();
    names.sort();
    names.dedup_by_key(|(address, _)| *address);
    names
}

/// Every namespace has those.
fn is_worth_a_name(address: IpAddr) -> bool {
    let is_link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    !address.is_loopback() && !is_link_local
}

fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let mut bytes = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut bytes {
        *byte = u8::from_str_radix(parts.next()?, 16).ok()?;
    }
    parts.next().is_none().then_some(bytes)
}

fn parse_address(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = text.split_once('/')?;
    Some((address.parse().ok()?, length.parse().ok()?))
}

#[cfg(test)]
mod tests;
