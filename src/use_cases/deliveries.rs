//! Sends merchants what Stripe's webhooks told: takes what is due, sends it, records what came of it.
//!
//! At least once, in no particular order, as Stripe does: a receiver tells repeats by the event's id. Every endpoint has a few
//! deliveries of its own under way at the most, so one that is slow or dead holds up no other.

use aggregates::ids::MerchantId;
use aggregates::sealed::Sealed;
use secrecy::SecretString;
use serde_json::{Map, Value};
use std::collections::HashSet;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{App, AppError};
use crate::gateway::{CHECKOUT_KEY, MERCHANT_KEY, PAYMENT_KEY, REFUND_KEY, REQUEST_KEY};
use crate::outbound::{self, Message, Sender, Sent};
use crate::store::{Attempt, Ending, LeasedDelivery};

/// How much longer than an attempt a lease lasts: what it takes to write down what came of it.
const LEASE_MARGIN: Duration = Duration::from_secs(30);
/// How often it is looked for what is old, and counted what waits.
const TIDY_EVERY: Duration = Duration::from_secs(60);
/// How long deliveries under way have when the service stops. What is cut off is sent again when its lease is over.
const STOP_WITHIN: Duration = Duration::from_secs(2);

/// What sends webhooks, and by which rules.
pub struct Outbound {
    pub sender: Sender,
    pub options: outbound::Options,
    /// The Stripe accounts whose keys move real money, by their configuration names.
    pub live_accounts: HashSet<String>,
}

