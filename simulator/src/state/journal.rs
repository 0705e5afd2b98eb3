//! The journal: one line of JSON per transaction, appended before the answer leaves.
//!
//! The append is one `write` and is not synced: what was answered survives the death of the process, though not a loss of power. A last line
//! that is not complete belongs to a transaction that was never answered, and is dropped. At every start the journal is written anew with the
//! last version of each object.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::objects::Object;

/// An open journal, positioned at its end.
pub struct Journal {
    file: File,
}

/// What one transaction put.
#[derive(Deserialize)]
struct Line {
    next_number: u64,
    puts: Vec<Object>,
}

#[derive(Serialize)]
struct LineOut<'a> {
    next_number: u64,
    puts: &'a [Object],
}

impl Journal {
    /// Reads what is there, oldest first, and the next free number of an id.
    ///
    /// # Errors
    /// When the file cannot be read, or a line other than an incomplete last one is not as it was written.
    pub fn read(path: &Path, mut each: impl FnMut(Object)) -> io::Result<u64> {
        let mut next_number = 0;
        if !path.exists() {
            return Ok(next_number);
        }
        let mut reader = BufReader::new(File::open(path)?);
        let mut text = Vec::new();
        loop {
            text.clear();
            reader.read_until(b'\n', &mut text)?;
            if text.pop() != Some(b'\n') {
                return Ok(next_number);
            }
            let line: Line = serde_json::from_slice(&text)?;
            next_number = line.next_number;
            line.puts.into_iter().for_each(&mut each);
        }
    }

    /// Replaces the journal by one that holds just these objects, and opens it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn rewrite(path: &Path, next_number: u64, objects: &[Object]) -> io::Result<Self> {
        let fresh: PathBuf = path.with_extension("new");
        let mut writer = BufWriter::new(File::create(&fresh)?);
        for object in objects {
            writer.write_all(&line(next_number, std::slice::from_ref(object))?)?;
        }
        writer.write_all(&line(next_number, &[])?)?;
        writer.into_inner()?.sync_all()?;
        std::fs::rename(fresh, path)?;
        let file = OpenOptions::new().append(true).open(path)?;
        Ok(Self { file })
    }

    /// Appends a transaction.
    ///
    /// # Errors
    /// When it cannot be written; the transaction then must not take place.
    pub fn append(&mut self, next_number: u64, puts: &[Object]) -> io::Result<()> {
        self.file.write_all(&line(next_number, puts)?)
    }
}

fn line(next_number: u64, puts: &[Object]) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(&LineOut { next_number, puts })?;
    text.push(b'\n');
    Ok(text)
}
