//! Bytes of a file, as many at a time as a block has.

use std::io::{self, Read};

use super::ReadError;

/// Read at once, if no block is larger.
const CHUNK: usize = 256 << 10;

/// A window over what is read, which grows to the largest block and no further.
pub(super) struct Source<R> {
    from: R,
    buffer: Vec<u8>,
    /// What of the buffer is read and not yet consumed.
    start: usize,
    end: usize,
    /// Where in the file `start` is.
    pub(super) offset: u64,
}

impl<R: Read> Source<R> {
    pub(super) fn new(from: R) -> Self {
        Self {
            from,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            offset: 0,
        }
    }

    /// The next bytes, `len` of them unless the file ends before; they are not consumed.
    pub(super) fn peek(&mut self, len: usize) -> Result<&[u8], ReadError> {
        if self.end - self.start < len {
            self.fill(len)?;
        }
        Ok(&self.buffer[self.start..self.end.min(self.start + len)])
    }

    /// Goes on behind the next `len` bytes, which must have been peeked at; gives them.
    pub(super) fn consume(&mut self, len: usize) -> &[u8] {
        let start = self.start;
        self.start = self.end.min(start + len);
        self.offset += (self.start - start) as u64;
        &self.buffer[start..self.start]
    }

    /// Goes over `len` bytes, whatever they take; says how many there were.
    pub(super) fn skip(&mut self, len: usize) -> Result<usize, ReadError> {
        let mut skipped = 0;
        while skipped < len {
            let there = self.peek(CHUNK.min(len - skipped))?.len();
            if there == 0 {
                break;
            }
            self.consume(there);
            skipped += there;
        }
        Ok(skipped)
    }

    fn fill(&mut self, len: usize) -> Result<(), ReadError> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.buffer.len() < len.max(CHUNK) {
            self.buffer.resize(len.max(CHUNK), 0);
        }
        while self.end < len {
            match self.from.read(&mut self.buffer[self.end..]) {
                Ok(0) => break,
                Ok(read) => self.end = self.buffer.len().min(self.end + read),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(ReadError::Io {
                        offset: self.offset + self.end as u64,
                        source,
                    });
                }
            }
        }
        Ok(())
    }
}
