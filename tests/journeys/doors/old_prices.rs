//! Money at a price that an order no longer has: it is recorded, stays unapplied, and the order stays unpaid. The shop's
//! and the offers' own are told beside their doors.

use super::begun;
use crate::order::reprice;
use crate::support::{World, send, until};
use aggregates::ids::OrderId;
use aggregates::money::Money;
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

/// The one order from there, and its status.
async fn order(world: &World, source: &str) -> (OrderId, String) {
    let query = "select order_id, status from orders where merchant = 'acme' and source = $1";
    let pool = world.app().store().pool();
    let found = sqlx::query_as(query).bind(source).fetch_one(pool).await;
    let (id, status): (Uuid, String) = found.unwrap();
    (id.to_string().parse().unwrap(), status)
}

/// Waits until money has come that pays nothing, and is nobody's income.
async fn stays_unapplied(world: &World, currency: &str, minor: i64) {
    until("the money is recorded", async || {
        let history = world.history("acme").await;
        history.iter().any(|name| name == "OrderMispaid")
    })
    .await;
    assert_eq!(
        world.balances("acme", currency).await,
        [
            ("assets:stripe:clearing".to_owned(), minor),
            ("liabilities:customers:unapplied".to_owned(), -minor)
        ]
    );
}

/// Planted bug: paying an order with whatever its checkout was opened for.
#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_that_is_paid_at_an_old_price_leaves_its_order_unpaid() {
    let world = World::start().await;
    let session = begun::open_checkout(&world).await;
    let (id, _) = order(&world, "checkout").await;
    reprice(&world, id, Money::new(70_000, "sek".parse().unwrap())).await;
    begun::pay_on_the_page(&world, &session).await;
    stays_unapplied(&world, "sek", 60_000).await;
    assert_eq!(order(&world, "checkout").await.1, "open");
    // It can still be paid, by another checkout at the articles' price.
    let second = begun::open_checkout(&world).await;
    assert_ne!(second, session);
    begun::pay_on_the_page(&world, &second).await;
    until("the second has paid it", async || {
        order(&world, "checkout").await.1 == "paid"
    })
    .await;
    assert_eq!(
        world.balances("acme", "sek").await,
        [
            ("assets:stripe:clearing".to_owned(), 120_000),
            ("income:sales".to_owned(), -60_000),
            ("liabilities:customers:unapplied".to_owned(), -60_000)
        ]
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_source_that_is_paid_at_an_old_price_says_that_its_amounts_differ() {
    let world = World::start().await;
    let (source, intent) = begun::open_source(&world).await;
    let (id, _) = order(&world, "commerce_layer").await;
    reprice(&world, id, Money::new(7_000, "eur".parse().unwrap())).await;
    let path = format!("/api/stripe_payments/{source}?include=order");
    let shown = async || send(begun::as_json_api(&world, Method::GET, &path)).await.1;
    assert_eq!(
        shown().await["data"]["attributes"]["mismatched_amounts"],
        true
    );
    begun::pay_at_stripe(&world, &intent).await;
    stays_unapplied(&world, "eur", 5_900).await;
    assert_eq!(order(&world, "commerce_layer").await.1, "open");
    let order = &shown().await["included"][0]["attributes"];
    assert_eq!(
        (&order["total_amount_cents"], &order["payment_status"]),
        (&json!(7_000), &json!("unpaid"))
    );
    world.stop().await;
}
