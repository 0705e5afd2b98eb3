//! Keys, the feed, and old idempotency keys, with several instances.

use crate::several::{Several, as_served, eager};
use crate::support::{PATIENCE, Setup, World, card_payment, send, until};
use counterfoil::gateway::GatewayOptions;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Planted bug: keeping whose a key is for longer than two seconds.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_revoked_at_one_instance_is_refused_at_the_other_within_two_seconds() {
    let all = Several::start(2, as_served()).await;
    let body = json!({"kind": "native", "scopes": ["ledger:read"]});
    let (status, key) = all.change(0, "/keys", body).await;
    assert_eq!(status, 201, "{key}");
    let secret = key["secret"].as_str().unwrap();
    let ask = || {
        all.ask(1, Method::GET, "/ledger/v1/events?limit=1")
            .bearer_auth(secret)
    };
    assert_eq!(send(ask()).await.0, 200);
    let path = format!("/ledger/v1/keys/{}", key["id"].as_str().unwrap());
    let revoke = all.ask(0, Method::DELETE, &path).bearer_auth("admin-acme");
    assert_eq!(send(revoke).await.0, 200);
    let revoked = Instant::now();
    until("the other instance refuses it", async || {
        let asked = Instant::now();
        let (status, answer) = send(ask()).await;
        // Counted from when it was asked, so that a slow machine is not taken for a late refusal.
        let late = asked > revoked + Duration::from_secs(2);
        assert!(status == 401 || !late, "{status} {answer}");
        status == 401
    })
    .await;
    all.stop().await;
}

/// What all instances write, in the order of the ledger, without a gap: the feed at any of them.
///
/// Planted bug: going on from beyond the last event that was sent.
#[tokio::test(flavor = "multi_thread")]
async fn the_feed_at_one_instance_tells_what_all_of_them_write() {
    let all = Several::start(3, as_served()).await;
    let feed = all.ask(1, Method::GET, "/ledger/v1/events");
    let feed = feed
        .bearer_auth("admin-acme")
        .header("Accept", "text/event-stream");
    let mut feed = feed.send().await.unwrap();
    let (tell, mut told) = watch::channel(0);
    let writing = async {
        for number in 0..30 {
            all.placed(number % 3, &format!("told-{number}")).await;
        }
        let head = all.world.history("acme").await.len();
        tell.send(i64::try_from(head).unwrap()).unwrap();
    };
    let reading = async {
        let (mut text, mut seen) = (String::new(), Vec::<i64>::new());
        loop {
            tokio::select! {
                more = feed.chunk() => {
                    let more = more.unwrap().expect("it does not end");
                    text.push_str(std::str::from_utf8(&more).unwrap());
                }
                _ = told.changed() => {}
            }
            while let Some(end) = text.find("\n\n") {
                let message: String = text.drain(..end + 2).collect();
                let id = message.lines().find_map(|line| line.strip_prefix("id: "));
                seen.extend(id.map(|id| id.parse::<i64>().unwrap()));
            }
            let head = *told.borrow();
            if head > 0 && seen.last() >= Some(&head) {
                return (seen, head);
            }
        }
    };
    let reading = tokio::time::timeout(PATIENCE, reading);
    let ((), read) = tokio::join!(writing, reading);
    let (seen, head) = read.expect("the feed tells everything");
    assert_eq!(seen, (1..=head).collect::<Vec<i64>>());
    drop(feed);
    all.stop().await;
}

