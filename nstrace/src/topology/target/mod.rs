//! TARGETs: what a user writes to mean one namespace, or with a pattern several.

mod labels;
mod pattern;
mod selection;

use std::{fmt, net::IpAddr, path::Path, str::FromStr, sync::Arc};

pub use self::{
    labels::{Selector, SelectorError},
    pattern::Pattern,
    selection::{Pods, Selection},
};
use super::model::{Kind, Netns, NetnsInode, Runtime, Watch, without_var};

/// One TARGET, as typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A name as `ls` shows it (`NAMESPACE/POD` of Kubernetes too); the name of a pod or container
    /// in it; the start of a container's id.
    Name(Pattern),
    /// `pod/NAME`, or `pod/NAMESPACE/NAME`.
    Pod {
        /// Kubernetes namespace; any, if none is said.
        namespace: Option<Pattern>,
        /// Of the pod.
        name: Pattern,
    },
    /// `ctr/NAME`: the namespace of a container, pods' containers too.
    Container(Pattern),
    /// `docker:NAME`, and so on: the same of one runtime.
    Of(Runtime, Pattern),
    /// `netns:NAME` or `netns:PATH`: an nsfs file.
    Netns(String),
    /// `inode:N`.
    Inode(NetnsInode),
    /// `pid:N`: the namespace of that process.
    Pid(u32),
    /// `if:NAME`: the namespace behind a host veth.
    HostVeth(String),
    /// `ip:ADDRESS`: the namespace that has it.
    Ip(IpAddr),
}

/// What all TARGETs but names begin with, as completion and the filter's words know it.
pub const PREFIXES: [&str; 13] = [
    "pod/",
    "ctr/",
    "docker:",
    "podman:",
    "containerd:",
    "cri-o:",
    "lxc:",
    "systemd-nspawn:",
    "netns:",
    "inode:",
    "pid:",
    "if:",
    "ip:",
];

/// A word that is no TARGET.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{word}`: {why}")]
pub struct TargetError {
    word: String,
    why: String,
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(word: &str) -> Result<Self, TargetError> {
        let refuse = |why: String| TargetError {
            word: word.to_owned(),
            why,
        };
        let number = |what: &str| {
            what.parse()
                .map_err(|_error| refuse(format!("{what} is not a number")))
        };
        // A process's namespace is listed as `pid:N(comm)`, which must mean itself.
        let pid = |rest: &str| number(rest.split_once('(').map_or(rest, |(pid, _)| pid));
        match word.split_once('/') {
            Some(("pod", rest)) => {
                return Ok(match rest.split_once('/') {
                    Some((namespace, name)) => Self::Pod {
                        namespace: Some(Pattern::new(namespace)),
                        name: Pattern::new(name),
                    },
                    None => Self::Pod {
                        namespace: None,
                        name: Pattern::new(rest),
                    },
                });
            }
            Some(("ctr", rest)) => return Ok(Self::Container(Pattern::new(rest))),
            _ => {}
        }
        Ok(match word.split_once(':') {
            Some(("netns", rest)) => Self::Netns(rest.to_owned()),
            Some(("inode", rest)) => Self::Inode(NetnsInode(number(rest)?)),
            Some(("pid", rest)) => Self::Pid(pid(rest)?),
            Some(("if", rest)) => Self::HostVeth(rest.to_owned()),
            Some(("ip", rest)) => Self::Ip(
                rest.parse()
                    .map_err(|_error| refuse(format!("{rest} is not an address")))?,
            ),
            Some((runtime, rest)) => {
                let named = Runtime::ALL.into_iter().find(|one| one.as_str() == runtime);
                match named {
                    Some(named) => Self::Of(named, Pattern::new(rest)),
                    None => Self::Name(Pattern::new(word)),
                }
            }
            None => Self::Name(Pattern::new(word)),
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "{name}"),
            Self::Pod {
                namespace: Some(namespace),
                name,
            } => write!(f, "pod/{namespace}/{name}"),
            Self::Pod {
                namespace: None,
                name,
            } => write!(f, "pod/{name}"),
            Self::Container(name) => write!(f, "ctr/{name}"),
            Self::Of(runtime, name) => write!(f, "{runtime}:{name}"),
            Self::Netns(file) => write!(f, "netns:{file}"),
            Self::Inode(NetnsInode(inode)) => write!(f, "inode:{inode}"),
            Self::Pid(pid) => write!(f, "pid:{pid}"),
            Self::HostVeth(name) => write!(f, "if:{name}"),
            Self::Ip(address) => write!(f, "ip:{address}"),
        }
    }
}

