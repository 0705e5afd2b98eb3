//! Stripe's webhooks: verified as they came, cleaned, kept, acknowledged. What they tell is applied from the inbox.

use aggregates::ids::{MerchantId, PaymentId};
use aggregates::sealed::subject_of_payment;
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::Sha256;
use std::collections::HashMap;

use super::{App, AppError, inbox};
use crate::firewall;
use crate::gateway::PAYMENT_KEY;
use crate::store::{CameBy, Delivery, Kept, Merchant};

/// The secrets of each account's webhook endpoint, by the account's configuration name; several while one is rolled.
pub type Secrets = HashMap<String, Vec<SecretString>>;

/// How far the time in a signature may be from ours, either way.
const TOLERANCE: TimeDelta = TimeDelta::seconds(300);

/// How long an id or a type may be.
const NAME_MAX: usize = 255;
/// The last second of the year 9999.
const CREATED_MAX: i64 = 253_402_300_799;

/// Why a delivery is not taken.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    #[error("no such webhook endpoint")]
    NoSuchEndpoint,
    #[error("the signature does not fit")]
    BadSignature,
    #[error("the signature's time is too far from now")]
    Stale,
    #[error("the body is not an event: {0}")]
    NotAnEvent(String),
    #[error(transparent)]
    App(#[from] AppError),
}

/// One event of Stripe's, as it came.
pub(super) struct Event {
    pub id: String,
    pub event_type: String,
    pub created: DateTime<Utc>,
    pub whole: Value,
}

impl Event {
    /// Reads what every event has, and withholds what looks like a card number.
    ///
    /// # Errors
    /// What is missing, or is not what it should be.
    pub fn read(mut whole: Value) -> Result<Self, String> {
        let holds_nul = |name: &str| {
            let text = whole.get(name).and_then(Value::as_str);
            text.is_some_and(|text| text.contains('\0'))
        };
        if holds_nul("id") || holds_nul("type") {
            return Err("its id or type is none of Stripe's".to_owned());
        }
        // First, or it would part the digits of a card number until they are kept.
        drop_nul(&mut whole);
        firewall::withhold(&mut whole);
        #[derive(Deserialize)]
        struct Head {
            id: String,
            r#type: String,
            created: i64,
        }
        let Head {
            id,
            r#type: event_type,
            created,
        } = Head::deserialize(&whole).map_err(|error| error.to_string())?;
        let object = whole.pointer("/data/object");
        if !object.is_some_and(Value::is_object) {
            return Err("it is about no object".to_owned());
        }
        if !is_name(&id) || !is_name(&event_type) {
            return Err("its id or type is none of Stripe's".to_owned());
        }
        let created = Some(created)
            .filter(|it| (0..=CREATED_MAX).contains(it))
            .and_then(|it| DateTime::from_timestamp(it, 0))
            .ok_or("its time is no time")?;
        Ok(Self {
            id,
            event_type,
            created,
            whole,
        })
    }
}

impl App {
    /// Takes one delivery: when this returns, it is kept for good.
    ///
    /// # Errors
    /// [`WebhookError`]: nothing was kept, and Stripe will try again.
    pub async fn receive_webhook(
        &self,
        merchant: &str,
        signature: &str,
        body: &[u8],
    ) -> Result<Kept, WebhookError> {
        let merchant = self.endpoint(merchant).await?;
        let secrets = self
            .inner
            .webhook_secrets
            .get(&merchant.stripe_account)
            .ok_or(WebhookError::NoSuchEndpoint)?;
        verify(signature, body, secrets, Utc::now())?;
        let whole = serde_json::from_slice(body)
            .map_err(|error| WebhookError::NotAnEvent(error.to_string()))?;
        let event = Event::read(whole).map_err(WebhookError::NotAnEvent)?;
        let app = self.clone();
        let kept =
            self.command(async move { app.take_in(&merchant.id, event, CameBy::Webhook).await });
        Ok(kept.await?)
    }

    /// Keeps an event, cleaned of what may not be kept, for the inbox to apply.
    pub(super) async fn take_in(
        &self,
        merchant: &MerchantId,
        event: Event,
        came_by: CameBy,
    ) -> Result<Kept, AppError> {
        let delivery = self.cleaned(merchant, event).await?;
        let kept = self.inner.store.inbox.keep(&delivery, came_by).await?;
        crate::crash_point!("webhook-kept");
        match kept {
            Kept::New => self.inner.delivered.notify_one(),
            Kept::Repeat => {}
            Kept::Contradicts => {
                metrics::counter!("counterfoil_webhooks_contradicting_total").increment(1);
                tracing::error!(%merchant, event = %delivery.event_id, "an event came again and tells something else: the first stands");
            }
        }
        Ok(kept)
    }

