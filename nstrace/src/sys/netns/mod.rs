//! nsfs files: opening, identifying, and, on a thread made for it, entering a namespace.
//!
//! An open descriptor of a namespace, or a socket inside it, keeps the namespace and its veth
//! alive. So nothing here is kept: what needs a descriptor takes it for the length of a call. A command
//! that is to run inside ([`Exec`]) enters when it is started, in its own process.

mod exec;

pub use exec::{Exec, files_for};

use std::{
    fs::File,
    io,
    os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    thread,
};

use nix::{
    sched::{CloneFlags, setns},
    sys::{
        stat::fstat,
        statfs::{FsType, fstatfs},
    },
};

use crate::topology::model::{Identity, NetnsInode};

/// A namespace could not be opened, identified or entered.
#[derive(Debug, thiserror::Error)]
pub enum NetnsError {
    /// The file could not be opened.
    #[error("open {path}")]
    Open {
        /// The nsfs file.
        path: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The file is not a network namespace, or one no more.
    #[error("{path} is not a network namespace")]
    NotNetns {
        /// The file.
        path: String,
    },
    /// The thread that was to enter it could not.
    #[error("enter a network namespace")]
    Enter(#[source] io::Error),
}

/// `NSFS_MAGIC`, in `include/uapi/linux/magic.h`; libc's crate lacks it.
const NSFS_MAGIC: i64 = 0x6e73_6673;

/// `include/uapi/linux/nsfs.h`.
mod ioctl {
    // Since 4.9, 4.11, 4.11 and 6.18.
    nix::ioctl_none!(ns_get_userns, 0xb7, 1);
    nix::ioctl_none!(ns_get_nstype, 0xb7, 3);
    // Its number says that it takes nothing, and it writes all the same.
    nix::ioctl_read_bad!(
        ns_get_owner_uid,
        nix::request_code_none!(0xb7, 4),
        libc::uid_t
    );
    nix::ioctl_read!(ns_get_id, 0xb7, 13, u64);
}

/// An open namespace. Short-lived by rule: see the module.
#[derive(Debug)]
pub struct Netns {
    fd: OwnedFd,
    identity: Identity,
}

impl Netns {
    /// Opens the namespace that the nsfs file at `path` holds, following symbolic links.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened (gone, or no permission), or is something else: a name in
    /// `/run/netns` whose mount is gone is an empty regular file.
    pub fn open(path: &Path) -> Result<Self, NetnsError> {
        let name = || path.to_string_lossy().into_owned();
        // Whatever stands there under that name: a FIFO must not keep us waiting for a writer.
        let file = File::options()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(path)
            .map_err(|source| NetnsError::Open {
                path: name(),
                source,
            })?;
        let fd = OwnedFd::from(file);
        identify(&fd)
            .map(|identity| Self { fd, identity })
            .ok_or_else(|| NetnsError::NotNetns { path: name() })
    }

    /// Opens the calling thread's own.
    ///
    /// # Errors
    ///
    /// If `/proc` is not mounted.
    pub fn open_own() -> Result<Self, NetnsError> {
        // Not /proc/self: that is the main thread's.
        Self::open(Path::new("/proc/thread-self/ns/net"))
    }

    /// Who it is.
    #[must_use]
    pub const fn identity(&self) -> Identity {
        self.identity
    }

    /// The user who has made the user namespace that it belongs to; the host's belong to root.
    #[must_use]
    pub fn owner(&self) -> Option<u32> {
        // SAFETY: takes no argument; the descriptor is open.
        let fd = unsafe { ioctl::ns_get_userns(self.fd.as_raw_fd()) }.ok()?;
        // SAFETY: a descriptor that was just made for us.
        let user_namespace = unsafe { OwnedFd::from_raw_fd(fd) };
        let mut uid = 0;
        // SAFETY: writes one uid_t to where it is told.
        unsafe { ioctl::ns_get_owner_uid(user_namespace.as_raw_fd(), &raw mut uid) }.ok()?;
        Some(uid)
    }

    /// Its descriptor.
    #[must_use]
    pub fn fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Runs `work` inside it, on a thread made for that, which ends afterwards.
    ///
    /// # Errors
    ///
    /// If `CAP_SYS_ADMIN` is missing, or no thread can be made.
    pub fn run_inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, NetnsError> {
        thread::scope(|scope| {
            let inside = || {
                setns(self.fd.as_fd(), CloneFlags::CLONE_NEWNET)
                    .map_err(|errno| NetnsError::Enter(errno.into()))?;
                Ok(work())
            };
            let thread = thread::Builder::new()
                .name("nstrace-netns".to_owned())
                .spawn_scoped(scope, inside)
                .map_err(NetnsError::Enter)?;
            match thread.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }
}

fn identify(fd: &OwnedFd) -> Option<Identity> {
    if fstatfs(fd).ok()?.filesystem_type() != FsType(NSFS_MAGIC) {
        return None;
    }
    // SAFETY: takes no argument; the descriptor is open.
    let kind = unsafe { ioctl::ns_get_nstype(fd.as_raw_fd()) }.ok()?;
    if kind != CloneFlags::CLONE_NEWNET.bits() {
        return None;
    }
    let inode = u32::try_from(fstat(fd).ok()?.st_ino).ok()?;
    let mut id = 0;
    // SAFETY: writes one u64 to where it is told. Before 6.18 it answers ENOTTY.
    let has_id = unsafe { ioctl::ns_get_id(fd.as_raw_fd(), &raw mut id) }.is_ok();
    Some(Identity::Inode(NetnsInode(inode), has_id.then_some(id)))
}
