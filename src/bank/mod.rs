//! Bank statements, from bytes to lines: CSV as each bank writes it, and camt.053. Pure: nothing is read but the bytes, and
//! where anything in them is wrong, every fault is named and there are no lines at all.

mod amount;
mod camt053;
mod csv;
#[cfg(test)]
mod tests;

pub use camt053::read_camt053;
pub use csv::{AmountColumns, CsvFormat, CurrencyOf, read_csv};

use aggregates::money::Money;
use chrono::NaiveDate;
use std::fmt;

/// How many faults are named at the most; a file that is not of the format at all would have one in each line.
const FAULTS_MAX: usize = 100;

/// A line of a statement, as the bank wrote it. It may name people, so it is not to be kept as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementLine {
    /// The account with the bank, where the statement names it.
    pub account: Option<String>,
    pub booked_on: NaiveDate,
    pub value_on: Option<NaiveDate>,
    /// Positive where money came into the account; never zero.
    pub amount: Money,
    /// The bank's own name for the line, where it gives one.
    pub reference: Option<String>,
    /// All else that it says.
    pub text: String,
}

/// One thing that is wrong with a file. What was read is left out: it may be anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Counted from 1; none where it is about the file as a whole.
    pub line: Option<u64>,
    /// The column, or the path of the element.
    pub place: Option<String>,
    pub what: String,
}

/// Why a file is no statement, with every fault that was found, up to a hundred. Nothing of it was taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", written(.faults, *.left_out))]
pub struct NotAStatement {
    pub faults: Vec<Fault>,
    /// How many more there are.
    pub left_out: usize,
}

impl fmt::Display for Fault {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(to, "line {line}: ")?;
        }
        if let Some(place) = &self.place {
            write!(to, "{place}: ")?;
        }
        to.write_str(&self.what)
    }
}

fn written(faults: &[Fault], left_out: usize) -> String {
    let mut lines: Vec<String> = faults.iter().map(Fault::to_string).collect();
    if left_out > 0 {
        lines.push(format!("and {left_out} more"));
    }
    lines.join("\n")
}

/// What is wrong so far.
#[derive(Default)]
struct Faults {
    named: Vec<Fault>,
    left_out: usize,
}

impl Faults {
    fn add(&mut self, fault: Fault) {
        if self.named.len() < FAULTS_MAX {
            self.named.push(fault);
        } else {
            self.left_out += 1;
        }
    }

    /// The lines, if there is no fault.
    fn or(self, lines: Vec<StatementLine>) -> Result<Vec<StatementLine>, NotAStatement> {
        if self.named.is_empty() {
            return Ok(lines);
        }
        Err(NotAStatement {
            faults: self.named,
            left_out: self.left_out,
        })
    }
}

impl NotAStatement {
    /// A file that cannot be read on.
    fn whole(line: Option<u64>, what: impl Into<String>) -> Self {
        Self {
            faults: vec![Fault {
                line,
                place: None,
                what: what.into(),
            }],
            left_out: 0,
        }
    }
}

/// The text of a file.
fn text_of(bytes: &[u8]) -> Result<&str, NotAStatement> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        NotAStatement::whole(Some(line_at(before)), "this is not UTF-8")
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// The number of the line that comes after `before`.
fn line_at(before: &[u8]) -> u64 {
    let breaks = before.iter().filter(|it| **it == b'\n').count();
    u64::try_from(breaks).map_or(u64::MAX, |it| it.saturating_add(1))
}
