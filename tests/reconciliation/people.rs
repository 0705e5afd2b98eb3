//! What people do about breaks.

use crate::support::{World, send};
use crate::{at_stripe, forge, pay, quiet, reconcile};
use reqwest::Method;
use serde_json::{Value, json};

async fn with_a_break() -> (World, String) {
    let world = World::start().await;
    pay(&world, 1_000).await;
    quiet(&world).await;
    reconcile(&world).await;
    let charge = at_stripe(&world, "charges").await.remove(0);
    forge(
        &world,
        json!({"id": charge["balance_transaction"], "set": {"fee": 1}}),
    )
    .await;
    let read = reconcile(&world).await;
    let id = read.lines.iter().find_map(|it| it.id).unwrap();
    (world, id.to_string())
}

async fn ask(
    world: &World,
    key: &str,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> (u16, Value) {
    let path = format!("/ledger/v1/{path}");
    let request = world.request(method, &path).bearer_auth(key);
    let request = match body {
        Some(body) => request.json(&body),
        None => request,
    };
    send(request).await
}

/// Planted bug: letting the key that resolved approve as well.
#[tokio::test(flavor = "multi_thread")]
async fn one_person_resolves_and_another_approves_and_then_it_is_no_open_break() {
    let (world, id) = with_a_break().await;
    let resolve = format!("reconciliation_breaks/{id}/resolve");
    let approve = format!("reconciliation_breaks/{id}/approve");
    let reason = json!({"reason": "Stripe corrects it next month"});
    let post = Method::POST;
    let (status, it) = ask(&world, "admin-acme", post.clone(), &resolve, Some(reason)).await;
    assert_eq!((status, &it["status"]), (200, &json!("resolved")), "{it}");
    let (status, refused) = ask(
        &world,
        "admin-acme",
        post.clone(),
        &approve,
        Some(json!({})),
    )
    .await;
    assert_eq!(
        (status, &refused["code"]),
        (403, &json!("same_person")),
        "{refused}"
    );
    let (status, it) = ask(&world, "approver-acme", post, &approve, Some(json!({}))).await;
    assert_eq!((status, &it["status"]), (200, &json!("approved")), "{it}");
    quiet(&world).await;
    let read = reconcile(&world).await;
    assert_eq!(read.breaks(), vec![]);
    assert_eq!((read.tail.open, read.tail.approved), (0, 1));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_merchants_breaks_are_not_there() {
    let (world, id) = with_a_break().await;
    let path = format!("reconciliation_breaks/{id}");
    let (status, _) = ask(&world, "admin-acme", Method::GET, &path, None).await;
    assert_eq!(status, 200);
    let (status, _) = ask(&world, "admin-rival", Method::GET, &path, None).await;
    assert_eq!(status, 404);
    let (status, list) = ask(
        &world,
        "admin-rival",
        Method::GET,
        "reconciliation_breaks",
        None,
    )
    .await;
    assert_eq!((status, &list["data"]), (200, &json!([])));
    world.stop().await;
}
