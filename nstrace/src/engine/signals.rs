//! Signals that end what runs.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::EngineError;

/// The signals that end a watch. From the moment they are handled they do nothing else, so this
/// comes before the terminal is taken.
#[derive(Debug)]
pub struct Signals([Signal; 3]);

impl Signals {
    /// Handles them from now on. To be called on the runtime.
    ///
    /// # Errors
    ///
    /// If a handler cannot be installed.
    pub fn handle() -> Result<Self, EngineError> {
        let handle = |kind| {
            signal(kind).map_err(|error| EngineError::Start(format!("handle signals: {error}")))
        };
        Ok(Self([
            handle(SignalKind::interrupt())?,
            handle(SignalKind::terminate())?,
            handle(SignalKind::hangup())?,
        ]))
    }

    /// Waits for one of them. To be given up at any time.
    pub(super) async fn any(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
