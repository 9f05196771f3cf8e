//! Directories, watched by inotify: that something has changed in one of them.

use std::{
    collections::HashMap,
    os::fd::{AsFd, BorrowedFd},
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor},
};

/// More are not watched: what changes in them is found by a look that is due anyway. A user may
/// have 8,192 by default on small machines.
const MAX_WATCHES: usize = 4096;

/// What is watched.
pub(super) struct Dirs {
    /// `None` where changes are not followed.
    inotify: Option<Inotify>,
    watched: HashMap<PathBuf, WatchDescriptor>,
}

impl Dirs {
    pub(super) fn new() -> nix::Result<Self> {
        Ok(Self {
            inotify: Some(Inotify::init(
                InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK,
            )?),
            watched: HashMap::new(),
        })
    }

    /// That follows nothing.
    pub(super) fn none() -> Self {
        Self {
            inotify: None,
            watched: HashMap::new(),
        }
    }

    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.inotify.as_ref().map(AsFd::as_fd)
    }

    /// Watches these, or, where one does not exist, the nearest above it that does. Gives whether
    /// any is new: what happened in it before is then not known.
    pub(super) fn watch(&mut self, dirs: &[PathBuf]) -> bool {
        let Some(inotify) = &self.inotify else {
            return false;
        };
        let mut wanted = HashMap::with_capacity(dirs.len());
        let mut has_new = false;
        for dir in dirs.iter().take(MAX_WATCHES) {
            if let Some((dir, watch)) = self.watched.remove_entry(dir) {
                wanted.insert(dir, watch);
                continue;
            }
            let mut next = Some(dir.as_path());
            while let Some(dir) = next.filter(|dir| *dir != Path::new("/")) {
                if let Some((dir, watch)) = self.watched.remove_entry(dir) {
                    wanted.insert(dir, watch);
                }
                if wanted.contains_key(dir) {
                    break;
                }
                match inotify.add_watch(dir, events()) {
                    Ok(watch) => {
                        has_new = true;
                        wanted.insert(dir.to_owned(), watch);
                        break;
                    }
                    Err(Errno::ENOENT | Errno::ENOTDIR) => next = dir.parent(),
                    Err(error) => {
                        tracing::debug!(%error, dir = %dir.display(), "not watched");
                        break;
                    }
                }
            }
        }
        let kept: Vec<WatchDescriptor> = wanted.values().copied().collect();
        for (_, watch) in std::mem::replace(&mut self.watched, wanted) {
            // Gone by itself with its directory, most of the time.
            if !kept.contains(&watch) && inotify.rm_watch(watch).is_err() {
                tracing::trace!("the watch had gone with its directory");
            }
        }
        has_new
    }

    /// Takes note of whatever has happened.
    pub(super) fn drain(&mut self) {
        let Some(inotify) = &self.inotify else {
            return;
        };
        while let Ok(events) = inotify.read_events() {
            for event in &events {
                if event.mask.contains(AddWatchFlags::IN_IGNORED) {
                    self.watched.retain(|_, watch| *watch != event.wd);
                }
            }
            if events.is_empty() {
                return;
            }
        }
    }
}

fn events() -> AddWatchFlags {
    AddWatchFlags::IN_CREATE
        | AddWatchFlags::IN_DELETE
        | AddWatchFlags::IN_MOVE
        | AddWatchFlags::IN_CLOSE_WRITE
        | AddWatchFlags::IN_ONLYDIR
}
