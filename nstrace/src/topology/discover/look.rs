//! One look at the host.

use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
};

use super::{
    DiscoverError,
    known::{Inside, Known},
};
use crate::{
    sys::{
        caps::{self, Capability},
        netlink::{NetlinkError, RouteSocket},
        netns::Netns,
        proc::{self, Processes},
    },
    topology::model::{Facts, Identity, Link, NetnsFacts, NetnsInode, Nsid, Process},
};

/// What one look has found so far.
pub(super) struct Look {
    facts: Facts,
    by_inode: HashMap<NetnsInode, usize>,
    failed: Option<DiscoverError>,
    is_stale: bool,
}

impl Look {
    /// Puts together what is known, and looks for what is not.
    pub(super) fn at(known: &mut Known, socket: &mut RouteSocket) -> Result<Self, DiscoverError> {
        let own = Netns::open_own()?;
        known.find_holders()?;
        let mut look = Self {
            facts: Facts::default(),
            by_inode: HashMap::new(),
            failed: None,
            is_stale: false,
        };
        let links = known.links.iter().flat_map(|links| links.values());
        look.push(NetnsFacts {
            identity: own.identity(),
            nsid: None,
            paths: Vec::new(),
            processes: Vec::new(),
            links: links.cloned().collect(),
        });
        let files = known.files.take().unwrap_or_default();
        for (path, identity) in &files.holders {
            let at = look.add(known, socket, *identity, || Netns::open(path).ok());
            if let Some(at) = at {
                look.facts.netnses[at].paths.push(path.clone());
            }
        }
        look.facts.warnings.extend(files.warnings.iter().cloned());
        known.files = Some(files);
        let processes = known.processes.take().unwrap_or_default();
        look.say_refused(&processes);
        look.add_processes(known, socket, &processes);
        known.processes = Some(processes);
        look.add_known_by_nsid_only(known, socket);
        // The host gets an id in itself when it is the answer to where a device's parent is.
        look.facts.netnses[0].nsid = socket.nsid_of(own.fd())?;
        Ok(look)
    }

    /// Whether what is known does not tell enough, and more could be found out.
    pub(super) const fn is_short(&self, known: &Known) -> bool {
        self.is_stale && !known.is_fresh
    }

    /// What was found; what is kept of namespaces that are gone is given up.
    pub(super) fn into_facts(self, known: &mut Known) -> Result<Facts, DiscoverError> {
        let found: BTreeSet<Option<NetnsInode>> = self
            .facts
            .netnses
            .iter()
            .map(|netns| netns.identity.inode())
            .collect();
        known
            .inside
            .retain(|identity, _| found.contains(&identity.inode()));
        known.nameless = self
            .facts
            .netnses
            .iter()
            .filter(|netns| netns.identity.inode().is_none())
            .filter_map(|netns| netns.nsid)
            .collect();
        self.failed.map_or(Ok(self.facts), Err)
    }

    fn push(&mut self, netns: NetnsFacts) -> usize {
        let at = self.facts.netnses.len();
        if let Some(inode) = netns.identity.inode() {
            self.by_inode.insert(inode, at);
        }
        self.facts.netnses.push(netns);
        at
    }

    fn say_refused(&mut self, processes: &Processes) {
        // A security module may refuse single processes even to root: that is its business.
        if processes.refused > 0 && !caps::has(Capability::SysPtrace) {
            self.facts.warnings.push(format!(
                "processes that may not be looked at: {}; a namespace that they alone hold is \
                 missing (needs CAP_SYS_PTRACE; try sudo)",
                processes.refused
            ));
        }
        let host = self.facts.netnses[0].identity.inode();
        let first = processes
            .by_netns
            .iter()
            .find(|(_, pids)| pids.contains(&1));
        if first.is_some_and(|(inode, _)| Some(*inode) != host) {
            self.facts.warnings.push(
                "nstrace itself runs in another network namespace than process 1: \"host\" \
                 means nstrace's own"
                    .to_owned(),
            );
        }
    }

    /// Namespaces that processes live in.
    fn add_processes(
        &mut self,
        known: &mut Known,
        socket: &mut RouteSocket,
        processes: &Processes,
    ) {
        for (inode, pids) in &processes.by_netns {
            let at = self.by_inode.get(inode).copied();
            let Some(at) = at.or_else(|| self.add_process(known, socket, *inode, pids)) else {
                continue;
            };
            self.facts.netnses[at].processes = pids
                .iter()
                .map(|pid| Process {
                    pid: *pid,
                    comm: String::new(),
                })
                .collect();
        }
    }

    /// A namespace that no file holds.
    fn add_process(
        &mut self,
        known: &mut Known,
        socket: &mut RouteSocket,
        inode: NetnsInode,
        pids: &[u32],
    ) -> Option<usize> {
        // The first that is still there and has not changed its namespace.
        let open = || {
            pids.iter().find_map(|pid| {
                let netns = Netns::open(Path::new(&proc::netns_path(*pid))).ok()?;
                (netns.identity().inode() == Some(inode)).then_some(netns)
            })
        };
        let identity = match known.of_processes.get(&inode) {
            Some(identity) => *identity,
            None => open()?.identity(),
        };
        known.of_processes.insert(inode, identity);
        self.add(known, socket, identity, open)
    }

