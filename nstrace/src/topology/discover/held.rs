//! Containers and names that lead over a process: which namespace it is in, what holds it.

use std::{collections::HashSet, path::Path};

use super::known::Known;
use crate::{
    sys::{netns::Netns, proc},
    topology::{
        model::{Container, Facts, Init, Network, without_var},
        runtime::cgroup,
    },
};

/// A process that a namespace is called after.
#[derive(Clone, Debug)]
pub(super) struct Holder {
    comm: String,
    init: Option<Init>,
    container: Option<Container>,
}

impl Holder {
    /// Asks for it.
    pub(super) fn of(pid: u32) -> Self {
        let by_parent = || {
            let parent = proc::parent(pid)?;
            let comm = proc::comm(parent);
            // What a process was started with is its own memory: not anybody's is read.
            let may_say = cgroup::is_parent(&comm) && proc::is_roots(parent);
            may_say.then(|| cgroup::by_parent(&comm, &proc::arguments(parent)))?
        };
        // The parent first: a cgroup's name may have a number behind it.
        let container = by_parent().or_else(|| cgroup::container(&proc::cgroups(pid)));
        Self {
            comm: proc::comm(pid),
            init: proc::start_time(pid).map(|started| Init { pid, started }),
            container: container.and_then(|container| of_owner(pid, container)),
        }
    }
}

/// A container that a process seems to be in. An ordinary user may call a cgroup whatever a runtime
/// would: then it is that user's.
fn of_owner(pid: u32, container: Container) -> Option<Container> {
    let netns = Netns::open(&proc::netns_path(pid)).ok()?;
    let user = netns.owner().filter(|owner| *owner != 0);
    Some(Container { user, ..container })
}

/// Tells each container whose namespace no file is known to hold which one its first process is in.
pub(super) fn find_processes(facts: &mut Facts) {
    let files: HashSet<&Path> = facts
        .netnses
        .iter()
        .flat_map(|netns| &netns.paths)
        .map(|path| without_var(path))
        .collect();
    for container in &mut facts.containers {
        let is_known = match &container.network {
            Network::File(path) => files.contains(without_var(path)),
            Network::Container(_) | Network::Host => true,
            Network::Process => false,
        };
        if is_known {
            continue;
        }
        container.inode = container.init.and_then(|init| {
            let inode = proc::netns_of_process(init.pid, init.started)?;
            // Whoever may write what a container is called may not call others' namespaces so.
            let is_allowed = container.user.is_none_or(|user| {
                let netns = Netns::open(&proc::netns_path(init.pid)).ok();
                netns.is_some_and(|netns| {
                    netns.identity().inode() == Some(inode) && netns.owner() == Some(user)
                })
            });
            is_allowed.then_some(inode)
        });
    }
}

/// Where a namespace would be called after a process: what that process is called, and whether it is
/// a container after all. The host alone has hundreds of processes: only what becomes a name is read.
pub(super) fn name_by_processes(facts: &mut Facts, known: &mut Known) {
    let mut found = Vec::new();
    for at in facts.named_after_processes() {
        let netns = &mut facts.netnses[at];
        let Some(first) = netns.processes.first_mut() else {
            continue;
        };
        let holder = known.holder(first.pid);
        first.comm.clone_from(&holder.comm);
        found.extend(holder.container.clone().map(|container| Container {
            init: holder.init,
            inode: netns.identity.inode(),
            ..container
        }));
    }
    for container in found {
        let same = facts
            .containers
            .iter_mut()
            .find(|one| one.id == container.id && one.runtime == container.runtime);
        match same {
            None => facts.containers.push(container),
            // Its runtime has not written yet that it runs.
            Some(known)
                if known.init.is_none()
                    && known.network == Network::Process
                    && known.user == container.user =>
            {
                known.inode = container.inode;
            }
            // It is elsewhere: this is an exec of it into another namespace.
            Some(_) => {}
        }
    }
}
