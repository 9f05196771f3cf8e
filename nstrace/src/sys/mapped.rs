//! Arrays of the eBPF object, mapped into memory: read without a syscall while programs write.

use std::{
    io,
    num::NonZeroUsize,
    os::fd::AsFd,
    ptr::NonNull,
    sync::atomic::{Ordering, fence},
};

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use nstrace_ebpf::wire::{CpuCounters, FlowEntry4, FlowEntry6, FlowFamily, FlowStats, Lane, Spill};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// The values of an array map made with `BPF_F_MMAPABLE`.
///
/// `T` has a size that is a multiple of eight, so elements lie one behind the other.
#[derive(Debug)]
struct Mapped<T> {
    start: NonNull<T>,
    length: usize,
}

// SAFETY: the memory is shared with the kernel anyway; every access is volatile and of plain
// integers, and the mapping is undone only when the one owner is dropped.
unsafe impl<T: FromBytes> Send for Mapped<T> {}
// SAFETY: as above.
unsafe impl<T: FromBytes> Sync for Mapped<T> {}

impl<T: FromBytes> Mapped<T> {
    fn open(map: impl AsFd, length: usize) -> io::Result<Self> {
        const { assert!(size_of::<T>().is_multiple_of(8)) };
        let bytes = NonZeroUsize::new(length * size_of::<T>())
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping, at an address that the kernel chooses.
        let start = unsafe { mmap(None, bytes, protection, MapFlags::MAP_SHARED, map, 0) }?;
        Ok(Self {
            start: start.cast(),
            length,
        })
    }

    fn element(&self, at: usize) -> Option<NonNull<T>> {
        // SAFETY: within the mapping, by the check.
        (at < self.length).then(|| unsafe { self.start.add(at) })
    }

    /// An element as it stands; each of its words is read whole.
    fn read(&self, at: usize) -> Option<T> {
        // SAFETY: valid, and aligned as the array's elements are (from a page's start).
        self.element(at)
            .map(|element| unsafe { element.read_volatile() })
    }
}

impl<T> Drop for Mapped<T> {
    fn drop(&mut self) {
        // SAFETY: exactly what was mapped; nothing borrows from it.
        if let Err(error) = unsafe { munmap(self.start.cast(), self.length * size_of::<T>()) } {
            tracing::error!(%error, "a map stays in memory");
        }
    }
}

/// A `COUNTERS` array: an element for each CPU and slot.
#[derive(Debug)]
pub struct CounterArea<T: FromBytes = CpuCounters> {
    elements: Mapped<T>,
    cpus: usize,
    slots: usize,
}

impl<T: FromBytes> CounterArea<T> {
    /// Maps an array of `cpus * slots` elements.
    ///
    /// # Errors
    ///
    /// If the map was made without `BPF_F_MMAPABLE` (5.5), or is smaller.
    pub fn open(map: impl AsFd, cpus: u32, slots: u32) -> io::Result<Self> {
        let (cpus, slots) = (cpus as usize, slots as usize);
        Ok(Self {
            elements: Mapped::open(map, cpus * slots)?,
            cpus,
            slots,
        })
    }

    fn places(&self, slot: u32) -> impl Iterator<Item = usize> {
        let slot = slot as usize;
        let (cpus, slots) = (self.cpus, self.slots);
        (0..cpus)
            .filter(move |_| slot < slots)
            .map(move |cpu| cpu * slots + slot)
    }

    /// What each CPU has counted for `slot`, as it stands. Two numbers of one element may be a
    /// packet apart.
    pub fn read(&self, slot: u32) -> impl Iterator<Item = T> {
        self.places(slot)
            .filter_map(|place| self.elements.read(place))
    }

    /// Empties `slot` on every CPU. Only for a slot that no attached program uses.
    pub fn clear(&self, slot: u32) {
        for element in self
            .places(slot)
            .filter_map(|place| self.elements.element(place))
        {
            // SAFETY: valid and aligned; nobody else writes it, as the caller warrants.
            unsafe { element.write_volatile(T::new_zeroed()) };
        }
    }
}

/// An entry of the flow cache, as it was read in one life of it.
#[derive(Clone, Copy, Debug)]
pub struct CachedFlow {
    /// Whose slice it is in.
    pub cpu: u32,
    /// Where in it.
    pub entry: u32,
    /// Of which of the two arrays.
    pub family: FlowFamily,
    /// The key; of an IPv4 flow the first two words.
    pub key: [u64; 5],
    /// The values, with an even generation.
    pub stats: FlowStats,
}

/// The two arrays of the flow cache.
#[derive(Debug)]
pub struct FlowArea {
    v4: Mapped<FlowEntry4>,
    v6: Mapped<FlowEntry6>,
    cpus: u32,
}

/// How often an entry that changes under the reader is read anew. It is rewritten in nanoseconds;
/// one that a CPU is halted in is read with the next look.
const TRIES: usize = 4;

impl FlowArea {
    /// Maps arrays of `cpus` slices of so many entries each.
    ///
    /// # Errors
    ///
    /// If a map was made without `BPF_F_MMAPABLE` (5.5), or is smaller.
    pub fn open(
        v4: impl AsFd,
        v6: impl AsFd,
        cpus: u32,
        flows4: u32,
        flows6: u32,
    ) -> io::Result<Self> {
        let entries = |flows: u32| cpus as usize * flows as usize;
        Ok(Self {
            v4: Mapped::open(v4, entries(flows4))?,
            v6: Mapped::open(v6, entries(flows6))?,
            cpus,
        })
    }

