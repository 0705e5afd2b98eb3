//! Reading what an event says.

use serde_json::Value;
use uuid::Uuid;

/// What is missing in an event, or is something else than it should be.
pub(super) struct Unreadable(pub String);

/// An amount in minor units of its currency.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Money {
    pub minor: i64,
    pub currency: String,
}

impl Money {
    /// The same, the other way.
    pub fn back(&self) -> Self {
        Self {
            minor: self.minor.saturating_neg(),
            currency: self.currency.clone(),
        }
    }
}

pub(super) type Taken = Result<(), Unreadable>;

/// A text that must be there.
pub(super) fn text<'a>(body: &'a Value, name: &str) -> Result<&'a str, Unreadable> {
    maybe_text(body, name).ok_or_else(|| missing(name))
}

/// A text that may be missing.
pub(super) fn maybe_text<'a>(body: &'a Value, name: &str) -> Option<&'a str> {
    body.get(name).and_then(Value::as_str)
}

/// An id that must be there.
pub(super) fn id(body: &Value, name: &str) -> Result<Uuid, Unreadable> {
    maybe_id(body, name).ok_or_else(|| missing(name))
}

/// An id that may be missing.
pub(super) fn maybe_id(body: &Value, name: &str) -> Option<Uuid> {
    maybe_text(body, name).and_then(|it| Uuid::parse_str(it).ok())
}

/// A whole number that must be there.
pub(super) fn number(body: &Value, name: &str) -> Result<i64, Unreadable> {
    body.get(name)
        .and_then(Value::as_i64)
        .ok_or_else(|| missing(name))
}

/// Whether something is said to be so.
pub(super) fn flag(body: &Value, name: &str) -> bool {
    body.get(name).and_then(Value::as_bool) == Some(true)
}

/// An amount that must be there.
pub(super) fn money(body: &Value, name: &str) -> Result<Money, Unreadable> {
    maybe_money(body, name)?.ok_or_else(|| missing(name))
}

/// An amount that may be missing.
pub(super) fn maybe_money(body: &Value, name: &str) -> Result<Option<Money>, Unreadable> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(it) => Ok(Some(Money {
            minor: number(it, "minor")?,
            currency: text(it, "currency")?.to_owned(),
        })),
    }
}

fn missing(name: &str) -> Unreadable {
    Unreadable(format!("`{name}` is missing or malformed"))
}
