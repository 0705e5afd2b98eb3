//! What Stripe's look-alike shows of what was done there: page by page, into temporary tables.

use crate::AuditError;
use crate::spill::{Spill, row};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;
use sqlx::PgConnection;

/// The simulator, and whose its accounts are.
#[derive(Debug, Clone)]
pub struct Simulator {
    /// Where it answers: `http://127.0.0.1:PORT/`.
    pub url: String,
    /// Merchants with their accounts there.
    pub accounts: Vec<(String, String)>,
}

#[derive(Deserialize)]
struct Page {
    items: Vec<Item>,
    next: Option<u64>,
}

/// What is compared of an object.
#[derive(Deserialize)]
struct Item {
    id: String,
    /// None of what was deleted.
    created: Option<i64>,
    #[serde(default)]
    amount: Option<i64>,
    #[serde(default)]
    amount_received: Option<i64>,
    #[serde(default)]
    currency: Option<String>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    payment_intent: Option<String>,
    #[serde(default)]
    metadata: Value,
    /// Of an event: its type, the object that it is about, and the key of the request that caused it.
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    object: Option<String>,
    #[serde(default)]
    idempotency_key: Option<String>,
}

/// Objects that carry our marks. The singular is what they are called here.
const OBJECTS: [(&str, &str); 5] = [
    ("payment_intents", "payment_intent"),
    ("refunds", "refund"),
    ("customers", "customer"),
    ("checkout_sessions", "checkout_session"),
    ("payouts", "payout"),
];

/// Reads all accounts.
pub(crate) async fn load(
    connection: &mut PgConnection,
    simulator: &Simulator,
) -> Result<(), AuditError> {
    sqlx::query("insert into audit_read_at values (clock_timestamp())")
        .execute(&mut *connection)
        .await?;
    let http = reqwest::Client::new();
    let mut objects = Spill::new("audit_at_stripe");
    let mut calls = Spill::new("audit_calls");
    for (merchant, account) in &simulator.accounts {
        sqlx::query("insert into audit_accounts values ($1)")
            .bind(merchant)
            .execute(&mut *connection)
            .await?;
        for (kind, one) in OBJECTS {
            let mut after = Some(0);
            while let Some(from) = after {
                let page = page(&http, simulator, account, kind, from).await?;
                for item in page.items {
                    push_object(&mut objects, merchant, one, &item)?;
                }
                objects.flush(connection, false).await?;
                after = page.next;
            }
        }
        let mut after = Some(0);
        while let Some(from) = after {
            let page = page(&http, simulator, account, "events", from).await?;
            for item in page.items {
                push_call(&mut calls, merchant, &item)?;
            }
            calls.flush(connection, false).await?;
            after = page.next;
        }
    }
    objects.flush(connection, true).await?;
    calls.flush(connection, true).await?;
    Ok(())
}

async fn page(
    http: &reqwest::Client,
    simulator: &Simulator,
    account: &str,
    kind: &str,
    after: u64,
) -> Result<Page, AuditError> {
    let url = format!(
        "{}_sim/effects?account={account}&kind={kind}&after={after}",
        simulator.url
    );
    let answer = http.get(url).send().await?.error_for_status()?;
    Ok(answer.json().await?)
}

fn push_object(to: &mut Spill, merchant: &str, kind: &str, it: &Item) -> Result<(), AuditError> {
    let mark = |name: &str| it.metadata.get(name).and_then(Value::as_str);
    // A checkout's mark names its order and its request.
    let checkout = mark("counterfoil_checkout").and_then(|it| it.split_once('/'));
    let request = mark("counterfoil_request").or(checkout.map(|(_, request)| request));
    to.push(row![
        merchant,
        kind,
        it.id,
        time(it)?,
        it.amount,
        it.amount_received,
        it.currency,
        it.status,
        it.payment_intent,
        mark("counterfoil_payment"),
        mark("counterfoil_refund"),
        mark("counterfoil_merchant"),
        request
    ]);
    Ok(())
}

/// A call under a key of ours; others are none of our doing.
fn push_call(to: &mut Spill, merchant: &str, it: &Item) -> Result<(), AuditError> {
    let Some(key) = it.idempotency_key.as_deref().filter(|it| is_ours(it)) else {
        return Ok(());
    };
    to.push(row![merchant, key, it.kind, it.object, time(it)?]);
    Ok(())
}

/// `cf-` and the intention's id.
fn is_ours(key: &str) -> bool {
    let id = key.strip_prefix("cf-");
    id.is_some_and(|it| uuid::Uuid::try_parse(it).is_ok())
}

fn time(it: &Item) -> Result<Option<DateTime<Utc>>, AuditError> {
    let unreadable = |created| AuditError::Unreadable(format!("{} was made at {created}", it.id));
    it.created
        .map(|created| DateTime::from_timestamp(created, 0).ok_or_else(|| unreadable(created)))
        .transpose()
}
