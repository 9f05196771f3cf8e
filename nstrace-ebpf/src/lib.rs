//! What crosses the line between nstrace's kernel side and its user side.
//!
//! The binary of this package, `nstrace-bpf`, is the eBPF object. This library holds what both
//! sides must agree on, and compiles for `bpfel-unknown-none` and for the host alike:
//!
//! - [`wire`]: fixed layouts of everything that stands in a map or a ring;
//! - [`parse`]: packet bytes to a [`wire::Class`], so that the parser which the kernel runs is
//!   the one that host tests run.
//!
//! What flows where:
//!
//! ```text
//! packet -> tc program --count--> COUNTERS, one CpuCounters per (cpu, slot), mmapped by user space
//!                      \--sample-> SAMPLES, a ring of Sample, when a window of a slot closes
//!                      \--lost---> LOST, per-CPU, when a sample did not fit
//! user space --SLOTS: ifindex -> slot; globals: number of slots, length of a window--> tc program
//! ```
//!
//! Nothing here allocates, panics or does I/O.
#![cfg_attr(not(test), no_std)]
// Inline assembly for this target is not stable yet; host builds do without.
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

pub mod parse;
pub mod wire;