/// The answer to a confirmation that recovery has ended, in Stripe's own words, is the one that its caller would have got: not how
/// the payment stands by the time somebody asks again.
///
/// Planted bug: recovery that does not answer the key of whoever waited.
#[tokio::test(flavor = "multi_thread")]
async fn what_recovery_ends_is_answered_as_its_caller_would_have_been() {
    let once = GatewayOptions {
        attempts: 1,
        ..eager().gateway
    };
    let setup = Setup {
        gateway: once,
        ..eager()
    };
    let all = Several::start(2, setup).await;
    let post = async |instance: usize, path: &str, key: &str, form: &str| -> (u16, Value) {
        let request = all
            .ask(instance, Method::POST, path)
            .bearer_auth("sk_test_acme");
        let request = request
            .header("Idempotency-Key", key)
            .header("Stripe-Version", "2023-08-16")
            .header("Content-Type", "application/x-www-form-urlencoded");
        send(request.body(form.to_owned())).await
    };
    let form = "amount=1000&currency=usd&capture_method=manual&payment_method=pm_card_visa";
    let (status, made) = post(0, "/v1/payment_intents", "make", form).await;
    assert_eq!(status, 200, "{made}");
    let path = format!("/v1/payment_intents/{}", made["id"].as_str().unwrap());
    // Stripe holds the money, and its answer is lost.
    let confirm = format!("{path}/confirm");
    let fault = json!({"kind": "drop_after", "method": "POST", "path_prefix": confirm});
    all.world.sim(Method::POST, "faults", Some(fault)).await;
    let (status, unknown) = post(0, &confirm, "confirm", "").await;
    assert_eq!(status, 500, "{unknown}");
    until("recovery has ended it", async || {
        all.world
            .history("acme")
            .await
            .iter()
            .any(|it| it == "Authorized")
    })
    .await;
    let (status, taken) = post(1, &format!("{path}/capture"), "capture", "").await;
    assert_eq!(
        (status, &taken["status"]),
        (200, &json!("succeeded")),
        "{taken}"
    );
    for instance in [1, 0] {
        let (status, again) = post(instance, &confirm, "confirm", "").await;
        assert_eq!(
            (status, &again["status"]),
            (200, &json!("requires_capture")),
            "{again}"
        );
    }
    all.stop().await;
}

/// Makes every claim so many hours older.
async fn age(world: &World, hours: i32) {
    let aged = sqlx::query(
        "update claims set created_at = created_at - make_interval(hours => $1), completed_at = completed_at - make_interval(hours => $1)",
    );
    aged.bind(hours)
        .execute(world.app().store().pool())
        .await
        .unwrap();
}

async fn pays_under(all: &Several, instance: usize, key: &str, amount: i64) -> (u16, Value) {
    pays_with(all, (instance, key), amount, "pm_card_visa").await
}

async fn pays_with(
    all: &Several,
    (instance, key): (usize, &str),
    amount: i64,
    method: &str,
) -> (u16, Value) {
    let request = all
        .ask(instance, Method::POST, "/v1/payment_intents")
        .bearer_auth("sk_test_acme");
    let request = request
        .header("Idempotency-Key", key)
        .header("Stripe-Version", "2023-08-16");
    let mut body = card_payment(amount, "usd", "4242424242424242");
    body.as_object_mut().unwrap().remove("payment_method_data");
    body["payment_method"] = method.into();
    send(request.json(&body)).await
}

/// Planted bug: removing a key's first use while a later one still answers.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_good_for_a_day_at_least_and_new_once_it_is_forgotten() {
    let all = Several::start(2, as_served()).await;
    let kept_for = counterfoil::use_cases::KEYS_KEPT_FOR;
    let (status, first) = pays_under(&all, 0, "old", 500).await;
    assert_eq!(status, 200, "{first}");
    // One that is not answered: Stripe is silent.
    let fault = json!({"kind": "drop_before", "method": "POST", "path_prefix": "/v1/payment_intents", "times": 3});
    all.world.sim(Method::POST, "faults", Some(fault)).await;
    assert_eq!(pays_under(&all, 0, "open", 700).await.0, 500);
    // A use that Stripe refuses to begin frees the key, and the next one counts on.
    let (status, refused) = pays_with(&all, (0, "twice"), 600, "pm_nobodys").await;
    assert_eq!(status, 400, "{refused}");
    age(&all.world, 30).await;
    let (status, second) = pays_under(&all, 0, "twice", 600).await;
    assert_eq!(status, 200, "{second}");
    assert_eq!(
        all.world.app().forget_old_keys(kept_for).await.unwrap(),
        0,
        "none is two days old"
    );
    assert_eq!(pays_under(&all, 1, "old", 500).await.1["id"], first["id"]);

    age(&all.world, 30).await;
    all.world.app().forget_old_keys(kept_for).await.unwrap();
    // 60 hours old: forgotten, and new.
    let (status, anew) = pays_under(&all, 1, "old", 500).await;
    assert_eq!(status, 200, "{anew}");
    assert_ne!(anew["id"], first["id"]);
    // The refused use is as old, but the one after it is not.
    assert_eq!(
        pays_under(&all, 1, "twice", 600).await.1["id"],
        second["id"]
    );
    // What has no answer waits for it, however old it is.
    let (status, ended) = pays_under(&all, 1, "open", 700).await;
    assert_eq!(status, 200, "{ended}");
    let (_, made) = send(
        all.world
            .stripe(Method::GET, "/v1/payment_intents?limit=100"),
    )
    .await;
    let of_700 = made["data"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|it| it["amount"] == 700)
        .count();
    assert_eq!(of_700, 1);

    age(&all.world, 60).await;
    let forgotten = all.world.app().forget_old_keys(kept_for).await.unwrap();
    let left: i64 = sqlx::query_scalar("select count(*) from claims")
        .fetch_one(all.world.app().store().pool())
        .await
        .unwrap();
    assert!(
        forgotten >= 4 && left == 0,
        "{forgotten} forgotten, {left} left"
    );
    all.stop().await;
}

