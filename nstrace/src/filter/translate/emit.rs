//! The eBPF instructions of a classic program, in its two bodies.

use super::{
    ANCILLARY, C_ALU, C_JMP, C_LD, C_LDX, C_MISC, C_RET, C_ST, C_STX, M_ABS, M_IMM, M_IND, M_LEN,
    M_MEM, M_MSH, Reads, Step, TranslateError,
};
use crate::filter::ebpf::{
    ADD, ALU32, ALU64, AND, CALL, END, EXIT, Ebpf, JA, JEQ, JGE, JGT, JLE, JLT, JMP, JMP32, JNE,
    JSET, LD, LDX, LSH, MEM, MOV, NEG, STX, X,
};

const W_WORD: u8 = 0x00;
const W_HALF: u8 = 0x08;
const W_BYTE: u8 = 0x10;
const ABS: u8 = 0x20;
const IND: u8 = 0x40;

/// Words of scratch memory.
const SCRATCH: u32 = 16;
/// Beyond this, packets are seldom linear, and `LD_ABS` is taken at once.
const FAST_REACH: u32 = 256;
/// What X nearly always is: the length of an IPv4 header without options.
const USUAL_X: u32 = 20;

// Registers.
const A: u8 = 0;
const TEMP: u8 = 1;
const PACKET_TYPE: u8 = 2;
const SKB: u8 = 6;
const INDEX: u8 = 7;
const DATA: u8 = 8;
const DATA_END: u8 = 9;
const FRAME: u8 = 10;

/// Below M, on the stack: the packet's type, and A while X is loaded by way of it.
const TYPE_PLACE: i16 = -72;
const SAVED_A: i16 = -80;

/// Offsets of `struct __sk_buff` (`linux/bpf.h`).
mod skb {
    pub(super) const LEN: i16 = 0;
    pub(super) const MARK: i16 = 8;
    pub(super) const QUEUE_MAPPING: i16 = 12;
    pub(super) const PROTOCOL: i16 = 16;
    pub(super) const VLAN_PRESENT: i16 = 20;
    pub(super) const VLAN_TCI: i16 = 24;
    pub(super) const VLAN_PROTO: i16 = 28;
    pub(super) const IFINDEX: i16 = 40;
    pub(super) const HASH: i16 = 68;
    pub(super) const DATA: i16 = 76;
    pub(super) const DATA_END: i16 = 80;
}

/// What is known before an instruction of the fast body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fact {
    /// X, where it is a constant.
    x: Option<u32>,
    /// So many bytes lie in the linear part.
    checked: u32,
}

/// A place to jump to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Label {
    /// An instruction of the fast body.
    Fast(usize),
    /// The same of the slow one.
    Slow(usize),
    /// Where a packet ends that does not match.
    Reject,
}

/// Which body is being emitted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Body {
    Fast,
    Slow,
}

impl Body {
    const fn label(self, to: Option<usize>) -> Label {
        match (self, to) {
            (_, None) => Label::Reject,
            (Self::Fast, Some(to)) => Label::Fast(to),
            (Self::Slow, Some(to)) => Label::Slow(to),
        }
    }
}

pub(super) fn emit(
    steps: &[Step],
    reads: &Reads,
    is_slow_only: bool,
) -> Result<Vec<Ebpf>, TranslateError> {
    let mut emitter = Emitter {
        steps,
        code: Vec::new(),
        jumps: Vec::new(),
        fast: vec![None; steps.len()],
        slow: vec![None; steps.len()],
        wanted: vec![is_slow_only; steps.len()],
        reject: None,
    };
    emitter.prologue(reads, is_slow_only);
    if !is_slow_only {
        emitter.fast_body()?;
    }
    emitter.slow_body()?;
    emitter.finish()
}

struct Emitter<'a> {
    steps: &'a [Step],
    code: Vec<Ebpf>,
    /// Which instruction jumps where.
    jumps: Vec<(usize, Label)>,
    /// Where each instruction's code is.
    fast: Vec<Option<usize>>,
    slow: Vec<Option<usize>>,
    /// What the slow body has to have: where the fast one may go over, and all that follows.
    wanted: Vec<bool>,
    reject: Option<usize>,
}

