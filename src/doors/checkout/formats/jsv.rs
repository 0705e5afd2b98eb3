//! JSV: JSON's shapes in CSV's quoting, as ServiceStack writes it. Names and values are plain unless they hold a sign of the
//! format; then they are quoted, and a quote in them is doubled. Nothing at all is no value; an empty text is two quotes.

use serde_json::{Map, Value};

use super::Unreadable;
use crate::http::body::JSON_LEVELS_MAX;

/// What ends a plain value.
const ENDS: [char; 8] = ['"', '{', '}', '[', ']', ',', '\r', '\n'];
/// What ends a plain name.
const NAME_ENDS: [char; 9] = ['"', '{', '}', '[', ']', ',', ':', '\r', '\n'];

/// The whole text as a value: an object, a list, or a plain text. Numbers stay texts. White space between the signs, as
/// ServiceStack's own examples have it, means nothing.
pub fn read(text: &str) -> Result<Value, Unreadable> {
    let mut reader = Reader { left: text };
    let value = reader.value(JSON_LEVELS_MAX)?;
    if reader.left.trim_ascii().is_empty() {
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
        match self.left.trim_ascii_start().strip_prefix(sign) {
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
            return self.object(levels);
        }
        if self.take('[') {
            return self.list(levels);
        }
        if self.take('"') {
            return self.quoted().map(Value::String);
        }
        let text = self.plain(&ENDS);
        Ok(if text.is_empty() {
            Value::Null
        } else {
            text.into()
        })
    }

    fn object(&mut self, levels: usize) -> Result<Value, Unreadable> {
        let mut members = Map::new();
        if self.take('}') {
            return Ok(Value::Object(members));
        }
        loop {
            let name = if self.take('"') {
                self.quoted()?
            } else {
                self.plain(&NAME_ENDS)
            };
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

    fn plain(&mut self, ends: &[char]) -> String {
        self.left = self.left.trim_ascii_start();
        let end = self.left.find(ends).unwrap_or(self.left.len());
        let (text, left) = self.left.split_at(end);
        self.left = left;
        text.trim_ascii_end().to_owned()
    }

    fn quoted(&mut self) -> Result<String, Unreadable> {
        let mut text = String::new();
        loop {
            let end = self.left.find('"').ok_or(Unreadable)?;
            text.push_str(&self.left[..end]);
            self.left = &self.left[end + 1..];
            // Not `take`: what stands apart is another text.
            match self.left.strip_prefix('"') {
                Some(left) => self.left = left,
                None => return Ok(text),
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

/// Members as JSV; one without a value has nothing after its colon.
pub fn write_members<'a>(members: impl Iterator<Item = (&'a str, &'a Value)>) -> String {
    let each: Vec<String> = members
        .map(|(name, value)| format!("{}:{}", quoted(name), write(value)))
        .collect();
    format!("{{{}}}", each.join(","))
}

fn quoted(text: &str) -> String {
    if text.is_empty() || text.contains(NAME_ENDS) || text.trim_ascii() != text {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}
