//! Why a watch or a capture cannot go on.

use std::io;

use crate::{
    kernel::{KernelError, attach::AttachError},
    sink::SinkError,
    topology::discover::DiscoverError,
};

/// The watch could not start, or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The host could not be looked at.
    #[error(transparent)]
    Discover(#[from] DiscoverError),
    /// The programs could not be loaded.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// Nothing could be attached, anywhere.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// A thread, socket or signal handler could not be made.
    #[error("start the watch: {0}")]
    Start(String),
    /// A thread of ours is gone, which it never should be.
    #[error("the {0} thread has ended")]
    Broken(&'static str),
    /// A refresh could not be printed.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The terminal is gone or refuses.
    #[error("use the terminal")]
    Terminal(#[source] io::Error),
}
