//! One guest, from its boot to its verdict.

use std::fmt;
use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::qemu::Qemu;
use crate::cmd;

/// A guest that takes longer hangs: on a busy machine one has taken half of it.
const LIMIT: Duration = Duration::from_mins(15);
/// As many lines of the kernel's own explain a guest that ended without a verdict.
const LAST_WORDS: usize = 15;
/// What the line begins with by which the guest ends; `init.sh` writes it.
const VERDICT: &str = "nstrace-vm: ";

/// What is booted, and how.
pub(super) struct Guest<'a> {
    pub(super) image: &'a Path,
    pub(super) initramfs: &'a Path,
    /// Where the kernel's messages go
    pub(super) console: &'a Path,
    /// Which tests: names begin so
    pub(super) filters: &'a [&'a str],
}

/// What a guest said at its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// `uname -r`
    pub(super) release: String,
    /// The tests' exit code
    status: u8,
    passed: usize,
    failed: Vec<String>,
    /// Filters under which no test passed
    idle: Vec<String>,
}

impl Guest<'_> {
    /// Boots it, prints what the tests say, and waits for its verdict.
    pub(super) fn run(&self, qemu: &Qemu) -> Result<Verdict> {
        let mut command = qemu.command();
        self.arguments(&mut command);
        eprintln!("$ {}", cmd::text(&command));
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("start QEMU")?;
        let result = follow(&mut child, self.filters);
        // It may have ended already; if not, it has nothing more to say.
        child.kill().context("end QEMU")?;
        let status = child.wait().context("wait for QEMU")?;
        result.with_context(|| self.last_words(status))
    }

    fn arguments(&self, command: &mut Command) {
        // TCG although there may be KVM: in a guest that is one itself, KVM's guests hang.
        let machine = "-machine q35,accel=tcg -cpu max -smp 2 -m 2048 -no-reboot";
        let devices = "-nodefaults -display none";
        command.args(machine.split(' ')).args(devices.split(' '));
        let console = format!("file:{}", self.console.display());
        command.args(["-serial", &console, "-serial", "stdio"]);
        command.arg("-kernel").arg(self.image);
        command.arg("-initrd").arg(self.initramfs);
        // What follows the dashes are arguments of init.
        let filters = self.filters.join(" ");
        let line = format!("console=ttyS0 panic=-1 oops=panic -- {filters}");
        command.args(["-append", &line]);
    }

    fn last_words(&self, status: ExitStatus) -> String {
        let console = self.console.display();
        let text = fs::read(self.console).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(LAST_WORDS)..];
        eprintln!("{}\n(all of it is in {console})", last.join("\n"));
        format!("the guest came to no end (QEMU: {status})")
    }
}

/// Prints what the guest says up to its verdict.
fn follow(child: &mut Child, filters: &[&str]) -> Result<Verdict> {
    let output = child.stdout.take().context("read from QEMU")?;
    let lines = lines(output);
    let until = Instant::now() + LIMIT;
    let mut seen = Vec::new();
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match lines.recv_timeout(left) {
            Ok(line) => {
                if let Some(verdict) = Verdict::new(&line, &seen, filters) {
                    return Ok(verdict);
                }
                println!("{line}");
                seen.push(line);
            }
            Err(RecvTimeoutError::Timeout) => bail!("no verdict after {} s", LIMIT.as_secs()),
            Err(RecvTimeoutError::Disconnected) => bail!("QEMU ended without a verdict"),
        }
    }
}

/// The lines that come, by a thread that ends with them.
fn lines(output: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        // A serial line ends in a carriage return too.
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

impl Verdict {
    /// The verdict that a line is, by what was said before it.
    fn new(line: &str, before: &[String], filters: &[&str]) -> Option<Self> {
        let (status, release) = line.strip_prefix(VERDICT)?.split_once(' ')?;
        let outcomes = || before.iter().filter_map(|line| outcome(line));
        let with = |wanted| outcomes().filter(move |(_, outcome)| *outcome == wanted);
        let is_idle = |filter: &&&str| !with("ok").any(|(name, _)| name.contains(**filter));
        Some(Self {
            release: release.to_owned(),
            status: status.parse().ok()?,
            passed: with("ok").count(),
            failed: with("FAILED").map(|(name, _)| name.to_owned()).collect(),
            idle: filters
                .iter()
                .filter(is_idle)
                .map(|filter| (*filter).to_owned())
                .collect(),
        })
    }

    /// Whether tests have run, some of each kind that was asked for, and all have passed.
    pub(super) fn is_good(&self) -> bool {
        self.status == 0 && self.passed > 0 && self.failed.is_empty() && self.idle.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed", self.passed)?;
        if !self.failed.is_empty() {
            write!(f, ", failed: {}", self.failed.join(" "))?;
        }
        if !self.idle.is_empty() {
            write!(f, ", no test passed in: {}", self.idle.join(" "))?;
        }
        if self.status != 0 {
            write!(f, ", exit code {}", self.status)?;
        }
        Ok(())
    }
}

/// The name of a test and what became of it, as libtest says it.
fn outcome(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix("test ")?.split_once(" ... ")
}

#[cfg(test)]
mod tests {
    use super::Verdict;

    const FILTERS: [&str; 2] = ["counts::", "residue::"];

    fn verdict(line: &str, before: &[&str]) -> Option<Verdict> {
        let before: Vec<_> = before.iter().map(|line| (*line).to_owned()).collect();
        Verdict::new(line, &before, &FILTERS)
    }

    #[test]
    fn good_is_only_what_ran_and_passed() {
        let said = [
            "running 2 tests",
            "test counts::one ... ok",
            "test residue::two ... ok",
            "test result: ok. 2 passed; 0 failed",
        ];
        let good = verdict("nstrace-vm: 0 5.10.0-46-cloud-amd64", &said).expect("a verdict");
        assert!(good.is_good(), "{good:?}");
        assert_eq!(good.release, "5.10.0-46-cloud-amd64");
        assert_eq!(good.to_string(), "2 passed");
    }

    #[test]
    fn filter_without_a_test_is_no_success() {
        let said = ["test counts::one ... ok"];
        let idle = verdict("nstrace-vm: 0 6.1", &said).expect("a verdict");
        assert!(!idle.is_good());
        assert_eq!(idle.to_string(), "1 passed, no test passed in: residue::");
    }

    #[test]
    fn failures_are_named() {
        let said = [
            "test counts::one ... ok",
            "test residue::two ... FAILED",
            "test residue::three ... ok",
        ];
        let bad = verdict("nstrace-vm: 101 6.1", &said).expect("a verdict");
        assert!(!bad.is_good());
        assert_eq!(
            bad.to_string(),
            "2 passed, failed: residue::two, exit code 101"
        );
    }

    #[test]
    fn other_lines_are_no_verdict() {
        for line in [
            "",
            "test counts::one ... ok",
            "nstrace-vm: x 6.1",
            "nstrace-vm: 0",
        ] {
            assert_eq!(verdict(line, &[]), None, "{line}");
        }
    }
}
