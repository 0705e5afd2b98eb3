//! What leaves the house as a file: rows to bytes. Neither where they come from nor where they go.
//!
//! Amounts are there twice: in major units with as many decimals as their currency has, and in minor units. An export says up to
//! which position of the ledger it goes and how many rows it has; as of that position it is the same for ever.

mod cells;
pub mod csv;
pub mod report;

use aggregates::ledger::Account;
use serde_json::json;
use std::collections::BTreeSet;
use std::io;

use crate::store::{ExportHead, ExportRows};
use cells::Cell;

/// Whether anybody read what was written. Where nobody reads any more, as after `head`, nothing is wrong, and no more is to be written.
///
/// # Errors
/// When it could not be written for another reason.
pub fn is_read(written: io::Result<()>) -> io::Result<bool> {
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error),
    }
}

/// How an export is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// A row of names, then the rows.
    Csv,
    /// One JSON object a line: a head, the rows, and an end, without which it is not whole.
    #[value(name = "ndjson")]
    Lines,
}

/// An export that is being written.
#[derive(Debug)]
pub struct Sheet {
    form: Form,
    head: ExportHead,
    rows: i64,
    unmapped: BTreeSet<Account>,
}

/// Why an export is not written to its end.
#[derive(Debug, thiserror::Error)]
pub enum NotWhole {
    #[error("of {expected} rows there were {written}")]
    Rows { expected: i64, written: i64 },
    #[error("what is recorded cannot be shown: {0}")]
    Unreadable(#[from] serde_json::Error),
}

impl Sheet {
    pub fn new(form: Form, head: ExportHead) -> Self {
        Self {
            form,
            head,
            rows: 0,
            unmapped: BTreeSet::new(),
        }
    }

    /// How it begins.
    pub fn head(&self) -> String {
        let it = &self.head;
        let columns = cells::columns(it);
        match self.form {
            Form::Csv => csv::row(columns),
            Form::Lines => {
                let head = json!({
                    "object": "export", "what": it.what, "merchant": it.merchant, "position": it.ledger_position,
                    "rows": it.rows, "columns": columns,
                });
                format!("{head}\n")
            }
        }
    }

    /// Its next rows.
    ///
    /// # Errors
    /// When what is recorded cannot be shown.
    pub fn rows(&mut self, rows: &ExportRows) -> Result<String, NotWhole> {
        let columns = cells::columns(&self.head);
        let mut text = String::new();
        let mut write = |object: &str, cells: Vec<Cell>| {
            self.rows = self.rows.saturating_add(1);
            match self.form {
                Form::Csv => {
                    text.push_str(&csv::row(cells.iter().map(|it| it.in_csv().into_owned())))
                }
                Form::Lines => text.push_str(&cells::line(object, &columns, &cells)),
            }
        };
        let chart = self.head.chart.as_ref();
        let mut unmapped = Vec::new();
        match rows {
            ExportRows::Journal(lines) => lines.iter().for_each(|it| {
                unmapped.push(it.account);
                write("journal_line", cells::of_line(it, chart));
            }),
            ExportRows::Balances(totals) => totals.iter().for_each(|it| {
                unmapped.push(it.account);
                write("balance", cells::of_total(it, chart));
            }),
            ExportRows::Events(events) => {
                for it in events {
                    write("event", cells::of_event(it)?);
                }
            }
        }
        if let Some(chart) = chart {
            unmapped.retain(|it| !chart.contains_key(it));
            self.unmapped.extend(unmapped);
        }
        Ok(text)
    }

    /// How it ends.
    ///
    /// # Errors
    /// [`NotWhole::Rows`]: what was written is to be thrown away.
    pub fn end(&self) -> Result<String, NotWhole> {
        let expected = self.head.rows;
        if self.rows != expected {
            return Err(NotWhole::Rows {
                expected,
                written: self.rows,
            });
        }
        Ok(match self.form {
            Form::Csv => String::new(),
            Form::Lines => {
                let end = json!({
                    "object": "export_end", "position": self.head.ledger_position, "rows": self.rows,
                    "unmapped": self.unmapped,
                });
                format!("{end}\n")
            }
        })
    }

    /// The accounts in it that the merchant's own chart has no name for, where it is asked for: they stand under ours.
    pub fn unmapped(&self) -> &BTreeSet<Account> {
        &self.unmapped
    }

    /// How many rows were written.
    pub fn written(&self) -> i64 {
        self.rows
    }
}
