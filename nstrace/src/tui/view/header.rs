//! The lines on top: is everything watched, is anything lost, what am I looking at; and the capture,
//! where there is one.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
    widgets::Paragraph,
};

use crate::{
    tui::{
        model::{CaptureStatus, Model, Page},
        theme::Theme,
    },
    units,
    untrusted::escape,
};

/// Rows that it takes.
pub(super) fn height(model: &Model) -> u16 {
    2 + u16::from(model.capture.is_some())
}

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model, theme: Theme) {
    let mut lines = vec![watch_line(model, theme), display_line(model, theme)];
    if let Some(capture) = &model.capture {
        lines.push(capture_line(capture, theme));
    }
    frame.render_widget(Paragraph::new(lines), area);
}

fn watch_line(model: &Model, theme: Theme) -> Line<'static> {
    let header = &model.snapshot.header;
    let mechanism = header.mechanism.map_or_else(String::new, |mechanism| {
        format!(" ({})", mechanism.as_str())
    });
    let spans = vec![
        Span::styled("nstrace", theme.title()),
        Span::raw(format!("  {}", escape(&model.host))),
        Span::raw(format!("  up {}", units::clock(header.elapsed.as_secs()))),
        Span::raw(format!("  {} namespaces", header.netnses)),
        Span::raw(format!(
            "  {}/{} interfaces attached{mechanism}",
            header.attached, header.watched
        )),
    ];
    Line::from(spans)
}

fn display_line(model: &Model, theme: Theme) -> Line<'static> {
    let header = &model.snapshot.header;
    let lost = format!("lost {}", header.lost_samples);
    let mut spans = vec![if header.lost_samples > 0 {
        Span::styled(lost, theme.alarm())
    } else {
        Span::raw(lost)
    }];
    if header.failed > 0 {
        let failed = format!("  failed {}", header.failed);
        spans.push(Span::styled(failed, theme.alarm()));
    }
    if header.uncounted > 0 {
        spans.push(Span::styled(
            format!("  uncounted {}", header.uncounted),
            theme.alarm(),
        ));
    }
    if header.flowless > 0 {
        spans.push(Span::styled(
            format!("  flowless {}", header.flowless),
            theme.alarm(),
        ));
    }
    spans.push(Span::raw(format!(
        "  every {}s",
        model.interval.as_secs_f64()
    )));
    let (sort, is_reversed) = match model.table() {
        Page::Flows(_) => (model.flow_table.sort.as_str(), model.flow_table.is_reversed),
        _ => (model.sort.as_str(), model.is_reversed),
    };
    let order = if is_reversed { " reversed" } else { "" };
    spans.push(Span::raw(format!("  sort {sort}{order}")));
    let filter = model.shown_filter();
    if !filter.is_empty() && !model.is_typing {
        let shown = format!("  filter \"{}\"", escape(filter));
        spans.push(Span::styled(shown, theme.title()));
    }
    if !header.warnings.is_empty() {
        let count = header.warnings.len();
        let plural = if count == 1 { "" } else { "s" };
        spans.push(Span::raw(format!("  {count} warning{plural} (?)")));
    }
    if model.is_paused {
        spans.push(Span::raw("  "));
        spans.push(Span::styled(" PAUSED ", theme.selected()));
    }
    Line::from(spans)
}

fn capture_line(capture: &CaptureStatus, theme: Theme) -> Line<'static> {
    match capture {
        CaptureStatus::Running {
            name,
            captured,
            dropped,
        } => {
            let text = format!(
                "capturing {}: {captured} packets, {dropped} dropped",
                escape(name)
            );
            let style = if *dropped > 0 {
                theme.alarm()
            } else {
                theme.title()
            };
            Line::styled(text, style)
        }
        CaptureStatus::Ended(how) => Line::styled(escape(how), theme.title()),
        CaptureStatus::Refused(_) => Line::default(),
    }
}
