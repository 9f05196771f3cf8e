//! Colours: few, of the terminal's own sixteen, so that they fit light and dark ones. None of them
//! is the only carrier of a meaning.

use std::{env, io::IsTerminal as _};

use ratatui::style::{Color as Paint, Modifier, Style};

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Whatever is there.
    Always,
    /// Never.
    Never,
}

impl Color {
    /// Whether colours shall be used, here and now. See <https://no-color.org>.
    #[must_use]
    pub fn is_wanted(self) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => {
                let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
                !refused && std::io::stdout().is_terminal()
            }
        }
    }
}

/// How each kind of thing looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Theme {
    is_colored: bool,
}

impl Theme {
    /// With colours, or with bold, dim and reverse alone.
    #[must_use]
    pub const fn new(is_colored: bool) -> Self {
        Self { is_colored }
    }

    const fn paint(self, paint: Paint) -> Style {
        if self.is_colored {
            Style::new().fg(paint)
        } else {
            Style::new()
        }
    }

    /// The program's name, headings.
    #[must_use]
    pub const fn title(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// Column names.
    #[must_use]
    pub const fn columns(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// The chosen row.
    #[must_use]
    pub const fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// What is gone, or not there yet.
    #[must_use]
    pub const fn faded(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// What needs attention; it is said in words too.
    #[must_use]
    pub const fn alarm(self) -> Style {
        self.paint(Paint::Red).add_modifier(Modifier::BOLD)
    }

    /// Into the namespace.
    #[must_use]
    pub const fn rx(self) -> Style {
        self.paint(Paint::Cyan)
    }

    /// Out of the namespace.
    #[must_use]
    pub const fn tx(self) -> Style {
        self.paint(Paint::Magenta)
    }

    /// Bars.
    #[must_use]
    pub const fn bar(self) -> Style {
        self.paint(Paint::Green)
    }

    /// Keys in the footer.
    #[must_use]
    pub const fn key(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }
}
