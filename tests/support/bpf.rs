//! Somebody else's tc programs, and what the kernel says is attached: bpf(2) by hand.

use std::{
    ffi::CString,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd},
};

use nstrace::{
    sys::bpf::{attach_tcx, lift_memlock_limit},
    topology::model::Ifindex,
};
use nstrace_ebpf::wire::Hook;

pub(crate) use super::run::{Attributes, SkBuff, load_classifier, test_run};
use super::{
    kernel,
    lab::{Lab, Pod},
    run::PROG_LOAD,
};

const MAP_CREATE: libc::c_long = 0;
const MAP_LOOKUP_ELEM: libc::c_long = 1;
const MAP_UPDATE_ELEM: libc::c_long = 2;
const OBJ_PIN: libc::c_long = 6;
const PROG_QUERY: libc::c_long = 16;

/// A program of somebody else, attached: it counts, and lets the next one run.
pub(crate) struct Foreign {
    counter: OwnedFd,
    program: OwnedFd,
    link: Option<OwnedFd>,
}

impl Foreign {
    fn load() -> Self {
        lift_memlock_limit();
        // An array of one u64.
        let counter = Attributes::new()
            .u32(0, 2)
            .u32(4, 4)
            .u32(8, 8)
            .u32(12, 1)
            .make(MAP_CREATE);
        let map = u32::try_from(counter.as_raw_fd()).unwrap();
        let instructions: [u64; 6] = [
            // r1 = address of the counter, in two halves (BPF_PSEUDO_MAP_VALUE).
            u64::from(map) << 32 | 0x2118,
            0,
            // r2 = 1; lock *(u64 *)r1 += r2
            1 << 32 | 0x02b7,
            0x21db,
            // r0 = -1 (TCX_NEXT); exit
            0xffff_ffff_0000_00b7,
            0x95,
        ];
        let program = Attributes::new()
            .u32(0, 3) // BPF_PROG_TYPE_SCHED_CLS
            .u32(4, u32::try_from(instructions.len()).unwrap())
            .pointer(8, instructions.as_ptr())
            .pointer(16, c"GPL".as_ptr())
            .make(PROG_LOAD);
        Self {
            counter,
            program,
            link: None,
        }
    }

    /// Attaches it at the head of a TCX chain of the calling thread's namespace.
    pub(crate) fn attach(ifindex: u32, hook: Hook) -> Self {
        let mut foreign = Self::load();
        let link = attach_tcx(foreign.program.as_fd(), Ifindex(ifindex), hook).unwrap();
        foreign.link = Some(link);
        foreign
    }

    /// Attaches it as a filter of a pod's veth, which has a clsact qdisc.
    pub(crate) fn attach_filter(lab: &Lab, pod: &Pod, hook: Hook, priority: u16) -> Self {
        let foreign = Self::load();
        attach_filter(lab, pod, hook, priority, foreign.program.as_fd());
        foreign
    }

    /// How many packets it has seen.
    pub(crate) fn count(&self) -> u64 {
        let (key, mut value) = (0_u32, 0_u64);
        Attributes::new()
            .u32(0, u32::try_from(self.counter.as_raw_fd()).unwrap())
            .pointer(8, &raw const key)
            .pointer(16, &raw mut value)
            .call(MAP_LOOKUP_ELEM)
            .unwrap();
        value
    }
}

/// Attaches a program as a filter of a pod's veth, which has a clsact qdisc. It stays until the lab
/// ends.
pub(crate) fn attach_filter(
    lab: &Lab,
    pod: &Pod,
    hook: Hook,
    priority: u16,
    program: BorrowedFd<'_>,
) {
    // tc takes a program by its name in a file system.
    lab.shell("mkdir /run/bpf; mount -t bpf bpf /run/bpf");
    let path = CString::new(lab.path("/run/bpf/it").to_str().unwrap()).unwrap();
    Attributes::new()
        .pointer(0, path.as_ptr())
        .u32(8, u32::try_from(program.as_raw_fd()).unwrap())
        .call(OBJ_PIN)
        .unwrap();
    let hook = match hook {
        Hook::Ingress => "ingress",
        Hook::Egress => "egress",
    };
    lab.run(&format!(
        "tc filter add dev {} {hook} prio {priority} bpf da object-pinned /run/bpf/it",
        pod.veth
    ));
    lab.shell("umount /run/bpf; rmdir /run/bpf");
}

/// A place for a program, and a program that does with each large packet what the one in it does.
pub(crate) struct Socket {
    array: OwnedFd,
    pub(crate) program: OwnedFd,
}

impl Socket {
    /// What is shorter passes.
    pub(crate) fn for_packets_from(length: u32) -> Self {
        const PROG_ARRAY: u32 = 3;

        lift_memlock_limit();
        let array = Attributes::new()
            .u32(0, PROG_ARRAY)
            .u32(4, 4)
            .u32(8, 4)
            .u32(12, 1)
            .make(MAP_CREATE);
        let map = u64::try_from(array.as_raw_fd()).unwrap();
        let instructions: [u64; 8] = [
            // w0 = skb->len; if w0 < length goto its end
            0x1061,
            u64::from(length) << 32 | 4 << 16 | 0x00a6,
            // r2 = the array, in two halves (BPF_PSEUDO_MAP_FD); w3 = 0; call tail_call
            map << 32 | 0x1218,
            0,
            0x03b4,
            12 << 32 | 0x85,
            // w0 = 0 (TC_ACT_OK); exit
            0x00b4,
            0x95,
        ];
        let instructions = instructions.map(u64::to_ne_bytes);
        let program = load_classifier(&instructions).unwrap();
        Self { array, program }
    }

    /// From now on, `program` it is.
    pub(crate) fn put(&self, program: BorrowedFd<'_>) {
        let (key, value) = (0_u32, program.as_raw_fd());
        Attributes::new()
            .u32(0, u32::try_from(self.array.as_raw_fd()).unwrap())
            .pointer(8, &raw const key)
            .pointer(16, &raw const value)
            .call(MAP_UPDATE_ELEM)
            .unwrap();
    }
}

/// Ids of the programs in a TCX chain of the calling thread's namespace, in their order.
pub(crate) fn tcx_programs(ifindex: u32, hook: Hook) -> Vec<u32> {
    let mut ids = [0_u32; 64];
    let attach_type = match hook {
        Hook::Ingress => 46,
        Hook::Egress => 47,
    };
    let mut query = Attributes::new()
        .u32(0, ifindex)
        .u32(4, attach_type)
        .pointer(16, ids.as_mut_ptr())
        .u32(24, u32::try_from(ids.len()).unwrap());
    let queried = query.call(PROG_QUERY);
    if !kernel::has_tcx() {
        let error = queried.expect_err("no chain can be asked for");
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
        return Vec::new();
    }
    queried.unwrap();
    ids[..query.get_u32(24) as usize].to_vec()
}
