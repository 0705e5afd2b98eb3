//! An order of the shop, from the request for a payment to the money in the ledger.

use crate::support::{World, send, until};
use aggregates::ids::OrderId;
use aggregates::money::Money;
use reqwest::Method;
use serde_json::json;

/// What the customer's browser does at Stripe: gives a card and confirms.
async fn pay_at_stripe(world: &World, intent: &str) {
    // The document's step 2: an update with a payment method, as JSON.
    let update = world.stripe(Method::POST, &format!("/v1/payment_intents/{intent}"));
    let (status, body) = send(update.json(&json!({"payment_method": "pm_card_visa"}))).await;
    assert_eq!(
        (status, body["status"].as_str()),
        (200, Some("requires_confirmation"))
    );
    let confirm = world.stripe(
        Method::POST,
        &format!("/v1/payment_intents/{intent}/confirm"),
    );
    let (status, body) = send(confirm).await;
    assert_eq!((status, body["status"].as_str()), (200, Some("succeeded")));
}

async fn is_paid(world: &World) -> bool {
    let paid: Option<bool> =
        sqlx::query_scalar("select status = 'paid' from orders where merchant = 'acme' and reference = '9' and source = 'shop'")
            .fetch_optional(world.app().store().pool())
            .await
            .unwrap();
    paid == Some(true)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_order_is_paid_by_the_webhook_and_the_ledger_balances() {
    let world = World::start().await;
    let (status, created) = send(world.shop_create()).await;
    assert_eq!(status, 200, "{created}");
    let intent = created["data"]["id"].as_str().unwrap();

    let at_stripe = &world.intents_at_stripe("acme").await[0];
    assert_eq!(at_stripe["id"], intent);
    assert_eq!(at_stripe["amount"], 11200);
    assert_eq!(at_stripe["capture_method"], "automatic_async");
    assert_eq!(
        at_stripe["description"],
        "Payment for Order #ORD-20250331-5XZF"
    );
    assert_eq!(at_stripe["metadata"]["order_id"], "9");
    assert_eq!(at_stripe["receipt_email"], "customer-9@example.com");

    pay_at_stripe(&world, intent).await;
    until("the webhook has paid the order", async || {
        is_paid(&world).await
    })
    .await;

    assert_eq!(
        world.balances("acme", "usd").await,
        [
            ("assets:stripe:clearing".to_owned(), 11200),
            ("income:sales".to_owned(), -11200)
        ]
    );
    let history = world.history("acme").await;
    for once in [
        "CreateRequested",
        "Created",
        "Captured",
        "Succeeded",
        "OrderPaid",
        "Applied",
    ] {
        assert_eq!(
            history.iter().filter(|name| *name == once).count(),
            1,
            "{once} in {history:?}"
        );
    }
    let requested = history.iter().position(|name| name == "CreateRequested");
    assert!(
        requested < history.iter().position(|name| name == "Created"),
        "the intention comes first: {history:?}"
    );

    // The journal is caught up behind the log, and says the same.
    until("the journal is caught up", async || {
        let sum: Option<i64> = sqlx::query_scalar(
            "select sum(debit_minor - credit_minor)::bigint from journal where merchant = 'acme' and account = 'assets:stripe:clearing'",
        )
        .fetch_one(world.app().store().pool())
        .await
        .unwrap();
        sum == Some(11200)
    })
    .await;
    world.stop_audited().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mark_as_paid_asks_stripe_and_never_believes_its_caller() {
    let world = World::start().await;
    world
        .sim(Method::POST, "webhooks", Some(json!({"paused": true})))
        .await;
    let (status, early) = send(world.shop_paid()).await;
    assert_eq!(status, 409, "nothing was asked for yet: {early}");

    let (_, created) = send(world.shop_create()).await;
    let intent = created["data"]["id"].as_str().unwrap();
    let before = world.events().await;
    let (status, unpaid) = send(world.shop_paid()).await;
    assert_eq!(status, 409, "{unpaid}");
    assert_eq!(world.events().await, before, "a refusal changes nothing");

    pay_at_stripe(&world, intent).await;
    assert!(!is_paid(&world).await, "no webhook came, nobody has asked");
    let (status, paid) = send(world.shop_paid()).await;
    assert_eq!(
        (status, paid["data"]["status"].as_str()),
        (200, Some("succeeded")),
        "{paid}"
    );
    assert_eq!(paid["data"]["id"], intent);
    assert!(is_paid(&world).await);

    // Twice, and beside the webhook that comes now: one transition.
    let (again, webhook) = tokio::join!(
        send(world.shop_paid()),
        world.sim(Method::POST, "webhooks", Some(json!({"paused": false})))
    );
    drop(webhook);
    assert_eq!(again.0, 200);
    until("the webhooks are applied", async || {
        let waiting: i64 = sqlx::query_scalar(
            "select count(*) from webhook_inbox where applied_at is null or type = 'none'",
        )
        .fetch_one(world.app().store().pool())
        .await
        .unwrap();
        let came: i64 = sqlx::query_scalar(
            "select count(*) from webhook_inbox where type = 'payment_intent.succeeded'",
        )
        .fetch_one(world.app().store().pool())
        .await
        .unwrap();
        waiting == 0 && came == 1
    })
    .await;
    let history = world.history("acme").await;
    assert_eq!(
        history.iter().filter(|name| *name == "OrderPaid").count(),
        1,
        "{history:?}"
    );
    assert_eq!(
        history.iter().filter(|name| *name == "Captured").count(),
        1,
        "{history:?}"
    );

    let (status, over) = send(world.shop_create()).await;
    assert_eq!(status, 409, "a paid order cannot be asked to pay: {over}");
    world.stop_audited().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repriced_order_takes_its_new_amount_and_money_at_the_old_price_stays_unapplied() {
    let world = World::start().await;
    let (_, created) = send(world.shop_create()).await;
    let intent = created["data"]["id"].as_str().unwrap().to_owned();
    reprice(&world, order_9(), dollars(12_000)).await;

    // The customer is quicker than the shop: the old amount is paid.
    pay_at_stripe(&world, &intent).await;
    until("the money is recorded", async || {
        world
            .history("acme")
            .await
            .iter()
            .any(|name| name == "OrderMispaid")
    })
    .await;
    assert!(!is_paid(&world).await);
    assert_eq!(
        world.balances("acme", "usd").await,
        [
            ("assets:stripe:clearing".to_owned(), 11200),
            ("liabilities:customers:unapplied".to_owned(), -11200)
        ]
    );
    let (status, refused) = send(world.shop_paid()).await;
    assert_eq!(status, 409, "{refused}");

    // The order can still be paid, at its price, by another payment.
    let (status, second) = send(world.shop_create()).await;
    assert_eq!(
        (status, second["data"]["amount"].as_str()),
        (200, Some("120.00")),
        "{second}"
    );
    assert_ne!(second["data"]["id"], intent);
    world.stop_audited().await;
}

/// Planted bug: keeping a payment attached that was cancelled leaves the order without a way to be paid.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_cancelled_at_stripe_frees_its_order_for_another() {
    let world = World::start().await;
    let (_, created) = send(world.shop_create()).await;
    let intent = created["data"]["id"].as_str().unwrap();
    let (status, cancelled) = send(world.stripe(
        Method::POST,
        &format!("/v1/payment_intents/{intent}/cancel"),
    ))
    .await;
    assert_eq!(
        (status, cancelled["status"].as_str()),
        (200, Some("canceled"))
    );
    let (status, second) = send(world.shop_create()).await;
    assert_eq!(status, 200, "{second}");
    assert_ne!(second["data"]["id"], intent);
    pay_at_stripe(&world, second["data"]["id"].as_str().unwrap()).await;
    until("the second payment has paid the order", async || {
        is_paid(&world).await
    })
    .await;
    world.stop_audited().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_payment_takes_the_new_amount_of_its_order() {
    let world = World::start().await;
    let (_, created) = send(world.shop_create()).await;
    reprice(&world, order_9(), dollars(12_000)).await;
    let (status, again) = send(world.shop_create()).await;
    assert_eq!(
        (status, again["data"]["amount"].as_str()),
        (200, Some("120.00")),
        "{again}"
    );
    assert_eq!(
        again["data"]["id"], created["data"]["id"],
        "the same live intent"
    );
    let intents = world.intents_at_stripe("acme").await;
    let amounts: Vec<_> = intents
        .iter()
        .filter(|it| it["metadata"]["order_id"] == "9")
        .map(|it| &it["amount"])
        .collect();
    assert_eq!(amounts, [12000]);
    world.stop_audited().await;
}

fn order_9() -> OrderId {
    OrderId::derive(&"acme".parse().unwrap(), "shop", "9")
}

fn dollars(minor: i64) -> Money {
    Money::new(minor, "usd".parse().unwrap())
}

/// An order of acme's has one line now, which costs so much.
pub async fn reprice(world: &World, id: OrderId, total: Money) {
    use aggregates::ids::CommandId;
    use aggregates::metadata::Actor;
    use aggregates::order::OrderCommand;
    use aggregates::order::event::{Line, Price};
    use counterfoil::store::{Commit, Context, Decided};

    let (app, merchant) = (world.app(), "acme".parse().unwrap());
    let order = app.store().order(&merchant, id).await.unwrap();
    let line = Line {
        name: "Main product 2".into(),
        unit: total,
        quantity: 1,
        description: String::new(),
    };
    let price = Price {
        total,
        tax: Money::zero(total.currency()),
        lines: vec![line],
    };
    let events = order.state.decide(OrderCommand::Reprice { price }).unwrap();
    let context = Context {
        actor: Actor {
            name: "test".into(),
            key_id: None,
            door: "test".into(),
        },
        command_id: CommandId::from_uuid(app.store().ids.uuid()),
        correlation_id: app.store().ids.uuid(),
        causation_id: None,
        reason: None,
        claimed_at: None,
    };
    let commit = Commit {
        order: Some(Decided {
            id,
            before: order,
            events,
        }),
        ..Commit::default()
    };
    app.store()
        .commit(&merchant, &context, commit)
        .await
        .unwrap();
}
