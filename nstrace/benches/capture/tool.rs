//! `nstrace capture` and tcpdump, at work on CPU 0.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, ChildStderr, Stdio},
    time::Duration,
};

use crate::{
    support::{
        lab::{Lab, Pod},
        nstrace::NSTRACE,
    },
    target::RECORD_THREAD,
};

/// Where the shell that becomes the tool leaves its process id.
const PID: &str = "/run/capture.pid";

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Nstrace,
    Tcpdump,
}

/// A tool that runs.
pub(super) struct Tool<'a> {
    lab: &'a Lab,
    kind: Kind,
    child: Child,
    says: BufReader<ChildStderr>,
    pid: u32,
}

/// What it said at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    /// Packets that it wrote.
    pub(super) captured: u64,
    /// Packets that it says it has lost.
    pub(super) dropped: u64,
}

impl<'a> Tool<'a> {
    /// Starts it, and waits until it captures.
    pub(super) fn start(lab: &'a Lab, pod: &Pod, kind: Kind) -> Self {
        let line = match kind {
            Kind::Nstrace => format!("{NSTRACE} capture {} --buffer 64m -w /dev/null", pod.name),
            Kind::Tcpdump => format!("tcpdump -i {} -B 65536 -w /dev/null", pod.veth),
        };
        let mut child = lab
            .command("sh")
            .args(["-c", &format!("echo $$ >{PID}; exec taskset -c 0 {line}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let ready = match kind {
            Kind::Nstrace => "capturing on 1 interface",
            Kind::Tcpdump => "listening on",
        };
        let mut says = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains(ready) {
            line.clear();
            assert_ne!(says.read_line(&mut line).unwrap(), 0, "{kind:?} captures");
        }
        let pid = fs::read_to_string(lab.path(PID)).unwrap();
        Self {
            lab,
            kind,
            child,
            says,
            pid: pid.trim().parse().unwrap(),
        }
    }

    /// CPU time of all its threads.
    pub(super) fn cpu(&self) -> Duration {
        let of = |thread: &str| {
            // Nanoseconds on a CPU, nanoseconds of waiting, number of turns.
            let text = self.read(thread, "schedstat");
            text.split_whitespace().next()?.parse::<u64>().ok()
        };
        Duration::from_nanos(self.threads().iter().filter_map(|thread| of(thread)).sum())
    }

    /// How often the thread that reads the rings has gone to sleep.
    pub(super) fn sleeps(&self) -> u64 {
        let threads = self.threads();
        let reads = |thread: &&String| self.read(thread, "comm").trim() == RECORD_THREAD;
        let thread = threads.iter().find(reads).expect("it records");
        let status = self.read(thread, "status");
        let line = status.lines().find(|line| line.starts_with("voluntary"));
        let count = line.and_then(|line| line.split_whitespace().last());
        count.unwrap().parse().unwrap()
    }

    fn threads(&self) -> Vec<String> {
        let tasks = self.lab.path(&format!("/proc/{}/task", self.pid));
        let names = fs::read_dir(tasks).unwrap().flatten();
        names
            .filter_map(|task| task.file_name().into_string().ok())
            .collect()
    }

    fn read(&self, thread: &str, what: &str) -> String {
        let path = format!("/proc/{}/task/{thread}/{what}", self.pid);
        fs::read_to_string(self.lab.path(&path)).unwrap_or_default()
    }

    /// Has it end, and say what it has done.
    pub(super) fn end(mut self) -> Ended {
        self.lab.run(&format!("kill -INT {}", self.pid));
        let mut said = String::new();
        self.says.read_to_string(&mut said).unwrap();
        self.child.wait().unwrap();
        let count = |what: &str| {
            let numbers = said.lines().filter_map(|line| {
                let (number, rest) = line.split_once(' ')?;
                rest.contains(what).then(|| number.parse::<u64>().ok())?
            });
            numbers.sum()
        };
        match self.kind {
            Kind::Nstrace => Ended {
                captured: count("captured"),
                dropped: count("dropped by ring") + count("dropped by disk"),
            },
            Kind::Tcpdump => Ended {
                captured: count("captured"),
                dropped: count("dropped by kernel"),
            },
        }
    }
}

impl Drop for Tool<'_> {
    fn drop(&mut self) {
        // The lab's end is the last resort.
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            let pid = self.pid.to_string();
            drop(self.lab.command("kill").args(["-9", &pid]).status());
            drop(self.child.wait());
        }
    }
}
