//! What the tests of the books' exports, explanations and refusals share: a little business, and how it is read.

use super::*;
use crate::support::{card_payment, until};
use aggregates::ids::MerchantId;
use std::collections::BTreeMap;

/// What [`business`] made.
pub struct Business {
    /// A paid order's id.
    pub order: String,
    /// Its payment's intent at Stripe.
    pub intent: String,
}

pub fn acme() -> MerchantId {
    "acme".parse().unwrap()
}

/// An order of 50.00 dollars that was paid and of which 12.00 were given back, and a payment in euros; all is booked.
pub async fn business(world: &World) -> Business {
    let order = placed(world, "E-1", 5000).await;
    let intent = payment_asked(world, "E-1").await;
    assert_eq!(pays(world, &intent).await.status, 200);
    until("the order is paid", async || {
        get(world, FINANCE, &format!("/orders/{order}")).await.json["status"] == "paid"
    })
    .await;
    let refund = json!({"payment_intent": intent, "amount": 1200});
    ask(world.pay("/v1/refunds", refund)).await.expect(200);
    let euros = card_payment(700, "eur", "4242424242424242");
    ask(world.pay("/v1/payment_intents", euros))
        .await
        .expect(200);
    // A shop's payments are booked a while after they were captured.
    let day = json!({"advance_s": 24 * 3600});
    world.sim(Method::POST, "clock", Some(day)).await;
    told(world).await;
    world.app().settle(&acme()).await.unwrap();
    caught_up(world).await;
    Business { order, intent }
}

/// Waits until all that Stripe has to say to acme is said and applied.
async fn told(world: &World) {
    until("the webhooks are applied", async || {
        let log = "webhooks/deliveries?account=acct_acme";
        let log = world.sim(Method::GET, log, None).await;
        let mut log = log["deliveries"].as_array().unwrap().iter();
        let waiting: i64 =
            sqlx::query_scalar("select count(*) from webhook_inbox where applied_at is null")
                .fetch_one(world.app().store().pool())
                .await
                .unwrap();
        log.all(|it| it["last_status"] == 200) && waiting == 0
    })
    .await;
}

/// Waits until the journal has come to the ledger's end.
pub async fn caught_up(world: &World) {
    until("the journal has come to the ledger's end", async || {
        let feed = get(world, FINANCE, "/events?limit=1").await.expect(200);
        let books = get(world, FINANCE, "/balances").await.expect(200);
        feed["head"] == books["position"]
    })
    .await;
}

pub fn lines_of(text: &str) -> Vec<Value> {
    let lines = text.lines();
    lines.map(|it| serde_json::from_str(it).unwrap()).collect()
}

/// What lines of the journal come to, by account and currency, minor units.
pub fn sums(rows: &[Value]) -> BTreeMap<(String, String), i64> {
    let mut sums = BTreeMap::new();
    for it in rows {
        let text = |name: &str| it[name].as_str().unwrap().to_owned();
        let minor = |name: &str| it[name].as_i64().unwrap();
        let sum: &mut i64 = sums.entry((text("account"), text("currency"))).or_default();
        *sum += minor("debit_minor") - minor("credit_minor");
    }
    sums
}
