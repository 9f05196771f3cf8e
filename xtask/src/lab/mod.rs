//! The demo's lab: three netns on a bridge, with traffic between them.
//!
//! ```text
//!            host: bridge nstdemo0, 198.51.100.1/24
//!        nstdemo-red      nstdemo-blue     nstdemo-green      (veth)
//!             |                 |                |
//!            eth0              eth0             eth0
//!        netns red         netns blue       netns green
//!      198.51.100.11     198.51.100.12    198.51.100.13
//!    2001:db8:77::11   2001:db8:77::12  2001:db8:77::13
//! ```
//!
//! A process of its own holds the lab: it makes it, says `ready`, and removes it when its
//! stdin ends. The pipe closes however the demo ends, kill -9 included, so no way out
//! leaves a lab behind. Addresses are those of documentation (RFC 5737, RFC 3849).

mod firewall;

use std::fs;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueEnum;

use crate::cmd;

/// What the holder prints once the lab is up.
pub(crate) const READY: &str = "ready";

/// The subcommand that starts the holder.
pub(crate) const HOLDER: &str = "demo-lab";

const BRIDGE: &str = "nstdemo0";

/// Marks the bridge as ours, so that what a killed holder left can be told from others'.
const ALIAS: &str = "nstrace demo lab";

/// A netns of the lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Member {
    Red,
    Blue,
    Green,
}

impl Member {
    pub(crate) const ALL: [Self; 3] = [Self::Red, Self::Blue, Self::Green];

    /// The netns's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Red => "red",
            Self::Blue => "blue",
            Self::Green => "green",
        }
    }

    /// The address of its eth0.
    pub(crate) fn ipv4(self) -> Ipv4Addr {
        Ipv4Addr::new(198, 51, 100, 11 + self as u8)
    }

    /// The address of its eth0, which ends in the same digits as the other.
    pub(crate) fn ipv6(self) -> Ipv6Addr {
        Ipv6Addr::new(0x2001, 0xdb8, 0x77, 0, 0, 0, 0, 0x11 + self as u16)
    }

    /// The name of the veth's end on the host.
    fn veth(self) -> String {
        format!("nstdemo-{}", self.name())
    }
}

/// Starts [`hold`] in a process group of its own, waits for it and passes its exit code on.
///
/// Two processes, because this one stays in the terminal's foreground, where sudo may ask
/// for a password, while ctrl-c must not reach the one that cleans up.
pub(crate) fn start_holder() -> Result<ExitCode> {
    let exe = std::env::current_exe().context("find xtask's own executable")?;
    let mut holder = Command::new(exe);
    holder.args([HOLDER, "--hold"]).process_group(0);
    Ok(cmd::exit_code(cmd::status(&mut holder)?))
}

/// Makes the lab, says so, and removes it when stdin ends.
pub(crate) fn hold() -> Result<()> {
    let _only_one = claim()?;
    remove_stale()?;
    refuse_foreign()?;
    let mut lab = Lab::default();
    lab.make()?;
    writeln!(io::stdout(), "{READY}").context("say that the lab is ready")?;
    io::copy(&mut io::stdin(), &mut io::sink()).context("wait for the demo's end")?;
    lab.remove()
}

/// Claims the lab for this process. An abstract socket's name belongs to one netns, like
/// the bridge's, and is free again at the process's end, however that comes.
fn claim() -> Result<UnixListener> {
    let name = SocketAddr::from_abstract_name(BRIDGE).context("name the demo's socket")?;
    UnixListener::bind_addr(&name).context("another demo is running; end that one first")
}

/// Removes what a killed holder left.
fn remove_stale() -> Result<()> {
    let alias = fs::read_to_string(format!("/sys/class/net/{BRIDGE}/ifalias"));
    if !alias.is_ok_and(|alias| alias.trim_end() == ALIAS) {
        return Ok(());
    }
    tell("removing the lab that an earlier demo left");
    let mut stale = Lab::default();
    stale.undo(&["ip", "link", "del", BRIDGE]);
    firewall::find_openings(&mut stale);
    for member in Member::ALL {
        let veth = member.veth();
        // Only a netns that our veth leads to: the name alone may be somebody else's.
        if leads_to(&veth, member.name()) {
            stale.undo(&["ip", "netns", "del", member.name()]);
        }
        if is_iface(&veth) {
            stale.undo(&["ip", "link", "del", &veth]);
        }
    }
    stale.remove()
}

fn leads_to(veth: &str, netns: &str) -> bool {
    let Ok(shown) = cmd::output(Command::new("ip").args(["-o", "link", "show", "dev", veth]))
    else {
        return false;
    };
    let words: Vec<_> = shown.split_whitespace().collect();
    words.windows(2).any(|pair| pair == ["link-netns", netns])
}

