//! Hints that something about namespaces or interfaces may have changed.
//!
//! One thread waits on: rtnetlink's link, address and namespace-id groups, of this namespace and
//! of every one that has an id here; inotify on the directories of nsfs files; and the mount
//! table, since a name in `/run/netns` becomes a namespace when it is mounted over. Nothing is
//! read out of an event: whatever it says, and if events were lost, the answer is another look at
//! the whole. So an overrun cannot leave anything stale.

use std::{
    fs::File,
    io,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd},
    path::Path,
    sync::Arc,
    thread::{self, JoinHandle},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        eventfd::{EfdFlags, EventFd},
        inotify::{AddWatchFlags, InitFlags, Inotify},
    },
};
use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use tokio::sync::mpsc;

/// `RTNLGRP_LINK`, `RTNLGRP_IPV4_IFADDR`, `RTNLGRP_IPV6_IFADDR`, `RTNLGRP_NSID`.
const GROUPS: [u32; 4] = [1, 5, 9, 28];
/// Room for a burst of events; what does not fit makes the kernel say so, which is a hint too.
const SOCKET_BUFFER: usize = 1 << 20;

/// Something may have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hint;

/// The thread that waits for hints. It ends when this is dropped.
#[derive(Debug)]
pub struct Watcher {
    stop: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
}

/// Starts to watch, in the calling thread's namespace. `dirs` that do not exist are awaited as
/// long as their parents do. The channel needs room for one hint only: more say nothing more.
///
/// # Errors
///
/// If a socket, inotify instance or thread cannot be made.
pub fn start(dirs: &'static [&'static str]) -> io::Result<(Watcher, mpsc::Receiver<Hint>)> {
    let (hints, receiver) = mpsc::channel(1);
    let stop = Arc::new(EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC)?);
    let sources = Sources::open(dirs)?;
    let stopped = Arc::clone(&stop);
    let thread = thread::Builder::new()
        .name("nstrace-watch".to_owned())
        .spawn(move || sources.run(&stopped, &hints))?;
    Ok((
        Watcher {
            stop,
            thread: Some(thread),
        },
        receiver,
    ))
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let woken = self.stop.write(1);
        if let (Ok(_), Some(thread)) = (woken, self.thread.take())
            && thread.join().is_err()
        {
            tracing::error!("the watcher's thread panicked");
        }
    }
}

struct Sources {
    links: Socket,
    files: Inotify,
    mounts: File,
    dirs: &'static [&'static str],
}

impl Sources {
    fn open(dirs: &'static [&'static str]) -> io::Result<Self> {
        let mut links = Socket::new(NETLINK_ROUTE)?;
        links.bind(&SocketAddr::new(0, 0))?;
        links.set_rx_buf_sz(SOCKET_BUFFER)?;
        for group in GROUPS {
            links.add_membership(group)?;
        }
        // Needs CAP_NET_BROADCAST. Without it, changes inside namespaces are seen by the next
        // full check.
        if let Err(error) = links.set_listen_all_namespaces(true) {
            tracing::debug!(%error, "link events of this namespace only");
        }
        links.set_non_blocking(true)?;
        let files = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        let mounts = File::open("/proc/self/mountinfo")?;
        let sources = Self {
            links,
            files,
            mounts,
            dirs,
        };
        sources.watch_dirs();
        Ok(sources)
    }

    /// Watches each directory, or, where it does not exist, the nearest one above that does.
    /// Adding a watch again changes nothing.
    fn watch_dirs(&self) {
        let events = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_ONLYDIR;
        for dir in self.dirs {
            let mut next = Some(Path::new(dir));
            while let Some(dir) = next.filter(|dir| *dir != Path::new("/")) {
                match self.files.add_watch(dir, events) {
                    Err(Errno::ENOENT | Errno::ENOTDIR) => next = dir.parent(),
                    Err(error) => {
                        tracing::debug!(%error, dir = %dir.display(), "not watched");
                        break;
                    }
                    Ok(_) => break,
                }
            }
        }
    }

    fn run(self, stop: &EventFd, hints: &mpsc::Sender<Hint>) {
        // SAFETY: the socket is open as long as `self`.
        let links = unsafe { BorrowedFd::borrow_raw(self.links.as_raw_fd()) };
        loop {
            let mut waiting = [
                PollFd::new(stop.as_fd(), PollFlags::POLLIN),
                PollFd::new(links, PollFlags::POLLIN),
                PollFd::new(self.files.as_fd(), PollFlags::POLLIN),
                // proc(5): a change of the mount table is an exceptional condition.
                PollFd::new(self.mounts.as_fd(), PollFlags::POLLPRI),
            ];
            match poll(&mut waiting, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => {
                    tracing::error!(%error, "changes are seen by full checks only from now on");
                    return;
                }
            }
            let [stopped, link, file, mount] = waiting.map(|fd| fd.any().unwrap_or(true));
            if stopped {
                return;
            }
            if link {
                drain(|buffer| self.links.recv(&mut &mut buffer[..], 0));
            }
            if file {
                drain(|_| {
                    self.files
                        .read_events()
                        .map(|events| events.len())
                        .map_err(Into::into)
                });
                self.watch_dirs();
            }
            // The mount table has nothing to drain: poll itself takes note of the change.
            tracing::trace!(link, file, mount, "hint");
            // Full: a hint is waiting already.
            if let Err(mpsc::error::TrySendError::Closed(_)) = hints.try_send(Hint) {
                return;
            }
        }
    }
}

/// Reads until there is nothing left. An overrun (`ENOBUFS`) is one more reason for a hint.
fn drain(mut read: impl FnMut(&mut [u8]) -> io::Result<usize>) {
    let mut buffer = [0; 8192];
    loop {
        match read(&mut buffer) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
            Err(_) => return,
        }
    }
}
