//! What the screen shows, and how keys and snapshots change it. No I/O, no clock.

mod capture;
mod flows;
mod pages;

use std::{cmp::Ordering, time::Duration};

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{
    keymap::{self, Action},
    theme::Color,
};
use crate::{
    services::Services,
    state::{FlowsAsked, IfaceKey, Snapshot, SortKey, snapshot::RowSnapshot},
    units::Units,
};
pub use capture::{CaptureForm, CaptureOrder, CaptureStatus, Field};
pub use flows::{FlowChoices, FlowId, FlowRow, FlowSort};
pub use pages::Page;

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
    /// What ports are called.
    pub services: Services,
    /// How large everything is made, for the help; empty where it is not known yet.
    pub sizes: String,
}

/// Something that changes the model.
#[derive(Clone, Debug)]
pub enum Message {
    /// A refresh.
    Snapshot(Snapshot),
    /// A key was pressed.
    Key(KeyEvent),
    /// A capture goes on, or does not.
    Capture(CaptureStatus),
}

/// Something that the model wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// End.
    Quit,
    /// Refresh in this rhythm from now on.
    SetInterval(Duration),
    /// Show a snapshot with these flows at once, and from now on.
    Ask(FlowsAsked),
    /// Capture what is ordered.
    StartCapture(CaptureOrder),
    /// End the capture.
    StopCapture,
}

