//! `/proc`: which processes live in which namespace, and which nsfs files are mounted.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, ErrorKind, Read as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use nix::{errno::Errno, sys::signal::kill, unistd::Pid};

use crate::topology::model::NetnsInode;

/// Threads are looked at one by one only in processes with at most this many: those with more
/// are servers whose threads share one namespace, and a link read costs a microsecond each.
const MAX_THREADS: u64 = 64;

/// Processes by the namespace they live in.
#[derive(Debug, Default)]
pub struct Processes {
    /// Process ids by namespace, lowest first. A thread's id stands for it where its namespace is
    /// not its process's.
    pub by_netns: BTreeMap<NetnsInode, Vec<u32>>,
    /// How many could not be looked at, for want of `CAP_SYS_PTRACE`.
    pub refused: usize,
}

/// Looks at every process. One that vanishes meanwhile is passed over.
///
/// # Errors
///
/// If `/proc` cannot be listed.
pub fn processes() -> io::Result<Processes> {
    let mut found = Processes::default();
    let mut pids: Vec<u32> = fs::read_dir("/proc")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    for pid in pids {
        let inode = match netns_of(Path::new(&format!("/proc/{pid}/ns/net"))) {
            Ok(inode) => inode,
            Err(error) => {
                found.refused += usize::from(error.kind() == ErrorKind::PermissionDenied);
                continue;
            }
        };
        found.by_netns.entry(inode).or_default().push(pid);
        for (thread, inode) in threads_elsewhere(pid, inode) {
            found.by_netns.entry(inode).or_default().push(thread);
        }
    }
    Ok(found)
}

/// Threads of `pid` that live in another namespace than its main thread.
fn threads_elsewhere(pid: u32, inode: NetnsInode) -> Vec<(u32, NetnsInode)> {
    let tasks = PathBuf::from(format!("/proc/{pid}/task"));
    // A directory's link count is two more than its subdirectories: the threads.
    let threads = fs::metadata(&tasks).map_or(0, |metadata| metadata.nlink().saturating_sub(2));
    if !(2..=MAX_THREADS).contains(&threads) {
        return Vec::new();
    }
    let Ok(entries) = fs::read_dir(&tasks) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| {
            let thread = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let elsewhere = netns_of(&tasks.join(format!("{thread}/ns/net"))).ok()?;
            (thread != pid && elsewhere != inode).then_some((thread, elsewhere))
        })
        .collect()
}

/// The namespace that a `/proc/PID/ns/net` link names, without opening it.
fn netns_of(path: &Path) -> io::Result<NetnsInode> {
    let target = fs::read_link(path)?;
    target
        .to_str()
        .and_then(|target| {
            target
                .strip_prefix("net:[")?
                .strip_suffix(']')?
                .parse()
                .ok()
        })
        .map(NetnsInode)
        .ok_or_else(|| io::Error::from(ErrorKind::InvalidData))
}

/// The nsfs file of a process or thread.
#[must_use]
pub fn netns_path(pid: u32) -> PathBuf {
    // A thread's id is found in /proc too, though it is not listed there.
    PathBuf::from(format!("/proc/{pid}/ns/net"))
}

/// The command name of a process, `?` where it is gone.
#[must_use]
pub fn comm(pid: u32) -> String {
    fs::read(format!("/proc/{pid}/comm")).map_or_else(
        |_| "?".to_owned(),
        |comm| String::from_utf8_lossy(comm.strip_suffix(b"\n").unwrap_or(&comm)).into_owned(),
    )
}

/// Whether a process is in a cgroup with `name` in its path.
#[must_use]
pub fn is_in_cgroup(pid: u32, name: &str) -> bool {
    cgroups(pid).contains(name)
}

/// Whether a process has ended, or is another than the one that was started at `started`. What
/// cannot be found out (`/proc` mounted with hidepid) is taken for life.
#[must_use]
pub fn is_dead(pid: u32, started: u64) -> bool {
    let gone =
        i32::try_from(pid).is_ok_and(|pid| kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH));
    gone || fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| parse_start_time(&stat) != Some(started))
}

