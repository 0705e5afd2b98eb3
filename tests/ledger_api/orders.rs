//! Orders: placed, read, repriced, cancelled.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_placed_once_and_paid_through_its_door() {
    let world = World::start().await;
    let body = order("77", 7900);
    let made = post(&world, ADMIN, "/orders", &body).await;
    let id = made.json["id"].as_str().unwrap().to_owned();
    assert_eq!(
        made.header("location"),
        Some(format!("/ledger/v1/orders/{id}").as_str())
    );
    assert_eq!(made.status, 201);
    // The same again changes nothing; another one of its name is refused.
    let again = post(&world, ADMIN, "/orders", &body).await;
    assert_eq!((again.status, &again.json["id"]), (200, &made.json["id"]));
    assert_eq!(again.json["version"], 1);
    let other = post(&world, ADMIN, "/orders", &order("77", 1)).await;
    assert_eq!((other.status, other.problem()), (409, "placed_differently"));
    let intent = payment_asked(&world, "77").await;
    assert_eq!(pays(&world, &intent).await.status, 200);
    support::until("the order is paid", async || {
        get(&world, ADMIN, &format!("/orders/{id}")).await.json["status"] == "paid"
    })
    .await;
    let payment = get(&world, ADMIN, &format!("/payments/{intent}"))
        .await
        .expect(200);
    assert_eq!(payment["captured_minor"], 7900);
    assert_eq!(payment["order"], id.as_str());
    let paid = get(&world, ADMIN, &format!("/orders/{id}"))
        .await
        .expect(200);
    assert_eq!(paid["paid_by"], payment["id"]);
    let refused = post(&world, ADMIN, &format!("/orders/{id}/reprice"), &price(1)).await;
    assert_eq!((refused.status, refused.problem()), (409, "already_paid"));
    world.stop_audited().await;
}

/// Red when an answer is made of how the order stands now.
#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_key_gets_the_first_answer_whatever_became_of_the_order() {
    let world = World::start().await;
    let first = post_once(&world, ADMIN, "/orders", &order("1", 100), "k").await;
    let id = first.json["id"].as_str().unwrap().to_owned();
    let path = format!("/orders/{id}/reprice");
    let repriced = post_once(&world, ADMIN, &path, &price(200), "r").await;
    assert_eq!(repriced.json["total_minor"], 200);
    post(&world, ADMIN, &path, &price(300)).await.expect(200);
    let events = world.events().await;
    let again = post_once(&world, ADMIN, "/orders", &order("1", 100), "k").await;
    assert_eq!((again.status, &again.json), (201, &first.json));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(first.header("idempotent-replayed"), None);
    let again = post_once(&world, ADMIN, &path, &price(200), "r").await;
    assert_eq!((again.status, &again.json), (200, &repriced.json));
    assert_eq!(world.events().await, events);
    // Another request under the key, whatever it is.
    for (path, body) in [
        ("/orders".to_owned(), order("1", 101)),
        ("/orders".to_owned(), order("2", 100)),
        (path, price(100)),
        ("/customers/tokens".to_owned(), json!({"customer": "c"})),
    ] {
        let reused = post_once(&world, ADMIN, &path, &body, "k").await;
        assert_eq!(
            (reused.status, reused.problem()),
            (422, "idempotency_key_reused")
        );
    }
    // The key is the merchant's own.
    let rival = post_once(&world, RIVAL, "/orders", &order("1", 100), "k").await;
    assert_ne!(rival.expect(201)["id"], first.json["id"]);
    world.stop_audited().await;
}

/// Red when a refusal keeps the key.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_leaves_its_key_free() {
    let world = World::start().await;
    let id = placed(&world, "3", 300).await;
    let path = format!("/orders/{id}/cancel");
    let reason = json!({"reason": "changed my mind"});
    let rebate =
        json!({"currency": "usd", "lines": [{"name": "Rebate", "unit_minor": -1, "quantity": 1}]});
    let reprice = format!("/orders/{id}/reprice");
    for _ in 0..2 {
        let refused = post_once(&world, ADMIN, &reprice, &rebate, "x").await;
        assert_eq!(
            (refused.status, refused.problem()),
            (422, "lines_do_not_add_up")
        );
    }
    let cancelled = post_once(&world, ADMIN, &path, &reason, "x")
        .await
        .expect(200);
    assert_eq!(cancelled["status"], "cancelled");
    assert_eq!(cancelled["cancel_reason"], "changed my mind");
    let again = post_once(&world, ADMIN, &path, &reason, "x").await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.expect(200), cancelled);
    let late = post(&world, ADMIN, &reprice, &price(5)).await;
    assert_eq!((late.status, late.problem()), (409, "order_is_cancelled"));
    world.stop_audited().await;
}

