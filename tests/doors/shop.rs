//! The shop's door.

use crate::support::{World, send};
use crate::{Answer, ask, made_at_stripe, put_key, redacted, stripe_falls_silent_after};
use aggregates::ids::CommandId;
use aggregates::metadata::Actor;
use aggregates::money::{Currency, Money};
use aggregates::order::event::Line;
use counterfoil::personal::Personal;
use counterfoil::store::{Context, KeyKind, Scope};
use counterfoil::use_cases::PlaceOrder;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

const CREATE: &str = "/api/v1/shop/orders/9/payment-intent";
const MARK: &str = "/api/v1/shop/orders/9/payment";

/// Places an order of acme's for customer-9.
async fn place(world: &World, reference: &str, lines: Vec<Line>) {
    let store = world.app().store();
    let merchant = store
        .keys
        .merchant(&"acme".parse().unwrap())
        .await
        .unwrap()
        .unwrap();
    let command = store.ids.uuid();
    let context = Context {
        actor: Actor {
            name: "test".to_owned(),
            key_id: None,
            door: "test".to_owned(),
        },
        command_id: CommandId::from_uuid(command),
        correlation_id: command,
        causation_id: None,
        reason: None,
        claimed_at: None,
    };
    let order = PlaceOrder {
        source: "shop",
        reference: reference.to_owned(),
        number: None,
        customer: Some("customer-9".to_owned()),
        tax: Money::zero(lines[0].unit.currency()),
        lines,
        personal: Personal::default(),
    };
    world
        .app()
        .place_order(&merchant, &context, order)
        .await
        .unwrap();
}

fn line(name: &str, unit: i64, quantity: u32, currency: Currency) -> Line {
    Line {
        name: name.to_owned(),
        unit: Money::new(unit, currency),
        quantity,
        description: String::new(),
    }
}

fn create(world: &World, reference: &str) -> RequestBuilder {
    let request = world.post(&format!("/api/v1/shop/orders/{reference}/payment-intent"));
    request
        .header("Authorization", "Bearer customer-9")
        .header("X-API-Key", "123456789")
}

/// The document's answer.
const ANSWER: &str = concat!(
    r#"{"message":"Payment intent created successfully","data":{"id":"<id>","client_secret":"<secret>","#,
    r#""amount":"112.00","currency":"usd","status":"<status>","line_items":[{"name":"Main product 2","#,
    r#""amount":5600,"currency":"usd","quantity":2,"description":""}]}}"#,
);

fn shape(answer: &Answer) -> String {
    let data = &answer.json["data"];
    redacted(
        &answer.text,
        &[
            (&data["client_secret"], "<secret>"),
            (&data["id"], "<id>"),
            (&data["status"], "<status>"),
        ],
    )
}

