//! Containers and pods: what runtimes say of them, and which namespace each is in.
//!
//! The pod is the unit. Its containers have one network namespace, which its sandbox (the infra, or
//! pause, container) holds; a container without a pod is found by the file that its runtime keeps
//! for it, or by its first process. Several that share a namespace stand in it together, the one
//! that it is called after first.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsStr,
    fmt,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use super::{Facts, Identity, Kind, NetnsFacts, NetnsInode};

/// What runs a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Runtime {
    /// Docker Engine, also by cri-dockerd.
    Docker,
    /// Podman, rootful or rootless.
    Podman,
    /// containerd: Kubernetes by its CRI plugin, and nerdctl.
    Containerd,
    /// CRI-O.
    Crio,
    /// LXC.
    Lxc,
    /// systemd-nspawn.
    Nspawn,
}

impl Runtime {
    /// Every runtime.
    pub const ALL: [Self; 6] = [
        Self::Docker,
        Self::Podman,
        Self::Containerd,
        Self::Crio,
        Self::Lxc,
        Self::Nspawn,
    ];

    /// Its name in all output, and in a TARGET.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Containerd => "containerd",
            Self::Crio => "cri-o",
            Self::Lxc => "lxc",
            Self::Nspawn => "systemd-nspawn",
        }
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A group of containers with one network namespace. Its strings are untrusted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pod {
    /// Its Kubernetes namespace; Podman's pods have none.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// What Kubernetes, or Podman, tells it by from the next of its name.
    pub uid: Option<String>,
    /// What controls it: kind and name, as `ReplicaSet/web-5d4f8`. Only Kubernetes knows.
    pub owner: Option<String>,
}

impl fmt::Display for Pod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(namespace) = &self.namespace {
            write!(f, "{namespace}/")?;
        }
        f.write_str(&self.name)
    }
}

/// How a container's network namespace is found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// Its first process is in it.
    #[default]
    Process,
    /// This nsfs file holds it.
    File(PathBuf),
    /// It is that of the container with this id, of the same runtime.
    Container(String),
    /// It has none of its own, but the host's.
    Host,
}

/// A container's first process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Init {
    /// In the host's numbers.
    pub pid: u32,
    /// When it was started, in clock ticks since boot: with its id, who it is.
    pub started: u64,
}

/// What is known of a running container. Its strings are untrusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// What runs it.
    pub runtime: Runtime,
    /// Full id.
    pub id: String,
    /// Its name as its runtime, or within a pod its user, calls it.
    pub name: String,
    /// Image reference; empty where it is not on disk.
    pub image: String,
    /// The pod that it is part of.
    pub pod: Option<Pod>,
    /// Whether it is the pod's sandbox, which holds its namespace and does nothing else.
    pub is_sandbox: bool,
    /// Its labels; those of a sandbox are the pod's.
    pub labels: BTreeMap<String, String>,
    /// Its first process, if it lives.
    pub init: Option<Init>,
    /// How its namespace is found.
    pub network: Network,
    /// The namespace that its first process is in, as of this look.
    pub inode: Option<NetnsInode>,
    /// The ordinary user who runs it, whose word counts for namespaces of that user alone.
    pub user: Option<u32>,
}

impl Container {
    /// One of which no more than this is known.
    #[must_use]
    pub fn new(runtime: Runtime, id: String, name: String) -> Self {
        Self {
            runtime,
            id,
            name,
            image: String::new(),
            pod: None,
            is_sandbox: false,
            labels: BTreeMap::new(),
            init: None,
            network: Network::Process,
            inode: None,
            user: None,
        }
    }

    /// The first characters of its id, as runtimes show it.
    #[must_use]
    pub fn short_id(&self) -> String {
        self.id.chars().take(12).collect()
    }

    /// What is called after it: its pod, or itself.
    #[must_use]
    pub fn shown_as(&self) -> (String, Kind) {
        match &self.pod {
            Some(pod) => (pod.to_string(), Kind::Pod),
            None => (self.name.clone(), Kind::Container),
        }
    }

