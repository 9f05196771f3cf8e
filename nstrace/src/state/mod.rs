//! What is watched and what was counted: the one place that knows.
//!
//! Pure: it is told what happened and when (`now`, time since the watch began), and gives
//! [`Snapshot`]s. A row is one interface from its first sight to its end; what comes after
//! it with the same ifindex is another row, with another generation.

mod burst;
mod history;
mod row;
pub mod snapshot;
mod totals;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use nstrace_ebpf::wire::{CpuCounters, Sample};

pub use row::{Labels, RowState};
pub use snapshot::{Snapshot, SortKey};
pub use totals::Totals;

use crate::{
    topology::model::{Identity, Iface, Ifindex, Netns, Peer, Topology},
    topology::target::Target,
};
use row::Row;
use snapshot::Header;

/// One watched interface, for as long as it exists: its host veth's ifindex, which the kernel
/// gives to another as soon as it is free, and a number of our own, which is never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IfaceKey {
    /// Of the host veth.
    pub ifindex: Ifindex,
    /// Ours.
    pub generation: u64,
}

/// How programs are attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Mechanism {
    /// At the head of the TCX chain, by a bpf link that dies with the process (6.6).
    Tcx,
    /// By a bpf filter of the clsact qdisc (4.5). It outlives a process that is killed, so the
    /// next start removes it.
    Clsact,
}

impl Mechanism {
    /// Its name in all output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcx => "tcx",
            Self::Clsact => "clsact",
        }
    }
}

/// How long a row stays after its interface is gone.
pub const GONE_FOR: Duration = Duration::from_secs(5);
/// Rows of interfaces that are gone, at most; the oldest leave first.
const MAX_GONE: usize = 1024;

/// What makes a row's interface that interface, beside the host veth's ifindex.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Anchor {
    netns: Identity,
    ifindex: Ifindex,
}

/// What is watched and what was counted.
#[derive(Debug)]
pub struct State {
    targets: Vec<Target>,
    rows: BTreeMap<IfaceKey, Row>,
    generations: u64,
    netnses: usize,
    warnings: Vec<String>,
    window: Duration,
    ticked: Duration,
    interval: Duration,
    lost_samples: u64,
    unreadable_samples: u64,
    uncounted: u64,
}

impl State {
    /// Nothing watched yet. `targets` restrict what will be; `window` is the length of a sample's
    /// window.
    #[must_use]
    pub fn new(targets: Vec<Target>, window: Duration) -> Self {
        Self {
            targets,
            rows: BTreeMap::new(),
            generations: 0,
            netnses: 0,
            warnings: Vec::new(),
            window,
            ticked: Duration::ZERO,
            interval: Duration::ZERO,
            lost_samples: 0,
            unreadable_samples: 0,
            uncounted: 0,
        }
    }

    /// Takes in what the host looks like now. Rows whose interface is gone stay until
    /// [`Self::detached`] brings their final totals.
    pub fn follow(&mut self, topology: &Topology, now: Duration) {
        self.netnses = topology.netnses.len();
        self.warnings.clone_from(&topology.warnings);
        let meant: Vec<&Netns> = self
            .targets
            .iter()
            .flat_map(|target| target.all(topology))
            .collect();
        let mut seen: BTreeMap<Ifindex, (&Arc<Netns>, &Iface, &Peer)> = BTreeMap::new();
        for (netns, iface, peer) in topology.watchable() {
            let is_meant = meant
                .iter()
                .any(|meant| std::ptr::eq(*meant, Arc::as_ptr(netns)));
            if self.targets.is_empty() || is_meant {
                seen.insert(peer.ifindex, (netns, iface, peer));
            }
        }
        for (key, row) in self.rows.iter_mut().filter(|(_, row)| !row.is_gone()) {
            match seen.get(&key.ifindex) {
                Some((netns, iface, peer)) if row.anchor == anchor(netns, iface) => {
                    row.rename(labels(netns, iface, peer));
                    seen.remove(&key.ifindex);
                }
                _ => row.leave(now),
            }
        }
        for (ifindex, (netns, iface, peer)) in seen {
            self.generations += 1;
            let key = IfaceKey {
                ifindex,
                generation: self.generations,
            };
            self.rows.insert(
                key,
                Row::new(anchor(netns, iface), labels(netns, iface, peer)),
            );
        }
        let host = topology.netnses.first();
        let ends = host.map_or(&[][..], |host| &host.interfaces);
        let macs: HashMap<Ifindex, &Option<String>> = ends
            .iter()
            .map(|end| (end.link.ifindex, &end.link.mac))
            .collect();
        for (key, row) in &mut self.rows {
            row.host_mac = macs.get(&key.ifindex).copied().cloned().flatten();
        }
        self.forget(now);
    }

