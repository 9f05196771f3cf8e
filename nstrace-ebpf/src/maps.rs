//! Every map and global: who writes it, who reads it, its bound, and what happens when it is full.

use aya_ebpf::{
    Global,
    bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC},
    macros::map,
    maps::{Array, HashMap, PerCpuArray, RingBuf},
};
use nstrace_ebpf::{
    parse::Packet,
    wire::{
        CpuCounters, FlowEntry4, FlowEntry6, HASH_WORDS, LOST_REASONS, Lane, ProgramConfig,
        SLOTS_DIRECT, Spill,
    },
};

/// Written by user space before load, then frozen. Read by `config!`.
#[unsafe(no_mangle)]
pub(crate) static CONFIG: Global<ProgramConfig> = Global::new(ProgramConfig {
    hash_keys: [1; HASH_WORDS],
    slots: 1,
    window_jiffies: 1,
    flow4_bits: 0,
    flow6_bits: 0,
    lane_length: 1,
    idle_jiffies: 0,
});

/// One field of [`CONFIG`]: reading all of it would copy all of it for each packet.
macro_rules! config {
    ($($field:tt)+) => {{
        // `Global` is transparent.
        let config = (&raw const $crate::maps::CONFIG).cast::<nstrace_ebpf::wire::ProgramConfig>();
        // SAFETY: a field of a static.
        let field = unsafe { &raw const (*config).$($field)+ };
        // SAFETY: as above. Volatile, since user space has overwritten what the compiler sees.
        unsafe { field.read_volatile() }
    }};
}
pub(crate) use config;

/// ifindex -> [`nstrace_ebpf::wire::Owner`] with its "watched" bit; 0 is "not watched". Written by
/// user space, read here.
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

/// The flow cache: a slice for each CPU, one behind the other (see `wire::flow`). Written here,
/// read by user space through a memory map. What does not fit goes to [`SPILLS`]. User space sets
/// the number of entries at load.
#[map]
pub(crate) static FLOWS4: Array<FlowEntry4> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// The same for IPv6.
#[map]
pub(crate) static FLOWS6: Array<FlowEntry6> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// Flows that left the cache: a lane for each CPU, one behind the other. Written here, read by user
/// space through a memory map. A lane that is full is left as it is; see [`LOST`]. User space sets
/// the number of entries at load.
///
/// Not a `RINGBUF`: a lane has one producer, so it needs no lock, which costs more than the rest of
/// a spill, and several CPUs that spill do not wait for each other.
#[map]
pub(crate) static SPILLS: Array<Spill> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// Where each CPU's lane stands. Its two halves are written here and by user space.
#[map]
pub(crate) static LANES: Array<Lane> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// Where a packet that the quick ways do not take is described, for the time it is counted.
///
/// It could stand on the stack. But there the verifier would know of each field what each way
/// through the parser has made of it, and would follow what comes after once for every way; what is
/// read from a map it knows nothing of, so once is enough. With it the programs are verified in a
/// fraction of the instructions, and at all without `CAP_PERFMON`.
#[map]
pub(crate) static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);

/// The value of [`SCRATCH`].
#[repr(C)]
pub(crate) struct Scratch {
    /// The packet.
    pub(crate) packet: Packet,
    /// For `PacketBytes::forget`.
    pub(crate) forgotten: [u64; 8],
}

/// Closed windows. Drained by user space on a timer; when it is full the sample is counted in
/// [`LOST`]. User space sets the size at load.
#[map]
pub(crate) static SAMPLES: RingBuf = RingBuf::with_byte_size(4096, 0);

/// By `LostReason`; written here, read by user space, never reset.
#[map]
pub(crate) static LOST: PerCpuArray<u64> = PerCpuArray::with_max_entries(LOST_REASONS, 0);
