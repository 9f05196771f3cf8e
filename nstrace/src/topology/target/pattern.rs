//! Names that may stand for several: `web-*`.

use std::fmt;

/// A name, or a pattern with `*`, `?` and `[..]`.
///
/// `*` and `?` stand for no `/`, so that `shop/*` is what is in `shop`. A name that has such
/// characters itself is matched by being written as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    glob: Option<glob::Pattern>,
}

const OPTIONS: glob::MatchOptions = glob::MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

impl Pattern {
    /// Takes `text` for a pattern where it is one, and for the name itself in any case.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let is_pattern = text.contains(['*', '?', '[']);
        Self {
            text: text.to_owned(),
            glob: is_pattern.then(|| glob::Pattern::new(text).ok()).flatten(),
        }
    }

    /// Exactly this name.
    #[must_use]
    pub fn exact(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            glob: None,
        }
    }

    /// Whether it may stand for several.
    #[must_use]
    pub const fn is_glob(&self) -> bool {
        self.glob.is_some()
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it stands for `name`.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let is_meant = |glob: &glob::Pattern| glob.matches_with(name, OPTIONS);
        self.text == name || self.glob.as_ref().is_some_and(is_meant)
    }
}

impl From<&str> for Pattern {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
