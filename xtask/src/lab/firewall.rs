//! Letting the lab's packets pass the host's firewall.
//!
//! Where `br_netfilter` is loaded, packets between ports of a bridge go through the FORWARD
//! chain, and Docker, which loads it, sets that chain's policy to DROP. A rule for our own
//! bridge alone opens it until the lab ends. Firewalls outside that chain stay shut.

use std::fs;
use std::process::Command;

use anyhow::Result;

use super::{BRIDGE, Lab, tell};
use crate::cmd;

/// Each tool, and the switch that has bridged packets go through its chains.
const TOOLS: [(&str, &str); 2] = [
    ("iptables", "/proc/sys/net/bridge/bridge-nf-call-iptables"),
    ("ip6tables", "/proc/sys/net/bridge/bridge-nf-call-ip6tables"),
];

/// Inserts the rule where one is needed.
pub(super) fn open(lab: &mut Lab) -> Result<()> {
    for (tool, switch) in TOOLS {
        let is_on = fs::read_to_string(switch).is_ok_and(|on| on.trim() == "1");
        if is_on && may_drop(tool) {
            tell(&format!(
                "{tool}: letting packets of {BRIDGE} pass until the demo ends"
            ));
            cmd::output(&mut rule(tool, "-I"))?;
            undo(lab, tool);
        }
    }
    Ok(())
}

/// Has `lab` remove the rules that are there.
pub(super) fn find_openings(lab: &mut Lab) {
    for (tool, _) in TOOLS {
        if cmd::find(tool).is_some() && cmd::output(&mut rule(tool, "-C")).is_ok() {
            undo(lab, tool);
        }
    }
}

fn undo(lab: &mut Lab, tool: &str) {
    let rule = rule(tool, "-D");
    let args = rule
        .get_args()
        .map(|arg| arg.to_string_lossy().into_owned());
    lab.undo
        .push(std::iter::once(tool.to_owned()).chain(args).collect());
}

/// Whether the chain does anything at all.
fn may_drop(tool: &str) -> bool {
    let chain = cmd::output(Command::new(tool).args(["-w", "-S", "FORWARD"]));
    chain.is_ok_and(|rules| rules.trim() != "-P FORWARD ACCEPT")
}

fn rule(tool: &str, action: &str) -> Command {
    let mut command = Command::new(tool);
    command.args([
        "-w", action, "FORWARD", "-i", BRIDGE, "-o", BRIDGE, "-j", "ACCEPT",
    ]);
    command
}
