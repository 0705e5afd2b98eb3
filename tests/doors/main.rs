//! The doors as their callers see them: every documented answer, every documented error, nothing but HTTP.

#[path = "../support/mod.rs"]
mod support;

mod checkout;
mod checkout_formats;
mod limits;
mod offers;
mod offers_answers;
mod payment_intents;
mod payment_intents_errors;
mod payment_intents_parameters;
mod payment_intents_steps;
mod shop;
mod stripe_payments;
mod stripe_payments_errors;
mod stripe_payments_history;
mod stripe_payments_lists;
mod unknown;
mod webhook_endpoints;
mod webhooks;

use counterfoil::store::{KeyKind, NewKey, Scope};
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use support::World;

/// An answer with everything that matters of it.
struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
    json: Value,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Whether it is an error in Stripe's form, the caller's fault, that repeats no card number and shows no insides.
    fn is_clean_error(&self) -> bool {
        let error = &self.json["error"];
        let said = error["type"].is_string()
            && error["message"]
                .as_str()
                .is_some_and(|text| !text.is_empty());
        said && self.status < 500 && !self.text.contains("42424242") && !self.text.contains(".rs")
    }
}

async fn ask(request: RequestBuilder) -> Answer {
    let (status, headers, text) = support::described(request).await;
    let json = serde_json::from_str(&text).unwrap_or(Value::Null);
    Answer {
        status,
        headers,
        text,
        json,
    }
}

/// `text` with what differs from run to run replaced by names.
fn redacted(text: &str, differing: &[(&Value, &str)]) -> String {
    differing
        .iter()
        .fold(text.to_owned(), |text, (value, name)| {
            let found = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            assert!(text.contains(&found), "{name} is not in {text}");
            text.replace(&found, name)
        })
}

/// Gives the merchant one more key.
async fn put_key(world: &World, merchant: &str, kind: KeyKind, secret: &str, scopes: &[Scope]) {
    let key = NewKey {
        key_id: &format!("key_{secret}"),
        secret: &secret.to_owned().into(),
        merchant: &merchant.parse().unwrap(),
        kind,
        scopes,
        customer: None,
    };
    world.app().store().keys.put_key(&key).await.unwrap();
}

/// The next request to Stripe that changes something under `path` ends without an answer, after its effect.
async fn stripe_falls_silent_after(world: &World, path: &str) {
    let fault = json!({"kind": "drop_after", "method": "POST", "path_prefix": path, "times": 1});
    world.sim(Method::POST, "faults", Some(fault)).await;
}

/// The payment intents that this service made on an account at Stripe, newest first. The fixtures plant one besides.
async fn made_at_stripe(world: &World, merchant: &str) -> Vec<Value> {
    let mut intents = world.intents_at_stripe(merchant).await;
    intents.retain(|intent| intent["metadata"]["counterfoil_payment"].is_string());
    intents
}
