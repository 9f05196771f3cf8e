//! Files that captures are written to: made safely, cut back, asked for the room that is left.

use std::{
    fs::File,
    io::{self, IsTerminal as _, Write as _},
    os::{
        fd::{AsFd as _, AsRawFd as _, OwnedFd},
        unix::fs::{FileTypeExt as _, MetadataExt as _},
    },
    path::Path,
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl, open},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{stat::Mode, statvfs::fstatvfs},
    unistd::{Gid, Uid, fchown, unlink},
};

/// A file, pipe or device that is open for writing.
#[derive(Debug)]
pub struct Output {
    file: File,
    /// Where in it the first byte goes, if it is a file that can be cut back.
    start: Option<u64>,
}

/// Why a file was not made.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is one already.
    #[error("it exists")]
    Exists,
    /// What is there is a symbolic link to something else than a pipe.
    #[error("it is a symbolic link")]
    Symlink,
    /// What is there is neither a file nor a pipe nor a character device.
    #[error("it is neither a file nor a pipe nor a character device")]
    Kind,
    /// Standard output is a terminal.
    #[error("standard output is a terminal")]
    Terminal,
    /// The kernel refuses.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<Errno> for OpenError {
    fn from(errno: Errno) -> Self {
        Self::Io(errno.into())
    }
}

/// Room in a file system, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// What a user without privileges can still take.
    pub free: u64,
    /// The whole of it.
    pub total: u64,
}

/// Who a file is given to: a uid and a gid.
pub type Owner = (u32, u32);

impl Output {
    /// Makes a file that only its owner can read, never through a symbolic link, or opens the pipe
    /// or character device that is there. A pipe's other end is waited for.
    ///
    /// A file that is there is left alone, or replaced: whoever reads the old one keeps it whole,
    /// and its permissions are not taken over.
    ///
    /// # Errors
    ///
    /// If something else is there, or the kernel refuses.
    pub fn create(path: &Path, replace: bool, owner: Option<Owner>) -> Result<Self, OpenError> {
        match make(path, owner) {
            Err(Errno::EEXIST) => {}
            made => return Ok(Self::new(made?, Some(0))),
        }
        // Looked at before it is opened: opening a device may already do something.
        let there = File::from(open(
            path,
            OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC,
            Mode::empty(),
        )?);
        let kind = there.metadata()?.file_type();
        if kind.is_file() {
            if !replace {
                return Err(OpenError::Exists);
            }
            unlink(path)?;
            return Ok(Self::new(make(path, owner)?, Some(0)));
        }
        if kind.is_fifo() || kind.is_char_device() {
            return reopen(&there);
        }
        if kind.is_symlink() {
            // A shell's `>(command)` is a link to a pipe.
            let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
            let there = File::from(open(path, flags, Mode::empty())?);
            if there.metadata()?.file_type().is_fifo() {
                return reopen(&there);
            }
            return Err(OpenError::Symlink);
        }
        Err(OpenError::Kind)
    }

    /// Standard output, unless it is a terminal.
    ///
    /// # Errors
    ///
    /// If it is one, or is closed.
    pub fn stdout() -> Result<Self, OpenError> {
        let stdout = io::stdout();
        if stdout.is_terminal() {
            return Err(OpenError::Terminal);
        }
        let file = File::from(stdout.as_fd().try_clone_to_owned()?);
        let metadata = file.metadata()?;
        let start = if metadata.is_file() {
            let flags = OFlag::from_bits_retain(fcntl(&file, FcntlArg::F_GETFL)?);
            if flags.contains(OFlag::O_APPEND) {
                Some(metadata.size())
            } else {
                Some(io::Seek::stream_position(&mut &file)?)
            }
        } else {
            None
        };
        Ok(Self { file, start })
    }

    fn new(file: OwnedFd, start: Option<u64>) -> Self {
        Self {
            file: File::from(file),
            start,
        }
    }

    /// Writes what it takes of `bytes`, and says how much that was. Waits while a pipe is full.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.file.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Standard output may be shared with who wants it so.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let mut wanted = [PollFd::new(self.file.as_fd(), PollFlags::POLLOUT)];
                    match poll(&mut wanted, PollTimeout::NONE) {
                        Ok(_) | Err(Errno::EINTR) => {}
                        Err(errno) => return Err(errno.into()),
                    }
                }
                written => return written,
            }
        }
    }

    /// Whether it is a pipe or a socket.
    #[must_use]
    pub fn is_pipe(&self) -> bool {
        use std::os::unix::fs::FileTypeExt as _;

        let metadata = self.file.metadata();
        metadata.is_ok_and(|metadata| {
            let kind = metadata.file_type();
            kind.is_fifo() || kind.is_socket()
        })
    }

    /// Cuts a file of which `written` bytes were written to the first `keep` of them. What cannot
    /// be cut is left as it is: a pipe, or a file that others write to.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    pub fn cut(&mut self, written: u64, keep: u64) -> io::Result<()> {
        let Some(start) = self.start else {
            return Ok(());
        };
        if written == keep || self.file.metadata()?.size() != start + written {
            return Ok(());
        }
        self.file.set_len(start + keep)
    }

    /// The room in the file system of a file; none for what is no file.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    pub fn room(&self) -> io::Result<Option<Room>> {
        if self.start.is_none() {
            return Ok(None);
        }
        let stat = fstatvfs(&self.file)?;
        let unit = stat.fragment_size();
        Ok(Some(Room {
            free: stat.blocks_available().saturating_mul(unit),
            total: stat.blocks().saturating_mul(unit),
        }))
    }
}