/// When a living process was started, in clock ticks since boot: with its id, who it is.
#[must_use]
pub fn start_time(pid: u32) -> Option<u64> {
    parse_start_time(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_start_time(stat: &str) -> Option<u64> {
    // The command name, in parentheses, may hold anything; the rest is numbers: proc(5).
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    // A zombie holds nothing any more; it only waits for its parent.
    (!matches!(fields.next()?, "Z" | "X")).then_some(())?;
    fields.nth(18)?.parse().ok()
}

/// The wall time at which a process was started that `ticks` after boot was, in seconds since 1970;
/// after the clock was set, by the clock as it is now.
#[must_use]
pub fn started_at(ticks: u64) -> Option<i64> {
    // USER_HZ, which is 100 wherever Linux runs.
    const TICKS_PER_SECOND: u64 = 100;
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let booted: i64 = stat
        .lines()
        .find_map(|line| line.strip_prefix("btime "))?
        .trim()
        .parse()
        .ok()?;
    Some(booted + i64::try_from(ticks / TICKS_PER_SECOND).ok()?)
}

/// The cgroups of a process, as `/proc/PID/cgroup` lists them; empty where it is gone.
#[must_use]
pub fn cgroups(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default()
}

/// The process that has started `pid`.
#[must_use]
pub fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let parent = stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?;
    parent.parse().ok().filter(|parent| *parent != 0)
}

/// Whether a process is root's.
#[must_use]
pub fn is_roots(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let uids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    uids.is_some_and(|uids| uids.split_ascii_whitespace().all(|uid| uid == "0"))
}

/// What a process was started with: its name, and its arguments, of which the first ones do.
#[must_use]
pub fn arguments(pid: u32) -> Vec<String> {
    const MOST: u64 = 16 << 10;

    let mut line = Vec::new();
    let read = fs::File::open(format!("/proc/{pid}/cmdline"))
        .and_then(|file| file.take(MOST).read_to_end(&mut line));
    if read.is_err() {
        return Vec::new();
    }
    let line = line.strip_suffix(b"\0").unwrap_or(&line);
    line.split(|byte| *byte == 0)
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect()
}

/// The namespace that a process is in, if it is the one that was started at `started`.
#[must_use]
pub fn netns_of_process(pid: u32, started: u64) -> Option<NetnsInode> {
    let inode = netns_of(&netns_path(pid)).ok()?;
    // Asked for after the link was read: what was read was of that process.
    (start_time(pid) == Some(started)).then_some(inode)
}

/// The sockets that a process has open, by their numbers; none where it is gone or not ours to see.
#[must_use]
pub fn sockets(pid: u32) -> Vec<u32> {
    /// More descriptors than this are not looked at: it is one page about one namespace.
    const MAX_DESCRIPTORS: usize = 65_536;

    let fds = fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten();
    fds.take(MAX_DESCRIPTORS)
        .filter_map(|entry| {
            let target = fs::read_link(entry.ok()?.path()).ok()?;
            let number = target
                .to_str()?
                .strip_prefix("socket:[")?
                .strip_suffix(']')?;
            number.parse().ok()
        })
        .collect()
}

/// The inode of a process's PID namespace.
#[must_use]
pub fn own_pid_namespace() -> Option<u64> {
    fs::metadata("/proc/self/ns/pid")
        .ok()
        .map(|metadata| metadata.ino())
}

/// Where nsfs files of network namespaces are mounted, in our mount namespace.
///
/// # Errors
///
/// If `/proc/self/mountinfo` cannot be read.
pub fn netns_mounts() -> io::Result<Vec<PathBuf>> {
    let mounts = fs::read("/proc/self/mountinfo")?;
    Ok(parse_netns_mounts(&mounts))
}

/// Fields of proc(5): id, parent, device, root, mount point, options, optional fields, `-`, type.
fn parse_netns_mounts(mounts: &[u8]) -> Vec<PathBuf> {
    use std::{ffi::OsString, os::unix::ffi::OsStringExt as _};

    let mut found: Vec<PathBuf> = mounts
        .split(|byte| *byte == b'\n')
        .filter_map(|line| {
            let mut fields = line.split(|byte| *byte == b' ');
            let root = fields.nth(3)?;
            let point = fields.next()?;
            root.starts_with(b"net:[")
                .then(|| PathBuf::from(OsString::from_vec(unescape(point))))
        })
        .collect();
    found.sort();
    // `ip netns` bind-mounts its directory on itself, so each file is mounted twice.
    found.dedup();
    found
}

/// Undoes the octal escapes (`\040`) of mountinfo.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, after)) = rest.split_first() {
        let octal = after
            .get(..3)
            .filter(|_| first == b'\\')
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        out.push(octal.unwrap_or(first));
        rest = if octal.is_some() { &after[3..] } else { after };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mountinfo_gives_the_nsfs_files_once_each() {
        let mounts = br"22 1 0:21 / /proc rw,relatime - proc proc rw
60 27 0:4 net:[4026532200] /run/netns/red rw shared:5 - nsfs nsfs rw
61 28 0:4 net:[4026532200] /run/netns/red rw shared:5 - nsfs nsfs rw
62 28 0:4 net:[4026532300] /run/netns/with\040space rw - nsfs nsfs rw
63 28 0:4 mnt:[4026532301] /run/snapd/ns/x.mnt rw - nsfs nsfs rw
";
        assert_eq!(
            parse_netns_mounts(mounts),
            [
                PathBuf::from("/run/netns/red"),
                PathBuf::from("/run/netns/with space")
            ]
        );
    }

    #[test]
    fn only_whole_octal_escapes_are_undone() {
        assert_eq!(unescape(br"a\134b\09"), br"a\b\09");
    }

    #[test]
    fn a_start_time_is_found_behind_any_name_and_a_zombie_has_none() {
        let rest = "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        assert_eq!(
            parse_start_time(&format!("7 (a) R) b) S {rest}")),
            Some(4711)
        );
        assert_eq!(parse_start_time(&format!("7 (sh) Z {rest}")), None);
        assert_eq!(parse_start_time("7 (sh"), None);
    }

    #[test]
    fn own_process_is_found_in_its_own_namespace() {
        let own = std::process::id();
        let found = processes().expect("/proc is there");
        let inode = netns_of(&netns_path(own)).expect("own namespace");
        assert!(found.by_netns[&inode].contains(&own));
        assert!(start_time(own).is_some());
    }
}
