//! What the door of payment intents answers where all is well: shapes, echoes, repeats.

use crate::support::{PATIENCE, Setup, World, card_payment, send};
use crate::{Answer, ask, made_at_stripe, redacted, stripe_falls_silent_after};
use counterfoil::use_cases::Options;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

/// The document's example, word for word.
const EXAMPLE: &str = r#"{
"amount": 10,
"currency": "USD",
"confirm": true,
"payment_method_data": {
"type": "card",
"card": {
"exp_month": "12",
"exp_year": "2026",
"number": "4111111111111111",
"cvc": "123"
},
"billing_details": {
"address": {
"line1": "XX mansion",
"line2": "XX Town",
"city": "city",
"state": "California",
"country": "US",
"postal_code": "55555"
},
"name": "Tom"
}
},
"description": "product description",
"quantity": 2,
"metadata": {
"key1": "value1"
},
"merchant_user_id": "123456",
"merchant_order_id": "Order112344343",
"shipping": {
"address": {
"line1": "XX mansion",
"line2": "XX Town",
"city": "city",
"state": "California",
"country": "US",
"postal_code": "xxx xxx"
},
"name": "tom",
"phone": "xxxx"
},
"return_url": "https://your.website"
}"#;

/// The document's answer, in its order. Only cards are taken here, so the list of types is shorter.
const ANSWER: &str = concat!(
    r#"{"id":"<id>","object":"payment_intent","created":<created>,"currency":"USD","amount":10,"#,
    r#""status":"succeeded","description":"product description","metadata":{"key1":"value1"},"livemode":false,"#,
    r#""shipping":{"address":{"city":"city","country":"US","line1":"XX mansion","line2":"XX Town","#,
    r#""state":"California","postal_code":"xxx xxx"},"carrier":null,"name":"tom","phone":"xxxx","#,
    r#""tracking_number":null},"customer":null,"quantity":2,"invoice":null,"merchant_user_id":"123456","#,
    r#""merchant_order_id":"Order112344343","client_secret":"<secret>","last_payment_error":null,"#,
    r#""next_action":null,"payment_method_types":"[\"card\"]","receipt_email":null,"canceled_at":null,"#,
    r#""cancellation_reason":null,"confirmation_method":"automatic","#,
    r#""payment_method_options":"{\"card\":{\"request_three_d_secure\":\"auto\",\"capture_method\":\"automatic\"}}","#,
    r#""3ds_status":null,"amount_capturable":null,"return_url":"https://your.website","#,
    r#""payment_method":"<method>","amount_received":null,"capture_method":"automatic"}"#,
);

fn example(world: &World) -> reqwest::RequestBuilder {
    let request = world
        .post("/v1/payment_intents")
        .bearer_auth("sk_test_seedpay");
    request
        .header("Content-Type", "application/json")
        .body(EXAMPLE)
}

