//! Strings that others chose: interface names, command names, container names.
//!
//! The kernel lets ESC into an interface name and a newline into a command name. Shown as they
//! are, they would command the terminal or forge a line.

use std::fmt::{self, Write as _};

/// A string whose only way out is escaped: control, bidi and invisible characters as `\x1b` or
/// `\u{202e}`.
#[derive(Clone, Copy, Debug)]
pub struct Untrusted<'a>(pub &'a str);

impl fmt::Display for Untrusted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match u32::from(c) {
                code if c.is_ascii() && is_unsafe(c) => write!(f, "\\x{code:02x}")?,
                code if is_unsafe(c) => write!(f, "\\u{{{code:x}}}")?,
                _ => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// Whether `c` could command a terminal, reorder what stands around it, or hide.
#[must_use]
pub fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{061c}' // Arabic letter mark
            | '\u{200b}'..='\u{200f}' // zero width, directional marks
            | '\u{2028}'..='\u{202e}' // separators, embeddings, overrides
            | '\u{2060}'..='\u{2069}' // invisible operators, isolates
            | '\u{feff}' // byte order mark
            | '\u{fff9}'..='\u{fffb}' // interlinear annotation
        )
}

/// The escaped form of `text`.
#[must_use]
pub fn escape(text: &str) -> String {
    Untrusted(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_commands_a_terminal_is_escaped() {
        assert_eq!(
            escape("a\x1b[31mb\n\u{9b}\u{7f}"),
            r"a\x1b[31mb\x0a\u{9b}\x7f"
        );
    }

    #[test]
    fn what_reorders_or_hides_is_escaped() {
        assert_eq!(escape("web\u{202e}gnp\u{200b}"), r"web\u{202e}gnp\u{200b}");
    }

    #[test]
    fn the_rest_is_left_alone() {
        assert_eq!(escape("k8s_POD-ü-網路"), "k8s_POD-ü-網路");
    }
}
