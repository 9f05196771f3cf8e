//! Commands of the host, in a namespace's network.

use std::{
    ffi::{CString, OsString},
    fs, io,
    os::{
        fd::AsFd as _,
        unix::{ffi::OsStrExt as _, process::CommandExt as _},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, setns, unshare},
};

use super::Netns;

/// Where ip-netns(8) looks for files that stand in place of those in `/etc`.
const FILES: &str = "/etc/netns";

/// A command that will run in a namespace's network.
///
/// As with `nsenter --net` everything else stays the host's. Only where there are [files](files_for)
/// for the namespace, the command has a mount namespace of its own, in which they stand in `/etc`, and
/// a `/sys` of that network, as `ip netns exec` has it.
#[derive(Debug)]
pub struct Exec {
    command: Command,
}

impl Exec {
    /// `line` is the program and its arguments; `files` those for `/etc`.
    #[must_use]
    pub fn new(netns: Netns, files: Option<&Path>, line: &[OsString]) -> Self {
        let mut words = line.iter();
        let mut command = Command::new(words.next().cloned().unwrap_or_default());
        command.args(words);
        let binds = files.map(binds);
        let enter = move || {
            setns(netns.fd.as_fd(), CloneFlags::CLONE_NEWNET)?;
            binds.as_deref().map_or(Ok(()), put_in_place)
        };
        // SAFETY: what runs between fork and exec makes system calls alone, with what was made
        // before.
        unsafe { command.pre_exec(enter) };
        Self { command }
    }

    /// Becomes the command. Returns only if it cannot.
    #[must_use]
    pub fn replace(mut self) -> io::Error {
        self.command.exec()
    }

    /// Starts it beside, without input, its output to be read.
    ///
    /// # Errors
    ///
    /// If it cannot be started.
    pub fn spawn(mut self) -> io::Result<Child> {
        self.command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
    }
}

/// The directory of files for a namespace that is called so in `/run/netns`, where there is one.
#[must_use]
pub fn files_for(name: &str) -> Option<PathBuf> {
    // Whatever it is called: no way up.
    let is_plain = !name.is_empty() && !name.contains('/') && name != "." && name != "..";
    let dir = Path::new(FILES).join(name);
    (is_plain && dir.is_dir()).then_some(dir)
}

/// Each file of a directory, with the place in `/etc` where it will stand.
fn binds(dir: &Path) -> Vec<(CString, CString)> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let place = Path::new("/etc").join(entry.file_name());
            let text = |path: &Path| CString::new(path.as_os_str().as_bytes()).ok();
            Some((text(&entry.path())?, text(&place)?))
        })
        .collect()
}

/// In a mount namespace of one's own, from which nothing gets out.
fn put_in_place(binds: &[(CString, CString)]) -> io::Result<()> {
    const NONE: Option<&str> = None;

    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(NONE, "/", NONE, MsFlags::MS_SLAVE | MsFlags::MS_REC, NONE)?;
    // A sysfs shows the network of who mounts it. Where it cannot be replaced it stays the host's.
    if umount2("/sys", MntFlags::MNT_DETACH).is_ok() {
        mount(
            Some("nstrace"),
            "/sys",
            Some("sysfs"),
            MsFlags::empty(),
            NONE,
        )?;
    }
    for (file, place) in binds {
        // What has no counterpart in /etc cannot be put there: ip-netns(8) goes on too.
        mount(Some(&**file), &**place, NONE, MsFlags::MS_BIND, NONE).unwrap_or_default();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_nowhere_else() {
        for name in ["", ".", "..", "../passwd", "a/b", "/"] {
            assert_eq!(files_for(name), None, "{name}");
        }
    }
}
