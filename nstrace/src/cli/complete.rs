//! Shell completion: of what can be typed, and of TARGETs that are there now.
//!
//! The shell asks nstrace itself, by the variable [`VARIABLE`]. Whoever may not read a runtime's files is
//! not told its names: completion runs as the user, also behind `sudo`.

use std::{collections::BTreeSet, ffi::OsStr, io};

use clap::{CommandFactory as _, Parser as _, ValueEnum};
use clap_complete::{
    CompletionCandidate,
    env::{Bash, CompleteEnv, Elvish, EnvCompleter, Fish, Powershell, Zsh},
};

use super::{Failure, args::Args, config::Config, ls};
use crate::topology::{
    model::{Kind, Netns, Topology, Watch},
    target::PREFIXES,
};

/// By this the shell says that it wants to complete, and in whose way.
const VARIABLE: &str = "NSTRACE_COMPLETE";

/// A shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// `source <(nstrace completion bash)`
    Bash,
    /// `source <(nstrace completion zsh)`
    Zsh,
    /// `nstrace completion fish | source`
    Fish,
    /// `eval (nstrace completion elvish | slurp)`
    Elvish,
    /// `nstrace completion powershell | Out-String | Invoke-Expression`
    Powershell,
}

/// Answers a shell that asks, and ends; does nothing if none does.
pub(super) fn answer() {
    CompleteEnv::with_factory(Args::command)
        .var(VARIABLE)
        .complete();
}

/// Prints what a shell is to run to have it.
pub(super) fn print(shell: Shell) -> Result<(), Failure> {
    let completer: &dyn EnvCompleter = match shell {
        Shell::Bash => &Bash,
        Shell::Zsh => &Zsh,
        Shell::Fish => &Fish,
        Shell::Elvish => &Elvish,
        Shell::Powershell => &Powershell,
    };
    let written =
        completer.write_registration(VARIABLE, "nstrace", "nstrace", "nstrace", &mut io::stdout());
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::output(format!("print: {error}")))
        }
        _ => Ok(()),
    }
}

/// TARGETs that begin with what is typed.
pub(super) fn targets(typed: &OsStr) -> Vec<CompletionCandidate> {
    let Some(typed) = typed.to_str() else {
        return Vec::new();
    };
    look().map_or_else(Vec::new, |topology| {
        let words = words(&topology, typed).into_iter();
        words.map(CompletionCandidate::new).collect()
    })
}

/// Kubernetes namespaces that begin with what is typed.
pub(super) fn namespaces(typed: &OsStr) -> Vec<CompletionCandidate> {
    let Some(typed) = typed.to_str() else {
        return Vec::new();
    };
    let names: BTreeSet<String> = look()
        .iter()
        .flat_map(|topology| &topology.netnses)
        .flat_map(|netns| &netns.containers)
        .filter_map(|container| container.pod.as_ref()?.namespace.clone())
        .filter(|name| name.starts_with(typed) && is_plain(name))
        .collect();
    names.into_iter().map(CompletionCandidate::new).collect()
}

/// What is there; nothing where that cannot be found out: a shell shows no errors.
fn look() -> Option<Topology> {
    // Where names come from is what the environment and the settings say: options are not parsed yet.
    let args = Args::try_parse_from(["nstrace", "ls"]).ok()?;
    ls::look(&Config::load(&args.global).ok()?).ok()
}

