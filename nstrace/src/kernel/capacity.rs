//! How large the maps are made: what was asked for, else what suits the machine.

use std::fmt;

use nstrace_ebpf::wire::{CpuCounters, FlowEntry4, FlowEntry6, Lane, Spill};

/// What the user asked for; what is absent is worked out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Interfaces at a time.
    pub slots: u32,
    /// Size of the samples' ring, in bytes.
    pub ring_bytes: u32,
    /// IPv4 flows in each CPU's cache; 0: count no flows.
    pub flows4: Option<u32>,
    /// IPv6 flows in each CPU's cache.
    pub flows6: Option<u32>,
    /// Spills in each CPU's lane.
    pub spills: Option<u32>,
}

/// Sizes of all maps. Flows and spills are powers of two, and those of one CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// CPUs that there can be.
    pub cpus: u32,
    /// Interfaces at a time.
    pub slots: u32,
    /// Size of the samples' ring, in bytes.
    pub ring_bytes: u32,
    /// IPv4 flows; 0: no flow is counted, of either family.
    pub flows4: u32,
    /// IPv6 flows.
    pub flows6: u32,
    /// Spills in a lane.
    pub spills: u32,
}

/// The flow cache takes at most this part of the machine's memory,
const MEMORY_SHARE: u64 = 128;
/// and at most this many bytes, with all CPUs together, unless more is asked for.
const MAX_CACHE: u64 = 256 << 20;
/// Most IPv4 flows of a CPU, where there is memory for them: 8 MiB.
const MAX_FLOWS: u32 = 1 << 17;
/// Fewest flows that can be asked for, and fewest by default.
const MIN_FLOWS: u32 = 16;
const MIN_DEFAULT_FLOWS: u32 = 1 << 10;
/// One IPv6 flow for so many of IPv4, by default.
const FLOWS_4_PER_6: u32 = 4;
/// One spill for so many flows: 131,072 flows have a lane that a CPU needs 16 ms to fill even at a
/// million new flows a second.
const FLOWS_PER_SPILL: u32 = 8;
const MIN_SPILLS: u32 = 256;

impl Capacity {
    /// Fits `request` to a machine with `cpus` and `memory` bytes.
    #[must_use]
    pub fn new(request: Request, cpus: u32, memory: u64) -> Self {
        let budget = (memory / MEMORY_SHARE).min(MAX_CACHE) / u64::from(cpus.max(1));
        let each = size_of::<FlowEntry4>() as u64
            + size_of::<FlowEntry6>() as u64 / u64::from(FLOWS_4_PER_6);
        let fitting = u32::try_from(budget / each).unwrap_or(MAX_FLOWS);
        let default = power_below(fitting).clamp(MIN_DEFAULT_FLOWS, MAX_FLOWS);
        let asked = |flows: Option<u32>, default: u32| match flows {
            Some(0) => 0,
            Some(flows) => power_above(flows.max(MIN_FLOWS)),
            None => default,
        };
        let mut flows4 = asked(request.flows4, default);
        let mut flows6 = asked(request.flows6, (flows4 / FLOWS_4_PER_6).max(MIN_FLOWS));
        if flows4 == 0 || flows6 == 0 {
            (flows4, flows6) = (0, 0);
        }
        let spills = request
            .spills
            .map_or((flows4 / FLOWS_PER_SPILL).max(MIN_SPILLS), power_above);
        Self {
            cpus,
            slots: request.slots,
            ring_bytes: request.ring_bytes,
            flows4,
            flows6,
            spills,
        }
    }

    /// Whether flows are counted.
    #[must_use]
    pub const fn has_flows(&self) -> bool {
        self.flows4 != 0
    }

    /// Memory of the flow cache and the lanes, in bytes.
    #[must_use]
    pub const fn flow_bytes(&self) -> u64 {
        let cpu = self.flows4 as u64 * size_of::<FlowEntry4>() as u64
            + self.flows6 as u64 * size_of::<FlowEntry6>() as u64
            + self.spills as u64 * size_of::<Spill>() as u64
            + size_of::<Lane>() as u64;
        self.cpus as u64 * cpu
    }

