//! Every map and global: who writes it, who reads it, its bound, and what happens when it is full.

use aya_ebpf::{
    Global,
    bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC},
    macros::map,
    maps::{Array, HashMap, PerCpuArray, RingBuf},
};
use nstrace_ebpf::wire::{CpuCounters, LOST_REASONS, ProgramConfig, SLOTS_DIRECT};

/// Written by user space before load, then frozen.
#[unsafe(no_mangle)]
pub(crate) static CONFIG: Global<ProgramConfig> = Global::new(ProgramConfig {
    slots: 1,
    window_jiffies: 1,
});

/// ifindex -> slot + 1; 0 is "not watched". Written by user space, read here.
#[map]
pub(crate) static SLOTS: Array<u32> = Array::with_max_entries(SLOTS_DIRECT, 0);

/// The same for an ifindex past [`SLOTS`]. User space says so when it is full.
#[map]
pub(crate) static SLOTS_HIGH: HashMap<u32, u32> =
    HashMap::with_max_entries(16_384, BPF_F_NO_PREALLOC);

/// (cpu, slot) -> counters, at `cpu * CONFIG.slots + slot`, so that CPUs share no cache line.
///
/// Written here, read by user space through a memory map, which also zeroes a slot before it is
/// given out anew. User space sets the number of entries at load: possible CPUs times slots.
#[map]
pub(crate) static COUNTERS: Array<CpuCounters> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// Closed windows. Drained by user space on a timer; when it is full the sample is counted in
/// [`LOST`]. User space sets the size at load.
#[map]
pub(crate) static SAMPLES: RingBuf = RingBuf::with_byte_size(4096, 0);

/// By `LostReason`; written here, read by user space, never reset.
#[map]
pub(crate) static LOST: PerCpuArray<u64> = PerCpuArray::with_max_entries(LOST_REASONS, 0);
