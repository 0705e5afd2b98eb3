//! Changes that meet one another, and payments that are made at that moment.

use super::*;
use futures::future::join_all;

/// Red when an order is cancelled past its live payment.
#[tokio::test(flavor = "multi_thread")]
async fn many_who_cancel_at_once_are_all_told_that_it_is_cancelled() {
    let world = World::start().await;
    let id = placed(&world, "c", 900).await;
    payment_asked(&world, "c").await;
    let path = format!("/orders/{id}/cancel");
    let reason = json!({"reason": "race"});
    let answers = join_all((0..8).map(|number| {
        let key = format!("key-{}", number % 2);
        let (world, path, reason) = (&world, &path, &reason);
        async move { post_once(world, ADMIN, path, reason, &key).await }
    }))
    .await;
    for answer in &answers {
        assert_eq!(answer.json["status"], "cancelled", "{}", answer.text);
    }
    let life = get(&world, ADMIN, &format!("/orders/{id}/events"))
        .await
        .expect(200);
    let count = |kind: &str| {
        life["data"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|it| it["type"] == kind)
            .count()
    };
    assert_eq!((count("OrderCancelled"), count("PaymentReleased")), (1, 1));
    world.stop_audited().await;
}

/// Who pays before the cancellation is faster, though no webhook has told us yet: red when the order is cancelled all the same.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_was_paid_meanwhile_is_not_cancelled() {
    let world = World::start().await;
    let id = placed(&world, "m", 900).await;
    let intent = payment_asked(&world, "m").await;
    world
        .sim(Method::POST, "webhooks", Some(json!({"paused": true})))
        .await;
    pays(&world, &intent).await.expect(200);
    let refused = post_once(
        &world,
        ADMIN,
        &format!("/orders/{id}/cancel"),
        &json!({"reason": "late"}),
        "k",
    )
    .await;
    assert_eq!((refused.status, refused.problem()), (409, "already_paid"));
    let order = get(&world, ADMIN, &format!("/orders/{id}"))
        .await
        .expect(200);
    assert_eq!(order["status"], "paid");
    world.stop_audited().await;
}

/// Whichever is faster, the order is paid at the price that it has, or not at all.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_price_and_a_payment_at_the_old_one_exclude_each_other() {
    let world = World::start().await;
    for round in 0..4 {
        let name = format!("r-{round}");
        let id = placed(&world, &name, 900).await;
        let intent = payment_asked(&world, &name).await;
        let path = format!("/orders/{id}/reprice");
        let body = price(1100);
        let (repriced, paid) =
            tokio::join!(post(&world, ADMIN, &path, &body), pays(&world, &intent));
        assert_eq!(paid.status, 200, "{}", paid.text);
        let taken = paid.json["amount_received"].as_i64().unwrap();
        support::until("the money is known", async || {
            let order = get(&world, ADMIN, &format!("/orders/{id}")).await.json;
            order["status"] == "paid" || order["unapplied"] != json!([])
        })
        .await;
        let order = get(&world, ADMIN, &format!("/orders/{id}"))
            .await
            .expect(200);
        match (repriced.status, taken) {
            (409, 900) => assert_eq!(order["status"], "paid"),
            (200, 1100) => assert_eq!(
                (order["status"].as_str(), &order["unapplied"]),
                (Some("paid"), &json!([]))
            ),
            (200, 900) if order["status"] == "open" => {
                assert_eq!(
                    (
                        &order["total_minor"],
                        &order["unapplied"][0]["amount_minor"]
                    ),
                    (&json!(1100), &json!(900))
                );
            }
            other => panic!("{other:?} {} {order}", repriced.text),
        }
    }
    world.stop_audited().await;
}

/// The same, in the order in which it matters: the money came at the old price, and the news of it comes after the new one.
/// Red when whatever comes through the live payment pays the order.
#[tokio::test(flavor = "multi_thread")]
async fn money_at_the_old_price_stays_unapplied_under_the_new_one() {
    let world = World::start().await;
    let id = placed(&world, "late", 900).await;
    let intent = payment_asked(&world, "late").await;
    world
        .sim(Method::POST, "webhooks", Some(json!({"paused": true})))
        .await;
    pays(&world, &intent).await.expect(200);
    let path = format!("/orders/{id}/reprice");
    let repriced = post(&world, ADMIN, &path, &price(1100)).await.expect(200);
    assert_eq!(
        (&repriced["status"], &repriced["total_minor"]),
        (&json!("open"), &json!(1100))
    );
    assert_eq!(repriced["unapplied"][0]["amount_minor"], 900);
    assert_eq!(repriced["live"], Value::Null);
    world.stop_audited().await;
}

/// Red when two requests under one key both do their work.
#[tokio::test(flavor = "multi_thread")]
async fn one_key_makes_one_thing_however_many_ask_at_once() {
    let world = World::start().await;
    let body = json!({"kind": "offers", "scopes": ["payments:read"]});
    let answers = join_all((0..6).map(|_| post_once(&world, ADMIN, "/keys", &body, "same"))).await;
    let secrets = answers
        .iter()
        .filter(|it| it.json.get("secret").is_some())
        .count();
    assert!(
        answers
            .iter()
            .all(|it| it.status == 201 && it.json["id"] == answers[0].json["id"])
    );
    assert_eq!(secrets, 1);
    let before = world.events().await;
    let body = order("once", 100);
    let answers =
        join_all((0..6).map(|_| post_once(&world, ADMIN, "/orders", &body, "order"))).await;
    assert!(
        answers
            .iter()
            .all(|it| it.status == 201 && it.json == answers[0].json)
    );
    assert_eq!(world.events().await, before + 1);
    world.stop_audited().await;
}
