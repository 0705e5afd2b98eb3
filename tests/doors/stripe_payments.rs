//! The door of Stripe payments: made, read, changed and thrown away, for an order that has one way to be paid at a time.

use crate::support::{World, json_api, until};
use crate::{Answer, ask, made_at_stripe};
use aggregates::ids::CommandId;
use aggregates::metadata::Actor;
use aggregates::money::{Currency, Money};
use aggregates::order::event::Line;
use counterfoil::store::{Context, Merchant};
use counterfoil::use_cases::PlaceOrder;
use futures::future::join_all;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use uuid::Uuid;

pub const PATH: &str = "/api/stripe_payments";
const MEDIA_TYPE: &str = "application/vnd.api+json";

/// The document's example, as it stands there.
pub const EXAMPLE: &str = r#"{
"data": {
"type": "stripe_payments",
"attributes": {
"stripe_id": "pi_1234XXX",
"client_secret": "pi_1234XXX_secret_5678YYY"
},
"relationships": {
"order": {
"data": {
"type": "orders",
"id": "ABCRtyUpBa"
}
}
}
}
}"#;

/// A request with acme's token, in the media type.
pub fn call(world: &World, method: Method, path: &str) -> RequestBuilder {
    call_as(world, "cl-acme", method, path)
}

pub fn call_as(world: &World, token: &str, method: Method, path: &str) -> RequestBuilder {
    let request = world.request(method, path).bearer_auth(token);
    request
        .header("Accept", MEDIA_TYPE)
        .header("Content-Type", MEDIA_TYPE)
}

/// Sends, and holds the answer to the specification.
pub async fn send(request: RequestBuilder) -> Answer {
    let answer = ask(request).await;
    if answer.status == 204 {
        assert_eq!(answer.text, "");
        return answer;
    }
    assert_eq!(
        answer.header("content-type"),
        Some(MEDIA_TYPE),
        "{}",
        answer.text
    );
    let faults = json_api::faults(&answer.json);
    assert!(faults.is_empty(), "{faults:#?}\n{}", answer.text);
    answer
}

pub fn document(order: &str, attributes: Value) -> String {
    let order = json!({"data": {"type": "orders", "id": order}});
    let data = json!({"type": "stripe_payments", "attributes": attributes, "relationships": {"order": order}});
    json!({"data": data}).to_string()
}

pub async fn create(world: &World, order: &str, attributes: Value) -> Answer {
    send(call(world, Method::POST, PATH).body(document(order, attributes))).await
}

#[track_caller]
pub fn id(answer: &Answer) -> String {
    assert!(matches!(answer.status, 200 | 201), "{}", answer.text);
    answer.json["data"]["id"].as_str().unwrap().to_owned()
}

#[track_caller]
pub fn attribute<'a>(answer: &'a Answer, name: &str) -> &'a Value {
    let attributes = answer.json["data"]["attributes"].as_object();
    attributes
        .unwrap_or_else(|| panic!("{}", answer.text))
        .get(name)
        .unwrap()
}

pub async fn read(world: &World, id: &str) -> Answer {
    send(call(world, Method::GET, &format!("{PATH}/{id}"))).await
}

pub async fn change(world: &World, id: &str, attributes: Value) -> Answer {
    let data = json!({"type": "stripe_payments", "id": id, "attributes": attributes});
    let request = call(world, Method::PATCH, &format!("{PATH}/{id}"));
    send(request.body(json!({"data": data}).to_string())).await
}

pub async fn remove(world: &World, id: &str) -> Answer {
    send(call(world, Method::DELETE, &format!("{PATH}/{id}"))).await
}

