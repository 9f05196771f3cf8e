//! `insns.*`: how large the programs are, the counting ones and those of a capture, to see a change that makes them dearer where no timing
//! can be trusted.
//!
//! - `xlated`: instructions after the verifier has removed what the configuration switches off and
//!   has written out what it inlines. The same object gives the same on the same kernel; other
//!   kernels inline other helpers.
//! - `verified`: instructions that the verifier went through on all paths together, which is what
//!   the kernel limits (to a million). It depends on how well this kernel's verifier prunes.
//! - `jited`: bytes of machine code, which depend on the CPU's mitigations too, so that there is
//!   no ceiling.
//!
//! The ceilings stand with the goals. They leave a tenth of room over the newest kernel that CI
//! runs on. Who passes one on purpose raises it, in the same commit.

use std::os::fd::BorrowedFd;

use nstrace_ebpf::wire::MAX_SNAPLEN;

use crate::{
    Bench,
    raw::bpf,
    report::Measured,
    target::{CaptureTarget, Flows, Reads, Target, filter},
};

pub(crate) fn run(bench: &Bench) {
    let flows = Flows::On;
    let target = Target::on_loopback(flows);
    let capture = CaptureTarget::load(filter("tcp port 443", Reads::Direct), MAX_SNAPLEN, 1);
    let programs = [
        (
            target.ingress(),
            [
                "insns.ingress.xlated",
                "insns.ingress.verified",
                "insns.ingress.jited",
            ],
        ),
        (
            target.egress(),
            [
                "insns.egress.xlated",
                "insns.egress.verified",
                "insns.egress.jited",
            ],
        ),
        (
            capture.ingress(),
            [
                "insns.capture_ingress.xlated",
                "insns.capture_ingress.verified",
                "insns.capture_ingress.jited",
            ],
        ),
        (
            capture.egress(),
            [
                "insns.capture_egress.xlated",
                "insns.capture_egress.verified",
                "insns.capture_egress.jited",
            ],
        ),
    ];
    for (program, names) in programs {
        report(bench, program, names);
    }
}

fn report(bench: &Bench, program: BorrowedFd<'_>, names: [&'static str; 3]) {
    const INSTRUCTION: u32 = 8;

    let info = bpf::info(program);
    let values = [info.xlated / INSTRUCTION, info.verified, info.jited];
    for (name, value) in names.into_iter().zip(values) {
        bench.report(Measured::new(name, f64::from(value)));
    }
}
