//! The graph of namespaces, interfaces and peers: plain data, and how it follows from facts.
//!
//! [`Facts`] are what the kernel and the runtimes' files said, as they said it. [`Topology::new`]
//! turns them into the graph: which interface is the other end of which, what a namespace is
//! called, and what can be watched from the host or why not. No I/O, no clock.

mod container;
mod diff;
mod linker;

use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use container::Placed;
pub use container::{Container, Init, Network, Pod, Runtime, without_var};
pub use diff::{Change, changes, with_the_fading};
use linker::Linker;

/// Inode number of a namespace's nsfs file. Reused by the kernel at once: never an identity alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NetnsInode(pub u32);

/// Id of a namespace as rtnetlink knows it, relative to the host's namespace. Reused too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Nsid(pub i32);

impl Nsid {
    /// Where a device's other end is, seen from a namespace that had to be entered: on the host.
    pub const HOST: Self = Self(-2);
    /// The same: in some other namespace.
    pub const ELSEWHERE: Self = Self(-1);
}

/// Index of a network device, unique only within its namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ifindex(pub u32);

/// What tells one namespace from the next that gets its inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Identity {
    /// Its inode, and the id that `NS_GET_ID` gives (Linux 6.18), which is never reused.
    Inode(NetnsInode, Option<u64>),
    /// Nothing of it can be opened; only the host's rtnetlink knows it.
    Nsid(Nsid),
}

impl Identity {
    /// The inode, where one is known.
    #[must_use]
    pub const fn inode(self) -> Option<NetnsInode> {
        match self {
            Self::Inode(inode, _) => Some(inode),
            Self::Nsid(_) => None,
        }
    }
}

/// A process (or thread) found in a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Process id, or thread id where only that thread is in the namespace.
    pub pid: u32,
    /// Its command name (`/proc/PID/comm`), untrusted.
    pub comm: String,
}

/// A network device as a link dump tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its index in its own namespace.
    pub ifindex: Ifindex,
    /// Its name, untrusted: the kernel accepts control characters.
    pub name: String,
    /// `IFLA_INFO_KIND` (`veth`, `bridge`, ..), `loopback`, or `device` where the kernel has none.
    pub kind: String,
    /// Link-layer address, in the usual hexadecimal form.
    pub mac: Option<String>,
    /// Maximum transmission unit, in bytes.
    pub mtu: u32,
    /// `operstate` in lower case.
    pub state: String,
    /// `IFLA_LINK`: ifindex of the peer, the parent or the lower device.
    pub link: Option<Ifindex>,
    /// `IFLA_LINK_NETNSID`: where that device is, if in another namespace.
    pub link_nsid: Option<Nsid>,
    /// `IFLA_MASTER`: the bridge, bond or other master it belongs to.
    pub master: Option<Ifindex>,
    /// Addresses with their prefix length, as `192.0.2.2/24`.
    pub addresses: Vec<String>,
}

/// What was found out about one namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetnsFacts {
    /// Who it is.
    pub identity: Identity,
    /// Its id in the host's namespace, where it has one.
    pub nsid: Option<Nsid>,
    /// nsfs files that hold it.
    pub paths: Vec<PathBuf>,
    /// Who lives in it, lowest id first.
    pub processes: Vec<Process>,
    /// Its devices; empty where they could not be asked for.
    pub links: Vec<Link>,
}

/// Everything that one look at the host gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The host's namespace first, then the others.
    pub netnses: Vec<NetnsFacts>,
    /// Running containers.
    pub containers: Vec<Container>,
    /// Those that namespaces had before. A runtime takes its files away before a namespace is gone:
    /// one that had a name keeps it to its end.
    pub before: HashMap<Identity, Vec<Container>>,
    /// What could not be looked at, or is odd.
    pub warnings: Vec<String>,
}

