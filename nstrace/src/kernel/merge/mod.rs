//! The rings of all CPUs as one stream of records, in the order of their times. Generic over what a
//! ring is, so that the order is tested without a kernel.
//!
//! Each ring is in order by itself. The next record of all is the earliest of the first of each, if
//! none that is earlier can still come. A program reads the clock after it has reserved its record's
//! place, and places are seen here as soon as they are reserved. So whoever reads the clock first and
//! then finds nothing before some place has seen all that is earlier; and where a place is reserved,
//! but not written yet, what comes is no earlier than what that CPU wrote before.

use std::ops::ControlFlow;

use nstrace_ebpf::wire::RecordHeader;
use zerocopy::FromBytes as _;

use crate::sys::ring::{RecordRing, Slot};

/// Producers get their room back after so many bytes.
const RELEASE: u64 = 256 << 10;

/// What can be read like a ring.
pub trait Ring {
    /// Where reading goes on.
    fn consumed(&self) -> u64;
    /// Up to where there are records, whole or not.
    fn produced(&self) -> u64;
    /// What stands at `at`, where the producer was seen at `end`.
    fn look(&self, at: u64, end: u64) -> Slot<'_>;
    /// Gives back all before `at`.
    fn release(&mut self, at: u64);
}

impl Ring for RecordRing {
    fn consumed(&self) -> u64 {
        self.consumed()
    }

    fn produced(&self) -> u64 {
        self.produced()
    }

    #[inline]
    fn look(&self, at: u64, end: u64) -> Slot<'_> {
        self.look(at, end)
    }

    fn release(&mut self, at: u64) {
        self.release(at);
    }
}

/// One ring, and how far it is.
#[derive(Debug)]
struct Lane<R> {
    ring: R,
    at: u64,
    end: u64,
    /// Time of the last record that was taken.
    last: u64,
    /// Time of the next, if it is there.
    next: Option<u64>,
}

/// The rings of a capture.
#[derive(Debug)]
pub struct Merge<R = RecordRing> {
    lanes: Vec<Lane<R>>,
}

/// What a look at the rings came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Bytes that were taken.
    pub bytes: u64,
    /// Whether a record before the bound is still being written.
    pub is_waiting: bool,
    /// Records that make no sense: of another version, or too short.
    pub unreadable: u64,
}

impl<R: Ring> Merge<R> {
    /// Of the rings of all CPUs, by number.
    #[must_use]
    pub fn new(rings: Vec<R>) -> Self {
        let lane = |ring: R| Lane {
            at: ring.consumed(),
            end: 0,
            last: 0,
            next: None,
            ring,
        };
        Self {
            lanes: rings.into_iter().map(lane).collect(),
        }
    }

    /// Hands over what has a time up to `bound`, which must have been read from the clock before; by
    /// CPU, in order, until `take` breaks.
    pub fn drain(
        &mut self,
        bound: u64,
        mut take: impl FnMut(usize, &RecordHeader, &[u8]) -> ControlFlow<()>,
    ) -> Drained {
        let mut drained = Drained::default();
        let mut bound = bound;
        for lane in &mut self.lanes {
            lane.end = lane.ring.produced();
            lane.advance(&mut bound, &mut drained);
        }
        let mut released = 0;
        while let Some((cpu, limit)) = self.earliest(bound) {
            let lane = &mut self.lanes[cpu];
            let mut flow = ControlFlow::Continue(());
            while lane.next.is_some_and(|time| time <= limit.min(bound))
                && flow.is_continue()
                && drained.bytes < released + RELEASE
            {
                let before = lane.at;
                flow = lane.take(cpu, &mut take, &mut drained);
                drained.bytes += lane.at - before;
                lane.advance(&mut bound, &mut drained);
            }
            if flow.is_break() || drained.bytes - released >= RELEASE {
                released = drained.bytes;
                self.release();
            }
            if flow.is_break() {
                return drained;
            }
        }
        self.release();
        drained
    }

    fn release(&mut self) {
        for lane in &mut self.lanes {
            if lane.at != lane.ring.consumed() {
                lane.ring.release(lane.at);
            }
        }
    }

    /// The ring with the earliest record up to `bound`, and the time up to which it stays that.
    fn earliest(&self, bound: u64) -> Option<(usize, u64)> {
        let mut first: Option<(usize, u64)> = None;
        let mut second = bound;
        for (cpu, lane) in self.lanes.iter().enumerate() {
            let Some(time) = lane.next.filter(|time| *time <= bound) else {
                continue;
            };
            match first {
                Some((_, earliest)) if earliest <= time => second = second.min(time),
                _ => {
                    second = first.map_or(second, |(_, earliest)| second.min(earliest));
                    first = Some((cpu, time));
                }
            }
        }
        first.map(|(cpu, _)| (cpu, second))
    }
}

impl<R: Ring> Lane<R> {
    /// Finds the next record, and lowers `bound` where it is still being written.
    #[inline]
    fn advance(&mut self, bound: &mut u64, drained: &mut Drained) {
        loop {
            match self.ring.look(self.at, self.end) {
                Slot::Record(bytes, next) => {
                    if let Ok((header, _)) = RecordHeader::ref_from_prefix(bytes) {
                        self.next = Some(header.time);
                        return;
                    }
                    drained.unreadable += 1;
                    self.at = next;
                }
                Slot::Discarded(next) => self.at = next,
                Slot::Busy => {
                    drained.is_waiting = true;
                    *bound = (*bound).min(self.last);
                    self.next = None;
                    return;
                }
                Slot::End => {
                    self.next = None;
                    return;
                }
            }
        }
    }

    #[inline]
    fn take(
        &mut self,
        cpu: usize,
        take: &mut impl FnMut(usize, &RecordHeader, &[u8]) -> ControlFlow<()>,
        drained: &mut Drained,
    ) -> ControlFlow<()> {
        let Slot::Record(bytes, next) = self.ring.look(self.at, self.end) else {
            return ControlFlow::Continue(());
        };
        self.at = next;
        let Ok((header, packet)) = RecordHeader::ref_from_prefix(bytes) else {
            return ControlFlow::Continue(());
        };
        self.last = header.time;
        match packet.get(..header.cap_len as usize) {
            Some(packet) if u32::from(header.version) == nstrace_ebpf::wire::WIRE_VERSION => {
                take(cpu, header, packet)
            }
            _ => {
                drained.unreadable += 1;
                ControlFlow::Continue(())
            }
        }
    }
}

#[cfg(test)]
mod tests;
