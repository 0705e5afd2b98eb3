//! What hangs on a Stripe payment: its order, its gateway, and its history, related, linked and included.

use crate::stripe_payments::{PATH, attribute, call, change, create, id, send};
use crate::support::World;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// No link of an answer is dead: each is followed, once.
async fn follow(world: &World, value: &Value, seen: &mut BTreeSet<String>) {
    let mut links = Vec::new();
    collect(value, &mut links);
    for link in links {
        if !seen.insert(link.clone()) {
            continue;
        }
        let path = link.strip_prefix(&format!("http://{}", world.address));
        let answer = send(call(world, Method::GET, path.expect("our own address"))).await;
        assert_eq!(answer.status, 200, "{link}: {}", answer.text);
        Box::pin(follow(world, &answer.json, seen)).await;
    }
}

fn collect(value: &Value, links: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if let (true, Some(these)) = (name == "links", field.as_object()) {
                    links.extend(these.values().filter_map(Value::as_str).map(str::to_owned));
                } else {
                    collect(field, links);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, links)),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_link_is_dead() {
    let world = World::start().await;
    let made = create(&world, "ABCRtyUpBa", json!({"reference": "A-1"})).await;
    let mut seen = BTreeSet::new();
    follow(&world, &made.json, &mut seen).await;
    assert!(seen.iter().any(|it| it.contains("/api/orders/ABCRtyUpBa")));
    assert!(seen.iter().any(|it| it.contains("/api/stripe_gateways/")));
    assert!(seen.iter().any(|it| it.contains("/api/event_stores/")));
    world.stop().await;
}

/// Planted bug: diffing against the state after the event, or leaving one out.
#[tokio::test(flavor = "multi_thread")]
async fn the_history_tells_who_changed_what_from_what_to_what() {
    let world = World::start().await;
    let made = id(&create(&world, "ABCRtyUpBa", json!({"reference": "A-1"})).await);
    change(
        &world,
        &made,
        json!({"reference": "A-2", "metadata": {"foo": "bar"}}),
    )
    .await;
    let path = format!("{PATH}/{made}/event_stores?page[size]=25");
    let history = send(call(&world, Method::GET, &path)).await;
    let all = history.json["data"].as_array().unwrap();
    let names: Vec<&str> = all
        .iter()
        .map(|it| it["attributes"]["metadata"]["event_type"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        ["CreateRequested", "Described", "Created", "Described"]
    );
    let first = &all[0]["attributes"];
    assert_eq!(
        (&first["event"], &first["resource_type"]),
        (&json!("create"), &json!("stripe_payments"))
    );
    assert_eq!(first["resource_id"], made);
    assert_eq!(
        first["payload"]["amount_cents"],
        json!({"from": null, "to": 5900})
    );
    assert_eq!(first["who"]["application"]["kind"], "stripe_payments");
    assert!(
        first["who"]["actor"]
            .as_str()
            .unwrap()
            .starts_with("key:key_acme")
    );
    assert_eq!(
        all[3]["attributes"]["payload"],
        json!({"reference": {"from": "A-1", "to": "A-2"}, "metadata": {"from": {}, "to": {"foo": "bar"}}})
    );
    let versions = send(call(
        &world,
        Method::GET,
        &format!("{PATH}/{made}/versions"),
    ))
    .await;
    assert_eq!(
        versions.json["data"][3]["attributes"]["changes"],
        all[3]["attributes"]["payload"]
    );
    assert!(!history.text.contains("_secret_"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_is_read_page_by_page_by_its_cursor_and_by_number() {
    let world = World::start().await;
    let made = id(&create(&world, "ABCRtyUpBa", json!({})).await);
    for number in 0..4 {
        change(&world, &made, json!({"reference": format!("A-{number}")})).await;
    }
    let mut path = format!("{PATH}/{made}/event_stores?page[size]=2");
    let mut ids = Vec::new();
    for _ in 0..20 {
        let page = send(call(&world, Method::GET, &path)).await;
        assert_eq!(page.json["meta"]["record_count"], 6, "{}", page.text);
        let here = page.json["data"].as_array().unwrap();
        ids.extend(here.iter().map(|it| it["id"].as_str().unwrap().to_owned()));
        let Some(next) = page.json["links"]["next"].as_str() else {
            break;
        };
        path = next
            .strip_prefix(&format!("http://{}", world.address))
            .unwrap()
            .to_owned();
    }
    let expected: Vec<String> = (1..=6).map(|number| format!("{made}-{number}")).collect();
    assert_eq!(ids, expected);
    let second = format!("{PATH}/{made}/versions?page[number]=2&page[size]=5");
    let second = send(call(&world, Method::GET, &second)).await;
    assert_eq!(second.json["data"].as_array().unwrap().len(), 1);
    assert_eq!(second.json["meta"]["page_count"], 2);
    let unknown = format!("{PATH}/{made}/event_stores?page[after]=nobody-1");
    let unknown = send(call(&world, Method::GET, &unknown)).await;
    assert_eq!(unknown.json["errors"][0]["code"], "INVALID_PAGE_VALUE");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_included_is_linked_in_full_and_fields_are_left_out() {
    let world = World::start().await;
    let made = id(&create(&world, "ABCRtyUpBa", json!({})).await);
    let all = format!("{PATH}/{made}?include=order,payment_gateway,versions,event_stores");
    let all = send(call(&world, Method::GET, &all)).await;
    let kinds: BTreeSet<&str> = all.json["included"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        BTreeSet::from(["event_stores", "orders", "stripe_gateways", "versions"])
    );
    let related = &all.json["data"]["relationships"];
    assert_eq!(
        related["order"]["data"],
        json!({"type": "orders", "id": "ABCRtyUpBa"})
    );
    assert_eq!(related["versions"]["data"].as_array().unwrap().len(), 2);
    let few = format!(
        "{PATH}/{made}?include=order&fields[stripe_payments]=stripe_id,order&fields[orders]=status"
    );
    let few = send(call(&world, Method::GET, &few)).await;
    assert_eq!(
        few.json["data"]["attributes"].as_object().unwrap().len(),
        1,
        "{}",
        few.text
    );
    assert_eq!(
        few.json["included"][0]["attributes"],
        json!({"status": "pending"})
    );
    let order = send(call(&world, Method::GET, &format!("{PATH}/{made}/order"))).await;
    assert_eq!(attribute(&order, "currency_code"), "EUR");
    assert_eq!(attribute(&order, "payment_status"), "unpaid");
    let gateway = send(call(
        &world,
        Method::GET,
        &format!("{PATH}/{made}/payment_gateway"),
    ))
    .await;
    assert_eq!(attribute(&gateway, "connected_account"), "acct_acme");
    let linkage = format!("{PATH}/{made}/relationships/order");
    let linkage = send(call(&world, Method::GET, &linkage)).await;
    assert_eq!(
        linkage.json["data"],
        json!({"type": "orders", "id": "ABCRtyUpBa"})
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_a_trace_id_of_its_own() {
    let world = World::start().await;
    let mut traces = BTreeSet::new();
    for _ in 0..5 {
        let list = send(call(&world, Method::GET, PATH)).await;
        traces.insert(list.json["meta"]["trace_id"].as_str().unwrap().to_owned());
    }
    assert_eq!(traces.len(), 5);
    assert!(
        traces
            .iter()
            .all(|it| it.len() == 64 && it.bytes().all(|it| it.is_ascii_hexdigit()))
    );
    world.stop().await;
}
