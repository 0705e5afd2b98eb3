//! The table of transitions, and what an intent looks like on its way.

use crate::support::{World, card_payment, send};
use crate::{Answer, ask};
use serde_json::{Value, json};

/// An intent of acme's in the given state, and its path.
async fn intent_in(world: &World, state: &str) -> String {
    let bare = json!({"amount": 1000, "currency": "usd"});
    let manual = || {
        let mut body = card_payment(1000, "usd", "4242424242424242");
        body["capture_method"] = json!("manual");
        body
    };
    let body = match state {
        "requires_payment_method" | "canceled" => bare,
        "requires_confirmation" => {
            json!({"amount": 1000, "currency": "usd", "payment_method": "pm_card_visa"})
        }
        "requires_action" => card_payment(1000, "usd", "4000002760003184"),
        "requires_capture" => manual(),
        "succeeded" => card_payment(1000, "usd", "4242424242424242"),
        other => panic!("no way into {other}"),
    };
    let (status, created) = send(world.pay("/v1/payment_intents", body)).await;
    assert_eq!(status, 200, "{created}");
    let path = format!("/v1/payment_intents/{}", created["id"].as_str().unwrap());
    if state == "canceled" {
        assert_eq!(
            send(world.pay(&format!("{path}/cancel"), json!({})))
                .await
                .0,
            200
        );
    } else {
        assert_eq!(created["status"], state);
    }
    path
}

