use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Api, Form, soon, start, text, with_form};

const PATH: &str = "v1/payment_intents";
const FORM: Form<'_> = &[("amount", "1000"), ("currency", "usd")];

/// Waits until so many requests are held.
pub async fn until_held(api: &Api, count: u64) {
    soon(async {
        while api.own(Method::GET, "faults", Value::Null).await["held"] != count {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

async fn add(api: &Api, kind: &str) {
    let fault = json!({ "kind": kind, "method": "POST", "path_prefix": "/v1/payment_intents" });
    api.own(Method::POST, "faults", fault).await;
}

async fn intents(api: &Api) -> usize {
    let listed = api.get(PATH).await.ok();
    listed["data"].as_array().expect("a list").len()
}

/// A create under a key, which may end without an answer.
async fn create(api: &Api) -> Result<u16, reqwest::Error> {
    let request = with_form(api.request(Method::POST, PATH), FORM);
    let answer = request.header("idempotency-key", "one").send().await?;
    Ok(answer.status().as_u16())
}

#[tokio::test]
async fn a_connection_dropped_before_the_effect_leaves_nothing() {
    // Turned red by dropping after the handler has run.
    let (_running, api) = start().await;
    add(&api, "drop_before").await;
    assert!(create(&api).await.is_err());
    assert_eq!(intents(&api).await, 0);
    assert_eq!(create(&api).await.ok(), Some(200));
}

#[tokio::test]
async fn a_connection_dropped_after_the_effect_leaves_it_and_its_answer() {
    // Turned red by dropping before the commit.
    let (_running, api) = start().await;
    add(&api, "drop_after").await;
    assert!(create(&api).await.is_err());
    assert_eq!(intents(&api).await, 1);
    let again = api.post_with_key(PATH, FORM, "one").await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(intents(&api).await, 1);
}

#[tokio::test]
async fn a_held_request_waits_for_its_release() {
    // Turned red by making the effect before `hold_before`, or after `hold_after`.
    let (_running, api) = start().await;
    for (kind, effects) in [("hold_before", 0), ("hold_after", 2)] {
        add(&api, kind).await;
        let held = api.clone();
        let call = tokio::spawn(async move { held.post(PATH, FORM).await.status });
        until_held(&api, 1).await;
        assert_eq!(intents(&api).await, effects);
        api.own(Method::POST, "faults/release", json!({})).await;
        assert_eq!(call.await.expect("no panic"), 200);
        until_held(&api, 0).await;
    }
    assert_eq!(intents(&api).await, 2);
}

#[tokio::test]
async fn a_caller_who_hangs_up_does_not_stop_what_was_begun() {
    // Turned red by running the request in the connection's own task.
    let (_running, api) = start().await;
    add(&api, "hold_before").await;
    let held = api.clone();
    let call = tokio::spawn(async move { held.post(PATH, FORM).await });
    until_held(&api, 1).await;
    call.abort();
    assert!(call.await.is_err());
    api.own(Method::POST, "faults/release", json!({})).await;
    until_held(&api, 0).await;
    soon(async {
        while intents(&api).await == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn too_many_requests_does_nothing_and_is_not_kept() {
    // Turned red by remembering every answer.
    let (_running, api) = start().await;
    add(&api, "status_429").await;
    let refused = api.post_with_key(PATH, FORM, "one").await;
    assert_eq!(refused.error(), (429, "rate_limit", ""));
    assert_eq!(refused.header("stripe-should-retry"), Some("true"));
    assert_eq!(api.post_with_key(PATH, FORM, "one").await.status, 200);
}

#[tokio::test]
async fn what_stripe_refuses_to_begin_is_not_kept_and_says_whether_to_ask_again() {
    // Turned red by remembering such an answer under the key, or by advising the same for all.
    let (_running, api) = start().await;
    for (kind, error, again) in [
        ("status_401", (401, "api_key_expired", ""), "false"),
        ("status_403", (403, "", ""), "false"),
        ("lock_timeout", (429, "lock_timeout", ""), "true"),
        ("status_503", (503, "", ""), "true"),
    ] {
        add(&api, kind).await;
        let refused = api.post_with_key(PATH, FORM, kind).await;
        assert_eq!(refused.error(), error);
        assert_eq!(refused.header("stripe-should-retry"), Some(again), "{kind}");
        assert_eq!(api.post_with_key(PATH, FORM, kind).await.status, 200);
    }
}

#[tokio::test]
async fn a_rate_limit_lasts_for_as_many_requests_as_told() {
    // Turned red by a rule that strikes once, or without end.
    let (_running, api) = start().await;
    let limit = json!({ "kind": "status_429", "times": 3 });
    api.own(Method::POST, "faults", limit).await;
    for _ in 0..3 {
        assert_eq!(api.get(PATH).await.error(), (429, "rate_limit", ""));
    }
    assert_eq!(api.get(PATH).await.status, 200);
}

#[tokio::test]
async fn a_500_is_kept_under_its_key_with_or_without_an_effect() {
    // Turned red by forgetting answers of 500 and above.
    let (_running, api) = start().await;
    for (kind, key, effects) in [("status_500", "one", 0), ("status_500_after", "two", 1)] {
        add(&api, kind).await;
        let failed = api.post_with_key(PATH, FORM, key).await;
        assert_eq!(
            (failed.status, text(&failed.body["error"], "type")),
            (500, "api_error")
        );
        let again = api.post_with_key(PATH, FORM, key).await;
        assert_eq!(
            (again.status, again.header("idempotent-replayed")),
            (500, Some("true"))
        );
        assert_eq!(intents(&api).await, effects, "{kind}");
    }
}

#[tokio::test]
async fn a_fault_strikes_as_often_as_told_and_only_what_it_matches() {
    let (_running, api) = start().await;
    let fault = json!({ "kind": "status_500", "path_prefix": "/v1/refunds", "times": 2 });
    api.own(Method::POST, "faults", fault).await;
    assert_eq!(api.post(PATH, FORM).await.status, 200);
    let listed = api.own(Method::GET, "faults", Value::Null).await;
    assert_eq!(listed["faults"][0]["times"], 2);
    assert_eq!(api.get("v1/refunds").await.status, 500);
    assert_eq!(api.get("v1/refunds").await.status, 500);
    assert_eq!(api.get("v1/refunds").await.status, 200);
    add(&api, "latency_ms:1").await;
    assert_eq!(api.post(PATH, FORM).await.status, 200);
    add(&api, "drop_before").await;
    let none = api.own(Method::DELETE, "faults", Value::Null).await;
    assert_eq!(none["faults"], json!([]));
    let unknown = api
        .request(Method::POST, "_sim/faults")
        .json(&json!({ "kind": "flood" }));
    assert_eq!(unknown.send().await.expect("an answer").status(), 400);
}
