use reqwest::Method;
use serde_json::{Value, json};

use crate::support::receiver::Receiver;
use crate::support::{Api, Form, config, soon, start, start_with, text};
use crate::webhooks::{deliveries, until_delivered};

const PATH: &str = "v1/webhook_endpoints";

/// An endpoint for every event, as it is shown once.
async fn made(api: &Api, url: &str) -> Value {
    let form = [("url", url), ("enabled_events[]", "*")];
    api.post(PATH, &form).await.ok()
}

fn path_of(endpoint: &Value) -> String {
    format!("{PATH}/{}", text(endpoint, "id"))
}

async fn pause(api: &Api, paused: bool) {
    let asked = json!({ "paused": paused });
    api.own(Method::POST, "webhooks", asked).await;
}

#[tokio::test]
async fn the_secret_is_shown_once_and_signs_what_is_delivered() {
    // Turned red by showing the secret on a read, or by signing with another.
    let mut receiver = Receiver::start().await;
    let (_running, api) = start().await;
    let form = [
        ("url", receiver.url.as_str()),
        ("enabled_events[]", "charge.succeeded"),
        ("enabled_events[]", "refund.created"),
        ("description", "for the test"),
        ("metadata[number]", "9"),
        ("api_version", "2023-08-16"),
    ];
    let endpoint = api.post_with_key(PATH, &form, "one").await.ok();
    let secret = text(&endpoint, "secret");
    assert!(secret.starts_with("whsec_"), "{secret}");
    assert_eq!(text(&endpoint, "status"), "enabled");
    assert_eq!(text(&endpoint["metadata"], "number"), "9");
    assert_eq!(
        endpoint["enabled_events"],
        json!(["charge.succeeded", "refund.created"])
    );
    let again = api.post_with_key(PATH, &form, "one").await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.body, endpoint);
    let read = api.get(&path_of(&endpoint)).await.ok();
    assert_eq!(read.get("secret"), None);
    assert_eq!(api.get(PATH).await.ok()["data"], json!([read]));
    api.paid("pm_card_visa").await;
    let received = receiver.next().await;
    received.verify(secret);
    assert_eq!(received.event_type(), "charge.succeeded");
    assert!(receiver.is_empty());
}

#[tokio::test]
async fn an_update_changes_what_is_delivered_and_where() {
    let mut first = Receiver::start().await;
    let mut second = Receiver::start().await;
    let (_running, api) = start().await;
    let endpoint = made(&api, &first.url).await;
    let path = path_of(&endpoint);
    api.intent(&[]).await.ok();
    assert_eq!(first.next().await.event_type(), "payment_intent.created");
    let form = [
        ("url", second.url.as_str()),
        ("enabled_events[]", "payment_intent.succeeded"),
        ("description", ""),
    ];
    let changed = api.post(&path, &form).await.ok();
    assert_eq!(text(&changed, "url"), second.url);
    assert_eq!(changed.get("secret"), None);
    api.paid("pm_card_visa").await;
    let received = second.next().await;
    received.verify(text(&endpoint, "secret"));
    assert_eq!(received.event_type(), "payment_intent.succeeded");
    until_delivered(&api).await;
    assert!(first.is_empty() && second.is_empty());
}

#[tokio::test]
async fn a_disabled_endpoint_gets_nothing_and_no_retry_that_came_due_meanwhile() {
    // Turned red by looking at `enabled_events` alone, or by keeping what is due until the endpoint is enabled again.
    let mut receiver = Receiver::start().await;
    let (_running, api) = start().await;
    let path = path_of(&made(&api, &receiver.url).await);
    pause(&api, true).await;
    api.intent(&[]).await.ok();
    let off = api.post(&path, &[("disabled", "true")]).await.ok();
    assert_eq!(text(&off, "status"), "disabled");
    pause(&api, false).await;
    until_delivered(&api).await;
    api.intent(&[]).await.ok();
    let log = deliveries(&api).await;
    let states: Vec<_> = log.iter().map(|it| text(it, "state")).collect();
    assert_eq!(states, ["failed"]);
    assert_eq!(log[0]["attempts"], 0);
    let on = api.post(&path, &[("disabled", "false")]).await.ok();
    assert_eq!(text(&on, "status"), "enabled");
    let third = api.intent(&[]).await.ok();
    let event = receiver.next().await.event();
    assert_eq!(event["data"]["object"]["id"], third["id"]);
}

