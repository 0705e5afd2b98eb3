//! Many callers at once: one effect each.

use crate::support::{World, card_payment, send};
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

/// Stripe takes a while over the next create, so that whoever asks it a second time meets the first.
async fn stripe_takes_its_time(world: &World) {
    let fault = json!({"kind": "latency_ms:300", "method": "POST", "path_prefix": "/v1/payment_intents", "times": 1});
    world.sim(Method::POST, "faults", Some(fault)).await;
}

/// Planted bugs: `Order::decide` attaching a second payment while one is live leaves callers without an answer; driving
/// without the lock asks Stripe while it is at work on the same, and gives some callers an unknown outcome.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_identical_creates_for_one_order_make_one_intent_and_one_answer() {
    let world = World::start().await;
    stripe_takes_its_time(&world).await;
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
    world.stop_audited().await;
}

/// Planted bugs: committing the intention without its claim leaves its answer no place, and the callers an error; driving
/// without the lock, as above.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_creates_under_one_idempotency_key_make_one_payment_and_one_answer() {
    let world = World::start().await;
    stripe_takes_its_time(&world).await;
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
    world.stop_audited().await;
}

/// Planted bug: answering the claim after the outcome, in an append of its own, leaves a gap in which a crash loses the answer.
#[tokio::test(flavor = "multi_thread")]
async fn the_answer_to_a_key_is_recorded_together_with_the_outcome() {
    let world = World::start().await;
    let create = world.pay(
        "/v1/payment_intents",
        card_payment(2000, "usd", "4242424242424242"),
    );
    let (_, paid) = send(create.header("Idempotency-Key", "pay")).await;
    let refund = world.pay("/v1/refunds", json!({"payment_intent": paid["id"]}));
    assert_eq!(
        send(refund.header("Idempotency-Key", "refund")).await.0,
        200
    );
    for (key, outcome) in [("pay", "Succeeded"), ("refund", "Refunded")] {
        let together: bool = sqlx::query_scalar(
            "select c.xmin = e.xmin from claims c, events e
             where c.key = $1 and c.answer is not null and e.ledger = c.ledger and e.event_type = $2",
        )
        .bind(key)
        .bind(outcome)
        .fetch_one(world.app().store().pool())
        .await
        .unwrap();
        assert!(together, "{key}: written by one transaction");
    }
    world.stop_audited().await;
}

/// Planted bug: answering a repeat from the present state shows what came after the first answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_is_answered_as_it_was_although_the_payment_has_moved_on() {
    let world = World::start().await;
    let mut body = card_payment(2000, "usd", "4242424242424242");
    body["capture_method"] = json!("manual");
    let keyed = |path: &str, body: &Value, key: &str| {
        send(world.pay(path, body.clone()).header("Idempotency-Key", key))
    };
    let (status, held) = keyed("/v1/payment_intents", &body, "hold").await;
    assert_eq!(
        (status, held["status"].as_str()),
        (200, Some("requires_capture")),
        "{held}"
    );
    let capture = format!(
        "/v1/payment_intents/{}/capture",
        held["id"].as_str().unwrap()
    );
    let (status, taken) = keyed(&capture, &json!({}), "take").await;
    assert_eq!(
        (status, taken["status"].as_str()),
        (200, Some("succeeded")),
        "{taken}"
    );
    let refund = json!({"payment_intent": held["id"], "amount": 500});
    let (status, refunded) = keyed("/v1/refunds", &refund, "give back").await;
    assert_eq!(status, 200, "{refunded}");

    assert_eq!(
        keyed("/v1/payment_intents", &body, "hold").await,
        (200, held)
    );
    assert_eq!(keyed(&capture, &json!({}), "take").await, (200, taken));
    assert_eq!(
        keyed("/v1/refunds", &refund, "give back").await,
        (200, refunded)
    );
    world.stop_audited().await;
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
    world.stop_audited().await;
}

/// Planted bug: counting only succeeded refunds, not open ones, against what was captured asks Stripe for both.
#[tokio::test(flavor = "multi_thread")]
async fn of_refunds_of_60_and_60_on_100_one_wins() {
    let world = World::start().await;
    let (_, paid) = send(world.pay(
        "/v1/payment_intents",
        card_payment(10000, "usd", "4242424242424242"),
    ))
    .await;
    // The first is on its way to Stripe when the other is judged.
    world
        .sim(
            Method::POST,
            "faults",
            Some(json!({"kind": "hold_before", "path_prefix": "/v1/refunds"})),
        )
        .await;
    let refund = || {
        send(world.pay(
            "/v1/refunds",
            json!({"payment_intent": paid["id"], "amount": 6000}),
        ))
    };
    let (one, other) = tokio::join!(refund(), async {
        world.wait_until_held(1).await;
        let other = refund().await;
        world.sim(Method::POST, "faults/release", None).await;
        other
    });
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
    let history = world.history("acme").await;
    assert_eq!(
        history
            .iter()
            .filter(|name| *name == "RefundRequested")
            .count(),
        1,
        "{history:?}"
    );
    let refunds = world.stripe(Method::GET, "/v1/refunds");
    assert_eq!(send(refunds).await.1["data"].as_array().unwrap().len(), 1);
    world.stop_audited().await;
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
    world.stop_audited().await;
}
