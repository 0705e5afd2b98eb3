//! Who may use the door of payment intents, what it sees of others, and what it says to requests that are none of its own.

use crate::support::{World, card_payment, send};
use crate::{ask, put_key};
use counterfoil::store::{KeyKind, Scope};
use reqwest::Method;
use serde_json::{Value, json};

const CARD: &str = "4242424242424242";

#[tokio::test(flavor = "multi_thread")]
async fn keys_decide_who_may_do_what() {
    let world = World::start().await;
    let (_, paid) = send(world.pay("/v1/payment_intents", card_payment(1000, "usd", CARD))).await;
    let path = format!("/v1/payment_intents/{}", paid["id"].as_str().unwrap());
    put_key(
        &world,
        "acme",
        KeyKind::StripeSecret,
        "sk_test_reader",
        &[Scope::PaymentsRead],
    )
    .await;
    put_key(
        &world,
        "acme",
        KeyKind::StripeSecret,
        "sk_test_gone",
        &[Scope::PaymentsRead, Scope::PaymentsWrite],
    )
    .await;
    assert!(
        world
            .app()
            .store()
            .keys
            .revoke("key_sk_test_gone")
            .await
            .unwrap()
    );

    let none = ask(world.get(&path)).await;
    assert_eq!(
        (none.status, &none.json["error"]["type"]),
        (401, &json!("invalid_request_error")),
        "{}",
        none.text
    );
    assert!(none.header("www-authenticate").is_some());
    for (key, read, write) in [
        ("sk_test_acme", 200, 200),
        ("sk_test_reader", 200, 403),
        // It may read an intent, with the client secret.
        ("pk_test_acme", 400, 401),
        ("sk_test_nobody", 401, 401),
        ("sk_test_gone", 401, 401),
        // Keys of other doors.
        ("123456789", 401, 401),
        ("customer-9", 401, 401),
        ("admin-acme", 401, 401),
        ("cl-acme", 401, 401),
    ] {
        for basic in [false, true] {
            let sign = |request: reqwest::RequestBuilder| match basic {
                true => request.basic_auth(key, None::<&str>),
                false => request.bearer_auth(key),
            };
            let got = ask(sign(world.get(&path))).await;
            let posted = ask(sign(world.post(&path)).json(&json!({}))).await;
            assert_eq!(
                (got.status, posted.status),
                (read, write),
                "{key}: {} {}",
                got.text,
                posted.text
            );
            assert!(
                !got.text.contains(key) && !posted.text.contains(key),
                "a key is never repeated"
            );
        }
    }
    for header in ["Bearer", "Basic !!!", "Digest x", "Bearer a b", ""] {
        assert_eq!(
            ask(world.get(&path).header("Authorization", header))
                .await
                .status,
            401,
            "{header:?}"
        );
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_merchants_payment_does_not_exist_word_for_word() {
    let world = World::start().await;
    let (_, paid) = send(world.pay("/v1/payment_intents", card_payment(1000, "usd", CARD))).await;
    let theirs = paid["id"].as_str().unwrap();
    let before = world.events().await;
    let as_rival = |method: Method, path: String, body: &Value| {
        let request = world.request(method, &path).bearer_auth("sk_test_rival");
        if body.is_null() {
            request
        } else {
            request.json(body)
        }
    };
    for (method, step, body) in [
        (Method::GET, "", Value::Null),
        (Method::POST, "", json!({"description": "mine now"})),
        (
            Method::POST,
            "/confirm",
            json!({"payment_method": "pm_card_visa"}),
        ),
        (Method::POST, "/capture", json!({})),
        (Method::POST, "/cancel", json!({})),
    ] {
        let of = |id: &str| {
            as_rival(
                method.clone(),
                format!("/v1/payment_intents/{id}{step}"),
                &body,
            )
        };
        let (foreign, none) = (ask(of(theirs)).await, ask(of("pi_nobodys")).await);
        assert_eq!(foreign.status, 404, "{}", foreign.text);
        assert_eq!(
            foreign.text.replace(theirs, "ID"),
            none.text.replace("pi_nobodys", "ID")
        );
    }
    let refund = |id: &str| {
        as_rival(
            Method::POST,
            "/v1/refunds".to_owned(),
            &json!({"payment_intent": id}),
        )
    };
    let (foreign, none) = (ask(refund(theirs)).await, ask(refund("pi_nobodys")).await);
    assert_eq!(foreign.status, 404, "{}", foreign.text);
    assert_eq!(
        foreign.text.replace(theirs, "ID"),
        none.text.replace("pi_nobodys", "ID")
    );
    assert_eq!(world.events().await, before);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_no_parameters_are_refused_in_stripes_form() {
    let world = World::start().await;
    let send_body = |body: Vec<u8>| {
        let request = world
            .post("/v1/payment_intents")
            .bearer_auth("sk_test_acme");
        ask(request
            .header("Content-Type", "application/json")
            .body(body))
    };
    let deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
    for (body, status) in [
        (vec![b' '; 2 * 1024 * 1024], 413),
        (b"{\"amount\":".to_vec(), 400),
        (b"amount=1000&currency=usd".to_vec(), 400),
        (b"[]".to_vec(), 400),
        (b"null".to_vec(), 400),
        (b"\"4242424242424242\"".to_vec(), 400),
        (b"{\"a\":\"\xff\"}".to_vec(), 400),
        (deep.into_bytes(), 400),
        (b"".to_vec(), 400),
    ] {
        let answer = send_body(body).await;
        assert_eq!(answer.status, status, "{}", answer.text);
        assert!(answer.is_clean_error(), "{}", answer.text);
    }
    let query = ask(world
        .post("/v1/payment_intents?amount=1")
        .bearer_auth("sk_test_acme")
        .body("{}"))
    .await;
    assert_eq!(
        (query.status, &query.json["error"]["code"]),
        (400, &json!("parameter_unknown")),
        "{}",
        query.text
    );
    world.stop().await;
}

/// Red when the header is ignored: the merchant's own account would be charged in the other's stead.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_acts_for_another_account() {
    let world = World::start().await;
    let before = world.events().await;
    let request = world.pay(
        "/v1/payment_intents",
        json!({"amount": 1000, "currency": "usd"}),
    );
    let answer = ask(request.header("Stripe-Account", "acct_another")).await;
    assert_eq!(
        (answer.status, &answer.json["error"]["code"]),
        (403, &json!("account_invalid")),
        "{}",
        answer.text
    );
    assert_eq!(world.events().await, before);
    world.stop().await;
}

/// Red when the rendering is chosen by the path alone: a form, or a version header, gets Stripe's shapes.
#[tokio::test(flavor = "multi_thread")]
async fn stripes_own_clients_are_answered_in_stripes_shapes_and_nobody_else() {
    let world = World::start().await;
    let body = json!({"amount": 1000, "currency": "usd"});
    let form = world
        .post("/v1/payment_intents")
        .bearer_auth("sk_test_acme")
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body("amount=1000&currency=usd");
    let versioned = world
        .pay("/v1/payment_intents", body.clone())
        .header("Stripe-Version", "2023-08-16");
    for request in [form, versioned] {
        let answer = ask(request).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert!(
            answer.json["payment_method_types"].is_array(),
            "{}",
            answer.text
        );
        assert!(answer.json.get("3ds_status").is_none(), "{}", answer.text);
    }
    let seed = ask(world.pay("/v1/payment_intents", body)).await;
    assert!(
        seed.json["payment_method_types"].is_string(),
        "{}",
        seed.text
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_paths_methods_and_keys_have_their_answers() {
    let world = World::start().await;
    for path in [
        "/v1/nothing",
        "/v1/payment_intents/",
        "/v1/payment_intents/pi_1/explode",
        "/v1/invoices",
    ] {
        let answer = ask(world.get(path).bearer_auth("sk_test_acme")).await;
        assert_eq!(
            (answer.status, &answer.json["error"]["type"]),
            (404, &json!("invalid_request_error")),
            "{path}"
        );
    }
    for (method, path, allow) in [
        (Method::DELETE, "/v1/payment_intents", "GET,HEAD,POST"),
        (Method::PUT, "/v1/payment_intents/pi_1", "GET,HEAD,POST"),
        (Method::GET, "/v1/payment_intents/pi_1/capture", "POST"),
        (Method::DELETE, "/v1/refunds/re_1", "GET,HEAD,POST"),
    ] {
        let answer = ask(world.request(method, path).bearer_auth("sk_test_acme")).await;
        assert_eq!(
            (answer.status, answer.header("allow")),
            (405, Some(allow)),
            "{path}: {}",
            answer.text
        );
        assert!(answer.is_clean_error(), "{}", answer.text);
    }
    for id in [
        "pi_%00",
        "%ff",
        "a%2Fb",
        &"x".repeat(5000),
        "%F0%9F%98%80",
        "pi_nobodys",
    ] {
        let answer = ask(world
            .get(&format!("/v1/payment_intents/{id}"))
            .bearer_auth("sk_test_acme"))
        .await;
        assert_eq!(
            (answer.status, &answer.json["error"]["code"]),
            (404, &json!("resource_missing")),
            "{id:.20}"
        );
        let answer = ask(world
            .get(&format!("/v1/refunds/{id}"))
            .bearer_auth("sk_test_acme"))
        .await;
        assert_eq!(answer.status, 404, "{id:.20}");
    }
    for key in ["", &"k".repeat(256)] {
        let request = world.pay(
            "/v1/payment_intents",
            json!({"amount": 1000, "currency": "usd"}),
        );
        let answer = ask(request.header("Idempotency-Key", key)).await;
        assert_eq!(answer.status, 400, "{}", answer.text);
    }
    let request = world.pay(
        "/v1/payment_intents",
        json!({"amount": 1000, "currency": "usd"}),
    );
    assert_eq!(
        ask(request.header("Idempotency-Key", "k".repeat(255)))
            .await
            .status,
        200
    );
    world.stop().await;
}
