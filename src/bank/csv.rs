//! Statements as comma-separated values: every bank names and writes its columns in its own way, so the format says how.

use aggregates::money::{Currency, Money};
use chrono::NaiveDate;
use csv::{ReaderBuilder, StringRecord, Trim};
use serde::Deserialize;

use super::amount::{self, Marks};
use super::{Fault, Faults, NotAStatement, StatementLine, text_of};

/// How a bank writes its statements. Columns are named by the header, to the letter.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CsvFormat {
    /// Between two cells.
    #[serde(default = "comma")]
    pub delimiter: char,
    pub booked_on: String,
    #[serde(default)]
    pub value_on: Option<String>,
    /// As chrono writes formats: `%Y-%m-%d`, `%d.%m.%Y`.
    #[serde(default = "iso_date")]
    pub date: String,
    pub amount: AmountColumns,
    #[serde(default = "point")]
    pub decimal: char,
    #[serde(default)]
    pub thousands: Option<char>,
    pub currency: CurrencyOf,
    /// The bank's own name for each line.
    #[serde(default)]
    pub reference: Option<String>,
    /// Columns in which a payout may be named.
    #[serde(default)]
    pub text: Vec<String>,
}

/// Where the amount is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AmountColumns {
    /// In one column, with a minus where money left.
    Signed(String),
    /// In one of two columns, without a sign.
    Split { came: String, left: String },
}

/// Where the currency is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CurrencyOf {
    Column(String),
    /// All lines are of this one.
    Always(Currency),
}

fn comma() -> char {
    ','
}

fn point() -> char {
    '.'
}

fn iso_date() -> String {
    "%Y-%m-%d".to_owned()
}

/// The lines of a statement. Lines that move nothing are left out.
///
/// # Errors
/// [`NotAStatement`], with every faulty line.
pub fn read_csv(bytes: &[u8], format: &CsvFormat) -> Result<Vec<StatementLine>, NotAStatement> {
    let text = text_of(bytes)?;
    let delimiter = u8::try_from(format.delimiter)
        .ok()
        .filter(u8::is_ascii)
        .ok_or_else(|| NotAStatement::whole(None, "the format's delimiter is not ASCII"))?;
    let mut reader = ReaderBuilder::new()
        .delimiter(delimiter)
        .trim(Trim::All)
        .from_reader(text.as_bytes());
    let header = reader.headers().map_err(broken)?.clone();
    let columns = Columns::find(&header, format)?;
    let (mut lines, mut faults) = (Vec::new(), Faults::default());
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                let line = error.position().map(csv::Position::line);
                let what = told(&error);
                faults.add(Fault {
                    line,
                    place: None,
                    what,
                });
                continue;
            }
        };
        match columns.line(&record, format) {
            Ok(line) if line.amount.is_zero() => {}
            Ok(line) => lines.push(line),
            Err((place, what)) => faults.add(Fault {
                line: record.position().map(csv::Position::line),
                place: Some(place),
                what,
            }),
        }
    }
    faults.or(lines)
}

fn broken(error: csv::Error) -> NotAStatement {
    NotAStatement::whole(error.position().map(csv::Position::line), told(&error))
}

/// What is wrong, without a word of what was read.
fn told(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => format!("it has {len} cells, and the header {expected_len}"),
        _ => "this cannot be read as comma-separated values".to_owned(),
    }
}

/// Where in a record the columns are.
struct Columns {
    booked_on: usize,
    value_on: Option<usize>,
    amount: Amount,
    currency: Option<usize>,
    reference: Option<usize>,
    text: Vec<usize>,
}

/// Each column with its name.
enum Amount {
    Signed(usize, String),
    Split(Half, Half),
}

struct Half {
    index: usize,
    name: String,
}

/// The column, and what is wrong in it.
type Wrong = (String, String);

impl Columns {
    fn find(header: &StringRecord, format: &CsvFormat) -> Result<Self, NotAStatement> {
        let at = |name: &String| {
            let mut found = header.iter().enumerate().filter(|(_, it)| it == name);
            let refused = |what: &str| {
                let what = format!("the header has {what} column {name:?}");
                NotAStatement::whole(Some(1), what)
            };
            match (found.next(), found.next()) {
                (Some((index, _)), None) => Ok(index),
                (None, _) => Err(refused("no")),
                (Some(_), Some(_)) => Err(refused("more than one")),
            }
        };
        let maybe = |name: &Option<String>| name.as_ref().map(at).transpose();
        let half = |name: &String| {
            let (index, name) = (at(name)?, name.clone());
            Ok::<_, NotAStatement>(Half { index, name })
        };
        Ok(Self {
            booked_on: at(&format.booked_on)?,
            value_on: maybe(&format.value_on)?,
            amount: match &format.amount {
                AmountColumns::Signed(name) => Amount::Signed(at(name)?, name.clone()),
                AmountColumns::Split { came, left } => Amount::Split(half(came)?, half(left)?),
            },
            currency: match &format.currency {
                CurrencyOf::Column(name) => Some(at(name)?),
                CurrencyOf::Always(_) => None,
            },
            reference: maybe(&format.reference)?,
            text: format.text.iter().map(at).collect::<Result<_, _>>()?,
        })
    }

    fn line(&self, record: &StringRecord, format: &CsvFormat) -> Result<StatementLine, Wrong> {
        let cell = |index: usize| record.get(index).unwrap_or("");
        let date = |index: usize, column: &str| {
            let read = NaiveDate::parse_from_str(cell(index), &format.date);
            read.map_err(|_| (column.to_owned(), format!("no date as {}", format.date)))
        };
        let value_on = self.value_on.filter(|index| !cell(*index).is_empty());
        let name = format.value_on.as_deref().unwrap_or_default();
        let currency = match (&format.currency, self.currency) {
            (CurrencyOf::Always(currency), _) => *currency,
            (CurrencyOf::Column(name), index) => {
                let read = Currency::parse(index.map_or("", cell));
                read.map_err(|error| (name.clone(), error.to_string()))?
            }
        };
        let reference = self.reference.map(cell).filter(|it| !it.is_empty());
        let texts: Vec<&str> = self.text.iter().map(|index| cell(*index)).collect();
        Ok(StatementLine {
            account: None,
            booked_on: date(self.booked_on, &format.booked_on)?,
            value_on: value_on.map(|index| date(index, name)).transpose()?,
            amount: self.amount(cell, currency, format)?,
            reference: reference.map(str::to_owned),
            text: texts.join(" "),
        })
    }

    fn amount<'r>(
        &self,
        cell: impl Fn(usize) -> &'r str,
        currency: Currency,
        format: &CsvFormat,
    ) -> Result<Money, Wrong> {
        let marks = Marks {
            decimal: format.decimal,
            thousands: format.thousands,
        };
        let read = |text: &str, column: &str| {
            amount::read(text, currency, marks).map_err(|what| (column.to_owned(), what))
        };
        let (came, left) = match &self.amount {
            Amount::Signed(index, name) => return read(cell(*index), name),
            Amount::Split(came, left) => (came, left),
        };
        let unsigned = |text: &str| text.starts_with(|it: char| it.is_ascii_digit());
        match (cell(came.index), cell(left.index)) {
            (text, "") if unsigned(text) => read(text, &came.name),
            ("", text) if unsigned(text) => read(&format!("-{text}"), &left.name),
            _ => {
                let both = format!("{:?} and {:?}", came.name, left.name);
                let what = format!("one of {both} has an amount without a sign");
                Err((came.name.clone(), what))
            }
        }
    }
}
