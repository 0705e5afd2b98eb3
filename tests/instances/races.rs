//! The same thing asked of several instances at once: what is decided holds, and nobody is told that something broke.

use crate::several::{Several, as_served, price};
use crate::support::{card_payment, send, until};
use futures::future::join_all;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

/// What is refused is refused here: the refunds that are under way count.
#[tokio::test(flavor = "multi_thread")]
async fn refunds_at_three_instances_never_give_back_more_than_was_taken() {
    let all = Several::start(3, as_served()).await;
    for _ in 0..3 {
        let id = all.paid(0, 1000, "automatic").await;
        let answers = join_all((0..12).map(|number| {
            let refund = json!({"payment_intent": id, "amount": 150});
            all.pay(number % 3, "/v1/refunds", refund)
        }))
        .await;
        let given = answers.iter().filter(|it| it.0 == 200).count();
        let refused = answers.iter().filter(|it| it.0 == 400).count();
        assert_eq!((given, refused), (6, 6), "{answers:?}");
        let (_, refunds) = send(all.world.stripe(
            Method::GET,
            &format!("/v1/refunds?payment_intent={id}&limit=100"),
        ))
        .await;
        assert_eq!(refunds["data"].as_array().unwrap().len(), 6, "{refunds}");
        let history = all.world.history("acme").await;
        let by_stripe = history.iter().any(|it| it == "RefundRefused");
        assert!(!by_stripe, "refused here, before Stripe is asked");
        for instance in 0..all.count() {
            let known = all.look(instance, &format!("/payments/{id}")).await;
            assert_eq!(known["refunded_minor"], 900, "{known}");
        }
    }
    all.is_whole().await;
    all.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_captures_and_cancellations_at_three_instances_one_kind_wins() {
    let all = Several::start(3, as_served()).await;
    for _ in 0..6 {
        let id = all.paid(0, 1000, "manual").await;
        let answers = join_all((0..6).map(|number| {
            let verb = if number % 2 == 0 { "capture" } else { "cancel" };
            let path = format!("/v1/payment_intents/{id}/{verb}");
            let all = &all;
            async move { (verb, all.pay(number % 3, &path, json!({})).await) }
        }))
        .await;
        let (_, at_stripe) = send(
            all.world
                .stripe(Method::GET, &format!("/v1/payment_intents/{id}")),
        )
        .await;
        let status = at_stripe["status"].as_str().unwrap();
        let winner = match status {
            "succeeded" => "capture",
            "canceled" => "cancel",
            other => panic!("{other}: {answers:?}"),
        };
        for (verb, (status, answer)) in &answers {
            match *status {
                200 => assert_eq!(*verb, winner, "{answer}"),
                other => assert_eq!(other, 400, "{answer}"),
            }
        }
        for instance in 0..all.count() {
            let known = all.look(instance, &format!("/payments/{id}")).await;
            assert_eq!(known["status"], status, "{known}");
        }
    }
    all.is_whole().await;
    all.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_for_an_orders_payment_at_whichever_instance_gets_the_one_there_is() {
    let all = Several::start(3, as_served()).await;
    for round in 0..4 {
        let name = format!("one-way-{round}");
        all.placed(round % 3, &name).await;
        let answers =
            join_all((0..9).map(|number| all.shop(number % 3, &name, "payment-intent"))).await;
        let mut ids: Vec<Value> = Vec::new();
        for (status, text) in &answers {
            assert_eq!(*status, 200, "{text}");
            let answer: Value = serde_json::from_str(text).unwrap();
            ids.push(answer["data"]["id"].clone());
        }
        ids.dedup();
        assert_eq!(ids.len(), 1, "{ids:?}");
    }
    assert_eq!(
        all.world
            .intents_at_stripe("acme")
            .await
            .iter()
            .filter(|it| it["amount"] == 900)
            .count(),
        4
    );
    all.is_whole().await;
    all.stop().await;
}

/// A new price, a cancellation, a payment and "it is paid" meet. None of them breaks, and what is left is one of the ends there are.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_everybody_changes_at_once_ends_in_one_way() {
    let all = Several::start(3, as_served()).await;
    for round in 0..6 {
        let name = format!("everybody-{round}");
        let id = all.placed(0, &name).await;
        assert_eq!(all.shop(1, &name, "payment-intent").await.0, 200);
        let path = |verb: &str| format!("/orders/{id}/{verb}");
        let (reprice, cancel) = (path("reprice"), path("cancel"));
        let (cheaper, dearer, cancelled, asked, paid) = tokio::join!(
            all.change(0, &reprice, price(800)),
            all.change(1, &reprice, price(1300)),
            all.change(2, &cancel, json!({"reason": "race"})),
            all.shop(1, &name, "payment-intent"),
            all.shop(2, &name, "payment"),
        );
        for (status, answer) in [&cheaper, &dearer, &cancelled] {
            assert!([200, 409].contains(status), "{status} {answer}");
        }
        for (status, text) in [&asked, &paid] {
            assert!([200, 409, 422].contains(status), "{status} {text}");
        }
        let one = format!("/orders/{id}");
        let seen = join_all((0..3).map(|instance| all.look(instance, &one))).await;
        for order in &seen {
            assert_eq!(order, &seen[0], "every instance shows the same");
        }
        assert_eq!(
            (seen[0]["status"] == "cancelled"),
            (cancelled.0 == 200),
            "{} {}",
            seen[0],
            cancelled.1
        );
    }
    all.is_whole().await;
    all.stop().await;
}

/// The requests of one key, one to each instance.
fn under_one_key<'a>(all: &'a Several, key: &'a str) -> impl Iterator<Item = RequestBuilder> + 'a {
    (0..all.count()).map(move |instance| {
        all.ask(instance, Method::POST, "/v1/payment_intents")
            .bearer_auth("sk_test_acme")
            .header("Idempotency-Key", key)
            .json(&card_payment(700, "usd", "4242424242424242"))
    })
}

/// Planted bug: not waiting for what another instance asks of Stripe answers those that came second with an error.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_runs_at_one_instance_is_joined_at_the_others() {
    let all = Several::start(3, as_served()).await;
    for (round, hold) in ["hold_before", "hold_after"].into_iter().enumerate() {
        for path in ["/v1/payment_intents", "/v1/payment_intents/pi_"] {
            let key = format!("joined-{round}-{}", path.len());
            let fault = json!({"kind": hold, "method": "POST", "path_prefix": path});
            all.world.sim(Method::POST, "faults", Some(fault)).await;
            let mut requests = under_one_key(&all, &key);
            let first = tokio::spawn(send(requests.next().unwrap()));
            all.world.wait_until_held(1).await;
            let others: Vec<_> = requests
                .map(|request| tokio::spawn(send(request)))
                .collect();
            let claimed = claims_looked_for(&all).await;
            until("the others look for the outcome", async || {
                claims_looked_for(&all).await > claimed
            })
            .await;
            all.world.sim(Method::POST, "faults/release", None).await;
            let (status, answer) = first.await.unwrap();
            assert_eq!(
                (status, &answer["status"]),
                (200, &json!("succeeded")),
                "{answer}"
            );
            for other in others {
                let (status, other) = other.await.unwrap();
                assert_eq!((status, &other["id"]), (200, &answer["id"]), "{other}");
            }
        }
    }
    assert_eq!(crate::processes::charges(&all.world).await, 4);
    all.is_whole().await;
    all.stop().await;
}

