//! Flows as the screen has them: which of them, in which order, and what their ports are called.

use std::{
    cmp::{Ordering, Reverse},
    net::IpAddr,
};

use super::{Columns, Model};
use crate::{
    services::Services,
    state::{
        FlowsAsked, IfaceKey,
        flow::{Counts, FlowKey, FlowSnapshot},
        snapshot::RowSnapshot,
    },
};

/// Flows of one namespace's interface that its page has, at most.
const FLOWS_OF_ONE: usize = 2000;
/// Flows that the page of all namespaces has, roughly; each interface has an even share,
const FLOWS_OF_ALL: usize = 10_000;
/// but at least so many.
const MIN_SHARE: usize = 16;

/// The flows that a page needs, where there are so many rows.
pub(super) fn asked(of: Option<IfaceKey>, rows: usize) -> FlowsAsked {
    if let Some(key) = of {
        return FlowsAsked::OfOne(key, FLOWS_OF_ONE);
    }
    let share = (FLOWS_OF_ALL / rows.max(1)).clamp(MIN_SHARE, FLOWS_OF_ONE);
    // A power of two, so that not every row that comes or goes changes it.
    FlowsAsked::OfAll(1 << share.ilog2())
}

impl Model {
    /// The flows of one row, or of all, that pass the filter, in order.
    #[must_use]
    pub fn visible_flows(&self, of: Option<IfaceKey>) -> Vec<FlowRow<'_>> {
        let filter = self.flow_table.filter.to_lowercase();
        let mut flows: Vec<FlowRow<'_>> = self
            .flows(of)
            .filter(|flow| filter.is_empty() || flow.contains(&filter, &self.services))
            .collect();
        flows.sort_by(|a, b| {
            let order = self.flow_table.sort.compare(*a, *b, self.columns);
            if self.flow_table.is_reversed {
                order.reverse()
            } else {
                order
            }
        });
        flows
    }

    /// The flows of one row, or of all, as they come.
    pub fn flows(&self, of: Option<IfaceKey>) -> impl Iterator<Item = FlowRow<'_>> {
        self.rows_of(of)
            .flat_map(|row| row.flows.iter().map(move |flow| FlowRow { row, flow }))
    }

    /// One row, or all.
    pub fn rows_of(&self, of: Option<IfaceKey>) -> impl Iterator<Item = &RowSnapshot> {
        let rows = self.snapshot.rows.iter();
        rows.filter(move |row| of.is_none_or(|key| row.key == key))
    }

    /// Where the chosen flow stands among the visible ones.
    #[must_use]
    pub fn selected_flow_at(&self, flows: &[FlowRow<'_>]) -> Option<usize> {
        let id = self.flow_table.selected?;
        flows.iter().position(|flow| flow.id() == id)
    }
}

/// What was chosen for tables of flows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowChoices {
    /// Their order.
    pub sort: FlowSort,
    /// Whether it is turned round.
    pub is_reversed: bool,
    /// Text that flows must contain.
    pub filter: String,
    /// The chosen flow.
    pub selected: Option<FlowId>,
    /// Where it stood when it was chosen: from there the choice moves on when the flow has ended.
    pub place: usize,
}

/// A flow, and the row that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowRow<'a> {
    /// Whose it is.
    pub row: &'a RowSnapshot,
    /// The flow.
    pub flow: &'a FlowSnapshot,
}

/// Which flow, on the whole host.
pub type FlowId = (IfaceKey, FlowKey);

impl FlowRow<'_> {
    /// Which it is.
    #[must_use]
    pub const fn id(&self) -> FlowId {
        (self.row.key, self.flow.key)
    }

    /// Address of the namespace; none of what is not IP.
    #[must_use]
    pub fn local(&self) -> Option<IpAddr> {
        self.flow.key.addresses.map(|(local, _)| local)
    }

    /// Address of the far end; none of what is not IP.
    #[must_use]
    pub fn remote(&self) -> Option<IpAddr> {
        self.flow.key.addresses.map(|(_, remote)| remote)
    }

    /// Port of the namespace and its service, or the identifier of an ICMP flow. Untrusted.
    #[must_use]
    pub fn local_port(&self, services: &Services) -> String {
        let key = &self.flow.key;
        match (key.ports(), key.icmp()) {
            (Some((local, _)), _) => port(key.protocol, local, services),
            (_, Some((kind, _, identifier))) if has_identifier(kind) => format!("id {identifier}"),
            _ => String::new(),
        }
    }

    /// Port of the far end and its service, or type and code of an ICMP flow, or why there is none.
    /// Untrusted.
    #[must_use]
    pub fn remote_port(&self, services: &Services) -> String {
        let key = &self.flow.key;
        match (key.ports(), key.icmp()) {
            (Some((_, remote)), _) => port(key.protocol, remote, services),
            (_, Some((kind, code, _))) => icmp(key, kind, code),
            _ => key.note().unwrap_or_default().to_owned(),
        }
    }

    /// Whether `text`, in lower case, occurs in what is shown of it.
    pub(super) fn contains(&self, text: &str, services: &Services) -> bool {
        let address =
            |address: Option<IpAddr>| address.map_or_else(String::new, |it| it.to_string());
        let is_in = |shown: &str| shown.to_lowercase().contains(text);
        is_in(self.row.name())
            || is_in(&self.flow.key.protocol_name())
            || is_in(self.flow.state.as_str())
            || is_in(&address(self.remote()))
            || is_in(&address(self.local()))
            || is_in(&self.remote_port(services))
            || is_in(&self.local_port(services))
    }
}

