//! The native API as its callers see it, over HTTP alone.

#[path = "../support/mod.rs"]
mod support;

mod books;
mod catalogue;
mod command_line;
mod exports;
mod feed;
mod figures;
mod finance;
mod finance_refusals;
mod keys;
mod merchants;
mod orders;
mod payments;
mod races;
mod refusals;
mod shapes;

use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use support::World;

const ADMIN: &str = "admin-acme";
const FINANCE: &str = "finance-acme";
const RIVAL: &str = "admin-rival";

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

    /// The code of a problem, held to its form: RFC 9457, with the id of the request, and nothing of our insides.
    fn problem(&self) -> &str {
        let content_type = self.header("content-type");
        assert_eq!(
            content_type,
            Some("application/problem+json"),
            "{}",
            self.text
        );
        let code = self.json["code"].as_str().unwrap();
        assert_eq!(self.json["type"], format!("/problems/{code}"));
        assert_eq!(self.json["status"], self.status);
        assert_eq!(self.json["instance"].as_str(), self.header("request-id"));
        assert!(self.json["title"].is_string() && self.json["detail"].is_string());
        assert!(
            !self.text.contains(".rs") && !self.text.contains("sqlx"),
            "{}",
            self.text
        );
        code
    }

    /// The places that the problem names.
    fn places(&self) -> Vec<&str> {
        let errors = self.json["errors"].as_array().unwrap();
        let place = |error: &'static str| error;
        errors
            .iter()
            .map(|error| {
                [place("pointer"), place("parameter"), place("header")]
                    .iter()
                    .find_map(|it| error[*it].as_str())
                    .unwrap()
            })
            .collect()
    }

    /// The answer, which is to be a success with this status.
    fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.json
    }
}

async fn ask(request: RequestBuilder) -> Answer {
    let answer = request.send().await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let text = answer.text().await.unwrap();
    let json = serde_json::from_str(&text).unwrap_or(Value::Null);
    Answer {
        status,
        headers,
        text,
        json,
    }
}

async fn get(world: &World, key: &str, path: &str) -> Answer {
    ask(world.get(&format!("/ledger/v1{path}")).bearer_auth(key)).await
}

fn posting(world: &World, key: &str, path: &str, body: &Value) -> RequestBuilder {
    world
        .post(&format!("/ledger/v1{path}"))
        .bearer_auth(key)
        .json(body)
}

async fn post(world: &World, key: &str, path: &str, body: &Value) -> Answer {
    ask(posting(world, key, path, body)).await
}

/// The same under an idempotency key.
async fn post_once(world: &World, key: &str, path: &str, body: &Value, once: &str) -> Answer {
    ask(posting(world, key, path, body).header("Idempotency-Key", once)).await
}

async fn delete(world: &World, key: &str, path: &str) -> Answer {
    let path = format!("/ledger/v1{path}");
    ask(world.request(Method::DELETE, &path).bearer_auth(key)).await
}

/// An order of the shop, of one line.
fn order(reference: &str, unit_minor: i64) -> Value {
    json!({
        "source": "shop", "reference": reference, "number": format!("N-{reference}"), "customer": "customer-9",
        "currency": "usd", "tax_minor": 0,
        "lines": [{"name": "Shoes", "unit_minor": unit_minor, "quantity": 1}],
    })
}

/// Places it, and answers its id.
async fn placed(world: &World, reference: &str, unit_minor: i64) -> String {
    let made = post(world, ADMIN, "/orders", &order(reference, unit_minor)).await;
    made.expect(201)["id"].as_str().unwrap().to_owned()
}

/// Another price for an order.
fn price(unit_minor: i64) -> Value {
    json!({"currency": "usd", "lines": [{"name": "Shoes", "unit_minor": unit_minor, "quantity": 1}]})
}

/// Asks for the order's payment through the shop, and answers Stripe's intent.
async fn payment_asked(world: &World, reference: &str) -> String {
    let path = format!("/api/v1/shop/orders/{reference}/payment-intent");
    let asked = world
        .post(&path)
        .bearer_auth("customer-9")
        .header("X-API-Key", "123456789");
    let answer = ask(asked).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let intents = world.intents_at_stripe("acme").await;
    let order = get(world, ADMIN, &format!("/orders?reference={reference}")).await;
    let id = order.json["data"][0]["id"].clone();
    let payments = get(
        world,
        ADMIN,
        &format!("/payments?order={}", id.as_str().unwrap()),
    )
    .await;
    let intent = payments.json["data"][0]["intent"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(intents.iter().any(|it| it["id"] == intent.as_str()));
    intent
}

/// The customer pays at Stripe, behind our back.
async fn pays(world: &World, intent: &str) -> Answer {
    let path = format!("/v1/payment_intents/{intent}/confirm");
    let terms = "payment_method=pm_card_visa&return_url=https%3A%2F%2Fexample.com";
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    let request = world.stripe(Method::POST, &path).header(form.0, form.1);
    ask(request.body(terms)).await
}
