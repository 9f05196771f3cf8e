//! cgroups that runtimes make for a test: they are the machine's, and outlive the lab.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// A name that no other test uses: what is in that cgroup is ended when it is removed.
pub(crate) fn unique(what: &str) -> String {
    static MADE: AtomicU32 = AtomicU32::new(0);

    let number = MADE.fetch_add(1, Ordering::Relaxed);
    format!("nstrace-tests-{}-{what}-{number}", std::process::id())
}

/// Ends what is in a cgroup and those below it, in every hierarchy, and removes them.
pub(crate) fn remove(name: &str) {
    let all: Vec<PathBuf> = places().iter().map(|place| place.join(name)).collect();
    let start = Instant::now();
    // A cgroup can be removed as soon as its processes have gone.
    while all.iter().any(|one| one.is_dir()) && start.elapsed() < Duration::from_secs(5) {
        for one in &all {
            remove_one(one);
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Where they are: below the roots of the second version and of each controller of the first, or
/// below where this process is.
fn places() -> Vec<PathBuf> {
    let below = fs::read_dir("/sys/fs/cgroup")
        .into_iter()
        .flatten()
        .flatten();
    let roots =
        std::iter::once(PathBuf::from("/sys/fs/cgroup")).chain(below.map(|entry| entry.path()));
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own: BTreeSet<&str> = own
        .lines()
        .filter_map(|line| line.splitn(3, ':').nth(2)?.strip_prefix('/'))
        .chain([""])
        .collect();
    roots
        .flat_map(|root| {
            own.iter()
                .map(move |own| root.join(own))
                .collect::<Vec<_>>()
        })
        .collect()
}

fn remove_one(cgroup: &Path) {
    for entry in fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            remove_one(&entry.path());
        }
    }
    let inside = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    inside.lines().for_each(end);
    drop(fs::remove_dir(cgroup));
}

/// Ends a process, by its id as this process sees it.
pub(crate) fn end(pid: &str) {
    // 0 stands for one that cannot be seen from here, and would mean all of us.
    if let Some(pid) = pid.parse::<i32>().ok().filter(|pid| *pid > 1) {
        // It may have ended already.
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap_or_default();
    }
}

/// Shell words that put the shell that reads them into a cgroup of this name, of each hierarchy that
/// tracks processes alone.
pub(crate) fn enter(name: &str) -> String {
    format!(
        "for root in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do \
         if [ -e $root/cgroup.procs ]; then mkdir -p $root/{name}; echo $$ >$root/{name}/cgroup.procs; fi; \
         done"
    )
}
