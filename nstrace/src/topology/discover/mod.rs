//! Looks at the host: every namespace that can be found, with its links.
//!
//! A namespace that the host's rtnetlink knows by an id (it has an end of a veth pair on the host,
//! or was asked for before) is asked from outside. The others are entered, on a thread made for
//! it. In both cases its descriptor is closed before the next namespace is looked at.
//!
//! With a thousand namespaces a look at the whole takes tens of milliseconds. So what was found is
//! kept, and a look goes only to where [`Changes`] point: to links of the host, to namespaces, to
//! the files that hold them. What is kept of a namespace is used only for that very one, by its
//! [`Identity`], which is asked for again whenever files or processes are.
//! Events that were lost make a look at the whole, and one is made every now and then in any case.
//!
//! What runtimes say of containers comes from [`Names`], which looks by itself; whatever it has found
//! by now is put beside what this look finds. Where a container is known by its first process alone,
//! this look asks which namespace that is in.

mod held;
mod known;
mod look;

use std::{collections::HashMap, path::Path};

use super::model::{Container, Facts, Identity, NETNS_DIRS, Netns, Topology};
use crate::sys::{
    netlink::{NetlinkError, RouteSocket},
    netns::{self as nsfs, NetnsError},
    proc,
    runtime::Names,
    watch::Changes,
};
use known::Known;
use look::Look;

/// Directories whose files are network namespaces by convention.
pub const DIRS: [&str; 3] = [NETNS_DIRS[0], NETNS_DIRS[1], "/run/docker/netns"];

/// The host could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum DiscoverError {
    /// rtnetlink did not answer.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// A namespace could not be identified or entered.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// `/proc` could not be read.
    #[error("look for processes in /proc")]
    Proc(#[source] std::io::Error),
    /// The thread that looks could not be made.
    #[error("start a thread")]
    Thread(#[source] std::io::Error),
}

/// Opens a namespace that was found, if it is there still: by a file that holds it, or by a process in
/// it.
#[must_use]
pub fn open(netns: &Netns) -> Option<nsfs::Netns> {
    let is_same = |open: &nsfs::Netns| open.identity() == netns.identity;
    let by_path = |path: &Path| nsfs::Netns::open(path).ok().filter(is_same);
    let inits = netns.containers.iter().filter_map(|one| one.init);
    let pids = netns.pids.iter().copied().chain(inits.map(|init| init.pid));
    let own = || nsfs::Netns::open_own().ok().filter(is_same);
    netns
        .paths
        .iter()
        .find_map(|path| by_path(path))
        .or_else(|| pids.map(proc::netns_path).find_map(|path| by_path(&path)))
        .or_else(own)
}

/// Looks at the host, again and again.
#[derive(Debug)]
pub struct Discoverer {
    socket: RouteSocket,
    names: Names,
    known: Known,
    /// Containers that namespaces had when they were looked at last.
    named: HashMap<Identity, Vec<Container>>,
}

impl Discoverer {
    /// Opens what every look needs.
    ///
    /// # Errors
    ///
    /// If no netlink socket can be made.
    pub fn open(names: Names) -> Result<Self, DiscoverError> {
        Ok(Self {
            socket: RouteSocket::open()?,
            names,
            known: Known::default(),
            named: HashMap::new(),
        })
    }

    /// Looks at the whole host and builds the graph.
    ///
    /// # Errors
    ///
    /// If the host itself cannot be looked at. A namespace that cannot is a warning.
    pub fn topology(&mut self) -> Result<Topology, DiscoverError> {
        self.names.wait();
        self.look_again(&Changes::everywhere())
    }

    /// Looks where something may have changed, and builds the graph.
    ///
    /// # Errors
    ///
    /// As [`Self::topology`]; the next look is at the whole then.
    pub fn look_again(&mut self, changes: &Changes) -> Result<Topology, DiscoverError> {
        let facts = self.facts(changes);
        if facts.is_err() {
            self.known = Known::default();
        }
        let mut facts = facts?;
        facts.before = std::mem::take(&mut self.named);
        let topology = Topology::new(&facts);
        let named = topology
            .netnses
            .iter()
            .filter(|netns| netns.container().is_some());
        self.named = named
            .map(|netns| (netns.identity, netns.containers.clone()))
            .collect();
        Ok(topology)
    }

    fn facts(&mut self, changes: &Changes) -> Result<Facts, DiscoverError> {
        let Self {
            socket,
            names,
            known,
            named: _,
        } = self;
        if changes.everywhere {
            *known = Known::default();
            names.check();
        }
        known.follow(changes, socket)?;
        let mut found = Look::at(known, socket)?;
        if found.is_short(known) {
            // One that had no id may have been given it: by its first veth to the host.
            known.asks_for_ids = true;
            found = Look::at(known, socket)?;
        }
        if found.is_short(known) {
            // Or it is a new one, or a file holds another than before.
            known.forget_holders();
            found = Look::at(known, socket)?;
        }
        let mut facts = found.into_facts(known)?;
        let (containers, warnings) = names.current();
        facts.containers = containers;
        facts.warnings.extend(warnings);
        held::find_processes(&mut facts);
        held::name_by_processes(&mut facts, known);
        Ok(facts)
    }
}
