//! What is watched and what was counted: the one place that knows.
//!
//! Pure: it is told what happened and when (`now`, time since the watch began), and gives
//! [`Snapshot`]s. A row is one interface from its first sight to its end; what comes after
//! it with the same ifindex is another row, with another generation.

mod burst;
pub mod capture;
pub mod flow;
mod history;
mod lineage;
mod row;
pub mod snapshot;
mod totals;
pub mod wall;
mod wanted;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use nstrace_ebpf::wire::{CpuCounters, Direction, FlowFamily, FlowStats, Owner, Sample, Spill};

pub use row::{Labels, RowState};
pub use snapshot::{FlowsAsked, Snapshot, SortKey};
pub use totals::Totals;

use crate::{
    topology::model::{Iface, Ifindex, Netns, Peer, Topology},
    topology::target::Selection,
};
use flow::{
    Clock, FlowEvent, FlowTable,
    ledger::{Delta, Ledger},
};
use lineage::Lineages;
use row::Row;
use snapshot::Header;
use wanted::Anchor;

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
/// Flows of one interface that are remembered, unless told otherwise.
pub const FLOW_LIMIT: usize = 8192;
/// Flows of all interfaces together: some 64 MB. Each gets an even share.
const MAX_FLOWS: usize = 1 << 18;
/// But at least so many.
const MIN_FLOW_LIMIT: usize = 64;

/// What the state is told about the kernel side.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Length of a sample's window.
    pub window: Duration,
    /// Length of a jiffy.
    pub jiffy: Duration,
    /// CPUs, each with a flow cache.
    pub cpus: u32,
    /// Entries of a CPU's cache of IPv4 flows.
    pub flows4: u32,
    /// The same of IPv6 flows.
    pub flows6: u32,
    /// Flows of one interface that are remembered at a time.
    pub flow_limit: usize,
    /// Whether [`Snapshot::flow_events`] are wanted.
    pub tells_flows: bool,
}

/// The flows of all interfaces.
#[derive(Debug)]
struct Flows {
    ledger: Ledger,
    tables: HashMap<Owner, FlowTable>,
    limit: usize,
    tells: bool,
    events: Vec<(Arc<Labels>, FlowEvent)>,
}

/// What is watched and what was counted.
#[derive(Debug)]
pub struct State {
    selection: Selection,
    rows: BTreeMap<IfaceKey, Row>,
    generations: u64,
    lineages: Lineages,
    netnses: usize,
    warnings: Vec<String>,
    window: Duration,
    flows: Flows,
    clock: Clock,
    interval: Duration,
    lost_samples: u64,
    unreadable: u64,
    uncounted: u64,
    flowless: u64,
}

impl State {
    /// Nothing watched yet; `selection` says what will be.
    #[must_use]
    pub fn new(selection: Selection, settings: Settings) -> Self {
        let Settings {
            window,
            jiffy,
            cpus,
            flows4,
            flows6,
            flow_limit,
            tells_flows,
        } = settings;
        Self {
            selection,
            rows: BTreeMap::new(),
            generations: 0,
            lineages: Lineages::default(),
            netnses: 0,
            warnings: Vec::new(),
            window,
            flows: Flows {
                ledger: Ledger::new(cpus, flows4, flows6),
                tables: HashMap::new(),
                limit: flow_limit,
                tells: tells_flows,
                events: Vec::new(),
            },
            clock: Clock {
                now: Duration::ZERO,
                jiffies: 0,
                jiffy,
            },
            interval: Duration::ZERO,
            lost_samples: 0,
            unreadable: 0,
            uncounted: 0,
            flowless: 0,
        }
    }

