//! Different packets out of `BPF_PROG_TEST_RUN`, which repeats one and the same.
//!
//! A small program of our own, the driver, is what the kernel runs again and again. Each time it
//! writes the next flow into the packet and then tail-calls the program to be measured. The same
//! driver in front of an empty program is what it is compared with, so the driver itself, the tail
//! call and the kernel's loop cancel out.
//!
//! The flows take turns in an order that no prefetcher guesses: the n-th packet belongs to flow
//! `n * ODD mod flows`, which visits each of a power of two exactly once a cycle. A flow is told
//! from the others by 16 bits of its source address, and by a port that looks random.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use super::frames::{Family, varied};
use crate::{
    raw::{
        asm::{Asm, Op, TAIL_CALL, Width},
        bpf::{self, MapType, ProgramType},
    },
    rounds::thread_cpu,
    support::bpf::{SkBuff, test_run},
};

/// 2^32 divided by the golden ratio, and an odd number without any meaning.
const ODD: [i32; 2] = [-0x61c8_8647, 0x2c1b_3c6d];
/// Several frames are copied from templates of this length.
pub(super) const TEMPLATE: usize = 80;
/// Of those there are so many.
pub(super) const TEMPLATES: usize = 4;
/// In front of the templates: the number of packets so far.
const HEAD: usize = 16;
/// What nstrace's programs return, and the empty one.
const NEXT: i32 = -1;

/// A frame, or several that take turns at random.
pub(super) enum Frames {
    /// All packets are this one, of as many flows as there shall be.
    One(Family, Vec<u8>),
    /// Packets of all of these. Each fills a template.
    Mix([Vec<u8>; TEMPLATES]),
}

/// Packets of many flows in front of a program.
pub(super) struct Driver {
    program: OwnedFd,
    packet: Vec<u8>,
    context: SkBuff,
    _state: OwnedFd,
    _next: OwnedFd,
}

impl Driver {
    /// Runs `program` on packets of `flows` flows, a power of two.
    pub(super) fn new(
        program: BorrowedFd<'_>,
        frames: &Frames,
        flows: u32,
        context: SkBuff,
    ) -> Self {
        assert!(flows.is_power_of_two() && flows <= 1 << 16);
        let (families, packet) = match frames {
            Frames::One(family, frame) => (vec![*family], frame.clone()),
            Frames::Mix(frames) => (vec![Family::V4, Family::V6], frames[0].clone()),
        };
        let is_mix = families.len() > 1;
        let mut value = [0_u8; HEAD + TEMPLATE * TEMPLATES];
        if let Frames::Mix(frames) = frames {
            for (frame, place) in frames.iter().zip(value[HEAD..].chunks_mut(TEMPLATE)) {
                place.copy_from_slice(&frame[..TEMPLATE]);
            }
        }
        let state = bpf::map(MapType::Array, 4, value.len(), 1);
        bpf::set(state.as_fd(), 0, &value);
        let next = bpf::map(MapType::ProgArray, 4, 4, 1);
        bpf::set(next.as_fd(), 0, &program.as_raw_fd());
        let asm = driver(state.as_fd(), next.as_fd(), &families, is_mix, flows);
        Self {
            program: bpf::load(ProgramType::SchedCls, "bench_driver", &asm),
            packet,
            context,
            _state: state,
            _next: next,
        }
    }

    /// Runs so many packets. Gives nanoseconds.
    pub(super) fn run(&self, packets: u32) -> f64 {
        run(self.program.as_fd(), &self.packet, &self.context, packets)
    }
}

/// Runs a program on one packet, again and again. Gives nanoseconds.
pub(crate) fn run(program: BorrowedFd<'_>, packet: &[u8], context: &SkBuff, packets: u32) -> f64 {
    let before = thread_cpu();
    let returned = test_run(program, packet, context, packets, &mut []).unwrap();
    let cpu = thread_cpu().saturating_sub(before);
    // A tail call that finds nothing would go on, and return something else.
    assert_eq!(returned, NEXT, "the program was run to its end");
    cpu.as_secs_f64() * 1e9
}

/// An empty program: what everything here is compared with.
pub(crate) fn empty() -> OwnedFd {
    bpf::load(ProgramType::SchedCls, "bench_empty", &Asm::new().next())
}

fn driver(
    state: BorrowedFd<'_>,
    next: BorrowedFd<'_>,
    families: &[Family],
    is_mix: bool,
    flows: u32,
) -> Asm {
    const SHORT: i32 = 60;

    let length = if is_mix {
        i32::try_from(TEMPLATE).unwrap()
    } else {
        SHORT
    };
    let mask = i32::try_from(flows - 1).unwrap();
    let mut asm = Asm::new()
        .op_reg(Op::Mov, 6, 1)
        .packet(7, 8, length)
        .map_value(9, state, 0)
        .load(Width::Double, 2, 9, 0)
        .op(Op::Add, 2, 1)
        .store(Width::Double, 9, 0, 2)
        // r3: which flow; r4: 16 bits that belong to it.
        .op_reg(Op::Mov, 3, 2)
        .op32(Op::Mul, 3, ODD[0])
        .op32(Op::And, 3, mask)
        .op_reg(Op::Mov, 4, 3)
        .op32(Op::Mul, 4, ODD[1])
        .op32(Op::Rsh, 4, 16);
    if is_mix {
        asm = asm
            .op_reg(Op::Mov, 5, 4)
            .op(Op::Rsh, 5, 3)
            .op(Op::And, 5, i32::try_from(TEMPLATES - 1).unwrap())
            .op(Op::Mul, 5, i32::try_from(TEMPLATE).unwrap())
            .op_reg(Op::Add, 9, 5);
        for word in (0..TEMPLATE).step_by(8) {
            let at = |start: usize| i16::try_from(start + word).unwrap();
            asm = asm
                .load(Width::Double, 5, 9, at(HEAD))
                .store(Width::Double, 7, at(0), 5);
        }
    }
    // Of a mix, both families' places in each packet: all that follows from the flow, so there
    // are as many flows as before.
    for family in families {
        let [address, port] = varied(*family);
        asm = asm
            .store(Width::Half, 7, address, 3)
            .store(Width::Half, 7, port, 4);
    }
    asm.op_reg(Op::Mov, 1, 6)
        .map(2, next)
        .op(Op::Mov, 3, 0)
        .call(TAIL_CALL)
        // Only where there is no program to call.
        .exit(0)
}
