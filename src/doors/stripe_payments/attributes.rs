//! What the attributes of a document may be, and what of them Stripe is told.

use aggregates::payment::terms::Parameters;
use secrecy::SecretString;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

use super::error::{self, Refusal};
use crate::doors::firewall::holds_card_number;
use crate::http::addresses::may_return_to;
use crate::http::json_api::ErrorObject;
use crate::use_cases::{GivenIntent, StripeOptions};

/// In characters, as the next is.
pub const TEXT_LENGTH_MAX: usize = 255;
const URL_LENGTH_MAX: usize = 2048;
/// Of an object, in bytes of JSON.
const OBJECT_LENGTH_MAX: usize = 16 * 1024;
/// What Stripe may be told through `options`; `return_url` stays here. No price, no card, nothing personal, no confirmation.
const OPTIONS: &[&str] = &[
    "application_fee_amount",
    "automatic_payment_methods",
    "on_behalf_of",
    "payment_method_options",
    "payment_method_types",
    "setup_future_usage",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "transfer_data",
    "transfer_group",
];

/// The attributes of a document; only those that are taken.
pub struct Attributes<'a>(Option<&'a Map<String, Value>>);

impl<'a> Attributes<'a> {
    pub fn of(data: &'a Map<String, Value>, taken: &[&str]) -> Result<Self, Refusal> {
        let attributes = match data.get("attributes") {
            None | Some(Value::Null) => return Ok(Self(None)),
            Some(Value::Object(it)) => it,
            Some(_) => {
                let detail = "Attributes are an object.";
                return Err(error::bad_request(detail).at("/data/attributes").into());
            }
        };
        let strange = attributes
            .keys()
            .filter(|name| !taken.contains(&name.as_str()));
        let strange: Vec<ErrorObject> = strange
            .map(|name| refused("/data/attributes", name))
            .collect();
        if strange.is_empty() {
            Ok(Self(Some(attributes)))
        } else {
            Err(strange.into())
        }
    }

    pub fn get(&self, name: &str) -> Option<&'a Value> {
        self.0?.get(name)
    }

    /// A text, or null; none where it is not named.
    pub fn text(
        &self,
        name: &str,
        length_max: usize,
        faults: &mut Vec<ErrorObject>,
    ) -> Option<Option<String>> {
        let fault = match self.get(name)? {
            Value::Null => return Some(None),
            Value::String(text) if text.chars().count() > length_max => {
                format!("This is at most {length_max} characters long.")
            }
            Value::String(text) => match unfit(text) {
                None => return Some(Some(text.clone())),
                Some(fault) => fault.to_owned(),
            },
            _ => "This is a text, or null.".to_owned(),
        };
        faults.push(at(name, &fault));
        None
    }

    pub fn return_url(&self, faults: &mut Vec<ErrorObject>) -> Option<Option<String>> {
        let url = self.text("return_url", URL_LENGTH_MAX, faults)?;
        if url.as_deref().is_some_and(|url| !may_return_to(url)) {
            faults.push(at(
                "return_url",
                "This is not an address that a payer may be sent to.",
            ));
            return None;
        }
        Some(url)
    }

    pub fn email(&self, faults: &mut Vec<ErrorObject>) -> Option<Option<String>> {
        let email = self.text("receipt_email", TEXT_LENGTH_MAX, faults)?;
        let formed = |it: &str| {
            let odd = |letter: char| letter.is_whitespace() || letter.is_control();
            let parts = it.split_once('@');
            !it.contains(odd)
                && parts.is_some_and(|(name, host)| {
                    !name.is_empty() && !host.is_empty() && !host.contains('@')
                })
        };
        if email.as_deref().is_some_and(|it| !formed(it)) {
            faults.push(at("receipt_email", "This is not an e-mail address."));
            return None;
        }
        Some(email)
    }

    /// An object; null is an empty one.
    pub fn object(&self, name: &str, faults: &mut Vec<ErrorObject>) -> Option<Map<String, Value>> {
        let fault = match self.get(name)? {
            Value::Null => return Some(Map::new()),
            Value::Object(object) => {
                let value = Value::Object(object.clone());
                match unfit_within(&value) {
                    Some(fault) => fault.to_owned(),
                    None if value.to_string().len() > OBJECT_LENGTH_MAX => {
                        format!("This is at most {OBJECT_LENGTH_MAX} bytes of JSON.")
                    }
                    None => return Some(object.clone()),
                }
            }
            _ => "This is an object.".to_owned(),
        };
        faults.push(at(name, &fault));
        None
    }

    pub fn flag(&self, name: &str, faults: &mut Vec<ErrorObject>) -> bool {
        match self.get(name) {
            None | Some(Value::Null) => false,
            Some(Value::Bool(wanted)) => *wanted,
            Some(_) => {
                faults.push(at(name, "This is true or false."));
                false
            }
        }
    }

    /// An intent that exists is named by both its id and its secret.
    pub fn intent(&self, faults: &mut Vec<ErrorObject>) -> Option<GivenIntent> {
        let id = self.text("stripe_id", TEXT_LENGTH_MAX, faults).flatten();
        let secret = self
            .text("client_secret", TEXT_LENGTH_MAX, faults)
            .flatten();
        let plain = |it: u8| it.is_ascii_alphanumeric() || it == b'_';
        match (id, secret) {
            (None, None) => None,
            (Some(id), Some(_)) if id.is_empty() || !id.bytes().all(plain) => {
                faults.push(at("stripe_id", "This is no id of Stripe's."));
                None
            }
            (Some(id), Some(secret)) => Some(GivenIntent {
                id,
                client_secret: SecretString::from(secret),
            }),
            (Some(_), None) => {
                faults.push(at(
                    "client_secret",
                    "An intent is named by its id and its secret.",
                ));
                None
            }
            (None, Some(_)) => {
                faults.push(at(
                    "stripe_id",
                    "An intent is named by its id and its secret.",
                ));
                None
            }
        }
    }
}