    /// Takes in what the host looks like now. Rows whose interface is gone stay until
    /// [`Self::detached`] brings their final totals.
    pub fn follow(&mut self, topology: &Topology, now: Duration) {
        self.netnses = topology.netnses.len();
        self.warnings.clone_from(&topology.warnings);
        let mut seen = wanted::meant(&self.selection, topology);
        for (key, row) in self.rows.iter_mut().filter(|(_, row)| !row.is_gone()) {
            match seen.get(&key.ifindex) {
                Some((netns, iface, peer)) if row.anchor.is(netns, iface) => {
                    if !row.anchor.is_fading(netns) && row.rename(labels(netns, iface, peer)) {
                        row.lineage = self.lineages.next(row.labels().title());
                    }
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
            let mut row = Row::new(Anchor::of(netns, iface), labels(netns, iface, peer));
            row.lineage = self.lineages.next(row.labels().title());
            self.rows.insert(key, row);
        }
        let macs = wanted::host_macs(topology);
        for (key, row) in &mut self.rows {
            row.host_mac = macs.get(&key.ifindex).map(|mac| (*mac).to_owned());
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

    /// Whether something is wanted that is neither attached nor has failed.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        // They are attached in their order, so the last ones are the last to wait.
        let is_pending = |row: &Row| matches!(row.state, RowState::Pending);
        self.rows.values().rev().any(is_pending)
    }

    /// Link-layer address of an interface's host veth.
    #[must_use]
    pub fn host_mac(&self, key: IfaceKey) -> Option<&str> {
        self.rows.get(&key)?.host_mac.as_deref()
    }

    /// An interface is counted, since `now` at the latest.
    pub fn attached(&mut self, key: IfaceKey, owner: Owner, mechanism: Mechanism, now: Duration) {
        if let Some(row) = self.rows.get_mut(&key) {
            row.attached(owner, mechanism, now);
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
        self.unreadable += unreadable as u64;
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

    /// Takes in what left a CPU's flow cache.
    pub fn spilled(&mut self, cpu: u32, spills: &[Spill], unreadable: usize) {
        self.unreadable += unreadable as u64;
        for spill in spills {
            match self.flows.ledger.spilled(cpu, spill) {
                Some(delta) => self.flows.add(&delta),
                None => self.unreadable += 1,
            }
        }
    }

    /// Takes in an entry of a CPU's flow cache, as it was read in one life.
    pub fn cached(
        &mut self,
        cpu: u32,
        family: FlowFamily,
        entry: u32,
        key: &[u64; 5],
        stats: &FlowStats,
    ) {
        let delta = self.flows.ledger.live(family, cpu, entry, key, stats);
        if let Some(delta) = delta {
            self.flows.add(&delta);
        }
    }

    /// Closes an interval: `read` gives the counters of a slot on each CPU. Flows must have been
    /// taken in before; `jiffies` is the programs' clock, modulo 2^32.
    pub fn tick<I: Iterator<Item = CpuCounters>>(
        &mut self,
        now: Duration,
        jiffies: u32,
        read: impl Fn(u32) -> I,
    ) {
        self.interval = now.saturating_sub(self.clock.now);
        self.clock.now = now;
        self.clock.jiffies = jiffies;
        let window = self.window;
        for row in self.rows.values_mut() {
            if let Some(slot) = row.slot() {
                row.tick(now, window, read(slot));
            } else {
                row.rest(now);
            }
        }
        self.flows.tick(&self.rows, &self.clock, self.interval);
        self.forget(now);
    }

    /// How many samples the kernel side could not hand over, how many packets it could not count,
    /// and how many no flow had room for.
    pub fn set_lost(&mut self, samples: u64, uncounted: u64, flowless: u64) {
        self.lost_samples = samples;
        self.uncounted = uncounted;
        self.flowless = flowless;
    }

    /// Drops rows that have been gone for long enough, or are too many.
    fn forget(&mut self, now: Duration) {
        let (flows, clock) = (&mut self.flows, &self.clock);
        self.rows.retain(|_, row| {
            let stays = row.gone_for(now).is_none_or(|gone| gone < GONE_FOR);
            if !stays {
                flows.forget(row, clock);
            }
            stays
        });
        let mut gone: Vec<(Duration, IfaceKey)> = self
            .rows
            .iter()
            .filter_map(|(key, row)| Some((row.gone_for(now)?, *key)))
            .collect();
        if gone.len() > MAX_GONE {
            gone.sort_unstable();
            for (_, key) in &gone[MAX_GONE..] {
                if let Some(row) = self.rows.remove(key) {
                    self.flows.forget(&row, &self.clock);
                }
            }
        }
    }

    /// About the watch as a whole.
    #[must_use]
    pub fn header(&self) -> Header {
        let alive = || self.rows.values().filter(|row| !row.is_gone());
        Header {
            elapsed: self.clock.now,
            interval: self.interval,
            netnses: self.netnses,
            watched: alive().count(),
            attached: alive().filter(|row| row.slot().is_some()).count(),
            failed: alive()
                .filter(|row| matches!(row.state, RowState::Failed(_)))
                .count(),
            mechanism: alive().find_map(Row::mechanism),
            lost_samples: self.lost_samples + self.unreadable,
            uncounted: self.uncounted,
            flowless: self.flowless,
            warnings: self.warnings.clone(),
        }
    }

    /// A copy for one refresh, with the flows that are asked for. What has happened to flows is told
    /// once.
    #[must_use]
    pub fn snapshot(&mut self, asked: FlowsAsked) -> Snapshot {
        Snapshot {
            header: self.header(),
            rows: self
                .rows
                .iter()
                .map(|(key, row)| {
                    let table = row.owner.and_then(|owner| self.flows.tables.get(&owner));
                    let (flows, rest) = table.map_or_else(Default::default, |table| {
                        table.top(asked.of(*key), &self.clock)
                    });
                    row.snapshot(*key, self.clock.now, flows, rest)
                })
                .collect(),
            flow_events: std::mem::take(&mut self.flows.events),
        }
    }

    /// Everything that flows and what no flow could hold add up to, of one row: the same as its
    /// totals as soon as no packet is under way.
    #[must_use]
    pub fn flow_sum(&self, key: IfaceKey) -> Option<[flow::Counts; 2]> {
        let row = self.rows.get(&key)?;
        let table = self.flows.tables.get(&row.owner?);
        Some([Direction::Rx, Direction::Tx].map(|direction| {
            let mut sum = row.totals().other[direction as usize];
            if let Some(table) = table {
                sum += table.sum(direction);
            }
            sum
        }))
    }
}

impl Flows {
    fn add(&mut self, delta: &Delta) {
        // Also of an owner that is not known yet: the news of its attachment is on its way.
        let share = MAX_FLOWS / self.tables.len().max(1);
        let limit = self.limit.min(share.max(MIN_FLOW_LIMIT));
        let table = self.tables.entry(delta.owner).or_default();
        table.add(delta, limit, self.tells);
    }

    fn tick(&mut self, rows: &BTreeMap<IfaceKey, Row>, clock: &Clock, interval: Duration) {
        let known: HashMap<Owner, &Row> = rows
            .values()
            .filter_map(|row| Some((row.owner?, row)))
            .collect();
        let Self {
            tables,
            events,
            tells,
            ..
        } = self;
        tables.retain(|owner, table| {
            let row = known.get(owner);
            let mut tell = |event| {
                if let Some(row) = row {
                    events.push((Arc::clone(row.labels()), event));
                }
            };
            let tell: Option<&mut dyn FnMut(FlowEvent)> =
                if *tells { Some(&mut tell) } else { None };
            table.tick(clock, interval, tell);
            // Of an owner whose row was forgotten, what came later.
            row.is_some() || !table.is_empty()
        });
    }

    fn forget(&mut self, row: &Row, clock: &Clock) {
        let Some(table) = row.owner.and_then(|owner| self.tables.remove(&owner)) else {
            return;
        };
        if self.tells {
            let labels = row.labels();
            table.end(clock, |event| self.events.push((Arc::clone(labels), event)));
        }
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
