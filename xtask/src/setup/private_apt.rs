//! One package from Debian's archive, with lists and cache of our own.
//!
//! The system's sources are read for the mirror and otherwise left alone; nothing is
//! installed, only unpacked.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::cmd;

/// The Debian suite that carries the pinned compiler's sources.
const SUITE: &str = "trixie-backports";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
const DEFAULT_MIRROR: &str = "http://deb.debian.org/debian";

/// An apt configuration in a directory that goes away with it.
pub(super) struct PrivateApt {
    dir: TempDir,
}

impl PrivateApt {
    /// Writes the configuration and fetches the lists.
    pub(super) fn new() -> Result<Self> {
        ensure!(
            cmd::find("apt-get").is_some() && cmd::find("dpkg-deb").is_some(),
            "unpacking a Debian package needs apt-get and dpkg-deb"
        );
        ensure!(
            Path::new(KEYRING).is_file(),
            "{KEYRING} is missing: `apt-get install debian-archive-keyring` brings it"
        );
        let dir = TempDir::with_prefix("nstrace-apt-").context("make a temporary directory")?;
        let apt = Self { dir };
        apt.write_configuration().context("configure apt")?;
        cmd::run(apt.command("apt-get").arg("update"))?;
        Ok(apt)
    }

    fn write_configuration(&self) -> io::Result<()> {
        let dir = self.dir.path();
        for sub in ["sources.list.d", "lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(dir.join(sub))?;
        }
        let mirror = system_mirror().unwrap_or_else(|| DEFAULT_MIRROR.to_owned());
        let sources = format!(
            "Types: deb\nURIs: {mirror}\nSuites: {SUITE}\nComponents: main\nSigned-By: {KEYRING}\n"
        );
        fs::write(dir.join("sources.list.d/debian.sources"), sources)?;
        let conf = format!(
            "Dir::Etc::SourceList \"/dev/null\";\n\
             Dir::Etc::SourceParts \"{dir}/sources.list.d\";\n\
             Dir::State::Lists \"{dir}/lists\";\n\
             Dir::Cache \"{dir}/cache\";\n\
             Acquire::Languages \"none\";\n\
             APT::Sandbox::User \"root\";\n",
            dir = dir.display()
        );
        fs::write(dir.join("apt.conf"), conf)
    }

    /// `program` of apt with this configuration. The rest of the system's stays in force,
    /// a proxy for instance.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.arg("-c").arg(self.dir.path().join("apt.conf"));
        command.current_dir(self.dir.path());
        command
    }

    /// Downloads the package at the upstream `version` and unpacks it.
    pub(super) fn unpack(&self, package: &str, version: &str) -> Result<PathBuf> {
        let table = cmd::output(self.command("apt-cache").args(["madison", package]))?;
        let full = pick(&table, version)
            .with_context(|| format!("Debian's {SUITE} has no {package} {version}"))?;
        let wanted = format!("{package}={full}");
        cmd::run(self.command("apt-get").args(["download", &wanted]))?;
        let to = self.dir.path().join("unpacked");
        cmd::run(Command::new("dpkg-deb").arg("-x").arg(self.deb()?).arg(&to))?;
        Ok(to)
    }

    fn deb(&self) -> Result<PathBuf> {
        let entries = fs::read_dir(self.dir.path()).context("list the downloads")?;
        entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.extension().is_some_and(|ext| ext == "deb"))
            .context("apt-get left no package file")
    }
}

/// The full version in `apt-cache madison`'s table whose upstream part is `version`.
fn pick<'a>(table: &'a str, version: &str) -> Option<&'a str> {
    let fields = table.lines().filter_map(|line| line.split('|').nth(1));
    fields.map(str::trim).find(|full| {
        let rest = full.strip_prefix(version);
        // 1.95.0 must not take 1.95.01 or 1.95.0.1.
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', '-', '~']))
    })
}

/// The mirror that the system's own sources use for Debian.
fn system_mirror() -> Option<String> {
    let parts = fs::read_dir("/etc/apt/sources.list.d").ok();
    let parts = parts
        .into_iter()
        .flatten()
        .filter_map(|e| Some(e.ok()?.path()));
    // Only these two endings are sources to apt; others are switched off.
    let parts = parts.filter(|p| p.extension().is_some_and(|e| e == "list" || e == "sources"));
    std::iter::once(PathBuf::from("/etc/apt/sources.list"))
        .chain(parts)
        .filter_map(|file| fs::read_to_string(file).ok())
        .find_map(|text| debian_uri(&text))
}

/// The first URI of `sources` that ends in `/debian`, in either format of apt's sources.
fn debian_uri(sources: &str) -> Option<String> {
    let lines = sources
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'));
    lines
        .flat_map(str::split_whitespace)
        .map(|word| word.trim_end_matches('/'))
        .find(|word| word.contains("://") && word.ends_with("/debian"))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::{debian_uri, pick};

    #[test]
    fn version_is_picked_by_its_upstream_part() {
        let table = " rust-src | 1.99.1+dfsg1-1 | http://x sid/main amd64 Packages\n \
                     rust-src | 1.95.0+dfsg1-2~bpo13+1 | http://x trixie-backports/main\n";
        assert_eq!(pick(table, "1.95.0"), Some("1.95.0+dfsg1-2~bpo13+1"));
        assert_eq!(pick(table, "1.95"), None);
        assert_eq!(pick("", "1.95.0"), None);
    }

    #[test]
    fn mirror_is_read_from_both_formats() {
        let deb822 = "Types: deb\n# http://old/debian\nURIs: http://m.example/debian/\n";
        assert_eq!(
            debian_uri(deb822).as_deref(),
            Some("http://m.example/debian")
        );
        let one_line = "deb [signed-by=/k.gpg] https://m.example/debian trixie main\n";
        assert_eq!(
            debian_uri(one_line).as_deref(),
            Some("https://m.example/debian")
        );
        let security = "deb http://m.example/debian-security trixie-security main\n";
        assert_eq!(debian_uri(security), None);
    }
}
