//! Outcome unknown, as each door says it: nothing is claimed that is not known, and the repeat goes on with the same payment.

use super::support::{World, checkout};
use super::*;
use aggregates::ids::OrderId;

/// A call that needs Stripe, and what its door says while Stripe is silent.
struct Silent {
    door: &'static str,
    /// What Stripe is asked for on its behalf.
    asks: &'static str,
    call: fn(&World) -> RequestBuilder,
    status: u16,
    /// Where the door says it, and what.
    says: (&'static str, &'static str),
}

const SILENT: &[Silent] = &[
    Silent {
        door: "offers",
        asks: "/v1/payment_intents",
        call: |world| offers::create(world, &json!({"offer_oid": "10311080"})),
        status: 503,
        says: ("/status", "0"),
    },
    Silent {
        door: "shop",
        asks: "/v1/payment_intents",
        call: World::shop_create,
        status: 503,
        says: (
            "/message",
            "The payment provider has not answered yet. Please repeat the request.",
        ),
    },
    Silent {
        door: "payment intents",
        asks: "/v1/payment_intents",
        call: |world| {
            let body = json!({"amount": 1000, "currency": "usd"});
            world
                .pay("/v1/payment_intents", body)
                .header("Idempotency-Key", "seed")
        },
        status: 500,
        says: ("/error/type", "api_error"),
    },
    Silent {
        door: "Stripe's rendering",
        asks: "/v1/payment_intents",
        call: |world| {
            let request = world
                .post("/v1/payment_intents")
                .bearer_auth("sk_test_acme");
            let request = request.header("Stripe-Version", "2023-08-16");
            let request = request.header("Idempotency-Key", "stripe");
            request
                .header("Content-Type", "application/x-www-form-urlencoded")
                .body("amount=1000&currency=usd")
        },
        status: 500,
        says: ("/error/type", "api_error"),
    },
    Silent {
        door: "checkout",
        asks: "/v1/checkout/sessions",
        call: |world| checkout::ask_for(world, "silent"),
        status: 503,
        says: ("/ResponseStatus/ErrorCode", "OutcomeUnknown"),
    },
    Silent {
        door: "stripe payments",
        asks: "/v1/payment_intents",
        call: |world| {
            let order = json!({"type": "orders", "id": "ABCRtyUpBa"});
            let body = json!({"data": {"type": "stripe_payments", "relationships": {"order": {"data": order}}}});
            let request = world.post("/api/stripe_payments").bearer_auth("cl-acme");
            let request = request.header("Content-Type", "application/vnd.api+json");
            request.body(body.to_string())
        },
        status: 503,
        says: ("/errors/0/code", "OUTCOME_UNKNOWN"),
    },
    Silent {
        door: "native",
        asks: "/v1/payment_intents",
        call: |world| {
            let order = OrderId::derive(&"acme".parse().unwrap(), "shop", "9");
            let path = format!("/ledger/v1/orders/{order}/reprice");
            let request = world.post(&path).bearer_auth("admin-acme");
            let lines = json!([{"name": "Main product 2", "unit_minor": 5000, "quantity": 2}]);
            request.json(&json!({"currency": "usd", "lines": lines}))
        },
        status: 503,
        says: ("/code", "outcome_unknown"),
    },
];

/// Planted bug: a door that does not say when to ask again.
#[tokio::test(flavor = "multi_thread")]
async fn every_door_says_in_its_own_words_that_an_outcome_is_unknown_and_the_repeat_knows_it() {
    let world = World::start().await;
    for it in SILENT {
        stripe_falls_silent_after(&world, it.asks).await;
        let silent = ask((it.call)(&world)).await;
        let said = silent.json.pointer(it.says.0).and_then(Value::as_str);
        assert_eq!(
            (silent.status, said),
            (it.status, Some(it.says.1)),
            "{}: {}",
            it.door,
            silent.text
        );
        assert!(silent.header("retry-after").is_some(), "{}", it.door);
        let should_retry = silent.header("stripe-should-retry");
        assert_eq!(
            should_retry,
            (it.status == 500).then_some("true"),
            "{}",
            it.door
        );
        let known = ask((it.call)(&world)).await;
        assert!(known.status < 300, "{}: {}", it.door, known.text);
    }
    // One each of the five that make an intent; a checkout's page makes one when it is paid on.
    assert_eq!(made_at_stripe(&world, "acme").await.len(), 5);
    assert_eq!(checkout::at_stripe(&world, "open").await.len(), 1);
    world.stop().await;
}