impl Facts {
    /// Where those stand that will be called by their first process.
    #[must_use]
    pub fn named_after_processes(&self) -> Vec<usize> {
        let placed = Placed::new(self);
        let netnses = self.netnses.iter().enumerate();
        netnses
            .filter(|(at, netns)| name_of(netns, *at, placed.of(*at)).1 == Kind::Process)
            .map(|(at, _)| at)
            .collect()
    }
}

/// What kind of holder a namespace is named after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The namespace that nstrace runs in, to which the peers belong.
    Host,
    /// A pod: of Kubernetes, whatever its runtime, or of Podman.
    Pod,
    /// A runtime's container.
    Container,
    /// Made by `ip netns`, or bound to a file below `/run/netns`.
    Named,
    /// Held by processes alone.
    Process,
    /// Held by something else: another nsfs file, an open descriptor.
    Unnamed,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Host => "host",
            Self::Pod => "pod",
            Self::Container => "container",
            Self::Named => "named",
            Self::Process => "process",
            Self::Unnamed => "unnamed",
        })
    }
}

/// The other end of a veth pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its name, untrusted.
    pub name: String,
    /// Its index, in its own namespace.
    pub ifindex: Ifindex,
    /// Name of its bridge, bond or other master.
    pub master: Option<String>,
}

/// Whether an interface's traffic can be counted from the host's side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Watch {
    /// Yes, at the host's end of its veth pair, which is the interface's peer.
    HostVeth,
    /// No, because of this.
    No(String),
}

/// An interface of a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Iface {
    /// What the kernel says of it.
    pub link: Link,
    /// The other end, where it is known: on the host for a namespace's interface.
    pub peer: Option<Peer>,
    /// Whether it can be watched.
    pub watch: Watch,
}

/// A network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Netns {
    /// Who it is.
    pub identity: Identity,
    /// Its id in the host's namespace, where it has one.
    pub nsid: Option<Nsid>,
    /// What it is called: the best of what is known. Untrusted.
    pub name: String,
    /// What the name is taken from.
    pub kind: Kind,
    /// nsfs files that hold it.
    pub paths: Vec<PathBuf>,
    /// Processes in it.
    pub pids: Vec<u32>,
    /// The containers in it. Unless it is the host, it is called after the first: a pod's sandbox,
    /// or whose namespace it is.
    pub containers: Vec<Container>,
    /// Its interfaces, by ifindex.
    pub interfaces: Vec<Iface>,
}

impl Netns {
    /// The container it is called after.
    #[must_use]
    pub fn container(&self) -> Option<&Container> {
        self.containers
            .first()
            .filter(|_| matches!(self.kind, Kind::Pod | Kind::Container))
    }

    /// The pod it is called after.
    #[must_use]
    pub fn pod(&self) -> Option<&Pod> {
        self.container()?.pod.as_ref()
    }

    /// The process that stands for it: a container's first, or the one with the lowest id.
    #[must_use]
    pub fn first_pid(&self) -> Option<u32> {
        let owner = self.container().and_then(|container| container.init);
        owner
            .map(|init| init.pid)
            .or_else(|| self.pids.first().copied())
    }

    /// What its files below `/run/netns` are called, as `ip netns` shows them.
    pub fn file_names(&self) -> impl Iterator<Item = String> {
        self.paths.iter().filter_map(|path| netns_name(path))
    }

    /// The host, of which only the pods that use its network are wanted.
    #[must_use]
    pub fn with_guests_alone(&self, is_wanted: impl Fn(&Container) -> bool) -> Self {
        let containers = self.containers.iter();
        Self {
            containers: containers.filter(|one| is_wanted(one)).cloned().collect(),
            interfaces: Vec::new(),
            ..self.clone()
        }
    }

    /// Whether it is no more than that.
    #[must_use]
    pub fn is_only_guests(&self) -> bool {
        self.kind == Kind::Host && self.interfaces.is_empty() && !self.containers.is_empty()
    }

