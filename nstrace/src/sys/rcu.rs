//! Fast RCU grace periods, for as long as many programs are attached or detached.
//!
//! Each change of a TCX chain waits for a grace period while it holds RTNL: 10 ms, which for a
//! thousand interfaces makes 20 seconds in which everybody else waits for the network's lock.
//! `/sys/kernel/rcu_expedited` makes a grace period some 50 us, at the price of an interrupt to
//! every CPU. It is the whole machine's, and stays as it is when its writer dies. So it is never
//! written by the process that watches, but by a guard: a child that holds nothing but a pipe from
//! its parent, hears no signal, and puts the knob back as soon as the pipe closes, whatever closed
//! it, or when nothing came through it for two seconds.
//!
//! Only a knob that stands at 0 is raised, and to a number that nobody else would write: 20051. So
//! what somebody else has set is never touched. Each guard that has raised it locks a byte of the
//! file; the last one puts it back, and a mark that nobody locks was left by a guard that was
//! killed along with its parent: the next nstrace puts that back. They are write locks, which only
//! those can have who may write the knob.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    os::{fd::AsFd as _, unix::fs::FileExt as _},
    process::{Child, ChildStdin, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{prctl, signal::SigSet},
    unistd::setsid,
};

/// Every grace period is expedited while it is not 0.
const EXPEDITED: &str = "/sys/kernel/rcu_expedited";
/// No grace period is expedited while it is not 0, whatever the other says.
const NORMAL: &str = "/sys/kernel/rcu_normal";
/// What we write, as the kernel prints it: "NS". Any number but 0 means the same to the kernel.
const MARK: &str = "20051\n";
const OFF: &str = "0\n";
/// A parent that says nothing for so long is stopped or stuck.
const DEADLINE: Duration = Duration::from_secs(2);
/// How often the parent says that it is still at work.
const RENEWAL: Duration = Duration::from_millis(250);
/// The subcommand under which this binary is the guard.
pub const GUARD: &str = "rcu-guard";

/// Grace periods are expedited while this lives.
#[derive(Debug)]
pub struct Expedited {
    guard: Child,
    input: Option<ChildStdin>,
    renewed: Instant,
}

impl Expedited {
    /// Starts the guard and waits until it has raised the knob; `None` where somebody else has.
    ///
    /// # Errors
    ///
    /// If the knob may not be written (a container's read-only `/sys`), is not there, or would not
    /// help since `rcu_normal` is set.
    pub fn start() -> io::Result<Option<Self>> {
        let value = fs::read_to_string(EXPEDITED)?;
        if value != OFF && value != MARK {
            return Ok(None);
        }
        if fs::read_to_string(NORMAL).is_ok_and(|value| value != OFF) {
            return Err(io::Error::other("rcu_normal is set"));
        }
        File::options().write(true).open(EXPEDITED)?;
        let mut guard = Command::new("/proc/self/exe")
            .arg(GUARD)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut expedited = Self {
            input: guard.stdin.take(),
            renewed: Instant::now(),
            guard,
        };
        let answer = expedited.guard.stdout.take();
        let mut raised = [0];
        answer
            .ok_or(io::ErrorKind::BrokenPipe)?
            .read_exact(&mut raised)?;
        Ok(Some(expedited))
    }

    /// Says, every now and then, that it is still needed. Gives whether it still is as it was: the
    /// guard may have been killed, or have given up while we were stopped, or somebody may have
    /// put the knob back.
    pub fn renew(&mut self) -> bool {
        if self.renewed.elapsed() < RENEWAL {
            return true;
        }
        self.renewed = Instant::now();
        // A guard that has ended reads no more: EPIPE.
        let input = self.input.as_mut();
        input.is_some_and(|input| input.write_all(b".").is_ok())
            && fs::read_to_string(EXPEDITED).is_ok_and(|value| value != OFF)
    }
}