    /// Reads every entry in use.
    pub fn read(&self, mut take: impl FnMut(&CachedFlow)) {
        self.read_family(&self.v4, FlowFamily::V4, &mut take);
        self.read_family(&self.v6, FlowFamily::V6, &mut take);
    }

    fn read_family<E: Cached>(
        &self,
        entries: &Mapped<E>,
        family: FlowFamily,
        take: &mut impl FnMut(&CachedFlow),
    ) {
        let slice = entries.length / self.cpus.max(1) as usize;
        let (mut cpu, mut entry) = (0, 0);
        for place in 0..entries.length {
            if entry as usize == slice {
                (cpu, entry) = (cpu + 1, 0);
            }
            if let Some((key, stats)) = read_stable(entries, place) {
                take(&CachedFlow {
                    cpu,
                    entry,
                    family,
                    key,
                    stats,
                });
            }
            entry += 1;
        }
    }
}

/// Reads an entry of which no part is of another life, unless it is empty or keeps changing.
fn read_stable<E: Cached>(entries: &Mapped<E>, place: usize) -> Option<([u64; 5], FlowStats)> {
    let element = entries.element(place)?.as_ptr();
    let generation = || {
        // SAFETY: a field of a valid, aligned element.
        let field = unsafe { E::generation(element) };
        // SAFETY: as above.
        unsafe { field.read_volatile() }
    };
    for _ in 0..TRIES {
        let before = generation();
        if before == 0 {
            return None;
        }
        fence(Ordering::Acquire);
        let (key, stats) = entries.read(place)?.parts();
        fence(Ordering::Acquire);
        if before % 2 == 0 && generation() == before {
            return Some((key, stats));
        }
    }
    None
}

/// An element of one of the two arrays.
trait Cached: FromBytes {
    /// Where the generation stands.
    ///
    /// # Safety
    ///
    /// `entry` is valid.
    unsafe fn generation(entry: *mut Self) -> *mut u32;
    fn parts(self) -> ([u64; 5], FlowStats);
}

impl Cached for FlowEntry4 {
    unsafe fn generation(entry: *mut Self) -> *mut u32 {
        // SAFETY: as the caller warrants.
        unsafe { &raw mut (*entry).stats.generation }
    }

    fn parts(self) -> ([u64; 5], FlowStats) {
        (words(&self.key), self.stats)
    }
}

impl Cached for FlowEntry6 {
    unsafe fn generation(entry: *mut Self) -> *mut u32 {
        // SAFETY: as the caller warrants.
        unsafe { &raw mut (*entry).stats.generation }
    }

    fn parts(self) -> ([u64; 5], FlowStats) {
        (words(&self.key), self.stats)
    }
}

fn words(key: &(impl IntoBytes + Immutable)) -> [u64; 5] {
    let mut words = [0; 5];
    words.as_mut_bytes()[..size_of_val(key)].copy_from_slice(key.as_bytes());
    words
}

/// The spill lanes, of which this is the one reader.
#[derive(Debug)]
pub struct Lanes {
    ends: Mapped<Lane>,
    spills: Mapped<Spill>,
    length: u32,
}

impl Lanes {
    /// Maps `cpus` lanes of `length` spills, a power of two.
    ///
    /// # Errors
    ///
    /// If a map was made without `BPF_F_MMAPABLE` (5.5), or is smaller.
    pub fn open(lanes: impl AsFd, spills: impl AsFd, cpus: u32, length: u32) -> io::Result<Self> {
        Ok(Self {
            ends: Mapped::open(lanes, cpus as usize)?,
            spills: Mapped::open(spills, cpus as usize * length as usize)?,
            length,
        })
    }

    /// Number of lanes.
    #[must_use]
    pub fn cpus(&self) -> u32 {
        u32::try_from(self.ends.length).unwrap_or(u32::MAX)
    }

    /// Number of spills that a lane holds.
    #[must_use]
    pub const fn length(&self) -> u32 {
        self.length
    }

    /// Takes up to `most` spills off a CPU's lane, oldest first. Returns how many there were.
    pub fn drain(&mut self, cpu: u32, most: u32, mut take: impl FnMut(&Spill)) -> u32 {
        let Some(lane) = self.ends.element(cpu as usize) else {
            return 0;
        };
        let lane = lane.as_ptr();
        // SAFETY: a field of a valid, aligned element.
        let head = unsafe { &raw const (*lane).head };
        // SAFETY: as above.
        let tail = unsafe { &raw mut (*lane).tail };
        // SAFETY: as above.
        let head = unsafe { head.read_volatile() };
        // SAFETY: as above; only we write it.
        let read = unsafe { tail.read_volatile() };
        // What was written before the head moved is read after it was.
        fence(Ordering::Acquire);
        let there = head.wrapping_sub(read).min(self.length);
        let first = cpu as usize * self.length as usize;
        let taken = there.min(most);
        for nth in 0..taken {
            let at = read.wrapping_add(nth) & (self.length - 1);
            if let Some(spill) = self.spills.read(first + at as usize) {
                take(&spill);
            }
        }
        // What was read is given back only now.
        fence(Ordering::Release);
        // SAFETY: as above.
        unsafe { tail.write_volatile(read.wrapping_add(taken)) };
        there
    }
}
