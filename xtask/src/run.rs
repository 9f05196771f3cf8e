//! Building nstrace for release and running it as root.

use std::convert::Infallible;
use std::os::unix::process::CommandExt as _;

use anyhow::{Context as _, Result};

use crate::{cargo, cmd, setup};

/// Becomes nstrace with `args`, in the caller's directory.
///
/// It is exec and not a child, so that ctrl-c and the exit code are nstrace's own and the
/// shell waits until nstrace has detached everything.
pub(crate) fn run(args: &[String]) -> Result<Infallible> {
    setup::install(setup::Purpose::Build)?;
    let mut nstrace = cmd::as_root(cargo::build_release()?)?;
    let failure = nstrace.args(args).exec();
    Err(failure).with_context(|| format!("start `{}`", cmd::text(&nstrace)))
}
