//! Tables of text: columns as wide as their widest cell, two spaces apart.

use std::io::{self, Write};

use unicode_width::UnicodeWidthStr as _;

/// Which side of its column a cell stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Writes `rows` below `headers` (unless there are none to show). Cells must be safe to print.
///
/// # Errors
///
/// If the writer fails.
pub fn write(
    out: &mut impl Write,
    headers: &[(&str, Align)],
    rows: &[Vec<String>],
    with_headers: bool,
) -> io::Result<()> {
    write_more(out, headers, rows, with_headers, &mut Vec::new())
}

/// The same, where rows may have been written before: columns are at least as wide as `widths` says
/// that they were, and what they are then is left there.
///
/// # Errors
///
/// If the writer fails.
pub fn write_more(
    out: &mut impl Write,
    headers: &[(&str, Align)],
    rows: &[Vec<String>],
    with_headers: bool,
    widths: &mut Vec<usize>,
) -> io::Result<()> {
    let heading: Vec<String> = headers.iter().map(|(name, _)| (*name).to_owned()).collect();
    let shown = || with_headers.then_some(&heading).into_iter().chain(rows);
    widths.resize(headers.len(), 0);
    for (column, width) in widths.iter_mut().enumerate() {
        let cells = shown().filter_map(|row| row.get(column));
        *width = cells
            .map(|cell| cell.width())
            .max()
            .unwrap_or(0)
            .max(*width);
    }
    let mut text = String::new();
    for row in shown() {
        let start = text.len();
        for ((cell, width), (_, align)) in row.iter().zip(&*widths).zip(headers) {
            let padding = " ".repeat(width.saturating_sub(cell.width()));
            match align {
                Align::Left => text.extend([cell, &padding[..], "  "]),
                Align::Right => text.extend([&padding[..], cell, "  "]),
            }
        }
        text.truncate(start + text[start..].trim_end().len());
        text.push('\n');
    }
    out.write_all(text.as_bytes())?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_seen_not_as_its_bytes() {
        let mut out = Vec::new();
        let rows = [
            vec!["網路".to_owned(), "7".to_owned()],
            vec!["ü".to_owned(), "10".to_owned()],
        ];
        write(
            &mut out,
            &[("A", Align::Left), ("N", Align::Right)],
            &rows,
            true,
        )
        .expect("writes to memory");
        assert_eq!(
            String::from_utf8(out).expect("UTF-8"),
            "A      N\n網路   7\nü     10\n"
        );
    }
}
