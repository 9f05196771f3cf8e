//! A capture of the chosen namespace: what is typed for it, and how it goes.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{Effect, Model, Page};
use crate::{sink::savefile::sanitise, state::IfaceKey};

/// What is asked for before a capture starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptureForm {
    /// Name of the namespace. Untrusted.
    pub name: String,
    /// Where packets go.
    pub file: String,
    /// What they have to match; everything if empty.
    pub filter: String,
    /// Which of the two is being typed.
    pub field: Field,
    /// What was wrong with it, safe to show.
    pub error: Vec<String>,
    host_veth: String,
}

/// A line of the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The file.
    File,
    /// The filter.
    Filter,
}

/// A capture that is to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptureOrder {
    /// Name of the namespace. Untrusted.
    pub name: String,
    /// A host veth of it, which says which it is.
    pub host_veth: String,
    /// Where packets go.
    pub file: String,
    /// What they have to match; everything if empty.
    pub filter: String,
}

/// What became of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaptureStatus {
    /// Packets of that namespace are captured.
    Running {
        /// Its name. Untrusted.
        name: String,
        /// Packets that were captured.
        captured: u64,
        /// Packets that were dropped.
        dropped: u64,
    },
    /// It could not start, for these reasons; safe to show.
    Refused(Vec<String>),
    /// It has ended, like this. Untrusted.
    Ended(String),
}

impl Model {
    /// `c`: starts to ask, or ends what runs.
    pub(super) fn capture(&mut self) -> Option<Effect> {
        if matches!(self.capture, Some(CaptureStatus::Running { .. })) {
            return Some(Effect::StopCapture);
        }
        let key = self.chosen_or_shown()?;
        let row = self.details_of(key)?;
        let name = row.labels.netns.name.clone();
        self.form = Some(CaptureForm {
            file: format!("{}.pcapng", sanitise(&name)),
            name,
            host_veth: row.labels.peer.name.clone(),
            filter: String::new(),
            field: Field::File,
            error: Vec::new(),
        });
        None
    }

    fn chosen_or_shown(&mut self) -> Option<IfaceKey> {
        match self.page {
            Page::Details(key) => Some(key),
            _ => self.chosen(),
        }
    }

    /// A key goes into the form.
    pub(super) fn type_form(&mut self, key: KeyEvent) -> Option<Effect> {
        let form = self.form.as_mut()?;
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        let text = match form.field {
            Field::File => &mut form.file,
            Field::Filter => &mut form.filter,
        };
        match key.code {
            KeyCode::Char('c') if is_control => return Some(Effect::Quit),
            KeyCode::Char('u') if is_control => text.clear(),
            KeyCode::Char(c) if !is_control => text.push(c),
            KeyCode::Backspace => drop(text.pop()),
            KeyCode::Esc => self.form = None,
            KeyCode::Tab | KeyCode::BackTab | KeyCode::Up | KeyCode::Down => {
                form.field = match form.field {
                    Field::File => Field::Filter,
                    Field::Filter => Field::File,
                };
            }
            KeyCode::Enter if form.field == Field::File => form.field = Field::Filter,
            KeyCode::Enter => {
                form.error.clear();
                return Some(Effect::StartCapture(CaptureOrder {
                    name: form.name.clone(),
                    host_veth: form.host_veth.clone(),
                    file: form.file.clone(),
                    filter: form.filter.clone(),
                }));
            }
            _ => {}
        }
        None
    }

    /// How a capture goes.
    pub(super) fn take_capture(&mut self, status: CaptureStatus) {
        match (status, &mut self.form) {
            (CaptureStatus::Refused(why), Some(form)) => form.error = why,
            (CaptureStatus::Refused(_), None) => {}
            (status @ CaptureStatus::Running { .. }, _) => {
                self.form = None;
                self.capture = Some(status);
            }
            (status, _) => self.capture = Some(status),
        }
    }

    /// What has ended is shown until a key is pressed.
    pub(super) fn forget_ended_capture(&mut self) {
        if matches!(self.capture, Some(CaptureStatus::Ended(_))) {
            self.capture = None;
        }
    }
}

#[cfg(test)]
mod tests;