/// One more order of acme's, of so many euro cents.
pub async fn place(world: &World, reference: &str, minor: i64) {
    let merchant: Merchant = {
        let keys = &world.app().store().keys;
        keys.merchant(&"acme".parse().unwrap())
            .await
            .unwrap()
            .unwrap()
    };
    let command = Uuid::now_v7();
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
        source: "commerce_layer",
        reference: reference.to_owned(),
        number: None,
        customer: None,
        lines: vec![Line {
            name: "Thing".to_owned(),
            unit: Money::new(minor, Currency::EUR),
            quantity: 1,
            description: String::new(),
        }],
        tax: Money::zero(Currency::EUR),
        personal: counterfoil::personal::Personal::default(),
    };
    world
        .app()
        .place_order(&merchant, &context, order)
        .await
        .unwrap();
}

/// The customer pays at Stripe.
async fn pay(world: &World, intent: &str) {
    let path = format!("/v1/payment_intents/{intent}/confirm");
    let request = world.stripe(Method::POST, &path);
    let form = "payment_method=pm_card_visa&return_url=https%3A%2F%2Fx.example";
    let request = request.header("Content-Type", "application/x-www-form-urlencoded");
    let (status, said) = crate::support::send(request.body(form)).await;
    assert_eq!(status, 200, "{said}");
}

async fn order_status(world: &World, reference: &str) -> (String, i64) {
    sqlx::query_as(
        "select status, mispaid_minor from orders where merchant = 'acme' and reference = $1",
    )
    .bind(reference)
    .fetch_one(world.app().store().pool())
    .await
    .unwrap()
}

/// Red when a key of the document's example is missing, or has another type where it has a value.
#[tokio::test(flavor = "multi_thread")]
async fn the_documents_example_is_answered_with_every_key_it_shows() {
    let world = World::start().await;
    let answer = send(call(&world, Method::POST, PATH).body(EXAMPLE)).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    let self_link = answer.json["data"]["links"]["self"].as_str().unwrap();
    assert_eq!(answer.header("location"), Some(self_link));
    let mut shown = answer.json["data"].clone();
    assert_eq!(shown["meta"]["trace_id"].as_str().unwrap().len(), 64);
    let text = shown.to_string();
    let text = text.replace(shown["meta"]["trace_id"].as_str().unwrap(), "TRACE");
    let text = text.replace(
        &format!("http://{}", world.address),
        "https://yourdomain.commercelayer.io",
    );
    let id = shown["id"].as_str().unwrap().to_owned();
    assert_eq!(id.len(), 10);
    shown = serde_json::from_str(&text.replace(&id, "XAyRWNUzyN")).unwrap();
    for time in ["created_at", "updated_at"] {
        let written = shown["attributes"][time].as_str().unwrap().to_owned();
        assert_eq!(written.len(), "2018-01-01T12:00:00.000Z".len(), "{written}");
        shown["attributes"][time] = "TIME".into();
    }
    insta::assert_json_snapshot!(shown);

    // It is the order's way to be paid, and the same again is the same.
    let again = send(call(&world, Method::POST, PATH).body(EXAMPLE)).await;
    assert_eq!((again.status, self::id(&again)), (201, id.clone()));
    let read = read(&world, &id).await;
    assert_eq!(
        attribute(&read, "client_secret"),
        "pi_1234XXX_secret_5678YYY"
    );
    pay(&world, "pi_1234XXX").await;
    until("the money has paid the order", async || {
        order_status(&world, "ABCRtyUpBa").await == ("paid".to_owned(), 0)
    })
    .await;
    let paid = self::read(&world, &id).await;
    assert!(
        attribute(&paid, "charge_id")
            .as_str()
            .unwrap()
            .starts_with("ch_")
    );
    assert_eq!(attribute(&paid, "payment_instrument")["card_type"], "visa");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_intent_one_is_made_of_the_orders_amount_and_everything_given_is_shown_again() {
    let world = World::start().await;
    let given = json!({
        "stripe_id": null,
        "options": {"setup_future_usage": "off_session", "transfer_group": "group-1"},
        "return_url": "https://yourdomain.com/thankyou",
        "receipt_email": "ada@example.com",
        "reference": "ANY-EXTERNAL-REFERENCE",
        "reference_origin": "ANY-EXTERNAL-REFERENCE-ORIGIN",
        "metadata": {"foo": "bar", "deep": {"er": [1, null, true]}},
    });
    let answer = create(&world, "ABCRtyUpBa", given.clone()).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    for name in [
        "options",
        "return_url",
        "receipt_email",
        "reference",
        "reference_origin",
        "metadata",
    ] {
        assert_eq!(attribute(&answer, name), &given[name], "{name}");
    }
    let made = made_at_stripe(&world, "acme").await;
    assert_eq!(made.len(), 1);
    assert_eq!(
        (&made[0]["amount"], &made[0]["currency"]),
        (&json!(5900), &json!("eur"))
    );
    assert_eq!(made[0]["receipt_email"], "ada@example.com");
    assert_eq!(made[0]["setup_future_usage"], "off_session");
    assert_eq!(attribute(&answer, "stripe_id"), &made[0]["id"]);
    assert_eq!(
        attribute(&answer, "client_secret"),
        &made[0]["client_secret"]
    );
    assert_eq!(attribute(&answer, "transfer_group"), "group-1");
    assert_eq!(attribute(&answer, "mismatched_amounts"), false);
    // The person's address is sealed, and the secret is nowhere.
    let kept: String = sqlx::query_scalar(
        "select string_agg(payload::text, '') || (select string_agg(p::text, '') from payments p) from events",
    )
    .fetch_one(world.app().store().pool())
    .await
    .unwrap();
    assert!(!kept.contains("ada@example.com") && !kept.contains("_secret_"));
    world.stop().await;
}

/// Planted bug: answering each with an intent of its own.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_at_once_make_one_live_intent() {
    let world = World::start().await;
    let answers = join_all((0..20).map(|_| create(&world, "ABCRtyUpBa", json!({})))).await;
    let first = id(&answers[0]);
    assert!(answers.iter().all(|it| it.status == 201 && id(it) == first));
    assert_eq!(made_at_stripe(&world, "acme").await.len(), 1);
    world.stop().await;
}

