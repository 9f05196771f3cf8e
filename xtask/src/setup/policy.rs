//! Keeping a package's daemon from being started by its installation.
//!
//! The tests start a Docker daemon of their own; the machine's must not come up because
//! somebody wanted to run tests. Debian asks `/usr/sbin/policy-rc.d` before it starts a
//! service, and 101 means no.

use std::process::Command;

use anyhow::Result;

use crate::cmd;

/// Puts the policy in place unless there is one, runs its arguments, takes it away again.
///
/// A shell does it because it is one process for the whole time: it cleans up even when
/// xtask is killed, and on a signal of its own.
const SCRIPT: &str = r#"
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy"
fi
status=0
env "$@" || status=$?
exit "$status"
"#;

/// `env` as root with services held down; takes variables and a command as arguments.
pub(super) fn without_starting_services() -> Result<Command> {
    let mut command = cmd::as_root("sh")?;
    command.args(["-c", SCRIPT, "sh"]);
    Ok(command)
}
