use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::errors::{ApiError, Outcome};
use crate::objects::{Metadata, PaymentMethod};
use crate::params::{Field, Params, Shape, Tree};
use crate::state::{AccountCell, Tx};

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// The merchant's server.
    Secret,
    /// A browser: it may only look at and confirm an intent whose client secret it knows.
    Publishable,
}

/// A request as its handler sees it.
pub struct Call<'c, 'a> {
    /// What it reads and writes.
    pub tx: &'c mut Tx<'a>,
    /// Its parameters.
    pub params: Params<'c>,
    /// The id in its path; empty where there is none.
    pub id: &'c str,
    /// Who calls.
    pub caller: Caller,
}

/// A handler answers the body of a 200.
pub type Handler = fn(&mut Call<'_, '_>) -> Outcome<Value>;

/// A route: its handler and the id in the path.
pub struct Route {
    /// What answers.
    pub handler: Handler,
    /// Empty where there is none.
    pub id: String,
    /// Whether a publishable key may call it.
    pub public: bool,
}

/// A request that was read, and is yet to be run.
pub struct Request {
    /// On which account.
    pub cell: Arc<AccountCell>,
    /// Who calls.
    pub caller: Caller,
    /// Where it goes.
    pub route: Route,
    /// `/v1/…`
    pub path: String,
    /// The parameters of body and query.
    pub params: Tree,
    /// The caller's `Idempotency-Key`, on a POST.
    pub key: Option<String>,
    /// `req_…`
    pub request_id: String,
}

/// The members of an address.
pub const ADDRESS: Shape = Shape::Hash(&[
    ("city", Shape::Any),
    ("country", Shape::Any),
    ("line1", Shape::Any),
    ("line2", Shape::Any),
    ("postal_code", Shape::Any),
    ("state", Shape::Any),
]);

/// The members of `shipping`.
pub const SHIPPING: Shape = Shape::Hash(&[
    ("address", ADDRESS),
    ("carrier", Shape::Any),
    ("name", Shape::Any),
    ("phone", Shape::Any),
    ("tracking_number", Shape::Any),
]);

/// Reads `metadata` into what is there: an empty value unsets its key, an empty `metadata` all of them.
///
/// # Errors
/// 400 beyond Stripe's limits: 50 pairs, keys of 40 characters without square brackets, values of 500.
pub fn read_metadata(params: &Params<'_>, metadata: &mut Metadata) -> Outcome<()> {
    const PAIRS_MAX: usize = 50;
    const KEY_CHARS_MAX: usize = 40;
    const VALUE_CHARS_MAX: usize = 500;
    let given = match params.hash("metadata")? {
        Field::Absent => return Ok(()),
        Field::Unset => {
            metadata.clear();
            return Ok(());
        }
        Field::Given(given) => given,
    };
    for (key, value) in given.entries() {
        let invalid = |message: String| Err(ApiError::invalid(message).param(given.name(key)));
        let Tree::Leaf(value) = value else {
            return invalid("Metadata values must be strings.".to_owned());
        };
        let (key_chars, value_chars) = (key.chars().count(), value.chars().count());
        if key_chars > KEY_CHARS_MAX {
            return invalid(format!(
                "Metadata keys can have up to 40 characters, but you passed in a key that is {key_chars} characters."
            ));
        }
        if key.contains(['[', ']']) {
            return invalid("Metadata keys cannot include square brackets.".to_owned());
        }
        if value_chars > VALUE_CHARS_MAX {
            return invalid(format!(
                "Metadata values can have up to 500 characters, but you passed in a value that is {value_chars} characters."
            ));
        }
        if value.is_empty() {
            metadata.remove(key);
        } else {
            metadata.insert(key.to_owned(), value.clone());
        }
    }
    if metadata.len() > PAIRS_MAX {
        return Err(ApiError::invalid(format!(
            "Metadata can have up to 50 keys, but it would have {}.",
            metadata.len()
        ))
        .param("metadata"));
    }
    Ok(())
}

/// Reads texts of a hash into an object that has every name, `null` where nothing was given.
fn read_texts(params: &Params<'_>, names: &[&str]) -> Outcome<Map<String, Value>> {
    names
        .iter()
        .map(|name| Ok(((*name).to_owned(), json!(params.text(name, 5_000)?.given()))))
        .collect()
}

