//! A running `nstrace capture`, and what it says.

use std::{
    io::Read,
    process::{Child, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::Instant,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{DEADLINE, lab::Lab, nstrace::NSTRACE, wait_until};

/// What a stream has given so far, read by a thread.
struct Collected {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Collected {
    fn from(mut stream: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&bytes);
        let reader = thread::spawn(move || {
            // Larger than what a pipe takes in one piece, so that no message is seen in parts.
            let mut buffer = vec![0; 64 << 10];
            while let Ok(length @ 1..) = stream.read(&mut buffer) {
                sink.lock().unwrap().extend_from_slice(&buffer[..length]);
            }
        });
        Self { bytes, reader }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }

    /// All of it, when the other end is closed.
    fn all(self) -> Vec<u8> {
        self.reader.join().unwrap();
        Arc::try_unwrap(self.bytes).unwrap().into_inner().unwrap()
    }
}

/// A capture that runs.
pub(crate) struct Capture<'a> {
    lab: &'a Lab,
    child: Child,
    /// Its process id in the lab.
    pub(crate) pid: u32,
    errors: Collected,
    output: Option<Collected>,
}

/// How a capture has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) output: Vec<u8>,
    /// Without the first line, which is the process id.
    pub(crate) errors: String,
}

impl Ended {
    /// The last summary.
    #[track_caller]
    pub(crate) fn summary(&self) -> Summary {
        let all = Summary::all(&self.errors);
        let last = all.last().cloned();
        last.unwrap_or_else(|| panic!("no summary:\n{}", self.errors))
    }

    /// Asserts the exit code; gives the last summary.
    #[track_caller]
    pub(crate) fn with_code(&self, code: i32) -> Summary {
        assert_eq!(self.status.code(), Some(code), "{}", self.errors);
        // What the kernel has counted is what was read; anything else is logged.
        assert!(!self.errors.contains("ERROR"), "{}", self.errors);
        assert!(!self.errors.contains("unreadable"), "{}", self.errors);
        self.summary()
    }
}

impl<'a> Capture<'a> {
    /// Starts one, and waits until it is attached everywhere.
    #[track_caller]
    pub(crate) fn start(lab: &'a Lab, args: &[&str]) -> Self {
        Self::start_by(lab, &[], args)
    }

    /// Has it started by a command that becomes it.
    #[track_caller]
    pub(crate) fn start_by(lab: &'a Lab, by: &[&str], args: &[&str]) -> Self {
        let mut capture = Self::spawn(lab, by, args, Stdio::piped());
        capture.until_attached();
        capture
    }

    /// The same with a standard output of its own.
    #[track_caller]
    pub(crate) fn start_into(lab: &'a Lab, args: &[&str], output: impl Into<Stdio>) -> Self {
        let mut capture = Self::spawn(lab, &[], args, output.into());
        capture.until_attached();
        capture
    }

    fn spawn(lab: &'a Lab, by: &[&str], args: &[&str], output: Stdio) -> Self {
        let mut command = lab.command("sh");
        // Its own id first, which is another outside of the lab.
        command
            .args(["-c", "echo $$ >&2; exec \"$@\"", "sh"])
            .args(by)
            .args([NSTRACE, "capture"])
            .args(args);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let errors = Collected::from(child.stderr.take().unwrap());
        let output = child.stdout.take().map(Collected::from);
        let pid = wait_until("the shell has said its id", || {
            errors.text().lines().next()?.parse().ok()
        });
        Self {
            lab,
            child,
            pid,
            errors,
            output,
        }
    }

    #[track_caller]
    fn until_attached(&mut self) {
        self.until("nstrace: capturing on ");
    }

    /// Waits until `text` stands on its standard error.
    #[track_caller]
    pub(crate) fn until(&mut self, text: &str) {
        let start = Instant::now();
        while !self.errors.text().contains(text) {
            let ended = self.child.try_wait().unwrap();
            let errors = self.errors.text();
            assert!(
                (ended.is_none() && start.elapsed() < DEADLINE) || errors.contains(text),
                "no {text:?}, {ended:?}:\n{errors}"
            );
            thread::sleep(std::time::Duration::from_millis(2));
        }
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Asks it how it stands.
    #[track_caller]
    pub(crate) fn summary(&self) -> Summary {
        let before = Summary::all(&self.errors.text()).len();
        self.signal("USR1");
        wait_until("the summary is there", || {
            Summary::all(&self.errors.text()).into_iter().nth(before)
        })
    }

    /// Asks it until the summary is as it is looked for.
    #[track_caller]
    pub(crate) fn until_summary(&self, what: &str, found: impl Fn(&Summary) -> bool) -> Summary {
        let start = Instant::now();
        loop {
            let summary = self.summary();
            if found(&summary) {
                return summary;
            }
            assert!(
                start.elapsed() < DEADLINE,
                "gave up waiting until {what}: {summary:#?}"
            );
        }
    }

    /// Waits until it has read so many packets.
    #[track_caller]
    pub(crate) fn until_matched(&self, packets: u64) -> Summary {
        self.until_summary(&format!("{packets} have matched"), |summary| {
            summary.matched >= packets
        })
    }

    /// Waits until an interface is attached that was not there when it started.
    #[track_caller]
    pub(crate) fn until_follows(&self, iface: &str) {
        self.until_summary(&format!("{iface} is attached"), |summary| {
            let of_iface = summary.ifaces.iter().rev().find(|(name, _)| name == iface);
            of_iface.is_some_and(|(_, said)| said.attached.contains("after it appeared"))
        });
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, signal: &str) {
        self.lab.run(&format!("kill -{signal} {}", self.pid));
    }

    /// Lets it go on after a `STOP`: nsenter has stopped along with it.
    pub(crate) fn go_on(&self) {
        let nsenter = i32::try_from(self.child.id()).unwrap();
        kill(Pid::from_raw(nsenter), Signal::SIGCONT).unwrap();
    }

    /// Sends a signal and waits for the end.
    pub(crate) fn end(self, signal: &str) -> Ended {
        self.signal(signal);
        self.wait()
    }

    /// Waits for the end, which something else brings about.
    pub(crate) fn wait(mut self) -> Ended {
        let status = self.child.wait().unwrap();
        let output = self.output.take().map(Collected::all).unwrap_or_default();
        // The thread ends with the stream.
        wait_until("its errors are read", || {
            self.errors.reader.is_finished().then_some(())
        });
        let errors = self.errors.text();
        let errors = errors.split_once('\n').unwrap_or_default().1.to_owned();
        Ended {
            status,
            output,
            errors,
        }
    }
}

impl Drop for Capture<'_> {
    fn drop(&mut self) {
        // It may have ended already; the lab's end is the last resort.
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            self.go_on();
            let mut kill = self.lab.command("kill");
            drop(kill.args(["-9", &self.pid.to_string()]).status());
            drop(self.child.wait());
        }
    }
}

