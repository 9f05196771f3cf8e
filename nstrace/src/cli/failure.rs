//! How a command fails: one line that says what, one that says what to do, one exit code.

use std::{io::Write, process::ExitCode};

use crate::{
    engine::EngineError,
    error_chain,
    sink::SinkError,
    sys::caps::{self, Capability},
    topology::{discover::DiscoverError, target::ResolveError},
    untrusted::escape,
};

/// Why a command ended early. The exit codes are part of the interface and never change.
#[derive(Debug)]
pub enum Failure {
    /// 1: it could not be done, or nothing matches.
    Failed {
        /// What, on what, why.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// 2: the command line cannot be meant.
    Usage {
        /// What is wrong.
        message: String,
        /// What would be right.
        hint: Option<String>,
    },
    /// 3: a privilege or a feature of the kernel is missing.
    Missing {
        /// Which, for what.
        message: String,
        /// How to get it.
        hint: String,
    },
    /// 2 too: the filter is wrong, there.
    Expression {
        /// What is wrong.
        message: String,
        /// The expression, and marks under the place.
        caret: Option<[String; 2]>,
    },
    /// 4: what it was about is gone.
    Gone(String),
    /// 5: the output could not be written.
    Output {
        /// Where, why.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// 6: packets were dropped, which was to be told.
    Dropped(String),
    /// A command that was run has failed, or could not be run: its own code, or the shells'.
    Command {
        /// Which, where, why.
        message: String,
        /// The code.
        code: u8,
    },
}

impl Failure {
    pub(super) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Failed { .. } => 1,
            Self::Usage { .. } | Self::Expression { .. } => 2,
            Self::Missing { .. } => 3,
            Self::Gone(_) => 4,
            Self::Output { .. } => 5,
            Self::Dropped(_) => 6,
            Self::Command { code, .. } => *code,
        })
    }

    pub(super) fn print(&self, out: &mut impl Write) {
        let (message, hint) = match self {
            Self::Failed { message, hint }
            | Self::Usage { message, hint }
            | Self::Output { message, hint } => (message, hint.as_deref()),
            Self::Missing { message, hint } => (message, Some(hint.as_str())),
            Self::Expression { message, .. }
            | Self::Command { message, .. }
            | Self::Gone(message)
            | Self::Dropped(message) => (message, None),
        };
        // Messages carry names that others chose.
        let mut text = format!("nstrace: {}\n", escape(message));
        if let Self::Expression {
            caret: Some([expression, marks]),
            ..
        } = self
        {
            // Escaped already.
            for line in [expression, marks] {
                text.push_str("  ");
                text.push_str(line);
                text.push('\n');
            }
        }
        if let Some(hint) = hint {
            text.push_str("hint: ");
            text.push_str(&escape(hint));
            text.push('\n');
        }
        // Nothing is left to tell it to if stderr is gone.
        drop(out.write_all(text.as_bytes()));
    }

    pub(super) const fn output(message: String) -> Self {
        Self::Output {
            message,
            hint: None,
        }
    }

    /// Where a hint is known, it is for what is missing.
    fn of_kernel(message: String, hint: Option<&str>) -> Self {
        match hint.map(str::to_owned) {
            Some(hint) => Self::Missing { message, hint },
            None => Self::Failed {
                message,
                hint: None,
            },
        }
    }

    /// Refuses to go on without what loading and attaching needs.
    pub(super) fn unless_privileged() -> Result<(), Self> {
        let bpf = caps::has(Capability::Bpf) || caps::has(Capability::SysAdmin);
        let missing: Vec<&str> = [
            (bpf, "CAP_BPF"),
            (caps::has(Capability::NetAdmin), "CAP_NET_ADMIN"),
        ]
        .into_iter()
        .filter_map(|(has, name)| (!has).then_some(name))
        .collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(Self::Missing {
            message: format!("watching traffic needs {}", missing.join(" and ")),
            hint: "run it as root: sudo nstrace top".to_owned(),
        })
    }
}

impl From<DiscoverError> for Failure {
    fn from(error: DiscoverError) -> Self {
        Self::Failed {
            message: error_chain(&error),
            hint: None,
        }
    }
}

impl From<ResolveError> for Failure {
    fn from(error: ResolveError) -> Self {
        let message = error.to_string();
        match error {
            ResolveError::NoMatch(_) => Self::Failed {
                message,
                hint: Some("see them all: nstrace ls".to_owned()),
            },
            ResolveError::NothingAllowed(_) => Self::Failed {
                message,
                hint: Some(
                    "see what there is: nstrace ls -w; containerd has its pods' labels in no file, \
                     but says them where --cri-socket asks"
                        .to_owned(),
                ),
            },
            ResolveError::Ambiguous { .. } => Self::Usage {
                message,
                hint: Some("give one of these instead".to_owned()),
            },
            ResolveError::Several(_) => Self::Usage {
                message,
                hint: None,
            },
        }
    }
}

impl From<SinkError> for Failure {
    fn from(error: SinkError) -> Self {
        Self::output(error_chain(&error))
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        let message = error_chain(&error);
        match error {
            EngineError::Discover(_) | EngineError::Start(_) | EngineError::Broken(_) => {
                Self::Failed {
                    message,
                    hint: None,
                }
            }
            EngineError::Sink(_) | EngineError::Terminal(_) => Self::output(message),
            EngineError::Kernel(error) => Self::of_kernel(message, error.hint()),
            EngineError::Attach(error) => Self::of_kernel(message, error.hint()),
        }
    }
}