fn make(path: &Path, owner: Option<Owner>) -> Result<OwnedFd, Errno> {
    let flags =
        OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let fd = open(path, flags, Mode::S_IRUSR | Mode::S_IWUSR)?;
    if let Some((uid, gid)) = owner {
        fchown(&fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    }
    Ok(fd)
}

/// Opens for writing what is known by `there`, whatever its path leads to by now.
fn reopen(there: &File) -> Result<Output, OpenError> {
    let path = format!("/proc/self/fd/{}", there.as_raw_fd());
    let flags = OFlag::O_WRONLY | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    Ok(Output::new(
        open(path.as_str(), flags, Mode::empty())?,
        None,
    ))
}

#[cfg(test)]
#[expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on panics, with its stack"
)]
mod tests {
    use std::{
        fs,
        io::Read as _,
        os::unix::fs::{PermissionsExt as _, symlink},
        thread,
    };

    use nix::unistd::{getegid, geteuid, mkfifo};

    use super::*;

    #[test]
    fn a_file_is_its_owners_alone_and_is_not_replaced_unasked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let owner = Some((geteuid().as_raw(), getegid().as_raw()));
        let mut output = Output::create(&path, false, owner).unwrap();
        assert_eq!(output.write(b"old").unwrap(), 3);
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o7777, 0o600);
        let again = Output::create(&path, false, None).unwrap_err();
        assert!(matches!(again, OpenError::Exists));

        // Who reads the old one keeps it, and nobody else can read the new one.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let mut old = File::open(&path).unwrap();
        let mut output = Output::create(&path, true, None).unwrap();
        assert_eq!(output.write(b"new").unwrap(), 3);
        let mut kept = String::new();
        old.read_to_string(&mut kept).unwrap();
        assert_eq!(
            (kept.as_str(), fs::read(&path).unwrap()),
            ("old", b"new".to_vec())
        );
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
            0o600
        );
    }

    #[test]
    fn a_root_run_by_sudo_gives_the_file_to_the_user() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let made = Output::create(&path, false, Some((4242, 4343)));
        if geteuid().is_root() {
            made.unwrap();
            let metadata = fs::metadata(&path).unwrap();
            assert_eq!((metadata.uid(), metadata.gid()), (4242, 4343));
        } else {
            assert!(matches!(made.unwrap_err(), OpenError::Io(_)));
        }
    }

    #[test]
    fn no_link_is_followed_to_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        symlink(&target, &link).unwrap();
        for replace in [false, true] {
            // One that leads nowhere.
            let error = Output::create(&link, replace, None).unwrap_err();
            assert!(matches!(error, OpenError::Io(_)), "{error}");
            assert!(!target.exists());
        }
        fs::write(&target, "mine").unwrap();
        for replace in [false, true] {
            let error = Output::create(&link, replace, None).unwrap_err();
            assert!(matches!(error, OpenError::Symlink), "{error}");
        }
        assert_eq!(fs::read(&target).unwrap(), b"mine");
        let error = Output::create(folder.path(), true, None).unwrap_err();
        assert!(matches!(error, OpenError::Kind), "{error}");
    }

    #[test]
    fn pipes_and_devices_that_are_there_are_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let (pipe, link) = (folder.path().join("pipe"), folder.path().join("link"));
        mkfifo(&pipe, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        symlink(&pipe, &link).unwrap();
        for path in [&pipe, &link] {
            let reader = thread::spawn({
                let pipe = pipe.clone();
                move || fs::read(pipe).unwrap()
            });
            let mut output = Output::create(path, false, None).unwrap();
            assert_eq!(output.write(b"abc").unwrap(), 3);
            assert_eq!(output.room().unwrap(), None);
            output.cut(3, 1).unwrap();
            drop(output);
            assert_eq!(reader.join().unwrap(), b"abc", "a pipe is not cut");
        }
        let mut null = Output::create(Path::new("/dev/null"), false, None).unwrap();
        assert_eq!(null.write(b"abc").unwrap(), 3);
        let mut full = Output::create(Path::new("/dev/full"), false, None).unwrap();
        assert_eq!(
            full.write(b"abc").unwrap_err().kind(),
            io::ErrorKind::StorageFull
        );
    }

    #[test]
    fn a_file_is_cut_unless_others_write_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let mut output = Output::create(&path, false, None).unwrap();
        assert_eq!(output.write(b"abcdef").unwrap(), 6);
        output.cut(6, 4).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"abcd");
        fs::write(&path, "of another").unwrap();
        output.cut(6, 4).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"of another");
        let room = output.room().unwrap().unwrap();
        assert!(0 < room.free && room.free < room.total);
    }

    #[test]
    fn a_pipe_that_does_not_wait_is_waited_for() {
        const LEN: usize = 1 << 20;
        let (mut reader, writer) = io::pipe().unwrap();
        fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
        let mut output = Output::new(writer.into(), None);
        let reader = thread::spawn(move || {
            let mut read = Vec::new();
            reader.read_to_end(&mut read).unwrap();
            read.len()
        });
        let bytes = vec![0; LEN];
        let mut written = 0;
        while written < LEN {
            written += output.write(&bytes[written..]).unwrap();
        }
        drop(output);
        assert_eq!(reader.join().unwrap(), LEN);
    }
}
