//! The other end of links, and whether an interface can be watched by it.

use std::collections::HashMap;

use super::{Facts, Iface, Ifindex, Link, Nsid, Peer, Watch, container::Placed, name_of};

/// Finds the other end of links.
pub(super) struct Linker<'a> {
    facts: &'a Facts,
    pub(super) placed: Placed<'a>,
    by_nsid: HashMap<Nsid, usize>,
    by_ifindex: HashMap<(usize, Ifindex), &'a Link>,
}

impl<'a> Linker<'a> {
    pub(super) fn new(facts: &'a Facts) -> Self {
        let by_nsid = facts
            .netnses
            .iter()
            .enumerate()
            .skip(1)
            .filter_map(|(at, netns)| Some((netns.nsid?, at)))
            .collect();
        let netnses = facts.netnses.iter().enumerate();
        let by_ifindex = netnses
            .flat_map(|(at, netns)| {
                let links = netns.links.iter();
                links.map(move |link| ((at, link.ifindex), link))
            })
            .collect();
        Self {
            facts,
            placed: Placed::new(facts),
            by_nsid,
            by_ifindex,
        }
    }

    fn link(&self, netns: usize, ifindex: Ifindex) -> Option<&'a Link> {
        self.by_ifindex.get(&(netns, ifindex)).copied()
    }

    pub(super) fn iface(&self, netns: usize, link: &Link) -> Iface {
        let (peer, watch) = if netns == 0 {
            self.host_end(link)
        } else if let Some(peer) = self.host_peer(netns, link) {
            (Some(self.describe(0, peer)), Watch::HostVeth)
        } else {
            (None, Watch::No(self.why_not(netns, link)))
        };
        Iface {
            link: link.clone(),
            peer,
            watch,
        }
    }

    fn describe(&self, netns: usize, link: &Link) -> Peer {
        let master = link.master.and_then(|master| self.link(netns, master));
        Peer {
            name: link.name.clone(),
            ifindex: link.ifindex,
            master: master.map(|master| master.name.clone()),
        }
    }

    /// The host's veth that names `link` of `netns` as its peer, and is named by it.
    ///
    /// Both ways, because eth0 commonly has the same ifindex in every pod, and because the two
    /// dumps are not of one instant.
    fn host_peer(&self, netns: usize, link: &Link) -> Option<&'a Link> {
        if link.kind != "veth" || link.link_nsid.is_none() {
            return None;
        }
        let nsid = self.facts.netnses.get(netns)?.nsid?;
        let host = self.link(0, link.link?)?;
        (host.kind == "veth" && host.link_nsid == Some(nsid) && host.link == Some(link.ifindex))
            .then_some(host)
    }

    /// A host link: the other end where it is a veth of a namespace; never watched itself.
    fn host_end(&self, link: &Link) -> (Option<Peer>, Watch) {
        let other = (link.kind == "veth").then_some(link).and_then(|link| {
            let netns = *self.by_nsid.get(&link.link_nsid?)?;
            let other = self.link(netns, link.link?)?;
            self.host_peer(netns, other)?;
            Some(self.describe(netns, other))
        });
        let why = match other {
            Some(_) => "the host's end of a veth pair",
            None => "the host's own",
        };
        (other, Watch::No(why.to_owned()))
    }

    fn why_not(&self, netns: usize, link: &Link) -> String {
        match (link.kind.as_str(), link.link_nsid) {
            ("loopback", _) => "loopback".to_owned(),
            ("veth", None) => "both ends are in this namespace".to_owned(),
            ("veth", Some(nsid)) => self.why_not_veth(netns, link, nsid),
            ("netkit", _) => "netkit: its packets can pass by the host's tc hooks".to_owned(),
            (kind @ ("macvlan" | "macvtap" | "ipvlan" | "ipvtap"), _) => {
                let parent = link.link.and_then(|parent| self.link(0, parent));
                match parent {
                    Some(parent) if self.is_on_host(link) => {
                        format!("{kind} on the host's {}: it has no host end", parent.name)
                    }
                    _ => format!("{kind}: it has no host end"),
                }
            }
            ("tun", _) => {
                "tun: a process (slirp4netns, pasta, a VPN) carries its packets, and it has no host \
                 end"
                    .to_owned()
            }
            ("device", _) => "a device moved into the namespace: it has no host end".to_owned(),
            (kind, _) => format!("{kind}: it has no host end"),
        }
    }

    /// Whether the device that `link` names is on the host.
    fn is_on_host(&self, link: &Link) -> bool {
        let host = self.facts.netnses.first().and_then(|host| host.nsid);
        link.link_nsid
            .is_some_and(|nsid| nsid == Nsid::HOST || Some(nsid) == host)
    }

    fn why_not_veth(&self, netns: usize, link: &Link, nsid: Nsid) -> String {
        // The nsid is relative to the host only in answers that the host gave.
        let third = self.by_nsid.get(&nsid).copied().filter(|third| {
            let back = link.link.and_then(|peer| self.link(*third, peer));
            *third != netns && back.is_some_and(|back| back.link == Some(link.ifindex))
        });
        match third.and_then(|third| Some((third, self.facts.netnses.get(third)?))) {
            Some((at, third)) => {
                let (name, _) = name_of(third, at, self.placed.of(at));
                format!("its peer is in {name}, not on the host")
            }
            None => "its peer is not on the host".to_owned(),
        }
    }
}
