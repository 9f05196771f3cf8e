//! A ring of the eBPF object, mapped into memory and read in place.
//!
//! aya reads a ring too, one record at a time, and moves its end on with each. Here records of
//! several rings are merged by time, so each ring's next record must be looked at before it is
//! taken, and the end of a ring must be known from a record that is still being written.

use std::{
    io,
    num::NonZeroUsize,
    os::fd::AsFd,
    ptr::NonNull,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
};

use nix::{
    sys::mman::{MapFlags, ProtFlags, mmap, munmap},
    unistd::{SysconfVar, sysconf},
};

/// Bits of a record's length (`BPF_RINGBUF_*` of `linux/bpf.h`).
const BUSY: u32 = 1 << 31;
const DISCARDED: u32 = 1 << 30;
/// In front of each record: its length, and a number of the kernel's own.
const HEADER: u64 = 8;

/// A mapped ring.
///
/// Layout (`kernel/bpf/ringbuf.c`): a page with the consumer's position; one with the producer's,
/// read-only; the data, mapped twice in a row, so that no record is torn at the end.
#[derive(Debug)]
pub struct RecordRing {
    consumer: NonNull<AtomicU64>,
    producer: NonNull<u8>,
    page: usize,
    size: u64,
}

// SAFETY: the memory is shared with the kernel anyway; positions are atomics, and data before the
// producer's position does not change until it is released, for which the ring is borrowed mutably.
unsafe impl Send for RecordRing {}

/// What stands at a position of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot<'a> {
    /// A record, and the position of what follows.
    Record(&'a [u8], u64),
    /// One that was given up, and the position of what follows.
    Discarded(u64),
    /// One that is still being written.
    Busy,
    /// Nothing yet.
    End,
}

/// The length of a page, in bytes.
#[must_use]
pub fn page_size() -> usize {
    let size = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
    size.and_then(|size| usize::try_from(size).ok())
        .unwrap_or(4096)
}

impl RecordRing {
    /// Maps a ring of `size` bytes, a power of two.
    ///
    /// # Errors
    ///
    /// If the kernel refuses, as where the map is no ring of that size.
    pub fn open(map: impl AsFd, size: u32) -> io::Result<Self> {
        let page = page_size();
        let length = |bytes: usize| {
            NonZeroUsize::new(bytes).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
        };
        let (write, read) = (
            ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
            ProtFlags::PROT_READ,
        );
        let offset = i64::try_from(page).map_err(io::Error::other)?;
        let data = length(page + 2 * size as usize)?;
        // SAFETY: a new mapping, at an address that the kernel chooses.
        let consumer = unsafe { mmap(None, length(page)?, write, MapFlags::MAP_SHARED, &map, 0) }?;
        // SAFETY: as above.
        let producer = unsafe { mmap(None, data, read, MapFlags::MAP_SHARED, &map, offset) };
        let producer = match producer {
            Ok(producer) => producer.cast(),
            Err(error) => {
                // SAFETY: exactly what was mapped above.
                let undone = unsafe { munmap(consumer, page) };
                return Err(undone.err().unwrap_or(error).into());
            }
        };
        Ok(Self {
            consumer: consumer.cast(),
            producer,
            page,
            size: u64::from(size),
        })
    }

    /// Where reading goes on.
    #[must_use]
    pub fn consumed(&self) -> u64 {
        // SAFETY: mapped, and aligned to a page; only we write it.
        unsafe { self.consumer.as_ref() }.load(Ordering::Relaxed)
    }

    /// Up to where there are records, whole or not.
    #[must_use]
    pub fn produced(&self) -> u64 {
        // SAFETY: mapped, and aligned to a page.
        unsafe { self.producer.cast::<AtomicU64>().as_ref() }.load(Ordering::Acquire)
    }

    /// What stands at `at`, where the producer was seen at `end`.
    #[must_use]
    #[inline]
    pub fn look(&self, at: u64, end: u64) -> Slot<'_> {
        if at >= end {
            return Slot::End;
        }
        let offset = usize::try_from(at & (self.size - 1)).unwrap_or(0);
        // SAFETY: below twice the data's size, since what is between is mapped twice.
        let header = unsafe { self.producer.add(self.page + offset) };
        // SAFETY: records are aligned to eight.
        let length = unsafe { header.cast::<AtomicU32>().as_ref() }.load(Ordering::Acquire);
        if length & BUSY != 0 {
            return Slot::Busy;
        }
        let bytes = u64::from(length & !DISCARDED);
        let next = at + (bytes + HEADER).next_multiple_of(8);
        if length & DISCARDED != 0 {
            return Slot::Discarded(next);
        }
        // The kernel wrote it, but a length is nothing to take on trust in front of memory.
        let bytes = usize::try_from(bytes.min(self.size)).unwrap_or(0);
        // SAFETY: as above, behind the header.
        let start = unsafe { header.add(8) };
        // SAFETY: `bytes` of the record, within the doubled data; it does not change until it is
        // released.
        Slot::Record(
            unsafe { std::slice::from_raw_parts(start.as_ptr(), bytes) },
            next,
        )
    }

    /// Gives back all before `at`.
    pub fn release(&mut self, at: u64) {
        // SAFETY: as in `consumed`. The kernel reads it with acquire semantics.
        unsafe { self.consumer.as_ref() }.store(at, Ordering::Release);
    }
}

impl Drop for RecordRing {
    fn drop(&mut self) {
        let data = self.page + 2 * usize::try_from(self.size).unwrap_or(0);
        // SAFETY: exactly what was mapped; nothing borrows from it.
        let consumer = unsafe { munmap(self.consumer.cast(), self.page) };
        // SAFETY: as above.
        let producer = unsafe { munmap(self.producer.cast(), data) };
        if let Err(error) = consumer.and(producer) {
            tracing::error!(%error, "a ring stays in memory");
        }
    }
}
