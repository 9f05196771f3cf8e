//! Hints that something about namespaces or interfaces may have changed, and where.
//!
//! One thread waits on: rtnetlink's link, address and namespace-id groups, of this namespace and
//! of every one that has an id here; inotify on the directories of nsfs files; and the mount
//! table, since a name in `/run/netns` becomes a namespace when it is mounted over. An event only
//! says where to look again: [`Changes`]. If events were lost, or cannot be told apart, the answer
//! is another look at the whole. So an overrun cannot leave anything stale.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, IoSliceMut},
    os::fd::{AsFd as _, AsRawFd as _},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use nix::{
    cmsg_space,
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        eventfd::{EfdFlags, EventFd},
        inotify::{AddWatchFlags, InitFlags, Inotify},
        socket::{ControlMessageOwned, MsgFlags, recvmsg},
    },
};
use rtnetlink::{
    packet_core::{NetlinkBuffer, NlasIterator},
    sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE},
};
use tokio::sync::mpsc;

use crate::topology::model::{Ifindex, Nsid};

/// `RTNLGRP_LINK`, `RTNLGRP_IPV4_IFADDR`, `RTNLGRP_IPV6_IFADDR`, `RTNLGRP_NSID`.
const GROUPS: [u32; 4] = [1, 5, 9, 28];
/// Room for a burst of events; what does not fit makes the kernel say so, which is a hint too.
const SOCKET_BUFFER: usize = 1 << 20;
/// One event is a message of some 1,500 bytes.
const EVENT_BUFFER: usize = 32 << 10;
/// From so many places on, a look at the whole is cheaper than one at each.
const MAX_PLACES: usize = 512;

/// Something may have changed: [`Changed::take`] says where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hint;

/// Where something may have changed since the last look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Anywhere: events were lost, or are too many.
    pub everywhere: bool,
    /// Links of this namespace.
    pub links: BTreeSet<Ifindex>,
    /// Namespaces, by the ids that this one has for them.
    pub netnses: BTreeSet<Nsid>,
    /// Files that hold namespaces.
    pub files: bool,
    /// What is known of containers.
    pub names: bool,
}

impl Changes {
    /// Anything may be otherwise.
    #[must_use]
    pub fn everywhere() -> Self {
        Self {
            everywhere: true,
            ..Self::default()
        }
    }

    /// Takes in where one message comes from and what it is about. `from` is the namespace, if it
    /// is another one.
    fn add(&mut self, message: &NetlinkBuffer<&[u8]>, from: Option<Nsid>) {
        let bytes = message.clone().into_inner();
        let number = |at: usize| bytes.get(at..)?.first_chunk().copied();
        let told = match (message.message_type(), from) {
            // Ids that another namespace has given are nothing to us.
            (libc::RTM_NEWNSID | libc::RTM_DELNSID, Some(_)) => true,
            (_, Some(nsid)) => {
                self.netnses.insert(nsid);
                true
            }
            // struct nlmsghdr, then struct ifinfomsg or ifaddrmsg: both have the index there.
            (
                libc::RTM_NEWLINK | libc::RTM_DELLINK | libc::RTM_NEWADDR | libc::RTM_DELADDR,
                None,
            ) => number(20)
                .map(|index| self.links.insert(Ifindex(u32::from_ne_bytes(index))))
                .is_some(),
            // struct nlmsghdr, struct rtgenmsg.
            (libc::RTM_NEWNSID | libc::RTM_DELNSID, None) => {
                let nsid = NlasIterator::new(bytes.get(20..).unwrap_or_default())
                    .map_while(Result::ok)
                    .find(|attribute| attribute.kind() == NETNSA_NSID)
                    .and_then(|attribute| attribute.into_inner().get(4..)?.first_chunk().copied());
                nsid.map(|nsid| self.netnses.insert(Nsid(i32::from_ne_bytes(nsid))))
                    .is_some()
            }
            _ => false,
        };
        self.everywhere |= !told || self.links.len() + self.netnses.len() > MAX_PLACES;
    }
}

/// `include/uapi/linux/net_namespace.h`.
const NETNSA_NSID: u16 = 1;
/// `include/uapi/linux/netlink.h`; in answers the type of the message that carries the id.
const NETLINK_LISTEN_ALL_NSID: libc::c_int = 8;

/// [`Changes`] that pile up until somebody looks.
#[derive(Clone, Debug, Default)]
pub struct Changed(Arc<Mutex<Changes>>);

impl Changed {
    /// What has piled up; from now on it counts as looked at.
    #[must_use]
    pub fn take(&self) -> Changes {
        self.with(std::mem::take)
    }

    /// Has the next look be at the whole.
    pub fn set_everywhere(&self) {
        self.with(|changes| changes.everywhere = true);
    }

    fn merge(&self, mut other: Changes) {
        self.with(|changes| {
            changes.everywhere |= other.everywhere;
            changes.files |= other.files;
            changes.names |= other.names;
            changes.links.append(&mut other.links);
            changes.netnses.append(&mut other.netnses);
            changes.everywhere |= changes.links.len() + changes.netnses.len() > MAX_PLACES;
        });
    }

