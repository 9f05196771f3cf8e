//! The flows of one interface: bounded, and exact as a whole.

use std::{
    cmp::Reverse,
    collections::{HashMap, hash_map::Entry},
    time::Duration,
};

use nstrace_ebpf::wire::{DIRECTIONS, Direction};

use super::{Counts, FlowKey, ledger::Delta};

/// A flow that has ended stays this long, for the eye.
pub(super) const ENDED_FOR: Duration = Duration::from_secs(5);
/// A flow without a packet for so long has ended, whatever it was.
pub(super) const IDLE_FOR: Duration = Duration::from_mins(1);
/// How long a flow without a packet still counts as active.
const ACTIVE_FOR: Duration = Duration::from_secs(10);

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;
const TCP: u8 = 6;

/// How far a flow has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FlowState {
    /// TCP: a SYN, and no answer yet.
    Opening,
    /// TCP: packets in both directions, or no SYN seen.
    Established,
    /// TCP: one side has sent FIN.
    Closing,
    /// TCP: both sides have.
    Closed,
    /// TCP: an RST was seen.
    Reset,
    /// Not TCP: it had a packet within the last ten seconds.
    Active,
    /// Not TCP: it had none.
    Idle,
}

impl FlowState {
    /// Its name in all output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Established => "established",
            Self::Closing => "closing",
            Self::Closed => "closed",
            Self::Reset => "reset",
            Self::Active => "active",
            Self::Idle => "idle",
        }
    }

    const fn is_end(self) -> bool {
        matches!(self, Self::Closed | Self::Reset)
    }
}

/// A flow as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowSnapshot {
    /// Which.
    pub key: FlowKey,
    /// Since it was first seen, by [`Direction`].
    pub counts: [Counts; DIRECTIONS],
    /// Over the last interval: bits per second, by [`Direction`].
    pub bps: [u64; DIRECTIONS],
    /// Over the last interval: packets (skbs) per second, by [`Direction`].
    pub pps: [u64; DIRECTIONS],
    /// Since its first packet.
    pub age: Duration,
    /// Since its last one.
    pub idle: Duration,
    /// How far it has come.
    pub state: FlowState,
    /// TCP flags seen, by [`Direction`].
    pub tcp_flags: [u8; DIRECTIONS],
    /// Packets with SYN.
    pub syns: u64,
}

impl FlowSnapshot {
    /// Both directions.
    #[must_use]
    pub const fn total_bps(&self) -> u64 {
        self.bps[0] + self.bps[1]
    }

    /// Both directions, in bytes.
    #[must_use]
    pub const fn total_bytes(&self) -> u64 {
        self.counts[0].bytes + self.counts[1].bytes
    }
}

/// What happened to a flow since the last interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlowEvent {
    /// It was seen for the first time.
    New(FlowSnapshot),
    /// It had packets.
    Update(FlowSnapshot),
    /// It has ended, or had to make room; these are its final totals.
    End(FlowSnapshot),
}

/// Everything that was added and is in no flow (any more).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rest {
    /// Flows that it consists of; one that came and went several times counts each time.
    pub flows: u64,
    /// Their sums, by [`Direction`].
    pub counts: [Counts; DIRECTIONS],
}

impl Rest {
    fn take(&mut self, flow: &Flow) {
        self.flows += 1;
        self.add(flow.counts);
    }

    pub(in crate::state) fn add(&mut self, counts: [Counts; DIRECTIONS]) {
        for (into, from) in self.counts.iter_mut().zip(counts) {
            *into += from;
        }
    }
}

#[derive(Clone, Debug)]
struct Flow {
    counts: [Counts; DIRECTIONS],
    /// The part of it that came since the last tick.
    fresh: [Counts; DIRECTIONS],
    bps: [u64; DIRECTIONS],
    pps: [u64; DIRECTIONS],
    tcp_flags: [u8; DIRECTIONS],
    /// Those of the connection that has these ports now.
    state_flags: [u8; DIRECTIONS],
    syns: u64,
    first_seen: u32,
    last_seen: u32,
    is_new: bool,
    /// Since when it has been over.
    ended: Option<Duration>,
}

/// Time as a table sees it: now, since the watch began and in jiffies.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Since the watch began.
    pub now: Duration,
    /// Modulo 2^32.
    pub jiffies: u32,
    /// Length of one.
    pub jiffy: Duration,
}

impl Clock {
    /// How long ago `stamp` was; 0 if it seems to be ahead, by which the two clocks' grain differ.
    fn since(&self, stamp: u32) -> Duration {
        let passed = self.jiffies.wrapping_sub(stamp);
        if passed > u32::MAX / 2 {
            return Duration::ZERO;
        }
        self.jiffy * passed
    }
}

