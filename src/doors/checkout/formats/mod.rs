//! The formats of this door, all of them to and from JSON's values.

mod csv;
mod jsv;
mod xml;

use serde_json::{Map, Value};

use crate::http::body::{self, BodyError};

/// Some programs begin a text with it.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A format, in and out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    Xml,
    Csv,
    Jsv,
}

impl Format {
    pub const ALL: [Self; 4] = [Self::Json, Self::Xml, Self::Csv, Self::Jsv];

    /// As suffixes, `?format=` and ServiceStack's routes call it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Xml => "xml",
            Self::Csv => "csv",
            Self::Jsv => "jsv",
        }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Xml => "application/xml",
            Self::Csv => "text/csv",
            Self::Jsv => "text/jsv",
        }
    }

    /// The format that a word of the path or of `?format=` names.
    pub fn of_word(word: &str) -> Option<Self> {
        let is_it = |it: &Self| it.word().eq_ignore_ascii_case(word);
        Self::ALL.into_iter().find(is_it)
    }

    /// The format of a media type without its parameters.
    pub fn of_media_type(essence: &str) -> Option<Self> {
        match essence.trim().to_ascii_lowercase().as_str() {
            "application/json" => Some(Self::Json),
            "application/xml" | "text/xml" => Some(Self::Xml),
            "text/csv" => Some(Self::Csv),
            "text/jsv" | "application/jsv" => Some(Self::Jsv),
            _ => None,
        }
    }
}

/// A text cannot be read in its format; nothing of it is quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreadable;

impl From<Unreadable> for BodyError {
    fn from(Unreadable: Unreadable) -> Self {
        Self::Unreadable
    }
}

/// The members of a body. One that begins with a brace is JSON whatever it is called, as the document's own example shows for
/// CSV; or it is JSV, where it is called that and is no JSON.
///
/// # Errors
/// Where it cannot be read.
pub fn read(format: Format, body: &[u8]) -> Result<Map<String, Value>, BodyError> {
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    let text = || std::str::from_utf8(body).map_err(|_| BodyError::Unreadable);
    let braced = body.trim_ascii_start().first() == Some(&b'{');
    let read = match format {
        Format::Jsv => match body::json(body) {
            Ok(members) => return Ok(members),
            Err(BodyError::NotJson { .. }) => jsv::read(text()?)?,
            Err(error) => return Err(error),
        },
        _ if braced => return body::json(body),
        Format::Json => return body::json(body),
        Format::Csv => csv::read(text()?)?,
        Format::Xml => xml::read(text()?)?,
    };
    match read {
        Value::Object(members) => Ok(members),
        _ => Err(BodyError::Unreadable),
    }
}

/// A value inside a text, in JSON or in JSV: how lists stand in forms, queries and the cells of a CSV. None where it is neither.
pub fn nested(text: &str) -> Option<Value> {
    let json = body::json(text.as_bytes()).ok();
    json.or_else(|| jsv::read(text).ok())
}

/// The members as a text. `root` is the name of XML's root element.
pub fn write(format: Format, root: &str, members: &[(&str, Value)]) -> String {
    match format {
        Format::Json => {
            let each = members
                .iter()
                .map(|(name, value)| format!("{}:{value}", Value::from(*name)));
            format!("{{{}}}", each.collect::<Vec<_>>().join(","))
        }
        Format::Xml => xml::write(root, members),
        Format::Csv => csv::write(members),
        Format::Jsv => jsv::write_members(members.iter().map(|(name, value)| (*name, value))),
    }
}

#[cfg(test)]
mod tests;
