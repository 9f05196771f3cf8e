//! Packages of a Debian or Ubuntu archive, with lists and cache of our own.
//!
//! The system's sources are read and otherwise left alone; nothing is installed, only unpacked.
//! It needs no root.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::TempDir;

use crate::cmd;

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Where Debian's suites are, unless the system's sources say so; and those of its security team.
const ARCHIVE: (&str, &str) = ("/debian", "http://deb.debian.org/debian");
const SECURITY: (&str, &str) = ("/debian-security", "http://deb.debian.org/debian-security");

/// An apt configuration in a directory that goes away with it.
pub(crate) struct PrivateApt {
    dir: TempDir,
}

impl PrivateApt {
    /// With these suites of Debian alone, and their lists fetched.
    pub(crate) fn of_debian(suites: &[&str]) -> Result<Self> {
        ensure!(
            Path::new(KEYRING).is_file(),
            "{KEYRING} is missing: `apt-get install debian-archive-keyring` brings it"
        );
        let sources: String = suites.iter().map(|suite| source(suite)).collect();
        Self::new(Some(&sources))
    }

    /// With the system's own sources, and their lists fetched.
    pub(crate) fn of_system() -> Result<Self> {
        Self::new(None)
    }

    fn new(sources: Option<&str>) -> Result<Self> {
        ensure!(
            cmd::find("apt-get").is_some() && cmd::find("dpkg-deb").is_some(),
            "unpacking a Debian package needs apt-get and dpkg-deb"
        );
        let dir = TempDir::with_prefix("nstrace-apt-").context("make a temporary directory")?;
        let apt = Self { dir };
        apt.write_configuration(sources).context("configure apt")?;
        cmd::run(apt.command("apt-get").args(["update", "-q"]))?;
        Ok(apt)
    }

    fn write_configuration(&self, sources: Option<&str>) -> io::Result<()> {
        let dir = self.dir.path();
        for sub in ["sources.list.d", "lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(dir.join(sub))?;
        }
        let at = dir.display();
        // Locks would be root's, of what we do not touch.
        let mut conf = format!(
            "Dir::State::Lists \"{at}/lists\";\n\
             Dir::Cache \"{at}/cache\";\n\
             Acquire::Languages \"none\";\n\
             APT::Sandbox::User \"root\";\n\
             Debug::NoLocking \"true\";\n"
        );
        if let Some(sources) = sources {
            fs::write(dir.join("sources.list.d/debian.sources"), sources)?;
            conf.push_str("Dir::Etc::SourceList \"/dev/null\";\n");
            conf = format!("{conf}Dir::Etc::SourceParts \"{at}/sources.list.d\";\n");
        }
        fs::write(dir.join("apt.conf"), conf)
    }

    /// `program` of apt with this configuration. The rest of the system's stays in force,
    /// a proxy for instance.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.arg("-c").arg(self.dir.path().join("apt.conf"));
        command.current_dir(self.dir.path().join("cache/archives"));
        command
    }

    /// The newest version of a package whose upstream part suits.
    pub(crate) fn version(&self, package: &str, suits: impl Fn(&str) -> bool) -> Result<String> {
        let table = cmd::output(self.command("apt-cache").args(["madison", package]))?;
        let picked = pick(&table, suits).map(str::to_owned);
        picked.with_context(|| format!("Debian has no such version of {package}:\n{table}"))
    }

    /// What a package at a full version says of itself in `field`.
    pub(crate) fn field(&self, package: &str, version: &str, field: &str) -> Result<String> {
        let wanted = format!("{package}={version}");
        let shown = cmd::output(self.command("apt-cache").args(["show", &wanted]))?;
        let values = shown.lines().filter_map(|line| line.split_once(": "));
        values
            .filter(|(name, _)| *name == field)
            .map(|(_, value)| value.to_owned())
            .next()
            .with_context(|| format!("{wanted} has no field {field}"))
    }

    /// Unpacks packages, each `NAME=VERSION`, into one directory.
    pub(crate) fn unpack(self, packages: &[String], to: &Path) -> Result<()> {
        cmd::run(
            self.command("apt-get")
                .args(["download", "-q"])
                .args(packages),
        )?;
        self.unpack_downloads(to)
    }

    /// Unpacks a package into a directory, along with all that it needs and the system lacks.
    pub(crate) fn unpack_with_needs(self, package: &str, to: &Path) -> Result<()> {
        let line = "install -q -y --no-install-recommends --download-only";
        cmd::run(self.command("apt-get").args(line.split(' ')).arg(package))?;
        self.unpack_downloads(to)
    }

    fn unpack_downloads(&self, to: &Path) -> Result<()> {
        let downloads = fs::read_dir(self.dir.path().join("cache/archives"));
        let debs: Vec<_> = downloads
            .context("list the downloads")?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|ext| ext == "deb"))
            .collect();
        if debs.is_empty() {
            bail!("apt-get left no package file");
        }
        for deb in debs {
            cmd::output(Command::new("dpkg-deb").arg("-x").arg(deb).arg(to))?;
        }
        Ok(())
    }
}

