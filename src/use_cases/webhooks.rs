//! Stripe's webhooks: verified as they came, kept, acknowledged, then applied through the same commands as everything else.
//!
//! A webhook is a hint, and may be late, early, repeated or out of order. Applying one twice changes nothing.

use aggregates::ids::{MerchantId, PaymentId};
use aggregates::metadata::Actor;
use aggregates::payment::command::{Observation, Said};
use aggregates::sealed::subject_of_payment;
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::Sha256;
use std::collections::HashMap;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

use super::{App, AppError, settling};
use crate::gateway::{self, MERCHANT_KEY, PAYMENT_KEY};
use crate::store::{Applied, Context, Delivery, Merchant};

/// The secrets of each account's webhook endpoint, by the account's configuration name; several while one is rolled.
pub type Secrets = HashMap<String, Vec<SecretString>>;

/// How far the time in a signature may be from ours, either way.
const TOLERANCE: TimeDelta = TimeDelta::seconds(300);

/// How many deliveries are taken from the inbox at once.
const PAGE: i64 = 100;

/// What became of a delivery at the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    New,
    Repeat,
}

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

#[derive(Deserialize)]
struct Event {
    id: String,
    r#type: String,
    created: i64,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    object: Map<String, Value>,
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
    ) -> Result<Received, WebhookError> {
        let merchant = self.endpoint(merchant).await?;
        let secrets = self
            .inner
            .webhook_secrets
            .get(&merchant.stripe_account)
            .ok_or(WebhookError::NoSuchEndpoint)?;
        verify(signature, body, secrets, Utc::now())?;
        let event: Event = serde_json::from_slice(body)
            .map_err(|error| WebhookError::NotAnEvent(error.to_string()))?;
        let whole: Value = serde_json::from_slice(body)
            .map_err(|error| WebhookError::NotAnEvent(error.to_string()))?;
        let stripe_created = DateTime::from_timestamp(event.created, 0)
            .ok_or_else(|| WebhookError::NotAnEvent("its time is no time".to_owned()))?;
        let app = self.clone();
        let received = self.command(async move {
            let delivery = app
                .cleaned(&merchant.id, event, whole, stripe_created)
                .await?;
            let new = app
                .inner
                .store
                .inbox
                .keep(&delivery)
                .await
                .map_err(std::sync::Arc::new)?;
            app.inner.delivered.notify_one();
            Ok(if new { Received::New } else { Received::Repeat })
        });
        Ok(received.await?)
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
    async fn cleaned(
        &self,
        merchant: &MerchantId,
        event: Event,
        mut body: Value,
        stripe_created: DateTime<Utc>,
    ) -> Result<Delivery, AppError> {
        let mut personal = Map::new();
        cut(&mut body, "", &mut personal);
        let sealed = if personal.is_empty() {
            None
        } else {
            let subject = match payment_in(&event.data.object) {
                Some(payment) => {
                    let known = self.inner.store.payment(merchant, payment).await?;
                    let order = known.state.facts().and_then(|facts| facts.order);
                    subject_of_payment(payment, order)
                }
                None => format!("webhook/{}", event.id),
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
            event_id: event.id,
            event_type: event.r#type,
            body,
            sealed,
            stripe_created,
        })
    }

    /// Applies what is kept until it is stopped.
    pub async fn run_inbox(&self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let applied = self.apply_waiting().await;
            if applied == 0 {
                tokio::select! {
                    () = self.inner.delivered.notified() => {}
                    () = tokio::time::sleep(Duration::from_secs(1)) => {}
                    () = stop.cancelled() => return,
                }
            }
        }
    }

    /// Applies what waits in the inbox, and says how many deliveries were dealt with.
    pub async fn apply_waiting(&self) -> usize {
        let waiting = match self.inner.store.inbox.waiting(PAGE).await {
            Ok(waiting) => waiting,
            Err(error) => {
                tracing::error!(%error, "the inbox cannot be read");
                return 0;
            }
        };
        let mut dealt_with = 0;
        for delivery in &waiting {
            let kept = match self.apply(delivery).await {
                Ok(result) => {
                    dealt_with += 1;
                    metrics::counter!("counterfoil_webhooks_applied_total", "result" => result.to_string()).increment(1);
                    self.inner.store.inbox.done(delivery, result).await
                }
                Err(error) => {
                    tracing::warn!(event = %delivery.event_id, %error, "a webhook could not be applied yet");
                    self.inner
                        .store
                        .inbox
                        .failed(delivery, &error.to_string())
                        .await
                }
            };
            if let Err(error) = kept {
                tracing::error!(event = %delivery.event_id, %error, "the inbox cannot be written");
            }
        }
        dealt_with
    }

    async fn apply(&self, delivery: &Delivery) -> Result<Applied, AppError> {
        let Some(object) = delivery
            .body
            .pointer("/data/object")
            .and_then(Value::as_object)
        else {
            return Ok(Applied::Skipped);
        };
        if settling::moves_balance(&delivery.event_type) {
            self.inner.due.add(&delivery.merchant);
        }
        if delivery.event_type.starts_with("payout.") {
            return self.apply_payout(delivery, object).await;
        }
        if delivery.event_type.starts_with("checkout.session.") {
            return self.apply_session(delivery, object).await;
        }
        let said = match said(&delivery.event_type, object) {
            Ok(Some(said)) => said,
            Ok(None) => return Ok(Applied::Skipped),
            Err(error) => {
                tracing::error!(event = %delivery.event_id, %error, "a webhook cannot be read");
                return Err(AppError::Internal);
            }
        };
        let merchant = self.merchant(&delivery.merchant).await?;
        let context = self.context_of_delivery(delivery);
        let payment = match self.payment_of(&merchant.id, object).await? {
            Some(payment) => payment,
            None => match self.adopt_marked(&merchant, object, &context).await? {
                Some(payment) => payment,
                None => return Ok(Applied::Unmatched),
            },
        };
        self.hint(&merchant, payment, said, &context).await?;
        Ok(Applied::Applied)
    }

    async fn apply_payout(
        &self,
        delivery: &Delivery,
        object: &Map<String, Value>,
    ) -> Result<Applied, AppError> {
        let seen = gateway::payout_from(Value::Object(object.clone())).map_err(|error| {
            tracing::error!(event = %delivery.event_id, %error, "a webhook cannot be read");
            AppError::Internal
        })?;
        let merchant = self.merchant(&delivery.merchant).await?;
        let context = self.context_of_delivery(delivery);
        self.observe_payout(&merchant, &context, seen).await?;
        Ok(Applied::Applied)
    }

    /// What a session's money did is told by its intent; that it has expired, by itself alone.
    async fn apply_session(
        &self,
        delivery: &Delivery,
        object: &Map<String, Value>,
    ) -> Result<Applied, AppError> {
        let merchant = self.merchant(&delivery.merchant).await?;
        let context = self.context_of_delivery(delivery);
        let session = Value::Object(object.clone());
        Ok(
            match self.notice_session(&merchant, &context, &session).await? {
                true => Applied::Applied,
                false => Applied::Skipped,
            },
        )
    }

    fn context_of_delivery(&self, delivery: &Delivery) -> Context {
        let actor = Actor {
            name: format!("stripe:{}", delivery.event_id),
            key_id: None,
            door: "webhooks".to_owned(),
        };
        Context {
            claimed_at: Some(delivery.stripe_created),
            ..self.context_of(actor)
        }
    }

    /// What a webhook says is recorded; where it tells of an earlier stage than is known, Stripe is asked how it stands now.
    async fn hint(
        &self,
        merchant: &Merchant,
        id: PaymentId,
        said: Said,
        context: &Context,
    ) -> Result<(), AppError> {
        let status = match &said {
            Said::Intent(snapshot) => Some(snapshot.status),
            _ => None,
        };
        let observed = Observation {
            intention: None,
            current: false,
            said,
        };
        let after = self.observe(merchant, id, observed, context).await?;
        let known = after.state.facts().map(|facts| facts.status.to_string());
        let settled = |it: &String| it == "succeeded" || it == "canceled";
        if status.is_some_and(|status| {
            known
                .as_ref()
                .is_some_and(|known| *known != status.to_string() && !settled(known))
        }) {
            self.refreshed(merchant, id, context).await?;
        }
        Ok(())
    }

    /// Takes in an intent that nobody here made but that is marked as this merchant's: a checkout session's.
    async fn adopt_marked(
        &self,
        merchant: &Merchant,
        object: &Map<String, Value>,
        context: &Context,
    ) -> Result<Option<PaymentId>, AppError> {
        let text = |name: &str| object.get(name).and_then(Value::as_str);
        let mark = object
            .get("metadata")
            .and_then(|metadata| metadata.get(MERCHANT_KEY));
        match (text("object"), text("id"), mark) {
            (Some("payment_intent"), Some(intent), Some(_)) => {
                self.adopt(merchant, context, intent, "webhook").await
            }
            _ => Ok(None),
        }
    }

    /// The payment that Stripe's object speaks of: named in its metadata, or known by its intent.
    async fn payment_of(
        &self,
        merchant: &MerchantId,
        object: &Map<String, Value>,
    ) -> Result<Option<PaymentId>, AppError> {
        if let Some(named) = payment_in(object) {
            let known = self.inner.store.payment(merchant, named).await?;
            if known.version > 0 {
                return Ok(Some(named));
            }
        }
        let is_intent = object.get("object").and_then(Value::as_str) == Some("payment_intent");
        let intent = object.get(if is_intent { "id" } else { "payment_intent" });
        let intent =
            intent.and_then(|it| it.as_str().or_else(|| it.get("id").and_then(Value::as_str)));
        match intent {
            Some(intent) => Ok(self.inner.store.payment_by_intent(merchant, intent).await?),
            None => Ok(None),
        }
    }
}

/// What an event says of a payment; none where its type says nothing that is recorded.
fn said(
    event_type: &str,
    object: &Map<String, Value>,
) -> Result<Option<Said>, gateway::Unreadable> {
    let whole = || Value::Object(object.clone());
    if event_type.starts_with("payment_intent.") {
        return Ok(Some(Said::Intent(Box::new(
            gateway::intent_from(whole())?.snapshot,
        ))));
    }
    if event_type.starts_with("charge.dispute.") {
        return Ok(gateway::dispute_from(event_type, whole())?.map(Said::Dispute));
    }
    if event_type.starts_with("refund.") || event_type == "charge.refund.updated" {
        return Ok(Some(Said::Refund(gateway::refund_from(whole())?)));
    }
    Ok(None)
}

fn payment_in(object: &Map<String, Value>) -> Option<PaymentId> {
    object
        .get("metadata")?
        .get(PAYMENT_KEY)?
        .as_str()?
        .parse()
        .ok()
}

/// Names of fields that hold a secret, or an address with one in it: dropped.
const SECRETS: [&str; 2] = ["client_secret", "next_action"];
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
