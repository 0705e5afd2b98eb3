//! How often one key may ask, in each door's own form.

use super::*;
use counterfoil::use_cases::{Options, RateLimit};
use std::num::NonZeroU32;
use std::time::Duration;
use support::Setup;

async fn world() -> World {
    let rate_limit = Some(RateLimit {
        burst: NonZeroU32::new(3).unwrap(),
        every: Duration::from_secs(3600),
    });
    World::start_with(Setup {
        options: Options {
            rate_limit,
            ..Setup::default().options
        },
        ..Setup::default()
    })
    .await
}

/// Red when the limit is one for all keys, when it is asked after the work was done, or when a refused request counts again.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_asks_too_often_is_told_when_to_come_back_and_others_are_served() {
    let world = world().await;
    let before = world.intents_at_stripe("acme").await.len();
    let balance = |key: &str| {
        world
            .get("/v1/balance")
            .bearer_auth(key)
            .header("Stripe-Version", "2023-08-16")
    };
    for _ in 0..3 {
        assert_eq!(ask(balance("sk_test_acme")).await.status, 200);
    }
    let create = world.pay(
        "/v1/payment_intents",
        json!({"amount": 1000, "currency": "usd"}),
    );
    let refused = ask(create).await;
    assert_eq!(
        (
            refused.status,
            &refused.json["error"]["type"],
            &refused.json["error"]["code"]
        ),
        (429, &json!("invalid_request_error"), &json!("rate_limit"))
    );
    assert_eq!(refused.header("stripe-should-retry"), Some("true"));
    let wait_s: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=3600).contains(&wait_s), "{wait_s}");
    assert_eq!(world.intents_at_stripe("acme").await.len(), before);
    assert_eq!(ask(balance("sk_test_rival")).await.status, 200);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shop_is_told_so_in_its_own_form() {
    let world = world().await;
    for _ in 0..3 {
        assert_ne!(ask(world.shop_paid()).await.status, 429);
    }
    let refused = ask(world.shop_paid()).await;
    assert_eq!(refused.status, 429, "{}", refused.text);
    assert!(refused.json["message"].is_string(), "{}", refused.text);
    assert!(refused.header("retry-after").is_some());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commerce_layers_client_is_told_so_in_json_api() {
    let world = world().await;
    let list = || crate::stripe_payments::call(&world, Method::GET, "/api/stripe_payments");
    for _ in 0..3 {
        assert_eq!(ask(list()).await.status, 200);
    }
    let refused = crate::stripe_payments::send(list()).await;
    assert_eq!(refused.status, 429, "{}", refused.text);
    assert_eq!(refused.json["errors"][0]["code"], "TOO_MANY_REQUESTS");
    assert!(refused.header("retry-after").is_some());
    world.stop().await;
}
