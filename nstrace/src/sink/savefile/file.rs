//! The lower end: where bytes go, and how much of them has arrived.

use std::{io, path::Path};

use super::{MinFree, rotate::is_stdout};
use crate::sys::savefile::{OpenError, Output, Owner, Room};

/// Something that takes bytes, as far as a capture file needs it. Tests have one that fails.
pub(super) trait Lower: Send {
    /// Takes some of `bytes`, and says how many.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;
    /// Keeps the first `keep` of `written` bytes, if it can.
    fn cut(&mut self, written: u64, keep: u64) -> io::Result<()>;
    /// The room that is left, where that has a meaning.
    fn room(&self) -> io::Result<Option<Room>>;
    /// Whether somebody reads at the other end.
    fn is_pipe(&self) -> bool {
        false
    }
}

impl Lower for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Self::write(self, bytes)
    }

    fn cut(&mut self, written: u64, keep: u64) -> io::Result<()> {
        Self::cut(self, written, keep)
    }

    fn room(&self) -> io::Result<Option<Room>> {
        Self::room(self)
    }

    fn is_pipe(&self) -> bool {
        Self::is_pipe(self)
    }
}

/// Opens files by path; the flag says whether one that is there may go.
pub(super) type Opener = Box<dyn FnMut(&Path, bool) -> Result<Box<dyn Lower>, OpenError> + Send>;

/// Opens real ones.
pub(super) fn opener(owner: Option<Owner>) -> Opener {
    Box::new(move |path, replace| {
        let output = if is_stdout(path) {
            Output::stdout()?
        } else {
            Output::create(path, replace, owner)?
        };
        Ok(Box::new(output))
    })
}

/// Why bytes did not arrive.
#[derive(Debug)]
pub(super) enum Cause {
    Io(io::Error),
    MinFree { free: u64 },
}

/// An open file.
pub(super) struct Stream {
    lower: Box<dyn Lower>,
    min_free: Option<MinFree>,
    /// Bytes that have arrived.
    pub(super) written: u64,
    /// Bytes that may be written until the room is looked at again.
    unchecked: usize,
}

impl Stream {
    /// So much is written without a look at the room: asking costs a system call.
    const CHECK_EACH: usize = super::BUFFER;

    pub(super) fn new(lower: Box<dyn Lower>, min_free: Option<MinFree>) -> Self {
        Self {
            lower,
            min_free,
            written: 0,
            unchecked: 0,
        }
    }

    /// Writes all of `bytes`; if that fails, says how many of them have arrived, and why no more.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), (usize, Cause)> {
        self.check(bytes.len()).map_err(|cause| (0, cause))?;
        let mut rest = bytes;
        while !rest.is_empty() {
            let arrived = bytes.len() - rest.len();
            match self.lower.write(rest) {
                Ok(0) => {
                    return Err((arrived, Cause::Io(io::ErrorKind::WriteZero.into())));
                }
                Ok(taken) => {
                    rest = rest.get(taken..).unwrap_or_default();
                    self.written += taken as u64;
                }
                Err(error) => return Err((arrived, Cause::Io(error))),
            }
        }
        Ok(())
    }

    pub(super) fn is_pipe(&self) -> bool {
        self.lower.is_pipe()
    }

    /// Cuts off the last `surplus` bytes that have arrived, where the file is one that can be cut.
    pub(super) fn cut(&mut self, surplus: u64) -> io::Result<()> {
        self.lower.cut(self.written, self.written - surplus)
    }

    /// Whether there is room for `len` bytes more.
    fn check(&mut self, len: usize) -> Result<(), Cause> {
        let Some(min_free) = self.min_free else {
            return Ok(());
        };
        if let Some(left) = self.unchecked.checked_sub(len) {
            self.unchecked = left;
            return Ok(());
        }
        if let Some(room) = self.lower.room().map_err(Cause::Io)? {
            let ahead = len.max(Self::CHECK_EACH) as u64;
            if room.free.saturating_sub(ahead) < min_free.of(room.total) {
                return Err(Cause::MinFree { free: room.free });
            }
        }
        self.unchecked = Self::CHECK_EACH.saturating_sub(len);
        Ok(())
    }
}
