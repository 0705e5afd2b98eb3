//! Customers and their payment methods: changed at Stripe with an intention before and an outcome after.

use crate::{CARD, Client, OURS, path_of, text, world};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_is_made_read_changed_and_deleted() {
    let world = world().await;
    let door = Client::new(&world);
    let form = [
        ("name", "Ada"),
        ("email", "ada@example.com"),
        ("address[city]", "London"),
        ("metadata[tier]", "one"),
    ];
    let ada = door.post("/v1/customers", &form).await.ok();
    assert_eq!(text(&ada["address"], "city"), "London");
    assert_eq!(ada["metadata"], json!({"tier": "one"}));
    let path = path_of("customers", &ada);
    assert_eq!(door.get(&path).await.ok(), ada);
    let mut at_stripe = Client::at_stripe(&world).get(&path).await.ok();
    let metadata = at_stripe["metadata"].as_object_mut().unwrap();
    metadata.retain(|name, _| !name.starts_with(OURS));
    assert_eq!(at_stripe, ada);
    let form = [("name", ""), ("address", ""), ("metadata[tier]", "")];
    let changed = door.post(&path, &form).await.ok();
    assert_eq!(
        (&changed["name"], &changed["address"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(changed["metadata"], json!({}));
    let gone = door.delete(&path).await.ok();
    assert_eq!(gone["deleted"], true);
    assert_eq!(door.get(&path).await.ok(), gone);
    let missing = door.post(&path, &[("name", "Ada")]).await;
    assert_eq!(
        (missing.status, missing.error().1),
        (404, "resource_missing")
    );

    let asked = ["ChangeRequested"; 4];
    let history = world.history("acme").await;
    let named = |name: &str| history.iter().filter(|it| *it == name).count();
    assert_eq!(named("ChangeRequested"), asked.len());
    assert_eq!((named("ChangeMade"), named("ChangeRefused")), (3, 1));
    world.stop_audited().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_is_made_a_method_attached_changed_listed_used_and_detached() {
    let world = world().await;
    let door = Client::new(&world);
    let ada = door.post("/v1/customers", &[]).await.ok();
    let bob = door.post("/v1/customers", &[]).await.ok();
    let before = world.events().await;
    let made = door.post("/v1/payment_methods", &CARD).await;
    assert!(!made.text.contains("4242424242424242"));
    let card = made.ok();
    assert_eq!(text(&card["card"], "last4"), "4242");
    assert_eq!(world.events().await, before);

    let path = path_of("payment_methods", &card);
    let customer = [("customer", text(&ada, "id"))];
    let attach = format!("{path}/attach");
    let attached = door.post(&attach, &customer).await.ok();
    assert_eq!(attached["customer"], ada["id"]);
    let other = door.post(&attach, &[("customer", text(&bob, "id"))]).await;
    assert_eq!(other.status, 400, "{}", other.text);
    let form = [("billing_details[name]", "Ada L."), ("metadata[a]", "b")];
    let changed = door.post(&path, &form).await.ok();
    assert_eq!(text(&changed["billing_details"], "name"), "Ada L.");
    let of_ada = format!("{}/payment_methods", path_of("customers", &ada));
    for list in [
        format!(
            "/v1/payment_methods?customer={}&type=card",
            text(&ada, "id")
        ),
        of_ada,
    ] {
        assert_eq!(
            door.get(&list).await.ok()["data"],
            json!([changed]),
            "{list}"
        );
    }
    let used = [
        ("customer", text(&ada, "id")),
        ("payment_method", text(&card, "id")),
        ("confirm", "true"),
    ];
    assert_eq!(text(&door.intent(&used).await.ok(), "status"), "succeeded");
    let detached = door.post(&format!("{path}/detach"), &[]).await.ok();
    assert_eq!(detached["customer"], Value::Null);
    let again = door.post(&attach, &customer).await;
    assert_eq!(again.status, 400, "{}", again.text);
    world.stop_audited().await;
}

/// What Stripe refuses is its own word, and on record; what it never was asked leaves no trace.
#[tokio::test(flavor = "multi_thread")]
async fn what_stripe_refuses_is_answered_in_its_words() {
    let world = world().await;
    let (door, stripe) = (Client::new(&world), Client::at_stripe(&world));
    for form in [
        ("email", "nobody"),
        ("colour", "red"),
        ("address[street]", "x"),
        ("payment_method", "pm_x"),
    ] {
        let here = door.post("/v1/customers", &[form]).await;
        let there = stripe.post("/v1/customers", &[form]).await;
        assert_eq!(here.error(), there.error(), "{form:?}");
        assert_eq!(
            here.body["error"]["message"],
            there.body["error"]["message"]
        );
    }
    assert_eq!(door.get("/v1/customers").await.ok()["data"], json!([]));
    let mut history = world.history("acme").await;
    history.retain(|it| it.starts_with("Change"));
    assert_eq!(history, ["ChangeRequested", "ChangeRefused"].repeat(4));
    world.stop_audited().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_card_is_refused_by_stripe_and_never_repeated() {
    let world = world().await;
    let door = Client::new(&world);
    let mut form = CARD;
    for (number, code) in [
        ("4242424242424241", "incorrect_number"),
        ("1", "incorrect_number"),
    ] {
        form[1].1 = number;
        let refused = door.post("/v1/payment_methods", &form).await;
        assert_eq!(
            (refused.status, refused.error().1),
            (402, code),
            "{}",
            refused.text
        );
        assert!(!refused.text.contains("424242"), "{}", refused.text);
    }
    world.stop_audited().await;
}
