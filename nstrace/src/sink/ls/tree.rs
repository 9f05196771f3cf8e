//! `nstrace ls --tree`: how the host reaches each namespace.
//!
//! ```text
//! docker0  bridge  203.0.113.1/24
//! ├─ veth7866635 ── db  container  eth0 203.0.113.3/24
//! │  └─ db  docker 61b2a3a7bd4e  lab/busybox:1
//! └─ v-red ── red  named  eth0 203.0.113.77/24
//! routed by the host
//! └─ cali1b2c3 ── shop/web-1  pod  eth0 198.51.100.7/32
//!    ├─ app  containerd 0a1b2c3d4e5f  shop/web:1
//!    └─ sidecar  containerd 0b1b2c3d4e5f
//! in the host's network
//! └─ kube-system/agent  pod
//! not watched
//! └─ bare  named  none: no interface but lo
//! ```

use std::{collections::BTreeMap, io::Write};

use crate::{
    sink::SinkError,
    topology::model::{Container, Iface, Kind, Netns, Peer, Watch},
    untrusted::escape,
};

/// One thing, and what hangs on it.
struct Node {
    text: String,
    children: Vec<Node>,
}

/// Prints `netnses`, each below what its peers are in.
///
/// # Errors
///
/// If the writer fails.
pub fn write_tree(out: &mut impl Write, netnses: &[&Netns]) -> Result<(), SinkError> {
    let host = netnses.iter().find(|netns| netns.kind == Kind::Host);
    let mut bridges: BTreeMap<&str, Vec<Node>> = BTreeMap::new();
    let mut routed = Vec::new();
    let mut apart = Vec::new();
    for netns in netnses.iter().filter(|netns| netns.kind != Kind::Host) {
        let mut has_peer = false;
        for iface in &netns.interfaces {
            let (Watch::HostVeth, Some(peer)) = (&iface.watch, &iface.peer) else {
                continue;
            };
            let node = watched(netns, iface, peer, has_peer);
            has_peer = true;
            match &peer.master {
                Some(master) => bridges.entry(master).or_default().push(node),
                None => routed.push(node),
            }
        }
        if !has_peer {
            apart.push(unwatched(netns));
        }
    }
    let mut roots: Vec<Node> = bridges
        .into_iter()
        .map(|(name, children)| Node {
            text: bridge(name, host.copied()),
            children,
        })
        .collect();
    let guests = host.map_or_else(Vec::new, |host| guests(host));
    for (text, children) in [
        ("routed by the host", routed),
        ("in the host's network", guests),
        ("not watched", apart),
    ] {
        if !children.is_empty() {
            roots.push(Node {
                text: text.to_owned(),
                children,
            });
        }
    }
    let mut text = String::new();
    for root in &roots {
        text.push_str(&root.text);
        text.push('\n');
        root.draw_children("", &mut text);
    }
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

impl Node {
    fn draw_children(&self, indent: &str, text: &mut String) {
        for (at, child) in self.children.iter().enumerate() {
            let is_last = at + 1 == self.children.len();
            let (branch, below) = if is_last {
                ("└─ ", "   ")
            } else {
                ("├─ ", "│  ")
            };
            text.push_str(&[indent, branch, &child.text, "\n"].concat());
            child.draw_children(&[indent, below].concat(), text);
        }
    }
}

/// A bridge, or another master, as the host knows it.
fn bridge(name: &str, host: Option<&Netns>) -> String {
    let link = host.and_then(|host| {
        let mut ifaces = host.interfaces.iter();
        ifaces.find(|iface| iface.link.name == name)
    });
    let mut words = vec![escape(name)];
    if let Some(iface) = link {
        words.push(escape(&iface.link.kind));
        words.extend(addresses(iface));
    }
    words.join("  ")
}

fn watched(netns: &Netns, iface: &Iface, peer: &Peer, is_again: bool) -> Node {
    let mut words = vec![format!("{} ── {}", escape(&peer.name), escape(&netns.name))];
    words.push(netns.kind.to_string());
    let with_addresses: Vec<String> = std::iter::once(escape(&iface.link.name))
        .chain(addresses(iface))
        .collect();
    words.push(with_addresses.join(" "));
    Node {
        text: words.join("  "),
        // Once is enough.
        children: if is_again {
            Vec::new()
        } else {
            containers(&netns.containers)
        },
    }
}

fn unwatched(netns: &Netns) -> Node {
    let lone = netns
        .interfaces
        .iter()
        .filter(|iface| iface.link.kind != "loopback")
        .map(|iface| {
            let name = escape(&iface.link.name);
            match &iface.watch {
                Watch::No(why) => format!("{name}: {}", escape(why)),
                Watch::HostVeth => name,
            }
        });
    let mut reasons: Vec<String> = lone.collect();
    if reasons.is_empty() {
        reasons.push("no interface but lo".to_owned());
    }
    Node {
        text: format!(
            "{}  {}  {}",
            escape(&netns.name),
            netns.kind,
            reasons.join("; ")
        ),
        children: containers(&netns.containers),
    }
}

fn guests(host: &Netns) -> Vec<Node> {
    let node = |guest: &Container| {
        let (name, kind) = guest.shown_as();
        let members: Vec<Container> = host
            .containers
            .iter()
            .filter(|other| guest.pod.is_some() && other.pod == guest.pod)
            .cloned()
            .collect();
        Node {
            text: format!("{}  {kind}", escape(&name)),
            children: if members.is_empty() {
                containers(std::slice::from_ref(guest))
            } else {
                containers(&members)
            },
        }
    };
    host.guests().into_iter().map(node).collect()
}

/// What does something: a sandbox only holds the namespace.
fn containers(containers: &[Container]) -> Vec<Node> {
    let node = |container: &Container| {
        let mut text = format!(
            "{}  {} {}",
            escape(&container.name),
            container.runtime,
            escape(&container.short_id())
        );
        if !container.image.is_empty() {
            text.push_str("  ");
            text.push_str(&escape(&container.image));
        }
        Node {
            text,
            children: Vec::new(),
        }
    };
    let apart = containers.iter().filter(|container| !container.is_sandbox);
    apart.map(node).collect()
}

/// All but link-local ones, which say nothing.
fn addresses(iface: &Iface) -> impl Iterator<Item = String> {
    let addresses = iface.link.addresses.iter();
    addresses
        .filter(|address| !address.starts_with("fe80:"))
        .cloned()
}
