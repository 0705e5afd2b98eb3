//! What the door of Stripe payments refuses: by whom, in what form, and word for word the same for what is another's.

use crate::stripe_payments::{
    EXAMPLE, PATH, call, call_as, change, create, document, id, read, send,
};
use crate::support::World;
use crate::{ask, put_key};
use counterfoil::store::{KeyKind, Scope};
use reqwest::Method;
use serde_json::{Value, json};

#[track_caller]
fn code(answer: &crate::Answer) -> (u16, &str) {
    let error = &answer.json["errors"][0];
    assert_eq!(
        error["status"],
        answer.status.to_string(),
        "{}",
        answer.text
    );
    assert!(error["title"].is_string() && error["detail"].is_string());
    assert_eq!(
        answer.json["meta"]["trace_id"].as_str().map(str::len),
        Some(64)
    );
    (answer.status, error["code"].as_str().unwrap())
}

/// Planted bug: looking for another merchant's without its name.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_rivals_is_answered_as_what_is_not_there() {
    let world = World::start().await;
    let own = id(&create(&world, "ABCRtyUpBa", json!({})).await);
    let rivals = send(
        call_as(&world, "cl-rival", Method::POST, PATH).body(document("ZZCRtyUpBz", json!({}))),
    )
    .await;
    let rivals = id(&rivals);
    let untraced = |answer: &crate::Answer| {
        let trace = answer.json["meta"]["trace_id"].as_str().unwrap();
        (answer.status, answer.text.replace(trace, ""))
    };
    let under = |id: &str| {
        [
            "",
            "/order",
            "/payment_gateway",
            "/versions",
            "/event_stores",
            "/relationships/order",
        ]
        .map(|rest| format!("{PATH}/{id}{rest}"))
    };
    for (theirs, nobodys) in under(&rivals).iter().zip(under("nobodyshas")) {
        let theirs = send(call(&world, Method::GET, theirs)).await;
        let nobodys = send(call(&world, Method::GET, &nobodys)).await;
        assert_eq!(code(&theirs), (404, "RECORD_NOT_FOUND"));
        assert_eq!(untraced(&theirs), untraced(&nobodys));
    }
    assert_eq!(
        code(&change(&world, &rivals, json!({"reference": "x"})).await),
        (404, "RECORD_NOT_FOUND")
    );
    let removed = send(call(&world, Method::DELETE, &format!("{PATH}/{rivals}"))).await;
    assert_eq!(code(&removed), (404, "RECORD_NOT_FOUND"));
    let theirs = create(&world, "ZZCRtyUpBz", json!({})).await;
    let nobodys = create(&world, "nobodyshas", json!({})).await;
    assert_eq!(code(&theirs), (404, "RECORD_NOT_FOUND"));
    assert_eq!(untraced(&theirs), untraced(&nobodys));
    let list = send(call(&world, Method::GET, PATH)).await;
    assert_eq!(list.json["meta"]["record_count"], 1);
    assert_eq!(list.json["data"][0]["id"], own);
    for id in ["ZZCRtyUpBz", "nobodyshas"] {
        let order = send(call(&world, Method::GET, &format!("/api/orders/{id}"))).await;
        assert_eq!(code(&order), (404, "RECORD_NOT_FOUND"));
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_missing_wrong_anothers_or_too_small_is_refused_everywhere() {
    let world = World::start().await;
    put_key(
        &world,
        "acme",
        KeyKind::CommerceLayer,
        "cl-reads",
        &[Scope::PaymentsRead],
    )
    .await;
    let made = id(&create(&world, "ABCRtyUpBa", json!({})).await);
    let one = format!("{PATH}/{made}");
    for (method, path) in [
        (Method::GET, PATH),
        (Method::POST, PATH),
        (Method::GET, &one),
        (Method::PATCH, &one),
        (Method::DELETE, &one),
        (Method::GET, "/api/orders/ABCRtyUpBa"),
    ] {
        let none = send(world.request(method.clone(), path)).await;
        assert_eq!(code(&none), (401, "UNAUTHORIZED"));
        assert_eq!(none.header("www-authenticate"), Some("Bearer"));
        for token in ["nobody", "sk_test_acme", "customer-9", "admin-acme"] {
            let wrong = send(call_as(&world, token, method.clone(), path)).await;
            assert_eq!(code(&wrong), (401, "INVALID_TOKEN"), "{token}");
        }
        let small = send(call_as(&world, "cl-reads", method.clone(), path).body(EXAMPLE)).await;
        if method == Method::GET {
            assert_eq!(small.status, 200, "{}", small.text);
        } else {
            assert_eq!(code(&small), (403, "FORBIDDEN"));
        }
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_document_has_its_code_and_nothing_is_made() {
    let world = World::start().await;
    let events = world.events().await;
    let with = |patch: Value| {
        let mut document: Value = serde_json::from_str(EXAMPLE).unwrap();
        for (pointer, value) in patch.as_object().unwrap() {
            let (parent, name) = pointer.rsplit_once('/').unwrap();
            document.pointer_mut(parent).unwrap()[name] = value.clone();
        }
        document.to_string()
    };
    let at = |name: &str, value: Value| with(json!({format!("/data/attributes/{name}"): value}));
    let deep = format!("{{\"data\":{}{}}}", "[".repeat(60), "]".repeat(60));
    for (body, status, expected) in [
        (String::new(), 400, "BAD_REQUEST"),
        ("{".to_owned(), 400, "BAD_REQUEST"),
        ("[]".to_owned(), 400, "BAD_REQUEST"),
        ("{\"data\": []}".to_owned(), 400, "BAD_REQUEST"),
        (deep, 400, "BAD_REQUEST"),
        (with(json!({"/data/type": "orders"})), 409, "CONFLICT"),
        (with(json!({"/data/type": null})), 400, "BAD_REQUEST"),
        (with(json!({"/data/id": "XAyRWNUzyN"})), 403, "FORBIDDEN"),
        (with(json!({"/data/attributes": []})), 400, "BAD_REQUEST"),
        (at("charge_id", json!("ch_1")), 400, "PARAM_NOT_ALLOWED"),
        (
            at("mismatched_amounts", json!(true)),
            400,
            "PARAM_NOT_ALLOWED",
        ),
        (at("_refresh", json!(true)), 400, "PARAM_NOT_ALLOWED"),
        (
            at("4242424242424242", json!(true)),
            400,
            "PARAM_NOT_ALLOWED",
        ),
        (at("options", json!([])), 422, "VALIDATION_ERROR"),
        (at("options", json!({"amount": 1})), 422, "VALIDATION_ERROR"),
        (at("metadata", json!("x")), 422, "VALIDATION_ERROR"),
        (
            at("metadata", json!({"a": "4242 4242 4242 4242"})),
            422,
            "VALIDATION_ERROR",
        ),
        (
            at("metadata", json!({"a": "\u{0}"})),
            422,
            "VALIDATION_ERROR",
        ),
        (
            at("metadata", json!({"a": "x".repeat(20_000)})),
            422,
            "VALIDATION_ERROR",
        ),
        (at("reference", json!(1)), 422, "VALIDATION_ERROR"),
        (
            at("reference", json!("x".repeat(256))),
            422,
            "VALIDATION_ERROR",
        ),
        (
            at("return_url", json!("javascript:alert(1)")),
            422,
            "VALIDATION_ERROR",
        ),
        (
            at("receipt_email", json!("nobody")),
            422,
            "VALIDATION_ERROR",
        ),
        (at("stripe_id", json!("../x")), 422, "VALIDATION_ERROR"),
        (
            with(json!({"/data/relationships": {}})),
            422,
            "VALIDATION_ERROR",
        ),
        (
            with(json!({"/data/relationships/order/data": null})),
            422,
            "VALIDATION_ERROR",
        ),
        (
            with(json!({"/data/relationships/order/data/type": "skus"})),
            422,
            "VALIDATION_ERROR",
        ),
        (
            with(json!({"/data/relationships/customer": {}})),
            400,
            "PARAM_NOT_ALLOWED",
        ),
    ] {
        let refused = send(call(&world, Method::POST, PATH).body(body.clone())).await;
        assert_eq!(code(&refused), (status, expected), "{body}");
        assert!(!refused.text.contains("4242"));
    }
    let large = call(&world, Method::POST, PATH).body("x".repeat(1024 * 1024 + 1));
    assert_eq!(code(&send(large).await), (413, "PAYLOAD_TOO_LARGE"));
    assert_eq!(world.events().await, events);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_of_the_resource_of_its_address_and_of_what_may_be_changed() {
    let world = World::start().await;
    let made = id(&create(&world, "ABCRtyUpBa", json!({})).await);
    let patch = |data: Value| {
        let request = call(&world, Method::PATCH, &format!("{PATH}/{made}"));
        send(request.body(json!({"data": data}).to_string()))
    };
    let other = json!({"order": {"data": {"type": "orders", "id": "other"}}});
    let own = json!({"order": {"data": {"type": "orders", "id": "ABCRtyUpBa"}}});
    for (data, status, expected) in [
        (
            json!({"type": "stripe_payments"}),
            400,
            "KEY_NOT_INCLUDED_IN_URL",
        ),
        (
            json!({"type": "stripe_payments", "id": "other"}),
            409,
            "CONFLICT",
        ),
        (json!({"type": "orders", "id": made}), 409, "CONFLICT"),
        (
            json!({"type": "stripe_payments", "id": made, "attributes": {"stripe_id": "pi_1"}}),
            400,
            "PARAM_NOT_ALLOWED",
        ),
        (
            json!({"type": "stripe_payments", "id": made, "attributes": {"client_secret": "x"}}),
            400,
            "PARAM_NOT_ALLOWED",
        ),
        (
            json!({"type": "stripe_payments", "id": made, "attributes": {"_update": "yes"}}),
            422,
            "VALIDATION_ERROR",
        ),
        (
            json!({"type": "stripe_payments", "id": made, "attributes": {"options": {"customer": "cus_nobody"}}}),
            422,
            "VALIDATION_ERROR",
        ),
        (
            json!({"type": "stripe_payments", "id": made, "relationships": other}),
            403,
            "FORBIDDEN",
        ),
    ] {
        let refused = patch(data.clone()).await;
        assert_eq!(code(&refused), (status, expected), "{data}");
    }
    let same = patch(json!({"type": "stripe_payments", "id": made, "relationships": own})).await;
    assert_eq!(same.status, 200, "{}", same.text);
    let linked = call(
        &world,
        Method::PATCH,
        &format!("{PATH}/{made}/relationships/order"),
    );
    assert_eq!(
        code(&send(linked.body("{\"data\":null}")).await),
        (403, "FORBIDDEN")
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn media_types_and_methods_are_held_to_the_specification() {
    let world = World::start().await;
    let post = |content_type: &str, accept: &str| {
        let request = world.post(PATH).bearer_auth("cl-acme").body(EXAMPLE);
        let request = request.header("Content-Type", content_type.to_owned());
        send(request.header("Accept", accept.to_owned()))
    };
    let plain = "application/vnd.api+json";
    for content_type in [
        "application/json",
        "application/vnd.api+json; charset=utf-8",
        "text/plain",
    ] {
        let refused = post(content_type, plain).await;
        assert_eq!(
            code(&refused),
            (415, "UNSUPPORTED_MEDIA_TYPE"),
            "{content_type}"
        );
    }
    let refused = post(plain, "application/vnd.api+json; charset=utf-8").await;
    assert_eq!(code(&refused), (406, "NOT_ACCEPTABLE"));
    assert_eq!(post(plain, "*/*").await.status, 201);
    for (method, path, allowed) in [
        (Method::PUT, PATH, "GET,HEAD,POST"),
        (
            Method::POST,
            "/api/stripe_payments/XAyRWNUzyN",
            "GET,HEAD,PATCH,DELETE",
        ),
        (Method::DELETE, "/api/orders/ABCRtyUpBa", "GET,HEAD"),
    ] {
        let wrong = send(call(&world, method, path)).await;
        assert_eq!(code(&wrong), (405, "METHOD_NOT_ALLOWED"));
        assert_eq!(wrong.header("allow"), Some(allowed));
    }
    for path in [
        "/api/stripe_payments/x/y/z",
        "/api/stripe_payments/%ff",
        "/api/orders/a/b",
    ] {
        let nothing = send(call(&world, Method::GET, path)).await;
        assert_eq!(code(&nothing), (404, "RECORD_NOT_FOUND"), "{path}");
    }
    let head = ask(call(&world, Method::HEAD, PATH)).await;
    assert_eq!((head.status, head.text.as_str()), (200, ""));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paid_order_takes_no_other_payment_and_a_small_one_none_at_all() {
    let world = World::start().await;
    crate::stripe_payments::place(&world, "TooSmall10", 10).await;
    let small = create(&world, "TooSmall10", json!({})).await;
    assert_eq!(code(&small), (422, "VALIDATION_ERROR"));
    assert_eq!(
        small.json["errors"][0]["source"]["pointer"],
        "/data/relationships/order"
    );
    let made = create(&world, "ABCRtyUpBa", json!({})).await;
    let intent = crate::stripe_payments::attribute(&made, "stripe_id")
        .as_str()
        .unwrap();
    let path = format!("/v1/payment_intents/{intent}/confirm");
    let confirm = json!({"payment_method": "pm_card_visa"});
    let (status, said) = crate::support::send(world.pay(&path, confirm)).await;
    assert_eq!(status, 200, "{said}");
    let refused = create(&world, "ABCRtyUpBa", json!({})).await;
    assert_eq!(code(&refused), (422, "VALIDATION_ERROR"));
    assert_eq!(read(&world, &id(&made)).await.status, 200);
    let list = send(call(&world, Method::GET, &format!("{PATH}?include=order"))).await;
    assert_eq!(
        list.json["included"][0]["attributes"]["payment_status"],
        "paid"
    );
    world.stop().await;
}
