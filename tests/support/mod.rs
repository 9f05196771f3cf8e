//! What the tests share: a lab to work in, ways to send, a running nstrace to watch.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on panics, with its stack"
)]

pub(crate) mod bpf;
pub(crate) mod capture;
pub(crate) mod cgroup;
pub(crate) mod cri;
pub(crate) mod kernel;
pub(crate) mod lab;
pub(crate) mod nstrace;
pub(crate) mod podman;
pub(crate) mod run;
pub(crate) mod savefile;
pub(crate) mod send;
pub(crate) mod tcpdump;
pub(crate) mod tty;

use std::{
    fs::File,
    io,
    os::fd::AsRawFd as _,
    thread,
    time::{Duration, Instant},
};

/// Long enough for a loaded machine; no test waits for it to pass when all is well.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Looks again and again until `found` gives something; panics with `what` after [`DEADLINE`].
#[track_caller]
pub(crate) fn wait_until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(start.elapsed() < DEADLINE, "gave up waiting until {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Takes a record lock of a file's first byte, as anybody can who may read the file.
pub(crate) fn lock_to_read(file: &File) -> io::Result<()> {
    // SAFETY: all-zero is a valid value of this plain struct.
    let mut first: libc::flock = unsafe { std::mem::zeroed() };
    first.l_len = 1;
    first.l_type = libc::F_RDLCK.try_into().unwrap();
    // SAFETY: the descriptor is open; the struct is read only.
    let locked = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const first) };
    if locked < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