fn refuse_foreign() -> Result<()> {
    let veths = Member::ALL.map(Member::veth);
    for iface in std::iter::once(BRIDGE).chain(veths.iter().map(String::as_str)) {
        ensure!(
            !is_iface(iface),
            "there is an iface {iface} that this demo did not make; if nobody uses it, remove \
             it: `ip link del {iface}`"
        );
    }
    for name in Member::ALL.map(Member::name) {
        ensure!(
            !Path::new("/run/netns").join(name).exists(),
            "there is a netns {name} that this demo did not make; if nobody uses it, remove it: \
             `ip netns del {name}`"
        );
    }
    Ok(())
}

fn is_iface(name: &str) -> bool {
    Path::new("/sys/class/net").join(name).exists()
}

/// A word to the user. The terminal may be gone already, which must not stop a removal.
fn tell(text: &str) {
    drop(writeln!(io::stderr(), "xtask: {text}"));
}

/// What has been made, and so has to be removed. Dropped, it removes the rest.
#[derive(Default)]
struct Lab {
    /// Commands that take back what was made, in the order it was made
    undo: Vec<Vec<String>>,
    traffic: Vec<Child>,
}

impl Lab {
    fn make(&mut self) -> Result<()> {
        ip(&["link", "add", BRIDGE, "type", "bridge"])?;
        self.undo(&["ip", "link", "del", BRIDGE]);
        ip(&["link", "set", "dev", BRIDGE, "alias", ALIAS])?;
        ip(&["addr", "add", "198.51.100.1/24", "dev", BRIDGE])?;
        ip(&["link", "set", BRIDGE, "up"])?;
        firewall::open(self)?;
        for member in Member::ALL {
            self.make_member(member)?;
        }
        for member in Member::ALL {
            self.start_traffic(member)?;
        }
        Ok(())
    }

    fn make_member(&mut self, member: Member) -> Result<()> {
        let (name, veth) = (member.name(), &member.veth());
        ip(&["netns", "add", name])?;
        self.undo(&["ip", "netns", "del", name]);
        let pair = ["type", "veth", "peer", "name", "eth0", "netns", name];
        ip(&[&["link", "add", veth, "master", BRIDGE], pair.as_slice()].concat())?;
        self.undo(&["ip", "link", "del", veth]);
        ip(&["link", "set", veth, "up"])?;
        ip(&["-n", name, "link", "set", "lo", "up"])?;
        ip(&["-n", name, "link", "set", "eth0", "up"])?;
        let ipv4 = format!("{}/24", member.ipv4());
        ip(&["-n", name, "addr", "add", &ipv4, "dev", "eth0"])?;
        if has_ipv6() {
            let ipv6 = format!("{}/64", member.ipv6());
            // Without duplicate address detection the address works at once.
            ip(&["-n", name, "addr", "add", &ipv6, "dev", "eth0", "nodad"])?;
        }
        Ok(())
    }

    /// Starts the member's traffic, which ends with the pipe to its stdin.
    fn start_traffic(&mut self, member: Member) -> Result<()> {
        let exe = std::env::current_exe().context("find xtask's own executable")?;
        let mut command = Command::new("ip");
        command.args(["netns", "exec", member.name()]).arg(exe);
        command.args(["traffic", member.name()]);
        // The terminal belongs to nstrace.
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command
            .spawn()
            .with_context(|| format!("start `{}`", cmd::text(&command)))?;
        self.traffic.push(child);
        Ok(())
    }

    /// Remembers the command that takes back what was just made.
    fn undo(&mut self, command: &[&str]) {
        self.undo
            .push(command.iter().map(|&word| word.to_owned()).collect());
    }

    /// Removes everything, newest first. A step that fails does not keep the others.
    fn remove(&mut self) -> Result<()> {
        let mut failures = Vec::new();
        for mut child in self.traffic.drain(..) {
            if let Err(err) = child.kill().and_then(|()| child.wait()) {
                failures.push(format!("end the traffic: {err}"));
            }
        }
        while let Some(step) = self.undo.pop() {
            if let Err(err) = cmd::output(Command::new(&step[0]).args(&step[1..])) {
                failures.push(format!("{err:#}"));
            }
        }
        if failures.is_empty() {
            return Ok(());
        }
        bail!("the demo's lab is not all gone: {}", failures.join("; "))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Err(err) = self.remove() {
            tell(&format!("{err:#}"));
        }
    }
}

fn ip(args: &[&str]) -> Result<()> {
    cmd::output(Command::new("ip").args(args)).map(drop)
}

/// Whether new netns have IPv6: the kernel may lack it, the host may turn it off.
fn has_ipv6() -> bool {
    let off = fs::read_to_string("/proc/sys/net/ipv6/conf/default/disable_ipv6");
    off.is_ok_and(|off| off.trim() == "0")
}
