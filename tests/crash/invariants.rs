//! What holds of a world whatever has happened in it, once everything has come to its end.

use crate::support::{World, until};
use reqwest::Method;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Everything that stands open, and what recovery works on.
const OPEN: &str = "select (select count(*) from payments where pending_intention is not null)
          + (select count(*) from stripe_requests where pending_intention is not null)
          + (select count(*) from refunds where status = 'requested')";

async fn one<T>(world: &World, sql: &str) -> T
where
    (T,): for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow>,
    T: Send + Unpin,
{
    let found: (T,) = sqlx::query_as(sql)
        .fetch_one(world.app().store().pool())
        .await
        .unwrap();
    found.0
}

/// Lets recovery go on until nothing is open. Leases of processes that died are taken to have run out.
pub async fn until_ended(world: &World) {
    until("every intention has ended", async || {
        sqlx::query("update recovery_work set lease = null, leased_until = null, next_at = now()")
            .execute(world.app().store().pool())
            .await
            .unwrap();
        world.app().recover(Duration::ZERO).await;
        one::<i64>(world, OPEN).await == 0
    })
    .await;
}

/// Panics where the log has a gap, the books do not balance, or Stripe has something that is not here, or not so.
pub async fn hold(world: &World) {
    let none: [(&str, &str); 5] = [
        (
            "positions have no gap",
            "select coalesce(max(position), 0) - count(*) from events",
        ),
        (
            "every ledger's positions have no gap",
            "select coalesce(sum(gap), 0)::bigint from (select max(ledger_position) - count(*) as gap from events group by ledger) it",
        ),
        (
            "versions have no gap",
            "select coalesce(sum(gap), 0)::bigint from
             (select max(sequence) - count(*) as gap from events group by aggregate_type, aggregate_id) it",
        ),
        (
            "debits are credits",
            "select count(*) from (select 1 from balances group by merchant, currency
             having sum(debit_minor) <> sum(credit_minor)) it",
        ),
        ("every intention has ended", OPEN),
    ];
    for (what, sql) in none {
        assert_eq!(one::<i64>(world, sql).await, 0, "{what}");
    }
    let (ours, stripes) = (ours(world).await, stripes(world).await);
    for (intent, money) in &ours {
        let shown = stripes.get(intent).map(|it| it.money);
        assert_eq!(shown, Some(*money), "{intent} at Stripe, and here");
    }
    let mut payments = BTreeSet::new();
    for (intent, it) in &stripes {
        if let Some(payment) = &it.payment {
            assert!(ours.contains_key(intent), "{intent} is known here");
            assert!(payments.insert(payment), "{payment} has one intent");
        }
    }
}

/// Captured and refunded, in minor units.
type Money = (i64, i64);

/// An intent at Stripe, and which payment it says it is.
struct Intent {
    money: Money,
    payment: Option<String>,
}

async fn ours(world: &World) -> BTreeMap<String, Money> {
    let rows: Vec<(String, i64, i64)> = sqlx::query_as(
        "select intent, captured_minor, refunded_minor from payments where merchant = 'acme' and intent is not null",
    )
    .fetch_all(world.app().store().pool())
    .await
    .unwrap();
    rows.into_iter()
        .map(|(intent, captured, refunded)| (intent, (captured, refunded)))
        .collect()
}

async fn stripes(world: &World) -> BTreeMap<String, Intent> {
    let state = world.sim(Method::GET, "state", None).await;
    let mut intents = BTreeMap::new();
    for account in state.as_object().unwrap().values() {
        let list = |name: &str| account[name].as_array().unwrap().iter();
        let refunded = |intent: &Value| {
            let of_it = list("refunds").filter(|it| it["payment_intent"] == *intent);
            let made = of_it.filter(|it| it["status"] == "succeeded");
            made.map(|it| it["amount"].as_i64().unwrap()).sum()
        };
        for intent in list("payment_intents") {
            let received = intent["amount_received"].as_i64().unwrap();
            let payment = &intent["metadata"]["counterfoil_payment"];
            let it = Intent {
                money: (received, refunded(&intent["id"])),
                payment: payment.as_str().map(str::to_owned),
            };
            intents.insert(intent["id"].as_str().unwrap().to_owned(), it);
        }
    }
    intents
}