/// Red when the order is cancelled and its payment is left to be paid.
#[tokio::test(flavor = "multi_thread")]
async fn cancelling_an_order_cancels_its_live_payment_at_stripe() {
    let world = World::start().await;
    let id = placed(&world, "4", 400).await;
    let intent = payment_asked(&world, "4").await;
    let path = format!("/orders/{id}/cancel");
    let cancelled = post(&world, ADMIN, &path, &json!({"reason": "sold out"})).await;
    assert_eq!(cancelled.expect(200)["live"], Value::Null);
    let at_stripe = world.intents_at_stripe("acme").await;
    let there = at_stripe
        .iter()
        .find(|it| it["id"] == intent.as_str())
        .unwrap();
    assert_eq!(there["status"], "canceled");
    assert_ne!(pays(&world, &intent).await.status, 200);
    world.stop_audited().await;
}

/// Red when the price changes and the payment keeps the old amount.
#[tokio::test(flavor = "multi_thread")]
async fn another_price_goes_to_the_live_payment_too() {
    let world = World::start().await;
    let id = placed(&world, "5", 500).await;
    let intent = payment_asked(&world, "5").await;
    let path = format!("/orders/{id}/reprice");
    let repriced = post(&world, ADMIN, &path, &price(650)).await.expect(200);
    assert_eq!(repriced["live"]["amount_minor"], 650);
    let payment = get(&world, ADMIN, &format!("/payments/{intent}"))
        .await
        .expect(200);
    assert_eq!(payment["amount_minor"], 650);
    // Less than Stripe would charge is refused, and nothing changes.
    let refused = post(&world, ADMIN, &path, &price(1)).await;
    assert_eq!(
        (refused.status, refused.problem()),
        (422, "amount_too_small")
    );
    pays(&world, &intent).await.expect(200);
    support::until("the order is paid", async || {
        get(&world, ADMIN, &format!("/orders/{id}")).await.json["status"] == "paid"
    })
    .await;
    world.stop_audited().await;
}

/// An order that is paid on a checkout's page: opened through its door, and found in the list.
async fn checkout_opened(world: &World) -> String {
    let opened = world
        .post("/payment/stripe/v1/checkout")
        .bearer_auth("customer-9")
        .header("x-api-key", "bokamera-acme")
        .json(&json!({
            "CompanyId": "11111111-1111-1111-1111-111111111111", "CountryCode": "SE",
            "Articles": [{"ArticleId": 1, "Quantity": 2}], "InternalReferenceId": "b-1", "UiMode": "hosted",
        }));
    let opened = ask(opened).await;
    assert_eq!(opened.status, 200, "{}", opened.text);
    let found = get(world, ADMIN, "/orders?source=checkout")
        .await
        .expect(200);
    found["data"][0]["id"].as_str().unwrap().to_owned()
}

/// Red when a page stays open on which an order is paid that is cancelled, or has another price.
#[tokio::test(flavor = "multi_thread")]
async fn an_open_checkout_is_closed_before_its_order_changes() {
    let world = World::start().await;
    let id = checkout_opened(&world).await;
    let order = get(&world, ADMIN, &format!("/orders/{id}"))
        .await
        .expect(200);
    let session = order["live"]["session"].as_str().unwrap().to_owned();
    let mut body = price(100);
    body["currency"] = json!("sek");
    let path = format!("/orders/{id}/reprice");
    body["lines"][0]["unit_minor"] = json!(99_00);
    let repriced = post(&world, ADMIN, &path, &body).await.expect(200);
    assert_eq!(
        (&repriced["live"], &repriced["total_minor"]),
        (&Value::Null, &json!(9900))
    );
    let path = format!("/v1/checkout/sessions/{session}");
    let at_stripe = ask(world.stripe(Method::GET, &path)).await.expect(200);
    assert_eq!(at_stripe["status"], "expired");
    let cancelled = post(
        &world,
        ADMIN,
        &format!("/orders/{id}/cancel"),
        &json!({"reason": "x"}),
    )
    .await;
    assert_eq!(cancelled.expect(200)["status"], "cancelled");
    world.stop_audited().await;
}