/// One suite, as apt's sources spell it. Only the packages' list is fetched.
fn source(suite: &str) -> String {
    let (ending, default) = if suite.ends_with("-security") {
        SECURITY
    } else {
        ARCHIVE
    };
    let mirror = system_mirror(ending).unwrap_or_else(|| default.to_owned());
    format!(
        "Types: deb\nURIs: {mirror}\nSuites: {suite}\nComponents: main\nTargets: Packages\n\
         Signed-By: {KEYRING}\n\n"
    )
}

/// The first version that suits in `apt-cache madison`'s table, where the newest is first.
fn pick(table: &str, suits: impl Fn(&str) -> bool) -> Option<&str> {
    let versions = table.lines().filter_map(|line| line.split('|').nth(1));
    // What Debian adds to the upstream part begins with one of these.
    let upstream = |full: &str| full.find(['+', '-', '~']).unwrap_or(full.len());
    versions
        .map(str::trim)
        .find(|full| suits(&full[..upstream(full)]))
}

/// The mirror whose address ends so in the system's own sources.
fn system_mirror(ending: &str) -> Option<String> {
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
        .find_map(|text| uri(&text, ending))
}

/// The first URI of `sources` that ends so, in either format of apt's sources.
fn uri(sources: &str, ending: &str) -> Option<String> {
    let lines = sources
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'));
    lines
        .flat_map(str::split_whitespace)
        .map(|word| word.trim_end_matches('/'))
        .find(|word| word.contains("://") && word.ends_with(ending))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::{pick, source, uri};

    #[test]
    fn version_is_picked_by_its_upstream_part() {
        let table = " rust-src | 1.99.1+dfsg1-1 | http://x sid/main amd64 Packages\n \
                     rust-src | 1.95.0+dfsg1-2~bpo13+1 | http://x trixie-backports/main\n";
        assert_eq!(
            pick(table, |upstream| upstream == "1.95.0"),
            Some("1.95.0+dfsg1-2~bpo13+1")
        );
        assert_eq!(pick(table, |upstream| upstream == "1.95"), None);
        assert_eq!(pick(table, |_| true), Some("1.99.1+dfsg1-1"));
        assert_eq!(pick("", |_| true), None);
    }

    #[test]
    fn mirror_is_read_from_both_formats() {
        let deb822 = "Types: deb\n# http://old/debian\nURIs: http://m.example/debian/\n";
        assert_eq!(
            uri(deb822, "/debian").as_deref(),
            Some("http://m.example/debian")
        );
        let one_line = "deb [signed-by=/k.gpg] https://m.example/debian trixie main\n";
        assert_eq!(
            uri(one_line, "/debian").as_deref(),
            Some("https://m.example/debian")
        );
        let security = "deb http://m.example/debian-security trixie-security main\n";
        assert_eq!(uri(security, "/debian"), None);
        assert_eq!(
            uri(security, "/debian-security").as_deref(),
            Some("http://m.example/debian-security")
        );
    }

    #[test]
    fn suites_of_the_security_team_are_in_their_own_archive() {
        let uris = |suite| source(suite).lines().nth(1).map(str::to_owned);
        let both = ["bookworm", "bookworm-security"]
            .map(uris)
            .map(Option::unwrap);
        assert!(both[0].ends_with("/debian"), "{}", both[0]);
        assert!(both[1].ends_with("/debian-security"), "{}", both[1]);
    }
}
