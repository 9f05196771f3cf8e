//! What can go wrong with a capture file, and what to do about it.

use std::io;

use crate::sys::savefile::OpenError;

/// A capture file could not be made or written.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// The file could not be made.
    #[error("create the capture file {path}")]
    Create {
        /// Where.
        path: String,
        /// Why not.
        #[source]
        source: OpenError,
    },
    /// It is to go to standard output, and to other files as well.
    #[error("standard output cannot be rotated")]
    RotatedStdout,
    /// The name is not one that strftime(3) would take.
    #[error("name capture files by {pattern}: {reason}")]
    Pattern {
        /// The name.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// With `-G`, each file would have the same name.
    #[error("with -G each capture file would be named {path}")]
    NoPattern {
        /// The name.
        path: String,
    },
    /// A pcap file holds packets of one link type.
    #[error("{name} has link type {link_type} where a pcap file has {first} already")]
    LinkType {
        /// The interface. Untrusted.
        name: String,
        /// Its link type.
        link_type: u16,
        /// The file's.
        first: u16,
    },
    /// A packet of an interface that was not introduced.
    #[error("a packet came of interface number {0}, which the capture file does not know")]
    NoInterface(usize),
    /// Writing failed. The file was cut behind the last whole packet and is closed.
    #[error("write the capture file {path}, which ends whole after {written} packets")]
    Write {
        /// Where.
        path: String,
        /// Packets in this and the files before.
        written: u64,
        /// Packets that had been taken then and are in no file.
        lost: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is no more room than is to be left. The file is whole and closed.
    #[error(
        "write the capture file {path}, which ends whole after {written} packets: the file system \
         is down to {free} bytes"
    )]
    MinFree {
        /// Where.
        path: String,
        /// Packets in this and the files before.
        written: u64,
        /// Packets that had been taken then and are in no file.
        lost: u64,
        /// Room that is left in the file system.
        free: u64,
    },
    /// It was finished, or has failed before.
    #[error("the capture file is closed")]
    Closed,
}

impl SaveError {
    /// Whether the options cannot be meant, whatever the state of the disk.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::RotatedStdout
                | Self::Pattern { .. }
                | Self::NoPattern { .. }
                | Self::LinkType { .. }
                | Self::Create {
                    source: OpenError::Terminal,
                    ..
                }
        )
    }

    /// What to do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Create { source, .. } => match source {
                OpenError::Exists => "choose another name, or replace it: --force",
                OpenError::Symlink => "give the path that it leads to",
                OpenError::Terminal => {
                    "write to a file: -w FILE; or into a pipe: -w - | wireshark -k -i -"
                }
                OpenError::Kind | OpenError::Io(_) => return None,
            },
            Self::RotatedStdout => "rotate files: -w FILE with -C or -G",
            Self::NoPattern { .. } => {
                "put a time into the name: -w web-%Y-%m-%dT%H:%M:%S.pcapng; or replace it each \
                 time: --force"
            }
            Self::LinkType { .. } => "pcapng holds any: --format pcapng",
            Self::Pattern { .. } => "strftime(3) lists what may follow a %; %% is a percent sign",
            Self::Write { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    "less is written with -s BYTES, and a ring of files is kept with -C SIZE -W COUNT"
                }
                _ => return None,
            },
            Self::MinFree { .. } => "make room, or set another limit: --min-free",
            Self::NoInterface(_) | Self::Closed => return None,
        })
    }
}
