//! Callers of the doors, payers, and Stripe's own handles, as cheap as a client can be: nobody holds each answer to its description
//! here, other suites do that.

use super::bank::BankLine;
use crate::support::{World, checkout, until};
use counterfoil::ops::fixtures;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;

const FORM: &str = "application/x-www-form-urlencoded";

/// Who is spoken to, and as whom.
#[derive(Clone, Copy)]
pub enum Door {
    Payments,
    /// The payment-intents door, as Stripe's own clients speak to it.
    Stripes,
    Shop,
    Checkout,
    Native,
    /// Stripe itself: the payer, or the merchant's dashboard.
    Stripe,
}

pub struct Client {
    http: reqwest::Client,
    /// Payers are not led anywhere.
    payers: reqwest::Client,
    address: SocketAddr,
    stripe: String,
}

impl Client {
    pub fn new(world: &World) -> Self {
        // Between two weeks nobody asks for anything, and the service closes connections on which nobody does.
        let client = || reqwest::Client::builder().pool_idle_timeout(Duration::from_secs(1));
        let payers = client().redirect(reqwest::redirect::Policy::none());
        Self {
            http: client().build().unwrap(),
            payers: payers.build().unwrap(),
            address: world.address,
            stripe: world.simulator.url(),
        }
    }

    fn request(&self, door: Door, method: Method, path: &str) -> RequestBuilder {
        let url = match door {
            Door::Stripe => format!("{}{}", self.stripe, path.trim_start_matches('/')),
            _ => format!("http://{}{path}", self.address),
        };
        let request = self.http.request(method, url);
        match door {
            Door::Payments => request.bearer_auth("sk_test_acme"),
            Door::Stripes => request
                .bearer_auth("sk_test_acme")
                .header("Stripe-Version", "2023-08-16"),
            Door::Shop => request
                .bearer_auth("customer-9")
                .header("X-API-Key", "123456789"),
            Door::Checkout => checkout::keyed(request),
            Door::Native => request.bearer_auth("admin-acme"),
            Door::Stripe => request.bearer_auth(fixtures::simulator_key("acme")),
        }
    }

    async fn answered(&self, request: RequestBuilder) -> (u16, Value) {
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.text().await.unwrap();
        let read = serde_json::from_str(&body);
        (status, read.unwrap_or(Value::String(body)))
    }

    pub async fn post(&self, door: Door, path: &str, body: &Value) -> (u16, Value) {
        let request = self.request(door, Method::POST, path);
        let request = if body.is_null() {
            request
        } else {
            request.json(body)
        };
        self.answered(request).await
    }

    pub async fn get(&self, door: Door, path: &str) -> (u16, Value) {
        self.answered(self.request(door, Method::GET, path)).await
    }

    pub async fn form(&self, door: Door, path: &str, form: &str) -> (u16, Value) {
        let request = self.request(door, Method::POST, path);
        let request = request.header("Content-Type", FORM).body(form.to_owned());
        self.answered(request).await
    }

    /// All of one of Stripe's lists at the simulator, newest first.
    pub async fn all(&self, list: &str) -> Vec<Value> {
        let mut all: Vec<Value> = Vec::new();
        loop {
            let after = all.last().map(|it| text(&it["id"]));
            let after = after.map_or(String::new(), |it| format!("&starting_after={it}"));
            let and = if list.contains('?') { '&' } else { '?' };
            let path = format!("/v1/{list}{and}limit=100{after}");
            let (status, mut page) = self.get(Door::Stripe, &path).await;
            assert_eq!(status, 200, "{page}");
            let Value::Array(data) = page["data"].take() else {
                panic!("{path} is no list");
            };
            all.extend(data);
            if page["has_more"] != true {
                return all;
            }
        }
    }

    pub async fn refund(&self, intent: String, minor: i64) -> String {
        let body = json!({"payment_intent": intent, "amount": minor});
        let (status, refund) = self.post(Door::Payments, "/v1/refunds", &body).await;
        assert_eq!(status, 200, "{refund}");
        text(&refund["id"])
    }

    /// What a payer does on Stripe's page.
    pub async fn pays_on_the_page(&self, session: &str) -> u16 {
        let url = format!("{}_sim/checkout/{session}", self.stripe);
        let request = self.payers.post(url).header("Content-Type", FORM);
        let body = "action=pay&email=ada%40example.com&method=pm_card_visa";
        let answer = request.body(body).send().await.unwrap();
        answer.status().as_u16()
    }

    /// A handle of the simulator's.
    pub async fn sim(&self, path: &str, body: &Value) -> Value {
        let url = format!("{}_sim/{path}", self.stripe);
        let (status, said) = self.answered(self.http.post(url).json(body)).await;
        assert_eq!(status, 200, "{path}: {said}");
        said
    }

    pub async fn held(&self) -> u64 {
        let url = format!("{}_sim/faults", self.stripe);
        let (_, said) = self.answered(self.http.get(url)).await;
        said["held"].as_u64().unwrap()
    }

    /// Waits until all that Stripe has to say to acme is said and applied.
    pub async fn quiet(&self, world: &World) {
        let pending = "webhooks/pending?account=acct_acme";
        until("the webhooks are delivered", async || {
            world.sim(Method::GET, pending, None).await["pending"] == 0
        })
        .await;
        until("the webhooks are applied", async || {
            let waits: bool = sqlx::query_scalar(
                "select exists (select from webhook_inbox where applied_at is null)",
            )
            .fetch_one(world.app().store().pool())
            .await
            .unwrap();
            !waits
        })
        .await;
    }

    /// Imports a statement of these lines: camt.053, or comma-separated.
    pub async fn import(&self, lines: &[BankLine], as_camt: bool) {
        if lines.is_empty() {
            return;
        }
        let (format, body) = if as_camt {
            (String::new(), super::bank::camt053(lines))
        } else {
            let format = serde_urlencoded::to_string([("format", super::bank::CSV)]).unwrap();
            (format!("&{format}"), super::bank::csv(lines))
        };
        let path = format!("/ledger/v1/bank-statements?account=main{format}");
        let kind = if as_camt {
            "application/xml"
        } else {
            "text/csv"
        };
        let request = self.request(Door::Native, Method::POST, &path);
        let request = request.header("Content-Type", kind).body(body);
        let (status, said) = self.answered(request).await;
        assert_eq!(status, 200, "{said}");
        assert_eq!(said["new"], lines.len(), "{said}");
        assert_eq!(said["ambiguous"], 0, "{said}");
    }
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
