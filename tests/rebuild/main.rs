//! Read models rebuilt beside the live ones: identical under load, mended where they are not, and nothing else touched.

#[path = "../support/mod.rs"]
mod support;

mod api;
mod deaths;
mod differences;
mod load;
mod past;
mod past_api;

use crate::support::{World, card_payment, process, send, until};
use eventstore::{Reader, Role};
use projections::rebuild::{Order, Outcome, Rebuild, RebuildError, Refold, Refolds};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection, PgPool};
use std::process::Output;
use uuid::Uuid;

/// The database as its owner.
pub async fn owner(world: &World) -> PgConnection {
    PgConnection::connect(&world.database_url).await.unwrap()
}

pub async fn pool(world: &World) -> PgPool {
    eventstore::pool(&world.database_url, Role::Owner, 4)
        .await
        .unwrap()
}

/// Something of most things: orders, payments, refunds, what Stripe books, offers, articles.
pub async fn busy_world() -> World {
    let world = World::start().await;
    assert_eq!(send(world.shop_create()).await.0, 200);
    for card in ["4242424242424242", "4000000000000002", "5555555555554444"] {
        pay(&world, "sk_test_acme", card).await;
    }
    let paid = pay(&world, "sk_test_acme", "4242424242424242").await;
    for amount in [300, 400] {
        refund(&world, &paid, amount).await;
    }
    pay(&world, "sk_test_rival", "4242424242424242").await;
    let order = json!({"source": "shop", "reference": "77", "currency": "usd", "tax_minor": 0,
        "lines": [{"name": "Shoes", "unit_minor": 7900, "quantity": 1}]});
    let placed = world.post("/ledger/v1/orders").bearer_auth("admin-acme");
    assert_eq!(send(placed.json(&order)).await.0, 201);
    let customer = world.pay("/v1/customers", json!({"name": "Ada"}));
    assert_eq!(send(customer).await.0, 200);
    settled(&world).await;
    world
}

/// The webhooks are applied, the journal has caught up, and no more come.
pub async fn settled(world: &World) {
    until("the webhooks are applied", async || {
        let waiting: i64 =
            sqlx::query_scalar("select count(*) from webhook_inbox where applied_at is null")
                .fetch_one(world.app().store().pool())
                .await
                .unwrap();
        waiting == 0
    })
    .await;
    let paused = Some(json!({"paused": true}));
    world.sim(Method::POST, "webhooks", paused).await;
    caught_up(world).await;
}

/// The journal has caught up.
pub async fn caught_up(world: &World) {
    until("the journal has caught up", async || {
        let behind: i64 = sqlx::query_scalar(
            "select position - coalesce((select position from checkpoints where name like 'journal.%'), 0) from log_head",
        )
        .fetch_one(world.app().store().pool())
        .await
        .unwrap();
        behind == 0
    })
    .await;
}

/// Stripe's id of a payment that is made now.
pub async fn pay(world: &World, key: &str, card: &str) -> String {
    let paid = world.post("/v1/payment_intents").bearer_auth(key);
    let (_, paid) = send(paid.json(&card_payment(2000, "usd", card))).await;
    paid["id"].as_str().unwrap_or_default().to_owned()
}

pub async fn refund(world: &World, intent: &str, amount: i64) {
    let body = json!({"payment_intent": intent, "amount": amount});
    let (status, refunded) = send(world.pay("/v1/refunds", body)).await;
    assert_eq!(status, 200, "{refunded}");
}

/// A rebuild of everything, that nobody but the test knows of.
pub fn of_everything(dry_run: bool) -> Order {
    Order {
        id: Uuid::now_v7(),
        dry_run,
        started_by: "a test".to_owned(),
        merchant: None,
        program: "test".to_owned(),
        projections: projections::rebuild::projections(),
    }
}

/// Rebuilds with a fold, a page of so many events at a time.
pub async fn rebuild_with(
    world: &World,
    fold: impl Refolds,
    page: usize,
    order: &Order,
) -> Result<Outcome, RebuildError> {
    let reader = Reader::new(pool(world).await);
    let rebuild = Rebuild::begin(&world.database_url, reader, &order.projections, fold).await?;
    let mut rebuild = rebuild.page(page);
    rebuild.record(order).await?;
    rebuild.run(order, &mut ()).await
}

/// Nothing differs, says a dry run.
pub async fn assert_identical(world: &World) {
    let order = of_everything(true);
    let outcome = rebuild_with(world, Refold::default(), 1000, &order).await;
    let outcome = outcome.unwrap();
    assert_eq!(
        outcome,
        Outcome::Identical,
        "{:#?}",
        listed(world, order.id).await
    );
}

/// The differences that a rebuild lists, as JSON.
pub async fn listed(world: &World, id: Uuid) -> Vec<Value> {
    sqlx::query_scalar(
        "select to_jsonb(d) - 'rebuild' - 'number' from rebuild_differences d where rebuild = $1 order by number",
    )
    .bind(id)
    .fetch_all(&mut owner(world).await)
    .await
    .unwrap()
}

/// Runs `counterfoil replay` to its end: its exit code, and what it printed as JSON.
pub async fn replay(world: &World, arguments: &[&str]) -> (i32, Value) {
    let ended = replay_output(world, arguments).await;
    let said = String::from_utf8_lossy(&ended.stdout);
    let said = serde_json::from_str(&said).unwrap_or(Value::Null);
    (ended.status.code().unwrap(), said)
}

pub async fn replay_output(world: &World, arguments: &[&str]) -> Output {
    let mut command = process::program(world);
    command.arg("replay").args(arguments);
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

/// Whose process holds the one rebuild's lock; none where no rebuild runs.
pub async fn step_of_running(world: &World) -> Option<String> {
    sqlx::query_scalar("select step from rebuilds where state = 'running'")
        .fetch_optional(&mut owner(world).await)
        .await
        .unwrap()
}
