//! What a client sends: two keys, and members in any of the formats, whose names' case does not matter.

use axum::body::Body;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use uuid::Uuid;

use super::error::{CheckoutError, Fault};
use super::formats::{self, Format};
use crate::doors::firewall::holds_card_number;
use crate::http::auth::{self, PresentedKey};
use crate::http::body::{self, BodyError, MediaType};
use crate::store::{Caller, KeyKind, Scope};
use crate::use_cases::{App, AppError, CheckoutArticle, OpenCheckout, Shown};

static X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// In characters, as Stripe's metadata and addresses allow.
const REFERENCE_LENGTH_MAX: usize = 200;
const URL_LENGTH_MAX: usize = 2_000;
const ARTICLES_MAX: usize = 100;
const QUANTITY_MAX: u32 = 10_000;

/// The members of a request, by their names in lower case.
pub type Said = BTreeMap<String, Value>;

/// The company's system by its `x-api-key`, speaking for the customer whose bearer token is there as well. Absent, malformed
/// and unknown are answered alike.
pub async fn caller(app: &App, headers: &HeaderMap) -> Result<Caller, CheckoutError> {
    let keys = &app.store().keys;
    let key = presented(auth::header(headers, &X_API_KEY))?;
    let token = presented(auth::bearer(headers))?;
    let system = keys
        .caller(KeyKind::Bokamera, None, key.secret())
        .await
        .map_err(AppError::from)?
        .ok_or(CheckoutError::Unauthenticated)?;
    let customer = keys
        .caller(KeyKind::Customer, Some(&system.merchant.id), token.secret())
        .await
        .map_err(AppError::from)?
        .and_then(|found| found.customer.clone())
        .ok_or(CheckoutError::Unauthenticated)?;
    if !system.may(Scope::PaymentsWrite) {
        return Err(CheckoutError::ScopeMissing);
    }
    app.admit(&system)?;
    Ok(Caller {
        customer: Some(customer),
        ..Caller::clone(&system)
    })
}

fn presented(
    key: Result<Option<PresentedKey>, auth::MalformedKey>,
) -> Result<PresentedKey, CheckoutError> {
    key.ok().flatten().ok_or(CheckoutError::Unauthenticated)
}

/// The format that is wanted where the path names none: by `?format=`, then by `Accept`, whose first known type counts.
pub fn wanted(headers: &HeaderMap, query: Option<&str>) -> Format {
    let of_query = pairs(query)
        .into_iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("format"))
        .and_then(|(_, word)| Format::of_word(&word));
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    let of_accept = || {
        accept?
            .split(',')
            .find_map(|it| Format::of_media_type(it.split(';').next().unwrap_or_default()))
    };
    of_query.or_else(of_accept).unwrap_or(Format::Json)
}

/// The query's values, and over them the body's. `wanted` is the body's format too where it has no type of its own.
pub async fn read(
    wanted: Format,
    headers: &HeaderMap,
    query: Option<&str>,
    body: Body,
) -> Result<Said, CheckoutError> {
    let bytes = body::read(headers, body).await?;
    let mut said: Said = pairs(query)
        .into_iter()
        .filter_map(|(name, text)| member(name, text.into()))
        .collect();
    if !bytes.iter().all(u8::is_ascii_whitespace) {
        let members = members(wanted, headers, &bytes)?;
        said.extend(
            members
                .into_iter()
                .filter_map(|(name, it)| member(name, it)),
        );
    }
    Ok(said)
}

fn members(
    wanted: Format,
    headers: &HeaderMap,
    bytes: &[u8],
) -> Result<Map<String, Value>, BodyError> {
    let value = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let essence = value
        .and_then(|it| it.split(';').next())
        .unwrap_or_default();
    let braced = bytes.trim_ascii_start().first() == Some(&b'{');
    match (Format::of_media_type(essence), MediaType::of(headers)) {
        (Some(format), _) => formats::read(format, bytes),
        (None, MediaType::Form) if !braced => serde_urlencoded::from_bytes(bytes)
            .map(|pairs: Vec<(String, String)>| {
                pairs
                    .into_iter()
                    .map(|(name, it)| (name, it.into()))
                    .collect()
            })
            .map_err(|_| BodyError::Unreadable),
        (None, MediaType::Absent) => formats::read(wanted, bytes),
        (None, _) => body::json(bytes),
    }
}

/// A list in a form or a query is JSON or JSV.
fn member(name: String, value: Value) -> Option<(String, Value)> {
    let value = match value {
        Value::Null => return None,
        Value::String(text) if text.starts_with(['[', '{']) => {
            let wrapped = format!("{{value:{text}}}");
            let json = || body::json::<Value>(text.as_bytes()).ok();
            let jsv = || {
                formats::read(Format::Jsv, wrapped.as_bytes())
                    .ok()?
                    .remove("value")
            };
            json().or_else(jsv).unwrap_or(Value::String(text))
        }
        value => value,
    };
    Some((name.to_ascii_lowercase(), value))
}

fn pairs(query: Option<&str>) -> Vec<(String, String)> {
    serde_urlencoded::from_str(query.unwrap_or_default()).unwrap_or_default()
}

