//! Lists and searches: pages, filters, expansions, and nothing in them that is not for everybody who may read.

use crate::support::World;
use crate::{Client, pause_webhooks, text, world};
use reqwest::Method;
use serde_json::{Value, json};

/// A merchant on whose account nothing stands from the start.
fn fresh(world: &World) -> Client<'_> {
    Client::with_key(world, "sk_test_rival")
}

/// Seven intents, newest first, as a list shows them. Each is a minute younger than the one before it.
async fn seven(world: &World) -> Vec<Value> {
    let door = fresh(world);
    for number in 1..=7 {
        let order = number.to_string();
        let ready = ("payment_method", "pm_card_visa");
        door.intent(&[("metadata[order]", &order), ready])
            .await
            .ok();
        let minute = json!({"advance_s": 60});
        world.sim(Method::POST, "clock", Some(minute)).await;
    }
    let list = door.get("/v1/payment_intents?limit=7").await.ok();
    list["data"].as_array().unwrap().clone()
}

/// The orders of the intents in a list, as they were numbered; and whether there are more.
fn orders(list: &Value) -> (String, bool) {
    let data = list["data"].as_array().unwrap();
    let orders = data.iter().map(|it| text(&it["metadata"], "order"));
    (orders.collect(), list["has_more"].as_bool().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_paged_forwards_and_backwards_and_bounded_in_time() {
    let world = world().await;
    pause_webhooks(&world).await;
    let door = fresh(&world);
    let all = seven(&world).await;
    let id = |order: usize| text(&all[7 - order], "id");
    let at = |order: usize| all[7 - order]["created"].as_i64().unwrap();
    let cases = [
        ("limit=3".to_owned(), ("765", true)),
        (format!("limit=3&starting_after={}", id(5)), ("432", true)),
        (format!("limit=3&starting_after={}", id(3)), ("21", false)),
        (format!("limit=3&ending_before={}", id(3)), ("654", true)),
        (format!("limit=3&ending_before={}", id(6)), ("7", false)),
        (format!("created[gte]={}", at(5)), ("765", false)),
        (format!("created[gt]={}", at(5)), ("76", false)),
        (
            format!("created[gte]={}&created[lt]={}", at(2), at(5)),
            ("432", false),
        ),
        (format!("created={}", at(4)), ("4", false)),
        (format!("created[gte]={}&limit=2", at(3)), ("76", true)),
    ];
    for (query, (expected, more)) in cases {
        let list = door.get(&format!("/v1/payment_intents?{query}")).await.ok();
        assert_eq!(orders(&list), (expected.to_owned(), more), "{query}");
        assert_eq!(text(&list, "url"), "/v1/payment_intents");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_cannot_be_is_refused_in_stripes_words() {
    let world = world().await;
    let (door, stripe) = (Client::new(&world), Client::at_stripe(&world));
    let made = door.intent(&[]).await.ok();
    let both = format!("starting_after={0}&ending_before={0}", text(&made, "id"));
    let cases = [
        ("limit=0", "parameter_invalid_integer", "limit"),
        ("limit=101", "parameter_invalid_integer", "limit"),
        ("limit=x", "parameter_invalid_integer", "limit"),
        (
            "starting_after=pi_none",
            "resource_missing",
            "starting_after",
        ),
        (&both, "", "starting_after"),
        ("colour=red", "parameter_unknown", "colour"),
        ("expand[]=data.amount", "", "expand"),
        ("expand[]=data.a.b.c.d", "", "expand"),
    ];
    for (query, code, param) in cases {
        let path = format!("/v1/payment_intents?{query}");
        let here = door.get(&path).await;
        assert_eq!(here.error(), (400, code, param), "{query}: {}", here.text);
        let there = stripe.get(&path).await;
        assert_eq!(
            here.body["error"]["message"],
            there.body["error"]["message"]
        );
    }
    world.stop().await;
}

/// Planted bug: taking a list for one object, whose secrets are its maker's to see.
#[tokio::test(flavor = "multi_thread")]
async fn a_search_finds_by_metadata_and_state() {
    let world = world().await;
    pause_webhooks(&world).await;
    let door = fresh(&world);
    seven(&world).await;
    let search = async |query: &str| {
        let query = serde_urlencoded::to_string([("query", query)]).unwrap();
        door.get(&format!("/v1/payment_intents/search?{query}"))
            .await
    };
    let found = search("metadata['order']:'3'").await;
    assert!(!found.text.contains("_secret_"), "{}", found.text);
    assert_eq!(text(&found.body, "object"), "search_result");
    assert_eq!(orders(&found.body).0, "3");
    let found = search("status:'requires_confirmation' AND -metadata['order']:'3'").await;
    assert_eq!(orders(&found.ok()).0, "765421");
    assert_eq!(
        search("metadata['order']:'8'").await.ok()["data"],
        json!([])
    );
    assert_eq!(search("colour:'red'").await.status, 400);
    assert_eq!(search("").await.status, 400);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_in_objects_and_in_lists_become_what_they_name() {
    let world = world().await;
    let door = Client::new(&world);
    let ada = door.post("/v1/customers", &[("name", "Ada")]).await.ok();
    let form = [
        ("customer", text(&ada, "id")),
        ("payment_method", "pm_card_visa"),
        ("confirm", "true"),
        ("expand[]", "customer"),
        ("expand[1]", "latest_charge.balance_transaction"),
    ];
    let paid = door.intent(&form).await.ok();
    assert_eq!(text(&paid["customer"], "name"), "Ada");
    let booked = &paid["latest_charge"]["balance_transaction"];
    assert_eq!(
        (text(booked, "object"), &booked["amount"]),
        ("balance_transaction", &json!(1000))
    );
    let path = format!(
        "/v1/payment_intents/{}?expand[]=customer&expand[]=latest_charge.balance_transaction",
        text(&paid, "id")
    );
    assert_eq!(door.get(&path).await.ok(), paid);
    let list = door
        .get("/v1/payment_intents?limit=1&expand[]=data.latest_charge&expand[]=data.customer")
        .await
        .ok();
    assert_eq!(list["data"][0]["customer"]["name"], "Ada");
    assert_eq!(
        list["data"][0]["latest_charge"]["id"],
        paid["latest_charge"]["id"]
    );
    let inside = door.get("/v1/charges?expand[]=data.payment_intent").await;
    assert!(!inside.text.contains("_secret_"), "{}", inside.text);
    assert_eq!(inside.body["data"][0]["payment_intent"]["id"], paid["id"]);
    let open = door.intent(&form[..1]).await.ok();
    let path = format!("/v1/payment_intents/{}", text(&open, "id"));
    let update = [("metadata[a]", "b"), ("expand[]", "customer")];
    let updated = door.post(&path, &update).await.ok();
    assert_eq!(updated["customer"]["name"], "Ada");
    world.stop().await;
}
