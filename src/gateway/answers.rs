//! Reads Stripe's JSON: leniently, because an effect that has happened must not be lost over a field that is missing.

use aggregates::ids::{MerchantId, RefundId};
use aggregates::money::{Currency, Money};
use aggregates::payment::command::{
    Adopt, IntentSnapshot, RefundSnapshot, StripeRefundStatus, StripeStatus,
};
use aggregates::payment::event::{Decline, Refusal};
use aggregates::payment::terms::{CaptureMethod, Metadata};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::{REFUND_KEY, Silence, SilenceKind, StripeAnswer};
use crate::firewall;

/// An intent as Stripe shows it just now: what the domain needs, and what only the caller may see. Its `Debug` shows no more
/// than which intent it is: what is to be done next has the client secret in it.
#[derive(Clone)]
pub struct IntentView {
    pub snapshot: IntentSnapshot,
    /// For the customer's browser alone: answered, never kept.
    pub client_secret: Option<SecretString>,
    /// What the customer has to do next, in Stripe's shape.
    pub next_action: Option<Value>,
    pub metadata: BTreeMap<String, String>,
    /// The answer that showed it; none where no answer of Stripe's did (a webhook).
    pub answer: Option<Arc<StripeAnswer>>,
}

impl fmt::Debug for IntentView {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "IntentView({})", self.snapshot.intent)
    }
}

/// A refund as Stripe shows it just now.
#[derive(Debug, Clone)]
pub struct RefundView {
    pub snapshot: RefundSnapshot,
    /// The answer that showed it.
    pub answer: Option<Arc<StripeAnswer>>,
}

/// Stripe's JSON is not what it should be.
#[derive(Debug, thiserror::Error)]
#[error("Stripe's answer cannot be read: {0}")]
pub struct Unreadable(String);

impl From<Unreadable> for Silence {
    fn from(it: Unreadable) -> Self {
        Self::new(SilenceKind::Unreadable, it.to_string())
    }
}

impl Unreadable {
    pub(super) fn missing(field: &str) -> Self {
        Self(format!("no {field:?}"))
    }
}

#[derive(Deserialize)]
struct Intent {
    id: String,
    status: String,
    amount: i64,
    #[serde(default)]
    amount_capturable: Option<i64>,
    #[serde(default)]
    amount_received: Option<i64>,
    currency: String,
    #[serde(default)]
    created: i64,
    #[serde(default)]
    livemode: bool,
    #[serde(default)]
    payment_method: Option<Reference>,
    #[serde(default)]
    latest_charge: Option<Reference>,
    #[serde(default)]
    last_payment_error: Option<LastError>,
    #[serde(default)]
    cancellation_reason: Option<String>,
    #[serde(default)]
    canceled_at: Option<i64>,
    #[serde(default)]
    client_secret: Option<String>,
    #[serde(default)]
    next_action: Option<Value>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    #[serde(default)]
    capture_method: Option<CaptureMethod>,
    #[serde(default)]
    customer: Option<Reference>,
    #[serde(default)]
    description: Option<String>,
}

/// An object, or only its id.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Reference {
    Id(String),
    Object { id: String },
}

impl Reference {
    pub(super) fn id(self) -> String {
        match self {
            Self::Id(id) | Self::Object { id } => id,
        }
    }
}

#[derive(Deserialize)]
struct LastError {
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    decline_code: Option<String>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    charge: Option<String>,
    #[serde(default)]
    payment_method: Option<Reference>,
}

impl From<LastError> for Decline {
    fn from(it: LastError) -> Self {
        Self {
            code: it.code.unwrap_or_else(|| "card_declined".to_owned()),
            decline_code: it.decline_code,
            message: it
                .message
                .unwrap_or_else(|| "Your card was declined.".to_owned()),
            charge: it.charge,
            payment_method: it.payment_method.map(Reference::id),
        }
    }
}

/// An intent from Stripe's object.
///
/// # Errors
/// When a field that matters is missing or makes no sense.
pub fn intent_from(object: Value) -> Result<IntentView, Unreadable> {
    view(read(object)?)
}

/// What takes an intent of Stripe's into the ledger; `reason` says in a word what brought it.
///
/// # Errors
/// When a field that matters is missing or makes no sense.
pub fn adoption_from(
    object: Value,
    merchant: &MerchantId,
    reason: &str,
) -> Result<Adopt, Unreadable> {
    let mut it: Intent = read(object)?;
    Ok(Adopt {
        merchant: merchant.clone(),
        order: None,
        capture_method: it.capture_method.unwrap_or_default(),
        customer: it.customer.take().map(Reference::id),
        description: it.description.take(),
        metadata: Metadata::told(it.metadata.clone()),
        checkout_session: None,
        reason: reason.to_owned(),
        seen: view(it)?.snapshot,
    })
}