impl Emitter<'_> {
    fn push(&mut self, code: u8, dst: u8, src: u8, off: i16, imm: u32) {
        self.code.push(Ebpf {
            code,
            dst,
            src,
            off,
            imm: imm.cast_signed(),
        });
    }

    fn jump(&mut self, code: u8, dst: u8, src: u8, imm: u32, to: Label) {
        if let Label::Slow(at) = to
            && let Some(wanted) = self.wanted.get_mut(at)
        {
            *wanted = true;
        }
        self.jumps.push((self.code.len(), to));
        self.push(code, dst, src, 0, imm);
    }

    /// Ends the program with 0, in a way that lets what follows be reached: the verifier refuses
    /// code of which the control flow graph says that it cannot be.
    fn reject(&mut self) {
        self.push(ALU32 | MOV, A, 0, 0, 0);
        self.jump(JMP32 | JEQ, A, 0, 0, Label::Reject);
    }

    fn prologue(&mut self, reads: &Reads, is_slow_only: bool) {
        self.push(ALU64 | MOV | X, SKB, 1, 0, 0);
        if reads.packet_type {
            self.push(STX | MEM, FRAME, PACKET_TYPE, TYPE_PLACE, 0);
        }
        self.push(ALU32 | MOV, A, 0, 0, 0);
        self.push(ALU32 | MOV, INDEX, 0, 0, 0);
        for word in &reads.scratch {
            self.push(STX | MEM, FRAME, A, scratch(*word), 0);
        }
        if !is_slow_only {
            self.push(LDX | MEM, DATA, SKB, skb::DATA, 0);
            self.push(LDX | MEM, DATA_END, SKB, skb::DATA_END, 0);
        }
    }

    fn fast_body(&mut self) -> Result<(), TranslateError> {
        let mut facts: Vec<Option<Fact>> = vec![None; self.steps.len()];
        let start = Fact {
            x: Some(0),
            checked: 0,
        };
        if let Some(first) = facts.first_mut() {
            *first = Some(start);
        }
        for (at, step) in self.steps.iter().enumerate() {
            // Steps lead onwards only, so all that leads here has been seen.
            let Some(fact) = facts.get(at).copied().flatten() else {
                continue;
            };
            self.fast[at] = Some(self.code.len());
            let after = self.instruction(at, Body::Fast, fact)?;
            for to in step.next.iter().flatten() {
                let there = &mut facts[*to];
                *there = Some(there.map_or(after, |there| Fact {
                    x: there.x.filter(|x| after.x == Some(*x)),
                    checked: there.checked.min(after.checked),
                }));
            }
        }
        Ok(())
    }

    /// Only what is wanted: the verifier refuses code that cannot be reached.
    fn slow_body(&mut self) -> Result<(), TranslateError> {
        let nothing = Fact {
            x: None,
            checked: 0,
        };
        for (at, step) in self.steps.iter().enumerate() {
            if !self.wanted[at] {
                continue;
            }
            for to in step.next.iter().flatten() {
                self.wanted[*to] = true;
            }
            self.slow[at] = Some(self.code.len());
            self.instruction(at, Body::Slow, nothing)?;
        }
        Ok(())
    }

    /// Emits one instruction, and what it leads to if that does not follow by itself.
    fn instruction(&mut self, at: usize, body: Body, before: Fact) -> Result<Fact, TranslateError> {
        let one = self.steps[at].one;
        let mut after = before;
        match one.code & 7 {
            C_LD => after.checked = self.load(at, body, before)?,
            C_LDX => after = self.load_index(at, body, before)?,
            C_ST | C_STX if one.code & !7 == 0 && one.k < SCRATCH => {
                let from = if one.code == C_ST { A } else { INDEX };
                self.push(STX | MEM, FRAME, from, scratch(one.k), 0);
            }
            C_ALU => self.arithmetic(at)?,
            C_JMP => {
                self.comparison(at, body)?;
                return Ok(after);
            }
            C_RET => {
                match one.code & 0x18 {
                    0x00 if one.k == 0 => self.jump(JMP | JA, 0, 0, 0, Label::Reject),
                    0x00 => {
                        self.push(ALU32 | MOV, A, 0, 0, one.k);
                        self.push(JMP | EXIT, 0, 0, 0, 0);
                    }
                    0x10 => self.push(JMP | EXIT, 0, 0, 0, 0),
                    _ => return Err(TranslateError::Malformed { at }),
                }
                return Ok(after);
            }
            C_MISC => match one.code & !7 {
                0x00 => {
                    self.push(ALU32 | MOV | X, INDEX, A, 0, 0);
                    after.x = None;
                }
                0x80 => self.push(ALU32 | MOV | X, A, INDEX, 0, 0),
                _ => return Err(TranslateError::Malformed { at }),
            },
            _ => return Err(TranslateError::Malformed { at }),
        }
        self.go_on(at, body, self.steps[at].next[0]);
        Ok(after)
    }

    /// Jumps to `to` unless it is emitted next: in both bodies, what follows a step and can be reached
    /// from it is that.
    fn go_on(&mut self, at: usize, body: Body, to: Option<usize>) {
        if to != Some(at + 1) {
            self.jump(JMP | JA, 0, 0, 0, body.label(to));
        }
    }

    /// `ld`: returns how far the linear part is known afterwards.
    fn load(&mut self, at: usize, body: Body, before: Fact) -> Result<u32, TranslateError> {
        let one = self.steps[at].one;
        let malformed = Err(TranslateError::Malformed { at });
        match one.code & 0xe0 {
            M_IMM => self.push(ALU32 | MOV, A, 0, 0, one.k),
            M_LEN => self.push(LDX | MEM, A, SKB, skb::LEN, 0),
            M_MEM if one.k < SCRATCH => self.push(LDX | MEM, A, FRAME, scratch(one.k), 0),
            M_ABS if one.k >= ANCILLARY => self.ancillary(at, one.k - ANCILLARY)?,
            M_ABS | M_IND if bytes(one.code).is_none() => return malformed,
            M_ABS => return Ok(self.read(at, body, before, Some(one.k))),
            M_IND => {
                let offset = before.x.map(|x| x.saturating_add(one.k));
                return Ok(self.read(at, body, before, offset));
            }
            _ => return malformed,
        }
        Ok(before.checked)
    }

    /// Reads bytes of the packet into A: at a known offset, or at X + k.
    fn read(&mut self, at: usize, body: Body, before: Fact, offset: Option<u32>) -> u32 {
        let one = self.steps[at].one;
        let width = width(one.code);
        let Some(offset) = offset else {
            // As a signed number it would mean something else to the kernel.
            self.push(ALU32 | MOV | X, TEMP, INDEX, 0, 0);
            if one.k > i32::MAX.cast_unsigned() {
                self.reject();
                return before.checked;
            }
            self.push(ALU64 | ADD, TEMP, 0, 0, one.k);
            self.jump(JMP | JGT, TEMP, 0, i32::MAX.cast_unsigned(), Label::Reject);
            self.push(LD | width | IND, 0, TEMP, 0, 0);
            return before.checked;
        };
        if offset > i32::MAX.cast_unsigned() {
            self.reject();
            return before.checked;
        }
        let end = offset.saturating_add(bytes(one.code).unwrap_or(4));
        if body == Body::Slow || end > FAST_REACH {
            self.push(LD | width | ABS, 0, 0, 0, offset);
            return before.checked;
        }
        self.check(at, before.checked, end);
        self.push(LDX | MEM | width, A, DATA, place(offset), 0);
        match width {
            W_HALF => self.push(ALU32 | END | X, A, 0, 0, 16),
            W_WORD => self.push(ALU32 | END | X, A, 0, 0, 32),
            _ => {}
        }
        before.checked.max(end)
    }

    /// Goes over to the slow body unless `end` bytes are linear.
    fn check(&mut self, at: usize, checked: u32, end: u32) {
        if end > checked {
            self.push(ALU64 | MOV | X, TEMP, DATA, 0, 0);
            self.push(ALU64 | ADD, TEMP, 0, 0, end);
            self.jump(JMP | JGT | X, TEMP, DATA_END, 0, Label::Slow(at));
        }
    }

    /// `ldx`.
    fn load_index(&mut self, at: usize, body: Body, before: Fact) -> Result<Fact, TranslateError> {
        let one = self.steps[at].one;
        let mut after = Fact { x: None, ..before };
        match one.code & 0xe0 {
            M_IMM => {
                self.push(ALU32 | MOV, INDEX, 0, 0, one.k);
                after.x = Some(one.k);
            }
            M_LEN => self.push(LDX | MEM, INDEX, SKB, skb::LEN, 0),
            M_MEM if one.k < SCRATCH => self.push(LDX | MEM, INDEX, FRAME, scratch(one.k), 0),
            // 4 * (P[k:1] & 0xf): the length of an IPv4 header.
            M_MSH if width(one.code) == W_BYTE => {
                if one.k > i32::MAX.cast_unsigned() {
                    self.reject();
                    return Ok(after);
                }
                let is_fast = body == Body::Fast && one.k < FAST_REACH;
                if is_fast {
                    self.check(at, before.checked, one.k + 1);
                    self.push(LDX | MEM | W_BYTE, INDEX, DATA, place(one.k), 0);
                } else {
                    self.push(STX | MEM, FRAME, A, SAVED_A, 0);
                    self.push(LD | W_BYTE | ABS, 0, 0, 0, one.k);
                    self.push(ALU32 | MOV | X, INDEX, A, 0, 0);
                    self.push(LDX | MEM, A, FRAME, SAVED_A, 0);
                }
                self.push(ALU32 | AND, INDEX, 0, 0, 0xf);
                self.push(ALU32 | LSH, INDEX, 0, 0, 2);
                if is_fast {
                    let slow = Body::Slow.label(self.steps[at].next[0]);
                    self.jump(JMP32 | JNE, INDEX, 0, USUAL_X, slow);
                    after.x = Some(USUAL_X);
                    after.checked = before.checked.max(one.k + 1);
                }
            }
            _ => return Err(TranslateError::Malformed { at }),
        }
        Ok(after)
    }

    /// What the kernel knows of a packet beside its bytes (`SKF_AD_*` of `linux/filter.h`).
    fn ancillary(&mut self, at: usize, which: u32) -> Result<(), TranslateError> {
        const GET_SMP_PROCESSOR_ID: u32 = 8;
        const GET_PRANDOM_U32: u32 = 7;

        let field = match which {
            0 => skb::PROTOCOL,
            4 => {
                self.push(LDX | MEM, A, FRAME, TYPE_PLACE, 0);
                return Ok(());
            }
            8 => skb::IFINDEX,
            20 => skb::MARK,
            24 => skb::QUEUE_MAPPING,
            32 => skb::HASH,
            36 | 56 => {
                let helper = if which == 36 {
                    GET_SMP_PROCESSOR_ID
                } else {
                    GET_PRANDOM_U32
                };
                self.push(JMP | CALL, 0, 0, 0, helper);
                return Ok(());
            }
            44 => skb::VLAN_TCI,
            48 => skb::VLAN_PRESENT,
            60 => skb::VLAN_PROTO,
            _ => {
                return Err(TranslateError::Ancillary {
                    at,
                    offset: ANCILLARY + which,
                });
            }
        };
        self.push(LDX | MEM, A, SKB, field, 0);
        if matches!(field, skb::PROTOCOL | skb::VLAN_PROTO) {
            self.push(ALU32 | END | X, A, 0, 0, 16);
        }
        Ok(())
    }

    fn arithmetic(&mut self, at: usize) -> Result<(), TranslateError> {
        const DIV: u8 = 0x30;
        const RSH: u8 = 0x70;
        const MOD: u8 = 0x90;
        const LAST: u8 = 0xa0;
        const BITS: u32 = 32;

        let one = self.steps[at].one;
        let Some(operation) = u8::try_from(one.code & !0xf)
            .ok()
            .filter(|code| *code <= LAST)
        else {
            return Err(TranslateError::Malformed { at });
        };
        let is_index = one.code & u16::from(X) != 0;
        match operation {
            NEG => self.push(ALU32 | NEG, A, 0, 0, 0),
            // Division by 0 ends the program: the packet does not match.
            DIV | MOD if !is_index && one.k == 0 => self.reject(),
            DIV | MOD if is_index => {
                self.jump(JMP32 | JEQ, INDEX, 0, 0, Label::Reject);
                self.push(ALU32 | operation | X, A, INDEX, 0, 0);
            }
            // What is shifted by the word's width or further is gone, to libpcap.
            LSH | RSH if !is_index && one.k >= BITS => self.push(ALU32 | MOV, A, 0, 0, 0),
            LSH | RSH if is_index => {
                self.push(JMP32 | JLT, INDEX, 0, 2, BITS);
                self.push(ALU32 | MOV, A, 0, 0, 0);
                self.push(JMP | JA, 0, 0, 1, 0);
                self.push(ALU32 | operation | X, A, INDEX, 0, 0);
            }
            _ if is_index => self.push(ALU32 | operation | X, A, INDEX, 0, 0),
            _ => self.push(ALU32 | operation, A, 0, 0, one.k),
        }
        Ok(())
    }

    fn comparison(&mut self, at: usize, body: Body) -> Result<(), TranslateError> {
        let one = self.steps[at].one;
        let [yes, no] = self.steps[at].next;
        if one.code & 0xf0 == u16::from(JA) {
            self.go_on(at, body, yes);
            return Ok(());
        }
        let holds = u8::try_from(one.code & 0xf0).unwrap_or(0);
        let fails = match holds {
            JEQ => JNE,
            JGT => JLE,
            JGE => JLT,
            JSET => JA,
            _ => return Err(TranslateError::Malformed { at }),
        };
        let source = u8::try_from(one.code & 8).unwrap_or(0);
        let (register, imm) = if source == 0 { (0, one.k) } else { (INDEX, 0) };
        // One jump where one of the two follows.
        if yes == Some(at + 1) && fails != JA {
            self.jump(JMP32 | fails | source, A, register, imm, body.label(no));
        } else {
            self.jump(JMP32 | holds | source, A, register, imm, body.label(yes));
            self.go_on(at, body, no);
        }
        Ok(())
    }

    /// Where packets end that do not match, and where all jumps lead.
    fn finish(mut self) -> Result<Vec<Ebpf>, TranslateError> {
        if self.jumps.iter().any(|(_, to)| *to == Label::Reject) {
            self.reject = Some(self.code.len());
            self.push(ALU32 | MOV, A, 0, 0, 0);
            self.push(JMP | EXIT, 0, 0, 0, 0);
        }
        let Self {
            mut code,
            jumps,
            fast,
            slow,
            reject,
            ..
        } = self;
        let (needed, room) = (code.len(), usize::from(i16::MAX.cast_unsigned()));
        for (from, to) in jumps {
            let to = match to {
                Label::Fast(at) => fast.get(at).copied().flatten(),
                Label::Slow(at) => slow.get(at).copied().flatten(),
                Label::Reject => reject,
            };
            let distance = to
                .and_then(|to| to.checked_signed_diff(from + 1))
                .and_then(|distance| i16::try_from(distance).ok());
            let (Some(distance), Some(jump)) = (distance, code.get_mut(from)) else {
                return Err(TranslateError::TooLong { needed, room });
            };
            jump.off = distance;
        }
        Ok(code)
    }
}

/// Where word `k` of the scratch memory is, below the frame's top. Who reads another word is told so
/// where that is translated.
fn scratch(k: u32) -> i16 {
    i16::try_from(k).map_or(i16::MIN, |k| k.saturating_add(1).saturating_mul(-4))
}

/// An offset that [`FAST_REACH`] bounds.
fn place(offset: u32) -> i16 {
    i16::try_from(offset).unwrap_or(i16::MAX)
}

/// How many bytes a load takes.
const fn bytes(code: u16) -> Option<u32> {
    match width(code) {
        W_WORD => Some(4),
        W_HALF => Some(2),
        W_BYTE => Some(1),
        _ => None,
    }
}

/// The width of a load, as both kinds of BPF have it.
const fn width(code: u16) -> u8 {
    code.to_le_bytes()[0] & 0x18
}
