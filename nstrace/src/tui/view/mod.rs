//! Draws the model. One area per file:
//!
//! ```text
//! +-----------------------------------------------------------------+
//! | nstrace  node-7  up 0:00:12  12 namespaces  8/8 attached (tcx)  |  header
//! | lost 0  every 1s  sort rate  filter "web"  PAUSED               |
//! +-----------------------------------------------------------------+
//! | NAME  IFACE      RX/s     TX/s  ..  SHARE       LAST MINUTE     |  list, or details, or help
//! | web   eth0     1.20Mb   40.1kb  ..  ###### 61%  __..--^^--..    |
//! +-----------------------------------------------------------------+
//! | q quit  ? help  / filter  s sort  ..                            |  footer
//! +-----------------------------------------------------------------+
//! ```

mod details;
mod footer;
mod header;
mod help;
mod list;
mod meter;

use ratatui::{
    Frame,
    layout::{Constraint, Layout},
    widgets::TableState,
};

use super::{
    model::{Model, Page},
    theme::Theme,
};

/// What drawing remembers from one frame to the next: scroll offsets only.
#[derive(Debug, Default)]
pub struct ViewState {
    table: TableState,
    page: usize,
}

impl ViewState {
    /// How many rows the list had room for.
    #[must_use]
    pub const fn page(&self) -> usize {
        self.page
    }
}

/// Draws the whole screen.
pub fn draw(frame: &mut Frame<'_>, model: &Model, theme: &Theme, state: &mut ViewState) {
    let areas = [
        Constraint::Length(2),
        Constraint::Min(1),
        Constraint::Length(1),
    ];
    let [header, middle, footer] = Layout::vertical(areas).areas(frame.area());
    header::draw(frame, header, model, *theme);
    match model.page {
        Page::List => list::draw(frame, middle, model, *theme, state),
        Page::Details(key) => details::draw(frame, middle, model, *theme, key),
        Page::Help => help::draw(frame, middle, model, *theme),
    }
    footer::draw(frame, footer, model, *theme);
}

#[cfg(test)]
mod tests;
