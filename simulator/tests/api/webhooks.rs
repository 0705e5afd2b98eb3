use reqwest::Method;
use serde_json::{Value, json};
use simulator::{Config, WebhookEndpoint};

use crate::support::receiver::Receiver;
use crate::support::{Api, config, soon, start_with, text};

const SECRET: &str = "whsec_of_the_test";

fn delivering_to(receiver: &Receiver) -> Config {
    let mut config = config();
    config.accounts[0].webhook_endpoints = vec![WebhookEndpoint::new(&receiver.url, SECRET)];
    config
}

pub async fn deliveries(api: &Api) -> Vec<Value> {
    let log = api
        .own(Method::GET, "webhooks/deliveries", Value::Null)
        .await;
    log["deliveries"].as_array().expect("a list").clone()
}

fn is_pending(delivery: &Value) -> bool {
    delivery["state"] == "pending"
}

/// Waits until every delivery has ended.
pub async fn until_delivered(api: &Api) {
    soon(async {
        while deliveries(api).await.iter().any(is_pending) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn events_arrive_signed_and_in_order() {
    let mut receiver = Receiver::start().await;
    let (_running, api) = start_with(delivering_to(&receiver)).await;
    let form = [
        ("confirm", "true"),
        ("payment_method", "pm_card_visa"),
        ("amount", "1000"),
        ("currency", "usd"),
    ];
    let intent = api.post_with_key("v1/payment_intents", &form, "one").await;
    for expected in [
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.succeeded",
    ] {
        let received = receiver.next().await;
        received.verify(SECRET);
        assert_eq!(received.event_type(), expected);
        let event = received.event();
        crate::support::shapes::check(200, &event);
        assert_eq!(event["request"]["idempotency_key"], "one");
        assert_eq!(event["request"]["id"].as_str(), intent.header("request-id"));
        if expected.starts_with("payment_intent") {
            let secret = text(&event["data"]["object"], "client_secret");
            assert_eq!(secret, text(&intent.body, "client_secret"));
        }
    }
    until_delivered(&api).await;
    let event = api.get("v1/events?limit=1").await.ok();
    assert_eq!(event["data"][0]["pending_webhooks"], 0);
}

#[tokio::test]
async fn the_time_in_a_signature_is_real_even_when_the_clock_was_advanced() {
    let mut receiver = Receiver::start().await;
    let (_running, api) = start_with(delivering_to(&receiver)).await;
    api.advance(10 * 24 * 3_600).await;
    api.intent(&[]).await.ok();
    receiver.next().await.verify(SECRET);
}

#[tokio::test]
async fn what_is_not_acknowledged_is_delivered_again_and_does_not_hold_up_the_rest() {
    let mut receiver = Receiver::start().await;
    receiver.then_answer(500);
    let (_running, api) = start_with(delivering_to(&receiver)).await;
    let intent = api.intent(&[]).await.ok();
    let first = receiver.next().await.event();
    api.post(
        &format!("v1/payment_intents/{}/cancel", text(&intent, "id")),
        &[],
    )
    .await
    .ok();
    let mut types = vec![
        receiver.next().await.event_type(),
        receiver.next().await.event_type(),
    ];
    types.sort();
    assert_eq!(types, ["payment_intent.canceled", "payment_intent.created"]);
    until_delivered(&api).await;
    let log = deliveries(&api).await;
    let again = log
        .iter()
        .find(|it| it["event"] == first["id"])
        .expect("it is in the log");
    assert_eq!(
        (again["attempts"].as_u64(), again["last_status"].as_u64()),
        (Some(2), Some(200))
    );
}

#[tokio::test]
async fn an_endpoint_that_never_acknowledges_is_given_up() {
    let receiver = Receiver::start().await;
    for _ in 0..20 {
        receiver.then_answer(503);
    }
    let (_running, api) = start_with(delivering_to(&receiver)).await;
    api.intent(&[]).await.ok();
    soon(async {
        while deliveries(&api).await.iter().any(is_pending) {
            // Every pause is over when the clock is advanced.
            api.advance(60).await;
        }
    })
    .await;
    let log = deliveries(&api).await;
    assert_eq!(
        (text(&log[0], "state"), log[0]["attempts"].as_u64()),
        ("failed", Some(14))
    );
    let events = api.get("v1/events").await.ok();
    assert_eq!(events["data"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn deliveries_can_be_paused_and_repeated() {
    let mut receiver = Receiver::start().await;
    let (_running, api) = start_with(delivering_to(&receiver)).await;
    api.own(Method::POST, "webhooks", json!({ "paused": true }))
        .await;
    api.intent(&[]).await.ok();
    let event = api.get("v1/events").await.ok()["data"][0].take();
    assert_eq!(event["pending_webhooks"], 1);
    assert!(receiver.is_empty());
    api.own(Method::POST, "webhooks", json!({ "paused": false }))
        .await;
    let first = receiver.next().await.event();
    until_delivered(&api).await;
    let again = api
        .own(
            Method::POST,
            "webhooks/redeliver",
            json!({ "event": event["id"] }),
        )
        .await;
    assert_eq!(again["deliveries"], 1);
    let second = receiver.next().await.event();
    assert_eq!((&first["id"], &second["id"]), (&event["id"], &event["id"]));
}

#[tokio::test]
async fn an_endpoint_gets_only_the_types_that_it_asked_for() {
    let mut receiver = Receiver::start().await;
    let mut config = delivering_to(&receiver);
    let wanted = vec!["charge.*".to_owned(), "payment_intent.succeeded".to_owned()];
    config.accounts[0].webhook_endpoints[0].enabled_events = wanted;
    let (_running, api) = start_with(config).await;
    api.paid("pm_card_visa").await;
    assert_eq!(receiver.next().await.event_type(), "charge.succeeded");
    assert_eq!(
        receiver.next().await.event_type(),
        "payment_intent.succeeded"
    );
    assert_eq!(deliveries(&api).await.len(), 2);
}

#[tokio::test]
async fn an_endpoint_can_be_added_to_a_running_simulator() {
    let mut receiver = Receiver::start().await;
    let mut second = Receiver::start().await;
    let (running, api) = start_with(config()).await;
    let endpoint = WebhookEndpoint::new(&receiver.url, SECRET);
    running
        .add_webhook_endpoint("acct_one", endpoint)
        .expect("the account exists");
    let nobody = WebhookEndpoint::new(&receiver.url, SECRET);
    assert!(running.add_webhook_endpoint("acct_nobody", nobody).is_err());
    let asked = json!({ "url": second.url, "secret": SECRET, "enabled_events": ["charge.*"] });
    api.own(Method::POST, "webhooks/endpoints", asked).await;
    api.paid("pm_card_visa").await;
    assert_eq!(receiver.next().await.event_type(), "payment_intent.created");
    let charge = second.next().await;
    charge.verify(SECRET);
    assert_eq!(charge.event_type(), "charge.succeeded");
}
