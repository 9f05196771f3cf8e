//! When a file is full and what the next is called: tcpdump's `-C`, `-G` and `-W`.

use std::path::{Path, PathBuf};

use jiff::{Timestamp, fmt::strtime, tz::TimeZone};

use super::SaveError;

const SECOND: u64 = 1_000_000_000;

/// When to go on with another file. Nothing set: never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotation {
    /// `-C`: when the file is larger than that, in bytes.
    pub size: Option<u64>,
    /// `-G`: after so many seconds; the name is then a pattern of strftime(3).
    pub seconds: Option<u64>,
    /// `-W`. With `-C`: files in the ring. With `-G`: files until the capture ends. With both, as
    /// tcpdump has it: digits in the name.
    pub count: Option<u64>,
}

/// A size as tcpdump's `-C` has it: millions of bytes, or binary units with a suffix.
///
/// # Errors
///
/// If it is no number, no known suffix, zero, or too large.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u64 = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" => 1_000_000,
        "k" | "kb" => 1 << 10,
        "m" | "mb" => 1 << 20,
        "g" | "gb" => 1 << 30,
        suffix => {
            return Err(format!(
                "unit `{suffix}` is none of k, m and g; without one it is a million bytes"
            ));
        }
    };
    let number: u64 = digits
        .parse()
        .map_err(|error| format!("`{digits}`: {error}"))?;
    match number.checked_mul(unit) {
        Some(0) => Err("must be more than 0".to_owned()),
        Some(size) => Ok(size),
        None => Err("is too large".to_owned()),
    }
}

/// What the next file is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It goes on with this one, since the next would have the same name.
    Same,
    /// There have been as many as wanted.
    Enough,
    /// A new one.
    File {
        path: PathBuf,
        /// This run made a file of that name, which may go.
        is_ours: bool,
    },
}

/// The names of a capture's files, one after the other.
pub(super) struct Names {
    /// As typed.
    name: PathBuf,
    rotation: Rotation,
    zone: TimeZone,
    /// The current file's name without its number.
    base: PathBuf,
    /// The number of the current file with `-C`.
    number: u64,
    /// The ring of `-C` and `-W` has come round.
    is_round: bool,
    /// Files begun by `-G`.
    slices: u64,
    /// Names that `-G` made, as far as they are remembered.
    made: Vec<PathBuf>,
    /// When the next slice begins, in nanoseconds; never if there are none.
    pub(super) next_slice: u64,
    /// A file that is larger is full.
    pub(super) full: u64,
}

impl Names {
    /// Names that recur with `-G`, as those of a pattern `%H` do after a day, are those of this
    /// run only if it remembers them. A year of hours fits.
    const REMEMBERED: usize = 10_000;

    pub(super) fn new(
        name: PathBuf,
        rotation: Rotation,
        zone: TimeZone,
        start: u64,
        force: bool,
    ) -> Result<Self, SaveError> {
        let mut names = Self {
            base: name.clone(),
            name,
            rotation,
            zone,
            number: 0,
            is_round: false,
            slices: 1,
            made: Vec::new(),
            next_slice: u64::MAX,
            full: rotation.size.unwrap_or(u64::MAX),
        };
        if let Some(seconds) = rotation.seconds {
            names.base = names.at(start)?;
            let is_pattern = names.base != names.name;
            if !is_pattern && rotation.size.is_none() && !force {
                return Err(SaveError::NoPattern {
                    path: names.name.display().to_string(),
                });
            }
            names.made.push(names.base.clone());
            names.next_slice = start.saturating_add(seconds.saturating_mul(SECOND));
        }
        Ok(names)
    }

    /// The current file.
    pub(super) fn path(&self) -> PathBuf {
        let digits = self
            .rotation
            .count
            .filter(|_| self.rotation.size.is_some())
            .map_or(0, digits);
        // tcpdump: the first has a number only where all have as many digits.
        if self.number == 0 && digits == 0 {
            return self.base.clone();
        }
        let mut path = self.base.clone().into_os_string();
        path.push(format!("{:0digits$}", self.number));
        path.into()
    }

    /// A slice is over: a packet of `now` has come.
    pub(super) fn by_time(&mut self, now: u64, force: bool) -> Result<Next, SaveError> {
        let Some(seconds) = self.rotation.seconds else {
            return Ok(Next::Same);
        };
        let base = self.at(now)?;
        if self.rotation.size.is_none() && Some(self.slices) == self.rotation.count {
            return Ok(Next::Enough);
        }
        // From the packet on, as tcpdump counts.
        self.next_slice = now.saturating_add(seconds.saturating_mul(SECOND));
        if base == self.base && !force {
            return Ok(Next::Same);
        }
        let is_ours = self.made.contains(&base);
        if !is_ours && self.made.len() < Self::REMEMBERED {
            self.made.push(base.clone());
        }
        self.slices += 1;
        self.base = base;
        self.number = 0;
        Ok(Next::File {
            path: self.path(),
            is_ours,
        })
    }

    /// The current file is full.
    pub(super) fn by_size(&mut self) -> Next {
        self.number += 1;
        let ring = self
            .rotation
            .count
            .filter(|_| self.rotation.seconds.is_none());
        if ring == Some(self.number) {
            self.number = 0;
            self.is_round = true;
        }
        Next::File {
            path: self.path(),
            is_ours: self.is_round,
        }
    }

    fn at(&self, time: u64) -> Result<PathBuf, SaveError> {
        let bad = |reason: String| SaveError::Pattern {
            pattern: self.name.display().to_string(),
            reason,
        };
        let pattern = self
            .name
            .to_str()
            .ok_or_else(|| bad("it is not UTF-8".to_owned()))?;
        let time = Timestamp::from_nanosecond(time.into())
            .map_err(|error| bad(error.to_string()))?
            .to_zoned(self.zone.clone());
        strtime::format(pattern, &time)
            .map(PathBuf::from)
            .map_err(|error| bad(error.to_string()))
    }
}

/// Digits of the last number of a ring of `count` files.
fn digits(count: u64) -> usize {
    count
        .saturating_sub(1)
        .checked_ilog10()
        .map_or(0, |log| log as usize + 1)
}

/// A name derived from what others chose, as a file name that is neither hidden nor an option:
/// what is none of `[A-Za-z0-9._-]` becomes `%XX`.
#[must_use]
pub fn sanitise(name: &str) -> String {
    const LONGEST: usize = 200;
    let mut safe = String::new();
    for byte in name.bytes() {
        let may_stay = match byte {
            b'.' | b'-' => !safe.is_empty(),
            _ => byte.is_ascii_alphanumeric() || byte == b'_',
        };
        let piece = if may_stay {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        };
        if safe.len() + piece.len() > LONGEST {
            break;
        }
        safe.push_str(&piece);
    }
    if safe.is_empty() {
        safe.push('_');
    }
    safe
}

/// Whether `path` means standard output.
pub(super) fn is_stdout(path: &Path) -> bool {
    path == Path::new("-")
}
