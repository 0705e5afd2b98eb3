//! Webhooks that come late, twice, or tell one thing in several ways.

use crate::support::{World, card_payment, seal_key, send, until};
use chrono::Utc;
use counterfoil::ops::{fixtures, sandbox};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::Method;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sha2::Sha256;

async fn pause(world: &World, paused: bool) {
    world
        .sim(Method::POST, "webhooks", Some(json!({"paused": paused})))
        .await;
}

/// Waits until Stripe has delivered all it has to say to acme, and all of it is applied. Says how much that is.
async fn until_all_is_applied(world: &World) -> usize {
    let mut delivered = 0;
    until("all webhooks are applied", async || {
        let log = world
            .sim(Method::GET, "webhooks/deliveries?account=acct_acme", None)
            .await;
        let log = log["deliveries"].as_array().unwrap();
        delivered = log.len();
        let came = log.iter().all(|delivery| delivery["last_status"] == 200);
        let waiting: i64 =
            sqlx::query_scalar("select count(*) from webhook_inbox where applied_at is null")
                .fetch_one(world.app().store().pool())
                .await
                .unwrap();
        came && waiting == 0
    })
    .await;
    delivered
}

/// Planted bug: believing a webhook as if it were Stripe's answer of just now takes the payments back to where they were.
#[tokio::test(flavor = "multi_thread")]
async fn webhooks_older_than_what_is_known_move_nothing_back() {
    let world = World::start().await;
    pause(&world, true).await;
    let create = |number: &str, capture_method: &str| {
        let mut body = card_payment(2000, "usd", number);
        body["capture_method"] = json!(capture_method);
        send(world.pay("/v1/payment_intents", body))
    };
    let (_, held) = create("4242424242424242", "manual").await;
    let (_, asked) = create("4000002760003184", "automatic").await;
    let (_, declined) = create("4000000000009995", "automatic").await;
    let (_, cancelled) = create("4242424242424242", "manual").await;
    let path = |intent: &Value, step: &str| {
        format!(
            "/v1/payment_intents/{}{step}",
            intent["id"].as_str().unwrap()
        )
    };
    let declined = &declined["error"]["payment_intent"];
    let again = json!({"payment_method": "pm_card_visa"});
    assert_eq!(
        send(world.pay(&path(declined, "/confirm"), again)).await.1["status"],
        "succeeded"
    );
    assert_eq!(
        send(world.pay(&path(&cancelled, "/cancel"), json!({})))
            .await
            .1["status"],
        "canceled"
    );

    let before = world.history("acme").await;
    pause(&world, false).await;
    assert!(until_all_is_applied(&world).await > 8);
    assert_eq!(world.history("acme").await, before, "they tell nothing new");
    for (intent, status) in [
        (&held, "requires_capture"),
        (&asked, "requires_action"),
        (declined, "succeeded"),
        (&cancelled, "canceled"),
    ] {
        let (_, seen) = send(world.get(&path(intent, "")).bearer_auth("sk_test_acme")).await;
        assert_eq!(seen["status"], status);
    }
    world.stop_audited().await;
}

/// An event of acme's account, signed and delivered as Stripe does.
async fn deliver(world: &World, id: &str, event_type: &str, object: &Value) {
    let time = Utc::now().timestamp();
    let event = json!({"id": id, "object": "event", "type": event_type, "created": time, "data": {"object": object}});
    let body = event.to_string();
    let secret = sandbox::webhook_secret(&seal_key(), fixtures::MERCHANTS[0].id);
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).unwrap();
    mac.update(format!("{time}.{body}").as_bytes());
    let signature = format!("t={time},v1={}", hex::encode(mac.finalize().into_bytes()));
    let answer = world
        .post("/webhooks/stripe/acme")
        .header("Stripe-Signature", signature)
        .body(body);
    assert_eq!(send(answer).await.0, 200);
}

/// Planted bug: recording a refund or a turn of a dispute again, because another event told of it, moves its money twice.
#[tokio::test(flavor = "multi_thread")]
async fn what_stripe_tells_more_than_once_is_recorded_once() {
    let world = World::start().await;
    let (_, paid) = send(world.pay(
        "/v1/payment_intents",
        card_payment(2000, "usd", "4242424242424242"),
    ))
    .await;
    // Given back in Stripe's dashboard: the service hears of it by webhooks alone.
    let in_dashboard = world.stripe(Method::POST, "/v1/refunds");
    let (status, refund) =
        send(in_dashboard.json(&json!({"payment_intent": paid["id"], "amount": 500}))).await;
    assert_eq!(status, 200, "{refund}");
    let dispute = json!({
        "id": "dp_1", "object": "dispute", "amount": 1500, "currency": "usd", "reason": "fraudulent", "status": "needs_response",
        "payment_intent": paid["id"], "balance_transactions": [{"fee": 1500}],
    });
    for id in ["evt_one", "evt_one", "evt_other"] {
        deliver(&world, &format!("{id}_refund"), "refund.updated", &refund).await;
        deliver(
            &world,
            &format!("{id}_dispute"),
            "charge.dispute.created",
            &dispute,
        )
        .await;
        deliver(
            &world,
            &format!("{id}_funds"),
            "charge.dispute.funds_withdrawn",
            &dispute,
        )
        .await;
    }
    until_all_is_applied(&world).await;
    let history = world.history("acme").await;
    for once in ["Refunded", "DisputeOpened", "DisputeFundsWithdrawn"] {
        assert_eq!(
            history.iter().filter(|name| *name == once).count(),
            1,
            "{once} in {history:?}"
        );
    }
    let kept: i64 =
        sqlx::query_scalar("select count(*) from webhook_inbox where event_id like 'evt_o%'")
            .fetch_one(world.app().store().pool())
            .await
            .unwrap();
    assert_eq!(kept, 6, "the same event is kept once");
    world.stop_audited().await;
}
