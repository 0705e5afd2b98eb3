//! Many callers at once: one effect each.

use crate::support::{World, card_payment, send};
use futures::future::join_all;
use reqwest::Method;
use serde_json::json;

/// Planted bug: `Order::decide` attaching a second payment while one is live makes more than one intent.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_identical_creates_for_one_order_make_one_intent_and_one_answer() {
    let world = World::start().await;
    let answers = join_all((0..20).map(|_| send(world.shop_create()))).await;
    let (status, first) = &answers[0];
    assert_eq!(*status, 200, "{first}");
    assert!(first["data"]["client_secret"].is_string());
    for (other_status, other) in &answers {
        assert_eq!((other_status, other), (status, first));
    }
    let intents = world.intents_at_stripe("acme").await;
    assert_eq!(
        intents
            .iter()
            .filter(|intent| intent["metadata"]["order_id"] == "9")
            .count(),
        1
    );
    world.stop().await;
}

/// Planted bug: committing the intention without its claim makes more than one intent.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_creates_under_one_idempotency_key_make_one_payment_and_one_answer() {
    let world = World::start().await;
    let create = || {
        let body = card_payment(2000, "usd", "4242424242424242");
        send(
            world
                .pay("/v1/payment_intents", body)
                .header("Idempotency-Key", "twenty"),
        )
    };
    let answers = join_all((0..20).map(|_| create())).await;
    let (status, first) = &answers[0];
    assert_eq!(
        (*status, first["status"].as_str()),
        (200, Some("succeeded")),
        "{first}"
    );
    for (other_status, other) in &answers {
        assert_eq!((other_status, other), (status, first));
    }
    let charges = world.stripe(Method::GET, "/v1/charges?limit=100");
    assert_eq!(send(charges).await.1["data"].as_array().unwrap().len(), 1);
    assert_eq!(
        world.balances("acme", "usd").await[0],
        ("assets:stripe:clearing".to_owned(), 2000)
    );

    let other = world.pay(
        "/v1/payment_intents",
        card_payment(2001, "usd", "4242424242424242"),
    );
    let (status, refused) = send(other.header("Idempotency-Key", "twenty")).await;
    assert_eq!(
        (status, refused["error"]["type"].as_str()),
        (400, Some("idempotency_error")),
        "{refused}"
    );
    world.stop().await;
}

/// Planted bug: leaving the pending check out of `Payment::decide` for captures lets both through to Stripe.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_captures_at_once_one_wins_and_the_other_gets_a_clear_error() {
    let world = World::start().await;
    let mut body = card_payment(2000, "usd", "4242424242424242");
    body["capture_method"] = json!("manual");
    let (_, held) = send(world.pay("/v1/payment_intents", body)).await;
    let capture = format!(
        "/v1/payment_intents/{}/capture",
        held["id"].as_str().unwrap()
    );
    let once = || send(world.pay(&capture, json!({"amount_to_capture": 1200})));
    let (one, other) = tokio::join!(once(), once());
    let mut answers = [one, other];
    answers.sort_by_key(|answer| answer.0);
    assert_eq!(
        (answers[0].0, answers[0].1["status"].as_str()),
        (200, Some("succeeded")),
        "{answers:?}"
    );
    assert_eq!(
        (answers[1].0, answers[1].1["error"]["code"].as_str()),
        (400, Some("payment_intent_unexpected_state"))
    );
    let history = world.history("acme").await;
    assert_eq!(
        history
            .iter()
            .filter(|name| *name == "CaptureRequested")
            .count(),
        1,
        "{history:?}"
    );
    assert_eq!(
        world.balances("acme", "usd").await[0],
        ("assets:stripe:clearing".to_owned(), 1200)
    );
    world.stop().await;
}

/// Planted bug: counting only succeeded refunds, not open ones, against what was captured lets both through.
#[tokio::test(flavor = "multi_thread")]
async fn of_refunds_of_60_and_60_on_100_one_wins() {
    let world = World::start().await;
    let (_, paid) = send(world.pay(
        "/v1/payment_intents",
        card_payment(10000, "usd", "4242424242424242"),
    ))
    .await;
    let refund = || {
        send(world.pay(
            "/v1/refunds",
            json!({"payment_intent": paid["id"], "amount": 6000}),
        ))
    };
    let (one, other) = tokio::join!(refund(), refund());
    let mut answers = [one, other];
    answers.sort_by_key(|answer| answer.0);
    assert_eq!(
        (answers[0].0, answers[0].1["status"].as_str()),
        (200, Some("succeeded")),
        "{answers:?}"
    );
    assert_eq!(
        (answers[1].0, answers[1].1["error"]["type"].as_str()),
        (400, Some("invalid_request_error")),
        "{answers:?}"
    );
    let refunds = world.stripe(Method::GET, "/v1/refunds");
    assert_eq!(send(refunds).await.1["data"].as_array().unwrap().len(), 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_refunds_at_once_give_back_what_was_taken_and_no_more() {
    let world = World::start().await;
    let (_, paid) = send(world.pay(
        "/v1/payment_intents",
        card_payment(1000, "usd", "4242424242424242"),
    ))
    .await;
    let refund = || {
        send(world.pay(
            "/v1/refunds",
            json!({"payment_intent": paid["id"], "amount": 100}),
        ))
    };
    let answers = join_all((0..20).map(|_| refund())).await;
    assert_eq!(
        answers.iter().filter(|answer| answer.0 == 200).count(),
        10,
        "{answers:?}"
    );
    assert_eq!(
        answers.iter().filter(|answer| answer.0 == 400).count(),
        10,
        "{answers:?}"
    );
    assert_eq!(world.balances("acme", "usd").await, []);
    world.stop().await;
}