/// What the columns show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Columns {
    /// Speed over the last interval.
    Rates,
    /// What was counted since the interface was attached, or since the flow was first seen.
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
    /// What was chosen for tables of flows.
    pub flow_table: FlowChoices,
    /// Whether keys go into the filter.
    pub is_typing: bool,
    /// What is asked for before a capture; keys go there.
    pub form: Option<CaptureForm>,
    /// The capture that runs, or has just ended.
    pub capture: Option<CaptureStatus>,
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
    /// How far a page of text is scrolled.
    pub scroll: u16,
    /// What ports are called.
    pub services: Services,
    /// How large everything is made.
    pub sizes: String,
    page_rows: usize,
    /// Where this page was asked for, and where that one was; the last is the nearest.
    behind: Vec<Page>,
    /// The flows that snapshots have from now on, and those that the shown one has.
    asked: FlowsAsked,
    shown_flows: FlowsAsked,
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
            services,
            sizes,
        } = options;
        Self {
            host,
            snapshot: Snapshot::default(),
            page: Page::List,
            sort,
            is_reversed: false,
            filter,
            flow_table: FlowChoices::default(),
            is_typing: false,
            form: None,
            capture: None,
            is_paused: false,
            units,
            columns: Columns::Rates,
            interval,
            selected: None,
            scroll: 0,
            services,
            sizes,
            page_rows: 10,
            behind: Vec::new(),
            asked: FlowsAsked::None,
            shown_flows: FlowsAsked::None,
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
        let effect = match message {
            Message::Snapshot(snapshot) if self.is_paused && !self.lacks_flows() => {
                self.held_back = Some(snapshot);
                None
            }
            Message::Snapshot(snapshot) => {
                self.take(snapshot);
                None
            }
            Message::Capture(status) => {
                self.take_capture(status);
                None
            }
            Message::Key(key) if self.form.is_some() => self.type_form(key),
            Message::Key(key) if self.is_typing => self.type_filter(key),
            Message::Key(key) => {
                self.forget_ended_capture();
                keymap::action(key).and_then(|action| self.act(action))
            }
        };
        effect.or_else(|| self.ask())
    }

    fn take(&mut self, snapshot: Snapshot) {
        self.held_back = None;
        self.snapshot = snapshot;
        self.shown_flows = self.asked;
        self.follow_successors();
        self.leave_vanished();
    }

    /// Whether the page has to wait for its flows. It gets them even while paused: there would be
    /// nothing to see.
    fn lacks_flows(&self) -> bool {
        let needed = self.needed_flows();
        needed != FlowsAsked::None && needed == self.asked && needed != self.shown_flows
    }

    /// Asks for the flows that the page needs, if that is news.
    fn ask(&mut self) -> Option<Effect> {
        let needed = self.needed_flows();
        (std::mem::replace(&mut self.asked, needed) != needed).then_some(Effect::Ask(needed))
    }

    /// The rows that pass the filter, in order.
    #[must_use]
    pub fn visible(&self) -> Vec<&RowSnapshot> {
        // What has come again stands in its own row's place.
        let succeeded = self.snapshot.successors();
        let mut rows: Vec<&RowSnapshot> = self
            .snapshot
            .rows
            .iter()
            .filter(|row| row.contains(&self.filter) && !succeeded.contains_key(&row.key))
            .collect();
        rows.sort_by(|a, b| self.compare(a, b));
        rows
    }

    /// The filter of the table that is shown or behind.
    #[must_use]
    pub fn shown_filter(&self) -> &str {
        match self.table() {
            Page::Flows(_) => &self.flow_table.filter,
            _ => &self.filter,
        }
    }

    fn filter_mut(&mut self) -> &mut String {
        match self.table() {
            Page::Flows(_) => &mut self.flow_table.filter,
            _ => &mut self.filter,
        }
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

    fn type_filter(&mut self, key: KeyEvent) -> Option<Effect> {
        match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                return Some(Effect::Quit);
            }
            KeyCode::Char('u') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                self.filter_mut().clear();
            }
            KeyCode::Enter => self.is_typing = false,
            KeyCode::Esc => {
                self.is_typing = false;
                self.filter_mut().clear();
            }
            KeyCode::Backspace => {
                self.filter_mut().pop();
            }
            KeyCode::Char(c) if !key.modifiers.contains(KeyModifiers::CONTROL) => {
                self.filter_mut().push(c);
            }
            _ => {}
        }
        None
    }

    fn act(&mut self, action: Action) -> Option<Effect> {
        match action {
            Action::Quit => return Some(Effect::Quit),
            Action::Help if self.page == Page::Help => self.leave(),
            Action::Help => self.open(Page::Help),
            Action::Up => self.step(-1),
            Action::Down => self.step(1),
            Action::PageUp => self.step(-self.page_step()),
            Action::PageDown => self.step(self.page_step()),
            Action::Home => self.step(isize::MIN),
            Action::End => self.step(isize::MAX),
            Action::NextSort => self.sort_by_neighbour(1),
            Action::PreviousSort => self.sort_by_neighbour(-1),
            Action::Reverse => match self.table() {
                Page::Flows(_) => self.flow_table.is_reversed = !self.flow_table.is_reversed,
                _ => self.is_reversed = !self.is_reversed,
            },
            Action::Filter => {
                self.open(self.table());
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
            Action::AllFlows => self.open(Page::Flows(None)),
            Action::Details => self.details(),
            Action::Capture => return self.capture(),
            Action::Back if self.page == Page::List => self.filter.clear(),
            Action::Back => self.leave(),
        }
        None
    }

    fn sort_by_neighbour(&mut self, by: isize) {
        match self.table() {
            Page::Flows(_) => {
                self.flow_table.sort = neighbour(&FlowSort::ALL, self.flow_table.sort, by);
            }
            _ => self.sort = neighbour(&SortKey::ALL, self.sort, by),
        }
    }

    fn page_step(&self) -> isize {
        isize::try_from(self.page_rows).unwrap_or(isize::MAX)
    }

    /// Moves the choice, or scrolls the page that has none.
    fn step(&mut self, by: isize) {
        match self.page {
            Page::List => {
                let rows = self.visible();
                let to = moved(self.selected_at(&rows), by, rows.len());
                self.selected = rows.get(to).map(|row| row.key);
            }
            Page::Flows(of) => {
                let flows = self.visible_flows(of);
                let place = self.flow_table.selected.map(|_| self.flow_table.place);
                let at = self.selected_flow_at(&flows).or(place);
                let to = moved(at, by, flows.len());
                self.flow_table.selected = flows.get(to).map(FlowRow::id);
                self.flow_table.place = to;
            }
            Page::Details(_) | Page::Help => {
                let by = i16::try_from(by).unwrap_or(if by < 0 { i16::MIN } else { i16::MAX });
                self.scroll = self.scroll.saturating_add_signed(by);
            }
        }
    }

    fn pause(&mut self) {
        self.is_paused = !self.is_paused;
        if !self.is_paused
            && let Some(latest) = self.held_back.take()
        {
            self.take(latest);
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
}

/// Where a choice stands after a move by so many, among `count`; the first key chooses an end.
fn moved(at: Option<usize>, by: isize, count: usize) -> usize {
    let last = count.saturating_sub(1);
    match at {
        Some(at) => at.saturating_add_signed(by).min(last),
        None if by == isize::MAX => last,
        None => 0,
    }
}

/// The key that stands `by` places further in its circle.
fn neighbour<K: Copy + PartialEq>(all: &[K], key: K, by: isize) -> K {
    let at = all
        .iter()
        .position(|known| *known == key)
        .unwrap_or_default();
    let to = at.checked_add_signed(by).unwrap_or(all.len() - 1);
    all[to % all.len()]
}

#[cfg(test)]
mod tests;
