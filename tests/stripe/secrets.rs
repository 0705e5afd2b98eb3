//! Who sees what: other merchants nothing, a payer's browser a little, and nobody a card number.

use crate::support::World;
use crate::{Client, Form, everything_at_stripe, path_of, text, world};
use counterfoil::store::{KeyKind, NewKey, Scope};
use reqwest::Method;
use serde_json::{Value, json};

/// One of every kind of object of acme's, by its collection.
async fn one_of_each(world: &World) -> Vec<(&'static str, String)> {
    let door = Client::new(world);
    let held = [
        ("payment_method", "pm_card_visa"),
        ("confirm", "true"),
        ("capture_method", "manual"),
    ];
    let held = door.intent(&held).await.ok();
    let paid = door.paid("pm_card_createDispute").await;
    world.sim(Method::POST, "settle", None).await;
    let other = door.paid("pm_card_visa").await;
    let refund = [("payment_intent", text(&other, "id")), ("amount", "100")];
    let refund = door.post("/v1/refunds", &refund).await.ok();
    let session = [
        ("mode", "payment"),
        ("success_url", "https://shop.example/done"),
        ("line_items[0][price_data][currency]", "usd"),
        ("line_items[0][price_data][unit_amount]", "500"),
        ("line_items[0][price_data][product_data][name]", "Tea"),
    ];
    let session = door.post("/v1/checkout/sessions", &session).await.ok();
    let ada = door.post("/v1/customers", &[("name", "Ada")]).await.ok();
    let first = async |path: &str| door.get(path).await.ok()["data"][0].take();
    let id = |it: &Value| text(it, "id").to_owned();
    vec![
        ("payment_intents", id(&held)),
        ("payment_methods", text(&held, "payment_method").to_owned()),
        ("charges", text(&paid, "latest_charge").to_owned()),
        ("refunds", id(&refund)),
        ("disputes", id(&first("/v1/disputes").await)),
        ("checkout/sessions", id(&session)),
        ("customers", id(&ada)),
        (
            "balance_transactions",
            id(&first("/v1/balance_transactions").await),
        ),
        ("events", id(&first("/v1/events").await)),
    ]
}

