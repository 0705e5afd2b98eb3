//! CSV as ServiceStack writes it: a row of names, a row of values, what is nested as JSV in one cell.

use csv::ReaderBuilder;
use serde_json::{Map, Value};

use super::{Unreadable, jsv};
use crate::exports::csv::{inert, row};

/// The one row of values, by the row of names. What is nested in a cell stays a text: whoever knows what it is to be reads it.
pub fn read(text: &str) -> Result<Value, Unreadable> {
    let mut reader = ReaderBuilder::new().from_reader(text.as_bytes());
    let names = reader.headers().map_err(|_| Unreadable)?.clone();
    let mut rows = reader.records();
    let row = rows.next().ok_or(Unreadable)?.map_err(|_| Unreadable)?;
    if rows.next().is_some() {
        return Err(Unreadable);
    }
    let cells = names.iter().zip(row.iter());
    let members: Map<String, Value> = cells
        .map(|(name, cell)| (name.to_owned(), cell.into()))
        .collect();
    Ok(Value::Object(members))
}

/// A row of names and a row of values; a value that a spreadsheet would compute begins with an apostrophe.
pub fn write(members: &[(&str, Value)]) -> String {
    let cells = members.iter().map(|(_, value)| match value {
        Value::String(text) => inert(text).into_owned(),
        value => jsv::write(value),
    });
    row(members.iter().map(|(name, _)| name)) + &row(cells)
}
