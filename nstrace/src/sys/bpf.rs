//! bpf(2) calls that aya lacks: attaching to TCX by ifindex, asking a link for its device, and making
//! rings of a size that is known late. For
//! maps in memory see [`super::mapped`].
//!
//! aya 0.14 attaches by *name*, resolved when it gets to it: a renamed or replaced device would
//! be mistaken for the one that was meant.

use std::{
    fs, io,
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
};

use nix::sys::resource::{Resource, setrlimit};
use nstrace_ebpf::wire::Hook;

use crate::topology::model::Ifindex;

// Numbers of `include/uapi/linux/bpf.h`.
const BPF_MAP_CREATE: libc::c_long = 0;
const BPF_MAP_TYPE_RINGBUF: u32 = 27;
pub(super) const BPF_OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_TCX_INGRESS: u32 = 46;
const BPF_TCX_EGRESS: u32 = 47;
const BPF_F_BEFORE: u32 = 1 << 3;

/// `union bpf_attr`, as `BPF_LINK_CREATE` reads it for TCX.
#[repr(C)]
struct LinkCreate {
    prog_fd: u32,
    target_ifindex: u32,
    attach_type: u32,
    flags: u32,
    relative_fd: u32,
    padding: u32,
    expected_revision: u64,
}

/// `union bpf_attr`, as `BPF_MAP_CREATE` reads it: as much as a plain map needs.
#[derive(Default)]
#[repr(C)]
struct MapCreate {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
}

/// `union bpf_attr`, as `BPF_OBJ_GET_INFO_BY_FD` reads it.
#[repr(C)]
pub(super) struct GetInfo {
    pub(super) bpf_fd: u32,
    pub(super) info_len: u32,
    pub(super) info: u64,
}

/// `struct bpf_link_info` of a TCX link.
#[derive(Default)]
#[repr(C)]
struct TcxLinkInfo {
    kind: u32,
    id: u32,
    prog_id: u32,
    padding: u32,
    ifindex: u32,
    attach_type: u32,
}

/// Calls bpf(2) with one of the attributes above, which the kernel may write to.
pub(super) fn bpf<T>(command: libc::c_long, attributes: &mut T) -> io::Result<libc::c_long> {
    // SAFETY: the attributes are a `repr(C)` value of the length given, and what it points to
    // lives as long as the call; the kernel takes what is missing at its end for zero.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attributes),
            size_of::<T>(),
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// The attach type of a hook.
pub(super) const fn tcx(hook: Hook) -> u32 {
    match hook {
        Hook::Ingress => BPF_TCX_INGRESS,
        Hook::Egress => BPF_TCX_EGRESS,
    }
}

/// Attaches a loaded program at the head of the TCX chain of a device of this namespace. It is
/// detached when the returned descriptor is closed, by whatever end of the process.
///
/// # Errors
///
/// `EINVAL` where the kernel has no TCX, `ENODEV` where the device is gone, `ERANGE` where 63
/// programs are there already, `EPERM` without `CAP_BPF` and `CAP_NET_ADMIN`.
///
/// # Minimum kernel version
///
/// 6.6 (kernel commit `e420bed02507`).
#[doc(alias = "BPF_LINK_CREATE")]
pub fn attach_tcx(program: BorrowedFd<'_>, ifindex: Ifindex, hook: Hook) -> io::Result<OwnedFd> {
    let mut attributes = LinkCreate {
        prog_fd: u32::try_from(program.as_raw_fd()).unwrap_or(u32::MAX),
        target_ifindex: ifindex.0,
        attach_type: tcx(hook),
        // Before nothing in particular: the head. Behind a program that ends the chain we would
        // be blind.
        flags: BPF_F_BEFORE,
        relative_fd: 0,
        padding: 0,
        expected_revision: 0,
    };
    let fd = bpf(BPF_LINK_CREATE, &mut attributes)?;
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: a descriptor that was just made for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Makes a ring of `size` bytes, a power of two and at least a page.
///
/// # Errors
///
/// `ENOMEM` where it does not fit, `EPERM` without `CAP_BPF`.
///
/// # Minimum kernel version
///
/// 5.8.
#[doc(alias = "BPF_MAP_TYPE_RINGBUF")]
pub fn create_ring(size: u32) -> io::Result<OwnedFd> {
    let mut attributes = MapCreate {
        map_type: BPF_MAP_TYPE_RINGBUF,
        max_entries: size,
        ..MapCreate::default()
    };
    let fd = bpf(BPF_MAP_CREATE, &mut attributes)?;
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: a descriptor that was just made for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Whether the device of a TCX link is still there, under that ifindex. A link outlives its device
/// as a dead descriptor, which must be closed, and goes along when it is moved away.
///
/// # Errors
///
/// If the descriptor is not a link.
#[doc(alias = "BPF_OBJ_GET_INFO_BY_FD")]
pub fn is_tcx_link_alive(link: BorrowedFd<'_>, ifindex: Ifindex) -> io::Result<bool> {
    let mut info = TcxLinkInfo::default();
    let mut attributes = GetInfo {
        bpf_fd: u32::try_from(link.as_raw_fd()).unwrap_or(u32::MAX),
        info_len: u32::try_from(size_of::<TcxLinkInfo>()).unwrap_or_default(),
        info: std::ptr::from_mut(&mut info) as u64,
    };
    bpf(BPF_OBJ_GET_INFO_BY_FD, &mut attributes)?;
    Ok(info.ifindex == ifindex.0)
}

/// Lifts the limit on locked memory, which counted maps before 5.11. Needs `CAP_SYS_RESOURCE`;
/// where it fails and matters, making a map says so.
pub fn lift_memlock_limit() {
    const NONE: u64 = libc::RLIM_INFINITY;
    if let Err(error) = setrlimit(Resource::RLIMIT_MEMLOCK, NONE, NONE) {
        tracing::debug!(%error, "the limit on locked memory stays");
    }
}

/// One more than the highest number that a CPU of this machine can have, online or not.
///
/// # Errors
///
/// If sysfs is not mounted.
pub fn possible_cpus() -> io::Result<u32> {
    let ranges = fs::read_to_string("/sys/devices/system/cpu/possible")?;
    parse_last_cpu(&ranges)
        .map(|last| last + 1)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, ranges))
}

/// The last number of a list like `0-3,8-11`. The set may have holes, so it is not a count.
fn parse_last_cpu(ranges: &str) -> Option<u32> {
    ranges.trim().rsplit([',', '-']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_cpu_counts_not_how_many_there_are() {
        assert_eq!(parse_last_cpu("0-1\n"), Some(1));
        assert_eq!(parse_last_cpu("0\n"), Some(0));
        assert_eq!(parse_last_cpu("0-3,8-11\n"), Some(11));
        assert_eq!(parse_last_cpu(""), None);
    }

    #[test]
    fn attributes_have_the_kernels_layout() {
        assert_eq!(size_of::<LinkCreate>(), 32);
        assert_eq!(std::mem::offset_of!(LinkCreate, expected_revision), 24);
        assert_eq!(size_of::<GetInfo>(), 16);
        assert_eq!(std::mem::offset_of!(TcxLinkInfo, ifindex), 16);
    }
}