/// Words that mean something, of the kind that is being typed: names first, then by a prefix.
fn words(topology: &Topology, typed: &str) -> BTreeSet<String> {
    let of_netns = |netns: &Netns| -> Vec<String> {
        let containers = || netns.containers.iter().filter(|one| !one.is_sandbox);
        let prefix = PREFIXES.iter().find(|prefix| typed.starts_with(**prefix));
        let found: Vec<String> = match prefix.copied() {
            None => vec![netns.name.clone()],
            Some("pod/") => {
                let pods = netns.containers.iter().filter_map(|one| one.pod.as_ref());
                pods.flat_map(|pod| [pod.name.clone(), pod.to_string()])
                    .collect()
            }
            Some("ctr/") => containers().map(|one| one.name.clone()).collect(),
            Some("netns:") => netns.file_names().collect(),
            Some("inode:") => {
                let inode = netns.identity.inode();
                inode.map(|inode| inode.0.to_string()).into_iter().collect()
            }
            Some("pid:") => netns
                .first_pid()
                .map(|pid| pid.to_string())
                .into_iter()
                .collect(),
            Some("if:") => {
                let ifaces = netns.interfaces.iter();
                ifaces
                    .filter(|iface| iface.watch == Watch::HostVeth)
                    .filter_map(|iface| Some(iface.peer.as_ref()?.name.clone()))
                    .collect()
            }
            Some("ip:") => netns
                .interfaces
                .iter()
                .filter(|iface| iface.link.kind != "loopback")
                .flat_map(|iface| &iface.link.addresses)
                .filter_map(|address| Some(address.split('/').next()?.to_owned()))
                .collect(),
            Some(runtime) => containers()
                .filter(|one| runtime.strip_suffix(':') == Some(one.runtime.as_str()))
                .map(|one| one.name.clone())
                .collect(),
        };
        let prefix = prefix.copied().unwrap_or_default();
        found
            .into_iter()
            .map(|word| format!("{prefix}{word}"))
            .collect()
    };
    let netnses = topology.netnses.iter();
    netnses
        .filter(|netns| netns.kind != Kind::Host || typed.starts_with('h'))
        .flat_map(|netns| of_netns(netns))
        .filter(|word| word.starts_with(typed))
        .filter(|word| is_plain(word))
        .collect()
}

/// Whether a shell takes a word as it is. It puts what it is told into the line without quotes, and
/// others chose it: what would have to be quoted is left to whoever types it.
fn is_plain(word: &str) -> bool {
    word.chars()
        .all(|c| c.is_alphanumeric() || "._-/:".contains(c))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::topology::model::{
        Container, Identity, Iface, Ifindex, Link, NetnsInode, Peer, Pod, Runtime,
    };

    fn topology() -> Topology {
        let sample = |name: &str, kind, inode| {
            Netns::sample(name, kind, Identity::Inode(NetnsInode(inode), None))
        };
        let mut web = sample("shop/web-1", Kind::Pod, 7);
        let mut app = Container::new(Runtime::Containerd, "id".to_owned(), "app".to_owned());
        app.pod = Some(Pod {
            namespace: Some("shop".to_owned()),
            name: "web-1".to_owned(),
            uid: None,
            owner: None,
        });
        web.containers = vec![app];
        web.interfaces = vec![Iface {
            link: Link {
                addresses: vec!["192.0.2.7/24".to_owned()],
                ..Link::sample(2, "eth0", "veth")
            },
            peer: Some(Peer {
                name: "veth7".to_owned(),
                ifindex: Ifindex(7),
                master: None,
            }),
            watch: Watch::HostVeth,
        }];
        let odd = sample("odd name\u{1b}", Kind::Named, 8);
        let netnses = [
            sample("host", Kind::Host, 1),
            odd,
            sample("red", Kind::Named, 9),
            web,
        ];
        Topology {
            netnses: netnses.into_iter().map(Arc::new).collect(),
            warnings: Vec::new(),
        }
    }

    #[track_caller]
    fn check(typed: &str, expected: &[&str]) {
        let found: Vec<String> = words(&topology(), typed).into_iter().collect();
        assert_eq!(found, expected, "{typed}");
    }

    #[test]
    fn what_a_shell_would_take_for_more_than_a_word_is_not_completed() {
        assert!(is_plain("kube-system/web-1") && is_plain("ip:2001:db8::1"));
        for word in [
            "$(sh)", "a b", "a;b", "a`b`", "a\nb", "a\u{1b}b", "'a'", "a*",
        ] {
            assert!(!is_plain(word), "{word}");
        }
    }

    #[test]
    fn what_is_there_completes_what_is_typed() {
        check("", &["red", "shop/web-1"]);
        check("sh", &["shop/web-1"]);
        check("ho", &["host"]);
        check("pod/", &["pod/shop/web-1", "pod/web-1"]);
        check("pod/w", &["pod/web-1"]);
        check("ctr/", &["ctr/app"]);
        check("containerd:", &["containerd:app"]);
        check("docker:", &[]);
        check("if:", &["if:veth7"]);
        check("ip:1", &["ip:192.0.2.7"]);
        check("inode:9", &["inode:9"]);
        check("nope", &[]);
    }
}
