//! Options that are a kind, a length and a value: those of TCP.

use super::{Bytes, Cut};

/// Ends the list; without a length.
pub const END: u8 = 0;
/// Does nothing; without a length.
pub const NOP: u8 = 1;

/// One option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpOption<'a> {
    /// What it is.
    pub kind: u8,
    /// What comes after its kind and its length.
    pub value: &'a [u8],
}

/// Why there is no further option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop<'a> {
    /// The capture ends before its value.
    Cut,
    /// The capture ends in its value.
    CutValue {
        /// As much of it as there is.
        option: TcpOption<'a>,
        /// How long its value would be.
        len: usize,
    },
    /// Its length cannot be: below two, or beyond the header.
    BadLength,
}

impl From<Cut> for Stop<'_> {
    fn from(Cut: Cut) -> Self {
        Self::Cut
    }
}

/// The options of a TCP header.
#[derive(Clone, Debug)]
pub struct TcpOptions<'a> {
    bytes: Bytes<'a>,
    /// What is left of the header, captured or not.
    left: usize,
}

impl<'a> TcpOptions<'a> {
    /// In `bytes`, of which `len` are options if that many were captured.
    #[must_use]
    pub const fn new(bytes: Bytes<'a>, len: usize) -> Self {
        Self { bytes, left: len }
    }

    fn read(&mut self) -> Result<TcpOption<'a>, Stop<'a>> {
        let kind = self.bytes.u8(0)?;
        if matches!(kind, END | NOP) {
            self.bytes = self.bytes.from(1);
            self.left = if kind == END { 0 } else { self.left - 1 };
            return Ok(TcpOption { kind, value: &[] });
        }
        let len = usize::from(self.bytes.u8(1)?);
        let Some(value_len) = len.checked_sub(2).filter(|_| len <= self.left) else {
            return Err(Stop::BadLength);
        };
        let value = self.bytes.from(2).upto(value_len).0;
        if value.len() < value_len {
            let option = TcpOption { kind, value };
            return Err(Stop::CutValue {
                option,
                len: value_len,
            });
        }
        self.bytes = self.bytes.from(len);
        self.left -= len;
        Ok(TcpOption { kind, value })
    }
}

impl<'a> Iterator for TcpOptions<'a> {
    type Item = Result<TcpOption<'a>, Stop<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let option = self.read();
        if option.is_err() {
            self.left = 0;
        }
        Some(option)
    }
}