    /// Pods and lone containers that use it without its being theirs: those in the host's network.
    /// Each once, by any of its containers.
    #[must_use]
    pub fn guests(&self) -> Vec<&Container> {
        let mut guests: Vec<&Container> = Vec::new();
        if self.kind == Kind::Host {
            for container in &self.containers {
                let is_of =
                    |other: &&Container| container.pod.is_some() && other.pod == container.pod;
                if !guests.iter().any(is_of) {
                    guests.push(container);
                }
            }
        }
        guests
    }
}

/// The graph: every namespace of the host, the host first, the others by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    /// The namespaces.
    pub netnses: Vec<Arc<Netns>>,
    /// What could not be looked at, or is odd; one sentence each.
    pub warnings: Vec<String>,
}

/// Where `ip netns` keeps its names.
pub const NETNS_DIRS: [&str; 2] = ["/run/netns", "/var/run/netns"];

impl Topology {
    /// Builds the graph from facts.
    #[must_use]
    pub fn new(facts: &Facts) -> Self {
        let linker = Linker::new(facts);
        let mut netnses: Vec<Arc<Netns>> = facts
            .netnses
            .iter()
            .enumerate()
            .map(|(at, netns)| {
                let containers = linker.placed.of(at);
                let (name, kind) = name_of(netns, at, containers);
                Arc::new(Netns {
                    identity: netns.identity,
                    nsid: netns.nsid,
                    name,
                    kind,
                    paths: netns.paths.clone(),
                    pids: netns.processes.iter().map(|process| process.pid).collect(),
                    containers: containers.iter().copied().cloned().collect(),
                    interfaces: netns
                        .links
                        .iter()
                        .map(|link| linker.iface(at, link))
                        .collect(),
                })
            })
            .collect();
        netnses.sort_by(|a, b| {
            (a.kind != Kind::Host, &a.name, a.identity.inode()).cmp(&(
                b.kind != Kind::Host,
                &b.name,
                b.identity.inode(),
            ))
        });
        Self {
            netnses,
            warnings: facts.warnings.clone(),
        }
    }

    /// The interfaces that can be watched, each with its namespace and its peer on the host.
    pub fn watchable(&self) -> impl Iterator<Item = (&Arc<Netns>, &Iface, &Peer)> {
        self.netnses.iter().flat_map(|netns| {
            netns
                .interfaces
                .iter()
                .filter_map(move |iface| match (&iface.watch, &iface.peer) {
                    (Watch::HostVeth, Some(peer)) => Some((netns, iface, peer)),
                    _ => None,
                })
        })
    }
}

/// The best name: the pod's, the container's, the file's below `/run/netns`, a process's, the
/// inode's.
fn name_of(netns: &NetnsFacts, at: usize, containers: &[&Container]) -> (String, Kind) {
    if at == 0 {
        return ("host".to_owned(), Kind::Host);
    }
    if let Some(first) = containers.first() {
        return first.shown_as();
    }
    let file_name = netns.paths.iter().find_map(|path| netns_name(path));
    if let Some(name) = file_name {
        return (name, Kind::Named);
    }
    if let Some(process) = netns.processes.first() {
        return (
            format!("pid:{}({})", process.pid, process.comm),
            Kind::Process,
        );
    }
    let name = match netns.identity {
        Identity::Inode(NetnsInode(inode), _) => format!("netns:{inode}"),
        Identity::Nsid(Nsid(nsid)) => format!("nsid:{nsid}"),
    };
    (name, Kind::Unnamed)
}

/// The name that `ip netns` would show for `path`, if it is one of its files.
fn netns_name(path: &Path) -> Option<String> {
    let parent = path.parent()?;
    NETNS_DIRS
        .iter()
        .any(|dir| parent == Path::new(dir))
        .then(|| {
            path.file_name()
                .map(|name| name.to_string_lossy().into_owned())
        })?
}

#[cfg(test)]
mod tests;
