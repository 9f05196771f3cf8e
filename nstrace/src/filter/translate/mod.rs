//! Classic BPF to eBPF. Pure: what libpcap compiled goes in, the body of a function comes out.
//!
//! The function gets the skb in R1 and, in R2, the packet's type (packet(7)): `PACKET_HOST` if it
//! goes into the netns, `PACKET_OUTGOING` if out of it, as a socket inside would see it, and gives 0
//! for a packet that does not match. It means exactly what libpcap's interpreter (`bpf_filter`)
//! means, with these exceptions:
//!
//! - Ancillary loads, which that interpreter does not know, read the skb's fields: the VLAN tag that
//!   the kernel keeps beside the bytes, and the direction, for `inbound` and `outbound`, seen from
//!   the netns.
//! - `protochain` follows [`MAX_LOOPS`] headers at most; a packet with more does not match.
//!
//! # Two bodies
//!
//! `LD_ABS` and `LD_IND` read any skb, but each is a call of 2 to 3 ns, and a packet that does not
//! match shall cost less than one of them. So the program is emitted twice. The *fast* body reads the
//! linear part of the skb directly: before the first read that goes further than what was checked, it
//! compares with the end. The *slow* body reads by `LD_ABS`. Where a check fails, the fast body goes
//! on in the slow one at the same instruction: both keep A, X and M in the same places, so there is
//! nothing to convert.
//!
//! Reads relative to X would need a variable offset, which the verifier forbids without
//! `CAP_PERFMON`. But X is nearly always the length of an IPv4 header without options, so where one
//! is loaded the fast body goes on only with that, and with it each offset is a constant.
//!
//! Loops (`protochain`) are unrolled first.

mod emit;
mod unroll;

use std::collections::BTreeSet;

use super::{
    classic::Instruction,
    ebpf::{Ebpf, JA},
};
use emit::emit;
pub use unroll::MAX_LOOPS;
use unroll::{Step, unroll};

/// A program that cannot be translated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TranslateError {
    /// It is none: libpcap does not emit it.
    #[error("instruction {at} of the filter is malformed")]
    Malformed {
        /// Which.
        at: usize,
    },
    /// It asks for something about the packet that only another kind of device or socket knows.
    #[error(
        "instruction {at} of the filter reads what the kernel does not tell of a packet here ({offset:#x})"
    )]
    Ancillary {
        /// Which.
        at: usize,
        /// The ancillary offset.
        offset: u32,
    },
    /// It is too long.
    #[error("the filter takes {needed} eBPF instructions, and there is room for {room}")]
    TooLong {
        /// What it takes.
        needed: usize,
        /// What there is.
        room: usize,
    },
}

/// Translates a program into the body of a function of at most `room` instructions.
///
/// # Errors
///
/// If the program is malformed, reads what is not there, or is too long.
pub fn translate(program: &[Instruction], room: usize) -> Result<Vec<Ebpf>, TranslateError> {
    let steps = unroll(program)?;
    let reads = Reads::of(&steps);
    // Where both bodies do not fit, the slow one alone may.
    let code = match emit(&steps, &reads, false) {
        Ok(code) if code.len() <= room => return Ok(code),
        Ok(_) | Err(TranslateError::TooLong { .. }) => emit(&steps, &reads, true)?,
        Err(error) => return Err(error),
    };
    if code.len() > room {
        return Err(TranslateError::TooLong {
            needed: code.len(),
            room,
        });
    }
    Ok(code)
}

// Classic opcodes: class, then what each class has.
const C_LD: u16 = 0;
const C_LDX: u16 = 1;
const C_ST: u16 = 2;
const C_STX: u16 = 3;
const C_ALU: u16 = 4;
const C_JMP: u16 = 5;
const C_RET: u16 = 6;
const C_MISC: u16 = 7;
const M_IMM: u16 = 0x00;
const M_ABS: u16 = 0x20;
const M_IND: u16 = 0x40;
const M_MEM: u16 = 0x60;
const M_LEN: u16 = 0x80;
const M_MSH: u16 = 0xa0;

/// `SKF_AD_OFF` of `linux/filter.h`: offsets from here on are ancillary.
const ANCILLARY: u32 = 0xffff_f000;
/// Where an instruction leads.
enum Next {
    Ends,
    One(usize),
    Two(usize, usize),
}

/// What of its surroundings a program reads.
#[derive(Default)]
struct Reads {
    /// Words of the scratch memory.
    scratch: BTreeSet<u32>,
    /// Whether the packet's type.
    packet_type: bool,
}

impl Reads {
    fn of(steps: &[Step]) -> Self {
        let mut reads = Self::default();
        for Step { one, .. } in steps {
            if matches!(one.code & 7, C_LD | C_LDX) && one.code & 0xe0 == M_MEM {
                reads.scratch.insert(one.k);
            }
            reads.packet_type |= is_ancillary(*one) && one.k - ANCILLARY == 4;
        }
        reads
    }
}

fn next(one: Instruction, at: usize) -> Next {
    match one.code & 7 {
        C_RET => Next::Ends,
        C_JMP if one.code & 0xf0 == u16::from(JA) => {
            // libpcap jumps back by a distance that is negative as a signed number.
            #[expect(clippy::cast_possible_wrap, reason = "that is what it means")]
            let target = (at as i64) + 1 + i64::from(one.k as i32);
            Next::One(usize::try_from(target).unwrap_or(usize::MAX))
        }
        C_JMP => Next::Two(at + 1 + usize::from(one.jt), at + 1 + usize::from(one.jf)),
        _ => Next::One(at + 1),
    }
}

fn is_ancillary(one: Instruction) -> bool {
    one.code & 7 == C_LD && one.code & 0xe0 == M_ABS && one.k >= ANCILLARY
}
