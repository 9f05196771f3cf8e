//! What is printed: tables, JSON, YAML, CSV. Each function takes plain data and a writer.

mod flow;
pub mod flows;
pub mod ls;
pub mod packet;
#[cfg(test)]
mod sample;
pub mod savefile;
pub mod show;
pub mod table;
pub mod top;

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter};

use crate::{state::Snapshot, untrusted::is_unsafe};

/// Output could not be written.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The writer refused.
    #[error("write the output")]
    Write(#[from] io::Error),
    /// The data does not fit the format.
    #[error("write the output as {format}")]
    Format {
        /// Which format.
        format: &'static str,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl SinkError {
    /// Whether the reader closed its end, which is a normal end of ours.
    #[must_use]
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Write(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// Something that prints refreshes.
pub trait Print: Send {
    /// Prints one refresh and flushes it. `time` is wall time in RFC 3339.
    ///
    /// # Errors
    ///
    /// If the writer fails; see [`SinkError::is_closed_pipe`].
    fn print(&mut self, snapshot: &Snapshot, time: &str) -> Result<(), SinkError>;
}

fn csv_error(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> SinkError {
    SinkError::Format {
        format: "CSV",
        source: source.into(),
    }
}

/// Writes one JSON document and a newline.
///
/// # Errors
///
/// If the writer fails.
pub fn json(out: &mut impl Write, document: &impl Serialize) -> Result<(), SinkError> {
    let mut text = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, SafeStrings);
    document
        .serialize(&mut serializer)
        .map_err(|source| SinkError::Format {
            format: "JSON",
            source: source.into(),
        })?;
    text.push(b'\n');
    // In one write, so that a reader never sees a part of a line.
    out.write_all(&text)?;
    out.flush()?;
    Ok(())
}

/// JSON in which strings hold no character that a terminal would act on: the same data, written
/// as `\u009b`.
struct SafeStrings;

impl Formatter for SafeStrings {
    fn write_string_fragment<W: Write + ?Sized>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        // Most of them: no need to look at each character.
        if fragment.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return CompactFormatter.write_string_fragment(writer, fragment);
        }
        let mut rest = fragment;
        while let Some(at) = rest.find(is_unsafe) {
            let (before, after) = rest.split_at(at);
            CompactFormatter.write_string_fragment(writer, before)?;
            let mut after = after.chars();
            if let Some(c) = after.next() {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
            rest = after.as_str();
        }
        CompactFormatter.write_string_fragment(writer, rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_strings_keep_their_value_and_command_no_terminal() {
        let mut out = Vec::new();
        let value = "a\u{9b}31m\u{202e}\u{1b}\"\u{7f}ü";
        json(&mut out, &value).expect("writes to memory");
        let text = String::from_utf8(out).expect("UTF-8");
        assert_eq!(text, "\"a\\u009b31m\\u202e\\u001b\\\"\\u007fü\"\n");
        assert_eq!(
            serde_json::from_str::<String>(&text).expect("valid JSON"),
            value
        );
    }
}