/// `443 https`, or the number alone.
fn port(protocol: u8, port: u16, services: &Services) -> String {
    match services.name(protocol, port) {
        Some(name) => format!("{port} {name}"),
        None => port.to_string(),
    }
}

/// `echo 8/0`: what is met most often by name too; of neighbour discovery RFC 4861's short names.
fn icmp(key: &FlowKey, kind: u8, code: u8) -> String {
    const ICMP: u8 = 1;
    let name = match (key.protocol == ICMP, kind) {
        (true, 8) | (false, 128) => "echo ",
        (true, 3) | (false, 1) => "unreach ",
        (true, 11) | (false, 3) => "expiry ",
        (false, 2) => "too-big ",
        (true, 5) | (false, 137) => "redir ",
        (false, 133) => "rs ",
        (false, 134) => "ra ",
        (false, 135) => "ns ",
        (false, 136) => "na ",
        (false, 130..=132 | 143) => "mld ",
        _ => "",
    };
    format!("{name}{kind}/{code}")
}

/// Whether packets of an ICMP type carry an identifier: RFC 792, RFC 950, RFC 4443.
const fn has_identifier(kind: u8) -> bool {
    matches!(kind, 8 | 13 | 15 | 17 | 128)
}

/// What flows are sorted by. All but the address put the largest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FlowSort {
    /// Bit rate of both directions.
    #[default]
    Rate,
    /// What came into the namespace: the rate, or the bytes, whichever is shown.
    Rx,
    /// The same of what left it.
    Tx,
    /// Packets of both directions, their rate or number.
    Packets,
    /// Bytes of both directions since it was first seen.
    Total,
    /// Time since it was first seen.
    Age,
    /// Address and port of the far end.
    Remote,
}

impl FlowSort {
    /// Every one, in the order in which the screen steps through them.
    pub const ALL: [Self; 7] = [
        Self::Rate,
        Self::Rx,
        Self::Tx,
        Self::Packets,
        Self::Total,
        Self::Age,
        Self::Remote,
    ];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Rx => "rx",
            Self::Tx => "tx",
            Self::Packets => "packets",
            Self::Total => "total",
            Self::Age => "age",
            Self::Remote => "remote",
        }
    }

    /// Whether the smallest comes first.
    #[must_use]
    pub const fn is_ascending(self) -> bool {
        matches!(self, Self::Remote)
    }

    /// The order of two flows. Equal ones stand by their bytes, then by name and key, so that idle
    /// ones do not jump.
    #[must_use]
    pub(super) fn compare(self, a: FlowRow<'_>, b: FlowRow<'_>, columns: Columns) -> Ordering {
        let size = |FlowRow { flow, .. }: FlowRow<'_>| {
            let [rx, tx] = [0, 1].map(|at| amounts(flow, at, columns));
            match self {
                Self::Rate => u128::from(flow.total_bps()),
                Self::Rx => u128::from(rx.0),
                Self::Tx => u128::from(tx.0),
                Self::Packets => u128::from(rx.1 + tx.1),
                Self::Total => u128::from(flow.total_bytes()),
                Self::Age => flow.age.as_nanos(),
                Self::Remote => 0,
            }
        };
        let place = |flow: FlowRow<'_>| match self {
            // What is not IP has no address; it stands last.
            Self::Remote => {
                let remote = flow.remote();
                Some((remote.is_none(), remote, flow.flow.key.remote_port))
            }
            _ => None,
        };
        let rest = |flow: FlowRow<'_>| Reverse(flow.flow.total_bytes());
        size(b)
            .cmp(&size(a))
            .then_with(|| place(a).cmp(&place(b)))
            .then_with(|| rest(a).cmp(&rest(b)))
            .then_with(|| (a.row.name(), a.id()).cmp(&(b.row.name(), b.id())))
    }
}

/// Bits or bytes, and packets, of one direction of a flow: what the columns show.
fn amounts(flow: &FlowSnapshot, direction: usize, columns: Columns) -> (u64, u64) {
    match columns {
        Columns::Rates => (flow.bps[direction], flow.pps[direction]),
        Columns::Totals => {
            let Counts { bytes, packets, .. } = flow.counts[direction];
            (bytes, packets)
        }
    }
}

#[cfg(test)]
mod tests;
