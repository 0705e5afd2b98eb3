//! JSV: JSON's shapes in CSV's quoting, as ServiceStack writes it. Names and values are plain unless they hold a sign of the
//! format; then they are quoted, and a quote in them is doubled.

use serde_json::{Map, Value};

use super::Unreadable;
use crate::http::body::JSON_LEVELS_MAX;

const SIGNS: [char; 9] = ['"', '{', '}', '[', ']', ',', ':', '\r', '\n'];

/// The whole text as a value: an object, a list, or a plain text. Numbers stay texts.
pub fn read(text: &str) -> Result<Value, Unreadable> {
    let mut reader = Reader { left: text };
    let value = reader.value(JSON_LEVELS_MAX)?;
    if reader.left.is_empty() {
        Ok(value)
    } else {
        Err(Unreadable)
    }
}

struct Reader<'a> {
    left: &'a str,
}

impl Reader<'_> {
    fn take(&mut self, sign: char) -> bool {
        match self.left.strip_prefix(sign) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }

    fn value(&mut self, levels: usize) -> Result<Value, Unreadable> {
        let levels = levels.checked_sub(1).ok_or(Unreadable)?;
        if self.take('{') {
            self.object(levels)
        } else if self.take('[') {
            self.list(levels)
        } else {
            self.text().map(Value::String)
        }
    }

    fn object(&mut self, levels: usize) -> Result<Value, Unreadable> {
        let mut members = Map::new();
        if self.take('}') {
            return Ok(Value::Object(members));
        }
        loop {
            let name = self.text()?;
            if !self.take(':') {
                return Err(Unreadable);
            }
            members.insert(name, self.value(levels)?);
            if self.take('}') {
                return Ok(Value::Object(members));
            }
            if !self.take(',') {
                return Err(Unreadable);
            }
        }
    }

    fn list(&mut self, levels: usize) -> Result<Value, Unreadable> {
        let mut items = Vec::new();
        if self.take(']') {
            return Ok(Value::Array(items));
        }
        loop {
            items.push(self.value(levels)?);
            if self.take(']') {
                return Ok(Value::Array(items));
            }
            if !self.take(',') {
                return Err(Unreadable);
            }
        }
    }

    /// A plain text ends at a sign, but for the colon of an address (`https://…`).
    fn text(&mut self) -> Result<String, Unreadable> {
        if self.take('"') {
            return self.quoted();
        }
        let is_address = self.left.starts_with("http://") || self.left.starts_with("https://");
        let ends = |it: char| SIGNS.contains(&it) && !(is_address && it == ':');
        let end = self.left.find(ends).unwrap_or(self.left.len());
        let (text, left) = self.left.split_at(end);
        self.left = left;
        Ok(text.to_owned())
    }

    fn quoted(&mut self) -> Result<String, Unreadable> {
        let mut text = String::new();
        loop {
            let end = self.left.find('"').ok_or(Unreadable)?;
            text.push_str(&self.left[..end]);
            self.left = &self.left[end + 1..];
            if !self.take('"') {
                return Ok(text);
            }
            text.push('"');
        }
    }
}

/// A value as JSV.
pub fn write(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => quoted(text),
        Value::Bool(it) => it.to_string(),
        Value::Number(it) => it.to_string(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(write).collect();
            format!("[{}]", items.join(","))
        }
        Value::Object(members) => {
            write_members(members.iter().map(|(name, value)| (name.as_str(), value)))
        }
    }
}

/// Members as JSV; those without a value are left out, as ServiceStack does.
pub fn write_members<'a>(members: impl Iterator<Item = (&'a str, &'a Value)>) -> String {
    let each: Vec<String> = members
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| format!("{}:{}", quoted(name), write(value)))
        .collect();
    format!("{{{}}}", each.join(","))
}

fn quoted(text: &str) -> String {
    if text.contains(SIGNS) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}
