//! Exactly what CI checks, in its order. The tests are a word of their own.

use std::process::Command;

use anyhow::Result;

use crate::cargo::cargo;
use crate::{cmd, tidy};

/// Runs every check; the first that fails ends the run.
pub(crate) fn all() -> Result<()> {
    for mut command in commands() {
        cmd::run(&mut command)?;
    }
    eprintln!("$ tidy");
    tidy::check()
}

fn commands() -> [Command; 4] {
    let clippy = "clippy --workspace --all-targets --all-features -- -D warnings";
    // As most people build it.
    let default = "clippy --workspace --lib --bins -- -D warnings";
    let doc = "doc --workspace --no-deps --document-private-items";
    let mut doc = words(doc);
    doc.env("RUSTDOCFLAGS", "-D warnings");
    [
        words("fmt --all --check"),
        words(clippy),
        words(default),
        doc,
    ]
}

fn words(line: &str) -> Command {
    cargo(&line.split(' ').collect::<Vec<_>>())
}