fn is_unexpected_state(answer: &Answer, state: &str) -> bool {
    let error = &answer.json["error"];
    answer.status == 400
        && error["code"] == "payment_intent_unexpected_state"
        && error["type"] == "invalid_request_error"
        && error["payment_intent"]["status"] == state
        && error["payment_intent"]["client_secret"] == Value::Null
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_state_does_not_allow_is_refused_with_the_intent_inside() {
    let world = World::start().await;
    let forbidden: [(&str, &[(&str, Value)]); 6] = [
        (
            "requires_payment_method",
            &[("/capture", json!({})), ("/confirm", json!({}))],
        ),
        ("requires_confirmation", &[("/capture", json!({}))]),
        ("requires_action", &[("/capture", json!({}))]),
        (
            "requires_capture",
            &[("/confirm", json!({})), ("", json!({"amount": 900}))],
        ),
        (
            "succeeded",
            &[
                ("/confirm", json!({})),
                ("/capture", json!({})),
                ("/cancel", json!({})),
                ("", json!({"amount": 900})),
                ("", json!({"payment_method": "pm_card_visa"})),
            ],
        ),
        (
            "canceled",
            &[
                ("/confirm", json!({})),
                ("/capture", json!({})),
                ("/cancel", json!({})),
                ("", json!({"description": "x"})),
            ],
        ),
    ];
    for (state, steps) in forbidden {
        let path = intent_in(&world, state).await;
        let before = world.history("acme").await;
        for (step, body) in steps {
            let answer = ask(world.pay(&format!("{path}{step}"), body.clone())).await;
            assert!(
                is_unexpected_state(&answer, state),
                "{state}{step}: {} {}",
                answer.status,
                answer.text
            );
        }
        assert_eq!(
            world.history("acme").await,
            before,
            "{state}: a refusal records nothing"
        );
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_state_allows_leads_where_the_table_says() {
    let world = World::start().await;
    let card = json!({"payment_method": "pm_card_visa"});
    for (state, step, body, after) in [
        (
            "requires_payment_method",
            "",
            card.clone(),
            "requires_confirmation",
        ),
        (
            "requires_payment_method",
            "/confirm",
            card.clone(),
            "succeeded",
        ),
        ("requires_payment_method", "/cancel", json!({}), "canceled"),
        ("requires_confirmation", "/confirm", json!({}), "succeeded"),
        (
            "requires_confirmation",
            "/cancel",
            json!({"cancellation_reason": "abandoned"}),
            "canceled",
        ),
        ("requires_action", "/confirm", card, "succeeded"),
        ("requires_action", "/cancel", json!({}), "canceled"),
        (
            "requires_capture",
            "",
            json!({"metadata": {"a": "b"}}),
            "requires_capture",
        ),
        ("requires_capture", "/capture", json!({}), "succeeded"),
        ("requires_capture", "/cancel", json!({}), "canceled"),
        (
            "succeeded",
            "",
            json!({"metadata": {"a": "b"}}),
            "succeeded",
        ),
    ] {
        let path = intent_in(&world, state).await;
        let (status, answer) = send(world.pay(&format!("{path}{step}"), body)).await;
        assert_eq!(
            (status, &answer["status"]),
            (200, &json!(after)),
            "{state}{step}: {answer}"
        );
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_payment_shows_what_may_be_taken_and_then_what_was() {
    let world = World::start().await;
    let path = intent_in(&world, "requires_capture").await;
    let held = ask(world.get(&path).bearer_auth("sk_test_acme")).await.json;
    assert_eq!(
        (&held["amount_capturable"], &held["amount_received"]),
        (&json!(1000), &json!(0))
    );
    assert_eq!(held["capture_method"], "manual");
    let options = held["payment_method_options"].as_str().unwrap();
    assert_eq!(
        options,
        r#"{"card":{"request_three_d_secure":"auto","capture_method":"manual"}}"#
    );

    let taken = ask(world.pay(
        &format!("{path}/capture"),
        json!({"amount_to_capture": 600}),
    ))
    .await
    .json;
    assert_eq!(
        (&taken["amount_capturable"], &taken["amount_received"]),
        (&json!(0), &json!(600)),
        "{taken}"
    );
    assert_eq!(
        (&taken["amount"], &taken["status"]),
        (&json!(1000), &json!("succeeded"))
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_intent_says_when_and_why() {
    let world = World::start().await;
    let path = intent_in(&world, "requires_confirmation").await;
    let why = json!({"cancellation_reason": "requested_by_customer"});
    let gone = ask(world.pay(&format!("{path}/cancel"), why)).await.json;
    assert_eq!(gone["cancellation_reason"], "requested_by_customer");
    assert!(
        gone["canceled_at"].as_i64().unwrap() >= gone["created"].as_i64().unwrap(),
        "milliseconds, like created"
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decline_says_why_keeps_the_secret_and_is_shown_until_the_next_try() {
    let world = World::start().await;
    let declined = ask(world.pay(
        "/v1/payment_intents",
        card_payment(1000, "usd", "4000000000009995"),
    ))
    .await;
    let error = &declined.json["error"];
    assert_eq!(
        (declined.status, &error["type"]),
        (402, &json!("card_error")),
        "{}",
        declined.text
    );
    assert_eq!(
        (&error["code"], &error["decline_code"]),
        (&json!("card_declined"), &json!("insufficient_funds"))
    );
    assert_eq!(error["message"], "Your card has insufficient funds.");
    assert_eq!(error["payment_intent"]["client_secret"], Value::Null);
    assert!(!declined.text.contains("_secret_"), "{}", declined.text);

    let path = format!(
        "/v1/payment_intents/{}",
        error["payment_intent"]["id"].as_str().unwrap()
    );
    let now = ask(world.get(&path).bearer_auth("sk_test_acme")).await.json;
    let last = &now["last_payment_error"];
    assert_eq!(
        (&last["type"], &last["code"]),
        (&json!("card_error"), &json!("card_declined"))
    );
    assert_eq!(
        (&last["decline_code"], &last["message"]),
        (&error["decline_code"], &error["message"])
    );
    assert!(
        last["payment_method"].as_str().unwrap().starts_with("pm_"),
        "{last}"
    );
    assert_eq!(now["payment_method"], Value::Null);

    let (status, paid) = send(world.pay(
        &format!("{path}/confirm"),
        json!({"payment_method": "pm_card_visa"}),
    ))
    .await;
    assert_eq!(
        (status, &paid["last_payment_error"]),
        (200, &Value::Null),
        "{paid}"
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_customer_has_to_do_is_shown_while_it_is_to_be_done() {
    let world = World::start().await;
    let path = intent_in(&world, "requires_action").await;
    let waiting = ask(world.get(&path).bearer_auth("sk_test_acme")).await.json;
    assert_eq!(
        waiting["next_action"]["type"], "redirect_to_url",
        "{waiting}"
    );
    assert_eq!(waiting["return_url"], "https://your.website");
    let paid = ask(world.pay(
        &format!("{path}/confirm"),
        json!({"payment_method": "pm_card_visa"}),
    ))
    .await
    .json;
    assert_eq!(paid["next_action"], Value::Null);
    world.stop().await;
}