impl App {
    /// Delivers what is due until it is stopped.
    pub async fn run_deliveries(&self, stop: CancellationToken) {
        let mut under_way = JoinSet::new();
        let mut tidied: Option<Instant> = None;
        while !stop.is_cancelled() {
            if tidied.is_none_or(|at| at.elapsed() >= TIDY_EVERY) {
                self.tidy_deliveries().await;
                tidied = Some(Instant::now());
            }
            while let Some(ended) = under_way.try_join_next() {
                noted(ended);
            }
            let taken = self.take(under_way.len()).await;
            if taken.is_empty() {
                tokio::select! {
                    () = self.inner.store.outgoing.may_be_due() => {}
                    Some(ended) = under_way.join_next() => noted(ended),
                    () = tokio::time::sleep(self.inner.outbound.options.every) => {}
                    () = stop.cancelled() => {}
                }
            }
            for it in taken {
                let app = self.clone();
                under_way.spawn(async move { app.deliver(it).await });
            }
        }
        let ended = async { while under_way.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(STOP_WITHIN, ended).await;
    }

    async fn take(&self, under_way: usize) -> Vec<LeasedDelivery> {
        let options = &self.inner.outbound.options;
        let under_way = u32::try_from(under_way).unwrap_or(u32::MAX);
        let room = options.at_once.saturating_sub(under_way);
        let (lease, lease_for) = (self.inner.store.ids.uuid(), options.timeout + LEASE_MARGIN);
        let outgoing = &self.inner.store.outgoing;
        let leased = outgoing.lease(room, options.at_once_per_endpoint, lease, lease_for);
        match leased.await {
            Ok(leased) => leased,
            Err(error) => {
                tracing::error!(%error, "it cannot be read which webhooks are due");
                Vec::new()
            }
        }
    }

    async fn deliver(&self, it: LeasedDelivery) {
        crate::crash_point!("delivery-leased");
        let sent = match self.message(&it).await {
            Ok(Some((body, secrets))) => {
                let message = Message {
                    url: &it.url,
                    delivery_id: &it.delivery_id,
                    ledger_position: it.ledger_position,
                    body,
                    secrets: &secrets,
                };
                let sender = &self.inner.outbound.sender;
                sender.send(message, it.leased_at).await
            }
            Ok(None) => not_sent("event_gone"),
            // The store or the vault cannot be read just now; the lease runs out, and somebody tries again.
            Err(error) => {
                tracing::warn!(delivery = %it.delivery_id, %error, "a webhook could not be made ready");
                return;
            }
        };
        crate::crash_point!("delivery-sent");
        let ending = self.ending(&it, &sent);
        let attempt = Attempt {
            started_at: it.leased_at,
            duration_ms: i64::try_from(sent.duration.as_millis()).unwrap_or(i64::MAX),
            status: sent.status.map(i32::from),
            error: sent.error.map(str::to_owned),
            response_bytes: i64::try_from(sent.response_bytes).unwrap_or(i64::MAX),
        };
        match self.inner.store.outgoing.end(&it, &attempt, ending).await {
            Ok(true) => tell(&it, &sent, ending),
            Ok(false) => {
                tracing::debug!(delivery = %it.delivery_id, "a webhook was called off while it was sent")
            }
            Err(error) => {
                tracing::error!(delivery = %it.delivery_id, %error, "what came of a webhook cannot be written")
            }
        }
    }

    fn ending(&self, it: &LeasedDelivery, sent: &Sent) -> Ending {
        if sent.error.is_none() {
            return Ending::Delivered;
        }
        if sent.error == Some("event_gone") {
            return Ending::Failed;
        }
        let failures = u32::try_from(it.failures).unwrap_or(0).saturating_add(1);
        let age = Duration::from_millis(u64::try_from(it.age_ms).unwrap_or(0)) + sent.duration;
        let chance = u32::from_be_bytes(self.inner.store.ids.bytes());
        let schedule = &self.inner.outbound.options.schedule;
        schedule
            .pause(failures, age, chance)
            .map_or(Ending::Failed, Ending::Again)
    }

    /// The body, the same at every attempt, and the secrets that sign it. None where the event is not kept any more.
    async fn message(
        &self,
        it: &LeasedDelivery,
    ) -> Result<Option<(Vec<u8>, Vec<SecretString>)>, AppError> {
        let merchant: MerchantId = it.merchant.parse().map_err(|_| AppError::Internal)?;
        let store = &self.inner.store;
        let found = store.inbox.event(&merchant, &it.event_id).await;
        let Some(event) = found.map_err(std::sync::Arc::new)? else {
            return Ok(None);
        };
        let personal: Option<Map<String, Value>> = match event.sealed {
            Some(sealed) => {
                let sealed: Sealed =
                    serde_json::from_value(sealed).map_err(|_| AppError::Internal)?;
                store.vault.open(&merchant, &sealed).await?
            }
            None => None,
        };
        let body = rendered(event.body, personal.unwrap_or_default());
        let mut secrets = vec![
            store
                .endpoints
                .secret(&merchant, &it.endpoint_id, it.generation),
        ];
        if it.both_sign {
            let before = it.generation.saturating_sub(1);
            secrets.push(store.endpoints.secret(&merchant, &it.endpoint_id, before));
        }
        Ok(Some((body, secrets)))
    }

    async fn tidy_deliveries(&self) {
        let (outgoing, options) = (&self.inner.store.outgoing, &self.inner.outbound.options);
        match outgoing
            .tidy(options.schedule.keep_trying_for, options.keep_for)
            .await
        {
            Ok(0) => {}
            Ok(given_up) => {
                tracing::warn!(
                    given_up,
                    "webhooks for endpoints that are switched off were given up"
                );
                metrics::counter!("counterfoil_webhook_deliveries_total", "outcome" => "failed")
                    .increment(given_up);
            }
            Err(error) => tracing::error!(%error, "old webhooks cannot be tidied up"),
        }
        match outgoing.pending().await {
            Ok(pending) => metrics::gauge!("counterfoil_webhook_deliveries_pending")
                .set(u32::try_from(pending).map_or(f64::INFINITY, f64::from)),
            Err(error) => tracing::error!(%error, "the webhooks that wait cannot be counted"),
        }
    }
}

fn noted(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a delivery failed here; it is made again when its lease is over");
    }
}

fn not_sent(why: &'static str) -> Sent {
    Sent {
        status: None,
        error: Some(why),
        duration: Duration::ZERO,
        response_bytes: 0,
    }
}