    async fn endpoint(&self, merchant: &str) -> Result<Merchant, WebhookError> {
        let id: MerchantId = merchant.parse().map_err(|_| WebhookError::NoSuchEndpoint)?;
        let found = self
            .inner
            .store
            .keys
            .merchant(&id)
            .await
            .map_err(|error| AppError::from(std::sync::Arc::new(error)))?;
        found.ok_or(WebhookError::NoSuchEndpoint)
    }

    /// The delivery as it is kept: without client secrets, the person's data sealed apart.
    async fn cleaned(&self, merchant: &MerchantId, event: Event) -> Result<Delivery, AppError> {
        let Event {
            id,
            event_type,
            created,
            whole: mut body,
        } = event;
        let object = body.pointer("/data/object").and_then(Value::as_object);
        let (payment, about) = (
            object.and_then(payment_in),
            object.and_then(about).map(str::to_owned),
        );
        let mut personal = Map::new();
        cut(&mut body, "", &mut personal);
        let sealed = if personal.is_empty() {
            None
        } else {
            let subject = match payment {
                Some(payment) => {
                    let known = self.inner.store.payment(merchant, payment).await?;
                    let order = known.state.facts().and_then(|facts| facts.order);
                    subject_of_payment(payment, order)
                }
                None => format!("webhook/{id}"),
            };
            let sealed = self
                .inner
                .store
                .vault
                .seal(merchant, &subject, &personal)
                .await?;
            Some(serde_json::to_value(sealed).map_err(|_| AppError::Internal)?)
        };
        let merchant = merchant.clone();
        Ok(Delivery {
            merchant,
            event_id: id,
            event_type,
            body,
            sealed,
            stripe_created: created,
            about,
        })
    }
}

/// The payment that an object of Stripe's is marked with.
pub(super) fn payment_in(object: &Map<String, Value>) -> Option<PaymentId> {
    object
        .get("metadata")?
        .get(PAYMENT_KEY)?
        .as_str()?
        .parse()
        .ok()
}

/// Stripe's intent that an object speaks of: itself, or the one that it names.
pub(super) fn about(object: &Map<String, Value>) -> Option<&str> {
    let is_intent = object.get("object").and_then(Value::as_str) == Some("payment_intent");
    let intent = object.get(if is_intent { "id" } else { "payment_intent" })?;
    let id = intent.as_str().or_else(|| intent.get("id")?.as_str());
    id.filter(|it| is_name(it))
}

/// Whether it is spelled as Stripe spells ids and types.
fn is_name(text: &str) -> bool {
    let plain = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'_' | b'.' | b'-');
    (1..=NAME_MAX).contains(&text.len()) && text.bytes().all(plain)
}

/// Drops the one character that the database holds in no text.
fn drop_nul(value: &mut Value) {
    match value {
        Value::String(text) => text.retain(|it| it != '\0'),
        Value::Array(items) => items.iter_mut().for_each(drop_nul),
        Value::Object(members) => {
            members.retain(|name, _| !name.contains('\0'));
            members.values_mut().for_each(drop_nul);
        }
        _ => {}
    }
}

/// Names of fields that hold a secret, or an address with one in it: dropped.
const SECRETS: [&str; 4] = ["client_secret", "next_action", "secret", "cvc"];
/// What every client secret has in the middle, wherever it is written.
const SECRET_MARK: &str = "_secret_";
/// Names of fields that hold a person's data: moved into `personal`, by their path.
const PERSONAL: [&str; 11] = [
    "receipt_email",
    "shipping",
    "billing_details",
    "customer_details",
    "customer_email",
    "receipt_url",
    "email",
    "name",
    "phone",
    "address",
    "evidence",
];

