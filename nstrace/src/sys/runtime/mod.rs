//! What container runtimes leave on disk about their running containers.
//!
//! Files need no socket and work while the runtime hangs. Docker, for now: one JSON file per
//! container below its data root.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, ErrorKind, Read as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{netns::Netns, proc};
use crate::topology::model::Container;

/// Docker's data root where nothing else is said.
const DOCKER_ROOT: &str = "/var/lib/docker";
/// Docker's settings, which may move the data root.
const DOCKER_SETTINGS: &str = "/etc/docker/daemon.json";
/// A container's file holds its settings and labels: tens of kilobytes at most.
const MAX_FILE: u64 = 4 << 20;

#[derive(Deserialize)]
struct Settings {
    #[serde(rename = "data-root")]
    data_root: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerContainer {
    #[serde(rename = "ID")]
    id: String,
    name: String,
    state: State,
    config: Config,
    network_settings: Option<NetworkSettings>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    running: bool,
    pid: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    image: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NetworkSettings {
    sandbox_key: Option<PathBuf>,
}

/// Docker's data root: what its settings say, else the default.
#[must_use]
pub fn docker_root() -> PathBuf {
    read_bounded(Path::new(DOCKER_SETTINGS))
        .ok()
        .and_then(|settings| {
            serde_json::from_slice::<Settings>(&settings)
                .ok()?
                .data_root
        })
        .unwrap_or_else(|| PathBuf::from(DOCKER_ROOT))
}

/// A file as it was when it was read: its inode, size, and time of change. Docker replaces a
/// container's file rather than to write into it.
type Stamp = (u64, u64, i64, i64);

/// The containers below a Docker data root.
#[derive(Debug)]
pub struct Docker {
    root: PathBuf,
    known: HashMap<PathBuf, (Stamp, Option<Container>)>,
}

impl Docker {
    /// Nothing is read yet.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self {
            root,
            known: HashMap::new(),
        }
    }

    /// Has the next look read each file again.
    pub fn forget(&mut self) {
        self.known.clear();
    }

    /// The running containers; what is known of a file that has not changed is not read again.
    /// What cannot be read is said in `warnings`; a host without Docker has none.
    pub fn containers(&mut self, warnings: &mut Vec<String>) -> Vec<Container> {
        let dir = self.root.join("containers");
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Vec::new(),
            Err(error) => {
                warnings.push(format!(
                    "no container names from {}: {error}",
                    dir.display()
                ));
                return Vec::new();
            }
        };
        let mut before = std::mem::take(&mut self.known);
        let mut found = Vec::new();
        for entry in entries.flatten() {
            let path = entry.path().join("config.v2.json");
            let stamp = stamp(&path);
            let known = before.remove(&path);
            if let Some((known, container)) = known.filter(|(known, _)| Some(*known) == stamp) {
                found.extend(container.clone());
                self.known.insert(path, (known, container));
                continue;
            }
            match container(&path) {
                Ok(container) => {
                    // One whose namespace is not there yet will be asked for it again.
                    let is_whole = container.as_ref().is_none_or(|one| one.inode.is_some());
                    if let Some(stamp) = stamp.filter(|_| is_whole) {
                        self.known.insert(path, (stamp, container.clone()));
                    }
                    found.extend(container);
                }
                // Removed while it was looked at, or not written yet.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => warnings.push(format!("no name from {}: {error}", path.display())),
            }
        }
        found.sort_by(|a, b| a.id.cmp(&b.id));
        found
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let file = fs::metadata(path).ok()?;
    Some((file.ino(), file.size(), file.ctime(), file.ctime_nsec()))
}

/// Reads one container's file; `None` if it does not run.
fn container(path: &Path) -> io::Result<Option<Container>> {
    let read: DockerContainer = serde_json::from_slice(&read_bounded(path)?)?;
    if !read.state.running {
        return Ok(None);
    }
    // With `--network container:` there is no sandbox of its own.
    let sandbox = read
        .network_settings
        .and_then(|settings| settings.sandbox_key)
        .filter(|sandbox| !sandbox.as_os_str().is_empty());
    let inode = sandbox.and_then(|path| Netns::open(&path).ok()?.identity().inode());
    let id = read.id;
    Ok(Some(Container {
        runtime: "docker".to_owned(),
        name: read.name.trim_start_matches('/').to_owned(),
        image: read.config.image,
        // After a crash the file says "running" still, and the pid may be anybody's.
        pid: Some(read.state.pid).filter(|pid| proc::is_in_cgroup(*pid, &id)),
        id,
        inode,
    }))
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(io::Error::from(ErrorKind::FileTooLarge));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
