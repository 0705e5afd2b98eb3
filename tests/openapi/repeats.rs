//! The matrix of idempotency keys: every write of the document that takes one, sent twice, at once, for something else, and after a
//! restart. What takes none is on a list that says why.
//!
//! Planted bugs that turn this red: a change of a webhook endpoint that does not look at its key; a change of a payment source that
//! is answered from how it stands now.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use tokio::net::TcpListener;

use super::keys::{presented, request, ways};
use super::operations;
use super::support::description::resolved;
use super::support::{self, Setup, World, described, send, until};
use super::things::{Things, quiet_world};

/// What writes and takes no key, by how its path begins, and why none is needed: asked twice, it leaves the same.
const WITHOUT: &[(&str, &str, &str)] = &[
    (
        "post",
        "/api/v1/shop/orders/",
        "the order itself is the key: it has one live payment, and is paid once",
    ),
    ("post", "/webhooks/stripe/", "the event's own id is the key"),
    ("post", "/payment/stripe/v1/checkout/status", "it reads"),
    ("post", "/api/GetStripeCheckoutV1CheckoutStatus", "it reads"),
    (
        "post",
        "/json/reply/GetStripeCheckoutV1CheckoutStatus",
        "it reads",
    ),
    (
        "post",
        "/xml/reply/GetStripeCheckoutV1CheckoutStatus",
        "it reads",
    ),
    (
        "post",
        "/csv/reply/GetStripeCheckoutV1CheckoutStatus",
        "it reads",
    ),
    (
        "post",
        "/jsv/reply/GetStripeCheckoutV1CheckoutStatus",
        "it reads",
    ),
    (
        "post",
        "/api/stripe_payments/{id}/relationships/",
        "it is refused, always",
    ),
    (
        "patch",
        "/api/stripe_payments/{id}/relationships/",
        "it is refused, always",
    ),
    (
        "delete",
        "/api/stripe_payments/{id}/relationships/",
        "it is refused, always",
    ),
    (
        "post",
        "/ledger/v1/periods/",
        "a month is closed once; closing it again changes nothing",
    ),
    (
        "post",
        "/ledger/v1/chart/",
        "an account has one name, and keeps the one that it has",
    ),
    (
        "delete",
        "/ledger/v1/chart/",
        "an account without a name keeps none",
    ),
    (
        "post",
        "/ledger/v1/bank-statements",
        "each line of a statement is known again",
    ),
    (
        "post",
        "/ledger/v1/bank-lines/",
        "a line is one payout's or none's, and is left as it was asked to be",
    ),
    (
        "patch",
        "/ledger/v1/merchants",
        "it sets what is given to what is given",
    ),
    (
        "delete",
        "/ledger/v1/keys/",
        "a key ends once; ending it again is answered the same",
    ),
    (
        "delete",
        "/ledger/v1/customers/tokens/",
        "a token ends once; ending it again is answered the same",
    ),
];

/// Members of answers that differ: what names the one request, and secrets that are in one answer alone.
const DIFFERING: &[&str] = &[
    "apirequest_oid",
    "meta",
    "instance",
    "request_log_url",
    "secret",
    "ResponseStatus",
];