/// Why TARGETs do not name what they shall.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ResolveError {
    /// Nothing matches.
    #[error("no network namespace matches `{0}`")]
    NoMatch(String),
    /// Several match.
    #[error("`{target}` is ambiguous: {}", candidates.join(", "))]
    Ambiguous {
        /// What was asked for.
        target: String,
        /// Words that mean each of what matches, unambiguously.
        candidates: Vec<String>,
    },
    /// One was to be named, and so many were.
    #[error("one network namespace is to be named, not {0}")]
    Several(usize),
    /// No pod and no container is like that.
    #[error("no pod or container matches {0}")]
    NothingAllowed(String),
}

/// Fewer characters of a container's id are too easily the start of a name's typo.
const MIN_ID_PREFIX: usize = 4;

impl Target {
    /// Whether it may mean several.
    fn is_pattern(&self) -> bool {
        match self {
            Self::Name(name) | Self::Container(name) | Self::Of(_, name) => name.is_glob(),
            Self::Pod { namespace, name } => {
                name.is_glob() || namespace.as_ref().is_some_and(Pattern::is_glob)
            }
            _ => false,
        }
    }

    /// What it means among these: the best that anything can be called first, and only where nothing
    /// is called so the next.
    pub(super) fn among<'a>(&self, netnses: &[&'a Arc<Netns>]) -> Vec<&'a Arc<Netns>> {
        let matching = |test: &dyn Fn(&Netns) -> bool| -> Vec<&'a Arc<Netns>> {
            let netnses = netnses.iter().copied();
            netnses.filter(|netns| test(netns)).collect()
        };
        let first = |tests: &[&dyn Fn(&Netns) -> bool]| {
            let found = tests.iter().map(|test| matching(test));
            found.into_iter().find(|found| !found.is_empty())
        };
        let found = match self {
            Self::Name(name) if name.is_glob() => first(&[
                &|netns| name.matches(&netns.name) || is_called(netns, name),
                &|netns| has_container(netns, None, name),
            ]),
            Self::Name(name) => first(&[
                &|netns| netns.name == name.as_str(),
                &|netns| is_called(netns, name),
                &|netns| has_container(netns, None, name),
                &|netns| has_id(netns, None, name),
            ]),
            Self::Pod { namespace, name } => first(&[&|netns| {
                netns.containers.iter().any(|container| {
                    container.pod.as_ref().is_some_and(|pod| {
                        let of = pod.namespace.as_deref().unwrap_or_default();
                        name.matches(&pod.name)
                            && namespace.as_ref().is_none_or(|one| one.matches(of))
                    })
                })
            }]),
            Self::Container(name) => first(&[&|netns| has_container(netns, None, name)]),
            Self::Of(runtime, name) => first(&[
                &|netns| is_called_by(netns, *runtime, name),
                &|netns| has_container(netns, Some(*runtime), name),
                &|netns| has_id(netns, Some(*runtime), name),
            ]),
            Self::Netns(file) => first(&[&|netns| is_file(netns, file)]),
            Self::Inode(inode) => first(&[&|netns| netns.identity.inode() == Some(*inode)]),
            Self::Pid(pid) => first(&[&|netns| {
                let is_init = |init: super::model::Init| init.pid == *pid;
                netns.pids.contains(pid)
                    || netns
                        .containers
                        .iter()
                        .any(|one| one.init.is_some_and(is_init))
            }]),
            Self::HostVeth(name) => first(&[&|netns| {
                netns.interfaces.iter().any(|iface| {
                    iface.watch == Watch::HostVeth
                        && iface.peer.as_ref().is_some_and(|peer| peer.name == *name)
                })
            }]),
            Self::Ip(address) => first(&[&|netns| has_address(netns, *address)]),
        };
        found.unwrap_or_default()
    }

    /// What it means among these, which must be one unless it is a pattern.
    pub(super) fn some_among<'a>(
        &self,
        netnses: &[&'a Arc<Netns>],
    ) -> Result<Vec<&'a Arc<Netns>>, ResolveError> {
        let found = self.among(netnses);
        match found.len() {
            0 => Err(ResolveError::NoMatch(self.to_string())),
            1 => Ok(found),
            _ if self.is_pattern() => Ok(found),
            _ => Err(self.ambiguous(&found)),
        }
    }

    pub(super) fn ambiguous(&self, found: &[&Arc<Netns>]) -> ResolveError {
        ResolveError::Ambiguous {
            target: self.to_string(),
            candidates: found
                .iter()
                .map(|netns| {
                    let by_name = netns.name.parse::<Self>();
                    let is_enough = by_name.is_ok_and(|name| name.among(found).len() == 1);
                    if is_enough {
                        netns.name.clone()
                    } else {
                        unambiguous(netns)
                    }
                })
                .collect(),
        }
    }
}

