//! TARGETs: what a user writes to mean one namespace.

use std::{fmt, path::Path, str::FromStr, sync::Arc};

use super::model::{Kind, Netns, NetnsInode, Topology, Watch};

/// One TARGET, as typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A name as `ls` shows it, or the start of a container's id.
    Name(String),
    /// `netns:NAME` or `netns:PATH`: an nsfs file.
    Netns(String),
    /// `inode:N`.
    Inode(NetnsInode),
    /// `pid:N`: the namespace of that process.
    Pid(u32),
    /// `if:NAME`: the namespace behind a host veth.
    HostVeth(String),
}

/// A word that is no TARGET.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{word}`: {what} is not a number")]
pub struct TargetError {
    word: String,
    what: String,
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(word: &str) -> Result<Self, TargetError> {
        let number = |what: &str| {
            what.parse().map_err(|_error| TargetError {
                word: word.to_owned(),
                what: what.to_owned(),
            })
        };
        // A process's namespace is listed as `pid:N(comm)`, which must mean itself.
        let pid = |rest: &str| number(rest.split_once('(').map_or(rest, |(pid, _)| pid));
        Ok(match word.split_once(':') {
            Some(("netns", rest)) => Self::Netns(rest.to_owned()),
            Some(("inode", rest)) => Self::Inode(NetnsInode(number(rest)?)),
            Some(("pid", rest)) => Self::Pid(pid(rest)?),
            Some(("if", rest)) => Self::HostVeth(rest.to_owned()),
            _ => Self::Name(word.to_owned()),
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Netns(file) => write!(f, "netns:{file}"),
            Self::Inode(NetnsInode(inode)) => write!(f, "inode:{inode}"),
            Self::Pid(pid) => write!(f, "pid:{pid}"),
            Self::HostVeth(name) => write!(f, "if:{name}"),
        }
    }
}

/// Why a TARGET does not name one namespace.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ResolveError {
    /// Nothing matches.
    #[error("no network namespace matches `{0}`")]
    NoMatch(Target),
    /// Several match.
    #[error("`{target}` is ambiguous: {}", candidates.join(", "))]
    Ambiguous {
        /// What was asked for.
        target: Target,
        /// Words that mean each of what matches, unambiguously.
        candidates: Vec<String>,
    },
}

/// Fewer characters of a container's id are too easily the start of a name's typo.
const MIN_ID_PREFIX: usize = 4;

impl Target {
    /// Whether `netns` is meant, if a name has no precedence over the start of an id.
    fn matches(&self, netns: &Netns) -> bool {
        match self {
            Self::Name(name) => netns.name == *name || self.is_id_prefix(netns),
            Self::Netns(file) => is_file(netns, file),
            Self::Inode(inode) => netns.identity.inode() == Some(*inode),
            Self::Pid(pid) => netns.pids.contains(pid),
            Self::HostVeth(name) => netns.interfaces.iter().any(|iface| {
                iface.watch == Watch::HostVeth
                    && iface.peer.as_ref().is_some_and(|peer| peer.name == *name)
            }),
        }
    }

    fn is_id_prefix(&self, netns: &Netns) -> bool {
        let Self::Name(prefix) = self else {
            return false;
        };
        prefix.len() >= MIN_ID_PREFIX
            && netns
                .container
                .as_ref()
                .is_some_and(|container| container.id.starts_with(prefix))
    }

    /// The one namespace that is meant.
    ///
    /// # Errors
    ///
    /// If none is, or more than one.
    pub fn resolve<'a>(&self, topology: &'a Topology) -> Result<&'a Netns, ResolveError> {
        match self.all(topology)[..] {
            [netns] => Ok(netns),
            [] => Err(ResolveError::NoMatch(self.clone())),
            ref found => Err(ResolveError::Ambiguous {
                target: self.clone(),
                candidates: found.iter().map(|netns| unambiguous(netns)).collect(),
            }),
        }
    }

    /// Every namespace that is meant: by name, and only if there is none, by the start of an id.
    #[must_use]
    pub fn all<'a>(&self, topology: &'a Topology) -> Vec<&'a Netns> {
        let matching = |test: &dyn Fn(&Netns) -> bool| -> Vec<&'a Netns> {
            topology
                .netnses
                .iter()
                .map(Arc::as_ref)
                .filter(|netns| test(netns))
                .collect()
        };
        let mut found: Vec<&Netns> = match self {
            Self::Name(name) => matching(&|netns| netns.name == *name),
            _ => matching(&|netns| self.matches(netns)),
        };
        if found.is_empty() {
            found = matching(&|netns| self.is_id_prefix(netns));
        }
        found
    }
}

/// Resolves each target; every namespace if there are none.
///
/// # Errors
///
/// As [`Target::resolve`], for the first that does not name one namespace.
pub fn select<'a>(
    targets: &[Target],
    topology: &'a Topology,
) -> Result<Vec<&'a Netns>, ResolveError> {
    if targets.is_empty() {
        return Ok(topology.netnses.iter().map(Arc::as_ref).collect());
    }
    let wanted: Vec<&Netns> = targets
        .iter()
        .map(|target| target.resolve(topology))
        .collect::<Result<_, _>>()?;
    // In the order of the graph, and each once.
    let is_wanted = |netns: &&Netns| wanted.iter().any(|one| std::ptr::eq(*one, *netns));
    Ok(topology
        .netnses
        .iter()
        .map(Arc::as_ref)
        .filter(is_wanted)
        .collect())
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
                let run = file
                    .strip_prefix("/var")
                    .filter(|rest| rest.starts_with("/run/"));
                path == Path::new(file) || run.is_some_and(|run| path == Path::new(run))
            } else {
                path.file_name().is_some_and(|name| name == file)
            }
        })
}

fn unambiguous(netns: &Netns) -> String {
    let what = match (&netns.container, netns.identity.inode()) {
        (Some(container), _) => container.id.chars().take(12).collect(),
        (None, Some(NetnsInode(inode))) => format!("inode:{inode}"),
        (None, None) => return netns.name.clone(),
    };
    match netns.kind {
        Kind::Container => format!("{what} (container {})", netns.name),
        kind => format!("{what} ({kind} {})", netns.name),
    }
}

#[cfg(test)]
mod tests;
