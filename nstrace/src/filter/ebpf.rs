//! eBPF instructions, as far as filters need them, and how they read.

use std::fmt;

/// `struct bpf_insn` of the kernel (RFC 9669, section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ebpf {
    /// Class, width, mode, operation.
    pub code: u8,
    /// Destination register.
    pub dst: u8,
    /// Source register.
    pub src: u8,
    /// Jump distance in instructions, or offset from a base register.
    pub off: i16,
    /// The immediate.
    pub imm: i32,
}

/// Length of an instruction, in bytes.
pub const INSTRUCTION: usize = 8;

pub(super) const ALU32: u8 = 0x04;
pub(super) const ALU64: u8 = 0x07;
pub(super) const JMP: u8 = 0x05;
pub(super) const JMP32: u8 = 0x06;
pub(super) const LD: u8 = 0x00;
pub(super) const LDX: u8 = 0x01;
pub(super) const STX: u8 = 0x03;
pub(super) const MEM: u8 = 0x60;
/// The source operand is a register.
pub(super) const X: u8 = 0x08;
pub(super) const ADD: u8 = 0x00;
pub(super) const AND: u8 = 0x50;
pub(super) const LSH: u8 = 0x60;
pub(super) const NEG: u8 = 0x80;
pub(super) const MOV: u8 = 0xb0;
pub(super) const END: u8 = 0xd0;
pub(super) const JA: u8 = 0x00;
pub(super) const JEQ: u8 = 0x10;
pub(super) const JGT: u8 = 0x20;
pub(super) const JGE: u8 = 0x30;
pub(super) const JSET: u8 = 0x40;
pub(super) const JNE: u8 = 0x50;
pub(super) const CALL: u8 = 0x80;
pub(super) const EXIT: u8 = 0x90;
pub(super) const JLT: u8 = 0xa0;
pub(super) const JLE: u8 = 0xb0;

impl Ebpf {
    /// The instruction as it stands in an object file of a little-endian machine.
    #[must_use]
    pub fn to_bytes(self) -> [u8; INSTRUCTION] {
        let [off0, off1] = self.off.to_le_bytes();
        let [imm0, imm1, imm2, imm3] = self.imm.to_le_bytes();
        let registers = self.src << 4 | self.dst;
        [self.code, registers, off0, off1, imm0, imm1, imm2, imm3]
    }
}

/// As `llvm-objdump` and `bpftool prog dump` write it.
impl fmt::Display for Ebpf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            code,
            dst,
            src,
            off,
            imm,
        } = *self;
        match code & 0x07 {
            LD => {
                let width = width(code);
                if code & 0xe0 == 0x20 {
                    write!(f, "r0 = *({width} *)skb[{imm}]")
                } else {
                    write!(f, "r0 = *({width} *)skb[r{src} + {imm}]")
                }
            }
            LDX => write!(f, "r{dst} = *({} *)(r{src} {off:+})", width(code)),
            STX => write!(f, "*({} *)(r{dst} {off:+}) = r{src}", width(code)),
            class @ (ALU32 | ALU64) => {
                let name = if class == ALU32 { 'w' } else { 'r' };
                if code & 0xf0 == END {
                    return write!(f, "r{dst} = be{imm} r{dst}");
                }
                if code & 0xf0 == NEG {
                    return write!(f, "{name}{dst} = -{name}{dst}");
                }
                write!(f, "{name}{dst} {} ", alu(code))?;
                operand(f, code, name, src, imm)
            }
            class => match code & 0xf0 {
                JA => write!(f, "goto {off:+}"),
                CALL => write!(f, "call {imm}"),
                EXIT => f.write_str("exit"),
                _ => {
                    let name = if class == JMP32 { 'w' } else { 'r' };
                    write!(f, "if {name}{dst} {} ", comparison(code))?;
                    operand(f, code, name, src, imm)?;
                    write!(f, " goto {off:+}")
                }
            },
        }
    }
}

fn operand(f: &mut fmt::Formatter<'_>, code: u8, name: char, src: u8, imm: i32) -> fmt::Result {
    if code & X != 0 {
        write!(f, "{name}{src}")
    } else {
        write!(f, "{imm:#x}")
    }
}

const fn width(code: u8) -> &'static str {
    match code & 0x18 {
        0x00 => "u32",
        0x08 => "u16",
        0x10 => "u8",
        _ => "u64",
    }
}

const fn alu(code: u8) -> &'static str {
    match code & 0xf0 {
        0x00 => "+=",
        0x10 => "-=",
        0x20 => "*=",
        0x30 => "/=",
        0x40 => "|=",
        0x50 => "&=",
        0x60 => "<<=",
        0x70 => ">>=",
        0x90 => "%=",
        0xa0 => "^=",
        _ => "=",
    }
}

const fn comparison(code: u8) -> &'static str {
    match code & 0xf0 {
        JEQ => "==",
        JGT => ">",
        JGE => ">=",
        JSET => "&",
        JNE => "!=",
        JLT => "<",
        _ => "<=",
    }
}
