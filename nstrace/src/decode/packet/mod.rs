//! Reading the bytes of a packet, whatever they are. Nothing here can panic.
//!
//! `etherparse` reads whole headers ([`crate::sink::packet::json`]); this is for what is printed
//! field by field up to the place where the capture was cut, and for what it does not read.

#![cfg_attr(not(test), warn(clippy::indexing_slicing))]

pub mod dns;
pub mod option;

/// The bytes end before what was to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut;

/// The captured part of a packet or of a layer of it, read by position, in network byte order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bytes<'a>(pub &'a [u8]);

impl<'a> Bytes<'a> {
    /// How many there are.
    #[must_use]
    pub const fn len(self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// `N` bytes at a position.
    ///
    /// # Errors
    ///
    /// If the bytes end before.
    pub fn array<const N: usize>(self, at: usize) -> Result<[u8; N], Cut> {
        let rest = self.0.get(at..).ok_or(Cut)?;
        rest.first_chunk().copied().ok_or(Cut)
    }

    /// `len` bytes at a position.
    ///
    /// # Errors
    ///
    /// If the bytes end before.
    pub fn slice(self, at: usize, len: usize) -> Result<&'a [u8], Cut> {
        let rest = self.0.get(at..).ok_or(Cut)?;
        rest.get(..len).ok_or(Cut)
    }

    /// The byte at a position.
    ///
    /// # Errors
    ///
    /// If the bytes end before.
    pub fn u8(self, at: usize) -> Result<u8, Cut> {
        self.0.get(at).copied().ok_or(Cut)
    }

    /// The 16-bit number at a position.
    ///
    /// # Errors
    ///
    /// If the bytes end before.
    pub fn u16(self, at: usize) -> Result<u16, Cut> {
        self.array(at).map(u16::from_be_bytes)
    }

    /// The 32-bit number at a position.
    ///
    /// # Errors
    ///
    /// If the bytes end before.
    pub fn u32(self, at: usize) -> Result<u32, Cut> {
        self.array(at).map(u32::from_be_bytes)
    }

    /// What comes from a position on: nothing if that is beyond the end.
    #[must_use]
    pub fn from(self, at: usize) -> Self {
        Self(self.0.get(at..).unwrap_or_default())
    }

    /// At most the first `len`.
    #[must_use]
    pub fn upto(self, len: usize) -> Self {
        Self(self.0.get(..len).unwrap_or(self.0))
    }
}
