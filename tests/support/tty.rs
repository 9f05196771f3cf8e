//! An nstrace on a terminal of its own.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::fd::OwnedFd,
    process::{Child, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use nix::{
    pty::{Winsize, openpty},
    sys::termios::{Termios, tcgetattr},
};

use super::{DEADLINE, lab::Lab, nstrace::NSTRACE, wait_until};

/// A terminal with something running in it.
pub(crate) struct Tty {
    child: Child,
    user: File,
    /// Kept open, so that the settings can be read after the program has ended.
    program: OwnedFd,
    before: Termios,
    output: Arc<Mutex<Vec<u8>>>,
}

impl Tty {
    /// Starts nstrace in the lab, on a terminal of 80 by 24.
    pub(crate) fn start(lab: &Lab, args: &[&str]) -> Self {
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pty = openpty(Some(&size), None).unwrap();
        let before = tcgetattr(&pty.slave).unwrap();
        let end = || Stdio::from(pty.slave.try_clone().unwrap());
        let child = lab
            .command("setsid")
            .args([
                "--ctty",
                "--wait",
                "sh",
                "-c",
                "echo $$ >/run/tty.pid; exec \"$@\"",
                "sh",
                NSTRACE,
            ])
            .args(args)
            .env("TERM", "xterm-256color")
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .unwrap();
        let user = File::from(pty.master);
        let mut reader = user.try_clone().unwrap();
        let output = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&output);
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                sink.lock().unwrap().extend_from_slice(&buffer[..length]);
            }
        });
        Self {
            child,
            user,
            program: pty.slave,
            before,
            output,
        }
    }

    /// Everything that was written to the terminal so far.
    pub(crate) fn output(&self) -> String {
        String::from_utf8_lossy(&self.output.lock().unwrap()).into_owned()
    }

    /// Waits until `text` was written.
    #[track_caller]
    pub(crate) fn until(&self, text: &str) {
        let start = Instant::now();
        while !self.output().contains(text) {
            let output = self.output();
            assert!(
                start.elapsed() < DEADLINE,
                "no {text:?} on the screen:\n{output:?}"
            );
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Types.
    pub(crate) fn keys(&mut self, keys: &str) {
        self.user.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for the end, and asserts that the terminal is as it was found.
    #[track_caller]
    pub(crate) fn end(mut self) -> ExitStatus {
        let status = self.child.wait().unwrap();
        assert_eq!(
            tcgetattr(&self.program).unwrap(),
            self.before,
            "settings of the terminal"
        );
        // Leave the alternate screen, show the cursor: in whatever order, and last.
        wait_until("the screen is given back", || {
            let output = self.output();
            let left = output.rfind("\x1b[?1049l")?;
            let shown = output.rfind("\x1b[?25h")?;
            (left > output.rfind("\x1b[?1049h")? && shown > output.rfind("\x1b[?25l")?)
                .then_some(())
        });
        status
    }
}
