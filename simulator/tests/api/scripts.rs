//! Scripts of faults, and the kinds of fault that change what a request does.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use simulator::{Running, WebhookEndpoint};

use crate::support::receiver::Receiver;
use crate::support::{Api, Form, config, soon, start, start_with, text, with_form};
use crate::webhooks::{deliveries, until_delivered};

const PATH: &str = "v1/payment_intents";
const FORM: Form<'_> = &[("amount", "1000"), ("currency", "usd")];

async fn intents(api: &Api) -> Vec<Value> {
    let listed = api.get("v1/payment_intents?limit=100").await.ok();
    listed["data"].as_array().expect("a list").clone()
}

async fn strike(api: &Api, kind: &str) {
    let fault = json!({ "kind": kind, "method": "POST" });
    api.own(Method::POST, "faults", fault).await;
}

async fn follow(api: &Api, script: Value) {
    api.own(Method::POST, "faults/script", script).await;
}

/// What became of a create under a key: a status, or 0 for no answer.
async fn create(api: &Api, key: &str) -> u16 {
    let request = with_form(api.request(Method::POST, PATH), FORM);
    let answer = request.header("idempotency-key", key).send().await;
    answer.map_or(0, |answer| answer.status().as_u16())
}

#[tokio::test]
async fn the_same_seed_makes_the_same_faults_strike_the_same_requests() {
    let script = |seed: u64| {
        let shares = json!({
            "drop_before": 150, "drop_after": 150, "status_429": 150, "status_500": 100, "status_500_after": 100,
        });
        json!({ "seed": seed, "method": "POST", "requests": shares })
    };
    let run = async |seed: u64| {
        let (_running, api) = start().await;
        follow(&api, script(seed)).await;
        let mut statuses = Vec::new();
        for nth in 0..40 {
            statuses.push(create(&api, &nth.to_string()).await);
        }
        let ended = api.own(Method::DELETE, "faults/script", Value::Null).await;
        (statuses, intents(&api).await.len(), ended)
    };
    let first = run(5).await;
    assert_eq!(run(5).await, first);
    assert_ne!(run(6).await.0, first.0);
    let kinds: BTreeSet<u16> = first.0.iter().copied().collect();
    assert_eq!(kinds, BTreeSet::from([0, 200, 429, 500]));
    let struck = first.2["script"]["struck"].as_object().expect("counts");
    let struck: u64 = struck.values().filter_map(Value::as_u64).sum();
    let whole = first.0.iter().filter(|status| **status == 200).count();
    assert_eq!(usize::try_from(struck).expect("few"), 40 - whole);
}

#[tokio::test]
async fn a_script_that_is_switched_off_strikes_no_more() {
    let (_running, api) = start().await;
    for off in ["faults/script", "faults"] {
        follow(
            &api,
            json!({ "seed": 1, "requests": { "status_429": 1000 } }),
        )
        .await;
        assert_eq!(create(&api, off).await, 429);
        api.own(Method::DELETE, off, Value::Null).await;
        assert_eq!(create(&api, off).await, 200);
    }
}

#[tokio::test]
async fn a_script_strikes_an_answer_that_is_replayed_as_well() {
    let (_running, api) = start().await;
    follow(
        &api,
        json!({ "seed": 1, "requests": { "drop_after": 1000 } }),
    )
    .await;
    assert_eq!(
        [create(&api, "one").await, create(&api, "one").await],
        [0, 0]
    );
    api.own(Method::DELETE, "faults/script", Value::Null).await;
    assert_eq!(intents(&api).await.len(), 1);
}

#[tokio::test]
async fn what_is_no_script_is_refused() {
    let (_running, api) = start().await;
    for script in [
        json!({ "requests": { "drop_after": 10 } }),
        json!({ "seed": 1, "requests": { "hold_before": 10 } }),
        json!({ "seed": 1, "webhooks": { "lost": 500, "duplicated": 501 } }),
    ] {
        let request = api
            .request(Method::POST, "_sim/faults/script")
            .json(&script);
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 400, "{script}");
    }
}

#[tokio::test]
async fn a_time_out_comes_before_the_effect_or_after_it() {
    let (_running, api) = start().await;
    for (kind, effects) in [("timeout_before:1", 0), ("timeout_after:1", 1)] {
        strike(&api, kind).await;
        assert_eq!(create(&api, kind).await, 0, "{kind}");
        assert_eq!(intents(&api).await.len(), effects, "{kind}");
    }
}