type Operation = (&'static str, &'static str, &'static Value);

fn takes_a_key(operation: &'static Value) -> bool {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    parameters
        .map(resolved)
        .any(|it| it["name"] == "Idempotency-Key")
}

fn writes() -> impl Iterator<Item = Operation> {
    operations().into_iter().filter(|it| it.0 != "get")
}

#[test]
fn every_write_takes_a_key_or_says_why_it_needs_none() {
    let listed = |(method, path, _): Operation| {
        let is_it = |it: &&(&str, &str, &str)| it.0 == method && path.starts_with(it.1);
        WITHOUT.iter().find(is_it)
    };
    let mut used = BTreeSet::new();
    for operation in writes() {
        let at = format!("{} {}", operation.0, operation.1);
        match (takes_a_key(operation.2), listed(operation)) {
            (true, None) => {}
            (true, Some(why)) => panic!("{at} takes a key, and is on the list: {why:?}"),
            (false, None) => panic!("{at} takes no key"),
            (false, Some(why)) => drop(used.insert(why)),
        }
    }
    assert_eq!(used.len(), WITHOUT.len(), "the list names what there is");
}

/// The keyed writes, what changes what others need last.
fn keyed() -> Vec<Operation> {
    let mut keyed: Vec<Operation> = writes().filter(|it| takes_a_key(it.2)).collect();
    let ends = |it: &Operation| {
        let last = it.1.rsplit('/').next().unwrap_or_default();
        it.0 == "delete" || ["cancel", "expire", "detach", "close", "withdraw"].contains(&last)
    };
    keyed.sort_by_key(|it| (ends(it), it.0 == "delete"));
    keyed
}

fn under(world: &World, things: &Things, operation: Operation, key: &str) -> RequestBuilder {
    let way = &ways(operation.2)[0];
    let request = presented(request(world, things, operation), way, |it| {
        Some(it.0.acme.to_owned())
    });
    request.header("Idempotency-Key", key)
}

/// Status and body, without what differs.
async fn answer(request: RequestBuilder) -> (u16, String) {
    let (status, _, text) = described(request).await;
    (status, alike(&text))
}

fn alike(text: &str) -> String {
    let Ok(mut said) = serde_json::from_str::<Value>(text) else {
        return text.to_owned();
    };
    without(&mut said);
    said.to_string()
}

fn without(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|name, _| !DIFFERING.contains(&name.as_str()));
            members.values_mut().for_each(without);
        }
        Value::Array(items) => items.iter_mut().for_each(without),
        _ => {}
    }
}

/// How much there is of everything at Stripe that a write makes, and how many events, rows of the register and endpoints.
async fn effects(world: &World, things: &Things) -> BTreeMap<String, i64> {
    at_rest(world).await;
    let mut all = things.everything(world).await;
    for kept in [
        "claims",
        "checkpoints",
        "journal",
        "rebuild_tables",
        // One run has many.
        "reconciliation_pages",
        "recovery_work",
        "subject_keys",
        "events",
        "log_head",
    ] {
        all.remove(kept);
    }
    all
}

/// Waits for what goes on by itself once it was begun.
async fn at_rest(world: &World) {
    until("runs and rebuilds have ended", async || {
        let running: i64 = sqlx::query_scalar(
            "select (select count(*) from reconciliation_runs where status in ('reading', 'comparing'))
                  + (select count(*) from reconciliation_work)
                  + (select count(*) from rebuilds where state = 'running')",
        )
        .fetch_one(world.app().store().pool())
        .await
        .unwrap();
        running == 0
    })
    .await;
}

async fn events(world: &World) -> i64 {
    world.events().await
}