/// Planted bug: leaving the intent that is replaced alive.
#[tokio::test(flavor = "multi_thread")]
async fn a_given_intent_takes_the_place_of_the_one_that_is_live() {
    let world = World::start().await;
    let before = create(&world, "ABCRtyUpBa", json!({})).await;
    let after = send(call(&world, Method::POST, PATH).body(EXAMPLE)).await;
    assert_eq!(after.status, 201, "{}", after.text);
    assert_ne!(id(&before), id(&after));
    let made = made_at_stripe(&world, "acme").await;
    assert_eq!(made[0]["status"], "canceled");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intent_made_at_another_door_is_taken_with_its_secret_and_pays_the_order() {
    let world = World::start().await;
    let made = json!({"amount": 5900, "currency": "eur", "payment_method_types": ["card"]});
    let (status, intent) = crate::support::send(world.pay("/v1/payment_intents", made)).await;
    assert_eq!(status, 200, "{intent}");
    let given = json!({"stripe_id": intent["id"], "client_secret": intent["client_secret"]});
    let answer = create(&world, "ABCRtyUpBa", given).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    assert_eq!(attribute(&answer, "stripe_id"), &intent["id"]);
    pay(&world, intent["id"].as_str().unwrap()).await;
    let refreshed = change(&world, &id(&answer), json!({"_refresh": true})).await;
    assert!(attribute(&refreshed, "charge_id").is_string());
    until("the money has paid the order", async || {
        order_status(&world, "ABCRtyUpBa").await == ("paid".to_owned(), 0)
    })
    .await;
    world.stop().await;
}

/// Planted bug: comparing nothing, or the id alone.
#[tokio::test(flavor = "multi_thread")]
async fn an_intent_and_a_secret_that_do_not_belong_together_are_refused_and_nothing_is_recorded() {
    let world = World::start().await;
    let events = world.events().await;
    for (given, pointer) in [
        (
            json!({"stripe_id": "pi_1234XXX", "client_secret": "pi_1234XXX_secret_other"}),
            "client_secret",
        ),
        (
            json!({"stripe_id": "pi_unknown", "client_secret": "pi_1234XXX_secret_5678YYY"}),
            "stripe_id",
        ),
        (json!({"stripe_id": "pi_1234XXX"}), "client_secret"),
        (
            json!({"client_secret": "pi_1234XXX_secret_5678YYY"}),
            "stripe_id",
        ),
    ] {
        let refused = create(&world, "ABCRtyUpBa", given.clone()).await;
        let error = &refused.json["errors"][0];
        assert_eq!(
            (refused.status, &error["code"]),
            (422, &json!("VALIDATION_ERROR")),
            "{given}"
        );
        assert_eq!(
            error["source"]["pointer"],
            format!("/data/attributes/{pointer}")
        );
        assert!(!refused.text.contains("5678YYY"));
    }
    assert_eq!(world.events().await, events);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_keeps_what_it_does_not_name() {
    let world = World::start().await;
    let given = json!({"reference": "A-1", "reference_origin": "shop", "metadata": {"foo": "bar"}});
    let made = create(&world, "ABCRtyUpBa", given).await;
    let id = id(&made);
    let changed = change(&world, &id, json!({"reference": "A-2"})).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    assert_eq!(attribute(&changed, "reference"), "A-2");
    assert_eq!(attribute(&changed, "reference_origin"), "shop");
    assert_eq!(attribute(&changed, "metadata"), &json!({"foo": "bar"}));
    let emptied = change(&world, &id, json!({"reference": null, "metadata": {}})).await;
    assert_eq!(attribute(&emptied, "reference"), &Value::Null);
    assert_eq!(attribute(&emptied, "metadata"), &json!({}));
    assert_eq!(attribute(&emptied, "reference_origin"), "shop");
    let told = change(&world, &id, json!({"receipt_email": "bob@example.com"})).await;
    assert_eq!(attribute(&told, "receipt_email"), "bob@example.com");
    assert_eq!(
        made_at_stripe(&world, "acme").await[0]["receipt_email"],
        "bob@example.com"
    );
    // Nothing is different, so nothing is recorded; and asking for it again says nothing new of it.
    let events = world.events().await;
    change(&world, &id, json!({"reference_origin": "shop"})).await;
    change(&world, &id, json!({"_refresh": true})).await;
    let again = create(&world, "ABCRtyUpBa", json!({})).await;
    assert_eq!(attribute(&again, "reference_origin"), "shop");
    assert_eq!(world.events().await, events);
    world.stop().await;
}

/// Planted bug: comparing the order's amount as it was when the payment was begun.
#[tokio::test(flavor = "multi_thread")]
async fn another_amount_is_shown_as_a_mismatch_and_pushed_where_that_is_asked() {
    let world = World::start().await;
    place(&world, "PushMeUp10", 4200).await;
    let (_, intent) = crate::support::send(world.pay(
        "/v1/payment_intents",
        json!({"amount": 3000, "currency": "eur"}),
    ))
    .await;
    let given = json!({"stripe_id": intent["id"], "client_secret": intent["client_secret"]});
    let made = create(&world, "PushMeUp10", given).await;
    assert_eq!(
        attribute(&made, "mismatched_amounts"),
        true,
        "{}",
        made.text
    );
    let same = change(&world, &id(&made), json!({"_refresh": true})).await;
    assert_eq!(attribute(&same, "mismatched_amounts"), true);
    let pushed = change(&world, &id(&made), json!({"_update": true})).await;
    assert_eq!(pushed.status, 200, "{}", pushed.text);
    assert_eq!(attribute(&pushed, "mismatched_amounts"), false);
    let now = made_at_stripe(&world, "acme").await;
    assert_eq!(now[0]["amount"], 4200);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_thrown_away_is_cancelled_at_stripe_and_the_order_can_be_paid_anew() {
    let world = World::start().await;
    let first = id(&create(&world, "ABCRtyUpBa", json!({})).await);
    assert_eq!(remove(&world, &first).await.status, 204);
    assert_eq!(
        made_at_stripe(&world, "acme").await[0]["status"],
        "canceled"
    );
    assert_eq!(read(&world, &first).await.status, 404);
    assert_eq!(remove(&world, &first).await.status, 404);
    let second = create(&world, "ABCRtyUpBa", json!({})).await;
    assert_eq!(second.status, 201, "{}", second.text);
    assert_ne!(id(&second), first);
    let intent = attribute(&second, "stripe_id").as_str().unwrap().to_owned();
    pay(&world, &intent).await;
    let locked = remove(&world, &id(&second)).await;
    assert_eq!(
        (locked.status, &locked.json["errors"][0]["code"]),
        (423, &json!("LOCKED"))
    );
    assert_eq!(read(&world, &id(&second)).await.status, 200);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_begun_at_another_door_is_shown_here() {
    let world = World::start().await;
    let (status, shop) = crate::support::send(world.shop_create()).await;
    assert_eq!(status, 200, "{shop}");
    let list = send(call(&world, Method::GET, &format!("{PATH}?include=order"))).await;
    assert_eq!(list.json["meta"]["record_count"], 1, "{}", list.text);
    let shown = &list.json["data"][0];
    assert_eq!(shown["attributes"]["client_secret"], Value::Null);
    let order = &list.json["included"][0]["attributes"];
    assert_eq!(order["number"], "ORD-20250331-5XZF");
    assert_eq!(order["total_amount_cents"], 11200);
    assert_eq!(order["reference_origin"], "shop");
    let order = list.json["included"][0]["links"]["self"].as_str().unwrap();
    let path = order
        .strip_prefix(&format!("http://{}", world.address))
        .unwrap();
    assert_eq!(send(call(&world, Method::GET, path)).await.status, 200);
    world.stop().await;
}

/// Planted bug: claiming the key under no fingerprint.
#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_gives_the_same_answer_and_refuses_another_request() {
    let world = World::start().await;
    place(&world, "OtherOrder", 4200).await;
    let keyed = |order: &str, attributes: Value| {
        let request = call(&world, Method::POST, PATH).header("Idempotency-Key", "once");
        send(request.body(document(order, attributes)))
    };
    let first = keyed("ABCRtyUpBa", json!({"reference": "A-1"})).await;
    let id = id(&first);
    change(&world, &id, json!({"reference": "A-2"})).await;
    let again = keyed("ABCRtyUpBa", json!({"reference": "A-1"})).await;
    assert_eq!((again.status, self::id(&again)), (201, id.clone()));
    assert_eq!(attribute(&again, "reference"), "A-1");
    assert_eq!(
        attribute(&again, "client_secret"),
        attribute(&first, "client_secret")
    );
    let other = keyed("OtherOrder", json!({})).await;
    assert_eq!(other.status, 422);
    assert_eq!(other.json["errors"][0]["code"], "IDEMPOTENCY_KEY_REUSED");
    let gone = |key: &str| {
        let request = call(&world, Method::DELETE, &format!("{PATH}/{id}"));
        send(request.header("Idempotency-Key", key.to_owned()))
    };
    assert_eq!(gone("gone").await.status, 204);
    assert_eq!(gone("gone").await.status, 204);
    assert_eq!(gone("more").await.status, 404);
    world.stop().await;
}

/// Planted bug: answering a silence as a failure, or beginning anew after it.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_stripe_is_an_unknown_outcome_and_asking_again_goes_on_with_it() {
    let world = World::start().await;
    crate::stripe_falls_silent_after(&world, "/v1/payment_intents").await;
    let silent = create(&world, "ABCRtyUpBa", json!({})).await;
    assert_eq!(
        (silent.status, &silent.json["errors"][0]["code"]),
        (503, &json!("OUTCOME_UNKNOWN"))
    );
    assert!(silent.header("retry-after").is_some());
    let again = create(&world, "ABCRtyUpBa", json!({})).await;
    assert_eq!(again.status, 201, "{}", again.text);
    assert_eq!(made_at_stripe(&world, "acme").await.len(), 1);
    world.stop().await;
}