/// The checkout that is asked for; `confirmation` is where a payer goes where nothing else is said.
pub fn create(said: &Said, confirmation: &str) -> Result<OpenCheckout, CheckoutError> {
    let mut faults = Vec::new();
    let company = company(said, &mut faults);
    let country = text(said, "CountryCode", &mut faults);
    let two_letters = country.len() == 2 && country.bytes().all(|it| it.is_ascii_alphabetic());
    if !two_letters && !country.is_empty() {
        faults.push(fault("Length", "CountryCode", "A country is two letters."));
    }
    let reference = text(said, "InternalReferenceId", &mut faults);
    if reference.chars().count() > REFERENCE_LENGTH_MAX {
        let message = "The reference is too long.";
        faults.push(fault("Length", "InternalReferenceId", message));
    } else if holds_card_number(&reference) {
        let message = "The reference must not be a card number.";
        faults.push(fault("CardNumber", "InternalReferenceId", message));
    }
    let articles = articles(said, &mut faults);
    let shown = shown(said, confirmation, &mut faults);
    if faults.is_empty() {
        Ok(OpenCheckout {
            company,
            reference,
            country,
            articles,
            shown,
        })
    } else {
        Err(CheckoutError::Invalid(faults))
    }
}

/// The company and the session whose status is asked for.
pub fn status(said: &Said) -> Result<(String, String), CheckoutError> {
    let mut faults = Vec::new();
    let company = company(said, &mut faults);
    let session = text(said, "SessionId", &mut faults);
    let plain = session
        .bytes()
        .all(|it| it.is_ascii_alphanumeric() || it == b'_');
    if !plain || session.len() > 255 {
        return Err(AppError::NotFound {
            what: "checkout",
            id: String::new(),
        }
        .into());
    }
    if faults.is_empty() {
        Ok((company, session))
    } else {
        Err(CheckoutError::Invalid(faults))
    }
}

fn fault(code: &'static str, field: &str, message: &str) -> Fault {
    Fault {
        code,
        field: field.to_owned(),
        message: message.to_owned(),
    }
}

/// A member that must be there. An empty text after a fault.
fn text(said: &Said, name: &str, faults: &mut Vec<Fault>) -> String {
    match optional(said, name) {
        Some(text) => text,
        None => {
            let message = format!("'{name}' must not be empty.");
            faults.push(fault("NotEmpty", name, &message));
            String::new()
        }
    }
}

/// A text or a number; none where it is absent or empty.
fn optional(said: &Said, name: &str) -> Option<String> {
    let text = match said.get(&name.to_ascii_lowercase())? {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}

/// A GUID in any of .NET's spellings: with hyphens or without, in braces or parentheses.
fn company(said: &Said, faults: &mut Vec<Fault>) -> String {
    let text = text(said, "CompanyId", faults);
    let bare = text
        .strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(')'))
        .unwrap_or(&text);
    match Uuid::try_parse(bare) {
        Ok(guid) => guid.hyphenated().to_string(),
        Err(_) => {
            if !text.is_empty() {
                faults.push(fault("Guid", "CompanyId", "A company is named by a GUID."));
            }
            String::new()
        }
    }
}

fn articles(said: &Said, faults: &mut Vec<Fault>) -> Vec<CheckoutArticle> {
    let items = match said.get("articles") {
        Some(Value::Array(items)) if (1..=ARTICLES_MAX).contains(&items.len()) => items,
        _ => {
            let message = "'Articles' is a list of 1 to 100 articles.";
            faults.push(fault("NotEmpty", "Articles", message));
            return vec![];
        }
    };
    let mut read = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let members: Said = match item {
            Value::Object(members) => members
                .iter()
                .filter_map(|(name, it)| member(name.clone(), it.clone()))
                .collect(),
            _ => Said::new(),
        };
        let number = optional(&members, "ArticleId").and_then(|text| text.parse().ok());
        if number.is_none() {
            let field = format!("Articles[{index}].ArticleId");
            faults.push(fault("NotEmpty", &field, "An article is named by its id."));
        }
        let quantity = match optional(&members, "Quantity") {
            None => Some(1),
            Some(text) => text
                .parse()
                .ok()
                .filter(|it| (1..=QUANTITY_MAX).contains(it)),
        };
        if quantity.is_none() {
            let field = format!("Articles[{index}].Quantity");
            faults.push(fault(
                "InclusiveBetween",
                &field,
                "A quantity is 1 to 10000.",
            ));
        }
        if let (Some(number), Some(quantity)) = (number, quantity) {
            read.push(CheckoutArticle { number, quantity });
        }
    }
    read
}

fn shown(said: &Said, confirmation: &str, faults: &mut Vec<Fault>) -> Shown {
    let done = address(said, "ConfirmationUrl", faults);
    let back = address(said, "CancelUrl", faults);
    let mode = optional(said, "UiMode").unwrap_or_default();
    if mode.eq_ignore_ascii_case("embedded") {
        if back.is_some() {
            let message = "'CancelUrl' is not allowed where 'UiMode' is embedded.";
            faults.push(fault("Empty", "CancelUrl", message));
        }
        return Shown::Embedded { return_url: done };
    }
    if !mode.is_empty() && !mode.eq_ignore_ascii_case("hosted") {
        let message = "'UiMode' is hosted or embedded.";
        faults.push(fault("Enum", "UiMode", message));
    }
    Shown::Hosted {
        success_url: done.unwrap_or_else(|| confirmation.to_owned()),
        cancel_url: back,
    }
}

/// An address that a browser may be sent to: of the web, never a script's.
fn address(said: &Said, name: &str, faults: &mut Vec<Fault>) -> Option<String> {
    let url = optional(said, name)?;
    let of_web = url.starts_with("https://") || url.starts_with("http://");
    let plain = url.bytes().all(|it| it.is_ascii_graphic());
    if of_web && plain && url.len() <= URL_LENGTH_MAX && !holds_card_number(&url) {
        return Some(url);
    }
    let message = format!("'{name}' is an address that begins with http:// or https://.");
    faults.push(fault("Url", name, &message));
    None
}
