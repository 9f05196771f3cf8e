//! The keys, from the keymap, and what the numbers mean.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
};

use super::{ViewState, draw_text};
use crate::{
    tui::{keymap::BINDINGS, model::Model, theme::Theme},
    untrusted::escape,
};

const MEANING: [&str; 10] = [
    "RX is into the namespace, TX out of it. Packets are skbs and bytes their length, as `ip -s \
     link` counts them at the host's end, before its queue: one skb of a TCP stream can be many \
     packets on a wire.",
    "wp, WIREPK, \"on a wire\": packets as a wire would carry them, each segment with its own headers.",
    "A flow is one conversation, both directions, as the namespace sees it: REMOTE and R.PORT are the \
     far end's, L.PORT its own. A flow that has ended, or has had no packet for a minute, leaves; its \
     RX, TX, packets and AGE are since its first packet.",
    "\"and N more flows\": all flows that are not in the table, ended ones too, as a sum. The flows and \
     that sum are everything that the interface has carried.",
    "flowless: packets that no flow had room for. They are in every total, and in that sum.",
    "PEAK is the busiest window (about 10 ms) of the last interval, of the faster direction.",
    "SHARE is a row's part of all that is watched, filtered or not; what goes from one namespace to another \
     counts for both.",
    "LAST MINUTE is scaled to each row's own maximum.",
    "lost: samples (for PEAK) that did not fit in the ring. Totals and rates miss nothing by it.",
    "Rows of interfaces that are gone stay for five seconds, with their final totals.",
];

pub(super) fn draw(
    frame: &mut Frame<'_>,
    area: Rect,
    model: &Model,
    theme: Theme,
    state: &mut ViewState,
) {
    let mut lines = Vec::new();
    let warnings = &model.snapshot.header.warnings;
    if !warnings.is_empty() {
        lines.push(Line::styled("Warnings", theme.title()));
        lines.extend(
            warnings
                .iter()
                .map(|warning| Line::raw(format!("  {}", escape(warning)))),
        );
        lines.push(Line::default());
    }
    lines.extend(BINDINGS.iter().map(|binding| {
        Line::from(vec![
            Span::styled(format!("  {:<8}", binding.label), theme.key()),
            Span::raw(binding.help),
        ])
    }));
    lines.push(Line::default());
    lines.extend(MEANING.map(Line::raw));
    if !model.sizes.is_empty() {
        lines.push(Line::raw(format!("Sizes: {}.", model.sizes)));
    }
    draw_text(frame, area, lines, model.scroll, state);
}
