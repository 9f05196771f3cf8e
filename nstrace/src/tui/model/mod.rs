//! What the screen shows, and how keys and snapshots change it. No I/O, no clock.

use std::{cmp::Ordering, time::Duration};

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{
    keymap::{self, Action},
    theme::Color,
};
use crate::{
    state::{IfaceKey, Snapshot, SortKey, snapshot::RowSnapshot},
    units::Units,
};

/// How the screen starts.
#[derive(Clone, Debug)]
pub struct Options {
    /// The host's name. Untrusted.
    pub host: String,
    /// Time between refreshes.
    pub interval: Duration,
    /// Order of the rows.
    pub sort: SortKey,
    /// Text that rows must contain.
    pub filter: String,
    /// Unit of rates.
    pub units: Units,
    /// When to use colours.
    pub color: Color,
}

/// Something that changes the model.
#[derive(Clone, Debug)]
pub enum Message {
    /// A refresh.
    Snapshot(Snapshot),
    /// A key was pressed.
    Key(KeyEvent),
}

/// Something that the model wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// End.
    Quit,
    /// Refresh in this rhythm from now on.
    SetInterval(Duration),
}

/// What stands in the middle of the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// The table of namespaces.
    List,
    /// One of them.
    Details(IfaceKey),
    /// The keys.
    Help,
}

/// What the columns show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Columns {
    /// Speed over the last interval.
    Rates,
    /// What was counted since the interface was attached.
    Totals,
}

/// Steps of `+` and `-`, in milliseconds.
const INTERVALS: [u64; 8] = [100, 250, 500, 1000, 2000, 5000, 10_000, 60_000];

/// What the screen shows.
#[derive(Clone, Debug)]
pub struct Model {
    /// The host's name. Untrusted.
    pub host: String,
    /// What is shown: the latest, or, while paused, the one of the moment of the pause.
    pub snapshot: Snapshot,
    /// What stands in the middle.
    pub page: Page,
    /// Order of the rows.
    pub sort: SortKey,
    /// Whether the order is turned round.
    pub is_reversed: bool,
    /// Text that rows must contain.
    pub filter: String,
    /// Whether keys go into the filter.
    pub is_typing: bool,
    /// Whether snapshots are held back.
    pub is_paused: bool,
    /// Unit of rates.
    pub units: Units,
    /// Rates or totals.
    pub columns: Columns,
    /// Time between refreshes.
    pub interval: Duration,
    /// The chosen row.
    pub selected: Option<IfaceKey>,
    /// How far the details are scrolled.
    pub scroll: u16,
    page_rows: usize,
    behind_help: Page,
    held_back: Option<Snapshot>,
}

