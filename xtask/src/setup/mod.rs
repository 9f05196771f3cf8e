//! Installing what building, running and testing need.
//!
//! Each step first looks whether its thing is there, and says what it installs and why
//! before it does. Nothing is removed or changed that was there before.

mod bpf_linker;
mod packages;
mod policy;
pub(crate) mod private_apt;
mod rust_src;

use anyhow::Result;

/// What the machine is set up for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Building nstrace, running it, and the demo
    Build,
    /// All of that and the netns tests
    Tests,
    /// Building, and what the measurements compare with
    Bench,
}

/// Whether anything had to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was there
    AllThere,
    /// It is there now
    Installed,
}

impl Outcome {
    /// Of two steps together.
    pub(crate) fn and(self, other: Self) -> Self {
        if self == Self::AllThere { other } else { self }
    }
}

/// Installs whatever `purpose` needs and is missing. Silent when nothing is.
pub(crate) fn install(purpose: Purpose) -> Result<Outcome> {
    // Packages first: `cargo install bpf-linker` needs the C compiler.
    let outcomes = [
        packages::ensure(purpose)?,
        rust_src::ensure()?,
        bpf_linker::ensure()?,
    ];
    if outcomes.contains(&Outcome::Installed) {
        return Ok(Outcome::Installed);
    }
    Ok(Outcome::AllThere)
}

/// Announces an installation and its reason.
pub(crate) fn say(what: &str, why: &str) {
    eprintln!("setup: installing {what}: {why}");
}
