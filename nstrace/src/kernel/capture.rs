//! Loads the object of one capture, with its filter in it.
//!
//! Each capture has its own object, rings and attachments, so that a watch without one pays nothing,
//! and captures come and go alone.

use aya::{
    EbpfLoader,
    maps::{ArrayOfMaps, MapData},
};
use nstrace_ebpf::wire::{CaptureConfig, CaptureCounters};
use zerocopy::IntoBytes as _;

use super::object::{KernelError, Programs, SlotMaps, array, take, typed};
use crate::{
    filter::{ebpf::Ebpf, inject::Room},
    sys::{
        bpf,
        mapped::CounterArea,
        ring::{RecordRing, page_size},
    },
};

/// The object, built by build.rs. Empty where that was told to skip it.
static OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/nstrace-capture-bpf"));

/// What a capture is made with.
#[derive(Clone, Debug)]
pub struct CaptureRequest {
    /// Interfaces at a time.
    pub slots: u32,
    /// Size of all rings together, in bytes.
    pub buffer: u64,
    /// Most bytes that are captured of a packet.
    pub snaplen: u32,
    /// Bit `1 << direction` for each [`nstrace_ebpf::wire::Direction`] that is captured.
    pub directions: u32,
    /// What packets have to match.
    pub filter: Vec<Ebpf>,
}

/// The loaded object of a capture.
pub struct CaptureKernel {
    /// The two programs.
    pub programs: Programs,
    /// Which slot an interface has.
    pub slots: SlotMaps,
    /// What became of each slot's packets, in memory.
    pub counters: CounterArea<CaptureCounters>,
    /// A ring for each CPU, in memory.
    pub rings: Vec<RecordRing>,
    /// Size of each, in bytes.
    pub ring_bytes: u32,
}

/// How many instructions a filter may have.
///
/// # Errors
///
/// If this nstrace was built without its eBPF programs.
pub fn room() -> Result<usize, KernelError> {
    Ok(find_room()?.instructions())
}

fn find_room() -> Result<Room, KernelError> {
    if OBJECT.is_empty() {
        return Err(KernelError::Skipped);
    }
    Room::find(OBJECT).map_err(|_error| KernelError::Mismatch("pcap_filter"))
}

/// The size of each of so many rings: a power of two, and whole pages. No ring is larger than what
/// the kernel can map twice.
fn ring_bytes(buffer: u64, rings: u32) -> u32 {
    const LARGEST: u64 = 1 << 30;

    let page = u64::try_from(page_size()).unwrap_or(4096);
    let each = (buffer / u64::from(rings.max(1))).clamp(page, LARGEST);
    u32::try_from(1_u64 << each.ilog2()).unwrap_or(u32::MAX)
}

impl CaptureKernel {
    /// Loads the object.
    ///
    /// # Errors
    ///
    /// If a privilege is missing, the kernel is too old or refuses the filter, or memory is short.
    ///
    /// # Minimum kernel version
    ///
    /// 5.10, for `BPF_LD_ABS` in a function.
    pub fn load(request: &CaptureRequest) -> Result<Self, KernelError> {
        let object = find_room()?
            .fill(OBJECT, &request.filter)
            .map_err(|_error| KernelError::Mismatch("pcap_filter"))?;
        bpf::lift_memlock_limit();
        let cpus = bpf::possible_cpus().map_err(KernelError::Map)?;
        let config = CaptureConfig {
            slots: request.slots,
            snaplen: request.snaplen,
            directions: request.directions,
        };
        let mut ebpf = EbpfLoader::new()
            .override_global("CONFIG", config.as_bytes(), true)
            .map_max_entries("COUNTERS", cpus * request.slots)
            .map_max_entries("RINGS", cpus)
            .load(&object)
            .map_err(|error| KernelError::Load(Box::new(error)))?;
        let ring_bytes = ring_bytes(request.buffer, cpus);
        let mut by_cpu: ArrayOfMaps<MapData, MapData> = typed(take(&mut ebpf, "RINGS")?, "RINGS")?;
        let mut rings = Vec::new();
        for cpu in 0..cpus {
            let ring = bpf::create_ring(ring_bytes).map_err(KernelError::Ring)?;
            rings.push(RecordRing::open(&ring, ring_bytes).map_err(KernelError::Ring)?);
            let set = MapData::from_fd(ring).and_then(|ring| by_cpu.set(cpu, &ring, 0));
            set.map_err(|error| KernelError::Load(Box::new(error.into())))?;
        }
        let programs = Programs::load(&mut ebpf)?;
        let counters = array::<CaptureCounters>(&mut ebpf, "COUNTERS")?;
        let counters =
            CounterArea::open(counters.fd(), cpus, request.slots).map_err(KernelError::Map)?;
        Ok(Self {
            programs,
            slots: SlotMaps::take(&mut ebpf)?,
            counters,
            rings,
            ring_bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_shared_evenly_in_powers_of_two() {
        assert_eq!(ring_bytes(64 << 20, 2), 32 << 20);
        assert_eq!(ring_bytes(64 << 20, 3), 16 << 20);
        assert_eq!(
            ring_bytes(1, 2),
            u32::try_from(page_size()).expect("a page")
        );
        assert_eq!(ring_bytes(u64::MAX, 1), 1 << 30);
    }
}