/// What a door says of a key that was used for something else.
fn is_conflict((status, body): &(u16, String)) -> bool {
    [400, 409, 422].contains(status) && body.to_ascii_lowercase().contains("idempot")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_makes_every_write_happen_once_and_answers_it_the_same() {
    let mut world = quiet_world().await;
    let spare = world.post("/ledger/v1/keys").bearer_auth("admin-acme");
    let spare = spare.json(&json!({"kind": "native", "scopes": ["ledger:read"]}));
    let (_, spare) = send(spare).await;
    let spare = spare["id"].as_str().unwrap().to_owned();
    // A key that nothing here is asked with, since it is rolled.
    let things = Things::made(&world).await;
    let things = things.with("/ledger/v1/keys/", spare);
    let mut wrong = Vec::new();
    let mut done = Vec::new();
    for operation in keyed() {
        let at = format!("{} {}", operation.0, operation.1);
        let key = format!("matrix {at}");
        let first = answer(under(&world, &things, operation, &key)).await;
        if first.0 >= 500 {
            wrong.push(format!("{at} → {first:?}"));
            continue;
        }
        let (before, events_before) = (effects(&world, &things).await, events(&world).await);
        let (status, headers, text) = described(under(&world, &things, operation, &key)).await;
        let again = (status, alike(&text));
        if again != first {
            wrong.push(format!("{at} answers {first:?}, and then {again:?}"));
        }
        // At Stripe's door a repeat says that it is one.
        let says_so = headers
            .get("idempotent-replayed")
            .is_some_and(|it| it == "true");
        if operation.2["tags"][0] == "Stripe" && first.0 < 300 && !says_so {
            wrong.push(format!("{at} does not say that it is a repeat"));
        }
        if first.0 >= 300 {
            continue;
        }
        if (effects(&world, &things).await, events(&world).await) != (before, events_before) {
            wrong.push(format!("{at} did something twice under one key"));
        }
        done.push((operation, key, first));
    }
    at_once(&world, &things, &mut wrong).await;
    for_something_else(&world, &things, &done, &mut wrong).await;
    restart(&mut world).await;
    for (operation, key, first) in &done {
        let again = answer(under(&world, &things, *operation, key)).await;
        if again != *first {
            wrong.push(format!(
                "{} {} answers {first:?}, and after a restart {again:?}",
                operation.0, operation.1
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(done.len() > 35, "only {} had an effect", done.len());
    world.stop().await;
}

/// Another service on the same address and database. The fixtures are not what they were: they are not loaded again.
async fn restart(world: &mut World) {
    world.stop_service().await;
    let listener = TcpListener::bind(world.address).await.unwrap();
    let setup = Setup {
        seed: 9,
        ..Setup::default()
    };
    let opened = support::opened(listener, &world.database_url, &world.simulator, setup);
    world.service = Some(opened.await.serve().unwrap());
}

/// Two at once under one key are one, and are told the same.
async fn at_once(world: &World, things: &Things, wrong: &mut Vec<String>) {
    for operation in keyed() {
        let at = format!("{} {}", operation.0, operation.1);
        let key = format!("at once {at}");
        let before = effects(world, things).await;
        let (one, other) = tokio::join!(
            answer(under(world, things, operation, &key)),
            answer(under(world, things, operation, &key)),
        );
        if one != other {
            wrong.push(format!("{at} at once answers {one:?} and {other:?}"));
        }
        let after = effects(world, things).await;
        // A checkout ends the one before.
        let twice: Vec<_> = after
            .iter()
            .filter(|(what, count)| {
                *what != "stripe_requests" && **count > before.get(*what).unwrap_or(&0) + 1
            })
            .collect();
        if !twice.is_empty() {
            wrong.push(format!("{at} at once made more than one: {twice:?}"));
        }
    }
}

/// A key that was used for one operation is refused for the next one of the same door, and for another body.
async fn for_something_else(
    world: &World,
    things: &Things,
    done: &[(Operation, String, (u16, String))],
    wrong: &mut Vec<String>,
) {
    let door = |it: &Operation| it.2["tags"][0].as_str().unwrap();
    let scope = |it: &Operation| match door(it) {
        "Payment intents" | "Stripe" => "Stripe",
        other => other,
    };
    for (index, (operation, key, _)) in done.iter().enumerate() {
        let others = done.iter().cycle().skip(index + 1).take(done.len());
        let mut others = others
            .map(|it| it.0)
            .filter(|it| scope(it) == scope(operation) && it.1 != operation.1);
        // The same checkout in another format is the same checkout.
        let Some(other) = others.find(|it| door(it) != "Checkout") else {
            continue;
        };
        let refused = answer(under(world, things, other, key)).await;
        if !is_conflict(&refused) {
            wrong.push(format!(
                "the key of {} {} used for {} {} → {refused:?}",
                operation.0, operation.1, other.0, other.1
            ));
        }
    }
    for (path, key, body) in [
        (
            "/api/offer/createpaymentintent",
            "matrix post /api/offer/createpaymentintent",
            r#"{"offer_oid": "10311099"}"#,
        ),
        (
            "/payment/stripe/v1/checkout",
            "matrix post /payment/stripe/v1/checkout",
            r#"{"CompanyId": "11111111-1111-1111-1111-111111111111", "CountryCode": "SE", "Articles": [{"ArticleId": 2}], "InternalReferenceId": "another", "ConfirmationUrl": "https://shop.example/done", "UiMode": "hosted"}"#,
        ),
    ] {
        let Some((operation, ..)) = done.iter().find(|it| it.0.1 == path) else {
            wrong.push(format!("{path} had no effect"));
            continue;
        };
        let way = &ways(operation.2)[0];
        let request = world
            .request(Method::POST, path)
            .header("content-type", "application/json");
        let request = presented(request.body(body), way, |it| Some(it.0.acme.to_owned()));
        let (status, text) = send(request.header("Idempotency-Key", key)).await;
        let refused = (status, text.to_string());
        if !is_conflict(&refused) {
            wrong.push(format!("{path} with another body → {refused:?}"));
        }
    }
}
