//! Bars and sparklines of block characters.

/// A horizontal bar of `width` cells, `share` of it (0 to 1) filled, to an eighth of a cell.
pub(super) fn bar(share: f64, width: usize) -> String {
    const EIGHTHS: [char; 7] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to the width of a terminal"
    )]
    let eighths = (share.clamp(0.0, 1.0) * width as f64 * 8.0).round() as usize;
    let mut bar = "█".repeat(eighths / 8);
    if let Some(rest) = (eighths % 8).checked_sub(1) {
        bar.push(EIGHTHS[rest]);
    }
    let filled = bar.chars().count();
    bar.push_str(&" ".repeat(width.saturating_sub(filled)));
    bar
}

/// The last values that fit `width` cells, newest on the right, scaled to the largest shown.
/// Where there are more values than cells, a cell shows the largest of its share.
pub(super) fn sparkline(values: &[u64], seconds: usize, width: usize) -> String {
    const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let per_cell = seconds.div_ceil(width.max(1)).max(1);
    let mut cells: Vec<u64> = values
        .rchunks(per_cell)
        .take(width)
        .map(|chunk| chunk.iter().copied().max().unwrap_or(0))
        .collect();
    cells.reverse();
    let largest = cells.iter().copied().max().unwrap_or(0);
    let mut line = " ".repeat(width.saturating_sub(cells.len()));
    line.extend(cells.into_iter().map(|value| {
        if value == 0 {
            return ' ';
        }
        // Seven steps above the lowest, so that any traffic at all is seen.
        let level = u128::from(value) * 7 / u128::from(largest.max(1));
        LEVELS[usize::try_from(level).unwrap_or(7).min(7)]
    }));
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_wide_as_asked_at_any_share() {
        for share in [0.0, 0.01, 0.49, 0.5, 0.99, 1.0, 7.0] {
            assert_eq!(bar(share, 6).chars().count(), 6, "{share}");
        }
        assert_eq!(bar(0.5, 4), "██  ");
        assert_eq!(bar(0.0, 4), "    ");
    }

    #[test]
    fn a_sparkline_ends_with_now_and_keeps_peaks() {
        assert_eq!(sparkline(&[0, 70, 10], 3, 5), "   █▂");
        assert_eq!(sparkline(&[9, 1, 1, 90], 4, 2), "▁█");
        assert_eq!(sparkline(&[], 60, 3), "   ");
    }
}
