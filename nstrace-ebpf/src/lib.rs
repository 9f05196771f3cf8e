//! What crosses the line between nstrace's kernel side and its user side.
//!
//! The binaries of this package are the eBPF objects: `nstrace-bpf` counts, `nstrace-capture-bpf`, of
//! which each capture loads one of its own, records packets. This library holds what both
//! sides must agree on, and compiles for `bpfel-unknown-none` and for the host alike:
//!
//! - [`wire`]: fixed layouts of everything that stands in a map or a ring;
//! - [`parse`]: packet bytes to a [`wire::Class`] and a flow's key, so that the parser which the
//!   kernel runs is the one that host tests run.
//!
//! What flows where:
//!
//! ```text
//! packet -> tc program --count--> COUNTERS, one CpuCounters per (cpu, slot), mmapped by user space
//!                      \--flow---> FLOWS4, FLOWS6, a cache for each CPU, mmapped by user space
//!                      |             \--what must leave it--> SPILLS, a lane for each CPU, mmapped
//!                      |             \--what fits in neither--> `other` of its slot in COUNTERS
//!                      \--sample-> SAMPLES, a ring of Sample, when a window of a slot closes
//!                      \--lost---> LOST, per-CPU, when something did not fit
//! packet -> capture program --filter, record--> RINGS, one for each CPU, mmapped
//!                              \--matched, lost--> COUNTERS of its own, mmapped
//! user space --SLOTS: ifindex -> owner of a slot; globals: sizes, hash keys--> tc program
//! ```
//!
//! Nothing here allocates, panics or does I/O.
#![cfg_attr(not(test), no_std)]
// Inline assembly for this target is not stable yet; host builds do without.
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

pub mod parse;
pub mod wire;
