//! One look at the host: every namespace that can be found, with its links.
//!
//! A namespace that the host's rtnetlink knows by an id (it has an end of a veth pair on the host,
//! or was asked for before) is asked from outside. The others are entered, on a thread made for
//! it. In both cases its descriptor is closed before the next namespace is looked at.

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use super::model::{
    Facts, Identity, Link, NETNS_DIRS, NetnsFacts, NetnsInode, Nsid, Process, Topology,
};
use crate::sys::{
    caps::{self, Capability},
    netlink::{NetlinkError, RouteSocket},
    netns::{Netns, NetnsError},
    proc::{self, Processes},
    runtime,
};

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

/// Looks at the host, again and again.
#[derive(Debug)]
pub struct Discoverer {
    socket: RouteSocket,
    docker_roots: Vec<PathBuf>,
}

impl Discoverer {
    /// Opens what every look needs. `docker_roots` replaces the data root that Docker's settings
    /// name.
    ///
    /// # Errors
    ///
    /// If no netlink socket can be made.
    pub fn open(docker_roots: &[PathBuf]) -> Result<Self, DiscoverError> {
        let docker_roots = match docker_roots {
            [] => vec![runtime::docker_root()],
            roots => roots.to_vec(),
        };
        Ok(Self {
            socket: RouteSocket::open()?,
            docker_roots,
        })
    }

    /// Looks at the host and builds the graph.
    ///
    /// # Errors
    ///
    /// If the host itself cannot be looked at. A namespace that cannot is a warning.
    pub fn topology(&mut self) -> Result<Topology, DiscoverError> {
        self.facts().map(|facts| Topology::new(&facts))
    }

    /// Looks at the host.
    ///
    /// # Errors
    ///
    /// As [`Self::topology`].
    pub fn facts(&mut self) -> Result<Facts, DiscoverError> {
        // The host's links first: in answering, the kernel gives an id to each peer's namespace.
        let links = self.socket.links(None)?;
        let own = Netns::open_own()?;
        let host = own.identity();

        let mut look = Look::default();
        let processes = proc::processes().map_err(DiscoverError::Proc)?;
        look.say_refused(&processes, host);
        look.add_host(host, links);
        look.add_files(&mut self.socket);
        look.add_processes(&mut self.socket, &processes);
        look.add_known_by_nsid_only(&mut self.socket);
        // The host gets an id in itself when it is the answer to where a device's parent is.
        look.facts.netnses[0].nsid = self.socket.nsid_of(own.fd())?;
        drop(own);
        for root in &self.docker_roots {
            let containers = runtime::docker_containers(root, &mut look.facts.warnings);
            look.facts.containers.extend(containers);
        }
        look.failed.map_or(Ok(look.facts), Err)
    }
}

/// What one look has found so far.
#[derive(Default)]
struct Look {
    facts: Facts,
    by_inode: HashMap<NetnsInode, usize>,
    failed: Option<DiscoverError>,
}

impl Look {
    fn add_host(&mut self, identity: Identity, links: Vec<Link>) {
        self.push(NetnsFacts {
            identity,
            nsid: None,
            paths: Vec::new(),
            processes: Vec::new(),
            links,
        });
    }

    fn push(&mut self, netns: NetnsFacts) {
        if let Some(inode) = netns.identity.inode() {
            self.by_inode.insert(inode, self.facts.netnses.len());
        }
        self.facts.netnses.push(netns);
    }

    fn say_refused(&mut self, processes: &Processes, host: Identity) {
        // A security module may refuse single processes even to root: that is its business.
        if processes.refused > 0 && !caps::has(Capability::SysPtrace) {
            self.facts.warnings.push(format!(
                "processes that may not be looked at: {}; a namespace that they alone hold is \
                 missing (needs CAP_SYS_PTRACE; try sudo)",
                processes.refused
            ));
        }
        let first = processes
            .by_netns
            .iter()
            .find(|(_, pids)| pids.contains(&1));
        if first.is_some_and(|(inode, _)| Some(*inode) != host.inode()) {
            self.facts.warnings.push(
                "nstrace itself runs in another network namespace than process 1: \"host\" \
                 means nstrace's own"
                    .to_owned(),
            );
        }
    }

