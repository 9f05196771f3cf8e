//! What a user may want of a capture file.

use std::path::PathBuf;

use super::{Rotation, parse_size};
use crate::sys::savefile::Owner;

/// The two formats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum FileFormat {
    /// Interfaces with names, directions, losses, statistics.
    #[default]
    Pcapng,
    /// Packets and their times, for tools that read no other.
    Pcap,
}

/// Room to leave in the file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MinFree {
    /// So many bytes.
    Bytes(u64),
    /// So many percent of the whole.
    Percent(u8),
}

impl MinFree {
    pub(super) fn of(self, total: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => total / 100 * u64::from(percent),
        }
    }
}

impl std::str::FromStr for MinFree {
    type Err = String;

    /// A size as `-C` has it, or `5%`.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_suffix('%') {
            None => parse_size(text).map(Self::Bytes),
            Some(percent) => match percent.parse() {
                Ok(percent @ 1..=99) => Ok(Self::Percent(percent)),
                _ => Err(format!("`{text}` is not between 1% and 99%")),
            },
        }
    }
}

/// How a capture is to be saved.
#[derive(Clone, Debug)]
pub struct SaveOptions {
    /// Where: a path, with `-G` a pattern of strftime(3), or `-` for standard output.
    pub path: PathBuf,
    /// As what.
    pub format: FileFormat,
    /// Files that are there may be replaced.
    pub force: bool,
    /// When to go on with another file.
    pub rotation: Rotation,
    /// Room to leave in the file system.
    pub min_free: Option<MinFree>,
    /// Who files are given to: the user behind sudo.
    pub owner: Option<Owner>,
    /// When the capture began, in nanoseconds since 1970-01-01 UTC.
    pub start: u64,
    /// The kernel's release, for the file's header.
    pub kernel: String,
}

impl SaveOptions {
    /// One new file, as pcapng.
    #[must_use]
    pub fn new(path: PathBuf, owner: Option<Owner>, start: u64, kernel: String) -> Self {
        Self {
            path,
            format: FileFormat::default(),
            force: false,
            rotation: Rotation::default(),
            min_free: None,
            owner,
            start,
            kernel,
        }
    }
}
