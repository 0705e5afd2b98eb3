//! The offers' door: what is asked for, by whom, and what becomes of it.

use crate::support::{World, send, until};
use crate::{Answer, ask, made_at_stripe, put_key, redacted, stripe_falls_silent_after};
use aggregates::catalogue::OfferCommand;
use aggregates::catalogue::offer::{Choice, Group, NewPrice, Product, Published};
use aggregates::ids::CommandId;
use aggregates::metadata::Actor;
use aggregates::money::{Currency, Money};
use chrono::{DateTime, Utc};
use counterfoil::store::{Context, KeyKind, Merchant, Scope};
use futures::future::join_all;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

pub const PATH: &str = "/api/offer/createpaymentintent";

/// The document's request, to the letter.
const EXAMPLE: &str = r#"{
"ajax_url": "/api/offer/createpaymentintent",
"output": "json",
"offer_oid": "10311080",
"products": {"combined": ["core", "legal_protection", "personal_possessions", "home_emergency", "ad"]}
}"#;

/// The document's answer, but for what differs from call to call.
const ANSWER: &str = concat!(
    r#"{"status":"1","response":{"payment_intent":{"id":"<id>","object":"payment_intent","allowed_source_types":["card"],"#,
    r#""amount":12751,"amount_capturable":0,"amount_received":0,"application":null,"application_fee_amount":null,"#,
    r#""canceled_at":null,"cancellation_reason":null,"capture_method":"automatic","charges":{"object":"list","data":[],"#,
    r#""has_more":false,"total_count":0,"url":"/v1/charges?payment_intent=<id>"},"client_secret":"<secret>","#,
    r#""confirmation_method":"automatic","created":<created>,"currency":"gbp","customer":null,"#,
    r#""description":"Payment intent for quote: 10311080","invoice":null,"last_payment_error":null,"livemode":false,"#,
    r#""metadata":[],"next_action":null,"next_source_action":null,"on_behalf_of":null,"payment_method":null,"#,
    r#""payment_method_options":{"card":{"installments":null,"network":null,"request_three_d_secure":"automatic"}},"#,
    r#""payment_method_types":["card"],"receipt_email":null,"review":null,"setup_future_usage":null,"shipping":null,"#,
    r#""source":null,"statement_descriptor":null,"statement_descriptor_suffix":null,"status":"requires_source","#,
    r#""transfer_data":null,"transfer_group":null}},"apirequest_oid":"<oid>"}"#,
);

/// A request with acme's token.
pub fn create(world: &World, body: &Value) -> RequestBuilder {
    world.post(PATH).bearer_auth("offers-acme").json(body)
}

pub fn products(codes: &[&str]) -> Value {
    json!({"offer_oid": "10311080", "products": {"combined": codes}})
}

pub fn intent(answer: &Answer) -> &Value {
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.json["status"], "1");
    &answer.json["response"]["payment_intent"]
}

/// The field at fault, of an error in this door's form.
#[track_caller]
pub fn fault(answer: &Answer) -> &str {
    assert_eq!(answer.json["status"], "0", "{}", answer.text);
    let oid = answer.json["apirequest_oid"].as_str().unwrap();
    assert!(!oid.is_empty() && oid.bytes().all(|it| it.is_ascii_digit()));
    let errors = answer.json["response"]["errors"].as_array().unwrap();
    assert!(errors.len() == 1 && errors[0]["message"].is_string());
    errors[0]["field"].as_str().unwrap()
}

pub async fn merchant(world: &World) -> (Merchant, Context) {
    let store = world.app().store();
    let found = store.keys.merchant(&"acme".parse().unwrap()).await;
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
    (found.unwrap().unwrap(), context)
}

/// Publishes an offer of acme's with one product, `only`, in gbp.
pub async fn publish(world: &World, number: &str, minor: i64, expires_at: Option<DateTime<Utc>>) {
    let (merchant, context) = merchant(world).await;
    let published = Published {
        merchant: merchant.id.clone(),
        number: number.to_owned(),
        currency: Currency::GBP,
        groups: vec![Group {
            name: "all".to_owned(),
            products: vec![Product {
                code: "only".to_owned(),
                name: "The only one".to_owned(),
                price: Money::new(minor, Currency::GBP),
            }],
        }],
        selection: vec![Choice {
            group: "all".to_owned(),
            code: "only".to_owned(),
        }],
        expires_at,
    };
    let app = world.app();
    app.publish_offer(&merchant, &context, published)
        .await
        .unwrap();
}

