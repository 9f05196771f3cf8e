//! The distribution's packages: one table, and how each package manager is asked.

use std::fs;
use std::path::Path;

use anyhow::{Result, bail};

use super::{Outcome, Purpose, policy, say};
use crate::cmd;

/// What shows that a package is there.
enum Proof {
    /// A program that can be started
    Program(&'static str),
    /// A file
    File(&'static str),
    /// A program without shared libraries, which runs in an image that has none
    StaticProgram(&'static str),
}

/// One thing that is needed, and the package that brings it.
struct Need {
    proof: Proof,
    why: &'static str,
    /// What it is needed for; [`Purpose::Build`] is for everything
    purposes: &'static [Purpose],
    /// The package's name in the order of [`MANAGERS`]
    packages: [&'static str; 5],
}

/// The package managers we know, and how one installs with each.
const MANAGERS: [(&str, &str); 5] = [
    ("apt-get", "apt-get install -y --no-install-recommends"),
    ("dnf", "dnf install -y"),
    ("pacman", "pacman -S --needed"),
    ("zypper", "zypper install -y"),
    ("apk", "apk add"),
];

const NEEDS: [Need; 11] = [
    Need {
        proof: Proof::Program("cc"),
        why: "rustc links with it",
        purposes: &[Purpose::Build],
        packages: ["gcc"; 5],
    },
    Need {
        proof: Proof::File("/usr/include/stdio.h"),
        why: "rustc links against the C library",
        purposes: &[Purpose::Build],
        packages: [
            "libc6-dev",
            "glibc-devel",
            "glibc",
            "glibc-devel",
            "musl-dev",
        ],
    },
    Need {
        proof: Proof::Program("ip"),
        why: "the demo makes its netns with it",
        purposes: &[Purpose::Build],
        packages: ["iproute2", "iproute", "iproute2", "iproute2", "iproute2"],
    },
    Need {
        proof: Proof::Program("dockerd"),
        why: "the netns tests start a private Docker daemon",
        purposes: &[Purpose::Tests],
        packages: ["docker.io", "moby-engine", "docker", "docker", "docker"],
    },
    Need {
        proof: Proof::Program("containerd"),
        why: "the private Docker daemon runs containers by it",
        purposes: &[Purpose::Tests],
        packages: ["containerd"; 5],
    },
    Need {
        proof: Proof::Program("runc"),
        why: "the private Docker daemon starts containers by it",
        purposes: &[Purpose::Tests],
        packages: ["runc"; 5],
    },
    Need {
        proof: Proof::StaticProgram("/bin/busybox"),
        why: "the netns tests make their container image from it",
        purposes: &[Purpose::Tests],
        packages: [
            "busybox-static",
            "busybox",
            "busybox",
            "busybox-static",
            "busybox-static",
        ],
    },
    Need {
        proof: Proof::Program("iptables"),
        why: "the private Docker daemon sets up its network with it",
        purposes: &[Purpose::Tests],
        packages: ["iptables"; 5],
    },
    Need {
        proof: Proof::Program("iperf3"),
        why: "the netns tests and the measurements send by it",
        purposes: &[Purpose::Tests, Purpose::Bench],
        packages: ["iperf3", "iperf3", "iperf3", "iperf", "iperf3"],
    },
    Need {
        proof: Proof::Program("tcpdump"),
        why: "tests and measurements compare with it, and its libpcap compiles filters",
        purposes: &[Purpose::Tests, Purpose::Bench],
        packages: ["tcpdump"; 5],
    },
    Need {
        proof: Proof::Program("tshark"),
        why: "the tests read capture files with it",
        purposes: &[Purpose::Tests],
        packages: [
            "tshark",
            "wireshark-cli",
            "wireshark-cli",
            "wireshark",
            "tshark",
        ],
    },
];

/// Installs the missing packages, or says how to where we do not know the way well.
pub(super) fn ensure(purpose: Purpose) -> Result<Outcome> {
    let missing: Vec<_> = NEEDS
        .iter()
        .filter(|need| {
            let needed_by = |purpose| need.purposes.contains(&purpose);
            needed_by(Purpose::Build) || needed_by(purpose)
        })
        .filter(|need| !need.proof.holds())
        .collect();
    if missing.is_empty() {
        return Ok(Outcome::AllThere);
    }
    let manager = MANAGERS
        .iter()
        .position(|(name, _)| cmd::find(name).is_some());
    if manager != Some(0) {
        bail!("{}", instruction(&missing, manager));
    }
    for need in &missing {
        say(need.packages[0], need.why);
    }
    install_by_apt(&missing)?;
    match missing.iter().find(|need| !need.proof.holds()) {
        None => Ok(Outcome::Installed),
        Some(need) => bail!(
            "{} is installed but {} is not there",
            need.packages[0],
            need.proof
        ),
    }
}

fn install_by_apt(missing: &[&Need]) -> Result<()> {
    let names: Vec<_> = missing.iter().map(|need| need.packages[0]).collect();
    cmd::run(cmd::as_root("apt-get")?.args(["update", "-q"]))?;
    let line = format!("{} {}", MANAGERS[0].1, names.join(" "));
    let mut install = policy::without_starting_services()?;
    install.arg("DEBIAN_FRONTEND=noninteractive");
    cmd::run_as(&line, install.args(line.split(' ')))?;
    if names.contains(&"docker.io") {
        eprintln!(
            "setup: Docker's own services were not started; `systemctl disable docker.service \
             docker.socket containerd.service` keeps them off after a reboot too"
        );
    }
    Ok(())
}

/// What to type where apt is not the package manager.
fn instruction(missing: &[&Need], manager: Option<usize>) -> String {
    let list = missing
        .iter()
        .map(|need| format!("\n  {} ({})", need.proof, need.why));
    let way = match manager {
        Some(at) => {
            let names: Vec<_> = missing.iter().map(|need| need.packages[at]).collect();
            format!("install by: {} {}", MANAGERS[at].1, names.join(" "))
        }
        None => "no known package manager here: install them by hand".to_owned(),
    };
    format!("missing:{}\n{way}", list.collect::<String>())
}

impl Proof {
    fn holds(&self) -> bool {
        match self {
            Self::Program(name) => cmd::find(name).is_some(),
            Self::File(path) => Path::new(path).exists(),
            Self::StaticProgram(path) => fs::read(path).is_ok_and(|bytes| is_static(&bytes)),
        }
    }
}

impl std::fmt::Display for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Program(name) => write!(f, "program {name}"),
            Self::File(path) => f.write_str(path),
            Self::StaticProgram(path) => write!(f, "static {path}"),
        }
    }
}

/// Whether an executable names no dynamic loader (`ld-linux`, `ld-musl`), which would
/// stand right behind its headers.
fn is_static(elf: &[u8]) -> bool {
    let head = &elf[..elf.len().min(4096)];
    head.starts_with(b"\x7fELF") && !head.windows(4).any(|word| word == b"/ld-")
}