impl Flow {
    fn new(delta: &Delta) -> Self {
        Self {
            counts: Default::default(),
            fresh: Default::default(),
            bps: [0; DIRECTIONS],
            pps: [0; DIRECTIONS],
            tcp_flags: [0; DIRECTIONS],
            state_flags: [0; DIRECTIONS],
            syns: 0,
            first_seen: delta.first_seen,
            last_seen: delta.last_seen,
            is_new: true,
            ended: None,
        }
    }

    fn add(&mut self, delta: &Delta) {
        if self.is_succeeded_by(delta) {
            self.state_flags = [0; DIRECTIONS];
        }
        for direction in 0..DIRECTIONS {
            self.counts[direction] += delta.counts[direction];
            self.fresh[direction] += delta.counts[direction];
            self.tcp_flags[direction] |= delta.tcp_flags[direction];
            self.state_flags[direction] |= delta.tcp_flags[direction];
        }
        self.syns += delta.syns;
        // Of several CPUs, and of lives of an entry that come late: the earliest, and the latest.
        if delta.first_seen.wrapping_sub(self.first_seen) > u32::MAX / 2 {
            self.first_seen = delta.first_seen;
        }
        if self.last_seen.wrapping_sub(delta.last_seen) > u32::MAX / 2 {
            self.last_seen = delta.last_seen;
        }
    }

    /// Whether `delta` is of a new connection with the ports of this one, which has ended: its
    /// totals go on, its state begins anew. The kernel side gives such a connection a life of its
    /// own.
    fn is_succeeded_by(&self, delta: &Delta) -> bool {
        let [rx, tx] = self.state_flags;
        let is_later = delta.first_seen.wrapping_sub(self.last_seen) <= u32::MAX / 2;
        let is_another = delta.first_seen != self.first_seen;
        (rx | tx) & (FIN | RST) != 0 && delta.syns > 0 && is_later && is_another
    }

    fn is_changed(&self) -> bool {
        self.fresh
            .iter()
            .any(|fresh| fresh.packets + fresh.bytes > 0)
    }

    fn bytes(&self) -> u64 {
        self.counts[0].bytes + self.counts[1].bytes
    }

    fn fresh_bytes(&self) -> u64 {
        self.fresh[0].bytes + self.fresh[1].bytes
    }

    fn state(&self, key: &FlowKey, clock: &Clock) -> FlowState {
        let [rx, tx] = self.state_flags;
        if key.protocol != TCP || rx | tx == 0 {
            return if clock.since(self.last_seen) < ACTIVE_FOR {
                FlowState::Active
            } else {
                FlowState::Idle
            };
        }
        if (rx | tx) & RST != 0 {
            FlowState::Reset
        } else if rx & tx & FIN != 0 {
            FlowState::Closed
        } else if (rx | tx) & FIN != 0 {
            FlowState::Closing
        } else if (rx | tx) & SYN != 0 && rx & tx & ACK == 0 {
            FlowState::Opening
        } else {
            FlowState::Established
        }
    }

    fn snapshot(&self, key: FlowKey, clock: &Clock) -> FlowSnapshot {
        FlowSnapshot {
            key,
            counts: self.counts,
            bps: self.bps,
            pps: self.pps,
            age: clock.since(self.first_seen),
            idle: clock.since(self.last_seen),
            state: self.state(&key, clock),
            tcp_flags: self.tcp_flags,
            syns: self.syns,
        }
    }
}

/// The flows of one interface.
#[derive(Debug, Default)]
pub struct FlowTable {
    flows: HashMap<FlowKey, Flow>,
    rest: Rest,
    evicted: Vec<(FlowKey, Flow)>,
}

impl FlowTable {
    /// Adds what is new of a flow. If there are a quarter more than `limit` then, the least of them
    /// go into the rest; with `is_told`, [`Self::tick`] tells of them.
    pub fn add(&mut self, delta: &Delta, limit: usize, is_told: bool) {
        let flow = match self.flows.entry(delta.key) {
            Entry::Occupied(entry) => entry.into_mut(),
            // The spill of a flow that was read to its end, and has ended and left here since.
            Entry::Vacant(_) if delta.is_empty() => return,
            Entry::Vacant(entry) => entry.insert(Flow::new(delta)),
        };
        flow.add(delta);
        if self.flows.len() > limit + limit / 4 {
            self.shrink(limit, is_told);
        }
    }