/// Cuts secrets out of a body, and moves a person's data from it into `personal`.
fn cut(value: &mut Value, path: &str, personal: &mut Map<String, Value>) {
    match value {
        Value::Object(fields) => {
            for secret in SECRETS {
                fields.remove(secret);
            }
            for name in PERSONAL {
                if let Some(field) = fields.get_mut(name).filter(|field| !field.is_null()) {
                    personal.insert(format!("{path}/{name}"), field.take());
                }
            }
            for (name, field) in fields {
                cut(field, &format!("{path}/{name}"), personal);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                cut(item, &format!("{path}/{index}"), personal);
            }
        }
        Value::String(text) if text.contains(SECRET_MARK) => text.clear(),
        _ => {}
    }
}

/// `Stripe-Signature: t=…,v1=…`: HMAC-SHA-256 of `t.body` under one of the secrets, near our time, compared in constant time.
fn verify(
    header: &str,
    body: &[u8],
    secrets: &[SecretString],
    now: DateTime<Utc>,
) -> Result<(), WebhookError> {
    let fields: Vec<(&str, &str)> = header
        .split(',')
        .filter_map(|field| field.trim().split_once('='))
        .collect();
    let time = fields
        .iter()
        .find(|(name, _)| *name == "t")
        .map(|(_, value)| *value)
        .ok_or(WebhookError::BadSignature)?;
    let genuine = fields
        .iter()
        .filter(|(name, _)| *name == "v1")
        .any(|(_, presented)| {
            let Ok(presented) = hex::decode(presented) else {
                return false;
            };
            secrets.iter().any(|secret| {
                let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes())
                    .expect("HMAC takes a key of any length");
                mac.update(time.as_bytes());
                mac.update(b".");
                mac.update(body);
                mac.verify_slice(&presented).is_ok()
            })
        });
    if !genuine {
        return Err(WebhookError::BadSignature);
    }
    let signed = time
        .parse()
        .ok()
        .and_then(|seconds| DateTime::from_timestamp(seconds, 0))
        .ok_or(WebhookError::BadSignature)?;
    if (now - signed).abs() > TOLERANCE {
        Err(WebhookError::Stale)
    } else {
        Ok(())
    }
}

/// A signature, and below it a body: for fuzzers.
pub(crate) fn parse(bytes: &[u8]) {
    let signed = bytes.iter().position(|it| *it == b'\n').unwrap_or(0);
    let (signature, body) = bytes.split_at(signed);
    let secrets = [SecretString::from("whsec_fuzzed")];
    let now = DateTime::from_timestamp(1_700_000_000, 0).expect("it is a time");
    let _ = verify(&String::from_utf8_lossy(signature), body, &secrets, now);
    let Ok(whole) = serde_json::from_slice(body.trim_ascii_start()) else {
        return;
    };
    let Ok(mut event) = Event::read(whole) else {
        return;
    };
    if let Some(object) = event
        .whole
        .pointer("/data/object")
        .and_then(Value::as_object)
    {
        let _ = (
            inbox::said(&event.event_type, object),
            payment_in(object),
            about(object),
        );
    }
    cut(&mut event.whole, "", &mut Map::new());
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Planted bug: cutting what is at the top of the object alone leaves what is nested in it.
    #[test]
    fn secrets_are_dropped_and_a_persons_data_set_apart_however_deep_they_are() {
        let address = json!({"line1": "1 Canary Wharf"});
        let mut body = json!({
            "data": {
                "object": {
                    "id": "pi_1",
                    "client_secret": "pi_1_secret_2",
                    "next_action": {"redirect_to_url": {"url": "https://x/?s=pi_1_secret_2"}},
                    "description": "https://x/?s=pi_1_secret_2",
                    "receipt_email": "canary@example.com",
                    "shipping": null,
                    "charges": {"data": [{"id": "ch_1", "billing_details": {"address": address}}]},
                    "last_payment_error": {"payment_intent": {"client_secret": "pi_1_secret_2"}},
                },
                "previous_attributes": {"client_secret": "pi_1_secret_1"},
            },
        });
        drop_nul(&mut body);
        let mut personal = Map::new();
        cut(&mut body, "", &mut personal);
        let object = json!({
            "id": "pi_1",
            "description": "",
            "receipt_email": null,
            "shipping": null,
            "charges": {"data": [{"id": "ch_1", "billing_details": null}]},
            "last_payment_error": {"payment_intent": {}},
        });
        assert_eq!(
            body,
            json!({"data": {"object": object, "previous_attributes": {}}})
        );
        let set_apart = json!({
            "/data/object/receipt_email": "canary@example.com",
            "/data/object/charges/data/0/billing_details": {"address": address},
        });
        assert_eq!(Value::Object(personal), set_apart);
    }
}
