//! What is kept in rows is what the events say: the log, folded again from its start, gives the same rows.

use crate::recovery_parked::{parked_capture, settle};
use crate::support::{World, card_payment, send, until};
use aggregates::catalogue::{Article, Offer};
use aggregates::ids::{ArticleId, OfferId, OrderId, PaymentId, SettlementId};
use aggregates::metadata::Actor;
use aggregates::money::{Currency, Money};
use aggregates::order::Order;
use aggregates::payment::Payment;
use aggregates::settlement::Settlement;
use aggregates::stripe_request::StripeRequest;
use chrono::{DateTime, Utc};
use counterfoil::bank::StatementLine;
use cqrs_es::Aggregate;
use eventstore::{Recorded, RowChange, RowFold};
use futures::future::join_all;
use projections::fold::{self, Versioned};
use reqwest::Method;
use serde_json::json;
use std::collections::HashMap;
use uuid::Uuid;

/// A fold of the whole log, one event at a time.
#[derive(Default)]
struct Refold {
    orders: HashMap<String, Versioned<Order>>,
    payments: HashMap<String, Versioned<Payment>>,
    requests: HashMap<String, Versioned<StripeRequest>>,
    settlements: HashMap<String, Versioned<Settlement>>,
    offers: HashMap<String, Versioned<Offer>>,
    articles: HashMap<String, Versioned<Article>>,
    changes: Vec<(i64, DateTime<Utc>, RowChange)>,
}

impl Refold {
    fn take(&mut self, event: &Recorded) {
        let uuid: Uuid = event
            .aggregate_id
            .rsplit('/')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        let rows = match event.aggregate_type.as_str() {
            Order::TYPE => {
                let order = self.orders.entry(event.aggregate_id.clone()).or_default();
                fold::order(
                    OrderId::from_uuid(uuid),
                    order,
                    &[event.payload_as().unwrap()],
                    0,
                )
            }
            Payment::TYPE => {
                let payment = self.payments.entry(event.aggregate_id.clone()).or_default();
                fold::payment(
                    PaymentId::from_uuid(uuid),
                    payment,
                    &[event.payload_as().unwrap()],
                    0,
                )
            }
            StripeRequest::TYPE => {
                let request = self.requests.entry(event.aggregate_id.clone()).or_default();
                fold::stripe_request(request, &[event.payload_as().unwrap()], 0)
            }
            Settlement::TYPE => {
                let settlement = self
                    .settlements
                    .entry(event.aggregate_id.clone())
                    .or_default();
                fold::settlement(
                    SettlementId::from_uuid(uuid),
                    settlement,
                    &[event.payload_as().unwrap()],
                    0,
                )
            }
            Offer::TYPE => {
                let offer = self.offers.entry(event.aggregate_id.clone()).or_default();
                fold::offer(
                    OfferId::from_uuid(uuid),
                    offer,
                    &[event.payload_as().unwrap()],
                    0,
                )
            }
            Article::TYPE => {
                let article = self.articles.entry(event.aggregate_id.clone()).or_default();
                fold::article(
                    ArticleId::from_uuid(uuid),
                    article,
                    &[event.payload_as().unwrap()],
                    0,
                )
            }
            other => panic!("no fold for {other}"),
        };
        self.changes.extend(
            rows.into_iter()
                .map(|row| (event.position, event.recorded_at, row)),
        );
    }
}