/// The feed and the lists go further than an order does, and show nothing of its person.
#[tokio::test(flavor = "multi_thread")]
async fn personal_data_is_shown_with_its_order_alone() {
    let world = World::start().await;
    let mut body = order("6", 600);
    body["personal"] = json!({
        "email": "someone@example.com",
        "shipping": {"name": "Some One", "phone": "+46 8 1", "address": {"city": "Lund", "line1": "Street 1"}},
    });
    let made = post(&world, ADMIN, "/orders", &body).await.expect(201);
    assert_eq!(made["personal"]["email"], "someone@example.com");
    let id = made["id"].as_str().unwrap();
    let read = get(&world, ADMIN, &format!("/orders/{id}"))
        .await
        .expect(200);
    assert_eq!(read["personal"], made["personal"]);
    for path in [
        "/events?limit=100",
        "/orders",
        &format!("/orders/{id}/events"),
    ] {
        let told = get(&world, ADMIN, path).await;
        assert_eq!(told.status, 200);
        assert!(
            !told.text.contains("someone@") && !told.text.contains("Lund"),
            "{path}"
        );
    }
    world.stop_audited().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_told_page_by_page_and_misses_and_repeats_nothing() {
    let world = World::start().await;
    for number in 0..12 {
        placed(&world, &format!("p-{number}"), 100 + number).await;
    }
    let whole = get(&world, ADMIN, "/orders?limit=100&source=shop")
        .await
        .expect(200);
    let ids = |list: &Value| -> Vec<String> {
        let data = list["data"].as_array().unwrap();
        data.iter()
            .map(|it| it["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let (mut paged, mut after) = (Vec::new(), String::new());
    loop {
        let path = format!("/orders?limit=5&source=shop{after}");
        let page = get(&world, ADMIN, &path).await.expect(200);
        paged.extend(ids(&page));
        // What is placed or changed meanwhile moves nothing that is there.
        let meanwhile = placed(&world, &format!("m-{}", paged.len()), 100).await;
        post(
            &world,
            ADMIN,
            &format!("/orders/{meanwhile}/reprice"),
            &price(777),
        )
        .await
        .expect(200);
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
        assert_eq!(page["has_more"], true);
    }
    let unique: std::collections::BTreeSet<&String> = paged.iter().collect();
    assert_eq!(unique.len(), paged.len());
    assert!(ids(&whole).iter().all(|id| paged.contains(id)));
    let one = get(
        &world,
        ADMIN,
        "/orders?reference=p-3&customer=customer-9&status=open",
    )
    .await;
    assert_eq!(one.expect(200)["data"].as_array().unwrap().len(), 1);
    let none = get(&world, ADMIN, "/orders?reference=p-3&status=paid")
        .await
        .expect(200);
    assert_eq!(none["data"], json!([]));
    world.stop_audited().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_life_of_an_order_is_its_events_and_those_of_its_payments() {
    let world = World::start().await;
    let id = placed(&world, "8", 800).await;
    payment_asked(&world, "8").await;
    let life = get(&world, FINANCE, &format!("/orders/{id}/events"))
        .await
        .expect(200);
    let types: Vec<&str> = life["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["type"].as_str().unwrap())
        .collect();
    assert_eq!(types[0], "OrderPlaced");
    assert!(
        types.contains(&"PaymentAttached") && types.contains(&"Created"),
        "{types:?}"
    );
    assert_eq!(
        life["data"][0]["actor"].as_str().unwrap().split(':').next(),
        Some("key")
    );
    assert_eq!(life["data"][0]["door"], "native");
    world.stop_audited().await;
}
