//! What container runtimes leave on disk about their running containers: found, followed, read.
//!
//! Files need no socket and work while the runtime hangs. What is in them is for
//! [`crate::topology::runtime`]; here is where they are, and when they change:
//!
//! - [`Names`] has a thread for each kind of `Source`. It looks, keeps what it found for everybody
//!   to take, and waits for inotify to say that something has changed. Nobody ever waits for it but
//!   the first look, and that not for long: a file system that hangs costs the names that are in it,
//!   nothing else.
//! - Where sockets are asked too ([`super::ask`]), one more thread does, and what they answer is added.
//! - `Root` reads: bounded in size and number, no symbolic link out of the root, nothing but regular
//!   files, so that who may write there can neither keep us nor have us read something else.

mod asking;
mod bundles;
mod docker;
mod names;
mod root;
mod storage;
mod watch;

use std::path::PathBuf;

pub use names::Names;

use crate::topology::model::{Container, Init};

/// Where runtimes keep their files, beside where they do by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roots {
    /// Data roots of Docker.
    pub docker: Vec<PathBuf>,
    /// State directories of containerd.
    pub containerd: Vec<PathBuf>,
    /// Run roots of containers/storage, which Podman and CRI-O use.
    pub storage_run: Vec<PathBuf>,
    /// Graph roots of containers/storage.
    pub storage_graph: Vec<PathBuf>,
}

/// What a source has found by one look.
#[derive(Debug, Default)]
struct Found {
    containers: Vec<Container>,
    warnings: Vec<String>,
    /// Where changes show.
    dirs: Vec<PathBuf>,
    /// Something is not written to its end yet: to be looked at again soon.
    is_unfinished: bool,
}

/// A kind of place where a runtime keeps its files.
trait Source: Send {
    /// What it is called where it does not answer.
    fn name(&self) -> &'static str;

    /// Looks at every container. What is known of files that have not changed is not read again,
    /// unless `afresh`.
    fn look(&mut self, afresh: bool) -> Found;
}

/// Finds the first process of a container by its pid and id: [`init`], but for tests.
type FindInit = fn(u32, &str) -> Option<Init>;

/// The first process of the container `id`, if `pid` is one of its processes.
///
/// After a crash a file says that a container runs still, and its pid may be anybody's: the id must
/// be in the path of the process's cgroup.
fn init(pid: u32, id: &str) -> Option<Init> {
    let started = super::proc::start_time(pid)?;
    super::proc::is_in_cgroup(pid, id).then_some(Init { pid, started })
}

#[cfg(test)]
mod tests;