impl Drop for Expedited {
    fn drop(&mut self) {
        drop(self.input.take());
        let ended = self.guard.wait();
        if !ended.is_ok_and(|status| status.success())
            && let Err(error) = put_back()
        {
            tracing::error!(%error, "{EXPEDITED} stays set");
        }
    }
}

/// Sets the knob to 0 if it bears our mark, and nobody is at work under it.
///
/// # Errors
///
/// If the knob may not be written.
pub fn put_back() -> io::Result<()> {
    if fs::read_to_string(EXPEDITED)? != MARK {
        return Ok(());
    }
    let knob = File::options().read(true).write(true).open(EXPEDITED)?;
    lower(&knob)
}

/// The same, with the knob open, and perhaps locked by us.
fn lower(knob: &File) -> io::Result<()> {
    // The last to leave does it. Whether a read lock could be had is asked: only write locks stand
    // in its way, not what anybody may have who may read the file.
    let mut others = lock_of(libc::F_RDLCK, 0, 0);
    fcntl(knob, FcntlArg::F_OFD_GETLK(&mut others))?;
    if i32::from(others.l_type) == libc::F_UNLCK && read(knob)? == MARK {
        knob.write_all_at(OFF.as_bytes(), 0)?;
    }
    Ok(())
}

/// A lock of `length` bytes; 0 means all that may be.
#[expect(
    clippy::cast_possible_truncation,
    reason = "these constants are 0 to 2, whatever their type"
)]
fn lock_of(kind: libc::c_int, start: u32, length: libc::off_t) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: libc::off_t::from(start),
        l_len: length,
        // Of the open file, not of the process: the kernel insists on 0.
        l_pid: 0,
    }
}

fn read(knob: &File) -> io::Result<String> {
    let mut value = [0; 32];
    let length = knob.read_at(&mut value, 0)?;
    Ok(String::from_utf8_lossy(&value[..length]).into_owned())
}

/// The guard's whole life: raise the knob, say so on standard output, wait for the end of standard
/// input, put it back.
///
/// # Errors
///
/// If the knob may not be written, or somebody else has set it meanwhile.
pub fn guard() -> io::Result<()> {
    // Only then is it raised: a Ctrl-C before ends us, and nothing has happened.
    SigSet::all().thread_block()?;
    setsid()?;
    std::env::set_current_dir("/")?;
    // Or it would be called "exe".
    prctl::set_name(c"nstrace-guard")?;
    close_inherited()?;
    let knob = File::options().read(true).write(true).open(EXPEDITED)?;
    // A byte that nobody else of this PID namespace takes.
    let own = lock_of(libc::F_WRLCK, std::process::id(), 1);
    fcntl(&knob, FcntlArg::F_OFD_SETLK(&own))?;
    match &*read(&knob)? {
        OFF => knob.write_all_at(MARK.as_bytes(), 0)?,
        MARK => {}
        _ => return Err(io::ErrorKind::AlreadyExists.into()),
    }
    // From here on nothing may end us before it is put back.
    let waited = wait();
    lower(&knob)?;
    waited
}

fn wait() -> io::Result<()> {
    let mut out = io::stdout();
    out.write_all(b"!").and_then(|()| out.flush())?;
    let input = io::stdin();
    let timeout = PollTimeout::try_from(DEADLINE).unwrap_or(PollTimeout::ZERO);
    loop {
        let mut waiting = [PollFd::new(input.as_fd(), PollFlags::POLLIN)];
        match poll(&mut waiting, timeout) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(error) => return Err(error.into()),
        }
        if nix::unistd::read(input.as_fd(), &mut [0; 64])? == 0 {
            return Ok(());
        }
    }
}

/// Closes all descriptors but the standard ones: our parent may have been given some that it does
/// not know of, and a guard must not keep anything open.
fn close_inherited() -> io::Result<()> {
    // SAFETY: nothing of this process is behind them; its own are opened later.
    let closed = unsafe { libc::close_range(3, libc::c_uint::MAX, 0) };
    if closed < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
