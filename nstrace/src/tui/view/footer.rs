//! The line at the bottom: the keys, or what is being typed: the filter, or what a capture needs.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
    widgets::Paragraph,
};

use crate::{
    tui::{
        keymap::BINDINGS,
        model::{CaptureForm, Field, Model},
        theme::Theme,
    },
    untrusted::escape,
};

/// Rows that it takes.
pub(super) fn height(model: &Model) -> u16 {
    let form = model.form.as_ref().map_or(0, |form| form.error.len() + 2);
    u16::try_from(form).unwrap_or(u16::MAX).clamp(1, 6)
}

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model, theme: Theme) {
    let lines = match &model.form {
        Some(form) => capture(form, theme),
        None if model.is_typing => vec![filter(model, theme)],
        None => vec![keys(area.width, theme)],
    };
    frame.render_widget(Paragraph::new(lines), area);
}

/// The two lines of the form, with what was wrong before.
fn capture(form: &CaptureForm, theme: Theme) -> Vec<Line<'static>> {
    let line = |field, label: String, text: &str, help: &'static str| {
        let mut spans = vec![Span::styled(label, theme.title()), Span::raw(escape(text))];
        if form.field == field {
            spans.push(Span::styled(" ", theme.selected()));
            spans.push(Span::raw(help));
        }
        Line::from(spans)
    };
    let file = format!("capture {} to: ", escape(&form.name));
    let filter = format!("{:>1$}", "filter: ", file.chars().count());
    let errors = form.error.iter();
    errors
        .map(|error| Line::styled(error.clone(), theme.alarm()))
        .chain([
            line(
                Field::File,
                file,
                &form.file,
                "  enter goes on, esc gives up",
            ),
            line(
                Field::Filter,
                filter,
                &form.filter,
                "  enter starts, tab goes back, esc gives up",
            ),
        ])
        .collect()
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
