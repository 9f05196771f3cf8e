//! bpf-linker, which makes the eBPF object out of rustc's bitcode.

use std::env::consts::ARCH;
use std::process::Command;

use anyhow::{Result, bail};

use super::{Outcome, say};
use crate::{cargo, cmd};

/// The last release that reads rustc's own LLVM 22, so that no system LLVM is needed.
const VERSION: &str = "0.10.3";

/// Installs bpf-linker at exactly [`VERSION`].
pub(super) fn ensure() -> Result<Outcome> {
    let found = installed_version();
    if found.as_deref() == Some(VERSION) {
        return Ok(Outcome::AllThere);
    }
    if ARCH != "x86_64" {
        bail!("{}", instruction_for_other_hosts());
    }
    let why = match found {
        Some(other) => format!("found {other}, and other versions want another LLVM"),
        None => "it links the eBPF object".to_owned(),
    };
    say(&format!("bpf-linker {VERSION} (about two minutes)"), &why);
    cmd::run(&mut cargo::cargo(&[
        "install",
        "bpf-linker",
        "--version",
        VERSION,
        "--locked",
    ]))?;
    match installed_version() {
        Some(version) if version == VERSION => Ok(Outcome::Installed),
        other => bail!(
            "bpf-linker {VERSION} was installed, but PATH leads to {}: remove that one",
            other.as_deref().unwrap_or("none")
        ),
    }
}

/// What `bpf-linker --version` says, None where there is none that runs.
fn installed_version() -> Option<String> {
    let file = cmd::find("bpf-linker")?;
    let said = cmd::output(Command::new(file).arg("--version")).ok()?;
    Some(said.trim().strip_prefix("bpf-linker ")?.to_owned())
}

/// Only for `x86_64` does rustup ship LLVM as a shared library that 0.10.3 can open.
fn instruction_for_other_hosts() -> String {
    format!(
        "bpf-linker is missing, and {VERSION} does not build on {ARCH}. Install LLVM 22 \
         (Debian: llvm-22-dev), then run `LLVM_PREFIX=/usr/lib/llvm-22 cargo install bpf-linker \
         --version 0.13.0 --locked --no-default-features --features llvm-22`"
    )
}