    /// Namespaces with a veth peer on the host, but neither file nor process: something holds an
    /// open descriptor. They can be watched all the same.
    fn add_known_by_nsid_only(&mut self, known: &Known, socket: &mut RouteSocket) {
        let named: BTreeSet<Nsid> = self
            .facts
            .netnses
            .iter()
            .filter_map(|netns| netns.nsid)
            .collect();
        let host_links = self
            .facts
            .netnses
            .first()
            .map_or(&[][..], |host| &host.links);
        let unknown: BTreeSet<Nsid> = host_links
            .iter()
            .filter(|link| link.kind == "veth")
            .filter_map(|link| link.link_nsid)
            .filter(|nsid| !named.contains(nsid))
            .collect();
        // One that was looked for among files and processes before is not looked for again.
        self.is_stale |= !unknown.is_subset(&known.nameless);
        for nsid in unknown {
            // Gone since the host's links were listed, or refused: nothing to show of it.
            let Ok(links) = socket.links(Some(nsid)) else {
                continue;
            };
            self.push(NetnsFacts {
                identity: Identity::Nsid(nsid),
                nsid: Some(nsid),
                paths: Vec::new(),
                processes: Vec::new(),
                links,
            });
        }
    }

    /// Adds a namespace, unless it was before, and gives where it stands. What is in it is looked
    /// for where it is not known.
    fn add(
        &mut self,
        known: &mut Known,
        socket: &mut RouteSocket,
        identity: Identity,
        open: impl FnOnce() -> Option<Netns>,
    ) -> Option<usize> {
        if let Some(at) = self.by_inode.get(&identity.inode()?) {
            return Some(*at);
        }
        let is_enough = |inside: &&Inside| inside.nsid.is_some() || !known.asks_for_ids;
        let inside = if let Some(inside) = known.inside.get(&identity).filter(is_enough) {
            inside.clone()
        } else {
            let Some(netns) = open().filter(|netns| netns.identity() == identity) else {
                // Another holds that name by now, or nobody does.
                self.is_stale = true;
                return None;
            };
            let inside = self.look_inside(known.inside.remove(&identity), socket, &netns);
            known.inside.insert(identity, inside.clone());
            inside
        };
        self.facts.warnings.extend(inside.warning);
        Some(self.push(NetnsFacts {
            identity,
            nsid: inside.nsid,
            paths: Vec::new(),
            processes: Vec::new(),
            links: inside.links,
        }))
    }

    fn look_inside(
        &mut self,
        before: Option<Inside>,
        socket: &mut RouteSocket,
        netns: &Netns,
    ) -> Inside {
        let nsid = socket.nsid_of(netns.fd()).ok().flatten();
        if let Some(before) = before.filter(|_| nsid.is_none()) {
            return before;
        }
        let (links, warning) = match links_of(socket, netns, nsid) {
            Ok(links) => (links, None),
            Err(error) if is_passing(&error) => {
                // Not that namespace's fault: to take it for one without interfaces would end
                // the watch of them.
                self.failed = Some(error);
                (Vec::new(), None)
            }
            Err(error) => (Vec::new(), Some(why_unknown(netns, &error))),
        };
        Inside {
            nsid,
            links,
            warning,
        }
    }
}

fn why_unknown(netns: &Netns, error: &DiscoverError) -> String {
    let why = crate::error_chain(error);
    let help = if caps::has(Capability::NetAdmin) {
        ""
    } else {
        " (try sudo)"
    };
    let inode = netns.identity().inode().map_or(0, |inode| inode.0);
    format!("interfaces of netns:{inode} are not known: {why}{help}")
}

/// Whether the next look may fare better: the kernel's tables changed under a dump, or descriptors
/// or memory were short. A refusal will be the same again.
fn is_passing(error: &DiscoverError) -> bool {
    matches!(
        error,
        DiscoverError::Netlink(
            NetlinkError::Interrupted { .. }
                | NetlinkError::Exchange { .. }
                | NetlinkError::Open(_)
        )
    )
}

/// The links of `netns`: by its id from outside, or from inside where the host has none for it.
fn links_of(
    socket: &mut RouteSocket,
    netns: &Netns,
    nsid: Option<Nsid>,
) -> Result<Vec<Link>, DiscoverError> {
    if nsid.is_some() {
        return Ok(socket.links(nsid)?);
    }
    let host = Netns::open_own()?;
    let (mut links, host) = netns.run_inside(|| {
        let mut socket = RouteSocket::open()?;
        let links = socket.links(None)?;
        Ok::<_, NetlinkError>((links, socket.nsid_of(host.fd())?))
    })??;
    // Ids in there are relative to that namespace, and must not be taken for the host's.
    for link in &mut links {
        link.link_nsid = link.link_nsid.map(|nsid| {
            if Some(nsid) == host {
                Nsid::HOST
            } else {
                Nsid::ELSEWHERE
            }
        });
    }
    Ok(links)
}
