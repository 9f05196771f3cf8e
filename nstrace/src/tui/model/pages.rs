//! Which page is shown, and the way back.

use super::{Model, flows};
use crate::state::{FlowsAsked, IfaceKey};

/// What stands in the middle of the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// The table of namespaces.
    List,
    /// The flows of one of them, or of all.
    Flows(Option<IfaceKey>),
    /// Everything about one of them.
    Details(IfaceKey),
    /// The keys.
    Help,
}

impl Page {
    /// Whether it has rows to choose from.
    const fn is_table(self) -> bool {
        matches!(self, Self::List | Self::Flows(_))
    }

    /// The row that it is about, where it is about one.
    const fn about(self) -> Option<IfaceKey> {
        match self {
            Self::Details(key) | Self::Flows(Some(key)) => Some(key),
            Self::List | Self::Flows(None) | Self::Help => None,
        }
    }
}

impl Model {
    /// The table that is shown, or that the way back leads to first.
    #[must_use]
    pub fn table(&self) -> Page {
        let way_back = std::iter::once(&self.page).chain(self.behind.iter().rev());
        let table = way_back.copied().find(|page| page.is_table());
        table.unwrap_or(Page::List)
    }

    /// Goes to a page. Where it is on the way back, this is going back, so that the way stays short.
    pub(super) fn open(&mut self, page: Page) {
        if page == self.page {
            return;
        }
        if self.table() == Page::List && matches!(page, Page::Flows(_)) {
            self.flow_table.filter.clear();
            self.flow_table.selected = None;
        }
        if let Some(at) = self.behind.iter().position(|behind| *behind == page) {
            self.behind.truncate(at);
        } else if self.page != Page::Help {
            self.behind.push(self.page);
        }
        self.scroll = 0;
        self.page = page;
    }

    /// One page deeper: the flows of the chosen row, then its details.
    pub(super) fn enter(&mut self) {
        match (self.page, self.chosen()) {
            (Page::List | Page::Flows(None), Some(key)) => self.open(Page::Flows(Some(key))),
            _ => self.details(),
        }
    }

    pub(super) fn details(&mut self) {
        if let Some(key) = self.chosen() {
            self.open(Page::Details(key));
        }
    }

    /// The row that a table's next page is about: where nothing is chosen, the first one is then.
    pub(super) fn chosen(&mut self) -> Option<IfaceKey> {
        match self.page {
            Page::List => {
                let rows = self.visible();
                let at = self.selected_at(&rows).unwrap_or(0);
                let key = rows.get(at)?.key;
                self.selected = Some(key);
                Some(key)
            }
            Page::Flows(None) => {
                let flows = self.visible_flows(None);
                let at = self.selected_flow_at(&flows).unwrap_or(0);
                let id = flows.get(at)?.id();
                self.flow_table.selected = Some(id);
                Some(id.0)
            }
            Page::Flows(Some(key)) => Some(key),
            Page::Details(_) | Page::Help => None,
        }
    }

    /// Goes back to where this page was asked for.
    pub(super) fn leave(&mut self) {
        self.scroll = 0;
        self.page = self.behind.pop().unwrap_or(Page::List);
    }

    /// What is chosen, and what pages are about, is the pod of that name: when it has been made anew,
    /// the new one.
    pub(super) fn follow_successors(&mut self) {
        let Self {
            snapshot,
            page,
            behind,
            selected,
            ..
        } = self;
        let successors = snapshot.successors();
        let followed = |key: IfaceKey| successors.get(&key).copied().unwrap_or(key);
        *selected = selected.map(followed);
        for page in behind.iter_mut().chain([page]) {
            *page = match *page {
                Page::Flows(Some(key)) => Page::Flows(Some(followed(key))),
                Page::Details(key) => Page::Details(followed(key)),
                other => other,
            };
        }
    }

    /// Goes back from pages about a row that is no more.
    pub(super) fn leave_vanished(&mut self) {
        let rows = &self.snapshot.rows;
        let is_there = |page: Page| {
            page.about()
                .is_none_or(|key| rows.iter().any(|row| row.key == key))
        };
        self.behind.retain(|page| is_there(*page));
        if !is_there(self.page) {
            self.leave();
        }
    }

    /// The flows that the page needs. Those of a page behind it stay asked for, so that they are
    /// there on the way back.
    pub(super) fn needed_flows(&self) -> FlowsAsked {
        match self.table() {
            Page::Flows(of) => flows::asked(of, self.snapshot.rows.len()),
            Page::List | Page::Details(_) | Page::Help => FlowsAsked::None,
        }
    }
}