#[tokio::test]
async fn a_caller_that_gives_up_during_latency_has_its_effect_later_all_the_same() {
    let (_running, api) = start().await;
    strike(&api, "latency_ms:200").await;
    let request = with_form(api.request(Method::POST, PATH), FORM);
    let given_up = request.timeout(Duration::from_millis(20)).send().await;
    assert!(given_up.is_err_and(|error| error.is_timeout()));
    soon(async {
        while intents(&api).await.is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_key_that_is_forgotten_lets_a_repeated_request_act_twice() {
    let (_running, api) = start().await;
    assert_eq!(create(&api, "one").await, 200);
    assert_eq!(create(&api, "one").await, 200);
    assert_eq!(intents(&api).await.len(), 1);
    strike(&api, "forget_key").await;
    assert_eq!(create(&api, "one").await, 200);
    assert_eq!(intents(&api).await.len(), 2);
    let old = json!({"older_than_s": 3600});
    let forgotten = api.own(Method::POST, "keys/forget", old).await;
    assert_eq!(forgotten["forgotten"], 0);
    let forgotten = api.own(Method::POST, "keys/forget", json!({})).await;
    assert_eq!(forgotten["forgotten"], 1);
    assert_eq!(create(&api, "one").await, 200);
    assert_eq!(intents(&api).await.len(), 3);
}

#[tokio::test]
async fn a_drifted_amount_is_what_stripe_acts_on_and_shows() {
    let (_running, api) = start().await;
    strike(&api, "drift_amount:-1").await;
    let made = api.post_with_key(PATH, FORM, "one").await.ok();
    assert_eq!(made["amount"], 999);
    let again = api.post_with_key(PATH, FORM, "one").await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(intents(&api).await[0]["amount"], 999);
}

const SECRET: &str = "whsec_of_the_test";

async fn delivering(receiver: &Receiver, script: Value) -> (Running, Api) {
    let mut config = config();
    config.accounts[0].webhook_endpoints = vec![WebhookEndpoint::new(&receiver.url, SECRET)];
    let (running, api) = start_with(config).await;
    follow(&api, script).await;
    (running, api)
}

#[tokio::test]
async fn a_lost_webhook_is_never_sent_and_stays_in_the_list_of_events() {
    let mut receiver = Receiver::start().await;
    let script = json!({ "seed": 1, "webhooks": { "lost": 1000 } });
    let (_running, api) = delivering(&receiver, script).await;
    api.paid("pm_card_visa").await;
    until_delivered(&api).await;
    assert!(receiver.is_empty());
    let log = deliveries(&api).await;
    assert!(log.iter().all(|it| it["attempts"] == 0), "{log:?}");
    assert_eq!(api.event_types().await.len(), log.len());
    let event = json!({ "event": log[0]["event"] });
    api.own(Method::DELETE, "faults/script", Value::Null).await;
    api.own(Method::POST, "webhooks/redeliver", event).await;
    assert_eq!(receiver.next().await.event()["id"], log[0]["event"]);
}

#[tokio::test]
async fn a_duplicated_webhook_comes_twice() {
    let mut receiver = Receiver::start().await;
    let script = json!({ "seed": 1, "webhooks": { "duplicated": 1000 } });
    let (_running, api) = delivering(&receiver, script).await;
    api.intent(&[]).await.ok();
    let (first, second) = (receiver.next().await, receiver.next().await);
    assert_eq!(first.event()["id"], second.event()["id"]);
    second.verify(SECRET);
}

#[tokio::test]
async fn a_late_webhook_waits_for_the_clock_and_is_then_sent_once() {
    let mut receiver = Receiver::start().await;
    let script = json!({ "seed": 1, "webhooks": { "late_ms:3600000": 1000 } });
    let (_running, api) = delivering(&receiver, script).await;
    let late = api.intent(&[]).await.ok();
    soon(async {
        let faults = async || api.own(Method::GET, "faults", Value::Null).await;
        while faults().await["script"]["struck"]["late_ms"] != 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    soon(async {
        while deliveries(&api).await[0]["state"] == "pending" {
            api.advance(3_600).await;
        }
    })
    .await;
    let received = receiver.next().await.event();
    assert_eq!(text(&received["data"]["object"], "id"), text(&late, "id"));
    assert!(receiver.is_empty());
}

#[tokio::test]
async fn reordered_webhooks_all_come_in_another_order() {
    let mut receiver = Receiver::start().await;
    let script = json!({ "seed": 3, "webhooks": { "reordered_ms:300": 1000 } });
    let (_running, api) = delivering(&receiver, script).await;
    for _ in 0..12 {
        api.intent(&[]).await.ok();
    }
    until_delivered(&api).await;
    let mut came = Vec::new();
    while !receiver.is_empty() {
        came.push(text(&receiver.next().await.event(), "id").to_owned());
    }
    let listed = api.get("v1/events?limit=100").await.ok();
    let mut made: Vec<String> = listed["data"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|event| text(event, "id").to_owned())
        .collect();
    made.reverse();
    assert_ne!(came, made);
    came.sort();
    made.sort();
    assert_eq!(came, made);
}