/// Whether the pod that a namespace is called after is called so, whatever its Kubernetes namespace.
fn is_called(netns: &Netns, name: &Pattern) -> bool {
    netns.pod().is_some_and(|pod| name.matches(&pod.name))
}

fn is_called_by(netns: &Netns, runtime: Runtime, name: &Pattern) -> bool {
    let is_runtimes = netns.container().is_some_and(|one| one.runtime == runtime);
    is_runtimes && (name.matches(&netns.name) || is_called(netns, name))
}

/// Whether a container in it, or its pod, is called so: those that use the host's too.
fn has_container(netns: &Netns, runtime: Option<Runtime>, name: &Pattern) -> bool {
    netns.containers.iter().any(|container| {
        let of_pod = container.pod.as_ref().map(ToString::to_string);
        runtime.is_none_or(|runtime| container.runtime == runtime)
            && (name.matches(&container.name) || of_pod.is_some_and(|of_pod| name.matches(&of_pod)))
    })
}

fn has_id(netns: &Netns, runtime: Option<Runtime>, start: &Pattern) -> bool {
    let start = start.as_str();
    start.len() >= MIN_ID_PREFIX
        && netns.containers.iter().any(|container| {
            runtime.is_none_or(|runtime| container.runtime == runtime)
                && container.id.starts_with(start)
        })
}

fn has_address(netns: &Netns, address: IpAddr) -> bool {
    // Every namespace has the loopback's.
    let ifaces = netns.interfaces.iter();
    ifaces
        .filter(|iface| iface.link.kind != "loopback")
        .flat_map(|iface| &iface.link.addresses)
        .filter_map(|with_prefix| with_prefix.split('/').next()?.parse::<IpAddr>().ok())
        .any(|one| one == address)
}

fn is_file(netns: &Netns, file: &str) -> bool {
    // `netns:4026532200` is also how a namespace without any name is listed.
    let is_inode = netns
        .identity
        .inode()
        .is_some_and(|inode| inode.0.to_string() == file);
    is_inode
        || netns.paths.iter().any(|path| {
            if file.contains('/') {
                // Docker's own files say /var/run.
                without_var(path) == without_var(Path::new(file))
            } else {
                path.file_name().is_some_and(|name| name == file)
            }
        })
}

fn unambiguous(netns: &Netns) -> String {
    let what = match (netns.container(), netns.identity.inode()) {
        (Some(container), _) => container.short_id(),
        (None, Some(NetnsInode(inode))) => format!("inode:{inode}"),
        (None, None) => return netns.name.clone(),
    };
    match netns.kind {
        Kind::Host => "host".to_owned(),
        kind => format!("{what} ({kind} {})", netns.name),
    }
}

#[cfg(test)]
mod tests;
