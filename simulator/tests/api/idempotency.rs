use reqwest::Method;
use serde_json::json;

use crate::support::{Answer, Api, config, send, start, start_with, text};
use simulator::Account;

const PATH: &str = "v1/payment_intents";

#[tokio::test]
async fn the_same_key_and_parameters_get_the_first_answer_again() {
    let (_running, api) = start().await;
    let form = [
        ("amount", "1000"),
        ("currency", "usd"),
        ("metadata[a]", "1"),
    ];
    let turned = [
        ("metadata[a]", "1"),
        ("currency", "usd"),
        ("amount", "1000"),
    ];
    let first = api.post_with_key(PATH, &form, "one").await;
    let again = api.post_with_key(PATH, &turned, "one").await;
    assert_eq!(first.header("idempotency-key"), Some("one"));
    assert_eq!(first.header("idempotent-replayed"), None);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!((again.status, &again.text), (200, &first.text));
    assert!(text(&again.body, "client_secret").contains("_secret_"));
    assert_eq!(
        api.get(PATH).await.ok()["data"].as_array().map(Vec::len),
        Some(1)
    );
}

#[tokio::test]
async fn a_repeat_names_the_request_that_ran() {
    // Turned red by naming the repeat itself, or by forgetting the first one's id.
    let (_running, api) = start().await;
    let form = [("amount", "1000"), ("currency", "usd")];
    let first = api.post_with_key(PATH, &form, "one").await;
    let again = api.post_with_key(PATH, &form, "one").await;
    let original = first.header("request-id");
    assert_eq!(first.header("original-request"), original);
    assert_eq!(again.header("original-request"), original);
    assert_ne!(again.header("request-id"), original);
    assert_eq!(again.header("idempotency-key"), Some("one"));
    let keyless = api.post(PATH, &form).await;
    assert_eq!(keyless.header("original-request"), None);
}

#[tokio::test]
async fn a_definite_refusal_says_that_asking_again_is_of_no_use() {
    // Turned red by leaving the advice out, or by giving it with a success.
    let (_running, api) = start().await;
    let advice = |answer: &Answer| answer.header("stripe-should-retry").map(str::to_owned);
    let made = api.intent(&[]).await;
    assert_eq!(advice(&made), None);
    let bad = api.intent(&[("foo", "1")]).await;
    assert_eq!(advice(&bad).as_deref(), Some("false"));
    let form = [
        ("amount", "1000"),
        ("currency", "usd"),
        ("confirm", "true"),
        ("payment_method", "pm_card_chargeDeclined"),
    ];
    for _ in 0..2 {
        let declined = api.post_with_key(PATH, &form, "one").await;
        assert_eq!(declined.status, 402);
        assert_eq!(advice(&declined).as_deref(), Some("false"));
    }
    let missing = api.get("v1/charges/ch_nobody").await;
    assert_eq!((missing.status, advice(&missing)), (404, None));
}

#[tokio::test]
async fn the_same_parameters_as_json_are_the_same() {
    let (_running, api) = start().await;
    let first = api
        .post_with_key(PATH, &[("amount", "1000"), ("currency", "usd")], "one")
        .await;
    let request = api
        .request(Method::POST, PATH)
        .header("idempotency-key", "one")
        .json(&json!({ "currency": "usd", "amount": 1000 }));
    assert_eq!(send(request).await.text, first.text);
}

#[tokio::test]
async fn other_parameters_or_another_endpoint_under_the_same_key_are_refused() {
    let (_running, api) = start().await;
    let form = [("amount", "1000"), ("currency", "usd")];
    let id = text(&api.post_with_key(PATH, &form, "one").await.ok(), "id").to_owned();
    let other = api
        .post_with_key(PATH, &[("amount", "1001"), ("currency", "usd")], "one")
        .await;
    assert_eq!(
        (other.status, text(&other.body["error"], "type")),
        (400, "idempotency_error")
    );
    let elsewhere = api
        .post_with_key(&format!("{PATH}/{id}/cancel"), &[], "one")
        .await;
    assert_eq!(text(&elsewhere.body["error"], "type"), "idempotency_error");
    assert_eq!(
        api.get(PATH).await.ok()["data"].as_array().map(Vec::len),
        Some(1)
    );
}

