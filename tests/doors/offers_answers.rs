//! The offers' door: what it refuses and how it says so, and what it answers again.

use crate::offers::{
    PATH, change, core_costs, create, fault, intent, pay_at_stripe, products, publish,
};
use crate::support::{Setup, World};
use crate::{ask, made_at_stripe, stripe_falls_silent_after};
use aggregates::catalogue::OfferCommand;
use chrono::DateTime;
use counterfoil::use_cases::{Options, RateLimit};
use futures::future::join_all;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use std::num::NonZeroU32;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn another_merchants_offer_does_not_exist_word_for_word() {
    let world = World::start().await;
    let mut texts = Vec::new();
    let long = "9".repeat(5_000);
    for number in ["10311099", "77", "a/b", "\u{0}", "'; --", &long] {
        let answer = ask(create(&world, &json!({"offer_oid": number}))).await;
        assert_eq!((answer.status, fault(&answer)), (404, "offer_oid"));
        texts.push(answer.json["response"].to_string());
    }
    assert!(texts.iter().all(|text| *text == texts[0]), "{texts:?}");
    assert!(made_at_stripe(&world, "rival").await.is_empty());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_had_is_named_and_nothing_is_made() {
    let world = World::start().await;
    publish(&world, "small", 29, None).await;
    publish(&world, "free", 0, None).await;
    publish(
        &world,
        "late",
        1_000,
        DateTime::from_timestamp(1_600_000_000, 0),
    )
    .await;
    publish(&world, "gone", 1_000, None).await;
    let reason = "no longer sold".to_owned();
    change(&world, "gone", OfferCommand::Withdraw { reason }).await;
    let before = world.events().await;
    let with = |products: Value| json!({"offer_oid": "10311080", "products": products});
    for (body, status, field, said) in [
        (
            with(json!({"combined": ["core", "hull"]})),
            422,
            "products",
            "'hull'",
        ),
        (
            with(json!({"marine": ["core"]})),
            422,
            "products",
            "'marine'",
        ),
        (with(json!(["hull"])), 422, "products", "'hull'"),
        (
            with(json!({"combined": []})),
            422,
            "products",
            "No product is selected.",
        ),
        (with(json!([])), 422, "products", "No product is selected."),
        (with(json!("")), 422, "products", "No product is selected."),
        (with(json!("core")), 400, "products", "list of codes"),
        (with(json!(7)), 400, "products", "list of codes"),
        (
            with(json!(["4242424242424242"])),
            400,
            "products",
            "card number",
        ),
        (
            json!({"offer_oid": "small"}),
            422,
            "products",
            "minimum of 0.30",
        ),
        (
            json!({"offer_oid": "free"}),
            422,
            "products",
            "not positive",
        ),
        (
            json!({"offer_oid": "late"}),
            409,
            "offer_oid",
            "This offer has expired.",
        ),
        (
            json!({"offer_oid": "gone"}),
            409,
            "offer_oid",
            "This offer was withdrawn.",
        ),
        (json!({}), 400, "offer_oid", "missing"),
        (json!({"offer_oid": ""}), 400, "offer_oid", "missing"),
        (json!({"offer_oid": ["10311080"]}), 400, "offer_oid", "text"),
    ] {
        let answer = ask(create(&world, &body)).await;
        assert_eq!(
            (answer.status, fault(&answer)),
            (status, field),
            "{body}: {}",
            answer.text
        );
        let message = answer.json["response"]["errors"][0]["message"]
            .as_str()
            .unwrap();
        assert!(message.contains(said), "{body}: {message}");
        assert!(!answer.text.contains("42424242"), "{}", answer.text);
    }
    assert_eq!(
        world.events().await,
        before,
        "a refusal leaves nothing behind"
    );
    assert!(made_at_stripe(&world, "acme").await.is_empty());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_request_is_refused_in_this_doors_form() {
    let world = World::start().await;
    let post = || world.post(PATH).bearer_auth("offers-acme");
    let form = "application/x-www-form-urlencoded";
    for (body, status) in [
        (b"{\"offer_oid\":".to_vec(), 400),
        (b"[]".to_vec(), 400),
        (b"7".to_vec(), 400),
        (b"".to_vec(), 400),
        (b"\xff\xfe".to_vec(), 400),
        (
            format!("{{\"products\":{}", "[".repeat(2_000)).into_bytes(),
            400,
        ),
        (vec![b' '; 2 * 1024 * 1024], 413),
    ] {
        let answer = ask(post().body(body)).await;
        assert_eq!((answer.status, fault(&answer)), (status, "body"));
    }
    for (body, field) in [
        ("offer_oid=10311080&products[a][b]=core", "products"),
        (
            "offer_oid=10311080&products[]=core&products[a][]=ad",
            "products",
        ),
        ("products[]=core", "offer_oid"),
        ("", "offer_oid"),
    ] {
        let answer = ask(post().header("Content-Type", form).body(body)).await;
        assert_eq!((answer.status, fault(&answer)), (400, field), "{body}");
    }
    let keyed = |key: &str| create(&world, &products(&["core"])).header("Idempotency-Key", key);
    for key in ["", &"k".repeat(256)] {
        let answer = ask(keyed(key)).await;
        assert_eq!((answer.status, fault(&answer)), (400, "Idempotency-Key"));
    }
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let answer = ask(world.request(method, PATH)).await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
        assert_eq!(fault(&answer), "method");
    }
    for path in ["/api/offer/createpaymentintents", "/api/offer/x/y"] {
        let answer = ask(world.post(path)).await;
        assert_eq!((answer.status, fault(&answer)), (404, "ajax_url"));
    }
    assert!(made_at_stripe(&world, "acme").await.is_empty());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_in_a_request_sets_a_price() {
    let world = World::start().await;
    let body = json!({
        "offer_oid": "10311080",
        "products": {"combined": ["core"]},
        "amount": 1, "premium": "0.01", "currency": "jpy", "price": 1, "status": "paid",
    });
    let answer = ask(create(&world, &body)).await;
    let shown = intent(&answer);
    assert_eq!(
        (&shown["amount"], &shown["currency"]),
        (&json!(8_420), &json!("gbp"))
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_asks_too_often_is_told_when_to_come_back() {
    let rate_limit = Some(RateLimit {
        burst: NonZeroU32::new(2).unwrap(),
        every: Duration::from_secs(3600),
    });
    let world = World::start_with(Setup {
        options: Options {
            rate_limit,
            ..Setup::default().options
        },
        ..Setup::default()
    })
    .await;
    let body = json!({"offer_oid": "77"});
    for _ in 0..2 {
        assert_eq!(ask(create(&world, &body)).await.status, 404);
    }
    let refused = ask(create(&world, &body)).await;
    assert_eq!((refused.status, fault(&refused)), (429, "api_token"));
    assert!(refused.header("retry-after").is_some());
    world.stop().await;
}

/// A call under an idempotency key.
fn keyed(world: &World, key: &str, body: &Value) -> RequestBuilder {
    create(world, body).header("Idempotency-Key", key)
}

/// Planted bug that turns this red: answering a repeat from how the payment stands now.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_gives_the_same_answer_although_the_offer_has_moved_on() {
    let world = World::start().await;
    let body = products(&["core"]);
    let first = ask(keyed(&world, "first", &body)).await;
    // Nothing is begun for the second key: it is answered by the payment that is there.
    let joined = ask(keyed(&world, "joined", &body)).await;
    assert_eq!(intent(&joined), intent(&first));
    let more = ask(keyed(&world, "more", &products(&["core", "ad"]))).await;
    assert_eq!(intent(&more)["amount"], 8_820);
    core_costs(&world, 9_000).await;
    for (key, before) in [("first", &first), ("joined", &first)] {
        let again = ask(keyed(&world, key, &body)).await;
        assert_eq!(intent(&again), intent(before), "{key}");
    }
    let reordered =
        json!({"offer_oid": "10311080", "products": {"combined": ["ad", "core", "ad"]}});
    let again = ask(keyed(&world, "more", &reordered)).await;
    assert_eq!(intent(&again), intent(&more));

    for key in ["first", "joined", "more"] {
        let other = ask(keyed(&world, key, &products(&["ad", "home_emergency"]))).await;
        assert_eq!((other.status, fault(&other)), (409, "Idempotency-Key"));
    }
    assert_eq!(made_at_stripe(&world, "acme").await.len(), 1);
    world.stop().await;
}

/// Planted bug that turns this red: recording the intention without the claim of its key.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_calls_under_one_key_have_one_answer_whether_it_begins_a_payment_or_joins_one() {
    let world = World::start().await;
    let body = products(&["core"]);
    for key in ["begins", "joins"] {
        let answers = join_all((0..20).map(|_| ask(keyed(&world, key, &body)))).await;
        for answer in &answers {
            assert_eq!(intent(answer), intent(&answers[0]), "{key}");
        }
    }
    assert_eq!(made_at_stripe(&world, "acme").await.len(), 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_whose_outcome_was_not_known_is_answered_by_its_own_payment() {
    let world = World::start().await;
    let body = products(&["core"]);
    stripe_falls_silent_after(&world, "/v1/payment_intents").await;
    let silent = ask(keyed(&world, "k", &body)).await;
    assert_eq!((silent.status, fault(&silent)), (503, "payment_intent"));
    let known = ask(keyed(&world, "k", &body)).await;
    let again = ask(keyed(&world, "k", &body)).await;
    assert_eq!(intent(&again), intent(&known));
    let at_stripe = made_at_stripe(&world, "acme").await;
    assert_eq!(at_stripe.len(), 1);
    assert_eq!(at_stripe[0]["id"], intent(&known)["id"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_not_kept_under_its_key() {
    let world = World::start().await;
    publish(&world, "small", 29, None).await;
    let body = json!({"offer_oid": "small"});
    assert_eq!(ask(keyed(&world, "k", &body)).await.status, 422);
    let price = aggregates::catalogue::offer::NewPrice {
        group: "all".to_owned(),
        code: "only".to_owned(),
        price: aggregates::money::Money::new(30, aggregates::money::Currency::GBP),
    };
    let prices = vec![price];
    change(&world, "small", OfferCommand::Reprice { prices }).await;
    let answer = ask(keyed(&world, "k", &body)).await;
    assert_eq!(intent(&answer)["amount"], 30);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intent_on_its_way_is_shown_as_it_was_shown_before_2019() {
    let world = World::start().await;
    let body = products(&["core"]);
    let created = ask(create(&world, &body)).await;
    let id = intent(&created)["id"].clone();
    let declined = pay_at_stripe(&world, &id, "pm_card_chargeDeclined").await;
    assert_eq!(declined, 402);
    let after_decline = ask(create(&world, &body)).await;
    let shown = intent(&after_decline);
    assert_eq!(
        (&shown["id"], &shown["status"]),
        (&id, &json!("requires_source"))
    );
    assert_eq!(shown["last_payment_error"]["type"], "card_error");
    assert_eq!(shown["last_payment_error"]["code"], "card_declined");
    let charges = &shown["charges"];
    assert_eq!(charges["total_count"], 1, "{charges}");
    assert_eq!(charges["data"][0]["status"], "failed");
    assert_eq!(charges["data"][0]["payment_intent"], id);

    let three_d_secure = pay_at_stripe(&world, &id, "pm_card_threeDSecure2Required").await;
    assert_eq!(three_d_secure, 200);
    let waiting = ask(create(&world, &body)).await;
    let shown = intent(&waiting);
    assert_eq!(
        (&shown["id"], &shown["status"]),
        (&id, &json!("requires_source_action"))
    );
    assert!(shown["next_action"].is_object(), "{shown}");
    assert!(shown["next_source_action"]["type"].is_string(), "{shown}");
    world.stop().await;
}
