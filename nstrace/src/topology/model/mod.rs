//! The graph of namespaces, interfaces and peers: plain data, and how it follows from facts.
//!
//! [`Facts`] are what the kernel and the runtimes' files said, as they said it. [`Topology::new`]
//! turns them into the graph: which interface is the other end of which, what a namespace is
//! called, and what can be watched from the host or why not. No I/O, no clock.

use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

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

/// What a runtime's files say of a running container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// `docker`.
    pub runtime: String,
    /// Full id.
    pub id: String,
    /// Its name as the user knows it, untrusted.
    pub name: String,
    /// Image reference, untrusted.
    pub image: String,
    /// Its first process, in the host's numbers.
    pub pid: Option<u32>,
    /// Inode of the namespace that the runtime's sandbox file holds.
    pub inode: Option<NetnsInode>,
}

/// Everything that one look at the host gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The host's namespace first, then the others.
    pub netnses: Vec<NetnsFacts>,
    /// Running containers.
    pub containers: Vec<Container>,
    /// What could not be looked at, or is odd.
    pub warnings: Vec<String>,
}

impl Facts {
    /// Where those stand that will be called by their first process.
    #[must_use]
    pub fn named_after_processes(&self) -> Vec<usize> {
        let containers = Containers::new(&self.containers);
        let netnses = self.netnses.iter().enumerate();
        netnses
            .filter(|(at, netns)| name_of(netns, *at == 0, containers.of(netns)).1 == Kind::Process)
            .map(|(at, _)| at)
            .collect()
    }
}

/// What kind of holder a namespace is named after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The namespace that nstrace runs in, to which the peers belong.
    Host,
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
    /// The container it belongs to.
    pub container: Option<Container>,
    /// Its interfaces, by ifindex.
    pub interfaces: Vec<Iface>,
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
                let is_host = at == 0;
                let container = linker.containers.of(netns).filter(|_| !is_host);
                let (name, kind) = name_of(netns, is_host, container);
                Arc::new(Netns {
                    identity: netns.identity,
                    nsid: netns.nsid,
                    name,
                    kind,
                    paths: netns.paths.clone(),
                    pids: netns.processes.iter().map(|process| process.pid).collect(),
                    container: container.cloned(),
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

/// The best name: the container's, the file's below `/run/netns`, a process's, the inode's.
fn name_of(netns: &NetnsFacts, is_host: bool, container: Option<&Container>) -> (String, Kind) {
    if is_host {
        return ("host".to_owned(), Kind::Host);
    }
    if let Some(container) = container {
        return (container.name.clone(), Kind::Container);
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

/// Containers by what leads to them.
struct Containers<'a> {
    by_inode: HashMap<NetnsInode, &'a Container>,
    /// Those without a sandbox of their own, with their place.
    by_pid: HashMap<u32, (usize, &'a Container)>,
}

impl<'a> Containers<'a> {
    fn new(containers: &'a [Container]) -> Self {
        let mut by_inode = HashMap::new();
        let mut by_pid = HashMap::new();
        for (at, container) in containers.iter().enumerate() {
            match (container.inode, container.pid) {
                (Some(inode), _) => drop(by_inode.entry(inode).or_insert(container)),
                (None, Some(pid)) => drop(by_pid.entry(pid).or_insert((at, container))),
                (None, None) => {}
            }
        }
        Self { by_inode, by_pid }
    }

    /// The container whose sandbox file or first process is in `netns`; the sandbox's owner first,
    /// since a container that joins another's namespace has a process there too.
    fn of(&self, netns: &NetnsFacts) -> Option<&'a Container> {
        let inode = netns.identity.inode()?;
        if let Some(owner) = self.by_inode.get(&inode) {
            return Some(owner);
        }
        let processes = netns.processes.iter();
        processes
            .filter_map(|process| self.by_pid.get(&process.pid))
            .min_by_key(|(at, _)| *at)
            .map(|(_, container)| *container)
    }
}

/// Finds the other end of links.
struct Linker<'a> {
    facts: &'a Facts,
    containers: Containers<'a>,
    by_nsid: HashMap<Nsid, usize>,
    by_ifindex: HashMap<(usize, Ifindex), &'a Link>,
}

impl<'a> Linker<'a> {
    fn new(facts: &'a Facts) -> Self {
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
            containers: Containers::new(&facts.containers),
            by_nsid,
            by_ifindex,
        }
    }

    fn link(&self, netns: usize, ifindex: Ifindex) -> Option<&'a Link> {
        self.by_ifindex.get(&(netns, ifindex)).copied()
    }

    fn iface(&self, netns: usize, link: &Link) -> Iface {
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
        match third.and_then(|third| self.facts.netnses.get(third)) {
            Some(third) => {
                let container = self.containers.of(third);
                format!(
                    "its peer is in {}, not on the host",
                    name_of(third, false, container).0
                )
            }
            None => "its peer is not on the host".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;