fn shape(answer: &Answer) -> String {
    let it = &answer.json;
    let secret = &it["client_secret"];
    let differing = [
        (secret, "<secret>"),
        (&it["id"], "<id>"),
        (&it["payment_method"], "<method>"),
        (&it["created"], "<created>"),
    ];
    redacted(&answer.text, &differing)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documents_example_answers_with_its_keys_types_and_order() {
    let world = World::start().await;
    let created = ask(example(&world)).await;
    assert_eq!(created.status, 200, "{}", created.text);
    assert_eq!(shape(&created), ANSWER);
    assert!(
        created.json["created"].as_i64().unwrap() > 1_671_261_323_000,
        "milliseconds"
    );
    assert!(created.json["id"].as_str().unwrap().starts_with("pi_"));
    assert_eq!(created.header("content-type"), Some("application/json"));

    let id = created.json["id"].as_str().unwrap();
    let read = ask(world
        .get(&format!("/v1/payment_intents/{id}"))
        .bearer_auth("sk_test_seedpay"))
    .await;
    assert_eq!(
        (read.status, read.text),
        (200, created.text),
        "reading shows the same"
    );
    let at_stripe = &made_at_stripe(&world, "seedpay").await[0];
    assert_eq!(
        (&at_stripe["id"], &at_stripe["currency"]),
        (&created.json["id"], &json!("usd"))
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intent_without_a_method_needs_one_and_one_with_a_method_needs_a_confirmation() {
    let world = World::start().await;
    let (status, bare) = send(world.pay(
        "/v1/payment_intents",
        json!({"amount": 1000, "currency": "eUr"}),
    ))
    .await;
    assert_eq!(
        (status, &bare["status"]),
        (200, &json!("requires_payment_method")),
        "{bare}"
    );
    assert_eq!(bare["currency"], "eUr", "as it was sent");
    for absent in [
        "shipping",
        "quantity",
        "description",
        "return_url",
        "payment_method",
        "merchant_user_id",
    ] {
        assert_eq!(bare[absent], Value::Null, "{absent}");
    }
    assert_eq!(bare["metadata"], json!({}));

    let mut body = card_payment(1000, "usd", "4242424242424242");
    let fields = body.as_object_mut().unwrap();
    fields.remove("confirm");
    fields.remove("return_url");
    fields["payment_method_data"]["card"]["exp_month"] = json!(12);
    let (status, ready) = send(world.pay("/v1/payment_intents", body)).await;
    assert_eq!(
        (status, &ready["status"]),
        (200, &json!("requires_confirmation")),
        "{ready}"
    );
    assert!(ready["payment_method"].as_str().unwrap().starts_with("pm_"));
    assert_eq!(made_at_stripe(&world, "acme").await.len(), 2);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_takes_numbers_and_truth_values_as_text_and_empty_values_unset() {
    let world = World::start().await;
    let metadata = json!({"text": "a", "number": 7, "truth": true, "empty": "", "none": null});
    let body =
        json!({"amount": 1000, "currency": "usd", "metadata": metadata, "description": "first"});
    let (_, created) = send(world.pay("/v1/payment_intents", body)).await;
    assert_eq!(
        created["metadata"],
        json!({"text": "a", "number": "7", "truth": "true"})
    );

    let path = format!("/v1/payment_intents/{}", created["id"].as_str().unwrap());
    for (change, metadata) in [
        (
            json!({"metadata": {"text": "", "more": "b"}}),
            json!({"number": "7", "truth": "true", "more": "b"}),
        ),
        (
            json!({"metadata": {}}),
            json!({"number": "7", "truth": "true", "more": "b"}),
        ),
        (json!({"metadata": ""}), json!({})),
        (json!({"metadata": {"again": "c"}}), json!({"again": "c"})),
        (json!({"metadata": null}), json!({})),
        // Planted bug that turns this red: waiting for the outcome of an update that asks for nothing.
        (json!({"metadata": ""}), json!({})),
        (json!({}), json!({})),
    ] {
        let (status, updated) = send(world.pay(&path, change.clone())).await;
        assert_eq!(
            (status, &updated["metadata"]),
            (200, &metadata),
            "{change}: {updated}"
        );
    }
    let at_stripe = &made_at_stripe(&world, "acme").await[0]["metadata"];
    let left: Vec<_> = at_stripe
        .as_object()
        .unwrap()
        .keys()
        .filter(|key| !key.starts_with("counterfoil_"))
        .collect();
    assert!(left.is_empty(), "{at_stripe}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_changes_what_it_names_here_and_at_stripe() {
    let world = World::start().await;
    let body = json!({"amount": 1000, "currency": "usd", "description": "first", "merchant_order_id": "o-1"});
    let (_, created) = send(world.pay("/v1/payment_intents", body)).await;
    let path = format!("/v1/payment_intents/{}", created["id"].as_str().unwrap());
    let shipping = json!({"name": "Tom", "address": {"city": "Berlin"}});
    // Planted bug that turns this red: recording an update that names only a person's data as no change at all.
    for change in [
        json!({"receipt_email": "tom@example.com"}),
        json!({"shipping": shipping}),
        json!({"amount": 1200, "currency": "USD", "quantity": 3, "merchant_user_id": "u-1"}),
        json!({"payment_method": "pm_card_visa"}),
        json!({"description": ""}),
    ] {
        let (status, updated) = send(world.pay(&path, change.clone())).await;
        assert_eq!(status, 200, "{change}: {updated}");
    }
    let (_, now) = send(world.get(&path).bearer_auth("sk_test_acme")).await;
    assert_eq!(now["receipt_email"], "tom@example.com");
    assert_eq!(now["shipping"]["address"]["city"], "Berlin");
    assert_eq!(
        (&now["amount"], &now["currency"], &now["quantity"]),
        (&json!(1200), &json!("USD"), &json!(3))
    );
    assert_eq!(
        (&now["merchant_user_id"], &now["merchant_order_id"]),
        (&json!("u-1"), &json!("o-1"))
    );
    assert_eq!(
        (&now["status"], &now["description"]),
        (&json!("requires_confirmation"), &Value::Null)
    );

    let at_stripe = &made_at_stripe(&world, "acme").await[0];
    assert_eq!(at_stripe["receipt_email"], "tom@example.com");
    assert_eq!(at_stripe["shipping"]["address"]["city"], "Berlin");
    assert_eq!(
        (&at_stripe["amount"], &at_stripe["description"]),
        (&json!(1200), &Value::Null)
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_may_still_change_once_the_money_was_taken() {
    // Planted bug that turns this red: sending the receipt e-mail along with every update, which Stripe then refuses.
    let world = World::start().await;
    let mut body = card_payment(1000, "usd", "4242424242424242");
    body["receipt_email"] = json!("tom@example.com");
    let (_, paid) = send(world.pay("/v1/payment_intents", body)).await;
    let path = format!("/v1/payment_intents/{}", paid["id"].as_str().unwrap());
    let (status, updated) = send(world.pay(
        &path,
        json!({"metadata": {"a": "b"}, "description": "later"}),
    ))
    .await;
    assert_eq!(
        (status, &updated["metadata"]),
        (200, &json!({"a": "b"})),
        "{updated}"
    );
    assert_eq!(
        (&updated["description"], &updated["receipt_email"]),
        (&json!("later"), &json!("tom@example.com"))
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_key_gives_the_first_answer_again_whatever_it_was() {
    let world = World::start().await;
    let keyed = |key: &str, body: &Value| {
        world
            .pay("/v1/payment_intents", body.clone())
            .header("Idempotency-Key", key)
    };
    let mut no_such_method = card_payment(1000, "usd", "4242424242424242");
    no_such_method
        .as_object_mut()
        .unwrap()
        .remove("payment_method_data");
    no_such_method["payment_method"] = json!("pm_nobodys");
    for (key, body, status) in [
        ("paid", card_payment(1000, "usd", "4242424242424242"), 200),
        (
            "declined",
            card_payment(1000, "usd", "4000000000000002"),
            402,
        ),
        ("refused", no_such_method, 400),
    ] {
        let first = ask(keyed(key, &body)).await;
        let again = ask(keyed(key, &body)).await;
        assert_eq!(
            (first.status, first.header("idempotent-replayed")),
            (status, None),
            "{}",
            first.text
        );
        assert_eq!(
            (again.status, again.header("idempotent-replayed")),
            (status, Some("true")),
            "{}",
            again.text
        );
        assert_eq!(again.text, first.text);
    }
    assert_eq!(
        made_at_stripe(&world, "acme").await.len(),
        2,
        "the refused one made none"
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_stands_for_one_request_in_which_neither_order_nor_security_code_count() {
    let world = World::start().await;
    let keyed = |path: &str, body: Value| world.pay(path, body).header("Idempotency-Key", "once");
    let body = card_payment(1000, "usd", "4242424242424242");
    let first = ask(keyed("/v1/payment_intents", body.clone())).await;
    // Planted bug that turns this red: a fingerprint of the bytes, which holds the CVC.
    let mut other_code = body.clone();
    other_code["payment_method_data"]["card"]["cvc"] = json!("999");
    assert_eq!(
        ask(keyed("/v1/payment_intents", other_code)).await.text,
        first.text
    );

    let mut other_amount = body.clone();
    other_amount["amount"] = json!(1001);
    let path = format!("/v1/payment_intents/{}", first.json["id"].as_str().unwrap());
    for (path, body) in [
        ("/v1/payment_intents", other_amount),
        (path.as_str(), json!({"description": "x"})),
    ] {
        let reused = ask(keyed(path, body)).await;
        assert_eq!(
            (reused.status, &reused.json["error"]["type"]),
            (400, &json!("idempotency_error")),
            "{}",
            reused.text
        );
    }

    // A validation failure keeps nothing, so the key is still free.
    let wrong = ask(world
        .pay("/v1/payment_intents", json!({"amount": 1}))
        .header("Idempotency-Key", "later"))
    .await;
    assert_eq!(wrong.status, 400);
    let right = ask(world
        .pay("/v1/payment_intents", body)
        .header("Idempotency-Key", "later"))
    .await;
    assert_eq!(
        (right.status, right.header("idempotent-replayed")),
        (200, None),
        "{}",
        right.text
    );
    // Another merchant's key of the same name is another key.
    let theirs = world
        .post("/v1/payment_intents")
        .bearer_auth("sk_test_rival")
        .header("Idempotency-Key", "once");
    assert_eq!(
        ask(theirs.json(&json!({"amount": 500, "currency": "eur"})))
            .await
            .status,
        200
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_at_stripe_is_said_and_the_same_request_goes_on_with_the_same_payment() {
    // Planted bug that turns this red: answering a decline or a success that nobody knows of, or creating anew.
    let world = World::start().await;
    let create = || {
        let request = world.pay(
            "/v1/payment_intents",
            card_payment(1000, "usd", "4242424242424242"),
        );
        request.header("Idempotency-Key", "silent")
    };
    stripe_falls_silent_after(&world, "/v1/payment_intents").await;
    let silent = ask(create()).await;
    assert_eq!(
        (silent.status, &silent.json["error"]["type"]),
        (500, &json!("api_error")),
        "{}",
        silent.text
    );
    assert_eq!(silent.header("stripe-should-retry"), Some("true"));
    assert!(silent.header("retry-after").is_some());

    let known = ask(create()).await;
    assert_eq!(
        (known.status, &known.json["status"]),
        (200, &json!("succeeded")),
        "{}",
        known.text
    );
    assert_eq!(made_at_stripe(&world, "acme").await.len(), 1);

    let refund = json!({"payment_intent": known.json["id"]});
    let again = || {
        world
            .pay("/v1/refunds", refund.clone())
            .header("Idempotency-Key", "silent-refund")
    };
    stripe_falls_silent_after(&world, "/v1/refunds").await;
    assert_eq!(ask(again()).await.status, 500);
    let refunded = ask(again()).await;
    assert_eq!(
        (refunded.status, &refunded.json["amount"]),
        (200, &json!(1000)),
        "{}",
        refunded.text
    );
    let refunds = ask(world.stripe(Method::GET, "/v1/refunds")).await;
    assert_eq!(
        refunds.json["data"].as_array().unwrap().len(),
        1,
        "{}",
        refunds.text
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_of_what_is_still_running_is_told_so() {
    let options = Options {
        answer_within: PATIENCE,
        join_within: Duration::from_millis(50),
        ..Setup::default().options
    };
    let world = World::start_with(Setup {
        options,
        ..Setup::default()
    })
    .await;
    let create = || {
        let request = world.pay(
            "/v1/payment_intents",
            json!({"amount": 1000, "currency": "usd"}),
        );
        ask(request.header("Idempotency-Key", "running"))
    };
    let held = json!({"kind": "hold_before", "method": "POST", "path_prefix": "/v1/payment_intents", "times": 1});
    world.sim(Method::POST, "faults", Some(held)).await;
    let (first, ()) = tokio::join!(create(), async {
        world.wait_until_held(1).await;
        let repeat = create().await;
        assert_eq!(
            (repeat.status, &repeat.json["error"]["code"]),
            (409, &json!("idempotency_key_in_use"))
        );
        assert!(repeat.header("retry-after").is_some(), "{}", repeat.text);
        world.sim(Method::POST, "faults/release", None).await;
    });
    assert_eq!(first.status, 200, "{}", first.text);
    assert_eq!(create().await.text, first.text);
    assert_eq!(made_at_stripe(&world, "acme").await.len(), 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_is_answered_in_its_own_shape_and_read_again() {
    let world = World::start().await;
    let (_, paid) = send(world.pay(
        "/v1/payment_intents",
        card_payment(1000, "USD", "4242424242424242"),
    ))
    .await;
    let body = json!({"payment_intent": paid["id"], "amount": 400, "reason": "duplicate", "metadata": {"a": "b"}});
    let made = ask(world.pay("/v1/refunds", body)).await;
    let it = &made.json;
    let expected = concat!(
        r#"{"id":"<id>","object":"refund","amount":400,"currency":"USD","payment_intent":"<intent>","#,
        r#""charge":"<charge>","status":"succeeded","reason":"duplicate","metadata":{"a":"b"},"failure_reason":null}"#,
    );
    let differing = [
        (&it["id"], "<id>"),
        (&it["payment_intent"], "<intent>"),
        (&it["charge"], "<charge>"),
    ];
    assert_eq!(redacted(&made.text, &differing), expected);
    assert_eq!(it["payment_intent"], paid["id"]);

    let path = format!("/v1/refunds/{}", it["id"].as_str().unwrap());
    let read = ask(world.get(&path).bearer_auth("sk_test_acme")).await;
    assert_eq!((read.status, read.text), (200, made.text));
    let theirs = ask(world.get(&path).bearer_auth("sk_test_rival")).await;
    assert_eq!(
        (theirs.status, &theirs.json["error"]["code"]),
        (404, &json!("resource_missing")),
        "{}",
        theirs.text
    );

    // Without an amount: all that is left. Then there is nothing left.
    let rest = ask(world.pay("/v1/refunds", json!({"payment_intent": paid["id"]}))).await;
    assert_eq!(
        (rest.status, &rest.json["amount"]),
        (200, &json!(600)),
        "{}",
        rest.text
    );
    let none = ask(world.pay("/v1/refunds", json!({"payment_intent": paid["id"]}))).await;
    assert_eq!(
        (none.status, &none.json["error"]["code"]),
        (400, &json!("charge_already_refunded")),
        "{}",
        none.text
    );
    world.stop().await;
}
