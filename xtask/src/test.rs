//! The test suites: `unit` needs nothing, `netns` needs root and makes real netns.

use std::process::Command;

use anyhow::Result;
use clap::ValueEnum;

use crate::cargo::{self, Built};
use crate::{cmd, setup};

/// How cargo is told to build the netns suite: of the workspace, so that what others have made is
/// built once for both suites.
const NETNS: [&str; 6] = [
    "test",
    "--workspace",
    "--features=nstrace/netns-tests",
    ASKING,
    "--test",
    "netns",
];

/// What can be left out of nstrace is tested too; the build without it is
/// `cargo xtask check`'s.
pub(crate) const ASKING: &str =
    "--features=nstrace/docker-socket,nstrace/cri-socket,nstrace/kubernetes";

/// A test suite by its name on the command line.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Suite {
    /// Unit and command line tests: no privileges, no installs
    Unit,
    /// Tests on real netns, as root through sudo
    Netns,
}

/// Runs one suite, or sets up and runs both. Prints nothing after the last one's summary.
pub(crate) fn run(suite: Option<Suite>, args: &[String]) -> Result<()> {
    match suite {
        Some(Suite::Unit) => unit(args),
        Some(Suite::Netns) => netns(args),
        None => {
            setup::install(setup::Purpose::Tests)?;
            unit(args)?;
            netns(args)
        }
    }
}

fn unit(args: &[String]) -> Result<()> {
    cmd::run(
        cargo::cargo(&["test", "--workspace", ASKING])
            .arg("--")
            .args(args),
    )
}

fn netns(args: &[String]) -> Result<()> {
    if cmd::is_root() {
        return cmd::run(cargo::cargo(&NETNS).arg("--").args(args));
    }
    cmd::run(as_root_from_cargo()?.args(args))
}

/// The built suite as root would be started by cargo: cargo itself as root would leave
/// files behind in target/ that the user cannot replace.
fn as_root_from_cargo() -> Result<Command> {
    let binary = build_netns()?.executable("netns")?;
    let package = cmd::root().join("nstrace");
    let mut command = cmd::as_root(binary)?;
    command
        .current_dir(&package)
        // We inherited the one of xtask.
        .env("CARGO_MANIFEST_DIR", package);
    Ok(command)
}

/// Builds the netns suite, and nstrace with it.
pub(crate) fn build_netns() -> Result<Built> {
    cargo::build(&[NETNS.as_slice(), &["--no-run"]].concat())
}
