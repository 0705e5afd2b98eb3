//! The formats of this door, all of them to and from JSON's values.

mod csv;
mod jsv;
mod xml;

use serde_json::{Map, Value};

use crate::http::body::{self, BodyError};

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

/// The members of a body. One that begins with a brace and is called CSV is JSON, as the document's own example shows; so is
/// what is called JSV and happens to be JSON.
///
/// # Errors
/// Where it cannot be read.
pub fn read(format: Format, body: &[u8]) -> Result<Map<String, Value>, BodyError> {
    let text = || std::str::from_utf8(body).map_err(|_| BodyError::Unreadable);
    let braced = body.trim_ascii_start().first() == Some(&b'{');
    let read = match format {
        Format::Json => return body::json(body),
        Format::Csv if braced => return body::json(body),
        Format::Csv => csv::read(text()?)?,
        Format::Jsv => match body::json(body) {
            Ok(members) => return Ok(members),
            Err(BodyError::NotJson { .. }) => jsv::read(text()?.trim())?,
            Err(error) => return Err(error),
        },
        Format::Xml => xml::read(text()?)?,
    };
    match read {
        Value::Object(members) => Ok(members),
        _ => Err(BodyError::Unreadable),
    }
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
mod tests {
    use super::*;
    use serde_json::json;

    const XML: &str = "<StripeV1CreateCheckout xmlns=\"http://schemas.datacontract.org/2004/07/BokaMera.API.ServiceModel.Dtos\" \
        xmlns:i=\"http://www.w3.org/2001/XMLSchema-instance\"><Articles><ArticleToCreate><ArticleId>1</ArticleId>\
        <Quantity>2</Quantity></ArticleToCreate></Articles><CancelUrl i:nil=\"true\"/>\
        <InternalReferenceId>a &amp; b&#33;</InternalReferenceId></StripeV1CreateCheckout>";

    fn of(format: Format, text: &str) -> Result<Value, BodyError> {
        read(format, text.as_bytes()).map(Value::Object)
    }

    #[test]
    fn every_format_says_the_same() {
        let articles = json!([{"ArticleId": "1", "Quantity": "2"}]);
        let said =
            json!({"Articles": articles, "CancelUrl": null, "InternalReferenceId": "a & b!"});
        assert_eq!(of(Format::Xml, XML), Ok(said));
        let said =
            json!({"Articles": articles, "InternalReferenceId": "a, \"b\"", "CancelUrl": ""});
        let jsv =
            r#"{Articles:[{ArticleId:1,Quantity:2}],InternalReferenceId:"a, ""b""",CancelUrl:}"#;
        assert_eq!(of(Format::Jsv, jsv), Ok(said.clone()));
        let csv = "Articles,InternalReferenceId,CancelUrl\r\n\"[{ArticleId:1,Quantity:2}]\",\"a, \"\"b\"\"\",\r\n";
        assert_eq!(of(Format::Csv, csv), Ok(said.clone()));
        assert_eq!(of(Format::Csv, &said.to_string()), Ok(said.clone()));
        assert_eq!(of(Format::Json, &said.to_string()), Ok(said));
    }

    /// Planted bug: letting the document's type, or an entity of its own, through to the reader.
    #[test]
    fn no_format_lets_a_bomb_in() {
        let bomb = "<!DOCTYPE a [<!ENTITY b \"bbbb\">]><a><b>&b;</b></a>";
        let deep = |open: &str, close: &str| open.repeat(100) + &close.repeat(100);
        for (format, text) in [
            (Format::Xml, bomb.to_owned()),
            (Format::Xml, "<a><b>&b;</b></a>".to_owned()),
            (Format::Xml, deep("<a>", "</a>")),
            (Format::Xml, "<a><b></a>".to_owned()),
            (Format::Xml, "<a><b>".to_owned()),
            (Format::Xml, String::new()),
            (Format::Jsv, deep("[", "]")),
            (Format::Jsv, "{a:{b:1}".to_owned()),
            (Format::Jsv, "{a:1}x".to_owned()),
            (Format::Jsv, "{a:\"1}".to_owned()),
            (Format::Csv, "a,b\r\n1\r\n".to_owned()),
            (Format::Csv, "a\r\n".to_owned()),
            (Format::Csv, format!("a\r\n{}\r\n", deep("[", "]"))),
        ] {
            assert!(of(format, &text).is_err(), "{format:?} {text:.40}");
        }
    }

    /// Planted bug: quoting a cell that is a formula, and leaving it one.
    #[test]
    fn a_cell_is_never_a_formula_and_what_is_special_is_quoted() {
        let members = [
            ("A", json!("=HYPERLINK(1)")),
            ("B", json!("+1, \"2\"")),
            ("C", Value::Null),
            ("D", json!([{"X": "a,b"}])),
        ];
        let expected = "A,B,C,D\r\n'=HYPERLINK(1),\"'+1, \"\"2\"\"\",,\"[{X:\"\"a,b\"\"}]\"\r\n";
        assert_eq!(write(Format::Csv, "R", &members), expected);
    }

    #[test]
    fn xml_has_its_members_in_the_order_of_the_alphabet_and_escapes_them() {
        let members = [("Url", json!("a<b&c")), ("ClientSecret", Value::Null)];
        let text = write(Format::Xml, "R", &members);
        assert!(
            text.ends_with("<ClientSecret i:nil=\"true\" /><Url>a&lt;b&amp;c</Url></R>"),
            "{text}"
        );
    }
}