/// Planted bug: answering 500 where the kept words were erased.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_erased_with_its_person_is_still_an_answer() {
    let all = Several::start(1, Setup::default()).await;
    let make = || {
        let request = all
            .ask(0, Method::POST, "/v1/customers")
            .bearer_auth("sk_test_acme");
        let request = request
            .header("Idempotency-Key", "ada")
            .header("Stripe-Version", "2023-08-16");
        send(request.json(&json!({"name": "Ada", "email": "ada@example.com"})))
    };
    let (status, ada) = make().await;
    assert_eq!(status, 200, "{ada}");
    assert_eq!(make().await.1, ada);
    sqlx::query("delete from subject_keys")
        .execute(all.world.app().store().pool())
        .await
        .unwrap();
    let (status, left) = make().await;
    assert_eq!(
        (status, left),
        (200, json!({"id": ada["id"], "object": "customer"}))
    );
    all.stop().await;
}

/// A change at the door of Stripe payments, under a key.
async fn of_source(
    all: &Several,
    method: Method,
    (id, key): (&str, &str),
    attributes: Option<Value>,
) -> (u16, Value) {
    let path = format!("/api/stripe_payments/{id}");
    let request = all
        .ask(0, method, &path)
        .bearer_auth("cl-acme")
        .header("content-type", "application/vnd.api+json")
        .header("Idempotency-Key", key);
    let body = attributes.map(|attributes| {
        json!({"data": {"type": "stripe_payments", "id": id, "attributes": attributes}}).to_string()
    });
    send(match body {
        Some(body) => request.body(body),
        None => request,
    })
    .await
}

/// Planted bug: claiming the key at the end only, so that another request under it passes meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_a_payment_source_that_was_cut_off_holds_its_key_and_goes_on_under_it() {
    let all = Several::start(1, Setup::default()).await;
    let wanted = json!({"data": {
        "type": "stripe_payments",
        "relationships": {"order": {"data": {"type": "orders", "id": "ABCRtyUpBa"}}},
    }});
    let request = all.ask(0, Method::POST, "/api/stripe_payments");
    let request = request.bearer_auth("cl-acme");
    let request = request.header("content-type", "application/vnd.api+json");
    let (status, made) = send(request.body(wanted.to_string())).await;
    assert_eq!(status, 201, "{made}");
    let id = made["data"]["id"].as_str().unwrap();
    let fault = async |kind: &str| {
        let fault =
            json!({"kind": kind, "method": "POST", "path_prefix": "/v1/payment_intents/pi_"});
        all.world.sim(Method::POST, "faults", Some(fault)).await;
    };
    for kind in ["drop_before", "drop_after"] {
        let wish = |group: &str| {
            Some(json!({"reference": kind, "options": {"statement_descriptor_suffix": group}}))
        };
        fault(kind).await;
        let change = |wish| of_source(&all, Method::PATCH, (id, kind), wish);
        let (status, unknown) = change(wish("one")).await;
        assert_eq!(status, 503, "{unknown}");
        // Not done yet, and nobody else's key.
        let (status, other) = change(wish("other")).await;
        assert_eq!(status, 422, "{other}");
        let (status, changed) = change(wish("one")).await;
        assert_eq!(status, 200, "{changed}");
        assert_eq!(changed["data"]["attributes"]["reference"], kind);
        let (_, later) = of_source(
            &all,
            Method::PATCH,
            (id, &format!("{kind} later")),
            Some(json!({"reference": "later"})),
        )
        .await;
        assert_eq!(later["data"]["attributes"]["reference"], "later", "{later}");
        let (status, again) = change(wish("one")).await;
        assert_eq!(
            (status, &again["data"]["attributes"]["reference"]),
            (200, &json!(kind)),
            "as it was answered first"
        );
    }
    fault("drop_after").await;
    let remove = || of_source(&all, Method::DELETE, (id, "away"), None);
    assert_eq!(remove().await.0, 503);
    for _ in 0..2 {
        let (status, gone) = remove().await;
        assert_eq!(status, 204, "{gone}");
    }
    let (status, _) = of_source(&all, Method::DELETE, (id, "another"), None).await;
    assert_eq!(status, 404);
    all.stop().await;
}
