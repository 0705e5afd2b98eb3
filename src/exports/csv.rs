//! CSV (RFC 4180, UTF-8) that a spreadsheet may open: what is text stays text there, and a number a number.

use csv::{Terminator, WriterBuilder};
use std::borrow::Cow;

/// What begins a formula in a spreadsheet, or lets one begin.
const FORMULA: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

/// A text for a cell: one that a spreadsheet would compute begins with an apostrophe. The one place that says so.
pub fn inert(text: &str) -> Cow<'_, str> {
    if text.starts_with(FORMULA) {
        Cow::Owned(format!("'{text}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// A row of cells as they stand, quoted where they must be. Texts were made [`inert`].
pub fn row<T: AsRef<[u8]>>(cells: impl IntoIterator<Item = T>) -> String {
    let mut writer = WriterBuilder::new()
        .terminator(Terminator::CRLF)
        .from_writer(Vec::new());
    let written = writer.write_record(cells);
    written.expect("one row is written to memory");
    let bytes = writer.into_inner().expect("memory takes what it is given");
    String::from_utf8(bytes).expect("texts make a text")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Red when a text is written that a spreadsheet runs.
    #[test]
    fn a_formula_is_text() {
        for formula in ["=1+1", "+1", "-1", "@sum", "\t=1", "\r=1", "\n=1", "＝1"] {
            assert_eq!(inert(formula), format!("'{formula}"));
        }
        for text in ["", "a=1", "1-1", "'=1", " =1"] {
            assert_eq!(inert(text), text);
        }
    }

    proptest! {
        #[test]
        fn any_texts_are_read_back_as_they_were(cells in prop::collection::vec(any::<String>(), 1..6)) {
            // A row of one empty cell is an empty line, which no reader takes for a row.
            prop_assume!(cells.len() > 1 || !cells[0].is_empty());
            let text = row(cells.iter());
            let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
            let read = reader.records().next().unwrap().unwrap();
            prop_assert_eq!(read.iter().map(str::to_owned).collect::<Vec<_>>(), cells);
        }
    }
}