    /// What shall be attached.
    #[must_use]
    pub fn wanted(&self) -> Vec<IfaceKey> {
        self.rows
            .iter()
            .filter(|(_, row)| !row.is_gone())
            .map(|(key, _)| *key)
            .collect()
    }

    /// Link-layer address of an interface's host veth.
    #[must_use]
    pub fn host_mac(&self, key: IfaceKey) -> Option<&str> {
        self.rows.get(&key)?.host_mac.as_deref()
    }

    /// An interface is counted, since `now` at the latest.
    pub fn attached(&mut self, key: IfaceKey, slot: u32, mechanism: Mechanism, now: Duration) {
        if let Some(row) = self.rows.get_mut(&key) {
            row.attached(slot, mechanism, now);
        }
    }

    /// An interface could not be attached. Gives its host veth's name if that is news.
    pub fn failed(&mut self, key: IfaceKey, why: &str) -> Option<&str> {
        let row = self.rows.get_mut(&key)?;
        row.failed(why).then(|| row.host_veth())
    }

    /// The host could not be looked at: everything stays as it was, which the header says.
    pub fn looked_in_vain(&mut self, why: &str) {
        self.warnings = vec![format!("what is shown may be old: {why}")];
    }

    /// An interface is no longer counted; these are its final totals.
    pub fn detached(&mut self, key: IfaceKey, totals: &Totals, now: Duration) {
        if let Some(row) = self.rows.get_mut(&key) {
            row.detached(totals, now);
        }
    }

    /// Takes in what the ring brought.
    pub fn sampled(&mut self, samples: &[Sample], unreadable: usize) {
        self.unreadable_samples += unreadable as u64;
        let mut by_slot: BTreeMap<u32, &mut Row> = self
            .rows
            .values_mut()
            .filter_map(|row| Some((row.slot()?, row)))
            .collect();
        for sample in samples {
            // A sample of an interface that has left its slot: its totals are final already.
            if let Some(row) = by_slot.get_mut(&sample.slot) {
                row.burst.add(sample.window_end, sample.tallies);
            }
        }
    }

    /// Closes an interval: `read` gives the counters of a slot on each CPU.
    pub fn tick<I: Iterator<Item = CpuCounters>>(
        &mut self,
        now: Duration,
        read: impl Fn(u32) -> I,
    ) {
        self.interval = now.saturating_sub(self.ticked);
        self.ticked = now;
        let window = self.window;
        for row in self.rows.values_mut() {
            if let Some(slot) = row.slot() {
                row.tick(now, window, read(slot));
            } else {
                row.rest(now);
            }
        }
        self.forget(now);
    }

    /// How much the kernel side could not hand over, and how many packets it could not count.
    pub fn set_lost(&mut self, samples: u64, uncounted: u64) {
        self.lost_samples = samples;
        self.uncounted = uncounted;
    }

    /// Drops rows that have been gone for long enough, or are too many.
    fn forget(&mut self, now: Duration) {
        self.rows
            .retain(|_, row| row.gone_for(now).is_none_or(|gone| gone < GONE_FOR));
        let mut gone: Vec<(Duration, IfaceKey)> = self
            .rows
            .iter()
            .filter_map(|(key, row)| Some((row.gone_for(now)?, *key)))
            .collect();
        if gone.len() > MAX_GONE {
            gone.sort_unstable();
            for (_, key) in &gone[MAX_GONE..] {
                self.rows.remove(key);
            }
        }
    }

    /// About the watch as a whole.
    #[must_use]
    pub fn header(&self) -> Header {
        let alive = || self.rows.values().filter(|row| !row.is_gone());
        Header {
            elapsed: self.ticked,
            interval: self.interval,
            netnses: self.netnses,
            watched: alive().count(),
            attached: alive().filter(|row| row.slot().is_some()).count(),
            failed: alive()
                .filter(|row| matches!(row.state, RowState::Failed(_)))
                .count(),
            mechanism: alive().find_map(Row::mechanism),
            lost_samples: self.lost_samples + self.unreadable_samples,
            uncounted: self.uncounted,
            warnings: self.warnings.clone(),
        }
    }

    /// A copy for one refresh.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            header: self.header(),
            rows: self
                .rows
                .iter()
                .map(|(key, row)| row.snapshot(*key, self.ticked))
                .collect(),
        }
    }
}

fn anchor(netns: &Netns, iface: &Iface) -> Anchor {
    Anchor {
        netns: netns.identity,
        ifindex: iface.link.ifindex,
    }
}

fn labels(netns: &Arc<Netns>, iface: &Iface, peer: &Peer) -> Labels {
    Labels {
        netns: Arc::clone(netns),
        iface: iface.clone(),
        peer: peer.clone(),
    }
}

#[cfg(test)]
mod tests;
