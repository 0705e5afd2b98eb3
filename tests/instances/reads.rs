//! What one instance has acknowledged, another shows at once: nobody waits, nobody asks twice.
//!
//! Planted bug that turns the last one red: trusting what is in memory without asking the log for what came after it.

use crate::several::{Several, as_served, price};
use crate::support::checkout;
use crate::support::{card_payment, send};
use reqwest::Method;
use serde_json::{Value, json};

/// How often each is tried, to and fro.
const ROUNDS: usize = 20;

/// Two instances that take turns: who writes, and who reads.
async fn to_and_fro(test: impl AsyncFn(&Several, usize, usize, usize)) {
    let several = Several::start(2, as_served()).await;
    for round in 0..ROUNDS {
        let writer = round % 2;
        test(&several, round, writer, 1 - writer).await;
    }
    several.is_whole().await;
    several.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_payment_has_become_decides_what_may_be_done_next() {
    to_and_fro(async |all, _, writer, reader| {
        let mut body = card_payment(1000, "usd", "4242424242424242");
        body["capture_method"] = "manual".into();
        body["confirm"] = false.into();
        body.as_object_mut().unwrap().remove("return_url");
        let (status, made) = all.pay(writer, "/v1/payment_intents", body).await;
        assert_eq!(status, 200, "{made}");
        let id = made["id"].as_str().unwrap();
        let path = |verb: &str| format!("/v1/payment_intents/{id}/{verb}");
        // The reader meets it as it is, and refuses what cannot be done yet.
        let (status, early) = all.pay(reader, &path("capture"), json!({})).await;
        assert_eq!(status, 400, "{early}");
        let (status, held) = all
            .pay(
                writer,
                &path("confirm"),
                json!({"return_url": "https://your.website"}),
            )
            .await;
        assert_eq!(
            (status, &held["status"]),
            (200, &json!("requires_capture")),
            "{held}"
        );
        let (status, taken) = all.pay(reader, &path("capture"), json!({})).await;
        assert_eq!(
            (status, &taken["status"]),
            (200, &json!("succeeded")),
            "{taken}"
        );
        // And back: the writer knew it without money.
        let refund = json!({"payment_intent": id, "amount": 400});
        let (status, refunded) = all.pay(writer, "/v1/refunds", refund).await;
        assert_eq!(status, 200, "{refunded}");
        let all_of_it = json!({"payment_intent": id, "amount": 601});
        let (status, refused) = all.pay(reader, "/v1/refunds", all_of_it).await;
        assert_eq!(status, 400, "{refused}");
        let known = all.look(reader, &format!("/payments/{id}")).await;
        assert_eq!(known["refunded_minor"], 400, "{known}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_order_has_become_is_what_is_read_and_what_is_asked_of_it() {
    to_and_fro(async |all, round, writer, reader| {
        let name = format!("to-and-fro-{round}");
        let id = all.placed(writer, &name).await;
        let path = format!("/orders/{id}");
        // The reader meets it without a payment.
        assert_eq!(all.look(reader, &path).await["total_minor"], 900);
        assert_eq!(all.shop(reader, &name, "payment").await.0, 409);
        let (status, text) = all.shop(writer, &name, "payment-intent").await;
        assert_eq!(status, 200, "{text}");
        let life = all.look(reader, &format!("{path}/events")).await;
        let kinds: Vec<&Value> = life["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| &it["type"])
            .collect();
        assert!(
            kinds.contains(&&json!("PaymentAttached")) && kinds.contains(&&json!("Created")),
            "{kinds:?}"
        );
        let (status, repriced) = all
            .change(writer, &format!("{path}/reprice"), price(1100))
            .await;
        assert_eq!(status, 200, "{repriced}");
        assert_eq!(all.look(reader, &path).await["total_minor"], 1100);
        let (status, again) = all.shop(reader, &name, "payment-intent").await;
        let again: Value = serde_json::from_str(&again).unwrap();
        let first: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (status, &again["data"]["id"]),
            (200, &first["data"]["id"]),
            "one way to pay"
        );
        let intent = again["data"]["id"].as_str().unwrap();
        pays(all, intent).await;
        assert_eq!(all.shop(writer, &name, "payment").await.0, 200);
        let (status, text) = all.shop(reader, &name, "payment").await;
        assert_eq!(status, 200, "{text}");
        assert_eq!(all.look(reader, &path).await["status"], "paid");
        let (status, late) = all
            .change(reader, &format!("{path}/cancel"), json!({"reason": "late"}))
            .await;
        assert_eq!(
            (status, &late["code"]),
            (409, &json!("already_paid")),
            "{late}"
        );
    })
    .await;
}

/// The customer pays at Stripe, behind our back.
async fn pays(all: &Several, intent: &str) {
    let path = format!("/v1/payment_intents/{intent}/confirm");
    let request = all.world.stripe(Method::POST, &path);
    let request = request.header("Content-Type", "application/x-www-form-urlencoded");
    let terms = "payment_method=pm_card_visa&return_url=https%3A%2F%2Fexample.com";
    let (status, paid) = send(request.body(terms)).await;
    assert_eq!(
        (status, &paid["status"]),
        (200, &json!("succeeded")),
        "{paid}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn prices_sources_checkouts_endpoints_and_keys_are_seen_at_once() {
    to_and_fro(async |all, round, writer, reader| {
        article(all, round, writer, reader).await;
        source(all, round, writer, reader).await;
        open_checkout(all, round, writer, reader).await;
        if round < 12 {
            endpoint(all, round, writer, reader).await;
        }
        key(all, writer, reader).await;
    })
    .await;
}

async fn article(all: &Several, round: usize, writer: usize, reader: usize) {
    let at = format!("/articles/{}/1", checkout::COMPANY);
    let price = 25_000 + i64::try_from(round).unwrap();
    let body = json!({"currency": "sek", "price_minor": price});
    let (status, changed) = all.change(writer, &format!("{at}/reprice"), body).await;
    assert_eq!(status, 200, "{changed}");
    assert_eq!(all.look(reader, &at).await["price_minor"], price);
}

async fn source(all: &Several, round: usize, writer: usize, reader: usize) {
    let ask = |instance: usize, method: Method, path: &str, body: Value| {
        let request = all.ask(instance, method, path).bearer_auth("cl-acme");
        let request = request.header("content-type", "application/vnd.api+json");
        send(request.body(body.to_string()))
    };
    let wanted = json!({"data": {
        "type": "stripe_payments",
        "relationships": {"order": {"data": {"type": "orders", "id": "ABCRtyUpBa"}}},
    }});
    let (status, made) = ask(writer, Method::POST, "/api/stripe_payments", wanted).await;
    assert_eq!(status, 201, "{made}");
    let id = made["data"]["id"].as_str().unwrap();
    let path = format!("/api/stripe_payments/{id}");
    let reference = format!("round {round}");
    let wanted = json!({"data": {"type": "stripe_payments", "id": id, "attributes": {"reference": reference}}});
    let (status, changed) = ask(reader, Method::PATCH, &path, wanted).await;
    assert_eq!(status, 200, "{changed}");
    let found = all.ask(writer, Method::GET, &path).bearer_auth("cl-acme");
    let (status, found) = send(found).await;
    assert_eq!(
        (status, &found["data"]["attributes"]["reference"]),
        (200, &json!(reference))
    );
}

async fn open_checkout(all: &Several, round: usize, writer: usize, reader: usize) {
    let wanted = checkout::wanted(&format!("seen-{}", round / 2));
    for instance in [writer, reader, writer] {
        let request = all.ask(instance, Method::POST, checkout::PATH);
        let (status, opened) = send(checkout::keyed(request).json(&wanted)).await;
        assert_eq!(status, 200, "{opened}");
    }
    // Each ended the one before, whoever had opened it.
    assert_eq!(
        checkout::at_stripe(&all.world, "open").await.len(),
        round / 2 + 1
    );
}

async fn endpoint(all: &Several, round: usize, writer: usize, reader: usize) {
    let url = format!("https://acme.example/{round}");
    let body = json!({"url": url, "enabled_events": ["*"]});
    let request = |instance: usize, method: Method| {
        let request = all.ask(instance, method, "/v1/webhook_endpoints");
        let request = request.header("stripe-version", "2023-08-16");
        request.bearer_auth("sk_test_acme")
    };
    let (status, made) = send(request(writer, Method::POST).json(&body)).await;
    assert_eq!(status, 200, "{made}");
    let (_, listed) = send(request(reader, Method::GET)).await;
    assert_eq!(listed["data"][0]["id"], made["id"], "{listed}");
}

async fn key(all: &Several, writer: usize, reader: usize) {
    let body = json!({"kind": "native", "scopes": ["ledger:read"]});
    let (status, made) = all.change(writer, "/keys", body).await;
    assert_eq!(status, 201, "{made}");
    let secret = made["secret"].as_str().unwrap();
    let request = all.ask(reader, Method::GET, "/ledger/v1/events?limit=1");
    let (status, found) = send(request.bearer_auth(secret)).await;
    assert_eq!(status, 200, "{found}");
}