/// The URL is not in the log: it may hold a token of the merchant's.
fn tell(it: &LeasedDelivery, sent: &Sent, ending: Ending) {
    let outcome = match ending {
        Ending::Delivered => "delivered",
        Ending::Again(_) => "retried",
        Ending::Failed => "failed",
    };
    metrics::counter!("counterfoil_webhook_deliveries_total", "outcome" => outcome).increment(1);
    if ending == Ending::Failed {
        tracing::warn!(
            merchant = %it.merchant, endpoint = %it.endpoint_id, delivery = %it.delivery_id, event = %it.event_id,
            event_type = %it.event_type, status = ?sent.status, error = ?sent.error, "a webhook was given up"
        );
    }
}

/// What every client secret has in the middle, wherever it is written.
const SECRET_MARK: &str = "_secret_";

/// The event as it is sent: what was kept, with the person's data back in its place (unless it was erased), client secrets
/// null, and our own marks cut out of the metadata.
fn rendered(mut event: Value, mut personal: Map<String, Value>) -> Vec<u8> {
    restore(&mut event, "", &mut personal);
    tidy(&mut event);
    event.to_string().into_bytes()
}

/// Puts a person's data back to where it was cut out, by its path.
fn restore(value: &mut Value, path: &str, personal: &mut Map<String, Value>) {
    if personal.is_empty() {
        return;
    }
    let mut put_back = |at: String, field: &mut Value| match personal.remove(&at) {
        Some(data) => *field = data,
        None => restore(field, &at, personal),
    };
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                put_back(format!("{path}/{name}"), field);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                put_back(format!("{path}/{index}"), item);
            }
        }
        _ => {}
    }
}

fn tidy(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let nulls: &[&str] = match fields.get("object").and_then(Value::as_str) {
                Some("payment_intent" | "setup_intent") => &["client_secret", "next_action"],
                Some("checkout.session") => &["client_secret"],
                _ => &[],
            };
            for name in nulls {
                fields.insert((*name).to_owned(), Value::Null);
            }
            if let Some(Value::Object(metadata)) = fields.get_mut("metadata") {
                for ours in [
                    PAYMENT_KEY,
                    REFUND_KEY,
                    MERCHANT_KEY,
                    CHECKOUT_KEY,
                    REQUEST_KEY,
                ] {
                    metadata.remove(ours);
                }
            }
            fields.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::String(text) if text.contains(SECRET_MARK) => text.clear(),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Planted bug: sending the event as it is kept leaves the person's data out, and our marks in.
    #[test]
    fn an_event_is_sent_with_the_persons_data_and_without_secrets_and_marks_of_ours() {
        let kept = json!({
            "id": "evt_1",
            "data": {"object": {
                "id": "pi_1", "object": "payment_intent", "receipt_email": null, "shipping": null,
                "metadata": {PAYMENT_KEY: "1", MERCHANT_KEY: "acme", "order": "7"},
                "charges": {"data": [{"id": "ch_1", "billing_details": null}]},
            }},
        });
        let personal = json!({
            "/data/object/receipt_email": "canary@example.com",
            "/data/object/charges/data/0/billing_details": {"email": "canary@example.com"},
        });
        let Value::Object(personal) = personal else {
            panic!("it is an object");
        };
        let sent: Value = serde_json::from_slice(&rendered(kept.clone(), personal)).unwrap();
        let object = json!({
            "id": "pi_1", "object": "payment_intent", "receipt_email": "canary@example.com", "shipping": null,
            "metadata": {"order": "7"},
            "charges": {"data": [{"id": "ch_1", "billing_details": {"email": "canary@example.com"}}]},
            "client_secret": null, "next_action": null,
        });
        assert_eq!(sent, json!({"id": "evt_1", "data": {"object": object}}));
        // Its person's data erased, it is sent without.
        let erased: Value = serde_json::from_slice(&rendered(kept, Map::new())).unwrap();
        assert_eq!(erased["data"]["object"]["receipt_email"], Value::Null);
    }
}
