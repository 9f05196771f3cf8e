//! `nstrace top` on a lab of three netns.

use std::io::{self, BufRead as _, BufReader, IsTerminal as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::lab::{self, Member};
use crate::{cargo, cmd, setup};

/// Makes the lab, shows it, removes it, and passes nstrace's exit code on.
pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    setup::install(setup::Purpose::Build)?;
    let nstrace = cargo::build_release()?;
    let _lab = Holder::start()?;
    let mut top = top(nstrace)?;
    Ok(cmd::exit_code(cmd::status(top.args(args))?))
}

/// On a terminal the interactive screen, elsewhere five screens of text.
fn top(nstrace: PathBuf) -> Result<Command> {
    let mut top = cmd::as_root(nstrace)?;
    top.arg("top");
    if !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
        top.args(["-b", "-c", "5", "-d", "1"]);
    }
    top.args(Member::ALL.map(Member::name));
    Ok(top)
}

/// The process that holds the lab. Dropped, it has removed the lab.
struct Holder {
    process: Child,
    said: BufReader<ChildStdout>,
}

impl Holder {
    /// Returns once the lab is up.
    fn start() -> Result<Self> {
        let exe = std::env::current_exe().context("find xtask's own executable")?;
        let mut command = cmd::as_root(exe)?;
        command
            .arg(lab::HOLDER)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut process = command
            .spawn()
            .with_context(|| format!("start `{}`", cmd::text(&command)))?;
        let stdout = process.stdout.take().context("the holder has a stdout")?;
        let mut holder = Self {
            process,
            said: BufReader::new(stdout),
        };
        let mut line = String::new();
        holder
            .said
            .read_line(&mut line)
            .context("wait for the demo's lab")?;
        if line.trim_end() != lab::READY {
            bail!("the demo's lab is not up: `{}` failed", cmd::text(&command));
        }
        Ok(holder)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // The end of its stdin is the word to remove the lab.
        drop(self.process.stdin.take());
        // It has the other end of this pipe until it is done. The child itself may be gone
        // before, by the ctrl-c that ended nstrace.
        let done = io::copy(&mut self.said, &mut io::sink());
        if let Err(err) = done.and_then(|_| self.process.wait()) {
            eprintln!("xtask: wait for the lab's removal: {err}");
        }
    }
}