    /// Keeps the `limit` flows that a user looks for: half of it those with the most bytes, half of
    /// it those with the most of late. Ties are broken by the key, so that the order in which flows
    /// came does not matter.
    fn shrink(&mut self, limit: usize, is_told: bool) {
        // The larger half, so that a table of one flow has the largest.
        let half = limit.div_ceil(2);
        let mut flows: Vec<(FlowKey, Flow)> = self.flows.drain().collect();
        let total = |(key, flow): &(FlowKey, Flow)| (Reverse(flow.bytes()), *key);
        let late = |(key, flow): &(FlowKey, Flow)| {
            // A flow that has just begun has had no tick yet: what it had in the last counts too.
            let last = (flow.bps[0] + flow.bps[1]) / 8;
            (Reverse(flow.fresh_bytes().max(last)), *key)
        };
        if half > 0 && half < flows.len() {
            flows.select_nth_unstable_by_key(half, total);
            let others = &mut flows[half..];
            let keep = (limit - half).min(others.len());
            if keep < others.len() {
                others.select_nth_unstable_by_key(keep, late);
            }
        }
        for (_, flow) in flows.iter().skip(limit) {
            self.rest.take(flow);
        }
        let left = flows.split_off(limit.min(flows.len()));
        if is_told {
            self.evicted.extend(left);
        }
        self.flows = flows.into_iter().collect();
        self.flows.shrink_to(limit * 2);
    }

    /// Ends an interval of length `elapsed`: works out rates, and takes out what has ended for a
    /// while. With `told`, says what has happened.
    pub fn tick(
        &mut self,
        clock: &Clock,
        elapsed: Duration,
        mut told: Option<&mut dyn FnMut(FlowEvent)>,
    ) {
        let seconds = elapsed.as_secs_f64();
        for (key, flow) in self.evicted.drain(..) {
            if let Some(tell) = &mut told {
                tell(FlowEvent::End(flow.snapshot(key, clock)));
            }
        }
        let rest = &mut self.rest;
        self.flows.retain(|key, flow| {
            let is_changed = flow.is_changed();
            let fresh = std::mem::take(&mut flow.fresh);
            flow.bps = fresh.map(|fresh| per_second(fresh.bytes * 8, seconds));
            flow.pps = fresh.map(|fresh| per_second(fresh.packets, seconds));
            let is_new = std::mem::take(&mut flow.is_new);
            let idle = clock.since(flow.last_seen);
            let is_over = flow.state(key, clock).is_end() || idle >= IDLE_FOR;
            if is_changed || !is_over {
                flow.ended = None;
            }
            if let Some(tell) = &mut told
                && (is_changed || is_new)
            {
                let snapshot = flow.snapshot(*key, clock);
                tell(if is_new {
                    FlowEvent::New(snapshot)
                } else {
                    FlowEvent::Update(snapshot)
                });
            }
            if !is_over {
                return true;
            }
            let ended = *flow.ended.get_or_insert(clock.now);
            if clock.now.saturating_sub(ended) < ENDED_FOR {
                return true;
            }
            if let Some(tell) = &mut told {
                tell(FlowEvent::End(flow.snapshot(*key, clock)));
            }
            rest.take(flow);
            false
        });
    }

    /// Every flow as an end: the watch of it is over.
    pub fn end(&self, clock: &Clock, mut tell: impl FnMut(FlowEvent)) {
        for (key, flow) in &self.flows {
            tell(FlowEvent::End(flow.snapshot(*key, clock)));
        }
    }

    /// Number of flows at hand.
    #[must_use]
    pub fn len(&self) -> usize {
        self.flows.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }

    /// What is in no flow any more.
    #[must_use]
    pub const fn rest(&self) -> Rest {
        self.rest
    }

    /// The `count` flows with the highest rate, then the most bytes, in that order; and all the
    /// others and the rest as a sum.
    #[must_use]
    pub fn top(&self, count: usize, clock: &Clock) -> (Vec<FlowSnapshot>, Rest) {
        let mut flows: Vec<(&FlowKey, &Flow)> = self.flows.iter().collect();
        let order = |(key, flow): &(&FlowKey, &Flow)| {
            (
                Reverse(flow.bps[0] + flow.bps[1]),
                Reverse(flow.bytes()),
                **key,
            )
        };
        if count < flows.len() {
            flows.select_nth_unstable_by_key(count, order);
        }
        let mut rest = self.rest;
        for (_, flow) in flows.iter().skip(count) {
            rest.take(flow);
        }
        flows.truncate(count);
        flows.sort_unstable_by_key(order);
        let flows = flows
            .into_iter()
            .map(|(key, flow)| flow.snapshot(*key, clock))
            .collect();
        (flows, rest)
    }

    /// Everything that was ever added in one direction.
    #[must_use]
    pub fn sum(&self, direction: Direction) -> Counts {
        let at = direction as usize;
        let mut sum = self.rest.counts[at];
        for flow in self.flows.values() {
            sum += flow.counts[at];
        }
        sum
    }
}

fn per_second(count: u64, seconds: f64) -> u64 {
    if seconds <= 0.0 {
        return 0;
    }
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate is shown to three digits; it is positive and far below 2^64"
    )]
    let rate = (count as f64 / seconds).round() as u64;
    rate
}

#[cfg(test)]
mod tests;