/// A world in which something of everything has happened.
pub async fn busy_world() -> World {
    let mut world = World::start().await;
    let (status, order) = send(world.shop_create()).await;
    assert_eq!(status, 200, "{order}");
    let pay = |card: &'static str| {
        send(world.pay("/v1/payment_intents", card_payment(2000, "usd", card)))
    };
    let paid =
        join_all(["4242424242424242", "4000000000000002", "5555555555554444"].map(pay)).await;
    let refund = |amount: i64| {
        send(world.pay(
            "/v1/refunds",
            json!({"payment_intent": paid[0].1["id"], "amount": amount}),
        ))
    };
    join_all([300, 400, 2000].map(refund)).await;
    // A payment source with a description, and one that was thrown away.
    let order = json!({"data": {"type": "orders", "id": "ABCRtyUpBa"}});
    let data = json!({"type": "stripe_payments", "attributes": {"reference": "A-1", "metadata": {"foo": {"bar": 1}}},
        "relationships": {"order": order}});
    let source = |method: Method, path: &str| {
        let request = world.request(method, &format!("/api/stripe_payments{path}"));
        let request = request.bearer_auth("cl-acme");
        request.header("Content-Type", "application/vnd.api+json")
    };
    for _ in 0..2 {
        let made = source(Method::POST, "").body(json!({"data": data}).to_string());
        let (status, made) = send(made).await;
        assert_eq!(status, 201, "{made}");
        let id = made["data"]["id"].as_str().unwrap();
        let gone = source(Method::DELETE, &format!("/{id}"));
        assert_eq!(send(gone).await.0, 204);
    }
    let keyed = world.pay(
        "/v1/payment_intents",
        card_payment(3000, "usd", "4242424242424242"),
    );
    assert_eq!(send(keyed.header("Idempotency-Key", "k-1")).await.0, 200);
    let customer = world.pay("/v1/customers", json!({"name": "Ada"}));
    let customer = customer.header("Idempotency-Key", "k-2");
    assert_eq!(send(customer).await.0, 200);
    let order = json!({"source": "shop", "reference": "77", "currency": "usd", "tax_minor": 0,
        "lines": [{"name": "Shoes", "unit_minor": 7900, "quantity": 1}]});
    let placed = world.post("/ledger/v1/orders").bearer_auth("admin-acme");
    let placed = placed.header("Idempotency-Key", "k-3").json(&order);
    assert_eq!(send(placed).await.0, 201);
    let days = json!({"advance_s": 9 * 24 * 3600});
    world.sim(Method::POST, "clock", Some(days)).await;
    let payout = json!({"account": "acct_acme", "automatic": true});
    world.sim(Method::POST, "payouts", Some(payout)).await;
    let read = |path: String| send(world.get(&path).bearer_auth("sk_test_acme"));
    let (_, payouts) = read("/v1/payouts".to_owned()).await;
    let payout = payouts["data"][0]["id"].as_str().unwrap().to_owned();
    // Whoever reads it has it noticed.
    assert_eq!(read(format!("/v1/payouts/{payout}")).await.0, 200);
    until("the webhooks are applied", async || {
        let waiting: i64 =
            sqlx::query_scalar("select count(*) from webhook_inbox where applied_at is null")
                .fetch_one(world.app().store().pool())
                .await
                .unwrap();
        waiting == 0
    })
    .await;
    let acme = "acme".parse().unwrap();
    let settled = world.app().settle(&acme).await.unwrap();
    assert!(settled.recorded > 0);
    let line = StatementLine {
        account: None,
        booked_on: chrono::Utc::now().date_naive(),
        value_on: None,
        amount: Money::new(100, Currency::USD),
        reference: None,
        text: "STRIPE".to_owned(),
    };
    let actor = Actor {
        name: "operator:test".to_owned(),
        key_id: None,
        door: "cli".to_owned(),
    };
    let account = "main".parse().unwrap();
    let imported = world
        .app()
        .import_statement(&acme, actor, account, vec![line]);
    assert_eq!(imported.await.unwrap().new, 1);
    let paused = Some(json!({"paused": true}));
    world.sim(Method::POST, "webhooks", paused).await;
    let (intent, intention) = parked_capture(&mut world, "drop_after").await;
    settle(&world, intention, &intent).await;
    world
}

/// Planted bug: leaving the balances of one event kind out of the live fold (or folding an event twice) shows as a difference.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_folded_again_from_its_start_gives_the_rows_that_are_there() {
    let world = busy_world().await;
    let store = world.app().store();
    let mut refold = Refold::default();
    let head = store.reader().head().await.unwrap().position;
    let count = store
        .reader()
        .replay(0, head, |event| -> Result<(), eventstore::StoreError> {
            refold.take(event);
            Ok(())
        })
        .await;
    assert_eq!(i64::try_from(count.unwrap()).unwrap(), head);

    let mut rows = RowFold::new(store.log().tables());
    for (position, recorded_at, change) in &refold.changes {
        rows.push(change, *position, *recorded_at).unwrap();
    }
    let pool = eventstore::pool(&world.database_url, eventstore::Role::Owner, 1)
        .await
        .unwrap();
    let mut shadow = pool.begin().await.unwrap();
    for table in projections::TABLES {
        let make = format!(
            "create temp table shadow_{0} (like {0} including all)",
            table.name
        );
        sqlx::query(&make).execute(&mut *shadow).await.unwrap();
    }
    rows.write(&mut shadow, |table| format!("shadow_{table}"))
        .await
        .unwrap();
    for table in projections::TABLES {
        let differ = format!(
            "select count(*) from ((table {0} except table shadow_{0}) union all (table shadow_{0} except table {0})) it where position <= $1",
            table.name
        );
        let differ: i64 = sqlx::query_scalar(&differ)
            .bind(head)
            .fetch_one(&mut *shadow)
            .await
            .unwrap();
        assert_eq!(differ, 0, "{} differs from its rebuild", table.name);
        let there: i64 = sqlx::query_scalar(&format!("select count(*) from {}", table.name))
            .fetch_one(&mut *shadow)
            .await
            .unwrap();
        assert!(there > 0, "{} has rows to compare", table.name);
    }
    drop(shadow);
    world.stop_audited().await;
}
