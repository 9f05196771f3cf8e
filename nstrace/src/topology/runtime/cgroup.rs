//! cgroups: what the path of one says of the processes in it, where no runtime's file does.
//!
//! LXC and systemd-nspawn leave no file of their own that says more; of the others it is the id that
//! is left when their files may not be read.

use crate::topology::model::{Container, Runtime};

/// The container that a process is in, by `/proc/PID/cgroup`: proc(5), cgroups(7).
#[must_use]
pub fn container(cgroups: &str) -> Option<Container> {
    let paths = || {
        cgroups
            .lines()
            .filter_map(|line| line.splitn(3, ':').nth(2))
    };
    // The innermost is the container's own: it may run in another.
    paths()
        .find_map(|path| path.rsplit('/').find_map(of_component))
        .or_else(|| paths().find_map(of_lxc_1))
}

/// What one component of a path says.
fn of_component(component: &str) -> Option<Container> {
    let scope = component.strip_suffix(".scope");
    for (prefix, runtime) in [
        ("docker-", Runtime::Docker),
        ("libpod-", Runtime::Podman),
        ("cri-containerd-", Runtime::Containerd),
        ("crio-", Runtime::Crio),
    ] {
        let id = scope.unwrap_or(component).strip_prefix(prefix);
        if let Some(id) = id.filter(|id| is_id(id)) {
            return Some(by_id(runtime, id));
        }
    }
    if let Some(name) = component.strip_prefix("lxc.payload.") {
        return Some(machine(Runtime::Lxc, name));
    }
    // systemd.special(7), systemd-nspawn(1): a scope of machined's, or a unit of one's own.
    let unit = component
        .strip_prefix("systemd-nspawn@")
        .and_then(|rest| rest.strip_suffix(".service"));
    let of_machined = scope
        .and_then(|scope| scope.strip_prefix("machine-"))
        .map(unescape)
        // libvirt's are machines too.
        .filter(|name| !name.starts_with("qemu-") && !name.starts_with("lxc-"));
    if let Some(name) = unit.map(unescape).or(of_machined) {
        return Some(machine(Runtime::Nspawn, &name));
    }
    None
}

/// LXC before 4.0, and Docker by cgroupfs: `/lxc/NAME`, `/docker/ID`.
fn of_lxc_1(path: &str) -> Option<Container> {
    let components: Vec<&str> = path.split('/').collect();
    components.windows(2).rev().find_map(|pair| match *pair {
        ["docker", id] if is_id(id) => Some(by_id(Runtime::Docker, id)),
        ["lxc", name] if !name.is_empty() => Some(machine(Runtime::Lxc, name)),
        _ => None,
    })
}

/// Ids are 64 hexadecimal digits.
fn is_id(id: &str) -> bool {
    id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn by_id(runtime: Runtime, id: &str) -> Container {
    Container::new(runtime, id.to_owned(), format!("{runtime}:{}", &id[..12]))
}

fn machine(runtime: Runtime, name: &str) -> Container {
    Container::new(runtime, name.to_owned(), name.to_owned())
}

/// Undoes the escapes of unit names: `\x2d` is `-`.
fn unescape(name: &str) -> String {
    let mut text = String::new();
    let mut rest = name;
    while let Some(at) = rest.find("\\x") {
        text.push_str(&rest[..at]);
        let code = rest.get(at + 2..at + 4);
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) if byte.is_ascii() => {
                text.push(char::from(byte));
                rest = &rest[at + 4..];
            }
            _ => {
                text.push_str("\\x");
                rest = &rest[at + 2..];
            }
        }
    }
    text.push_str(rest);
    text
}

/// Whether a process of that command name may be one that [`by_parent`] knows.
#[must_use]
pub fn is_parent(comm: &str) -> bool {
    comm == "systemd-nspawn" || comm.starts_with("lxc") || comm.starts_with("[lxc")
}

/// The container that a process holds without a cgroup of its own, by its parent: the command name
/// (`/proc/PID/comm`) and arguments of who has started it.
#[must_use]
pub fn by_parent(comm: &str, arguments: &[String]) -> Option<Container> {
    let after = |flags: &[&str]| {
        arguments.iter().enumerate().find_map(|(at, argument)| {
            flags.iter().find_map(|flag| {
                let rest = argument.strip_prefix(flag)?;
                match rest.strip_prefix('=') {
                    Some(value) => Some(value),
                    None if rest.is_empty() => arguments.get(at + 1).map(String::as_str),
                    None => None,
                }
            })
        })
    };
    let last = |path: &str| {
        path.rsplit('/')
            .find(|part| !part.is_empty())
            .map(str::to_owned)
    };
    match comm {
        "systemd-nspawn" => {
            let name = after(&["--machine", "-M"]).map(str::to_owned);
            let name = name.or_else(|| last(after(&["--directory", "-D"])?));
            Some(machine(Runtime::Nspawn, &name?))
        }
        // Its monitor calls itself `[lxc monitor] /var/lib/lxc NAME`.
        _ if arguments.first()?.starts_with("[lxc monitor]") => {
            let title = arguments.join(" ");
            Some(machine(Runtime::Lxc, title.split_whitespace().last()?))
        }
        "lxc-start" | "lxc-execute" => Some(machine(Runtime::Lxc, after(&["--name", "-n"])?)),
        _ => None,
    }
}
