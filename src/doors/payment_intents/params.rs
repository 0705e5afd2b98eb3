//! Reads JSON parameters, and names what is wrong as Stripe does: `payment_method_data[card][exp_month]`. No message
//! repeats a value: it may be a card number in the wrong place.

use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::str::FromStr;

use super::error::StripeError;
use super::form;
use crate::firewall::holds_card_number;

/// The members of one object, and where it stands. A member that is null counts as absent, unless a method says otherwise.
pub struct Params<'a> {
    at: String,
    fields: &'a Map<String, Value>,
    /// Numbers and truth values may be written as text, as forms do.
    texts: bool,
}

/// What a request says of metadata.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct MetadataChange {
    /// An empty value unsets its key.
    pub pairs: BTreeMap<String, String>,
    /// All pairs are unset first.
    pub clear: bool,
}

impl<'a> Params<'a> {
    /// The parameters of a request.
    pub fn root(fields: &'a Map<String, Value>) -> Self {
        Self {
            at: String::new(),
            fields,
            texts: false,
        }
    }

    /// The parameters of a form, whose leaves are text.
    pub fn of_texts(fields: &'a Map<String, Value>) -> Self {
        Self {
            texts: true,
            ..Self::root(fields)
        }
    }

    /// The whole name of a member.
    pub fn name(&self, field: &str) -> String {
        if self.at.is_empty() {
            field.to_owned()
        } else {
            format!("{}[{field}]", self.at)
        }
    }

    /// Refuses members that nobody reads: a wish must not be ignored in silence.
    pub fn only(&self, known: &[&str]) -> Result<(), StripeError> {
        match self
            .fields
            .keys()
            .find(|field| !known.contains(&field.as_str()))
        {
            Some(field) => Err(unknown(&self.name(&shown(field)))),
            None => Ok(()),
        }
    }

    /// Whether the member is there.
    pub fn has(&self, field: &str) -> bool {
        self.given(field).is_some()
    }

