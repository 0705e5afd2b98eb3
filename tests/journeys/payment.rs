//! A payment at the payment-intents door, through its whole life.

use crate::support::{World, card_payment, send, until};
use reqwest::Method;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_card_is_held_taken_in_part_and_given_back_in_parts() {
    let world = World::start().await;
    let mut body = card_payment(2000, "usd", "4242424242424242");
    body["capture_method"] = json!("manual");
    let (status, held) = send(world.pay("/v1/payment_intents", body)).await;
    assert_eq!(
        (status, held["status"].as_str()),
        (200, Some("requires_capture")),
        "{held}"
    );
    let intent = held["id"].as_str().unwrap();

    let capture = format!("/v1/payment_intents/{intent}/capture");
    let (status, refused) = send(world.pay(&capture, json!({"amount_to_capture": 2001}))).await;
    assert_eq!(status, 400, "{refused}");
    let (status, taken) = send(world.pay(&capture, json!({"amount_to_capture": 1500}))).await;
    assert_eq!(
        (status, taken["status"].as_str()),
        (200, Some("succeeded")),
        "{taken}"
    );

    for (amount, expected) in [(1000, 200), (1000, 400), (500, 200), (1, 400)] {
        let (status, refund) = send(world.pay(
            "/v1/refunds",
            json!({"payment_intent": intent, "amount": amount}),
        ))
        .await;
        assert_eq!(status, expected, "{amount}: {refund}");
    }
    assert_eq!(
        world.balances("acme", "usd").await,
        [],
        "1500 came and 1500 went"
    );
    world.stop_audited().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decline_carries_the_intent_and_another_card_may_be_tried() {
    let world = World::start().await;
    let (status, declined) = send(world.pay(
        "/v1/payment_intents",
        card_payment(2000, "usd", "4000000000009995"),
    ))
    .await;
    assert_eq!(status, 402, "{declined}");
    assert_eq!(declined["error"]["code"], "card_declined");
    assert_eq!(declined["error"]["decline_code"], "insufficient_funds");
    let intent = declined["error"]["payment_intent"]["id"].as_str().unwrap();
    assert_eq!(
        declined["error"]["payment_intent"]["status"],
        "requires_payment_method"
    );

    let confirm = format!("/v1/payment_intents/{intent}/confirm");
    let (status, paid) = send(world.pay(&confirm, json!({"payment_method": "pm_card_visa"}))).await;
    assert_eq!(
        (status, paid["status"].as_str()),
        (200, Some("succeeded")),
        "{paid}"
    );
    world.stop_audited().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_who_authenticates_at_stripe_is_seen_here() {
    let world = World::start().await;
    let (status, asked) = send(world.pay(
        "/v1/payment_intents",
        card_payment(2000, "usd", "4000002760003184"),
    ))
    .await;
    assert_eq!(
        (status, asked["status"].as_str()),
        (200, Some("requires_action")),
        "{asked}"
    );
    assert!(asked["next_action"].is_object(), "{asked}");
    let intent = asked["id"].as_str().unwrap();

    let page = format!("{}_sim/3ds/{intent}", world.simulator.url());
    let browser = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let acted = browser
        .post(page)
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body("outcome=complete")
        .send()
        .await
        .unwrap();
    assert!(
        acted.status().is_success() || acted.status().is_redirection(),
        "{}",
        acted.status()
    );
    until("the webhook is applied", async || {
        world
            .history("acme")
            .await
            .iter()
            .any(|name| name == "Succeeded")
    })
    .await;
    let (status, seen) = send(
        world
            .get(&format!("/v1/payment_intents/{intent}"))
            .bearer_auth("sk_test_acme"),
    )
    .await;
    assert_eq!(
        (status, seen["status"].as_str()),
        (200, Some("succeeded")),
        "{seen}"
    );
    world.stop_audited().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn personal_data_is_nowhere_in_the_clear_and_no_card_or_secret_is_kept() {
    let world = World::start().await;
    let mut body = card_payment(2000, "usd", "4242424242424242");
    body["receipt_email"] = json!("canary@example.com");
    body["shipping"] =
        json!({"name": "Canary Bird", "address": {"line1": "1 Canary Wharf", "country": "GB"}});
    let (status, paid) = send(world.pay("/v1/payment_intents", body)).await;
    assert_eq!(
        (status, paid["shipping"]["name"].as_str()),
        (200, Some("Canary Bird")),
        "{paid}"
    );
    let secret = paid["client_secret"].as_str().unwrap().to_owned();
    until("the webhooks are applied", async || {
        let applied: i64 =
            sqlx::query_scalar("select count(*) from webhook_inbox where applied_at is not null and type = 'payment_intent.succeeded'")
                .fetch_one(world.app().store().pool())
                .await
                .unwrap();
        applied == 1
    })
    .await;
    for table in [
        "events",
        "webhook_inbox",
        "claims",
        "payments",
        "orders",
        "journal",
        "api_keys",
    ] {
        let kept: Vec<String> = sqlx::query_scalar(&format!("select t::text from {table} t"))
            .fetch_all(world.app().store().pool())
            .await
            .unwrap();
        for row in kept {
            for canary in [
                "canary@example.com",
                "Canary",
                "4242424242424242",
                "_secret_",
                "sk_test_acme",
                secret.as_str(),
            ] {
                assert!(!row.contains(canary), "{canary} in {table}: {row}");
            }
        }
    }
    world.stop_audited().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_payment_stays_cancelled_whatever_comes_later() {
    let world = World::start().await;
    let (_, open) = send(world.pay(
        "/v1/payment_intents",
        json!({"amount": 2000, "currency": "usd"}),
    ))
    .await;
    let intent = open["id"].as_str().unwrap();
    let cancel = format!("/v1/payment_intents/{intent}/cancel");
    let (status, cancelled) =
        send(world.pay(&cancel, json!({"cancellation_reason": "abandoned"}))).await;
    assert_eq!(
        (status, cancelled["status"].as_str()),
        (200, Some("canceled")),
        "{cancelled}"
    );
    assert_eq!(cancelled["cancellation_reason"], "abandoned");
    for (step, body) in [
        ("confirm", json!({"payment_method": "pm_card_visa"})),
        ("capture", json!({})),
        ("cancel", json!({})),
    ] {
        let (status, refused) =
            send(world.pay(&format!("/v1/payment_intents/{intent}/{step}"), body)).await;
        assert_eq!(
            (status, refused["error"]["code"].as_str()),
            (400, Some("payment_intent_unexpected_state")),
            "{step}: {refused}"
        );
    }
    let (_, seen) = send(world.stripe(Method::GET, &format!("/v1/payment_intents/{intent}"))).await;
    assert_eq!(seen["status"], "canceled");
    world.stop_audited().await;
}

/// Stripe lets go of a hold after seven days. Planted bug: reading an intent without noticing how it stands leaves the row as
/// it was.
#[tokio::test(flavor = "multi_thread")]
async fn an_authorisation_that_nobody_captures_ends_after_seven_days_here_as_well() {
    let world = World::start().await;
    let mut body = card_payment(5000, "usd", "4242424242424242");
    body["capture_method"] = json!("manual");
    let (status, held) = send(world.pay("/v1/payment_intents", body)).await;
    assert_eq!(
        (status, &held["status"]),
        (200, &json!("requires_capture")),
        "{held}"
    );
    let days = json!({"advance_s": 7 * 24 * 3600 + 60});
    world.sim(Method::POST, "clock", Some(days)).await;

    let path = format!("/v1/payment_intents/{}", held["id"].as_str().unwrap());
    let (_, gone) = send(world.get(&path).bearer_auth("sk_test_acme")).await;
    assert_eq!(gone["status"], "canceled");
    assert_eq!(gone["cancellation_reason"], "automatic");
    let row: (String, i64) = sqlx::query_as(
        "select status, captured_minor from payments where merchant = 'acme' and intent = $1",
    )
    .bind(held["id"].as_str().unwrap())
    .fetch_one(world.app().store().pool())
    .await
    .unwrap();
    assert_eq!(row, ("canceled".to_owned(), 0));
    assert_eq!(world.history("acme").await.last().unwrap(), "Cancelled");
    assert!(world.balances("acme", "usd").await.is_empty());
    world.stop_audited().await;
}
