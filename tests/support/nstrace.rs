//! A running `nstrace top -b -o json`, and what it says.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Instant,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use super::{DEADLINE, lab::Lab};

/// The binary under test.
pub(crate) const NSTRACE: &str = env!("CARGO_BIN_EXE_nstrace");

/// Runs nstrace in the lab until it ends by itself.
pub(crate) fn run(lab: &Lab, args: &[&str]) -> Output {
    lab.command(NSTRACE)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// The document of `nstrace ls -o json`.
#[track_caller]
pub(crate) fn ls(lab: &Lab, args: &[&str]) -> Value {
    let output = run(lab, &[&["ls", "-o", "json"], args].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A batch of `top` that runs, or another subcommand that prints lines of JSON until it is ended.
pub(crate) struct Top<'a> {
    lab: &'a Lab,
    child: Child,
    /// Its process id in the lab.
    pub(crate) pid: u32,
    lines: Receiver<Value>,
    /// Every line so far.
    pub(crate) seen: Vec<Value>,
}

impl<'a> Top<'a> {
    /// Starts it, with five refreshes a second.
    pub(crate) fn start(lab: &'a Lab, args: &[&str]) -> Self {
        Self::start_by(lab, &[], args)
    }

    /// `nstrace ls --watch -o json` instead.
    pub(crate) fn watch_ls(lab: &'a Lab, args: &[&str]) -> Self {
        let mut command = lab.command("sh");
        command.args(["-c", "echo $$; exec \"$@\"", "sh", NSTRACE]);
        command.args(["ls", "--watch", "-o", "json"]).args(args);
        Self::follow(lab, &mut command)
    }

    /// Has it started by a command that becomes it.
    pub(crate) fn start_by(lab: &'a Lab, by: &[&str], args: &[&str]) -> Self {
        let mut command = lab.command("sh");
        // Its own id first, which is another outside of the lab.
        command.args(["-c", "echo $$; exec \"$@\"", "sh"]);
        command
            .args(by)
            .args([NSTRACE, "top", "-b", "-o", "json", "-d", "0.2"])
            .args(args);
        Self::follow(lab, &mut command)
    }

    fn follow(lab: &'a Lab, command: &mut Command) -> Self {
        let mut child = command
            .env("NSTRACE_LOG", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut pid = String::new();
        out.read_line(&mut pid).unwrap();
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in out.lines() {
                let line = serde_json::from_str(&line.unwrap()).expect("each line is a document");
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            lab,
            child,
            pid: pid.trim().parse().unwrap(),
            lines,
            seen: Vec::new(),
        }
    }

    /// The next line.
    #[track_caller]
    pub(crate) fn line(&mut self) -> Value {
        match self.lines.recv_timeout(DEADLINE) {
            Ok(line) => {
                self.seen.push(line.clone());
                line
            }
            Err(error) => {
                let status = self.child.try_wait();
                let mut errors = String::new();
                if !matches!(status, Ok(None)) {
                    self.child
                        .stderr
                        .take()
                        .unwrap()
                        .read_to_string(&mut errors)
                        .unwrap();
                }
                panic!("no line: {error}, {status:?}\n{errors}")
            }
        }
    }

    /// Reads lines until one holds what is looked for.
    #[track_caller]
    pub(crate) fn until<T>(&mut self, what: &str, found: impl Fn(&Value) -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            let line = self.line();
            if let Some(found) = found(&line) {
                return found;
            }
            assert!(
                start.elapsed() < DEADLINE,
                "gave up waiting until {what}; last line:\n{line:#}"
            );
        }
    }

    /// Waits until the rows of all `names` are there: from then on every packet counts.
    #[track_caller]
    pub(crate) fn until_attached(&mut self, names: &[&str]) {
        self.until(&format!("{names:?} are attached"), |line| {
            names
                .iter()
                .all(|name| row(line, name).is_some())
                .then_some(())
        });
    }

    /// Waits until the totals of a row are what `device` gives at that moment, and gives the row.
    /// The kernel may still have a word to say by itself, which must count in both.
    #[track_caller]
    pub(crate) fn until_counted(&mut self, name: &str, device: impl Fn() -> [u64; 4]) -> Value {
        let start = Instant::now();
        loop {
            let line = self.newest_line();
            let expected = device();
            let found = row(&line, name).filter(|row| Counts::of(row) == Counts(expected));
            if let Some(found) = found {
                return found.clone();
            }
            assert!(
                start.elapsed() < DEADLINE,
                "gave up waiting until {name} has counted {expected:?}; last line:\n{line:#}"
            );
        }
    }

    /// The line after all that wait already: asking a device takes an emulated machine longer than
    /// nstrace needs for a line.
    #[track_caller]
    fn newest_line(&mut self) -> Value {
        let mut line = self.line();
        while let Ok(newer) = self.lines.try_recv() {
            self.seen.push(newer.clone());
            line = newer;
        }
        line
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, signal: &str) {
        self.lab.run(&format!("kill -{signal} {}", self.pid));
    }

    /// The process that has entered the lab for it, and is its parent.
    pub(crate) fn nsenter(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// Lets it go on after a `STOP`: nsenter has stopped along with it.
    pub(crate) fn go_on(&self) {
        kill(Pid::from_raw(self.nsenter()), Signal::SIGCONT).unwrap();
    }

    /// Sends a signal and waits for the end; gives the status, as the shell would, and all lines.
    pub(crate) fn end(self, signal: &str) -> (ExitStatus, Vec<Value>) {
        self.signal(signal);
        self.wait()
    }

    /// Waits for the end, which something else brings about.
    pub(crate) fn wait(mut self) -> (ExitStatus, Vec<Value>) {
        let status = self.child.wait().unwrap();
        let mut seen = std::mem::take(&mut self.seen);
        seen.extend(self.lines.iter());
        (status, seen)
    }
}

impl Drop for Top<'_> {
    fn drop(&mut self) {
        // It may have ended already; the lab's end is the last resort.
        let ended = matches!(self.child.try_wait(), Ok(Some(_)));
        if !ended {
            self.go_on();
            drop(
                self.lab
                    .command("kill")
                    .args(["-9", &self.pid.to_string()])
                    .status(),
            );
            drop(self.child.wait());
        }
    }
}

/// The row of a namespace that is not gone.
pub(crate) fn row<'a>(line: &'a Value, name: &str) -> Option<&'a Value> {
    rows(line).find(|row| row["name"] == name && row["gone"] == false)
}

/// All rows.
pub(crate) fn rows(line: &Value) -> impl Iterator<Item = &Value> {
    line["rows"].as_array().unwrap().iter()
}

/// Totals of a row, in the order of [`Lab::device`] seen from the pod: its TX is the veth's rx.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts(pub(crate) [u64; 4]);

impl Counts {
    /// What a row of `top` says, in the host veth's order.
    pub(crate) fn of(row: &Value) -> Self {
        Self(
            [
                ("tx", "packets"),
                ("tx", "bytes"),
                ("rx", "packets"),
                ("rx", "bytes"),
            ]
            .map(|(direction, what)| row[direction][what].as_u64().unwrap()),
        )
    }
}

/// Packets and bytes of one class and direction.
pub(crate) fn class(row: &Value, class: &str, direction: &str) -> (u64, u64) {
    let tally = &row["classes"][class][direction];
    (
        tally["packets"].as_u64().unwrap(),
        tally["bytes"].as_u64().unwrap(),
    )
}
