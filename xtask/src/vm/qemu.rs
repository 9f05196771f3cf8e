//! The emulator.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::cmd;
use crate::setup::{private_apt::PrivateApt, say};

const PROGRAM: &str = "qemu-system-x86_64";
/// The distribution's package of it.
const PACKAGE: &str = "qemu-system-x86";

/// How QEMU is started.
pub(super) enum Qemu {
    Installed(PathBuf),
    /// Below this directory, with the libraries that the system lacks
    Unpacked(PathBuf),
}

impl Qemu {
    /// The one that is installed, or the distribution's, unpacked below `cache`. It would not be
    /// installed for this alone: its package has many others in tow, and pushes some out.
    pub(super) fn find_or_unpack(cache: &Path) -> Result<Self> {
        if let Some(program) = cmd::find(PROGRAM) {
            return Ok(Self::Installed(program));
        }
        let dir = cache.join("qemu");
        if !dir.is_dir() {
            say(
                &format!("QEMU into {}", dir.display()),
                "it runs the other kernels",
            );
            fs::create_dir_all(cache).with_context(|| format!("create {}", cache.display()))?;
            // Not under its name before it is complete.
            let partial = TempDir::with_prefix_in("partial-", cache).context("make a directory")?;
            PrivateApt::of_system()?.unpack_with_needs(PACKAGE, partial.path())?;
            fs::rename(partial.keep(), &dir).with_context(|| format!("make {}", dir.display()))?;
        }
        Ok(Self::Unpacked(dir))
    }

    /// A command that starts it, where it finds its own files.
    pub(super) fn command(&self) -> Command {
        let dir = match self {
            Self::Installed(program) => return Command::new(program),
            Self::Unpacked(dir) => dir,
        };
        let mut command = Command::new(dir.join("usr/bin").join(PROGRAM));
        let libraries = ["usr/lib", "lib"]
            .map(|lib| dir.join(lib).join("x86_64-linux-gnu").display().to_string());
        command.env("LD_LIBRARY_PATH", libraries.join(":"));
        for data in ["usr/share/qemu", "usr/share/seabios"] {
            command.arg("-L").arg(dir.join(data));
        }
        command
    }
}
