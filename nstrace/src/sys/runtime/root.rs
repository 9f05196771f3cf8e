//! A directory of somebody else's, read with care.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File},
    io::{self, ErrorKind, Read as _},
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use nix::{
    fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2},
    sys::stat::{FileStat, Mode, SFlag, fstat},
};

use crate::topology::model::without_var;

/// More entries than this are not listed: no host runs so many containers.
const MAX_ENTRIES: usize = 16_384;
/// What does not decode but is younger than this may still be written to.
const SETTLED: Duration = Duration::from_secs(1);

/// A file as it was when it was read: its inode, size, and time of change.
pub(super) type Stamp = (u64, i64, i64, i64);

/// An open directory.
pub(super) struct Root {
    dir: OwnedFd,
    path: PathBuf,
    /// Whether mounts below are not entered: an ordinary user's may be a file system that hangs.
    is_users: bool,
}

impl Root {
    /// Opens a directory; its own path may be a symbolic link.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Self {
            dir: open(path, flags, Mode::empty())?,
            path: path.to_owned(),
            is_users: false,
        })
    }

    /// The same, of an ordinary user.
    pub(super) fn open_users(path: &Path) -> io::Result<Self> {
        let root = Self::open(path)?;
        Ok(Self {
            is_users: true,
            ..root
        })
    }

    /// Where `name` is, for inotify and for messages.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn open_below(&self, name: &str, flags: OFlag) -> io::Result<OwnedFd> {
        let mut resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        if self.is_users {
            resolve |= ResolveFlag::RESOLVE_NO_XDEV;
        }
        let how = OpenHow::new()
            .flags(flags | OFlag::O_CLOEXEC)
            .resolve(resolve);
        Ok(openat2(self.dir.as_fd(), name, how)?)
    }

    /// The names in the directory `name` that a container or one of its kin could have, sorted.
    pub(super) fn names(&self, name: &str) -> io::Result<Vec<String>> {
        let dir = self.open_below(name, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
        let is_plain = |name: &String| {
            name.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        let mut names: Vec<String> = fs::read_dir(format!("/proc/self/fd/{}", dir.as_raw_fd()))?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(is_plain)
            .take(MAX_ENTRIES)
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    /// A file as it is now.
    pub(super) fn stamp(&self, name: &str) -> Option<Stamp> {
        Some(stamp(&self.stat(name)?))
    }

    /// Whether there is a directory of that name.
    pub(super) fn is_dir(&self, name: &str) -> bool {
        let found = self.stat(name);
        found.is_some_and(|found| kind(&found) == SFlag::S_IFDIR)
    }

    fn stat(&self, name: &str) -> Option<FileStat> {
        let file = self
            .open_below(name, OFlag::O_PATH | OFlag::O_NOFOLLOW)
            .ok()?;
        fstat(&file).ok()
    }

    /// Reads a file of at most so many bytes.
    pub(super) fn read(&self, name: &str, most: u64) -> io::Result<(Stamp, Vec<u8>)> {
        // Whatever stands there under that name: a FIFO must not keep us waiting for a writer.
        let file = self.open_below(name, OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY)?;
        let found = fstat(&file)?;
        if kind(&found) != SFlag::S_IFREG {
            return Err(io::Error::new(
                ErrorKind::InvalidInput,
                "not a regular file",
            ));
        }
        let mut bytes = Vec::new();
        File::from(file).take(most + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > most {
            return Err(io::Error::from(ErrorKind::FileTooLarge));
        }
        Ok((stamp(&found), bytes))
    }

    /// Whether a file has been changed so lately that it may still be written to.
    pub(super) fn is_young(&self, name: &str) -> bool {
        let Some(found) = self.stat(name) else {
            return false;
        };
        let changed = u64::try_from(found.st_mtime).unwrap_or_default();
        let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(changed);
        // With its second: the rest of the time is not looked at.
        changed
            .elapsed()
            .is_ok_and(|age| age < SETTLED + Duration::from_secs(1))
    }
}

fn kind(found: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT
}

/// Each directory once, however it is written.
pub(super) fn distinct(paths: Vec<PathBuf>) -> Vec<PathBuf> {
    let mut known = HashSet::new();
    let mut paths = paths;
    paths.retain(|path| {
        // One that is not there yet is what it is called.
        let found = fs::canonicalize(path);
        known.insert(found.unwrap_or_else(|_| without_var(path).to_owned()))
    });
    paths
}

fn stamp(found: &FileStat) -> Stamp {
    (
        found.st_ino,
        found.st_size,
        found.st_ctime,
        found.st_ctime_nsec,
    )
}

/// What was made of files, for as long as they do not change.
#[derive(Debug)]
pub(super) struct Cache<T> {
    known: HashMap<PathBuf, (Stamp, T)>,
    before: HashMap<PathBuf, (Stamp, T)>,
}

impl<T> Default for Cache<T> {
    fn default() -> Self {
        Self {
            known: HashMap::new(),
            before: HashMap::new(),
        }
    }
}

impl<T: Clone> Cache<T> {
    /// Begins a look: what is not asked for until the next is forgotten.
    pub(super) fn begin(&mut self, afresh: bool) {
        self.before = std::mem::take(&mut self.known);
        if afresh {
            self.before.clear();
        }
    }

    /// What `parse` makes of a file; what it made of it before, if that is the same still. `None`
    /// where there is none, or none that can be read yet; what cannot be read at all is said in
    /// `warnings`. The flag is set where it is to be looked at again soon.
    pub(super) fn get(
        &mut self,
        root: &Root,
        name: &str,
        most: u64,
        warnings: &mut Vec<String>,
        is_unfinished: &mut bool,
        parse: impl FnOnce(&[u8]) -> serde_json::Result<T>,
    ) -> Option<T> {
        let path = root.path(name);
        let now = root.stamp(name)?;
        // Twice in one look.
        if let Some((_, value)) = self.known.get(&path).filter(|(stamp, _)| *stamp == now) {
            return Some(value.clone());
        }
        if let Some((stamp, value)) = self.before.remove(&path).filter(|(stamp, _)| *stamp == now) {
            self.known.insert(path, (stamp, value.clone()));
            return Some(value);
        }
        let read = root.read(name, most);
        let parsed = read.and_then(|(stamp, bytes)| Ok((stamp, parse(&bytes)?)));
        match parsed {
            Ok((stamp, value)) => {
                self.known.insert(path, (stamp, value.clone()));
                Some(value)
            }
            // Removed while it was looked at.
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(_) if root.is_young(name) => {
                *is_unfinished = true;
                None
            }
            Err(error) => {
                warnings.push(format!("no name from {}: {error}", path.display()));
                None
            }
        }
    }
}
