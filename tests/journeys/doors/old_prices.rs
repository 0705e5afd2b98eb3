//! Money at a price that an order no longer has: it is recorded, stays unapplied, and the order stays unpaid. The shop's
//! and the offers' own are told beside their doors.

use super::begun;
use crate::order::reprice;
use crate::support::{World, until};
use aggregates::ids::OrderId;
use aggregates::money::Money;

/// Status and payments of the checkout's one order.
async fn order(world: &World) -> (OrderId, String) {
    let query =
        "select order_id, status from orders where merchant = 'acme' and source = 'checkout'";
    let pool = world.app().store().pool();
    let (id, status): (uuid::Uuid, String) = sqlx::query_as(query).fetch_one(pool).await.unwrap();
    (id.to_string().parse().unwrap(), status)
}

/// Planted bug: paying an order with whatever its checkout was opened for.
#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_that_is_paid_at_an_old_price_leaves_its_order_unpaid() {
    let world = World::start().await;
    let session = begun::open_checkout(&world).await;
    let (id, _) = order(&world).await;
    reprice(&world, id, Money::new(70_000, "sek".parse().unwrap())).await;
    begun::pay_on_the_page(&world, &session).await;
    until("the money is recorded", async || {
        let history = world.history("acme").await;
        history.iter().any(|name| name == "OrderMispaid")
    })
    .await;
    assert_eq!(order(&world).await.1, "open");
    assert_eq!(
        world.balances("acme", "sek").await,
        [
            ("assets:stripe:clearing".to_owned(), 60_000),
            ("liabilities:customers:unapplied".to_owned(), -60_000)
        ]
    );
    // It can still be paid, by another checkout at the articles' price.
    let second = begun::open_checkout(&world).await;
    assert_ne!(second, session);
    begun::pay_on_the_page(&world, &second).await;
    until("the second has paid it", async || {
        order(&world).await.1 == "paid"
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
