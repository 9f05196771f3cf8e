//! One watched interface: its names, its counters, its rates.

use std::{sync::Arc, time::Duration};

use nstrace_ebpf::wire::{CpuCounters, DIRECTIONS, Direction, Owner, Tally};

use super::{
    Anchor, IfaceKey, Mechanism, Totals,
    burst::Burst,
    flow::{FlowSnapshot, Rest},
    history::History,
    snapshot::{Rate, RowSnapshot},
    totals::since,
};
use crate::topology::model::{Iface, Netns, Peer};

/// How far an interface has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowState {
    /// It is about to be attached.
    Pending,
    /// It is counted, in this slot.
    Attached(u32, Mechanism),
    /// It could not be attached.
    Failed(String),
    /// Its interface is gone, or belongs to somebody else. Where it was attached, its final
    /// totals may still be on their way: the slot says so.
    Gone {
        /// Since when.
        since: Duration,
        /// How it was attached.
        mechanism: Option<Mechanism>,
    },
}

/// What is shown of names and addresses. Its strings are untrusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    /// The namespace, with all its interfaces.
    pub netns: Arc<Netns>,
    /// The one that is watched.
    pub iface: Iface,
    /// The host's end of it.
    pub peer: Peer,
}

impl Labels {
    /// What tells its row from others: names of namespace and interface.
    pub(super) fn title(&self) -> (&str, &str) {
        (&self.netns.name, &self.iface.link.name)
    }
}

#[derive(Debug)]
pub(super) struct Row {
    pub(super) anchor: Anchor,
    pub(super) state: RowState,
    pub(super) burst: Burst,
    pub(super) host_mac: Option<String>,
    /// Whose flows are its own; stays when it is gone.
    pub(super) owner: Option<Owner>,
    /// How many of its name there have been, with it.
    pub(super) lineage: u64,
    is_final: bool,
    labels: Arc<Labels>,
    totals: Totals,
    rates: [Rate; DIRECTIONS],
    history: History,
    ticked: Duration,
}

impl Row {
    pub(super) fn new(anchor: Anchor, labels: Labels) -> Self {
        Self {
            anchor,
            state: RowState::Pending,
            burst: Burst::default(),
            host_mac: None,
            owner: None,
            lineage: 1,
            is_final: false,
            labels: Arc::new(labels),
            totals: Totals::default(),
            rates: Default::default(),
            history: History::default(),
            ticked: Duration::ZERO,
        }
    }

    /// Takes new labels, and says whether it is called otherwise by them.
    pub(super) fn rename(&mut self, labels: Labels) -> bool {
        if *self.labels == labels {
            return false;
        }
        let is_other = self.labels.title() != labels.title();
        self.labels = Arc::new(labels);
        is_other
    }

    pub(super) const fn is_gone(&self) -> bool {
        matches!(self.state, RowState::Gone { .. })
    }

    pub(super) fn gone_for(&self, now: Duration) -> Option<Duration> {
        match self.state {
            RowState::Gone { since, .. } => Some(now.saturating_sub(since)),
            _ => None,
        }
    }

    pub(super) const fn slot(&self) -> Option<u32> {
        match self.state {
            RowState::Attached(slot, _) => Some(slot),
            _ => None,
        }
    }

    pub(super) const fn mechanism(&self) -> Option<Mechanism> {
        match &self.state {
            RowState::Attached(_, mechanism) => Some(*mechanism),
            RowState::Gone { mechanism, .. } => *mechanism,
            RowState::Pending | RowState::Failed(_) => None,
        }
    }

    pub(super) fn attached(&mut self, owner: Owner, mechanism: Mechanism, now: Duration) {
        self.owner = Some(owner);
        // It may have left while it was being attached.
        if !self.is_gone() {
            self.state = RowState::Attached(owner.slot.into(), mechanism);
            self.ticked = now;
        }
    }

    /// Takes note of it, and says whether it is news.
    pub(super) fn failed(&mut self, why: &str) -> bool {
        let is_known = matches!(&self.state, RowState::Failed(known) if known == why);
        if !self.is_gone() {
            self.state = RowState::Failed(why.to_owned());
        }
        !is_known
    }