#[tokio::test]
async fn refusals_of_parameters_are_not_kept_but_declines_and_wrong_states_are() {
    let (_running, api) = start().await;
    let bad = api
        .post_with_key(PATH, &[("amount", "x"), ("currency", "usd")], "one")
        .await;
    assert_eq!(bad.status, 400);
    let good = [("amount", "1000"), ("currency", "usd")];
    let intent = api.post_with_key(PATH, &good, "one").await.ok();

    let path = format!("{PATH}/{}/capture", text(&intent, "id"));
    let wrong_state = api.post_with_key(&path, &[], "two").await;
    let again = api.post_with_key(&path, &[], "two").await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.text, wrong_state.text);

    let path = format!("{PATH}/{}/confirm", text(&intent, "id"));
    let form = [("payment_method", "pm_card_chargeDeclined")];
    let declined = api.post_with_key(&path, &form, "three").await;
    let again = api.post_with_key(&path, &form, "three").await;
    assert_eq!(declined.status, 402);
    assert_eq!((again.status, &again.text), (402, &declined.text));
    let charges = api.get("v1/charges").await.ok();
    assert_eq!(charges["data"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_key_is_in_use_while_its_first_request_runs() {
    // Turned red by claiming the key only together with the answer.
    let (_running, api) = start().await;
    let fault = json!({ "kind": "hold_before", "path_prefix": "/v1/payment_intents" });
    api.own(Method::POST, "faults", fault).await;
    let held = api.clone();
    let first = tokio::spawn(async move {
        held.post_with_key(PATH, &[("amount", "1000"), ("currency", "usd")], "one")
            .await
    });
    crate::faults::until_held(&api, 1).await;
    let second = api
        .post_with_key(PATH, &[("amount", "1000"), ("currency", "usd")], "one")
        .await;
    assert_eq!(second.error(), (409, "idempotency_key_in_use", ""));
    assert_eq!(second.header("stripe-should-retry"), Some("true"));
    api.own(Method::POST, "faults/release", json!({})).await;
    let first = first.await.expect("no panic");
    let third = api
        .post_with_key(PATH, &[("amount", "1000"), ("currency", "usd")], "one")
        .await;
    assert_eq!(third.text, first.text);
}

#[tokio::test]
async fn many_at_once_under_one_key_make_one_intent() {
    let (_running, api) = start().await;
    let calls = (0..20).map(|_| {
        let api = api.clone();
        tokio::spawn(async move {
            let form = [("amount", "1000"), ("currency", "usd")];
            api.post_with_key(PATH, &form, "one").await.status
        })
    });
    for call in calls.collect::<Vec<_>>() {
        let status = call.await.expect("no panic");
        assert!(matches!(status, 200 | 409), "{status}");
    }
    assert_eq!(
        api.get(PATH).await.ok()["data"].as_array().map(Vec::len),
        Some(1)
    );
}

#[tokio::test]
async fn a_key_is_forgotten_after_a_day() {
    let (_running, api) = start().await;
    let form = [("amount", "1000"), ("currency", "usd")];
    let first = api.post_with_key(PATH, &form, "one").await.ok();
    api.advance(24 * 3_600 - 60).await;
    let same = api.post_with_key(PATH, &form, "one").await.ok();
    assert_eq!(text(&same, "id"), text(&first, "id"));
    api.advance(61).await;
    let fresh = api.post_with_key(PATH, &form, "one").await.ok();
    assert_ne!(text(&fresh, "id"), text(&first, "id"));
}

#[tokio::test]
async fn keys_belong_to_an_account() {
    let mut config = config();
    config
        .accounts
        .push(Account::new("acct_two", "sk_test_two", "pk_test_two"));
    let (_running, api) = start_with(config).await;
    let other: Api = api.with_key("sk_test_two");
    let form = [("amount", "1000"), ("currency", "usd")];
    let first = api.post_with_key(PATH, &form, "one").await.ok();
    let second = other.post_with_key(PATH, &form, "one").await;
    assert_eq!(second.header("idempotent-replayed"), None);
    assert_ne!(text(&second.body, "id"), text(&first, "id"));
    let elsewhere = other.get(&format!("{PATH}/{}", text(&first, "id"))).await;
    assert_eq!(elsewhere.error(), (404, "resource_missing", "intent"));
}

#[tokio::test]
async fn a_key_has_at_most_255_characters() {
    let (_running, api) = start().await;
    let form = [("amount", "1000"), ("currency", "usd")];
    let long = api.post_with_key(PATH, &form, &"k".repeat(256)).await;
    assert_eq!(long.status, 400);
    api.post_with_key(PATH, &form, &"k".repeat(255)).await.ok();
}
