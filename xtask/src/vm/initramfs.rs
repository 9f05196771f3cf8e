//! What a guest finds: the tests, the programs they start, and its kernel's modules.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use super::cpio::Archive;
use super::kernels::Files;
use crate::cargo::Built;
use crate::cmd;

/// What the guest does. The kernel starts it.
const INIT: &str = include_str!("init.sh");
/// Where [`INIT`] finds the tests.
const TESTS: &str = "/netns";
/// Everything else that a script may call, and modprobe.
const BUSYBOX: &str = "/bin/busybox";
/// Programs of which the tests want more than busybox's own have. Its `cat` ends where nobody
/// reads, and its `sh` starts its own `ip`.
const PROGRAMS: [&str; 12] = [
    "cat", "ip", "iperf3", "mount", "nsenter", "setpriv", "setsid", "sh", "tc", "tcpdump",
    "umount", "unshare",
];
/// Names of ports and protocols, which libpcap looks up. libpcap itself comes with tcpdump.
const NAMES: [&str; 2] = ["/etc/protocols", "/etc/services"];

/// What is tested: as it was built, for the path and the libraries; and without debug info, which
/// is nine tenths of it.
pub(super) struct Binaries {
    nstrace: PathBuf,
    tests: PathBuf,
    stripped: TempDir,
}

impl Binaries {
    /// Of a build of the netns tests.
    pub(super) fn from(built: &Built) -> Result<Self> {
        let binaries = Self {
            nstrace: built.executable("nstrace")?,
            tests: built.executable("netns")?,
            stripped: TempDir::with_prefix("nstrace-vm-").context("make a directory")?,
        };
        for binary in [&binaries.nstrace, &binaries.tests] {
            let to = binaries.stripped(binary);
            cmd::output(Command::new("strip").arg("-o").arg(to).arg(binary))?;
        }
        Ok(binaries)
    }

    fn stripped(&self, binary: &Path) -> PathBuf {
        self.stripped
            .path()
            .join(binary.file_name().unwrap_or_default())
    }
}

/// Writes the archive to `path`.
pub(super) fn write(path: &Path, kernel: &Files, binaries: &Binaries) -> Result<()> {
    let file = File::create(path).with_context(|| format!("create {}", path.display()))?;
    let mut archive = Archive::new(BufWriter::new(file));
    for directory in ["/dev", "/proc", "/run", "/sys", "/tmp"] {
        archive.directory(directory)?;
    }
    archive.file("/init", INIT.as_bytes())?;
    // tcpdump looks up the user that it is told to stay.
    archive.file("/etc/passwd", b"root:x:0:0::/:/bin/sh\n")?;
    add_binaries(&mut archive, binaries)?;
    for program in PROGRAMS {
        let file = cmd::find(program).with_context(|| format!("no program {program} here"))?;
        add_libraries(&mut archive, &file)?;
        archive.file(&format!("/bin/{program}"), &read(&file)?)?;
    }
    for names in NAMES {
        archive.file(names, &read(Path::new(names))?)?;
    }
    add_busybox(&mut archive)?;
    let modules = format!("/lib/modules/{}", kernel.release);
    add_tree(&mut archive, &kernel.modules, &modules)?;
    archive.finish().context("write the archive")?;
    Ok(())
}

fn add_binaries(archive: &mut Archive<impl Write>, binaries: &Binaries) -> Result<()> {
    let Binaries { nstrace, tests, .. } = binaries;
    // Where the tests look for it.
    archive.file(text(nstrace)?, &read(&binaries.stripped(nstrace))?)?;
    archive.file(TESTS, &read(&binaries.stripped(tests))?)?;
    add_libraries(archive, nstrace)?;
    add_libraries(archive, tests)
}

/// Adds the libraries that an executable needs, where it looks for them.
fn add_libraries(archive: &mut Archive<impl Write>, executable: &Path) -> Result<()> {
    let said = cmd::output(Command::new("ldd").arg(executable))?;
    for library in libraries(&said) {
        archive.file(library, &read(Path::new(library))?)?;
    }
    Ok(())
}

/// The paths in what ldd prints.
fn libraries(ldd: &str) -> impl Iterator<Item = &str> {
    ldd.split_whitespace().filter(|word| word.starts_with('/'))
}

/// Adds busybox, and a link for each of its programs that is not there otherwise.
fn add_busybox(archive: &mut Archive<impl Write>) -> Result<()> {
    let programs = cmd::output(Command::new(BUSYBOX).arg("--list"))?;
    archive.file(BUSYBOX, &read(Path::new(BUSYBOX))?)?;
    for program in programs.lines() {
        archive.link(&format!("/bin/{program}"), BUSYBOX)?;
    }
    // The kernel calls it by this name.
    archive.link("/sbin/modprobe", BUSYBOX)?;
    Ok(())
}

/// Adds a directory's files, but the kernel itself, which some packages have there too.
fn add_tree(archive: &mut Archive<impl Write>, from: &Path, to: &str) -> Result<()> {
    let entries = fs::read_dir(from).with_context(|| format!("list {}", from.display()))?;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let to = format!("{to}/{}", name.display());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            add_tree(archive, &entry.path(), &to)?;
        } else if kind.is_file() && name != "vmlinuz" {
            archive.file(&to, &read(&entry.path())?)?;
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let content = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    ensure!(!content.is_empty(), "{} is empty", path.display());
    Ok(content)
}

fn text(path: &Path) -> Result<&str> {
    path.to_str()
        .with_context(|| format!("{} is no text", path.display()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn libraries_are_the_paths_that_ldd_prints() {
        let said = "\tlinux-vdso.so.1 (0x00007f44)\n\
                    \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f448)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f448)\n";
        assert_eq!(
            super::libraries(said).collect::<Vec<_>>(),
            [
                "/lib/x86_64-linux-gnu/libc.so.6",
                "/lib64/ld-linux-x86-64.so.2"
            ]
        );
        assert_eq!(super::libraries("\tstatically linked\n").count(), 0);
    }
}
