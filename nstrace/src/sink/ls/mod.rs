//! `nstrace ls`: the namespaces, in each format.

mod change;
pub(super) mod record;
mod rows;
mod tree;

use std::io::Write;

use serde::Serialize;

use super::{SinkError, table};
use crate::{topology::model::Netns, untrusted::escape};

pub use change::ChangePrinter;
use record::{NetnsRecord, escaped};
use rows::{TABLE, WIDE, rows};
pub use tree::write_tree;

/// How `ls` prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// The columns that are read most.
    #[default]
    Table,
    /// All columns and all interfaces.
    Wide,
    /// One document of schema `nstrace.ls/v1`.
    Json,
    /// The same document as YAML.
    Yaml,
    /// The wide columns, comma-separated.
    Csv,
    /// Names alone, one a line.
    Name,
}

/// The document: `nstrace.ls/v1`.
#[derive(Debug, Serialize)]
struct Document<'a> {
    schema: &'static str,
    namespaces: Vec<NetnsRecord<'a>>,
    warnings: &'a [String],
}

const SCHEMA: &str = "nstrace.ls/v1";

/// Prints `netnses` and, where the format has room for them, `warnings`.
///
/// # Errors
///
/// If the writer fails.
pub fn write(
    out: &mut impl Write,
    format: Format,
    headers: bool,
    netnses: &[&Netns],
    warnings: &[String],
) -> Result<(), SinkError> {
    let document = || Document {
        schema: SCHEMA,
        namespaces: netnses
            .iter()
            .map(|netns| NetnsRecord::from(*netns))
            .collect(),
        warnings,
    };
    match format {
        Format::Table => table::write(out, &TABLE, &rows(netnses, false), headers)?,
        Format::Wide => table::write(out, &WIDE, &rows(netnses, true), headers)?,
        Format::Json => super::json(out, &document())?,
        Format::Yaml => {
            // Its writer leaves what reorders or hides as it is: names are shown escaped.
            let netnses: Vec<Netns> = netnses.iter().map(|netns| escaped(netns)).collect();
            let warnings: Vec<String> = warnings.iter().map(|warning| escape(warning)).collect();
            let document = Document {
                schema: SCHEMA,
                namespaces: netnses.iter().map(NetnsRecord::from).collect(),
                warnings: &warnings,
            };
            let text = serde_saphyr::to_string(&document).map_err(|source| SinkError::Format {
                format: "YAML",
                source: source.into(),
            })?;
            out.write_all(text.as_bytes())?;
            out.flush()?;
        }
        Format::Csv => write_csv(out, headers, &rows(netnses, true))?,
        Format::Name => {
            for netns in netnses {
                if !netns.is_only_guests() {
                    writeln!(out, "{}", escape(&netns.name))?;
                    continue;
                }
                for guest in netns.guests() {
                    writeln!(out, "{}", escape(&guest.shown_as().0))?;
                }
            }
            out.flush()?;
        }
    }
    Ok(())
}

fn write_csv(out: &mut impl Write, headers: bool, rows: &[Vec<String>]) -> Result<(), SinkError> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    let heading = WIDE.map(|(name, _)| name.to_lowercase());
    let records = headers
        .then(|| heading.to_vec())
        .into_iter()
        .chain(rows.iter().cloned());
    for record in records {
        csv.write_record(record)
            .map_err(|source| SinkError::Format {
                format: "CSV",
                source: source.into(),
            })?;
    }
    let text = csv.into_inner().map_err(|source| SinkError::Format {
        format: "CSV",
        source: source.into(),
    })?;
    out.write_all(&text)?;
    out.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests;