#[tokio::test]
async fn a_deleted_endpoint_is_gone_with_what_was_still_to_be_delivered() {
    // Turned red by leaving its deliveries pending, or by listing it still.
    let receiver = Receiver::start().await;
    let (_running, api) = start().await;
    let endpoint = made(&api, &receiver.url).await;
    let path = path_of(&endpoint);
    pause(&api, true).await;
    api.intent(&[]).await.ok();
    let pending =
        || async { api.get("v1/events").await.ok()["data"][0]["pending_webhooks"].take() };
    assert_eq!(pending().await, 1);
    let deleted = crate::support::send(api.request(Method::DELETE, &path)).await;
    let expected = json!({ "id": endpoint["id"], "object": "webhook_endpoint", "deleted": true });
    assert_eq!(deleted.ok(), expected);
    assert_eq!(pending().await, 0);
    pause(&api, false).await;
    api.intent(&[]).await.ok();
    assert_eq!(deliveries(&api).await.len(), 1);
    assert_eq!(text(&deliveries(&api).await[0], "state"), "failed");
    assert!(receiver.is_empty());
    assert_eq!(api.get(PATH).await.ok()["data"], json!([]));
    for answer in [
        api.get(&path).await,
        api.post(&path, &[("disabled", "true")]).await,
        crate::support::send(api.request(Method::DELETE, &path)).await,
    ] {
        assert_eq!(answer.error(), (404, "resource_missing", "id"));
    }
}

#[tokio::test]
async fn faulty_endpoints_are_refused() {
    let (_running, api) = start().await;
    let url = ("url", "https://shop.example/hook");
    let all = ("enabled_events[]", "*");
    let cases: &[(Form<'_>, (u16, &str, &str))] = &[
        (&[all], (400, "parameter_missing", "url")),
        (&[url], (400, "parameter_missing", "enabled_events")),
        (&[("url", ""), all], (400, "parameter_invalid_empty", "url")),
        (&[("url", "shop.example"), all], (400, "url_invalid", "url")),
        (
            &[("url", "ftp://shop.example"), all],
            (400, "url_invalid", "url"),
        ),
        (
            &[url, all, ("enabled_events[]", "charge.*")],
            (400, "", "enabled_events[1]"),
        ),
        (&[url, all, ("connect", "true")], (400, "", "connect")),
        (
            &[url, all, ("disabled", "true")],
            (400, "parameter_unknown", "disabled"),
        ),
        (
            &[url, all, ("secret", "whsec_1")],
            (400, "parameter_unknown", "secret"),
        ),
    ];
    for (form, expected) in cases {
        assert_eq!(api.post(PATH, form).await.error(), *expected, "{form:?}");
    }
    for _ in 0..16 {
        made(&api, "https://shop.example/hook").await;
    }
    let one_more = api.post(PATH, &[url, all]).await;
    assert_eq!(one_more.status, 400);
    let page = api.get(&format!("{PATH}?limit=10")).await.ok();
    assert_eq!(page["has_more"], true);
}

#[tokio::test]
async fn an_endpoint_survives_a_restart_and_its_secret_is_nowhere() {
    // Turned red by keeping the secret in the journal, or by deriving it from what is fresh at every start.
    let mut receiver = Receiver::start().await;
    let dir = tempfile::tempdir().expect("a directory");
    let mut config = config();
    config.state_dir = Some(dir.path().to_owned());
    let (running, api) = start_with(config.clone()).await;
    let form = [("url", receiver.url.as_str()), ("enabled_events[]", "*")];
    let endpoint = api.post_with_key(PATH, &form, "one").await.ok();
    pause(&api, true).await;
    api.intent(&[]).await.ok();
    running.stop().await;
    let journal = std::fs::read_to_string(dir.path().join("acct_one.ndjson")).expect("text");
    assert!(journal.contains(text(&endpoint, "id")));
    assert!(!journal.contains("whsec_"));
    let (_running, api) = start_with(config).await;
    receiver.next().await.verify(text(&endpoint, "secret"));
    soon(until_delivered(&api)).await;
    assert_eq!(api.get(PATH).await.ok()["data"][0]["id"], endpoint["id"]);
}
