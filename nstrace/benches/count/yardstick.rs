//! The usual way to count flows, as a yardstick: one lookup in a hash with a value for each CPU.
//!
//! Only what such a program cannot leave out: key, lookup, two additions, and insertion where the
//! flow is new. It is here so that two machines, or two days, can be compared.

use std::os::fd::{AsFd as _, OwnedFd};

use crate::raw::{
    asm::{Asm, MAP_LOOKUP_ELEM, MAP_UPDATE_ELEM, Op, Width},
    bpf::{self, MapType, ProgramType},
};

/// Room for twice the flows that are counted in it.
const ENTRIES: u32 = 131_072;
/// Addresses, ports, protocol.
const KEY: usize = 16;
/// Packets and bytes.
const VALUE: usize = 16;
/// Where the two lie on the program's stack.
const KEY_AT: i16 = -16;
const VALUE_AT: i16 = -32;

/// Counts IPv4 packets by flow.
pub(super) fn per_cpu_hash() -> OwnedFd {
    let map = bpf::map(MapType::PerCpuHash, KEY, VALUE, ENTRIES);
    let asm = Asm::new()
        .op_reg(Op::Mov, 6, 1)
        // `__sk_buff.len`
        .load(Width::Word, 9, 1, 0)
        .packet(7, 8, 38)
        // Both addresses, both ports, and the word that has the protocol in it.
        .load(Width::Word, 2, 7, 26)
        .store(Width::Word, 10, KEY_AT, 2)
        .load(Width::Word, 2, 7, 30)
        .store(Width::Word, 10, KEY_AT + 4, 2)
        .load(Width::Word, 2, 7, 34)
        .store(Width::Word, 10, KEY_AT + 8, 2)
        .load(Width::Half, 2, 7, 22)
        .store(Width::Word, 10, KEY_AT + 12, 2)
        .map(1, map.as_fd())
        .op_reg(Op::Mov, 2, 10)
        .op(Op::Add, 2, i32::from(KEY_AT))
        .call(MAP_LOOKUP_ELEM)
        .skip_if_zero(0, 8)
        .load(Width::Double, 2, 0, 0)
        .op(Op::Add, 2, 1)
        .store(Width::Double, 0, 0, 2)
        .load(Width::Double, 2, 0, 8)
        .op_reg(Op::Add, 2, 9)
        .store(Width::Double, 0, 8, 2)
        .next()
        // A new flow.
        .op(Op::Mov, 2, 1)
        .store(Width::Double, 10, VALUE_AT, 2)
        .store(Width::Double, 10, VALUE_AT + 8, 9)
        .map(1, map.as_fd())
        .op_reg(Op::Mov, 2, 10)
        .op(Op::Add, 2, i32::from(KEY_AT))
        .op_reg(Op::Mov, 3, 10)
        .op(Op::Add, 3, i32::from(VALUE_AT))
        .op(Op::Mov, 4, 0)
        .call(MAP_UPDATE_ELEM)
        .next();
    bpf::load(ProgramType::SchedCls, "bench_hash", &asm)
}