/// What a summary says of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OfIface {
    /// Captured, matched, dropped by ring, dropped by disk; where there are several interfaces.
    pub(crate) counts: Option<[u64; 4]>,
    /// When it was attached.
    pub(crate) attached: String,
}

/// What became of the packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) captured: u64,
    pub(crate) matched: u64,
    pub(crate) lost_ring: u64,
    pub(crate) lost_disk: u64,
    /// In the order of the file.
    pub(crate) ifaces: Vec<(String, OfIface)>,
}

impl Summary {
    /// All that are in a text.
    pub(crate) fn all(text: &str) -> Vec<Self> {
        const LINES: [&str; 4] = [
            "captured",
            "matched by filter",
            "dropped by ring",
            "dropped by disk",
        ];
        let lines: Vec<&str> = text.lines().collect();
        let number = |line: &str, what: &str| -> Option<u64> {
            let (count, rest) = line.split_once(' ')?;
            let rest = rest
                .strip_prefix("packets ")
                .or(rest.strip_prefix("packet "));
            (rest? == what).then(|| count.parse().ok())?
        };
        let at = |start: usize| -> Option<Self> {
            let mut numbers = [0; 4];
            for (place, what) in LINES.into_iter().enumerate() {
                numbers[place] = number(lines.get(start + place)?, what)?;
            }
            let [captured, matched, lost_ring, lost_disk] = numbers;
            Some(Self {
                captured,
                matched,
                lost_ring,
                lost_disk,
                ifaces: lines[start + 4..]
                    .iter()
                    .map_while(|line| iface(line))
                    .collect(),
            })
        };
        (0..lines.len()).filter_map(at).collect()
    }

    /// Asserts that no packet is unaccounted for, of all together and of each interface.
    #[track_caller]
    pub(crate) fn assert_adds_up(&self) {
        assert_eq!(
            self.captured + self.lost_ring + self.lost_disk,
            self.matched,
            "{self:#?}"
        );
        let mut sum = [0; 4];
        for (_, of_iface) in &self.ifaces {
            let Some([captured, matched, ring, disk]) = of_iface.counts else {
                return;
            };
            assert_eq!(captured + ring + disk, matched, "{self:#?}");
            for (sum, one) in sum.iter_mut().zip([captured, matched, ring, disk]) {
                *sum += one;
            }
        }
        if self.ifaces.len() > 1 {
            let [captured, matched, ring, disk] = sum;
            let total = (captured, matched, ring, disk);
            let expected = (self.captured, self.matched, self.lost_ring, self.lost_disk);
            assert_eq!(total, expected, "{self:#?}");
        }
    }

    /// Asserts that so many were captured, and none was dropped.
    #[track_caller]
    pub(crate) fn assert_all(&self, packets: u64) {
        assert_eq!(
            (self.captured, self.matched),
            (packets, packets),
            "{self:#?}"
        );
        self.assert_adds_up();
    }

    /// The counts of an interface, if there are several.
    #[track_caller]
    pub(crate) fn of(&self, name: &str) -> [u64; 4] {
        let found = self.ifaces.iter().find(|(iface, _)| iface == name);
        let counts = found.and_then(|(_, of_iface)| of_iface.counts);
        counts.unwrap_or_else(|| panic!("no {name} in {self:#?}"))
    }
}

fn iface(line: &str) -> Option<(String, OfIface)> {
    let (name, rest) = line.split_once(": ")?;
    let (counts, attached) = match rest.split_once("; ") {
        None => (None, rest),
        Some((counts, attached)) => (Some(counts), attached),
    };
    if !(attached.starts_with("attached ") || attached == "never attached") {
        return None;
    }
    let counts = counts.map(|counts| {
        let words = ["captured", "matched", "dropped by ring", "by disk"];
        let mut numbers = [0; 4];
        for ((number, said), what) in numbers.iter_mut().zip(counts.split(", ")).zip(words) {
            let (count, said) = said.split_once(' ').unwrap();
            assert_eq!(said, what);
            *number = count.parse().unwrap();
        }
        numbers
    });
    let attached = attached.to_owned();
    Some((name.to_owned(), OfIface { counts, attached }))
}