/// What may be asked of an object in each collection, below its path.
fn steps(collection: &str) -> Vec<(Method, &'static str, Form<'static>)> {
    let mut steps: Vec<(Method, &str, Form<'static>)> = vec![(Method::GET, "", &[])];
    let note: Form<'static> = &[("metadata[a]", "b")];
    if !matches!(
        collection,
        "balance_transactions" | "events" | "checkout/sessions"
    ) {
        steps.push((Method::POST, "", note));
    }
    match collection {
        "payment_intents" => {
            steps.push((
                Method::POST,
                "/confirm",
                &[("payment_method", "pm_card_visa")],
            ));
            steps.push((Method::POST, "/capture", &[]));
            steps.push((Method::POST, "/cancel", &[]));
        }
        "payment_methods" => {
            steps.push((Method::POST, "/detach", &[]));
        }
        "disputes" => steps.push((Method::POST, "/close", &[])),
        "refunds" => steps.push((Method::POST, "/cancel", &[])),
        "checkout/sessions" => {
            steps.push((Method::POST, "/expire", &[]));
            steps.push((Method::GET, "/line_items", &[]));
        }
        "customers" => {
            steps.push((Method::GET, "/payment_methods", &[]));
            steps.push((Method::DELETE, "", &[]));
        }
        _ => {}
    }
    steps
}

#[tokio::test(flavor = "multi_thread")]
async fn another_merchants_objects_do_not_exist_word_for_word() {
    let world = world().await;
    let rival = Client::with_key(&world, "sk_test_rival");
    let objects = one_of_each(&world).await;
    let before = everything_at_stripe(&world, "acme").await;
    let history = world.history("acme").await.len();
    for (collection, id) in &objects {
        // Nobody's, and of the same make.
        let nobodys: String = id.chars().rev().take(8).chain("x".chars()).collect();
        let nobodys = format!("{}_{nobodys}", id.rsplit_once('_').unwrap().0);
        for (method, step, form) in steps(collection) {
            let cell = format!("{method} {collection}{step}");
            let ask = async |id: &str| {
                let path = format!("/v1/{collection}/{id}{step}");
                let request = match method {
                    Method::POST => rival.posting(&path, form),
                    _ => rival.request(method.clone(), &path),
                };
                rival.send(request).await
            };
            let (theirs, nobodys_too) = (ask(id).await, ask(&nobodys).await);
            assert!(
                matches!(theirs.status, 400 | 404),
                "{cell}: {}",
                theirs.text
            );
            assert_eq!(
                theirs.error().1,
                "resource_missing",
                "{cell}: {}",
                theirs.text
            );
            assert_eq!(theirs.status, nobodys_too.status, "{cell}");
            assert_eq!(
                alike(&theirs.text, id),
                alike(&nobodys_too.text, &nobodys),
                "{cell}"
            );
        }
    }
    for (name, collection) in [("payment_intent", "payment_intents"), ("charge", "charges")] {
        let id = &objects.iter().find(|it| it.0 == collection).unwrap().1;
        let refused = rival.post("/v1/refunds", &[(name, id)]).await;
        assert_eq!(refused.error().1, "resource_missing", "{}", refused.text);
    }
    for collection in [
        "payment_intents",
        "charges",
        "refunds",
        "disputes",
        "customers",
        "checkout/sessions",
        "events",
    ] {
        let list = rival.get(&format!("/v1/{collection}?limit=100")).await;
        for (_, id) in &objects {
            assert!(!list.text.contains(id), "{collection}");
        }
    }
    assert_eq!(everything_at_stripe(&world, "acme").await, before);
    assert_eq!(world.history("acme").await.len(), history);
    world.stop().await;
}

/// The answer without what differs by nature: the id that was asked for, and where the request is logged.
fn alike(answer: &str, id: &str) -> Value {
    let mut body: Value = serde_json::from_str(&answer.replace(id, "…")).unwrap();
    body["error"]
        .as_object_mut()
        .unwrap()
        .remove("request_log_url");
    body
}

async fn publishable(world: &World, merchant: &str, secret: &str) {
    let key = NewKey {
        key_id: &format!("key_{secret}"),
        secret: &secret.to_owned().into(),
        merchant: &merchant.parse().unwrap(),
        kind: KeyKind::StripePublishable,
        scopes: &[Scope::PaymentsRead],
        customer: None,
    };
    world.app().store().keys.put_key(&key).await.unwrap();
}

/// Planted bug: answering the whole intent.
#[tokio::test(flavor = "multi_thread")]
async fn a_browser_with_the_client_secret_sees_a_part_of_that_intent() {
    let world = world().await;
    publishable(&world, "rival", "pk_test_rival").await;
    let secret_key = Client::new(&world);
    let further = [
        ("description", "tea"),
        ("metadata[order]", "1"),
        ("receipt_email", "ada@example.com"),
    ];
    let intent = secret_key.intent(&further).await.ok();
    let other = secret_key.intent(&[]).await.ok();
    let with = |of: &Value, secret: &Value| {
        format!(
            "{}?client_secret={}",
            path_of("payment_intents", of),
            secret.as_str().unwrap()
        )
    };
    let path = with(&intent, &intent["client_secret"]);
    let browser = Client::with_key(&world, "pk_test_acme");
    let seen = browser.get(&path).await.ok();
    assert_eq!(seen["client_secret"], intent["client_secret"]);
    assert_eq!(
        (&seen["amount"], text(&seen, "status")),
        (&json!(1000), "requires_payment_method")
    );
    for hidden in [
        "metadata",
        "customer",
        "latest_charge",
        "amount_received",
        "amount_capturable",
        "invoice",
    ] {
        assert!(seen.get(hidden).is_none(), "{hidden}: {seen:#}");
    }
    let wrong = browser.get(&with(&intent, &other["client_secret"])).await;
    let nonsense = browser.get(&with(&intent, &json!("pi_1_secret_2"))).await;
    for refused in [wrong, nonsense] {
        let (status, _, param) = refused.error();
        assert_eq!((status, param), (400, "client_secret"), "{}", refused.text);
        assert!(!refused.text.contains("_secret_"), "{}", refused.text);
    }
    let none = browser.get(&path_of("payment_intents", &intent)).await;
    assert_eq!(none.error(), (400, "parameter_missing", "client_secret"));
    let strangers = Client::with_key(&world, "pk_test_rival").get(&path).await;
    assert_eq!(
        strangers.error().1,
        "resource_missing",
        "{}",
        strangers.text
    );
    assert!(!strangers.text.contains("_secret_"), "{}", strangers.text);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publishable_key_is_of_no_other_use() {
    let world = world().await;
    let objects = one_of_each(&world).await;
    let before = everything_at_stripe(&world, "acme").await;
    let browser = Client::with_key(&world, "pk_test_acme");
    let lists = [
        "balance",
        "customers",
        "charges",
        "payment_intents",
        "events",
        "refunds",
        "disputes",
        "payouts",
    ];
    for list in lists {
        let refused = browser.get(&format!("/v1/{list}")).await;
        assert_eq!(refused.error(), (401, "secret_key_required", ""), "{list}");
    }
    for (collection, id) in &objects {
        for (method, step, form) in steps(collection) {
            // Looking at an intent takes its client secret besides.
            if (&method, *collection, step) == (&Method::GET, "payment_intents", "") {
                continue;
            }
            let path = format!("/v1/{collection}/{id}{step}");
            let request = match method {
                Method::POST => browser.posting(&path, form),
                _ => browser.request(method.clone(), &path),
            };
            let refused = browser.send(request).await;
            assert_eq!(
                refused.error(),
                (401, "secret_key_required", ""),
                "{method} {path}"
            );
        }
    }
    for path in [
        "/v1/payment_intents",
        "/v1/refunds",
        "/v1/customers",
        "/v1/checkout/sessions",
    ] {
        let refused = browser
            .post(path, &[("amount", "1000"), ("currency", "usd")])
            .await;
        assert_eq!(refused.error(), (401, "secret_key_required", ""), "{path}");
    }
    assert_eq!(everything_at_stripe(&world, "acme").await, before);
    world.stop().await;
}

/// Planted bug: looking at the values of the top alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_card_number_in_a_free_text_is_refused_and_repeated_nowhere() {
    let world = world().await;
    let door = Client::new(&world);
    let objects = one_of_each(&world).await;
    let path = |collection: &str| {
        let (_, id) = objects.iter().find(|it| it.0 == collection).unwrap();
        format!("/v1/{collection}/{id}")
    };
    let before = (
        world.history("acme").await.len(),
        everything_at_stripe(&world, "acme").await,
    );
    let fields: [(String, &str); 16] = [
        ("/v1/customers".to_owned(), "description"),
        ("/v1/customers".to_owned(), "name"),
        ("/v1/customers".to_owned(), "address[line1]"),
        ("/v1/customers".to_owned(), "metadata[card]"),
        (path("customers"), "description"),
        ("/v1/payment_intents".to_owned(), "description"),
        ("/v1/payment_intents".to_owned(), "metadata[card]"),
        ("/v1/payment_intents".to_owned(), "statement_descriptor"),
        (path("payment_intents"), "description"),
        (path("charges"), "description"),
        (path("disputes"), "evidence[uncategorized_text]"),
        (path("refunds"), "metadata[card]"),
        ("/v1/checkout/sessions".to_owned(), "client_reference_id"),
        (
            "/v1/checkout/sessions".to_owned(),
            "line_items[0][price_data][product_data][name]",
        ),
        ("/v1/payment_methods".to_owned(), "billing_details[name]"),
        (path("payment_methods"), "metadata[card]"),
    ];
    for (path, field) in fields {
        for number in ["4242424242424242", "card 4242-4242 4242 4242."] {
            let form = [("amount", "1000"), ("currency", "usd"), (field, number)];
            let form = if path == "/v1/payment_intents" {
                &form[..]
            } else {
                &form[2..]
            };
            let refused = door.post(&path, form).await;
            assert_eq!(
                (refused.status, refused.error().2),
                (400, field),
                "{path}: {}",
                refused.text
            );
            assert!(!refused.text.contains("4242"), "{}", refused.text);
        }
    }
    // In a name, it is neither said nor kept.
    let named = door
        .post("/v1/customers", &[("metadata[4242424242424242]", "x")])
        .await;
    assert_eq!(named.status, 400, "{}", named.text);
    assert!(!named.text.contains("4242"), "{}", named.text);
    let after = (
        world.history("acme").await.len(),
        everything_at_stripe(&world, "acme").await,
    );
    assert_eq!(after, before);
    world.stop().await;
}