impl Model {
    /// Nothing to show yet.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let Options {
            host,
            interval,
            sort,
            filter,
            units,
            color: _,
        } = options;
        Self {
            host,
            snapshot: Snapshot::default(),
            page: Page::List,
            sort,
            is_reversed: false,
            filter,
            is_typing: false,
            is_paused: false,
            units,
            columns: Columns::Rates,
            interval,
            selected: None,
            scroll: 0,
            page_rows: 10,
            behind_help: Page::List,
            held_back: None,
        }
    }

    /// How many rows a page has, and how far this one can be scrolled, as the view found.
    pub fn set_page(&mut self, rows: usize, scroll: u16) {
        self.page_rows = rows.max(1);
        self.scroll = self.scroll.min(scroll);
    }

    /// Takes in what happened.
    pub fn update(&mut self, message: Message) -> Option<Effect> {
        match message {
            Message::Snapshot(snapshot) if self.is_paused => {
                self.held_back = Some(snapshot);
                None
            }
            Message::Snapshot(snapshot) => {
                self.snapshot = snapshot;
                self.leave_vanished();
                None
            }
            Message::Key(key) if self.is_typing => self.type_filter(key),
            Message::Key(key) => keymap::action(key).and_then(|action| self.act(action)),
        }
    }

    /// The rows that pass the filter, in order.
    #[must_use]
    pub fn visible(&self) -> Vec<&RowSnapshot> {
        let mut rows: Vec<&RowSnapshot> = self
            .snapshot
            .rows
            .iter()
            .filter(|row| row.contains(&self.filter))
            .collect();
        rows.sort_by(|a, b| self.compare(a, b));
        rows
    }

    fn compare(&self, a: &RowSnapshot, b: &RowSnapshot) -> Ordering {
        let order = self.sort.compare(a, b);
        if self.is_reversed {
            order.reverse()
        } else {
            order
        }
    }

    /// Where the chosen row stands among the visible ones.
    #[must_use]
    pub fn selected_at(&self, rows: &[&RowSnapshot]) -> Option<usize> {
        rows.iter().position(|row| Some(row.key) == self.selected)
    }

    /// The row that the details are about.
    #[must_use]
    pub fn details_of(&self, key: IfaceKey) -> Option<&RowSnapshot> {
        self.snapshot.rows.iter().find(|row| row.key == key)
    }

    /// Goes back from the details of a row that is no more.
    fn leave_vanished(&mut self) {
        let is_vanished =
            |page| matches!(page, Page::Details(key) if self.details_of(key).is_none());
        let (page, behind_help) = (is_vanished(self.page), is_vanished(self.behind_help));
        if page {
            self.page = Page::List;
        }
        if behind_help {
            self.behind_help = Page::List;
        }
    }

    fn type_filter(&mut self, key: KeyEvent) -> Option<Effect> {
        match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                return Some(Effect::Quit);
            }
            KeyCode::Char('u') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                self.filter.clear();
            }
            KeyCode::Enter => self.is_typing = false,
            KeyCode::Esc => {
                self.is_typing = false;
                self.filter.clear();
            }
            KeyCode::Backspace => {
                self.filter.pop();
            }
            KeyCode::Char(c) if !key.modifiers.contains(KeyModifiers::CONTROL) => {
                self.filter.push(c);
            }
            _ => {}
        }
        None
    }

    fn act(&mut self, action: Action) -> Option<Effect> {
        match action {
            Action::Quit => return Some(Effect::Quit),
            Action::Help => {
                self.scroll = 0;
                if self.page == Page::Help {
                    self.page = self.behind_help;
                } else {
                    self.behind_help = self.page;
                    self.page = Page::Help;
                }
            }
            Action::Up => self.step(-1),
            Action::Down => self.step(1),
            Action::PageUp => self.step(-self.page_step()),
            Action::PageDown => self.step(self.page_step()),
            Action::Home => self.step(isize::MIN),
            Action::End => self.step(isize::MAX),
            Action::NextSort => self.sort = neighbour(self.sort, 1),
            Action::PreviousSort => self.sort = neighbour(self.sort, SortKey::ALL.len() - 1),
            Action::Reverse => self.is_reversed = !self.is_reversed,
            Action::Filter => {
                self.page = Page::List;
                self.is_typing = true;
            }
            Action::Pause => self.pause(),
            Action::Faster => return self.faster(),
            Action::Slower => return self.slower(),
            Action::Units => self.units = self.units.toggled(),
            Action::Totals => {
                self.columns = match self.columns {
                    Columns::Rates => Columns::Totals,
                    Columns::Totals => Columns::Rates,
                };
            }
            Action::Enter => self.enter(),
            Action::Back => self.back(),
        }
        None
    }

    fn page_step(&self) -> isize {
        isize::try_from(self.page_rows).unwrap_or(isize::MAX)
    }

    /// Moves the choice, or scrolls the page that has none.
    fn step(&mut self, by: isize) {
        if self.page != Page::List {
            let by = i16::try_from(by).unwrap_or(if by < 0 { i16::MIN } else { i16::MAX });
            self.scroll = self.scroll.saturating_add_signed(by);
            return;
        }
        let rows = self.visible();
        let last = rows.len().saturating_sub(1);
        let to = match self.selected_at(&rows) {
            Some(at) => at.saturating_add_signed(by).min(last),
            // The first key chooses an end of the list.
            None if by == isize::MAX => last,
            None => 0,
        };
        self.selected = rows.get(to).map(|row| row.key);
    }

    fn pause(&mut self) {
        self.is_paused = !self.is_paused;
        if !self.is_paused
            && let Some(latest) = self.held_back.take()
        {
            self.snapshot = latest;
            self.leave_vanished();
        }
    }

    fn faster(&mut self) -> Option<Effect> {
        let now = self.interval.as_millis();
        let shorter = INTERVALS
            .iter()
            .rev()
            .find(|step| u128::from(**step) < now)?;
        Some(self.set_interval(*shorter))
    }

    fn slower(&mut self) -> Option<Effect> {
        let now = self.interval.as_millis();
        let longer = INTERVALS.iter().find(|step| u128::from(**step) > now)?;
        Some(self.set_interval(*longer))
    }

    fn set_interval(&mut self, millis: u64) -> Effect {
        self.interval = Duration::from_millis(millis);
        Effect::SetInterval(self.interval)
    }

    fn enter(&mut self) {
        if self.page == Page::List {
            let rows = self.visible();
            let at = self.selected_at(&rows).unwrap_or(0);
            if let Some(key) = rows.get(at).map(|row| row.key) {
                self.selected = Some(key);
                self.scroll = 0;
                self.page = Page::Details(key);
            }
        }
    }

    fn back(&mut self) {
        match self.page {
            Page::List => self.filter.clear(),
            Page::Details(_) => self.page = Page::List,
            Page::Help => self.page = self.behind_help,
        }
    }
}

/// The sort key that stands `by` places further.
fn neighbour(sort: SortKey, by: usize) -> SortKey {
    let all = SortKey::ALL;
    let at = all.iter().position(|key| *key == sort).unwrap_or_default();
    all[(at + by) % all.len()]
}

#[cfg(test)]
mod tests;
