//! What a year has come to, once all has settled.

use super::business::Year;
use super::client::{Door, text};
use crate::support::{audit, until};
use crate::{Read, reconcile};
use serde_json::Value;
use std::collections::BTreeMap;

/// The books are balanced and Stripe's, nothing is under way, every payout is tied to what it is made of and to the bank, and a
/// reconciliation has nothing to say.
pub async fn ties_out(year: &Year<'_>) -> Read {
    let trial = journal(year, "trial-balance").await;
    assert_eq!(trial["balanced"], true, "{trial}");
    let books = journal(year, "balances").await;
    for account in [
        "assets:stripe:clearing",
        "assets:stripe:disputed",
        "assets:bank:in_transit",
        "suspense",
    ] {
        let left: Vec<&Value> = of(&books, account)
            .filter(|it| it["balance_minor"] != 0)
            .collect();
        assert!(left.is_empty(), "{account} is not settled: {left:?}");
    }
    let held: BTreeMap<String, i64> = of(&books, "assets:stripe:balance")
        .map(|it| (text(&it["currency"]), it["balance_minor"].as_i64().unwrap()))
        .collect();
    let at_stripe = held_at_stripe(year).await;
    assert_eq!(held, at_stripe);
    assert_eq!(held.keys().collect::<Vec<_>>(), ["gbp", "usd"]);
    payouts_tie_out(year).await;
    let read = reconcile(year.world).await;
    assert_eq!(read.breaks(), vec![]);
    let totals = &read.tail.totals;
    assert_eq!((totals.in_transit, totals.moving), (0, 0), "{totals:?}");
    // The sandbox's fixture is an intent that nobody here made.
    let explained = read.lines.iter().filter(|it| it.verdict == "explained");
    let explained = explained
        .filter(|it| it.subject != "payment/pi_1234XXX")
        .count();
    let mispaid = year.tally["mispaid order"];
    assert_eq!(u64::try_from(explained).unwrap(), mispaid, "{totals:?}");
    audit::verify_settled(year.world).await;
    read
}

/// What the books say, once the journal stands at the ledger's end.
async fn journal(year: &Year<'_>, what: &str) -> Value {
    let mut said = Value::Null;
    until("the journal is caught up", async || {
        let (_, feed) = year
            .client
            .get(Door::Native, "/ledger/v1/events?limit=1")
            .await;
        let path = format!("/ledger/v1/{what}");
        let (status, books) = year.client.get(Door::Native, &path).await;
        assert_eq!(status, 200, "{books}");
        said = books;
        feed["head"] == said["position"]
    })
    .await;
    said
}

fn of<'a>(books: &'a Value, account: &'a str) -> impl Iterator<Item = &'a Value> {
    let balances = books["balances"].as_array().unwrap().iter();
    balances.filter(move |it| it["account"] == account)
}

/// By currency, available or not.
async fn held_at_stripe(year: &Year<'_>) -> BTreeMap<String, i64> {
    let (status, balance) = year.client.get(Door::Stripe, "/v1/balance").await;
    assert_eq!(status, 200);
    let mut held = BTreeMap::new();
    for of in ["available", "pending"] {
        for it in balance[of].as_array().unwrap() {
            *held.entry(text(&it["currency"])).or_default() += it["amount"].as_i64().unwrap();
        }
    }
    held
}

/// A payout as it is known here: status, amount, what it is made of, and whether the bank has it.
#[derive(sqlx::FromRow)]
struct Row {
    payout: String,
    status: String,
    amount_minor: i64,
    items_net_minor: Option<i64>,
    arrived: bool,
    returned: bool,
}

async fn payouts_tie_out(year: &Year<'_>) {
    let rows: Vec<Row> = sqlx::query_as(
        "select payout, status, amount_minor, items_net_minor, arrived_line is not null as arrived, returned_line is not null as returned
         from payouts where merchant = 'acme' order by payout",
    )
    .fetch_all(year.world.app().store().pool())
    .await
    .unwrap();
    let at_stripe = year.client.all("payouts").await;
    assert_eq!(rows.len(), at_stripe.len());
    for row in rows {
        let theirs = at_stripe.iter().find(|it| it["id"] == row.payout.as_str());
        let theirs = theirs.unwrap();
        let automatic = theirs["automatic"] == true;
        assert_eq!(theirs["status"], row.status.as_str());
        assert_eq!(theirs["amount"], row.amount_minor);
        assert_eq!(
            row.items_net_minor,
            automatic.then_some(row.amount_minor),
            "{}",
            row.payout
        );
        let failed = row.status == "failed";
        assert_eq!(
            (row.arrived, row.returned),
            (true, failed),
            "{}",
            row.payout
        );
    }
}
