//! What earlier looks have found, for as long as nothing says that it may be otherwise.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use super::{DIRS, DiscoverError, held::Holder};
use crate::{
    sys::{
        netlink::RouteSocket,
        netns::{Netns, NetnsError},
        proc::{self, Processes},
        watch::Changes,
    },
    topology::model::{Identity, Ifindex, Link, NetnsInode, Nsid},
};

/// What is known; nothing, at first.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The host's links.
    pub(super) links: Option<BTreeMap<Ifindex, Link>>,
    /// What is in each namespace but the host's.
    pub(super) inside: HashMap<Identity, Inside>,
    /// Files that hold namespaces.
    pub(super) files: Option<Files>,
    /// Processes by namespace.
    pub(super) processes: Option<Processes>,
    /// Who a namespace is in which processes live.
    pub(super) of_processes: HashMap<NetnsInode, Identity>,
    /// Command names of processes after which namespaces are called, and the containers that
    /// their cgroups or parents tell.
    holders: HashMap<u32, Holder>,
    /// Ids behind which neither a file nor a process was found.
    pub(super) nameless: BTreeSet<Nsid>,
    /// Whether namespaces without an id are to be asked whether they have one by now.
    pub(super) asks_for_ids: bool,
    /// Whether files and processes were looked for by this very look.
    pub(super) is_fresh: bool,
}

/// What is in a namespace.
#[derive(Clone, Debug)]
pub(super) struct Inside {
    pub(super) nsid: Option<Nsid>,
    pub(super) links: Vec<Link>,
    /// Why its links are not known.
    pub(super) warning: Option<String>,
}

/// Files that hold namespaces.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub(super) holders: Vec<(PathBuf, Identity)>,
    pub(super) warnings: Vec<String>,
}

impl Known {
    /// Forgets what may be otherwise, and asks for the host's links where they may be.
    pub(super) fn follow(
        &mut self,
        changes: &Changes,
        socket: &mut RouteSocket,
    ) -> Result<(), DiscoverError> {
        self.asks_for_ids = false;
        self.is_fresh = changes.everywhere;
        if changes.files {
            self.files = None;
        }
        if !changes.netnses.is_empty() {
            let is_same = |nsid: &Nsid| !changes.netnses.contains(nsid);
            self.inside
                .retain(|_, inside| inside.nsid.as_ref().is_none_or(is_same));
            self.nameless.retain(is_same);
        }
        let Some(links) = &mut self.links else {
            // In answering, the kernel gives an id to each peer's namespace.
            let links = socket.links(None)?;
            self.links = Some(links.into_iter().map(|link| (link.ifindex, link)).collect());
            return Ok(());
        };
        let mut again = changes.links.clone();
        // When one end of a pair is moved, nothing is said of the other, which stays.
        again.extend(links.values().filter_map(|link| {
            let may_be = match link.link_nsid {
                Some(nsid) => changes.netnses.contains(&nsid),
                None => link.link.is_some_and(|peer| changes.links.contains(&peer)),
            };
            may_be.then_some(link.ifindex)
        }));
        for ifindex in again {
            let before = links.remove(&ifindex);
            if let Some(mut link) = socket.link(ifindex)? {
                // They are asked for with the whole only: those of a host veth are not shown.
                link.addresses = before.map_or_else(Vec::new, |before| before.addresses);
                links.insert(ifindex, link);
            }
        }
        Ok(())
    }

    /// Has files and processes looked at again, and namespaces asked for their ids.
    pub(super) fn forget_holders(&mut self) {
        self.files = None;
        self.processes = None;
        self.asks_for_ids = true;
        self.is_fresh = true;
    }

    /// Files and processes, looked for where they are not known.
    pub(super) fn find_holders(&mut self) -> Result<(), DiscoverError> {
        if self.processes.is_none() {
            self.of_processes.clear();
            self.holders.clear();
            self.processes = Some(proc::processes().map_err(DiscoverError::Proc)?);
        }
        self.files.get_or_insert_with(Files::list);
        Ok(())
    }

    /// What is known of a process that a namespace is called after.
    pub(super) fn holder(&mut self, pid: u32) -> &Holder {
        self.holders.entry(pid).or_insert_with(|| Holder::of(pid))
    }
}

impl Files {
    /// Every nsfs file, mounted or linked to.
    fn list() -> Self {
        let mut files = Self::default();
        let mut paths: BTreeSet<PathBuf> = match proc::netns_mounts() {
            Ok(mounts) => mounts.into_iter().collect(),
            Err(error) => {
                files
                    .warnings
                    .push(format!("read /proc/self/mountinfo: {error}"));
                BTreeSet::new()
            }
        };
        let mut seen = BTreeSet::new();
        for dir in DIRS {
            // /var/run is a link to /run nearly everywhere.
            let Ok(real) = fs::canonicalize(dir) else {
                continue;
            };
            if !seen.insert(real) {
                continue;
            }
            paths.extend(
                fs::read_dir(dir)
                    .into_iter()
                    .flatten()
                    .flatten()
                    .map(|file| file.path()),
            );
        }
        for path in paths {
            match Netns::open(&path) {
                Ok(netns) => files.holders.push((path, netns.identity())),
                Err(error) => files.warnings.extend(why_unusable(&path, &error)),
            }
        }
        files
    }
}

fn why_unusable(path: &Path, error: &NetnsError) -> Option<String> {
    let why = match error {
        NetnsError::Open { source, .. } if source.kind() == ErrorKind::NotFound => {
            // Removed between the listing and now.
            path.symlink_metadata().ok()?;
            "stale: what it links to is gone".to_owned()
        }
        NetnsError::NotNetns { .. } => "stale: it holds no network namespace".to_owned(),
        NetnsError::Open { source, .. } | NetnsError::Enter(source) => source.to_string(),
    };
    Some(format!("{}: {why}", path.display()))
}