/// Planted bug: telling a request that its key's own first use stands in its way (it is refunded already), because the key was free
/// when it was looked at.
#[tokio::test(flavor = "multi_thread")]
async fn one_refund_that_is_asked_for_at_three_instances_under_one_key_is_one() {
    let all = Several::start(3, as_served()).await;
    for round in 0..8 {
        let id = all.paid(0, 1000, "automatic").await;
        let key = format!("refund-{round}");
        let answers = join_all((0..6).map(|number| {
            let request = all.ask(number % 3, Method::POST, "/v1/refunds");
            let request = request.bearer_auth("sk_test_acme");
            let request = request.header("Idempotency-Key", &key);
            send(request.json(&json!({"payment_intent": id})))
        }))
        .await;
        for (status, answer) in &answers {
            assert_eq!(
                (*status, &answer["id"]),
                (200, &answers[0].1["id"]),
                "{answer}"
            );
        }
    }
    all.is_whole().await;
    all.stop().await;
}

/// How often anybody has looked into the log for what came after what they know: it goes up while somebody waits.
async fn claims_looked_for(all: &Several) -> i64 {
    sqlx::query_scalar("select coalesce(seq_scan, 0) + coalesce(idx_scan, 0) from pg_stat_user_tables where relname = 'claims'")
        .fetch_one(all.world.app().store().pool())
        .await
        .unwrap()
}
