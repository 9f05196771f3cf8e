//! tcpdump within a pod, and readers of capture files that others have made.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{
    lab::{Lab, Pod},
    savefile::Saved,
    wait_until,
};

/// A tcpdump on a pod's eth0, which is another process's view of the same packets.
pub(crate) struct Tcpdump {
    child: Child,
    errors: BufReader<ChildStderr>,
    path: PathBuf,
}

impl Tcpdump {
    /// Starts it, and waits until it captures.
    pub(crate) fn start(lab: &Lab, pod: &Pod, args: &[&str]) -> Self {
        let file = format!("/run/{}.tcpdump", pod.name);
        let mut command = lab.command("ip");
        command.args(["netns", "exec", &pod.name, "tcpdump", "-i", "eth0"]);
        // Room for the largest super-packets, each of which takes the same place in immediate mode.
        command.args(["-B", "65536", "-s", "70000"]);
        // As root: it has a user of its own elsewhere, who may not write here.
        command.args(["-U", "--immediate-mode", "-Z", "root", "-w", &file]);
        let mut child = command
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("tcpdump is there: cargo xtask setup --tests");
        let mut errors = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        while !said.contains("listening on eth0") {
            assert_ne!(errors.read_line(&mut said).unwrap(), 0, "{said}");
        }
        let path = lab.path(&file);
        Self {
            child,
            errors,
            path,
        }
    }

    /// Waits until it has a packet of which `found` says so.
    pub(crate) fn until(&self, what: &str, found: impl Fn(&Saved) -> bool) {
        wait_until(what, || found(&Saved::so_far(&self.path).0).then_some(()));
    }

    /// Ends it; gives what it has captured, and asserts that it has dropped nothing.
    pub(crate) fn end(mut self) -> Saved {
        // nsenter waits for it, and ends with it only.
        let path = format!("/proc/{0}/task/{0}/children", self.child.id());
        let children = std::fs::read_to_string(path).unwrap();
        let pid: i32 = children.trim().parse().unwrap();
        kill(Pid::from_raw(pid), Signal::SIGINT).unwrap();
        assert!(self.child.wait().unwrap().success());
        let said: Vec<String> = self.errors.lines().map(|line| line.unwrap()).collect();
        let dropped = "0 packets dropped by kernel".to_owned();
        assert!(said.contains(&dropped), "{said:?}");
        Saved::read(&self.path)
    }
}

/// What tshark reads in a file, by fields; asserts that it finds nothing to warn of.
#[track_caller]
pub(crate) fn tshark(path: &Path, fields: &[&str]) -> Vec<Vec<String>> {
    let mut command = Command::new("tshark");
    command.arg("-r").arg(path).args(["-n", "-T", "fields"]);
    for field in fields {
        command.args(["-e", field]);
    }
    let output = command
        .stdin(Stdio::null())
        .output()
        .expect("tshark is there: cargo xtask setup --tests");
    let errors = String::from_utf8_lossy(&output.stderr);
    // That it runs as root is said at each start.
    let mut warnings = errors
        .lines()
        .filter(|line| !line.starts_with("Running as"));
    assert_eq!(warnings.next(), None, "{}", path.display());
    assert!(output.status.success(), "{}", path.display());
    let text = String::from_utf8(output.stdout).unwrap();
    let split = |line: &str| line.split('\t').map(str::to_owned).collect();
    text.lines().map(split).collect()
}

/// How many packets tcpdump reads in a file; asserts that it finds nothing wrong with it.
#[track_caller]
pub(crate) fn read_by_tcpdump(path: &Path) -> usize {
    let output = Command::new("tcpdump")
        .args(["-n", "-t", "-q", "-r"])
        .arg(path)
        .stdin(Stdio::null())
        .output()
        .expect("tcpdump is there: cargo xtask setup --tests");
    let errors = String::from_utf8_lossy(&output.stderr);
    let mut wrong = errors.lines().filter(|line| {
        !(line.starts_with("reading from file ") || line.starts_with("Warning: interface names"))
    });
    assert_eq!(wrong.next(), None, "{}", path.display());
    assert!(output.status.success(), "{}", path.display());
    // Lines of one packet are indented behind its first.
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().filter(|line| !line.starts_with('\t')).count()
}