    /// What stands first among those that share a namespace.
    fn rank(&self) -> (bool, bool, bool, &str, &str) {
        (
            self.pod.is_none(),
            !self.is_sandbox,
            !matches!(self.network, Network::File(_)),
            &self.name,
            &self.id,
        )
    }
}

/// The same file, whichever way it is written: `/var/run` is a link to `/run`.
#[must_use]
pub fn without_var(path: &Path) -> &Path {
    let rest = path.as_os_str().as_bytes().strip_prefix(b"/var");
    rest.filter(|rest| rest.starts_with(b"/run/"))
        .map_or(path, |rest| Path::new(OsStr::from_bytes(rest)))
}

/// Where each container is.
pub(super) struct Placed<'a> {
    by_netns: Vec<Vec<&'a Container>>,
}

impl<'a> Placed<'a> {
    /// Finds the namespace of each container; one whose is not there is left out.
    pub(super) fn new(facts: &'a Facts) -> Self {
        let places = Places::new(&facts.netnses, &facts.containers);
        let mut by_netns = vec![Vec::new(); facts.netnses.len()];
        for container in &facts.containers {
            if let Some(at) = places.of(container) {
                by_netns[at].push(container);
            }
        }
        for (netns, of_one) in facts.netnses.iter().zip(&mut by_netns) {
            if of_one.is_empty()
                && let Some(before) = facts.before.get(&netns.identity)
                && is_the_same(netns)
            {
                of_one.extend(before);
            }
            of_one.sort_by(|a, b| a.rank().cmp(&b.rank()));
        }
        Self { by_netns }
    }

    /// Those in a namespace, by where that stands among the facts. The first gives it its name.
    pub(super) fn of(&self, netns: usize) -> &[&'a Container] {
        self.by_netns.get(netns).map_or(&[], Vec::as_slice)
    }
}

/// Whether a namespace whose containers are gone is theirs still. Without an id (before Linux 6.18) its
/// inode may be another's by now, and who lives in it may be nobody of theirs.
const fn is_the_same(netns: &NetnsFacts) -> bool {
    match netns.identity {
        Identity::Inode(_, None) => netns.processes.is_empty(),
        Identity::Inode(_, Some(_)) | Identity::Nsid(_) => true,
    }
}

/// Where namespaces stand among the facts, by what leads to them; and containers by their ids.
struct Places<'a> {
    paths: HashMap<&'a Path, usize>,
    inodes: HashMap<NetnsInode, usize>,
    ids: HashMap<(Runtime, &'a str), &'a Container>,
}

impl<'a> Places<'a> {
    fn new(netnses: &'a [NetnsFacts], containers: &'a [Container]) -> Self {
        let mut paths = HashMap::new();
        let mut inodes = HashMap::new();
        for (at, netns) in netnses.iter().enumerate() {
            let held = netns.paths.iter().map(|path| (without_var(path), at));
            paths.extend(held);
            inodes.extend(netns.identity.inode().map(|inode| (inode, at)));
        }
        let ids = containers
            .iter()
            .map(|container| ((container.runtime, &*container.id), container))
            .collect();
        Self { paths, inodes, ids }
    }

    fn of(&self, container: &Container) -> Option<usize> {
        let told = match &container.network {
            // What a runtime has not cleaned up is nowhere.
            Network::Host => container.init.is_some().then_some(0),
            Network::File(path) => self.paths.get(without_var(path)).copied(),
            Network::Container(id) => {
                let holder = self.ids.get(&(container.runtime, &**id));
                // One step: who holds a namespace does not borrow it.
                holder
                    .filter(|holder| !matches!(holder.network, Network::Container(_)))
                    .and_then(|holder| self.of(holder))
            }
            Network::Process => None,
        };
        told.or_else(|| self.inodes.get(&container.inode?).copied())
    }
}