    pub(super) const fn totals(&self) -> &Totals {
        &self.totals
    }

    pub(super) const fn labels(&self) -> &Arc<Labels> {
        &self.labels
    }

    pub(super) fn host_veth(&self) -> &str {
        &self.labels.peer.name
    }

    /// The interface is not there any more; its counters may follow.
    pub(super) fn leave(&mut self, now: Duration) {
        self.state = RowState::Gone {
            since: now,
            mechanism: self.mechanism(),
        };
    }

    pub(super) fn detached(&mut self, totals: &Totals, now: Duration) {
        // If it was attached a second time, before it was known to be gone, that is not its own.
        if !self.is_final {
            self.totals = *totals;
            self.is_final = true;
        }
        if !self.is_gone() {
            self.leave(now);
        }
    }

    /// Reads the counters and works out the rates since the last time.
    pub(super) fn tick(
        &mut self,
        now: Duration,
        window: Duration,
        cpus: impl Iterator<Item = CpuCounters>,
    ) {
        let cpus: Vec<CpuCounters> = cpus.collect();
        let totals = Totals::sum(cpus.iter().copied());
        let peaks = self.burst.close(window, cpus.into_iter());
        let elapsed = now.saturating_sub(self.ticked);
        let delta = |direction| since(totals.of(direction), self.totals.of(direction));
        let [rx, tx] = [Direction::Rx, Direction::Tx].map(delta);
        let [rx_extra, tx_extra] = [0, 1].map(|at| since(totals.extra[at], self.totals.extra[at]));
        self.history.add(self.ticked, now, rx.bytes + tx.bytes);
        self.rates = [
            rate(rx, rx_extra, elapsed, peaks[0]),
            rate(tx, tx_extra, elapsed, peaks[1]),
        ];
        self.totals = totals;
        self.ticked = now;
    }

    /// Nothing is counted: no rate, and the last minute moves on.
    pub(super) fn rest(&mut self, now: Duration) {
        self.rates = Default::default();
        self.history.add(self.ticked, now, 0);
        self.ticked = now;
    }

    /// With those of its flows that are to be shown, and all others as `rest`.
    pub(super) fn snapshot(
        &self,
        key: IfaceKey,
        now: Duration,
        flows: Vec<FlowSnapshot>,
        rest: Rest,
    ) -> RowSnapshot {
        // What no flow holds, and what is still on its way here, is other as well. Flows are read
        // before totals, so they are never more.
        let other = [Direction::Rx, Direction::Tx].map(|direction| {
            let mut left = self.totals.counts(direction);
            for flow in &flows {
                left = left.without(flow.counts[direction as usize]);
            }
            left
        });
        RowSnapshot {
            key,
            labels: Arc::clone(&self.labels),
            state: self.state.clone(),
            mechanism: self.mechanism(),
            gone_for: self.gone_for(now),
            generation: self.lineage,
            totals: self.totals,
            rates: self.rates,
            history: self.history.bits_per_second(),
            flows,
            other: Rest {
                flows: rest.flows,
                counts: other,
            },
        }
    }
}

/// Rates over `elapsed`. A window is never slower than the interval it lies in, except by the
/// jiffy by which its bounds are blurred.
fn rate(delta: Tally, extra: Tally, elapsed: Duration, peak_bps: u64) -> Rate {
    let seconds = elapsed.as_secs_f64();
    if seconds <= 0.0 {
        return Rate::default();
    }
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate is shown to three digits; it is positive and far below 2^64"
    )]
    let per_second = |count: u64| (count as f64 / seconds).round() as u64;
    let bps = per_second(delta.bytes * 8);
    Rate {
        pps: per_second(delta.packets),
        wire_pps: per_second(delta.packets + extra.packets),
        bps,
        wire_bps: per_second((delta.bytes + extra.bytes) * 8),
        peak_bps: peak_bps.max(bps),
    }
}
