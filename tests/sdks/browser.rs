//! A payer with a browser, on the page of a checkout; and what has become of the orders afterwards.

use crate::harness::Program;
use crate::support::{World, until};
use std::time::Duration;

const BROWSER: Program = Program::node("browser")
    .with_browser()
    .within(Duration::from_secs(300));
const KEYS: [(&str, &str); 2] = [
    ("SDK_API_KEY", "bokamera-acme"),
    ("SDK_TOKEN", "customer-9"),
];
/// How many of its scenarios end with 600.00 SEK paid.
const PAID: usize = 4;

/// Planted bugs: showing the form of a session that has expired; leaving the page's own style out of its policy.
#[tokio::test(flavor = "multi_thread")]
async fn a_payer_with_a_browser_pays_on_the_page_and_the_orders_are_paid() {
    let world = World::start().await;
    if BROWSER.run_at(&world, &KEYS).await.is_some() {
        until("the webhooks have paid the orders", async || {
            let history = world.history("acme").await;
            history.iter().filter(|it| *it == "OrderPaid").count() == PAID
        })
        .await;
        let history = world.history("acme").await;
        assert!(!history.iter().any(|it| it == "OrderMispaid"));
        let paid = 60_000 * i64::try_from(PAID).unwrap();
        let expected = [
            ("assets:stripe:clearing".to_owned(), paid),
            ("income:sales".to_owned(), -paid),
        ];
        assert_eq!(world.balances("acme", "sek").await, expected);
    }
    world.stop().await;
}