async fn pay_at_stripe(world: &World, intent: &Value) {
    let path = format!("/v1/payment_intents/{}/confirm", intent.as_str().unwrap());
    let confirmed = world
        .stripe(Method::POST, &path)
        .json(&json!({"payment_method": "pm_card_visa"}));
    assert_eq!(send(confirmed).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documents_examples_answer_with_their_keys_types_and_order() {
    let world = World::start().await;
    let created = ask(world.shop_create()).await;
    assert_eq!(created.status, 200, "{}", created.text);
    assert_eq!(shape(&created), ANSWER);
    assert_eq!(created.json["data"]["status"], "requires_payment_method");
    assert_eq!(
        ask(world.shop_create()).await.text,
        created.text,
        "asking again changes nothing"
    );

    pay_at_stripe(&world, &created.json["data"]["id"]).await;
    let paid = ask(world.shop_paid()).await;
    assert_eq!(paid.status, 200, "{}", paid.text);
    assert_eq!(shape(&paid), ANSWER);
    assert_eq!(paid.json["data"]["status"], "succeeded", "the true status");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stripe_is_shown_the_order_and_as_many_lines_as_it_takes() {
    let world = World::start().await;
    send(world.shop_create()).await;
    let metadata = &made_at_stripe(&world, "acme").await[0]["metadata"];
    assert_eq!(
        (&metadata["order_id"], &metadata["order_number"]),
        (&json!("9"), &json!("ORD-20250331-5XZF"))
    );
    let lines = r#"[{"name":"Main product 2","amount":5600,"currency":"usd","quantity":2,"description":""}]"#;
    assert_eq!(metadata["line_items"], lines);

    place(
        &world,
        "many",
        (0..40)
            .map(|n| line(&format!("Item {n} öä"), 100, 1, Currency::EUR))
            .collect(),
    )
    .await;
    let (status, created) = send(create(&world, "many")).await;
    assert_eq!(
        (status, &created["data"]["amount"]),
        (200, &json!("40.00")),
        "{created}"
    );
    assert_eq!(
        created["data"]["line_items"].as_array().unwrap().len(),
        40,
        "all of them in the answer"
    );
    let many = &made_at_stripe(&world, "acme").await[0];
    assert_eq!(many["description"], "Payment for Order #many");
    let text = many["metadata"]["line_items"].as_str().unwrap();
    assert!(text.chars().count() <= 500, "{text}");
    let shown: Vec<Value> = serde_json::from_str(text).unwrap();
    assert!(shown.len() > 3 && shown[0]["name"] == "Item 0 öä", "{text}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_amount_is_written_with_the_places_of_its_currency() {
    let world = World::start().await;
    for (reference, unit, currency, amount) in [
        ("yen", 5600, Currency::JPY, "11200"),
        ("dinar", 5610, Currency::KWD, "11.220"),
        ("euro", 55, Currency::EUR, "1.10"),
    ] {
        place(&world, reference, vec![line("A thing", unit, 2, currency)]).await;
        let (status, created) = send(create(&world, reference)).await;
        assert_eq!(
            (status, &created["data"]["amount"]),
            (200, &json!(amount)),
            "{created}"
        );
        assert_eq!(
            created["data"]["line_items"][0]["amount"], unit,
            "minor units"
        );
        assert_eq!(created["data"]["currency"], currency.code());
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_keys_are_needed_to_create_and_the_shops_alone_to_mark_as_paid() {
    let world = World::start().await;
    put_key(
        &world,
        "acme",
        KeyKind::Shop,
        "shop-reader",
        &[Scope::PaymentsRead],
    )
    .await;
    put_key(
        &world,
        "acme",
        KeyKind::Shop,
        "shop-gone",
        &[Scope::PaymentsWrite],
    )
    .await;
    assert!(
        world
            .app()
            .store()
            .keys
            .revoke("key_shop-gone")
            .await
            .unwrap()
    );
    let before = world.events().await;
    for (path, key, token, status) in [
        (CREATE, None, None, 401),
        (CREATE, Some("123456789"), None, 401),
        (CREATE, None, Some("customer-9"), 401),
        (CREATE, Some("nobody"), Some("customer-9"), 401),
        (CREATE, Some("123456789"), Some("nobody"), 401),
        (CREATE, Some("customer-9"), Some("123456789"), 401),
        (CREATE, Some("sk_test_acme"), Some("customer-9"), 401),
        (CREATE, Some("shop-gone"), Some("customer-9"), 401),
        (CREATE, Some("shop-reader"), Some("customer-9"), 403),
        // The customer of another merchant is nobody here.
        (CREATE, Some("123456789"), Some("customer-8"), 401),
        (CREATE, Some("123456780"), Some("customer-9"), 401),
        (MARK, None, None, 401),
        (MARK, None, Some("customer-9"), 401),
        (MARK, None, Some("123456789"), 401),
        (MARK, Some("nobody"), None, 401),
        (MARK, Some("shop-reader"), None, 403),
        (MARK, Some("123456789"), None, 409),
    ] {
        let request = world.post(path);
        let request = key.map_or(request.try_clone().unwrap(), |key| {
            request.header("X-API-Key", key)
        });
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let answer = ask(request).await;
        assert_eq!(
            answer.status, status,
            "{path} {key:?} {token:?}: {}",
            answer.text
        );
        assert!(
            answer.json["message"].is_string() && answer.json["errors"].is_object(),
            "{}",
            answer.text
        );
        let echoed = [key, token]
            .into_iter()
            .flatten()
            .any(|secret| answer.text.contains(secret));
        assert!(!echoed, "a key is never repeated: {}", answer.text);
    }
    assert_eq!(world.events().await, before);
    assert!(made_at_stripe(&world, "acme").await.is_empty());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_merchants_or_another_customers_order_does_not_exist_word_for_word() {
    let world = World::start().await;
    let shop = |reference: &str| {
        world
            .post(&format!("/api/v1/shop/orders/{reference}/payment"))
            .header("X-API-Key", "123456789")
    };
    let nobody = "/api/v1/shop/orders/8/payment-intent";
    let theirs = world
        .post(nobody)
        .bearer_auth("customer-9")
        .header("X-API-Key", "123456789");
    let none = create(&world, "77");
    let mut texts = vec![
        ask(theirs).await,
        ask(none).await,
        ask(shop("8")).await,
        ask(shop("77")).await,
    ];
    for odd in ["%00", "%ff", "a%2Fb", &"9".repeat(5000)] {
        texts.push(ask(create(&world, odd)).await);
    }
    for answer in &texts {
        assert_eq!((answer.status, &answer.text), (404, &texts[0].text));
    }
    assert_eq!(
        texts[0].json["errors"]["order"][0],
        texts[0].json["message"]
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_an_object_or_nothing_and_never_sets_a_price() {
    let world = World::start().await;
    let with = |body: Vec<u8>| world.shop_create().body(body);
    for (body, status, field) in [
        (b"{\"amount\":".to_vec(), 400, "body"),
        (b"amount=1".to_vec(), 400, "body"),
        (b"\xff\xfe".to_vec(), 400, "body"),
        ("[".repeat(2000).into_bytes(), 400, "body"),
        (b"[]".to_vec(), 422, "body"),
        (b"7".to_vec(), 422, "body"),
        (b"null".to_vec(), 422, "body"),
        (vec![b' '; 2 * 1024 * 1024], 413, "body"),
    ] {
        let answer = ask(with(body)).await;
        assert_eq!(answer.status, status, "{}", answer.text);
        assert!(
            answer.json["errors"][field][0].is_string(),
            "{}",
            answer.text
        );
    }
    assert!(made_at_stripe(&world, "acme").await.is_empty());
    for body in [
        r#"{"amount": 1, "currency": "jpy", "line_items": "x", "status": "paid"}"#,
        "{}",
        "  \n",
    ] {
        let answer = ask(with(body.as_bytes().to_vec())).await;
        assert_eq!(
            (answer.status, &answer.json["data"]["amount"]),
            (200, &json!("112.00")),
            "{}",
            answer.text
        );
    }
    let at_stripe = made_at_stripe(&world, "acme").await;
    assert_eq!(
        (at_stripe.len(), &at_stripe[0]["amount"]),
        (1, &json!(11200))
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_cannot_be_paid_says_why() {
    let world = World::start().await;
    place(&world, "small", vec![line("A crumb", 10, 1, Currency::USD)]).await;
    let small = ask(create(&world, "small")).await;
    assert_eq!(small.status, 422, "{}", small.text);
    assert!(
        small.json["errors"]["amount"][0]
            .as_str()
            .unwrap()
            .contains("0.50"),
        "{}",
        small.text
    );
    assert!(made_at_stripe(&world, "acme").await.is_empty());

    let early = ask(world.shop_paid()).await;
    assert_eq!(early.status, 409, "{}", early.text);
    let created = ask(world.shop_create()).await;
    pay_at_stripe(&world, &created.json["data"]["id"]).await;
    assert_eq!(ask(world.shop_paid()).await.status, 200);
    let over = ask(world.shop_create()).await;
    assert_eq!(
        (over.status, &over.json["message"]),
        (409, &json!("The order is paid already.")),
        "{}",
        over.text
    );
    assert_eq!(
        ask(world.shop_paid()).await.status,
        200,
        "twice is no error"
    );

    for path in [
        "/api/v1/shop/orders/9",
        "/api/v1/shop/orders/9/payments",
        "/api/v1/shop/customers",
    ] {
        let answer = ask(world.post(path)).await;
        assert!(
            answer.status == 404 && answer.json["message"].is_string(),
            "{path}: {}",
            answer.text
        );
    }
    for (method, path) in [(Method::GET, CREATE), (Method::DELETE, MARK)] {
        let answer = ask(world.request(method, path)).await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
        assert!(answer.json["message"].is_string(), "{}", answer.text);
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_at_stripe_is_a_503_and_asking_again_goes_on_with_the_same_intent() {
    // Planted bug that turns this red: detaching the payment whose outcome is not known, or making a second one.
    let world = World::start().await;
    stripe_falls_silent_after(&world, "/v1/payment_intents").await;
    let silent = ask(world.shop_create()).await;
    assert_eq!(silent.status, 503, "{}", silent.text);
    assert!(
        silent.header("retry-after").is_some() && silent.json["message"].is_string(),
        "{}",
        silent.text
    );
    let known = ask(world.shop_create()).await;
    assert_eq!(known.status, 200, "{}", known.text);
    let at_stripe = made_at_stripe(&world, "acme").await;
    assert_eq!(
        (at_stripe.len(), &at_stripe[0]["id"]),
        (1, &known.json["data"]["id"])
    );
    world.stop().await;
}
