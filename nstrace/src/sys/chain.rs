//! Which bpf programs are on a TCX hook, in their order, and what they are called.

use std::{
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

use nstrace_ebpf::wire::Hook;

use super::bpf::{BPF_OBJ_GET_INFO_BY_FD, GetInfo, bpf, tcx};
use crate::topology::{inside::Program, model::Ifindex};

// Numbers of `include/uapi/linux/bpf.h`.
const BPF_PROG_GET_FD_BY_ID: libc::c_long = 13;
const BPF_PROG_QUERY: libc::c_long = 16;
/// A hook takes 63 programs (`BPF_MPROG_MAX`).
const MAX_PROGRAMS: u32 = 64;
/// What our programs' names begin with.
const OURS: &str = "nstrace_";

/// `union bpf_attr`, as `BPF_PROG_QUERY` reads it for TCX.
#[derive(Default)]
#[repr(C)]
struct Query {
    target_ifindex: u32,
    attach_type: u32,
    flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    count: u32,
    padding: u32,
    prog_attach_flags: u64,
    link_ids: u64,
    link_attach_flags: u64,
    revision: u64,
}

/// `union bpf_attr`, as `BPF_PROG_GET_FD_BY_ID` reads it.
#[derive(Default)]
#[repr(C)]
struct ById {
    id: u32,
    next_id: u32,
    open_flags: u32,
}

/// The beginning of `struct bpf_prog_info`, up to the name.
#[repr(C)]
struct ProgramInfo {
    before: [u8; 64],
    name: [u8; 16],
}

/// The programs on a device's TCX hook, in the calling thread's namespace, those that run first in
/// front. A kernel without TCX has none.
///
/// # Errors
///
/// If `CAP_NET_ADMIN` is missing, or the device is gone.
///
/// # Minimum kernel version
///
/// 6.6; before that, none.
#[doc(alias = "BPF_PROG_QUERY")]
pub fn programs(ifindex: Ifindex, hook: Hook) -> io::Result<Vec<Program>> {
    let mut ids = [0_u32; MAX_PROGRAMS as usize];
    let mut query = Query {
        target_ifindex: ifindex.0,
        attach_type: tcx(hook),
        prog_ids: ids.as_mut_ptr() as u64,
        count: MAX_PROGRAMS,
        ..Query::default()
    };
    match bpf(BPF_PROG_QUERY, &mut query) {
        Ok(_) => {}
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOENT)) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    }
    let count = query.count.min(MAX_PROGRAMS) as usize;
    let of_id = |id: &u32| {
        let name = name_of(*id);
        Program {
            hook: super::netlink::hook_name(hook),
            mechanism: "tcx",
            id: Some(*id),
            ours: name.as_ref().is_ok_and(|name| name.starts_with(OURS)),
            name: name.unwrap_or_default(),
            priority: None,
        }
    };
    Ok(ids[..count].iter().map(of_id).collect())
}

/// A program's name. Needs `CAP_SYS_ADMIN`.
fn name_of(id: u32) -> io::Result<String> {
    let mut by_id = ById {
        id,
        ..ById::default()
    };
    let fd = i32::try_from(bpf(BPF_PROG_GET_FD_BY_ID, &mut by_id)?).unwrap_or(-1);
    // SAFETY: a descriptor that was just made for us.
    let program = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut info = ProgramInfo {
        before: [0; 64],
        name: [0; 16],
    };
    let mut get = GetInfo {
        bpf_fd: program.as_raw_fd().cast_unsigned(),
        info_len: u32::try_from(size_of::<ProgramInfo>()).unwrap_or_default(),
        info: std::ptr::from_mut(&mut info) as u64,
    };
    bpf(BPF_OBJ_GET_INFO_BY_FD, &mut get)?;
    let end = info.name.iter().position(|byte| *byte == 0);
    let name = &info.name[..end.unwrap_or(info.name.len())];
    Ok(String::from_utf8_lossy(name).into_owned())
}
