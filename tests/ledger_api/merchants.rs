//! Merchants: the caller's own, and new ones.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_merchant_is_made_by_an_operator_and_gets_its_first_key_once() {
    let world = World::start().await;
    let body = json!({"id": "shoes", "name": "Shoes", "stripe_account": "nowhere"});
    let refused = post_once(&world, ADMIN, "/merchants", &body, "m").await;
    assert_eq!(
        (refused.status, refused.problem()),
        (422, "unknown_stripe_account")
    );
    let body = json!({"id": "shoes", "name": "Shoes", "stripe_account": "acme"});
    let taken = post_once(&world, ADMIN, "/merchants", &body, "n").await;
    assert_eq!(
        (taken.status, taken.problem()),
        (409, "stripe_account_taken")
    );
    let body = json!({"id": "rival", "name": "Rival", "stripe_account": "rival"});
    let exists = post(&world, ADMIN, "/merchants", &body).await;
    assert_eq!((exists.status, exists.problem()), (409, "merchant_exists"));
    let wrong = post(&world, ADMIN, "/merchants", &json!({"id": "Über"})).await;
    assert_eq!(wrong.places(), ["/id", "/name", "/stripe_account"]);
    // Nothing was made: the accounts of the fixtures are all taken, and so one of them is set free by its own means.
    let free = "update merchants set stripe_account = 'elsewhere' where id = 'seedpay'";
    sqlx::query(free)
        .execute(world.app().store().pool())
        .await
        .unwrap();
    let body = json!({"id": "shoes", "name": "Shoes", "stripe_account": "seedpay", "enforce_minimum": false});
    let made = post_once(&world, ADMIN, "/merchants", &body, "m2")
        .await
        .expect(201);
    let secret = made["key"]["secret"].as_str().unwrap().to_owned();
    assert_eq!(made["id"], "shoes");
    let again = post_once(&world, ADMIN, "/merchants", &body, "m2").await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(
        (
            again.json["key"]["id"].clone(),
            again.json["key"].get("secret")
        ),
        (made["key"]["id"].clone(), None)
    );
    // It is at home at once, and in nobody else's house.
    let own = get(&world, &secret, "/merchants").await.expect(200);
    assert_eq!(
        (own["id"].as_str(), own["enforce_minimum"].as_bool()),
        (Some("shoes"), Some(false))
    );
    assert_eq!(
        get(&world, &secret, "/orders").await.expect(200)["data"],
        json!([])
    );
    let refused = post(&world, &secret, "/merchants", &body).await;
    assert_eq!((refused.status, refused.problem()), (403, "scope_missing"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merchant_changes_its_own_settings_and_they_hold_at_once() {
    let world = World::start().await;
    let small = order("small", 10);
    let id = post(&world, ADMIN, "/orders", &small).await.expect(201)["id"].clone();
    let ask_payment = || {
        ask(world
            .post("/api/v1/shop/orders/small/payment-intent")
            .bearer_auth("customer-9")
            .header("X-API-Key", "123456789"))
    };
    assert!(id.is_string() && ask_payment().await.status >= 400);
    let body = json!({"name": "Acme & Sons", "enforce_minimum": false});
    let path = "/ledger/v1/merchants";
    let changed = ask(world
        .request(Method::PATCH, path)
        .bearer_auth(ADMIN)
        .json(&body))
    .await
    .expect(200);
    assert_eq!(
        (&changed["name"], &changed["enforce_minimum"]),
        (&body["name"], &json!(false))
    );
    // The simulator's account still has the rule: what is asked now is asked of Stripe, and refused there.
    let after = ask_payment().await;
    assert!(after.status >= 400);
    let payments = get(&world, ADMIN, "/payments").await.expect(200);
    assert_eq!(
        payments["data"].as_array().unwrap().len(),
        1,
        "our own rule let it pass"
    );
    let wrong = ask(world
        .request(Method::PATCH, path)
        .bearer_auth(ADMIN)
        .json(&json!({"stripe_account": "rival"})))
    .await;
    assert_eq!(
        (wrong.status, wrong.places()),
        (400, vec!["/stripe_account"])
    );
    world.stop().await;
}
