//! As much of an eBPF assembler as the programs here need. One function an instruction, named as
//! in the kernel's `Documentation/bpf/standardization/instruction-set.rst`.

use std::os::fd::{AsRawFd as _, BorrowedFd};

/// Instructions, encoded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asm(Vec<u64>);

/// A register.
pub(crate) type Reg = u8;

/// Width of a load or store.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Width {
    /// 2 bytes.
    Half = 0x08,
    /// 4 bytes.
    Word = 0x00,
    /// 8 bytes.
    Double = 0x18,
}

/// An arithmetic operation of 64 bits with an immediate.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    /// Adds.
    Add = 0x07,
    /// Multiplies.
    Mul = 0x27,
    /// Ands.
    And = 0x57,
    /// Shifts right, filling with 0.
    Rsh = 0x77,
    /// Moves.
    Mov = 0xb7,
}

/// `BPF_FUNC_map_lookup_elem`.
pub(crate) const MAP_LOOKUP_ELEM: i32 = 1;
/// `BPF_FUNC_map_update_elem`.
pub(crate) const MAP_UPDATE_ELEM: i32 = 2;
/// `BPF_FUNC_ktime_get_ns`.
pub(crate) const KTIME_GET_NS: i32 = 5;
/// `BPF_FUNC_tail_call`.
pub(crate) const TAIL_CALL: i32 = 12;

impl Asm {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn instructions(&self) -> &[u64] {
        &self.0
    }

    #[expect(clippy::cast_sign_loss, reason = "the encoding is of bit patterns")]
    fn push(mut self, code: u8, dst: Reg, src: Reg, offset: i16, imm: i32) -> Self {
        let registers = u64::from(dst | (src << 4));
        let (offset, imm) = (u64::from(offset as u16), u64::from(imm as u32));
        self.0
            .push(u64::from(code) | (registers << 8) | (offset << 16) | (imm << 32));
        self
    }

    /// `dst = dst op imm`
    pub(crate) fn op(self, op: Op, dst: Reg, imm: i32) -> Self {
        self.push(op as u8, dst, 0, 0, imm)
    }

    /// `dst = dst op imm`, of the lower 32 bits; the upper become 0.
    pub(crate) fn op32(self, op: Op, dst: Reg, imm: i32) -> Self {
        self.push((op as u8 & !0x07) | 0x04, dst, 0, 0, imm)
    }

    /// `dst = dst op src`
    pub(crate) fn op_reg(self, op: Op, dst: Reg, src: Reg) -> Self {
        self.push(op as u8 | 0x08, dst, src, 0, 0)
    }

    /// `dst = *(width *)(src + offset)`
    pub(crate) fn load(self, width: Width, dst: Reg, src: Reg, offset: i16) -> Self {
        self.push(0x61 | width as u8, dst, src, offset, 0)
    }

    /// `*(width *)(dst + offset) = src`
    pub(crate) fn store(self, width: Width, dst: Reg, offset: i16, src: Reg) -> Self {
        self.push(0x63 | width as u8, dst, src, offset, 0)
    }

    /// `dst = address of byte `offset` in the map's only element`
    pub(crate) fn map_value(mut self, dst: Reg, map: BorrowedFd<'_>, offset: i32) -> Self {
        self = self.push(0x18, dst, 2, 0, map.as_raw_fd());
        self.push(0, 0, 0, 0, offset)
    }

    /// `dst = map`
    pub(crate) fn map(mut self, dst: Reg, map: BorrowedFd<'_>) -> Self {
        self = self.push(0x18, dst, 1, 0, map.as_raw_fd());
        self.push(0, 0, 0, 0, 0)
    }

    /// Ends with -1 (`TCX_NEXT`) unless the packet has `length` bytes. Leaves its start in `start`;
    /// `scratch` and r1, the context, are used.
    pub(crate) fn packet(self, start: Reg, scratch: Reg, length: i32) -> Self {
        // `__sk_buff.data` and `.data_end`.
        self.load(Width::Word, start, 1, 76)
            .load(Width::Word, scratch, 1, 80)
            .op_reg(Op::Mov, 0, start)
            .op(Op::Add, 0, length)
            // if r0 <= scratch goto +2
            .push(0xbd, 0, scratch, 2, 0)
            .next()
    }

    /// `if dst == 0 goto +count`
    pub(crate) fn skip_if_zero(self, dst: Reg, count: i16) -> Self {
        self.push(0x15, dst, 0, count, 0)
    }

    /// `if dst != 0 goto +count`
    pub(crate) fn skip_if_set(self, dst: Reg, count: i16) -> Self {
        self.push(0x55, dst, 0, count, 0)
    }

    /// `if dst >= src goto +count`, unsigned
    pub(crate) fn skip_if_not_less(self, dst: Reg, src: Reg, count: i16) -> Self {
        self.push(0x3d, dst, src, count, 0)
    }

    /// Calls a helper.
    pub(crate) fn call(self, helper: i32) -> Self {
        self.push(0x85, 0, 0, 0, helper)
    }

    /// Ends with a value.
    pub(crate) fn exit(self, value: i32) -> Self {
        self.op(Op::Mov, 0, value).push(0x95, 0, 0, 0, 0)
    }

    /// Ends with `TCX_NEXT`, as nstrace's programs do.
    pub(crate) fn next(self) -> Self {
        self.exit(-1)
    }
}
