//! Docker: one file for each container below its data root.

use std::{
    fs::File,
    io::{ErrorKind, Read as _},
    path::PathBuf,
};

use super::{
    FindInit, Found, Source, init,
    root::{Cache, Root, distinct},
};
use crate::topology::{model::Container, runtime::docker};

/// The data root where nothing else is said.
const DEFAULT_ROOT: &str = "/var/lib/docker";
/// Docker's settings, which may move the data root.
const SETTINGS: &str = "/etc/docker/daemon.json";
/// A container's file holds its settings and labels: tens of kilobytes at most.
pub(super) const MAX_FILE: u64 = 4 << 20;

/// The containers of Docker.
pub(super) struct Docker {
    roots: Vec<PathBuf>,
    known: Cache<(Container, Option<u32>)>,
    find_init: FindInit,
}

impl Docker {
    /// Below the root that Docker's settings name, and these.
    pub(super) fn new(more: &[PathBuf]) -> Self {
        let mut settings = Vec::new();
        // The administrator's own file; its length is bounded all the same.
        if let Ok(file) = File::open(SETTINGS)
            && file.take(MAX_FILE).read_to_end(&mut settings).is_err()
        {
            settings.clear();
        }
        let own = docker::data_root(&settings).unwrap_or_else(|| PathBuf::from(DEFAULT_ROOT));
        let roots = std::iter::once(own).chain(more.iter().cloned());
        Self::below(distinct(roots.collect()), init)
    }

    /// Below these roots alone.
    pub(super) fn below(roots: Vec<PathBuf>, find_init: FindInit) -> Self {
        Self {
            roots,
            known: Cache::default(),
            find_init,
        }
    }
}

impl Source for Docker {
    fn name(&self) -> &'static str {
        "Docker"
    }

    fn look(&mut self, afresh: bool) -> Found {
        let mut found = Found::default();
        self.known.begin(afresh);
        for path in &self.roots {
            let containers = path.join("containers");
            let names = Root::open(path).and_then(|root| Ok((root.names("containers")?, root)));
            // Also where it is not there yet.
            found.dirs.push(containers.clone());
            let (names, root) = match names {
                Ok(found) => found,
                Err(error) => {
                    if error.kind() != ErrorKind::NotFound {
                        let place = containers.display();
                        let warning = format!("no container names from {place}: {error}");
                        found.warnings.push(warning);
                    }
                    continue;
                }
            };
            for name in names {
                let dir = format!("containers/{name}");
                // The file is replaced whenever the container is started or stopped.
                found.dirs.push(root.path(&dir));
                let read = self.known.get(
                    &root,
                    &format!("{dir}/config.v2.json"),
                    MAX_FILE,
                    &mut found.warnings,
                    &mut found.is_unfinished,
                    docker::container,
                );
                if let Some((mut container, pid)) = read {
                    container.init = pid.and_then(|pid| (self.find_init)(pid, &container.id));
                    found.containers.push(container);
                }
            }
        }
        found
    }
}