fn view(it: Intent) -> Result<IntentView, Unreadable> {
    let currency = currency(&it.currency)?;
    let snapshot = IntentSnapshot {
        intent: it.id,
        status: status::<StripeStatus>(&it.status)?,
        amount: Money::new(it.amount, currency),
        amount_capturable: Money::new(it.amount_capturable.unwrap_or(0), currency),
        amount_received: Money::new(it.amount_received.unwrap_or(0), currency),
        payment_method: it.payment_method.map(Reference::id),
        charge: it.latest_charge.map(Reference::id),
        last_error: it.last_payment_error.map(Decline::from),
        cancellation_reason: it.cancellation_reason,
        canceled_at: it.canceled_at,
        created: it.created,
        livemode: it.livemode,
    };
    let client_secret = it.client_secret.map(SecretString::from);
    Ok(IntentView {
        snapshot,
        client_secret,
        next_action: it.next_action,
        metadata: it.metadata,
        answer: None,
    })
}

#[derive(Deserialize)]
struct RefundObject {
    id: String,
    amount: i64,
    currency: String,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    failure_reason: Option<String>,
    #[serde(default)]
    created: Option<i64>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

/// A refund from Stripe's object.
///
/// # Errors
/// When a field that matters is missing or makes no sense.
pub fn refund_from(object: Value) -> Result<RefundSnapshot, Unreadable> {
    let it: RefundObject = read(object)?;
    Ok(RefundSnapshot {
        refund: it
            .metadata
            .get(REFUND_KEY)
            .and_then(|id| id.parse::<RefundId>().ok()),
        status: status::<StripeRefundStatus>(it.status.as_deref().unwrap_or("pending"))?,
        amount: Money::new(it.amount, currency(&it.currency)?),
        stripe_refund: it.id,
        failure_reason: it.failure_reason,
        created: it.created,
    })
}

/// What an error's body says: the refusal, and the intent inside it where there is one.
pub fn error_from(status: u16, body: Value) -> (Refusal, Option<IntentView>) {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Body {
        error: Option<ErrorObject>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct ErrorObject {
        r#type: Option<String>,
        code: Option<String>,
        message: Option<String>,
        param: Option<String>,
        payment_intent: Option<Value>,
    }
    let error = serde_json::from_value::<Body>(body)
        .unwrap_or_default()
        .error
        .unwrap_or_default();
    let refusal = Refusal {
        status,
        kind: error.r#type.unwrap_or_else(|| "api_error".to_owned()),
        code: error.code,
        message: error
            .message
            .unwrap_or_else(|| "Stripe gave no reason.".to_owned()),
        param: error.param,
    };
    (
        refusal,
        error
            .payment_intent
            .and_then(|intent| intent_from(intent).ok()),
    )
}

/// Everything that Stripe says comes in here: what looks like a card number stays outside.
pub(super) fn object_from(body: &[u8]) -> Result<Value, Unreadable> {
    let mut object = serde_json::from_slice(body).map_err(|error| neutral(&error))?;
    firewall::withhold(&mut object);
    Ok(object)
}

pub(super) fn read<T: for<'de> Deserialize<'de>>(object: Value) -> Result<T, Unreadable> {
    serde_json::from_value(object).map_err(|error| neutral(&error))
}

/// serde_json's message quotes the value that it did not expect, and a log is no place for that.
fn neutral(error: &serde_json::Error) -> Unreadable {
    let said = error.to_string();
    if !error.is_data() || said.starts_with("missing field") {
        return Unreadable(said);
    }
    let wanted = said.rsplit_once(", expected ");
    Unreadable(match wanted {
        Some((_quoted, wanted)) => format!("something else than {wanted}"),
        None => "a value that is not understood".to_owned(),
    })
}

pub(super) fn currency(code: &str) -> Result<Currency, Unreadable> {
    code.parse()
        .map_err(|_| Unreadable(format!("unknown currency {:?}", shown(code))))
}

pub(super) fn status<T: std::str::FromStr>(text: &str) -> Result<T, Unreadable> {
    text.parse()
        .map_err(|_| Unreadable(format!("unknown status {:?}", shown(text))))
}

/// A word as it stands; anything else may be anything.
fn shown(word: &str) -> &str {
    let plain = |it: u8| it.is_ascii_alphabetic() || it == b'_';
    if word.len() <= 40 && word.bytes().all(plain) {
        word
    } else {
        "…"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red where serde_json's own message is handed on.
    #[test]
    fn what_cannot_be_read_is_not_quoted() {
        let secret = "pi_1_secret_2, expected nothing";
        for object in [
            json_of(&[("id", secret.into())]),
            json_of(&[("id", 1.into()), ("status", secret.into())]),
            json_of(&[
                ("id", "pi_1".into()),
                ("status", secret.into()),
                ("amount", 1.into()),
                ("currency", "usd".into()),
            ]),
            json_of(&[
                ("id", "pi_1".into()),
                ("status", "succeeded".into()),
                ("amount", secret.into()),
                ("currency", secret.into()),
            ]),
        ] {
            let error = intent_from(object).unwrap_err();
            let said = format!("{error} {error:?}");
            assert!(!said.contains("_secret_"), "{said}");
        }
    }

    fn json_of(fields: &[(&str, Value)]) -> Value {
        let fields = fields.iter().cloned();
        fields
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }

    #[test]
    fn a_card_number_that_stripe_tells_stays_outside() {
        let told = object_from(br#"{"description":"4242 4242 4242 4242"}"#).unwrap();
        assert!(!told.to_string().contains("4242"), "{told}");
    }
}
