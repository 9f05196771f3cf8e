//! Which interfaces of a host are meant.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use crate::topology::{
    model::{Identity, Iface, Ifindex, Netns, Nsid, Peer, Topology},
    target::Selection,
};

/// What makes an interface that interface, beside the host veth's ifindex.
#[derive(Clone, Copy, Debug)]
pub(super) struct Anchor {
    netns: Identity,
    nsid: Option<Nsid>,
    ifindex: Ifindex,
}

impl Anchor {
    pub(super) fn of(netns: &Netns, iface: &Iface) -> Self {
        Self {
            netns: netns.identity,
            nsid: netns.nsid,
            ifindex: iface.link.ifindex,
        }
    }

    /// Whether that is the one that this was made of.
    pub(super) fn is(&self, netns: &Netns, iface: &Iface) -> bool {
        self.ifindex == iface.link.ifindex
            && (self.netns == netns.identity || self.is_fading(netns))
    }

    /// Whether that may be the same namespace, of which nothing can be opened any more: for a moment
    /// before its veth goes, only the host's rtnetlink knows it. Its names are then gone already.
    pub(super) fn is_fading(&self, netns: &Netns) -> bool {
        matches!(netns.identity, Identity::Nsid(nsid) if self.nsid == Some(nsid))
            && self.netns != netns.identity
    }
}

/// An interface that is meant, with its namespace and its peer on the host.
pub(super) type Meant<'a> = (&'a Arc<Netns>, &'a Iface, &'a Peer);

/// The interfaces that `selection` means, by their host veth's ifindex.
pub(super) fn meant<'a>(
    selection: &Selection,
    topology: &'a Topology,
) -> BTreeMap<Ifindex, Meant<'a>> {
    let is_everything = selection.is_everything();
    let netnses: HashSet<*const Netns> = if is_everything {
        HashSet::new()
    } else {
        let meant = selection.all(topology);
        meant.into_iter().map(Arc::as_ptr).collect()
    };
    topology
        .watchable()
        .filter(|(netns, ..)| is_everything || netnses.contains(&Arc::as_ptr(netns)))
        .map(|meant| (meant.2.ifindex, meant))
        .collect()
}

/// Link-layer addresses of the host's devices.
pub(super) fn host_macs(topology: &Topology) -> HashMap<Ifindex, &str> {
    let host = topology.netnses.first();
    let ends = host.map_or(&[][..], |host| &host.interfaces);
    ends.iter()
        .filter_map(|end| Some((end.link.ifindex, end.link.mac.as_deref()?)))
        .collect()
}