    /// Every nsfs file, mounted or linked to.
    fn add_files(&mut self, socket: &mut RouteSocket) {
        let mut paths: BTreeSet<PathBuf> = match proc::netns_mounts() {
            Ok(mounts) => mounts.into_iter().collect(),
            Err(error) => {
                self.facts
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
                Ok(netns) => self.add_file(socket, &netns, path),
                Err(error) => self.say_unusable(&path, &error),
            }
        }
    }

    fn add_file(&mut self, socket: &mut RouteSocket, netns: &Netns, path: PathBuf) {
        if let Some(at) = self.add(socket, netns) {
            self.facts.netnses[at].paths.push(path);
        }
    }

    fn say_unusable(&mut self, path: &Path, error: &NetnsError) {
        let why = match error {
            NetnsError::Open { source, .. } if source.kind() == ErrorKind::NotFound => {
                if path.symlink_metadata().is_err() {
                    return; // Removed between the listing and now.
                }
                "stale: what it links to is gone".to_owned()
            }
            NetnsError::NotNetns { .. } => "stale: it holds no network namespace".to_owned(),
            NetnsError::Open { source, .. } | NetnsError::Enter(source) => source.to_string(),
        };
        self.facts
            .warnings
            .push(format!("{}: {why}", path.display()));
    }

    /// Namespaces that processes live in.
    fn add_processes(&mut self, socket: &mut RouteSocket, processes: &Processes) {
        for (inode, pids) in &processes.by_netns {
            let known = self.by_inode.get(inode).copied();
            let at = known.or_else(|| {
                // The first that is still there and has not changed its namespace.
                let netns = pids.iter().find_map(|pid| {
                    let netns = Netns::open(&proc::netns_path(*pid)).ok()?;
                    (netns.identity().inode() == Some(*inode)).then_some(netns)
                })?;
                self.add(socket, &netns)
            });
            let Some(at) = at else { continue };
            // Names are shown of the first process at most; the host has hundreds.
            self.facts.netnses[at].processes = pids
                .iter()
                .enumerate()
                .map(|(nth, pid)| Process {
                    pid: *pid,
                    comm: if nth == 0 && at != 0 {
                        proc::comm(*pid)
                    } else {
                        String::new()
                    },
                })
                .collect();
        }
    }

    /// Namespaces with a veth peer on the host, but neither file nor process: something holds an
    /// open descriptor. They can be watched all the same.
    fn add_known_by_nsid_only(&mut self, socket: &mut RouteSocket) {
        let known: BTreeSet<Nsid> = self
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
            .filter(|nsid| !known.contains(nsid))
            .collect();
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

    /// Looks into a namespace that was not seen yet. Returns where it stands.
    fn add(&mut self, socket: &mut RouteSocket, netns: &Netns) -> Option<usize> {
        let inode = netns.identity().inode()?;
        if let Some(at) = self.by_inode.get(&inode) {
            return Some(*at);
        }
        let nsid = socket.nsid_of(netns.fd()).ok().flatten();
        let links = look_inside(socket, netns, nsid).unwrap_or_else(|error| {
            if is_passing(&error) {
                // Not that namespace's fault: to take it for one without interfaces would end
                // the watch of them.
                self.failed = Some(error);
                return Vec::new();
            }
            let why = crate::error_chain(&error);
            let help = if caps::has(Capability::NetAdmin) {
                ""
            } else {
                " (try sudo)"
            };
            let warning = format!("interfaces of netns:{} are not known: {why}{help}", inode.0);
            self.facts.warnings.push(warning);
            Vec::new()
        });
        self.push(NetnsFacts {
            identity: netns.identity(),
            nsid,
            paths: Vec::new(),
            processes: Vec::new(),
            links,
        });
        Some(self.facts.netnses.len() - 1)
    }
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
fn look_inside(
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
