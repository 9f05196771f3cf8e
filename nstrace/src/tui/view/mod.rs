//! Draws the model. One area per file:
//!
//! ```text
//! +-----------------------------------------------------------------+
//! | nstrace  node-7  up 0:00:12  12 namespaces  8/8 attached (tcx)  |  header
//! | lost 0  every 1s  sort rate  filter "web"  PAUSED               |
//! +-----------------------------------------------------------------+
//! | NAME  IFACE      RX/s     TX/s  ..  SHARE       LAST MINUTE     |  list, or flows, details, help
//! | web   eth0     1.20Mb   40.1kb  ..  ###### 61%  __..--^^--..    |
//! +-----------------------------------------------------------------+
//! | q quit  ? help  / filter  s sort  ..                            |  footer
//! +-----------------------------------------------------------------+
//! ```

mod details;
mod flows;
mod footer;
mod header;
mod help;
mod list;
mod meter;

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    text::Line,
    widgets::{Paragraph, TableState, Wrap},
};
use unicode_width::UnicodeWidthStr as _;

use super::{
    model::{Model, Page},
    theme::Theme,
};

/// What drawing remembers from one frame to the next: scroll offsets only.
#[derive(Debug, Default)]
pub struct ViewState {
    table: TableState,
    first_flow: usize,
    page: usize,
    scroll: u16,
}

impl ViewState {
    /// How many rows the table had room for.
    #[must_use]
    pub const fn page(&self) -> usize {
        self.page
    }

    /// How far the page can be scrolled.
    #[must_use]
    pub const fn scroll(&self) -> u16 {
        self.scroll
    }
}

/// Smaller screens show nothing: ratatui 0.30 panics on a wide character in two columns.
const MIN_WIDTH: u16 = 8;

/// Draws the whole screen.
pub fn draw(frame: &mut Frame<'_>, model: &Model, theme: &Theme, state: &mut ViewState) {
    state.scroll = 0;
    if frame.area().width < MIN_WIDTH {
        return;
    }
    let areas = [
        Constraint::Length(header::height(model)),
        Constraint::Min(1),
        Constraint::Length(footer::height(model)),
    ];
    let [header, middle, footer] = Layout::vertical(areas).areas(frame.area());
    header::draw(frame, header, model, *theme);
    match model.page {
        Page::List => list::draw(frame, middle, model, *theme, state),
        Page::Flows(of) => flows::draw(frame, middle, model, *theme, of, state),
        Page::Details(key) => details::draw(frame, middle, model, *theme, key, state),
        Page::Help => help::draw(frame, middle, model, *theme, state),
    }
    footer::draw(frame, footer, model, *theme);
}

/// Draws lines that may be longer than the area is wide, scrolled by `wanted` or as far as there
/// is something to see.
fn draw_text(
    frame: &mut Frame<'_>,
    area: Rect,
    lines: Vec<Line<'static>>,
    wanted: u16,
    state: &mut ViewState,
) {
    let width = usize::from(area.width).max(1);
    let height: usize = lines.iter().map(|line| rows(line, width)).sum();
    let overflow = height.saturating_sub(usize::from(area.height));
    state.scroll = u16::try_from(overflow).unwrap_or(u16::MAX);
    let text = Paragraph::new(lines)
        .wrap(Wrap { trim: false })
        .scroll((wanted.min(state.scroll), 0));
    frame.render_widget(text, area);
}

/// How many rows of `width` cells a line takes, wrapped at words as ratatui does.
fn rows(line: &Line<'_>, width: usize) -> usize {
    let text: String = line.iter().map(|span| &*span.content).collect();
    let (mut rows, mut used) = (1, 0);
    for word in text.split_inclusive(' ') {
        let with_gap = word.width();
        let cells = word.trim_end_matches(' ').width();
        if used > 0 && used + cells > width {
            rows += 1;
            used = 0;
        }
        rows += cells.saturating_sub(1) / width;
        used += with_gap;
        if cells > width {
            used -= cells.saturating_sub(1) / width * width;
        }
    }
    rows
}

#[cfg(test)]
mod tests;
