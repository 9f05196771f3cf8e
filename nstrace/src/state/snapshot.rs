//! What one refresh shows: plain data, no handles.

use std::{cmp::Ordering, collections::HashMap, sync::Arc, time::Duration};

use nstrace_ebpf::wire::{DIRECTIONS, Direction, Tally};

use super::{
    IfaceKey, Labels, Mechanism, RowState, Totals,
    flow::{Counts, FlowEvent, FlowSnapshot, Rest},
};

/// Speed of one direction over the last interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    /// Packets (skbs) per second.
    pub pps: u64,
    /// Wire packets per second.
    pub wire_pps: u64,
    /// Bits per second.
    pub bps: u64,
    /// Wire bits per second.
    pub wire_bps: u64,
    /// Bits per second in the busiest window (10 ms) of the interval.
    pub peak_bps: u64,
}

/// About the watch as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Since the watch began.
    pub elapsed: Duration,
    /// Length of the last interval.
    pub interval: Duration,
    /// Namespaces of the host.
    pub netnses: usize,
    /// Interfaces that are, or shall be, attached.
    pub watched: usize,
    /// Those that are.
    pub attached: usize,
    /// Those that could not be.
    pub failed: usize,
    /// How they are attached.
    pub mechanism: Option<Mechanism>,
    /// Samples that the kernel side could not hand over. Totals miss nothing by it.
    pub lost_samples: u64,
    /// Packets that were seen and not counted.
    pub uncounted: u64,
    /// Packets that no flow had room for. They are in every total, and in [`RowSnapshot::other`].
    pub flowless: u64,
    /// What could not be looked at, or is odd. Untrusted.
    pub warnings: Vec<String>,
}

/// One watched interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowSnapshot {
    /// Which.
    pub key: IfaceKey,
    /// Its names and addresses.
    pub labels: Arc<Labels>,
    /// How far it has come.
    pub state: RowState,
    /// How it is, or was, attached.
    pub mechanism: Option<Mechanism>,
    /// How long it has been gone.
    pub gone_for: Option<Duration>,
    /// How many interfaces of its names there have been since the watch began, with it: a pod that
    /// is made anew is the next.
    pub generation: u64,
    /// Since it was attached.
    pub totals: Totals,
    /// Over the last interval, by [`Direction`].
    pub rates: [Rate; DIRECTIONS],
    /// Bits per second in each second of the last minute, oldest first.
    pub history: Vec<u64>,
    /// Its top flows, as many as were asked for: by rate, then by bytes.
    pub flows: Vec<FlowSnapshot>,
    /// Everything else that it carried: those flows and this are its totals.
    pub other: Rest,
}

impl RowSnapshot {
    /// Its namespace's name. Untrusted.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.labels.netns.name
    }

    /// The interface's name. Untrusted.
    #[must_use]
    pub fn interface(&self) -> &str {
        &self.labels.iface.link.name
    }

    /// Rate of one direction.
    #[must_use]
    pub const fn rate(&self, direction: Direction) -> Rate {
        self.rates[direction as usize]
    }

    /// Total of one direction, with what it is on a wire.
    #[must_use]
    pub fn counts(&self, direction: Direction) -> Counts {
        self.totals.counts(direction)
    }

    /// Total of one direction.
    #[must_use]
    pub fn total(&self, direction: Direction) -> Tally {
        self.totals.of(direction)
    }

    /// Whether `text` occurs in what is shown of it, in whatever case.
    #[must_use]
    pub fn contains(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        let Labels { netns, iface, peer } = &*self.labels;
        let containers = netns
            .containers
            .iter()
            .flat_map(|container| [&container.name, &container.image]);
        [&netns.name, &iface.link.name, &peer.name]
            .into_iter()
            .chain(&peer.master)
            .chain(containers)
            .chain(&iface.link.addresses)
            .any(|shown| shown.to_lowercase().contains(&text))
    }
}

/// What rows are sorted by. All but the name put the largest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum SortKey {
    /// Bit rate of both directions.
    #[default]
    Rate,
    /// Bit rate into the namespace.
    Rx,
    /// Bit rate out of the namespace.
    Tx,
    /// Packet rate of both directions.
    Packets,
    /// Bytes of both directions since the interface was attached.
    Total,
    /// Bit rate in the busiest 10 ms, of the faster direction.
    Peak,
    /// Name, then interface.
    Name,
}

impl SortKey {
    /// Every key, in the order in which the screen steps through them.
    pub const ALL: [Self; 7] = [
        Self::Rate,
        Self::Rx,
        Self::Tx,
        Self::Packets,
        Self::Total,
        Self::Peak,
        Self::Name,
    ];

    /// Its name, as on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Rx => "rx",
            Self::Tx => "tx",
            Self::Packets => "packets",
            Self::Total => "total",
            Self::Peak => "peak",
            Self::Name => "name",
        }
    }

    /// The order of two rows. Equal ones stand by name, so that they do not jump.
    #[must_use]
    pub fn compare(self, a: &RowSnapshot, b: &RowSnapshot) -> Ordering {
        let by_name = || (a.name(), a.interface(), a.key).cmp(&(b.name(), b.interface(), b.key));
        let size = |row: &RowSnapshot| {
            let [rx, tx] = row.rates;
            match self {
                Self::Rate => rx.bps + tx.bps,
                Self::Rx => rx.bps,
                Self::Tx => tx.bps,
                Self::Packets => rx.pps + tx.pps,
                Self::Total => row.total(Direction::Rx).bytes + row.total(Direction::Tx).bytes,
                Self::Peak => rx.peak_bps.max(tx.peak_bps),
                Self::Name => 0,
            }
        };
        size(b).cmp(&size(a)).then_with(by_name)
    }
}

/// A copy of the state for one refresh.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// About the watch as a whole.
    pub header: Header,
    /// Every watched interface, by key.
    pub rows: Vec<RowSnapshot>,
    /// What has happened to flows in the last interval, where that was asked for.
    pub flow_events: Vec<(Arc<Labels>, FlowEvent)>,
}

impl Snapshot {
    /// Rows that are gone, each with the one that has come in its place: another of its names.
    #[must_use]
    pub fn successors(&self) -> HashMap<IfaceKey, IfaceKey> {
        let gone: Vec<&RowSnapshot> = self
            .rows
            .iter()
            .filter(|row| row.gone_for.is_some())
            .collect();
        if gone.is_empty() {
            return HashMap::new();
        }
        let alive = self.rows.iter().filter(|row| row.gone_for.is_none());
        let alive: HashMap<(&str, &str), &RowSnapshot> =
            alive.map(|row| (row.labels.title(), row)).collect();
        let successor = |row: &&RowSnapshot| {
            let next = alive.get(&row.labels.title())?;
            (next.generation > row.generation).then_some((row.key, next.key))
        };
        gone.iter().filter_map(successor).collect()
    }
}

/// Which flows a snapshot shall have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FlowsAsked {
    /// None.
    #[default]
    None,
    /// So many of each row.
    OfAll(usize),
    /// So many of one row.
    OfOne(IfaceKey, usize),
}

impl FlowsAsked {
    /// How many of this row.
    #[must_use]
    pub fn of(self, key: IfaceKey) -> usize {
        match self {
            Self::OfAll(count) => count,
            Self::OfOne(one, count) if one == key => count,
            Self::None | Self::OfOne(..) => 0,
        }
    }
}
