//! containerd: a bundle for each running container below its state directory.

use std::path::PathBuf;

use super::{
    FindInit, Found, Source,
    docker::MAX_FILE,
    init,
    root::{Cache, Root, distinct},
};
use crate::topology::{model::Container, runtime::oci::Bundle};

/// State directories: containerd's own, and those of k3s and RKE2, k0s, and `MicroK8s`.
const STATES: [&str; 4] = [
    "/run/containerd",
    "/run/k3s/containerd",
    "/run/k0s/containerd",
    "/var/snap/microk8s/common/run/containerd",
];
/// Where the second version of shims keeps bundles, since containerd 1.3.
const TASKS: &str = "io.containerd.runtime.v2.task";
/// containerd's namespace of Docker, whose bundles have no names: Docker's own files do.
const DOCKERS: &str = "moby";
/// A pid and a newline.
const MAX_PID: u64 = 32;

/// The containers of containerd.
pub(super) struct Containerd {
    states: Vec<PathBuf>,
    known: Cache<Container>,
    find_init: FindInit,
}

impl Containerd {
    /// Below the usual directories, and these.
    pub(super) fn new(more: &[PathBuf]) -> Self {
        let usual = STATES.iter().map(PathBuf::from);
        Self::below(distinct(usual.chain(more.iter().cloned()).collect()), init)
    }

    /// Below these directories alone.
    pub(super) fn below(states: Vec<PathBuf>, find_init: FindInit) -> Self {
        Self {
            states,
            known: Cache::default(),
            find_init,
        }
    }
}

impl Source for Containerd {
    fn name(&self) -> &'static str {
        "containerd"
    }

    fn look(&mut self, afresh: bool) -> Found {
        let mut found = Found::default();
        self.known.begin(afresh);
        for state in self.states.clone() {
            found.dirs.push(state.join(TASKS));
            // Not there, or not for us: whoever may look at one may look at Docker's too, which says
            // so.
            let Ok(root) = Root::open(&state) else {
                continue;
            };
            for namespace in root.names(TASKS).unwrap_or_default() {
                if namespace == DOCKERS {
                    continue;
                }
                let dir = format!("{TASKS}/{namespace}");
                found.dirs.push(root.path(&dir));
                for id in root.names(&dir).unwrap_or_default() {
                    self.look_at(&root, &namespace, &id, &mut found);
                }
            }
        }
        found
    }
}

impl Containerd {
    fn look_at(&mut self, root: &Root, namespace: &str, id: &str, found: &mut Found) {
        let dir = format!("{TASKS}/{namespace}/{id}");
        let parsed = self.known.get(
            root,
            &format!("{dir}/config.json"),
            MAX_FILE,
            &mut found.warnings,
            &mut found.is_unfinished,
            |document| Ok(Bundle::parse(document)?.containerd(id.to_owned(), namespace)),
        );
        let pid = read_pid(root, &format!("{dir}/init.pid"));
        if parsed.is_none() || pid.is_none() {
            // It is being made. Nothing changes in it later.
            found.dirs.push(root.path(&dir));
        }
        if let Some(mut container) = parsed {
            container.init = pid.and_then(|pid| (self.find_init)(pid, id));
            found.containers.push(container);
        }
    }
}

/// The number in a file.
pub(super) fn read_pid(root: &Root, name: &str) -> Option<u32> {
    let (_, text) = root.read(name, MAX_PID).ok()?;
    std::str::from_utf8(&text).ok()?.trim().parse().ok()
}
