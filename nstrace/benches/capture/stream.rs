//! Frames that come in through a host veth at a rate.
//!
//! Live frames are set up in 20 ms a call, so the pace is kept within the call, by the XDP program
//! that each frame passes: before each [`BURST`]th it waits until that is due. Where frames are late,
//! the next come without a pause.

use std::os::fd::{AsFd as _, OwnedFd};

use crate::raw::{
    asm::{Asm, KTIME_GET_NS, Op, Width},
    bpf::{self, MapType, ProgramType},
};

/// Frames go up in batches of up to 64 anyway.
const BURST: u32 = 16;
/// Nanoseconds.
const LATE: i32 = 100_000;
/// How often the clock is asked before a frame: 25 us, which is what keeps a rate of 0.7 Mpps.
const ROUNDS: i32 = 1000;

/// A host veth, and what comes in through it.
pub(super) struct Stream {
    ifindex: u32,
    frame: Vec<u8>,
    xdp: OwnedFd,
    state: OwnedFd,
}

/// What the program keeps: frames so far, when the next burst is due, nanoseconds from one to the
/// next, when the first and the last began.
type State = [u64; 5];

impl Stream {
    pub(super) fn new(ifindex: u32, frame: Vec<u8>) -> Self {
        let state = bpf::map(MapType::Array, 4, size_of::<State>(), 1);
        Self {
            ifindex,
            frame,
            xdp: program(&state),
            state,
        }
    }

    /// Lets frames come, so many million a second, or as fast as they are taken. Gives the rate that
    /// came of it.
    pub(super) fn run(&self, frames: u32, rate: Option<f64>) -> f64 {
        let interval = rate.map_or(0.0, |rate| f64::from(BURST) * 1e3 / rate);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "some thousands"
        )]
        let state: State = [0, 0, interval as u64, 0, 0];
        bpf::set(self.state.as_fd(), 0, &state);
        bpf::live_frames(self.xdp.as_fd(), &self.frame, self.ifindex, frames).unwrap();
        let [_, _, _, first, last]: State = bpf::get(self.state.as_fd());
        #[expect(clippy::cast_precision_loss, reason = "some seconds")]
        let took = (last - first) as f64;
        f64::from(frames / BURST * BURST - BURST) * 1e3 / took
    }
}

fn program(state: &OwnedFd) -> OwnedFd {
    const XDP_PASS: i32 = 2;
    let (frames, due, interval, first, last) = (0, 8, 16, 24, 32);
    let asm = Asm::new()
        .map_value(9, state.as_fd(), 0)
        .load(Width::Double, 2, 9, frames)
        .op_reg(Op::Mov, 3, 2)
        .op(Op::Add, 2, 1)
        .store(Width::Double, 9, frames, 2)
        .op(Op::And, 3, i32::try_from(BURST - 1).unwrap())
        .skip_if_set(3, 17)
        .load(Width::Double, 6, 9, due)
        .op(Op::Mov, 8, ROUNDS)
        // The loop.
        .call(KTIME_GET_NS)
        .skip_if_set(6, 2)
        .op_reg(Op::Mov, 6, 0)
        .store(Width::Double, 9, first, 0)
        .skip_if_not_less(0, 6, 2)
        .op(Op::Add, 8, -1)
        .skip_if_set(8, -7)
        .op_reg(Op::Mov, 2, 6)
        .op(Op::Add, 2, LATE)
        .skip_if_not_less(2, 0, 1)
        .op_reg(Op::Mov, 6, 0)
        .load(Width::Double, 2, 9, interval)
        .op_reg(Op::Add, 6, 2)
        .store(Width::Double, 9, due, 6)
        .store(Width::Double, 9, last, 0)
        .exit(XDP_PASS);
    bpf::load(ProgramType::Xdp, "bench_pace", &asm)
}
