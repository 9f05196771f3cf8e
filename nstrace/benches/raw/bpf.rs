//! bpf(2) as a measurement needs it: small programs of our own, frames from a driver, and what the
//! kernel says of programs and links.

use std::{
    io,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
    time::Duration,
};

use super::asm::Asm;
use crate::{rounds::thread_cpu, support::bpf::Attributes};

const MAP_CREATE: libc::c_long = 0;
const MAP_LOOKUP_ELEM: libc::c_long = 1;
const MAP_UPDATE_ELEM: libc::c_long = 2;
const PROG_LOAD: libc::c_long = 5;
const PROG_TEST_RUN: libc::c_long = 10;
const OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const LINK_GET_FD_BY_ID: libc::c_long = 30;
const LINK_GET_NEXT_ID: libc::c_long = 31;

const NAME_OFFSET: usize = 48;
const LOG_BYTES: usize = 1 << 20;

/// Numbers of `enum bpf_prog_type`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ProgramType {
    /// A tc program.
    SchedCls = 3,
    /// An XDP program.
    Xdp = 6,
}

/// Numbers of `enum bpf_map_type`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum MapType {
    /// Values by index.
    Array = 2,
    /// Programs by index.
    ProgArray = 3,
    /// Values by key, one for each CPU.
    PerCpuHash = 5,
}

fn number(fd: BorrowedFd<'_>) -> u32 {
    u32::try_from(fd.as_raw_fd()).unwrap()
}

fn length(of: usize) -> u32 {
    u32::try_from(of).unwrap()
}

/// Makes a map.
pub(crate) fn map(kind: MapType, key: usize, value: usize, entries: u32) -> OwnedFd {
    Attributes::new()
        .u32(0, kind as u32)
        .u32(4, length(key))
        .u32(8, length(value))
        .u32(12, entries)
        .make(MAP_CREATE)
}

/// Sets an element of an array.
pub(crate) fn set<T: ?Sized>(map: BorrowedFd<'_>, index: u32, value: &T) {
    Attributes::new()
        .u32(0, number(map))
        .pointer(8, &raw const index)
        .pointer(16, std::ptr::from_ref(value))
        .call(MAP_UPDATE_ELEM)
        .unwrap();
}

/// The only element of an array, which must be of so many words.
pub(crate) fn get<const N: usize>(map: BorrowedFd<'_>) -> [u64; N] {
    let (index, mut value) = (0_u32, [0_u64; N]);
    Attributes::new()
        .u32(0, number(map))
        .pointer(8, &raw const index)
        .pointer(16, &raw mut value)
        .call(MAP_LOOKUP_ELEM)
        .unwrap();
    value
}

/// Loads a program, its name of 15 characters at most; panics with the verifier's log if the kernel refuses it.
pub(crate) fn load(kind: ProgramType, name: &str, asm: &Asm) -> OwnedFd {
    let mut log = vec![0_u8; LOG_BYTES];
    let attributes = Attributes::new()
        .u32(0, kind as u32)
        .u32(4, length(asm.instructions().len()))
        .pointer(8, asm.instructions().as_ptr())
        .pointer(16, c"GPL".as_ptr())
        .u32(24, 1)
        .u32(28, length(log.len()))
        .pointer(32, log.as_mut_ptr())
        .bytes(NAME_OFFSET, name.as_bytes());
    match attributes.try_make(PROG_LOAD) {
        Ok(program) => program,
        Err(error) => panic!("load {name}: {error}\n{}", String::from_utf8_lossy(&log)),
    }
}

/// `struct xdp_md`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct XdpMd {
    data: u32,
    data_end: u32,
    data_meta: u32,
    ingress_ifindex: u32,
    rx_queue_index: u32,
    egress_ifindex: u32,
}

/// Lets `repeat` frames arrive on a device of the calling thread's namespace, as if its driver had
/// received them: an XDP program is run on each, and what it passes goes on up. All of it happens on
/// the calling thread, whose CPU time is given.
#[doc(alias = "BPF_F_TEST_XDP_LIVE_FRAMES")]
pub(crate) fn live_frames(
    program: BorrowedFd<'_>,
    frame: &[u8],
    ifindex: u32,
    repeat: u32,
) -> io::Result<Duration> {
    const LIVE_FRAMES: u32 = 1 << 1;

    let context = XdpMd {
        data: 0,
        data_end: length(frame.len()),
        data_meta: 0,
        ingress_ifindex: ifindex,
        rx_queue_index: 0,
        egress_ifindex: 0,
    };
    let mut attributes = Attributes::new()
        .u32(0, number(program))
        .u32(8, length(frame.len()))
        .pointer(16, frame.as_ptr())
        .u32(32, repeat)
        .u32(40, length(size_of::<XdpMd>()))
        .pointer(48, &raw const context)
        .u32(64, LIVE_FRAMES);
    let before = thread_cpu();
    attributes.call(PROG_TEST_RUN)?;
    Ok(thread_cpu().saturating_sub(before))
}

/// What the kernel says of a loaded program.
#[derive(Clone, Debug)]
pub(crate) struct ProgramInfo {
    /// Bytes of machine code.
    pub(crate) jited: u32,
    /// Bytes of eBPF after the verifier has rewritten it; 8 an instruction.
    pub(crate) xlated: u32,
    /// Instructions that the verifier went through, on all paths.
    pub(crate) verified: u32,
}

/// Asks the kernel about a program.
pub(crate) fn info(program: impl AsFd) -> ProgramInfo {
    // `struct bpf_prog_info`.
    let mut info = [0_u32; 60];
    Attributes::new()
        .u32(0, number(program.as_fd()))
        .u32(4, length(size_of_val(&info)))
        .pointer(8, info.as_mut_ptr())
        .call(OBJ_GET_INFO_BY_FD)
        .unwrap();
    ProgramInfo {
        jited: info[16 / 4],
        xlated: info[20 / 4],
        verified: info[216 / 4],
    }
}

/// The id of the first link after `id`, of all links of the machine. Ids grow; links that are being
/// made have one already.
pub(crate) fn link_after(id: u32) -> Option<u32> {
    let mut attributes = Attributes::new().u32(0, id);
    // ENOENT: there is none.
    attributes.call(LINK_GET_NEXT_ID).ok()?;
    Some(attributes.get_u32(4))
}

/// What is known of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// It is being made.
    Unfinished,
    /// It attaches the program with this id to the device with this ifindex of its namespace.
    Tcx {
        /// Id of the program.
        program: u32,
        /// Of the device.
        ifindex: u32,
    },
    /// It is of another kind, or is gone.
    Other,
}

/// Asks for a link by its id.
pub(crate) fn link(id: u32) -> Link {
    const TCX: u32 = 11;

    let link = match Attributes::new().u32(0, id).try_make(LINK_GET_FD_BY_ID) {
        Ok(link) => link,
        Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => return Link::Unfinished,
        Err(_) => return Link::Other,
    };
    // `struct bpf_link_info`: kind, id, program, and from 16 bytes on what that kind has.
    let mut info = [0_u32; 16];
    Attributes::new()
        .u32(0, number(link.as_fd()))
        .u32(4, length(size_of_val(&info)))
        .pointer(8, info.as_mut_ptr())
        .call(OBJ_GET_INFO_BY_FD)
        .unwrap();
    match info {
        [TCX, _, program, _, ifindex, ..] => Link::Tcx { program, ifindex },
        _ => Link::Other,
    }
}
