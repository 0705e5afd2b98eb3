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
    world.stop_audited().await;
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
    world.stop_audited().await;
}

/// The native API takes the new price to the live payment, so the customer has to be quicker than that.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_the_native_api_reprices_too_late_shows_the_money_that_did_not_pay_it() {
    let world = World::start().await;
    let id = begun::place(&world, "4712").await;
    let intent = begun::ask_at_the_shop(&world, "4712", "59.97").await;
    let of_intent = format!("/v1/payment_intents/{}", intent.as_str().unwrap());
    let hold =
        json!({"kind": "hold_before", "method": "POST", "path_prefix": of_intent, "times": 1});
    world.sim(Method::POST, "faults", Some(hold)).await;
    let path = format!("/ledger/v1/orders/{id}");
    let price = json!({"currency": "gbp", "lines": [{"name": "Socks", "unit_minor": 2_499, "quantity": 3}]});
    let request = world.post(&format!("{path}/reprice"));
    let repriced = tokio::spawn(send(request.bearer_auth("admin-acme").json(&price)));
    world.wait_until_held(1).await;
    begun::pay_at_stripe(&world, &intent).await;
    world.sim(Method::POST, "faults/release", None).await;
    let (status, told) = repriced.await.unwrap();
    assert_eq!(status, 200, "{told}");

    stays_unapplied(&world, "gbp", 5_997).await;
    let (_, shown) = send(world.get(&path).bearer_auth("finance-acme")).await;
    assert_eq!(
        (&shown["status"], &shown["paid_by"], &shown["total_minor"]),
        (&json!("open"), &json!(null), &json!(7_497)),
        "{shown}"
    );
    assert_eq!(shown["unapplied"][0]["amount_minor"], 5_997, "{shown}");
    // The customer still owes all of it, at the shop's door too.
    let second = begun::ask_at_the_shop(&world, "4712", "74.97").await;
    assert_ne!(second, intent);
    world.stop_audited().await;
}
