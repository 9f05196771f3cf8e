//! The screen of `nstrace top`: takes the terminal, and gives it back on every way out.
//!
//! [`model`] is what is shown and how keys change it, [`view`] draws it, [`keymap`] says which key
//! does what. Only this file touches the terminal.

pub mod keymap;
pub mod model;
#[cfg(test)]
mod sample;
pub mod theme;
pub mod view;

use std::{io, pin::Pin};

use crossterm::event::{Event, EventStream, KeyEventKind};
use futures_core::Stream as _;
use ratatui::DefaultTerminal;

use crate::state::Snapshot;
pub use model::{CaptureOrder, CaptureStatus, Effect, Options};
use model::{Message, Model};
pub use theme::Color;
use theme::Theme;
use view::ViewState;

/// The taken terminal.
#[derive(Debug)]
pub struct Screen {
    terminal: DefaultTerminal,
    events: EventStream,
    model: Model,
    theme: Theme,
    view: ViewState,
}

impl Screen {
    /// Takes the terminal: raw mode, alternate screen. A panic gives it back before it is told.
    ///
    /// # Errors
    ///
    /// If standard input or output is no terminal.
    pub fn take(options: Options) -> io::Result<Self> {
        let theme = Theme::new(options.color.is_wanted());
        // What is coloured is the theme's to say. With NO_COLOR crossterm would write sequences
        // without colours, which take bold and reverse along.
        crossterm::style::force_color_output(true);
        let terminal = ratatui::try_init()?;
        Ok(Self {
            terminal,
            events: EventStream::new(),
            model: Model::new(options),
            theme,
            view: ViewState::default(),
        })
    }

    /// Says in the help how large everything is made.
    pub fn set_sizes(&mut self, sizes: String) {
        self.model.sizes = sizes;
    }

    /// Shows a new snapshot. A page that it ends may leave other flows to be asked for.
    ///
    /// # Errors
    ///
    /// If the terminal is gone.
    pub fn show(&mut self, snapshot: Snapshot) -> io::Result<Option<Effect>> {
        let effect = self.model.update(Message::Snapshot(snapshot));
        self.draw()?;
        Ok(effect)
    }

    /// Shows how a capture goes.
    ///
    /// # Errors
    ///
    /// If the terminal is gone.
    pub fn show_capture(&mut self, status: CaptureStatus) -> io::Result<()> {
        self.model.update(Message::Capture(status));
        self.draw()
    }

    /// Takes in what the user did.
    ///
    /// # Errors
    ///
    /// If the terminal is gone.
    pub fn input(&mut self, event: &Event) -> io::Result<Option<Effect>> {
        let effect = match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => {
                self.model.update(Message::Key(*key))
            }
            _ => None,
        };
        self.draw()?;
        Ok(effect)
    }

    /// The next thing that the user does; `None` when the terminal is closed.
    pub async fn next_event(&mut self) -> Option<io::Result<Event>> {
        std::future::poll_fn(|context| Pin::new(&mut self.events).poll_next(context)).await
    }

    fn draw(&mut self) -> io::Result<()> {
        let Self {
            terminal,
            model,
            theme,
            view,
            ..
        } = self;
        terminal.draw(|frame| view::draw(frame, model, theme, view))?;
        model.set_page(view.page(), view.scroll());
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}
