//! One payment, begun at one door and seen through all the others: the same amounts in each dialect, and in the ledger.

mod begun;
mod old_prices;
mod seen;

use crate::support::{World, until};
use begun::Begun;

/// A payment that was begun at a door and is paid, seen before and after a part of it went back.
///
/// Planted bug that turns these red: the amount of a refund in the wrong unit in one rendering.
async fn journey(world: World, it: Begun) {
    paid(&world, &it).await;
    seen::everywhere(&world, &it, 0).await;
    it.is_over(&world).await;

    let back = it.amount / 4;
    let refund = begun::refund(&world, &it.intent, back).await;
    seen::refund(&world, &it, &refund, back).await;
    seen::everywhere(&world, &it, back).await;
    let mut books = vec![
        ("assets:stripe:clearing".to_owned(), it.amount - back),
        ("contra:refunds".to_owned(), back),
        ("income:sales".to_owned(), -it.amount),
    ];
    if !it.pays_an_order {
        // Money that no order is named for stays its payer's.
        let unapplied = "liabilities:customers:unapplied".to_owned();
        books = vec![books[0].clone(), (unapplied, back - it.amount)];
    }
    assert_eq!(world.balances("acme", it.currency).await, books);
    world.stop_audited().await;
}

/// Waits until what Stripe told has reached the ledger.
async fn paid(world: &World, it: &Begun) {
    let last = if it.pays_an_order {
        "Applied"
    } else {
        "Succeeded"
    };
    until("the payment is in the ledger", async || {
        world.history("acme").await.iter().any(|name| name == last)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shops_order_is_seen_through_every_door() {
    let world = World::start().await;
    let it = begun::at_the_shop(&world).await;
    journey(world, it).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_that_is_confirmed_at_another_door_is_seen_through_every_door() {
    let world = World::start().await;
    let it = begun::at_the_offers(&world).await;
    journey(world, it).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_is_seen_through_every_door() {
    let world = World::start().await;
    let it = begun::at_the_checkout(&world).await;
    journey(world, it).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intent_of_the_documents_own_rendering_is_seen_through_every_door() {
    let world = World::start().await;
    let it = begun::at_the_intents(&world).await;
    journey(world, it).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intent_of_stripes_rendering_is_seen_through_every_door() {
    let world = World::start().await;
    let it = begun::at_stripes_rendering(&world).await;
    journey(world, it).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_source_is_seen_through_every_door() {
    let world = World::start().await;
    let it = begun::at_the_stripe_payments(&world).await;
    journey(world, it).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_of_the_native_api_is_seen_through_every_door() {
    let world = World::start().await;
    let it = begun::at_the_native_api(&world).await;
    journey(world, it).await;
}
