//! Every map and global of a capture: who writes it, who reads it, its bound, and what happens when
//! it is full.

use aya_ebpf::{
    Global,
    bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC},
    btf_maps::{ArrayOfMaps, RingBuf},
    macros::{btf_map, map},
    maps::{Array, HashMap},
};
use nstrace_ebpf::wire::{CaptureConfig, CaptureCounters, SLOTS_DIRECT};

/// Written by user space before load, then frozen.
#[unsafe(no_mangle)]
pub(crate) static CONFIG: Global<CaptureConfig> = Global::new(CaptureConfig {
    slots: 1,
    snaplen: 1,
    directions: 3,
});

/// ifindex -> [`nstrace_ebpf::wire::Owner`] with its "watched" bit; 0 is "not captured". Written by
/// user space, read here.
#[map]
pub(crate) static SLOTS: Array<u32> = Array::with_max_entries(SLOTS_DIRECT, 0);

/// The same for an ifindex past [`SLOTS`]. User space says so when it is full.
#[map]
pub(crate) static SLOTS_HIGH: HashMap<u32, u32> =
    HashMap::with_max_entries(16_384, BPF_F_NO_PREALLOC);

/// (cpu, slot) -> counters, at `cpu * CONFIG.slots + slot`. Written here, read by user space through
/// a memory map, which also zeroes a slot before it is given out anew.
#[map]
pub(crate) static COUNTERS: Array<CaptureCounters> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// A ring for each CPU, so that none waits for another's lock. Records are written here and read by
/// user space on a timer: a wake-up costs a packet's path microseconds. What does not fit is counted
/// in [`COUNTERS`]. User space makes the rings, and sets their number and size.
#[btf_map]
pub(crate) static RINGS: ArrayOfMaps<RingBuf<u8, 4096>, 1> = ArrayOfMaps::new();