/// Reads `address` into an object that has every name, `null` where nothing was given.
///
/// # Errors
/// 400 when something in it is not text.
pub fn read_address(params: &Params<'_>) -> Outcome<Option<Value>> {
    let names = ["city", "country", "line1", "line2", "postal_code", "state"];
    match params.hash("address")?.given() {
        Some(address) => Ok(Some(Value::Object(read_texts(&address, &names)?))),
        None => Ok(None),
    }
}

/// Reads `shipping`, which has to name somebody and an address.
///
/// # Errors
/// 400 `parameter_missing`, or when something in it is not text.
pub fn read_shipping(params: &Params<'_>) -> Outcome<Field<Value>> {
    let shipping = match params.hash("shipping")? {
        Field::Absent => return Ok(Field::Absent),
        Field::Unset => return Ok(Field::Unset),
        Field::Given(shipping) => shipping,
    };
    shipping.required_text("name", 5_000)?;
    let names = ["carrier", "name", "phone", "tracking_number"];
    let mut object = read_texts(&shipping, &names)?;
    let address =
        read_address(&shipping)?.ok_or_else(|| ApiError::missing(&shipping.name("address")))?;
    object.insert("address".to_owned(), address);
    Ok(Field::Given(Value::Object(object)))
}

/// Reads `billing_details` over what is there.
///
/// # Errors
/// 400 when something in it is not text, or the e-mail is none.
pub fn read_billing_details(params: &Params<'_>, details: &mut Value) -> Outcome<()> {
    let Some(given) = params.hash("billing_details")?.given() else {
        return Ok(());
    };
    read_email(&given, "email")?;
    for name in ["email", "name", "phone"] {
        if given.has(name) {
            details[name] = json!(given.text(name, 5_000)?.given());
        }
    }
    let empty = PaymentMethod::empty_billing_details();
    if given.has("address") {
        details["address"] = read_address(&given)?.unwrap_or_else(|| empty["address"].clone());
    }
    Ok(())
}

/// Reads an e-mail address.
///
/// # Errors
/// 400 `email_invalid`.
pub fn read_email(params: &Params<'_>, key: &str) -> Outcome<Field<String>> {
    let email = params.text(key, 800)?;
    if let Field::Given(text) = &email
        && !text.contains('@')
    {
        return Err(ApiError::invalid("Invalid email address.")
            .code("email_invalid")
            .param(params.name(key)));
    }
    Ok(email)
}

/// Reads the text that the payer's bank prints, or the end of it. Stripe documents its rules, and not the words of a refusal.
///
/// # Errors
/// 400 beyond 22 characters, with one of `<>\'"*`, or without any letter.
pub fn read_descriptor(params: &Params<'_>, key: &str) -> Outcome<Field<String>> {
    let descriptor = params.text(key, 22)?;
    let Field::Given(text) = &descriptor else {
        return Ok(descriptor);
    };
    let has_odd = text.contains(['<', '>', '\\', '\'', '"', '*']);
    if has_odd || !text.chars().any(char::is_alphabetic) {
        let message = format!(
            "Invalid {key}: it must contain at least one letter, and none of the characters <>\\'\"*"
        );
        return Err(ApiError::invalid(message).param(params.name(key)));
    }
    Ok(descriptor)
}

/// Reads a URL to send a payer to.
///
/// # Errors
/// 400 `url_invalid` when it has no scheme, or one that runs code.
pub fn read_url(params: &Params<'_>, key: &str) -> Outcome<Option<String>> {
    let Some(url) = params.text(key, 5_000)?.given() else {
        return Ok(None);
    };
    let scheme = url
        .split_once("://")
        .map(|(scheme, _)| scheme.to_lowercase());
    let is_safe = scheme.is_some_and(|it| {
        let plain = |it: char| it.is_ascii_alphanumeric() || matches!(it, '+' | '-' | '.');
        !it.is_empty() && it.chars().all(plain) && !matches!(it.as_str(), "javascript" | "data")
    });
    if is_safe && !url.chars().any(char::is_control) {
        return Ok(Some(url));
    }
    Err(ApiError::invalid("Not a valid URL")
        .code("url_invalid")
        .param(params.name(key)))
}
