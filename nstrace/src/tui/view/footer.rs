//! The line at the bottom: the keys, or the filter while it is typed.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
    widgets::Paragraph,
};

use crate::{
    tui::{keymap::BINDINGS, model::Model, theme::Theme},
    untrusted::escape,
};

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model, theme: Theme) {
    let line = if model.is_typing {
        filter(model, theme)
    } else {
        keys(area.width, theme)
    };
    frame.render_widget(Paragraph::new(line), area);
}

fn filter(model: &Model, theme: Theme) -> Line<'static> {
    Line::from(vec![
        Span::styled("filter: ", theme.title()),
        Span::raw(escape(model.shown_filter())),
        Span::styled(" ", theme.selected()),
        Span::raw("  enter keeps it, esc clears it"),
    ])
}

/// As many keys as fit, in the order of the table.
fn keys(width: u16, theme: Theme) -> Line<'static> {
    let mut spans = Vec::new();
    let mut used = 0;
    for binding in &BINDINGS {
        let Some(word) = binding.footer else { continue };
        let key = binding.label.split(' ').next().unwrap_or_default();
        let length = key.chars().count() + 1 + word.len();
        if used + length > usize::from(width) {
            break;
        }
        spans.push(Span::styled(key, theme.key()));
        spans.push(Span::raw(format!(" {word}  ")));
        used += length + 2;
    }
    Line::from(spans)
}
