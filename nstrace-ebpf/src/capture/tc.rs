//! The two entry points. They return [`NEXT`] on every path: nstrace decides no packet's fate.

use aya_ebpf::{macros::classifier, programs::TcContext};
use nstrace_ebpf::wire::{Direction, Hook};

use crate::record::capture;

/// `TCX_NEXT`, which is also `TC_ACT_UNSPEC`: go on to the next program of the chain.
const NEXT: i32 = -1;

/// What arrives on a host veth: what its netns sends.
#[classifier]
fn nstrace_ingress(ctx: TcContext) -> i32 {
    capture::<{ Direction::of(Hook::Ingress) as u32 }>(&ctx);
    NEXT
}

/// What leaves through a host veth: what its netns receives.
#[classifier]
fn nstrace_egress(ctx: TcContext) -> i32 {
    capture::<{ Direction::of(Hook::Egress) as u32 }>(&ctx);
    NEXT
}