pub async fn change(world: &World, number: &str, command: OfferCommand) {
    let (merchant, context) = merchant(world).await;
    let app = world.app();
    app.change_offer(&merchant, &context, number.to_owned(), command)
        .await
        .unwrap();
}

pub async fn core_costs(world: &World, minor: i64) {
    let price = NewPrice {
        group: "combined".to_owned(),
        code: "core".to_owned(),
        price: Money::new(minor, Currency::GBP),
    };
    let prices = vec![price];
    change(world, "10311080", OfferCommand::Reprice { prices }).await;
}

pub async fn pay_at_stripe(world: &World, intent: &Value, method: &str) -> u16 {
    let path = format!("/v1/payment_intents/{}/confirm", intent.as_str().unwrap());
    let confirm = world.stripe(Method::POST, &path);
    send(confirm.json(&json!({"payment_method": method})))
        .await
        .0
}

/// How the offer's order stands.
async fn order_status(world: &World) -> Option<String> {
    sqlx::query_scalar(
        "select status from orders where merchant = 'acme' and source = 'offers' and reference = '10311080'",
    )
    .fetch_optional(world.app().store().pool())
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documents_example_answers_with_its_keys_types_and_order() {
    let world = World::start().await;
    let request = world
        .post(PATH)
        .bearer_auth("offers-acme")
        .header("Content-Type", "application/json")
        .body(EXAMPLE);
    let answer = ask(request).await;
    let shown = intent(&answer);
    let shape = redacted(
        &answer.text,
        &[
            (&shown["client_secret"], "<secret>"),
            (&shown["id"], "<id>"),
            (&shown["created"], "<created>"),
            (&answer.json["apirequest_oid"], "<oid>"),
        ],
    );
    assert_eq!(shape, ANSWER);
    let secret = shown["client_secret"].as_str().unwrap();
    assert!(secret.starts_with(shown["id"].as_str().unwrap()));

    let at_stripe = made_at_stripe(&world, "acme").await;
    assert_eq!(at_stripe.len(), 1);
    assert_eq!(at_stripe[0]["id"], shown["id"]);
    assert_eq!(at_stripe[0]["amount"], 12751);
    assert_eq!(at_stripe[0]["created"], shown["created"], "in seconds");
    assert_eq!(
        at_stripe[0]["description"],
        "Payment intent for quote: 10311080"
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_ask_for_the_same_gives_the_same_intent() {
    let world = World::start().await;
    let first = ask(create(&world, &products(&["core", "ad"]))).await;
    let (id, amount) = (&intent(&first)["id"], &intent(&first)["amount"]);
    assert_eq!(amount, &json!(8_820));
    let form = |body: &'static str| {
        world
            .post(PATH)
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(body)
    };
    let json = |value: Value| create(&world, &value);
    let offer = |products: Value| json(json!({"offer_oid": "10311080", "products": products}));
    let twice = json!({"combined": ["ad", "core", "ad", "core"]});
    let bare = r#"{"api_token": "offers-acme", "offer_oid": 10311080, "products": ["core", "ad"]}"#;
    let requests = [
        offer(twice),
        offer(json!(r#"{"combined": ["core", "ad"]}"#)),
        offer(json!(["ad", "core"])),
        offer(json!(r#"["core", "ad"]"#)),
        // The token in the body, a form in brackets, a form with JSON text; JSON that calls itself a form, or nothing.
        form(
            "api_token=offers-acme&offer_oid=10311080&products[combined][]=core&products[combined][]=ad",
        ),
        form(
            "api_token=offers-acme&offer_oid=10311080&products=%7B%22combined%22%3A%5B%22core%22%2C%22ad%22%5D%7D",
        ),
        form("offer_oid=10311080&products[]=ad&products[]=core&output=json")
            .bearer_auth("offers-acme"),
        form(bare),
        world.post(PATH).body(bare),
        // Another token of the same merchant.
        world
            .post(PATH)
            .bearer_auth("sk_test_acme")
            .json(&products(&["core", "ad"])),
    ];
    for (number, request) in requests.into_iter().enumerate() {
        let answer = ask(request).await;
        let shown = intent(&answer);
        assert_eq!((&shown["id"], &shown["amount"]), (id, amount), "{number}");
    }
    assert_eq!(made_at_stripe(&world, "acme").await.len(), 1);
    world.stop().await;
}

/// Planted bug that turns this red: an order that keeps the price it was placed at.
#[tokio::test(flavor = "multi_thread")]
async fn another_selection_is_paid_by_the_same_intent_at_its_own_amount() {
    let world = World::start().await;
    let all = ask(create(&world, &json!({"offer_oid": "10311080"}))).await;
    assert_eq!(intent(&all)["amount"], 12751, "the offer's own selection");
    let fewer = ask(create(&world, &products(&["core"]))).await;
    let shown = intent(&fewer);
    assert_eq!(
        (&shown["id"], &shown["amount"]),
        (&intent(&all)["id"], &json!(8_420))
    );
    let again = ask(create(&world, &json!({"offer_oid": "10311080"}))).await;
    assert_eq!(intent(&again)["amount"], 12751, "its own selection stays");
    let at_stripe = made_at_stripe(&world, "acme").await;
    assert_eq!(
        (at_stripe.len(), &at_stripe[0]["amount"]),
        (1, &json!(12751))
    );
    world.stop().await;
}

/// Planted bugs that turn this red: attaching a second payment while one is live; driving without the lock.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_identical_calls_at_once_make_one_intent_and_twenty_answers() {
    let world = World::start().await;
    let fault = json!({"kind": "latency_ms:300", "method": "POST", "path_prefix": "/v1/payment_intents", "times": 1});
    world.sim(Method::POST, "faults", Some(fault)).await;
    let body = products(&["core", "ad"]);
    let answers = join_all((0..20).map(|_| ask(create(&world, &body)))).await;
    let mut oids = std::collections::BTreeSet::new();
    for answer in &answers {
        assert_eq!(intent(answer), intent(&answers[0]));
        oids.insert(answer.json["apirequest_oid"].as_str().unwrap());
    }
    assert_eq!(oids.len(), 20, "each call has its own");
    assert_eq!(made_at_stripe(&world, "acme").await.len(), 1);
    world.stop().await;
}

/// Two selections at once, many times over: whoever is last, there is one intent, and it asks for what the order costs.
///
/// Planted bug that turns this red: an order that keeps the price it was placed at.
#[tokio::test(flavor = "multi_thread")]
async fn two_selections_at_once_leave_one_intent_at_the_price_of_one_of_them() {
    let world = World::start().await;
    let bodies = [products(&["core"]), products(&["core", "ad"])];
    let calls = (0..12).map(|number| ask(create(&world, &bodies[number % 2])));
    let answers = join_all(calls).await;
    for answer in &answers {
        // Where the two overtake each other too often, the caller is told to ask again.
        let known = answer.status == 200 || fault(answer) == "payment_intent";
        assert!(known, "{}", answer.text);
    }
    for (body, amount) in bodies.iter().zip([8_420, 8_820]) {
        let settled = ask(create(&world, body)).await;
        assert_eq!(intent(&settled)["amount"], amount);
        let at_stripe = made_at_stripe(&world, "acme").await;
        assert_eq!(at_stripe.len(), 1);
        assert_eq!(at_stripe[0]["amount"], amount);
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_is_paid_once_and_asking_again_is_refused() {
    let world = World::start().await;
    let created = ask(create(&world, &json!({"offer_oid": "10311080"}))).await;
    let id = &intent(&created)["id"];
    assert_eq!(pay_at_stripe(&world, id, "pm_card_visa").await, 200);
    until("the webhook has paid the offer's order", async || {
        order_status(&world).await.as_deref() == Some("paid")
    })
    .await;
    for body in [json!({"offer_oid": "10311080"}), products(&["core"])] {
        let over = ask(create(&world, &body)).await;
        assert_eq!((over.status, fault(&over)), (409, "offer_oid"));
        assert!(over.text.contains("This offer is paid already."));
    }
    assert_eq!(made_at_stripe(&world, "acme").await.len(), 1);
    let balances = world.balances("acme", "gbp").await;
    assert!(
        balances.contains(&("assets:stripe:clearing".to_owned(), 12751)),
        "{balances:?}"
    );
    let unapplied = balances.iter().any(|it| it.0.ends_with("unapplied"));
    assert!(!unapplied, "{balances:?}");
    world.stop().await;
}

/// Planted bug that turns this red: leaving the offer's order at its old price when the offer is repriced.
#[tokio::test(flavor = "multi_thread")]
async fn money_at_a_price_that_the_offer_no_longer_has_pays_nothing() {
    let world = World::start().await;
    let created = ask(create(&world, &json!({"offer_oid": "10311080"}))).await;
    core_costs(&world, 9_420).await;
    let id = &intent(&created)["id"];
    assert_eq!(pay_at_stripe(&world, id, "pm_card_visa").await, 200);
    until("the money is recorded", async || {
        let history = world.history("acme").await;
        history.iter().any(|name| name == "OrderMispaid")
    })
    .await;
    assert_eq!(order_status(&world).await.as_deref(), Some("open"));
    assert_eq!(
        world.balances("acme", "gbp").await,
        [
            ("assets:stripe:clearing".to_owned(), 12751),
            ("liabilities:customers:unapplied".to_owned(), -12751)
        ]
    );
    let second = ask(create(&world, &json!({"offer_oid": "10311080"}))).await;
    assert_ne!(&intent(&second)["id"], id);
    assert_eq!(intent(&second)["amount"], 13751);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repriced_offer_gives_the_live_intent_its_new_amount() {
    let world = World::start().await;
    let created = ask(create(&world, &products(&["core"]))).await;
    core_costs(&world, 9_420).await;
    let again = ask(create(&world, &products(&["core"]))).await;
    assert_eq!(intent(&again)["id"], intent(&created)["id"]);
    assert_eq!(intent(&again)["amount"], 9_420);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_this_door_is_needed_and_no_other_will_do() {
    let world = World::start().await;
    let write = &[Scope::PaymentsWrite];
    put_key(
        &world,
        "acme",
        KeyKind::Offers,
        "offers-reader",
        &[Scope::PaymentsRead],
    )
    .await;
    put_key(&world, "acme", KeyKind::Offers, "offers-gone", write).await;
    let keys = &world.app().store().keys;
    assert!(keys.revoke("key_offers-gone").await.unwrap());
    let before = world.events().await;
    let body = products(&["core"]);
    for (token, status) in [
        ("", 401),
        ("nobody", 401),
        ("offers-gone", 401),
        ("offers-reader", 403),
        ("pk_test_acme", 401),
        ("sk_test_rival", 401),
        ("123456789", 401),
        ("customer-9", 401),
        ("bokamera-acme", 401),
        ("cl-acme", 401),
        ("admin-acme", 401),
        // A token of this door, but another merchant's: it has no such offer.
        ("offers-rival", 404),
        ("two words", 401),
    ] {
        let in_header = world.post(PATH).bearer_auth(token).json(&body);
        let mut with_field = body.clone();
        with_field["api_token"] = json!(token);
        let in_body = world.post(PATH).json(&with_field);
        for answer in [ask(in_header).await, ask(in_body).await] {
            assert_eq!(answer.status, status, "{token}: {}", answer.text);
            let field = if status == 404 {
                "offer_oid"
            } else {
                "api_token"
            };
            assert_eq!(fault(&answer), field, "{token}");
            assert!(token.is_empty() || !answer.text.contains(token));
        }
    }
    for odd in [
        world.post(PATH).json(&body),
        world
            .post(PATH)
            .basic_auth("offers-acme", Some(""))
            .json(&body),
        world
            .post(PATH)
            .json(&json!({"api_token": 7, "offer_oid": "10311080"})),
        world
            .post(&format!("{PATH}?api_token=offers-acme"))
            .json(&body),
        // Whoever presents a bad token is not asked for another.
        world
            .post(PATH)
            .bearer_auth("nobody")
            .json(&json!({"api_token": "offers-acme"})),
    ] {
        let answer = ask(odd).await;
        assert_eq!((answer.status, fault(&answer)), (401, "api_token"));
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
    assert_eq!(world.events().await, before);
    assert!(made_at_stripe(&world, "acme").await.is_empty());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_at_stripe_is_a_503_and_asking_again_goes_on_with_the_same_intent() {
    // Planted bug that turns this red: attaching a second payment beside the one whose outcome is not known.
    let world = World::start().await;
    let body = products(&["core"]);
    stripe_falls_silent_after(&world, "/v1/payment_intents").await;
    let silent = ask(create(&world, &body)).await;
    assert_eq!((silent.status, fault(&silent)), (503, "payment_intent"));
    assert!(silent.header("retry-after").is_some());
    let known = ask(create(&world, &body)).await;
    let at_stripe = made_at_stripe(&world, "acme").await;
    assert_eq!(at_stripe.len(), 1);
    assert_eq!(at_stripe[0]["id"], intent(&known)["id"]);
    world.stop().await;
}
