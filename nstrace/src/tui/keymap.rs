//! Which key does what, as a table; the help and the footer are made from it.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// What a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// End.
    Quit,
    /// Show or hide the help.
    Help,
    /// One row up.
    Up,
    /// One row down.
    Down,
    /// One page up.
    PageUp,
    /// One page down.
    PageDown,
    /// First row.
    Home,
    /// Last row.
    End,
    /// Sort by the next column.
    NextSort,
    /// Sort by the column before.
    PreviousSort,
    /// Turn the order round.
    Reverse,
    /// Type a text to filter by.
    Filter,
    /// Stop and resume the display.
    Pause,
    /// Refresh more often.
    Faster,
    /// Refresh less often.
    Slower,
    /// Bits or bytes.
    Units,
    /// Rates or totals.
    Totals,
    /// Deeper: flows of the chosen namespace, then its details.
    Enter,
    /// Flows of all namespaces.
    AllFlows,
    /// Details of the chosen namespace.
    Details,
    /// Start or end a capture of the chosen namespace.
    Capture,
    /// Back from where one is.
    Back,
}

/// Keys of one action.
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    /// What they do.
    pub action: Action,
    /// The keys.
    pub keys: &'static [KeyCode],
    /// How they are written.
    pub label: &'static str,
    /// What they do, in words.
    pub help: &'static str,
    /// The word in the footer, for those that stand there.
    pub footer: Option<&'static str>,
}

const fn binding(
    action: Action,
    keys: &'static [KeyCode],
    label: &'static str,
    help: &'static str,
    footer: Option<&'static str>,
) -> Binding {
    Binding {
        action,
        keys,
        label,
        help,
        footer,
    }
}

/// Every key, in the order of the help.
pub const BINDINGS: [Binding; 22] = {
    use KeyCode::{
        Backspace, Char, Down, End, Enter, Esc, Home, Left, PageDown, PageUp, Right, Up,
    };

    [
        binding(
            Action::Quit,
            &[Char('q')],
            "q",
            "quit (ctrl-c too)",
            Some("quit"),
        ),
        binding(Action::Help, &[Char('?')], "?", "this help", Some("help")),
        binding(
            Action::Enter,
            &[Enter],
            "enter",
            "flows of the chosen namespace; from there, its details",
            Some("open"),
        ),
        binding(
            Action::Filter,
            &[Char('/')],
            "/",
            "show only rows that contain a text",
            Some("filter"),
        ),
        binding(
            Action::NextSort,
            &[Char('s'), Right, Char('l')],
            "s \u{2192} l",
            "sort by the next column",
            Some("sort"),
        ),
        binding(
            Action::PreviousSort,
            &[Left, Char('h')],
            "\u{2190} h",
            "sort by the column before",
            None,
        ),
        binding(
            Action::Reverse,
            &[Char('S')],
            "S",
            "reverse the order",
            None,
        ),
        binding(
            Action::AllFlows,
            &[Char('f')],
            "f",
            "flows of all namespaces",
            Some("all flows"),
        ),
        binding(
            Action::Back,
            &[Esc, Backspace],
            "esc",
            "back; with nothing to go back from, clear the filter",
            Some("back"),
        ),
        binding(
            Action::Pause,
            &[Char(' ')],
            "space",
            "pause the display; counting goes on",
            Some("pause"),
        ),
        binding(
            Action::Details,
            &[Char('d')],
            "d",
            "details of the chosen namespace",
            Some("details"),
        ),
        binding(
            Action::Capture,
            &[Char('c')],
            "c",
            "capture packets of the chosen namespace to a file; again: end it",
            Some("capture"),
        ),
        binding(
            Action::Totals,
            &[Char('t')],
            "t",
            "rates or totals since attach (of a flow: since its first packet)",
            Some("totals"),
        ),
        binding(
            Action::Units,
            &[Char('u')],
            "u",
            "bits or bytes",
            Some("units"),
        ),
        binding(
            Action::Faster,
            &[Char('+'), Char('=')],
            "+",
            "refresh more often",
            Some("faster"),
        ),
        binding(
            Action::Slower,
            &[Char('-')],
            "-",
            "refresh less often",
            Some("slower"),
        ),
        binding(Action::Up, &[Up, Char('k')], "\u{2191} k", "up", None),
        binding(Action::Down, &[Down, Char('j')], "\u{2193} j", "down", None),
        binding(Action::PageUp, &[PageUp], "pgup", "a page up", None),
        binding(Action::PageDown, &[PageDown], "pgdn", "a page down", None),
        binding(
            Action::Home,
            &[Home, Char('g')],
            "home g",
            "first row",
            None,
        ),
        binding(Action::End, &[End, Char('G')], "end G", "last row", None),
    ]
};

/// What `key` does, outside of text entry.
#[must_use]
pub fn action(key: KeyEvent) -> Option<Action> {
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return (key.code == KeyCode::Char('c')).then_some(Action::Quit);
    }
    BINDINGS
        .iter()
        .find(|binding| binding.keys.contains(&key.code))
        .map(|binding| binding.action)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_key_does_two_things_and_no_action_stands_twice() {
        let keys: Vec<KeyCode> = BINDINGS
            .iter()
            .flat_map(|binding| binding.keys.iter().copied())
            .collect();
        assert_eq!(keys.iter().collect::<HashSet<_>>().len(), keys.len());
        let actions: HashSet<Action> = BINDINGS.iter().map(|binding| binding.action).collect();
        assert_eq!(actions.len(), BINDINGS.len());
    }

    #[test]
    fn control_c_quits_and_c_alone_captures() {
        assert_eq!(
            action(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)),
            Some(Action::Quit)
        );
        assert_eq!(
            action(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::NONE)),
            Some(Action::Capture)
        );
    }
}
