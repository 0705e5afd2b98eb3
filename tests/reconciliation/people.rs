//! What people do about breaks.

use crate::support::{World, send};
use crate::{at_stripe, forge, pay, quiet, reconcile};
use counterfoil::store::{KeyKind, NewKey, Scope};
use reqwest::Method;
use secrecy::SecretString;
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

/// A key that may give reasons and agree to them.
async fn key_for_both(world: &World) -> &'static str {
    let secret = SecretString::from("both-acme");
    let key = NewKey {
        key_id: "key_both",
        secret: &secret,
        merchant: &crate::acme(),
        kind: KeyKind::Native,
        scopes: &[
            Scope::PaymentsRead,
            Scope::PaymentsWrite,
            Scope::LedgerRead,
            Scope::Approve,
        ],
        customer: None,
    };
    world.app().store().keys.put_key(&key).await.unwrap();
    "both-acme"
}

/// Planted bug: letting the key that resolved approve as well.
#[tokio::test(flavor = "multi_thread")]
async fn one_person_resolves_and_another_approves_and_then_it_is_no_open_break() {
    let (world, id) = with_a_break().await;
    let both = key_for_both(&world).await;
    let path = |what: &str| format!("reconciliation_breaks/{id}/{what}");
    let post = |key, what: &str, body| {
        let path = path(what);
        let world = &world;
        async move { ask(world, key, Method::POST, &path, Some(body)).await }
    };
    let (status, it) = post(both, "assign", json!({"owner": "finance"})).await;
    assert_eq!((status, &it["owner"]), (200, &json!("finance")), "{it}");
    let (status, early) = post("approver-acme", "approve", json!({})).await;
    assert_eq!(
        (status, &early["code"]),
        (409, &json!("not_possible")),
        "{early}"
    );
    let reason = json!({"reason": "Stripe corrects it next month"});
    let (status, it) = post(both, "resolve", reason).await;
    assert_eq!((status, &it["status"]), (200, &json!("resolved")), "{it}");
    let (status, refused) = post(both, "approve", json!({})).await;
    assert_eq!(
        (status, &refused["code"]),
        (403, &json!("same_person")),
        "{refused}"
    );
    let (status, it) = post("approver-acme", "approve", json!({})).await;
    assert_eq!((status, &it["status"]), (200, &json!("approved")), "{it}");
    let read = reconcile(&world).await;
    assert_eq!(read.breaks(), vec![]);
    assert_eq!((read.tail.open, read.tail.approved), (0, 1));
    world.stop().await;
}

/// Planted bug: leaving the key out of the append (what was refused would be resolved again).
#[tokio::test(flavor = "multi_thread")]
async fn under_an_idempotency_key_the_same_is_answered_again() {
    let (world, id) = with_a_break().await;
    let both = key_for_both(&world).await;
    let resolve = || {
        let path = format!("/ledger/v1/reconciliation_breaks/{id}/resolve");
        let request = world
            .post(&path)
            .bearer_auth(both)
            .header("Idempotency-Key", "r");
        request.json(&json!({"reason": "known"}))
    };
    let first = send(resolve()).await;
    assert_eq!(first.0, 200, "{first:?}");
    let refuse = format!("reconciliation_breaks/{id}/refuse");
    let body = Some(json!({"reason": "by whom?"}));
    let (status, it) = ask(&world, "approver-acme", Method::POST, &refuse, body).await;
    assert_eq!((status, &it["status"]), (200, &json!("open")), "{it}");
    let before = world.events().await;
    assert_eq!(send(resolve()).await, first);
    assert_eq!(world.events().await, before);
    let path = format!("reconciliation_breaks/{id}");
    let (_, it) = ask(&world, "admin-acme", Method::GET, &path, None).await;
    assert_eq!(it["status"], "open", "the answer is of then: {it}");
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