    /// An id or a word of at most `chars_max` characters. An empty one is refused.
    pub fn id(&self, field: &str, chars_max: usize) -> Result<Option<&'a str>, StripeError> {
        match self.text(field, chars_max)? {
            Some("") => Err(self.empty(field)),
            text => Ok(text),
        }
    }

    /// The same, where it must be there.
    pub fn required_id(&self, field: &str, chars_max: usize) -> Result<&'a str, StripeError> {
        self.id(field, chars_max)?
            .ok_or_else(|| self.missing(field))
    }

    /// Text of at most `chars_max` characters that is nobody's id. It may be empty, and holds no card number.
    pub fn prose(&self, field: &str, chars_max: usize) -> Result<Option<String>, StripeError> {
        match self.text(field, chars_max)? {
            Some(text) if holds_card_number(text) => Err(card_number_in(&self.name(field))),
            text => Ok(text.map(str::to_owned)),
        }
    }

    /// Text of at most `chars_max` characters, perhaps empty.
    pub fn text(&self, field: &str, chars_max: usize) -> Result<Option<&'a str>, StripeError> {
        let Some(value) = self.given(field) else {
            return Ok(None);
        };
        let name = self.name(field);
        let text = value
            .as_str()
            .ok_or_else(|| StripeError::invalid("Invalid string").param(&name))?;
        if text.chars().count() > chars_max {
            return Err(StripeError::invalid(format!(
                "Invalid string: at most {chars_max} characters"
            ))
            .param(&name));
        }
        if text.contains('\0') {
            return Err(
                StripeError::invalid("Invalid string: it holds a NUL character").param(&name),
            );
        }
        Ok(Some(text))
    }

    /// The members of these names as they are, in bracket notation, for Stripe to judge. None holds a card number.
    pub fn as_pairs(&self, names: &[&str]) -> Result<Vec<(String, String)>, StripeError> {
        let mut members = self.fields.clone();
        members.retain(|name, _| names.contains(&name.as_str()));
        let pairs = form::pairs(&members);
        match pairs.iter().find(|(_, text)| holds_card_number(text)) {
            Some((name, _)) => Err(card_number_in(&shown(name))),
            None => Ok(pairs),
        }
    }

    /// A whole number from 1 on, not written as text.
    pub fn positive(&self, field: &str) -> Result<Option<i64>, StripeError> {
        let Some(value) = self.given(field) else {
            return Ok(None);
        };
        let number = match value.as_str().filter(|_| self.texts) {
            Some("") => return Err(self.empty(field)),
            Some(text) => text.parse().ok(),
            None => value.as_i64(),
        };
        let number = number.ok_or_else(|| self.not_an_integer(field, "Invalid integer"))?;
        if number < 1 {
            return Err(
                self.not_an_integer(field, "This value must be greater than or equal to 1.")
            );
        }
        Ok(Some(number))
    }

    /// A whole number, as a number or as text, that must be there.
    pub fn required_integer(&self, field: &str) -> Result<i64, StripeError> {
        let value = self.given(field).ok_or_else(|| self.missing(field))?;
        let number = value
            .as_i64()
            .or_else(|| value.as_str().and_then(|text| text.parse().ok()));
        number.ok_or_else(|| self.not_an_integer(field, "Invalid integer"))
    }

    /// `true` or `false`.
    pub fn flag(&self, field: &str) -> Result<Option<bool>, StripeError> {
        let Some(value) = self.given(field) else {
            return Ok(None);
        };
        let flag = match value.as_str().filter(|_| self.texts) {
            Some("true") => Some(true),
            Some("false") => Some(false),
            Some("") => return Err(self.empty(field)),
            _ => value.as_bool(),
        };
        flag.map(Some)
            .ok_or_else(|| StripeError::invalid("Invalid boolean").param(&self.name(field)))
    }

    /// One of the words that `T` knows.
    pub fn word<T: FromStr>(&self, field: &str, words: &str) -> Result<Option<T>, StripeError> {
        let Some(text) = self.id(field, 100)? else {
            return Ok(None);
        };
        let name = self.name(field);
        let refused =
            || StripeError::invalid(format!("Invalid {name}: must be one of {words}")).param(&name);
        text.parse().map(Some).map_err(|_| refused())
    }

    /// An object inside of this one.
    pub fn hash(&self, field: &str) -> Result<Option<Params<'a>>, StripeError> {
        let Some(value) = self.given(field) else {
            return Ok(None);
        };
        let at = self.name(field);
        match value.as_object() {
            Some(fields) => Ok(Some(Params {
                at,
                fields,
                texts: self.texts,
            })),
            None => Err(StripeError::invalid("Invalid object").param(&at)),
        }
    }

    /// A list of text.
    pub fn words(&self, field: &str) -> Result<Option<Vec<&'a str>>, StripeError> {
        let Some(value) = self.given(field) else {
            return Ok(None);
        };
        let words = value
            .as_array()
            .and_then(|items| items.iter().map(Value::as_str).collect());
        words
            .map(Some)
            .ok_or_else(|| StripeError::invalid("Invalid array").param(&self.name(field)))
    }

    /// `metadata`: an object of texts; numbers and truth values are taken as text, null unsets. Where all of it is null or
    /// empty text, every pair is unset. How many and how long is the domain's to say.
    pub fn metadata(&self) -> Result<MetadataChange, StripeError> {
        let name = self.name("metadata");
        match self.fields.get("metadata") {
            None => Ok(MetadataChange::default()),
            Some(Value::Null) => Ok(MetadataChange {
                clear: true,
                ..MetadataChange::default()
            }),
            Some(Value::String(text)) if text.is_empty() => Ok(MetadataChange {
                clear: true,
                ..MetadataChange::default()
            }),
            Some(Value::Object(fields)) => {
                let pairs = fields
                    .iter()
                    .map(|(key, value)| pair(&name, key, value))
                    .collect::<Result<_, _>>()?;
                Ok(MetadataChange {
                    pairs,
                    clear: false,
                })
            }
            Some(_) => Err(StripeError::invalid("Invalid object").param(&name)),
        }
    }

    /// The error for a member that must be there.
    pub fn missing(&self, field: &str) -> StripeError {
        let name = self.name(field);
        StripeError::invalid(format!("Missing required param: {name}."))
            .code("parameter_missing")
            .param(&name)
    }

    fn empty(&self, field: &str) -> StripeError {
        let name = self.name(field);
        let message = format!(
            "You passed an empty string for '{name}'. We assume empty values are an attempt to unset a parameter; however '{name}' cannot be unset. You should remove '{name}' from your request or supply a non-empty value."
        );
        StripeError::invalid(message)
            .code("parameter_invalid_empty")
            .param(&name)
    }

    fn not_an_integer(&self, field: &str, message: &str) -> StripeError {
        StripeError::invalid(message)
            .code("parameter_invalid_integer")
            .param(&self.name(field))
    }

    fn given(&self, field: &str) -> Option<&'a Value> {
        self.fields.get(field).filter(|value| !value.is_null())
    }
}

fn pair(at: &str, key: &str, value: &Value) -> Result<(String, String), StripeError> {
    let name = format!("{at}[{}]", shown(key));
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::Null => String::new(),
        Value::Array(_) | Value::Object(_) => {
            return Err(StripeError::invalid("Invalid string").param(&name));
        }
    };
    if key.contains('\0') || text.contains('\0') {
        return Err(StripeError::invalid("Invalid string: it holds a NUL character").param(&name));
    }
    if holds_card_number(key) || holds_card_number(&text) {
        return Err(card_number_in(&name));
    }
    Ok((key.to_owned(), text))
}

/// The error for a parameter that is not known here.
pub fn unknown(name: &str) -> StripeError {
    StripeError::invalid(format!("Received unknown parameter: {name}"))
        .code("parameter_unknown")
        .param(name)
}

/// A name that the caller chose, as far as it can be repeated: `…` where it is not a plain name.
pub fn shown(name: &str) -> String {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'[' | b']');
    let digits = name.bytes().filter(u8::is_ascii_digit).count();
    if name.len() <= 80 && digits <= 6 && name.bytes().all(plain) {
        name.to_owned()
    } else {
        "…".to_owned()
    }
}

/// The error for text that must not be kept.
pub fn card_number_in(name: &str) -> StripeError {
    StripeError::invalid("This looks like a card number, which must not be stored here").param(name)
}