    /// Memory of the counters, in bytes.
    #[must_use]
    pub const fn counter_bytes(&self) -> u64 {
        self.cpus as u64 * self.slots as u64 * size_of::<CpuCounters>() as u64
    }
}

impl fmt::Display for Capacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cpus,
            slots,
            ring_bytes,
            flows4,
            flows6,
            spills,
        } = self;
        let kib = |bytes: u64| bytes.div_ceil(1024);
        write!(
            f,
            "{slots} interfaces ({} KiB), samples' ring {} KiB, ",
            kib(self.counter_bytes()),
            kib(u64::from(*ring_bytes)),
        )?;
        if !self.has_flows() {
            return f.write_str("no flows");
        }
        write!(
            f,
            "{cpus} CPUs with {flows4} IPv4 and {flows6} IPv6 flows and {spills} spills each \
             ({} KiB)",
            kib(self.flow_bytes()),
        )
    }
}

/// The largest power of two that is not larger; 0 of 0.
const fn power_below(number: u32) -> u32 {
    match number.checked_ilog2() {
        Some(bits) => 1 << bits,
        None => 0,
    }
}

/// The smallest power of two that is not smaller, up to 2^24: that many entries are 2 GiB.
const fn power_above(number: u32) -> u32 {
    if number >= 1 << 24 {
        1 << 24
    } else {
        number.next_power_of_two()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(cpus: u32, gib: u64) -> Capacity {
        let request = Request {
            slots: 256,
            ring_bytes: 512 << 10,
            ..Request::default()
        };
        Capacity::new(request, cpus, gib << 30)
    }

    #[test]
    fn defaults_depend_on_cpus_and_memory() {
        assert_eq!((on(2, 24).flows4, on(2, 24).flows6), (1 << 17, 1 << 15));
        assert_eq!(on(2, 24).spills, 1 << 14);
        // A sixty-fourth of 256 MiB each.
        assert_eq!(on(64, 512).flows4, 1 << 15);
        // 8 MiB for all, on a small machine.
        assert_eq!(on(4, 1).flows4, 1 << 14);
        assert_eq!(on(1024, 1).flows4, MIN_DEFAULT_FLOWS);
    }

    #[test]
    fn the_cache_keeps_to_its_share_of_memory() {
        for (cpus, gib) in [(1, 1), (2, 24), (8, 16), (64, 512), (192, 1536)] {
            let capacity = on(cpus, gib);
            let lanes = u64::from(cpus) * u64::from(capacity.spills) * 96 + u64::from(cpus) * 128;
            let cache = capacity.flow_bytes() - lanes;
            assert!(
                cache <= (gib << 30) / MEMORY_SHARE,
                "{cpus} CPUs, {gib} GiB: {cache}"
            );
            assert!(cache <= MAX_CACHE, "{cpus} CPUs, {gib} GiB: {cache}");
        }
    }

    #[test]
    fn what_is_asked_for_is_rounded_up_and_no_flows_are_none_of_either_family() {
        let asked = |flows4, flows6, spills| {
            let request = Request {
                flows4,
                flows6,
                spills,
                ..Request::default()
            };
            let capacity = Capacity::new(request, 2, 24 << 30);
            (capacity.flows4, capacity.flows6, capacity.spills)
        };
        assert_eq!(asked(Some(1000), Some(100), Some(5)), (1024, 128, 8));
        assert_eq!(asked(Some(1), None, None), (16, 16, MIN_SPILLS));
        assert_eq!(asked(Some(0), Some(100), Some(1)), (0, 0, 1));
        assert_eq!(asked(None, Some(0), Some(1)), (0, 0, 1));
        assert_eq!(asked(Some(u32::MAX), Some(16), None).0, 1 << 24);
    }
}