/// What Stripe is told through the options.
pub fn options(given: &Map<String, Value>, faults: &mut Vec<ErrorObject>) -> StripeOptions {
    let mut options = StripeOptions::default();
    let mut pairs = BTreeMap::new();
    for (name, value) in given {
        let text = || value.as_str().map(str::to_owned);
        let taken = match name.as_str() {
            _ if value.is_null() => true,
            "return_url" => value.as_str().is_some_and(may_return_to),
            "customer" => {
                options.customer = text();
                text().is_some()
            }
            "payment_method" => {
                options.payment_method = text();
                text().is_some()
            }
            "description" => {
                options.description = text();
                text().is_some()
            }
            "capture_method" => {
                options.capture_method = value.as_str().and_then(|it| it.parse().ok());
                options.capture_method.is_some()
            }
            it if OPTIONS.contains(&it) => {
                flatten(name, value, &mut pairs);
                true
            }
            _ => false,
        };
        if !taken {
            faults.push(at(
                "options",
                "One of the options is not taken here, or not with this value.",
            ));
            return options;
        }
    }
    match Parameters::parse(pairs) {
        Ok(parameters) => options.parameters = parameters,
        Err(error) => faults.push(at("options", &crate::doors::sentence(&error))),
    }
    options
}

/// In brackets, as Stripe takes it.
fn flatten(name: &str, value: &Value, pairs: &mut BTreeMap<String, String>) {
    match value {
        Value::Null => {}
        Value::Object(fields) => {
            for (field, value) in fields {
                flatten(&format!("{name}[{field}]"), value, pairs);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                flatten(&format!("{name}[{index}]"), value, pairs);
            }
        }
        Value::String(text) => drop(pairs.insert(name.to_owned(), text.clone())),
        other => drop(pairs.insert(name.to_owned(), other.to_string())),
    }
}

/// Why a text is not kept.
fn unfit(text: &str) -> Option<&'static str> {
    if text.contains('\0') {
        Some("This holds a character that cannot be kept.")
    } else if holds_card_number(text) {
        Some("This holds what looks like a card number.")
    } else {
        None
    }
}

fn unfit_within(value: &Value) -> Option<&'static str> {
    match value {
        Value::String(text) => unfit(text),
        Value::Array(items) => items.iter().find_map(unfit_within),
        Value::Object(fields) => fields
            .iter()
            .find_map(|(name, value)| unfit(name).or_else(|| unfit_within(value))),
        Value::Number(number) => unfit(&number.to_string()),
        Value::Null | Value::Bool(_) => None,
    }
}

pub fn at(name: &str, detail: &str) -> ErrorObject {
    error::invalid(detail).at(format!("/data/attributes/{name}"))
}

/// A member that is not taken here. Its name is shown where it can be one.
pub fn refused(under: &str, name: &str) -> ErrorObject {
    let plain = |it: u8| it.is_ascii_alphabetic() || it == b'_';
    let shown = name.len() <= 40 && name.bytes().all(plain);
    let pointer = if shown {
        format!("{under}/{name}")
    } else {
        under.to_owned()
    };
    error::not_allowed("This is not one that can be set here.").at(pointer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(given: Value) -> (StripeOptions, usize) {
        let mut faults = Vec::new();
        let options = options(given.as_object().unwrap(), &mut faults);
        (options, faults.len())
    }

    #[test]
    fn options_go_to_stripe_in_its_own_form_and_nothing_that_is_ours_to_decide() {
        let (read_so, faults) = read(json!({
            "customer": "cus_1", "payment_method": "pm_1", "capture_method": "manual", "return_url": "https://x.example",
            "payment_method_types": ["card"], "transfer_data": {"destination": "acct_1"}, "setup_future_usage": null,
        }));
        assert_eq!(faults, 0);
        assert_eq!(read_so.customer.as_deref(), Some("cus_1"));
        let pairs: Vec<_> = read_so.parameters.iter().collect();
        let expected = [
            ("payment_method_types[0]", "card"),
            ("transfer_data[destination]", "acct_1"),
        ];
        assert_eq!(pairs, expected);
        for wrong in [
            json!({"amount": 1}),
            json!({"currency": "usd"}),
            json!({"confirm": true}),
            json!({"payment_method_data": {"card": {}}}),
            json!({"return_url": "javascript:alert(1)"}),
            json!({"customer": 1}),
            json!({"capture_method": "later"}),
        ] {
            assert_eq!(read(wrong.clone()).1, 1, "{wrong}");
        }
    }

    #[test]
    fn no_text_anywhere_in_an_object_holds_a_card_number_or_a_nul() {
        for wrong in [
            json!({"a": {"b": ["4242 4242 4242 4242"]}}),
            json!({"4242424242424242": 1}),
            json!({"a": 4_242_424_242_424_242_i64}),
            json!({"a": "\0"}),
        ] {
            assert!(unfit_within(&wrong).is_some(), "{wrong}");
        }
        assert_eq!(
            unfit_within(&json!({"foo": "bar", "n": [1, null, true]})),
            None
        );
    }
}
