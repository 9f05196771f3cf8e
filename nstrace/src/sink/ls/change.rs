//! `nstrace ls --watch`: what changes, as it changes.

use std::{io::Write, sync::Arc};

use serde::Serialize;

use super::{
    Format,
    record::NetnsRecord,
    rows::{TABLE, WIDE, rows},
};
use crate::{
    sink::{SinkError, json, table},
    topology::model::{Change, Netns},
};

const SCHEMA: &str = "nstrace.ls.change/v1";

/// A line of JSON: `nstrace.ls.change/v1`.
#[derive(Serialize)]
struct Line<'a> {
    schema: &'static str,
    time: &'a str,
    change: &'static str,
    namespace: NetnsRecord<'a>,
}

/// Prints changes: as rows of the table, with their time and what has happened in front, or as lines
/// of JSON.
#[derive(Debug)]
pub struct ChangePrinter<W> {
    out: W,
    format: Format,
    headers: bool,
    /// How wide each column has been: later rows are aligned to earlier ones.
    widths: Vec<usize>,
}

impl<W: Write> ChangePrinter<W> {
    /// Prints to `out`; of the formats, the tables and JSON make sense line by line.
    pub const fn new(out: W, format: Format, headers: bool) -> Self {
        Self {
            out,
            format,
            headers,
            widths: Vec::new(),
        }
    }

    /// Prints what has changed at `time`.
    ///
    /// # Errors
    ///
    /// If the writer fails.
    pub fn print(&mut self, changes: &[(Change, Arc<Netns>)], time: &str) -> Result<(), SinkError> {
        if self.format == Format::Json {
            for (change, netns) in changes {
                let line = Line {
                    schema: SCHEMA,
                    time,
                    change: change.as_str(),
                    namespace: NetnsRecord::from(&**netns),
                };
                json(&mut self.out, &line)?;
            }
            return Ok(());
        }
        let wide = self.format == Format::Wide;
        let columns = if wide { &WIDE[..] } else { &TABLE[..] };
        let columns: Vec<_> = [("TIME", table::Align::Left), ("CHANGE", table::Align::Left)]
            .into_iter()
            .chain(columns.iter().copied())
            .collect();
        let cells: Vec<Vec<String>> = changes
            .iter()
            .flat_map(|(change, netns)| {
                rows(&[netns], wide).into_iter().map(move |row| {
                    [time.to_owned(), change.as_str().to_owned()]
                        .into_iter()
                        .chain(row)
                        .collect()
                })
            })
            .collect();
        table::write_more(
            &mut self.out,
            &columns,
            &cells,
            self.headers,
            &mut self.widths,
        )?;
        self.headers = false;
        Ok(())
    }
}
