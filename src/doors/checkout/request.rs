//! What a client sends: two keys, and members in any of the formats, whose names' case does not matter.

use http::{HeaderMap, HeaderName};
use reqwest::Url;
use serde_json::{Value, json};

use super::error::{CheckoutError, Fault};
use super::negotiation::{Said, member};
use super::{NAME, Operation, formats, guid};
use crate::doors::firewall::{holds_card_number, key_holds_card_number};
use crate::http::auth::{self, PresentedKey};
use crate::store::{Caller, KeyKind, Scope};
use crate::use_cases::{App, AppError, CheckoutArticle, Idempotency, OpenCheckout, Shown};

static X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// In characters, as Stripe's metadata and addresses allow.
const REFERENCE_LENGTH_MAX: usize = 200;
const URL_LENGTH_MAX: usize = 2_000;
const IDEMPOTENCY_KEY_LENGTH_MAX: usize = 255;
const ARTICLES_MAX: usize = 100;
const QUANTITY_MAX: u32 = 10_000;

/// The company's system by its `x-api-key`, speaking for the customer whose bearer token is there as well. Absent, malformed
/// and unknown are answered alike.
pub async fn caller(
    app: &App,
    operation: Operation,
    headers: &HeaderMap,
) -> Result<Caller, CheckoutError> {
    let keys = &app.store().keys;
    let key = presented(auth::header(headers, &X_API_KEY))?;
    let token = presented(auth::bearer(headers))?;
    let system = keys
        .caller(KeyKind::Bokamera, None, key.secret())
        .await
        .map_err(AppError::from)?
        .ok_or(CheckoutError::Unauthenticated)?;
    app.admit(&system)?;
    let customer = keys
        .caller(KeyKind::Customer, Some(&system.merchant.id), token.secret())
        .await
        .map_err(AppError::from)?
        .and_then(|found| found.customer.clone())
        .ok_or(CheckoutError::Unauthenticated)?;
    let needed = match operation {
        Operation::Create => Scope::PaymentsWrite,
        Operation::Status => Scope::PaymentsRead,
    };
    if !system.may(needed) {
        return Err(CheckoutError::ScopeMissing);
    }
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

/// The caller's idempotency key for this checkout, in whichever format it was asked for; none where there is none.
pub fn idempotency(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    wanted: &OpenCheckout,
) -> Result<Option<Idempotency>, CheckoutError> {
    let mut values = headers.get_all(&IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let key = value.to_str().ok().filter(|_| values.next().is_none());
    let fits = |key: &&str| {
        (1..=IDEMPOTENCY_KEY_LENGTH_MAX).contains(&key.len()) && !key_holds_card_number(key)
    };
    let Some(key) = key.filter(fits) else {
        let message =
            "An idempotency key is one header of 1 to 255 ASCII characters, and no card number.";
        let fault = fault("Length", "Idempotency-Key", message);
        return Err(CheckoutError::Invalid(vec![fault]));
    };
    let said = canonical(caller, wanted).to_string();
    let fingerprint = app.store().keys.fingerprint(said.as_bytes());
    Ok(Some(Idempotency::new(
        NAME,
        key.to_owned(),
        fingerprint,
        false,
    )))
}

/// What makes two requests the same.
fn canonical(caller: &Caller, it: &OpenCheckout) -> Value {
    let articles = it.articles.iter().map(|it| json!([it.number, it.quantity]));
    let shown = match &it.shown {
        Shown::Hosted {
            success_url,
            cancel_url,
        } => json!(["hosted", success_url, cancel_url]),
        Shown::Embedded { return_url } => json!(["embedded", return_url]),
    };
    json!([
        caller.customer,
        it.company,
        it.reference,
        it.country,
        articles.collect::<Value>(),
        shown
    ])
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
    if reference.chars().count() > REFERENCE_LENGTH_MAX || reference.contains(char::is_control) {
        let message =
            "A reference is a text of at most 200 characters, without control characters.";
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
        Some(_) if !is_plain(said, name) => {
            faults.push(fault("Text", name, &format!("'{name}' is a text.")));
            String::new()
        }
        Some(text) => text,
        None => {
            let message = format!("'{name}' must not be empty.");
            faults.push(fault("NotEmpty", name, &message));
            String::new()
        }
    }
}

/// Whether a member is a text or a number.
fn is_plain(said: &Said, name: &str) -> bool {
    let value = said.get(&name.to_ascii_lowercase());
    matches!(value, Some(Value::String(_) | Value::Number(_)))
}

/// A text or a number, or how anything else is written: it is there, and nothing that has a meaning. None where it is absent
/// or empty.
fn optional(said: &Said, name: &str) -> Option<String> {
    let text = match said.get(&name.to_ascii_lowercase())? {
        Value::String(text) => text.trim().to_owned(),
        value => value.to_string(),
    };
    (!text.is_empty()).then_some(text)
}

fn company(said: &Said, faults: &mut Vec<Fault>) -> String {
    let text = text(said, "CompanyId", faults);
    match guid::read(&text) {
        Some(guid) => guid.hyphenated().to_string(),
        None => {
            if !text.is_empty() {
                faults.push(fault("Guid", "CompanyId", "A company is named by a GUID."));
            }
            String::new()
        }
    }
}

/// In a form, a query or the cell of a CSV the list is a text, in JSON or JSV.
fn articles(said: &Said, faults: &mut Vec<Fault>) -> Vec<CheckoutArticle> {
    let value = match said.get("articles") {
        Some(Value::String(text)) => formats::nested(text),
        value => value.cloned(),
    };
    let items = match value {
        Some(Value::Array(items)) if (1..=ARTICLES_MAX).contains(&items.len()) => items,
        _ => {
            let message = "'Articles' is a list of 1 to 100 articles.";
            faults.push(fault("NotEmpty", "Articles", message));
            return vec![];
        }
    };
    let each = items.into_iter().enumerate();
    each.filter_map(|(index, item)| article(index, item, faults))
        .collect()
}

fn article(index: usize, item: Value, faults: &mut Vec<Fault>) -> Option<CheckoutArticle> {
    let members: Said = match item {
        Value::Object(members) => members.into_iter().filter_map(member).collect(),
        _ => Said::new(),
    };
    let mut wrong = |code, name: &str, message| {
        faults.push(fault(code, &format!("Articles[{index}].{name}"), message));
    };
    let number = optional(&members, "ArticleId").and_then(|text| text.parse().ok());
    if number.is_none() {
        wrong("NotEmpty", "ArticleId", "An article is named by its id.");
    }
    // Only looked at: an article is named by its id alone.
    let kind = optional(&members, "ArticleTypeId");
    if kind.is_some_and(|text| text.parse::<i32>().is_err()) {
        wrong("Number", "ArticleTypeId", "A type is a whole number.");
    }
    let quantity = optional(&members, "Quantity").map_or(Some(1), |text| text.parse().ok());
    let quantity = quantity.filter(|it| (1..=QUANTITY_MAX).contains(it));
    if quantity.is_none() {
        wrong("InclusiveBetween", "Quantity", "A quantity is 1 to 10000.");
    }
    Some(CheckoutArticle {
        number: number?,
        quantity: quantity?,
    })
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
    let text = optional(said, name)?;
    // As it is written: `{CHECKOUT_SESSION_ID}` in it is Stripe's to replace.
    let plain = text.bytes().all(|it| it.is_ascii_graphic()) && text.len() <= URL_LENGTH_MAX;
    let url = Url::parse(&text).ok().filter(|_| plain);
    if !url.is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host()) {
        let message = format!(
            "'{name}' is an address of at most 2000 characters that begins with http:// or https://."
        );
        faults.push(fault("Url", name, &message));
        return None;
    }
    if holds_card_number(&text) {
        let message = format!("'{name}' must not hold a card number.");
        faults.push(fault("CardNumber", name, &message));
        return None;
    }
    Some(text)
}
