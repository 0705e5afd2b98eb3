//! What happens at Stripe and is not told: it heals when it is looked at, through the same commands as anything that is told.

use super::business::Year;
use super::client::{Door, text};
use super::victims::Victims;
use crate::acme;
use aggregates::payment::Status;
use reqwest::Method;
use serde_json::{Value, json};

/// What was not told.
pub struct Drift {
    captured: Vec<String>,
    cancelled: Vec<String>,
    disputed: Vec<String>,
}

/// Payments that are held: they will drift.
pub async fn held(year: &Year<'_>, count: usize) -> Vec<String> {
    let mut held = Vec::new();
    for minor in 0..count {
        let body = json!({"amount": 2_000 + minor, "currency": "usd", "confirm": true, "payment_method": "pm_card_visa",
            "capture_method": "manual", "return_url": "https://shop.example"});
        let made = year
            .client
            .post(Door::Payments, "/v1/payment_intents", &body);
        let (status, intent) = made.await;
        assert_eq!(status, 200, "{intent}");
        held.push(text(&intent["id"]));
    }
    held
}

/// Webhooks are held back from here on: half of what is held is captured, the other half let go, and some of what was paid is
/// disputed.
pub async fn drifts(year: &Year<'_>, held: Vec<String>, victims: &mut Victims) -> Drift {
    told(year, false).await;
    let (captured, cancelled) = held.split_at(held.len() / 2);
    for intent in captured {
        at_stripe(year, &format!("/v1/payment_intents/{intent}/capture")).await;
    }
    for intent in cancelled {
        at_stripe(year, &format!("/v1/payment_intents/{intent}/cancel")).await;
    }
    let mut disputed = Vec::new();
    for _ in 0..captured.len() {
        let it = victims.plain();
        let charge = json!({"charge": it.charge["id"]});
        year.client.sim("disputes", &charge).await;
        disputed.push(text(&it.intent["id"]));
    }
    Drift {
        captured: captured.to_vec(),
        cancelled: cancelled.to_vec(),
        disputed,
    }
}

async fn at_stripe(year: &Year<'_>, path: &str) {
    let (status, said) = year.client.post(Door::Stripe, path, &Value::Null).await;
    assert_eq!(status, 200, "{said}");
}

/// Whether Stripe tells of what happens.
async fn told(year: &Year<'_>, told: bool) {
    let body = json!({"paused": !told, "account": "acct_acme"});
    year.world.sim(Method::POST, "webhooks", Some(body)).await;
}

impl Drift {
    /// Each stands as it does at Stripe, and what Stripe tells of it afterwards is no news.
    pub async fn is_healed(&self, year: &Year<'_>) {
        for intent in &self.captured {
            assert_eq!(
                stands(year, intent).await,
                (Status::Succeeded, 0),
                "{intent}"
            );
        }
        for intent in &self.cancelled {
            assert_eq!(
                stands(year, intent).await,
                (Status::Canceled, 0),
                "{intent}"
            );
        }
        for intent in &self.disputed {
            assert_eq!(
                stands(year, intent).await,
                (Status::Succeeded, 1),
                "{intent}"
            );
        }
        told(year, true).await;
        year.client.quiet(year.world).await;
        for intent in &self.disputed {
            assert_eq!(
                stands(year, intent).await,
                (Status::Succeeded, 1),
                "{intent}"
            );
        }
    }
}

/// Its status here, and how many disputes of it are known.
async fn stands(year: &Year<'_>, intent: &str) -> (Status, usize) {
    let store = year.world.app().store();
    let id = store.payment_by_intent(&acme(), intent).await.unwrap();
    let it = store.payment(&acme(), id.unwrap()).await.unwrap();
    let facts = it.state.facts().unwrap();
    (facts.status, facts.disputes.len())
}