    fn with<T>(&self, work: impl FnOnce(&mut Changes) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Where others give hints too.
#[derive(Clone, Debug)]
pub struct Hinter {
    changed: Changed,
    hints: mpsc::Sender<Hint>,
}

impl Hinter {
    /// Something else is known of containers than before.
    pub fn names(&self) {
        self.changed.with(|changes| changes.names = true);
        self.hint();
    }

    /// Gives whether anybody is there to take it.
    fn hint(&self) -> bool {
        // Full: a hint is waiting already.
        !matches!(
            self.hints.try_send(Hint),
            Err(mpsc::error::TrySendError::Closed(_))
        )
    }
}

/// The thread that waits for hints. It ends when this is dropped.
#[derive(Debug)]
pub struct Watcher {
    hinter: Hinter,
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
    let changed = Changed::default();
    let sources = Sources::open(dirs, changed.clone())?;
    let stopped = Arc::clone(&stop);
    let hinter = Hinter { changed, hints };
    let told = hinter.clone();
    let thread = thread::Builder::new()
        .name("nstrace-watch".to_owned())
        .spawn(move || sources.run(&stopped, &told))?;
    Ok((
        Watcher {
            hinter,
            stop,
            thread: Some(thread),
        },
        receiver,
    ))
}

impl Watcher {
    /// Where to look.
    #[must_use]
    pub fn changed(&self) -> Changed {
        self.hinter.changed.clone()
    }

    /// Where others can give hints.
    #[must_use]
    pub const fn hinter(&self) -> &Hinter {
        &self.hinter
    }
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
    changed: Changed,
    /// Whether events of other namespaces are heard: without them an event here may be all that
    /// is heard of a change in there.
    hears_all: bool,
}

impl Sources {
    fn open(dirs: &'static [&'static str], changed: Changed) -> io::Result<Self> {
        let mut links = Socket::new(NETLINK_ROUTE)?;
        links.bind(&SocketAddr::new(0, 0))?;
        links.set_rx_buf_sz(SOCKET_BUFFER)?;
        for group in GROUPS {
            links.add_membership(group)?;
        }
        // Needs CAP_NET_BROADCAST. Without it, changes inside namespaces are seen by the next look
        // that something else asks for.
        let hears_all = links.set_listen_all_namespaces(true);
        if let Err(error) = &hears_all {
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
            changed,
            hears_all: hears_all.is_ok(),
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

    fn run(self, stop: &EventFd, hinter: &Hinter) {
        let mut buffer = vec![0; EVENT_BUFFER];
        loop {
            let mut waiting = [
                PollFd::new(stop.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.links.as_fd(), PollFlags::POLLIN),
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
            let mut changes = Changes {
                files: file || mount,
                everywhere: !self.hears_all,
                ..Changes::default()
            };
            if link {
                self.read_events(&mut buffer, &mut changes);
            }
            if file {
                // They are told apart by nobody.
                while self
                    .files
                    .read_events()
                    .is_ok_and(|events| !events.is_empty())
                {}
                self.watch_dirs();
            }
            // The mount table has nothing to read: poll itself takes note of the change.
            tracing::trace!(link, file, mount, "hint");
            self.changed.merge(changes);
            if !hinter.hint() {
                return;
            }
        }
    }

    /// Reads until there is nothing left.
    fn read_events(&self, buffer: &mut [u8], changes: &mut Changes) {
        loop {
            let mut space = cmsg_space!(i32);
            let mut into = [IoSliceMut::new(buffer)];
            let received = recvmsg::<()>(
                self.links.as_raw_fd(),
                &mut into,
                Some(&mut space),
                MsgFlags::empty(),
            );
            let (length, from) = match received {
                Ok(received) if received.bytes > 0 => (received.bytes, nsid(&received)),
                Err(Errno::EINTR) => continue,
                // Events did not fit.
                Err(Errno::ENOBUFS) => {
                    changes.everywhere = true;
                    continue;
                }
                _ => return,
            };
            let mut rest = &buffer[..length];
            while let Ok(message) = NetlinkBuffer::new_checked(rest) {
                let length = (message.length() as usize).next_multiple_of(4);
                changes.add(&message, from);
                rest = rest.get(length..).unwrap_or_default();
            }
        }
    }
}

/// The id of the namespace that a message is from; none for our own.
fn nsid(received: &nix::sys::socket::RecvMsg<'_, '_, ()>) -> Option<Nsid> {
    received.cmsgs().ok()?.find_map(|message| match message {
        ControlMessageOwned::Unknown(unknown)
            if unknown.cmsg_header.cmsg_level == libc::SOL_NETLINK
                && unknown.cmsg_header.cmsg_type == NETLINK_LISTEN_ALL_NSID =>
        {
            let nsid = unknown.data_bytes.first_chunk().copied()?;
            Some(Nsid(i32::from_ne_bytes(nsid)))
        }
        _ => None,
    })
}
