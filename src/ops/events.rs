//! `counterfoil events tail` and `counterfoil events show`: the history, read from the log itself.

use aggregates::books::Books;
use aggregates::catalogue::{Article, Offer};
use aggregates::ids::{MerchantId, OrderId, PaymentId};
use aggregates::order::Order;
use aggregates::payment::Payment;
use aggregates::reconciliation::Reconciliation;
use aggregates::settlement::Settlement;
use anyhow::{Context as _, bail};
use cqrs_es::Aggregate;
use eventstore::{Reader, Recorded, Role};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::Write;
use std::time::Duration;
use uuid::Uuid;

use super::words;
use crate::exports::is_read;

/// How many events one page holds.
const PAGE: i64 = 500;
/// How often a tail that follows looks for more.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// How the history is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Words,
    /// One JSON object a line.
    Json,
}

/// Prints the last `last` events, of one merchant or of all, and follows the log where that is asked.
///
/// # Errors
/// When the database cannot be read.
pub async fn tail(
    url: &str,
    merchant: Option<&str>,
    last: i64,
    follow: bool,
    form: Form,
) -> anyhow::Result<()> {
    let reader = reader(url).await?;
    let head = reader.head().await?.position;
    // One merchant's last events may lie further back than the log's.
    let mut at = match merchant {
        None => (head - last).max(0),
        Some(merchant) => start_of_last(&reader, merchant, last).await?,
    };
    loop {
        let page = reader.read_from(at, PAGE).await?;
        for event in &page {
            at = event.position;
            if merchant.is_none_or(|merchant| merchant == event.ledger) && !print(event, form)? {
                return Ok(());
            }
        }
        if page.is_empty() {
            if !follow {
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// The position before the merchant's last `last` events.
async fn start_of_last(reader: &Reader, merchant: &str, last: i64) -> anyhow::Result<i64> {
    let head = reader.ledger_head(merchant).await?;
    if head == 0 {
        bail!("merchant {merchant:?} has no events");
    }
    let first = reader
        .read_ledger(merchant, (head - last).max(0), 1)
        .await?;
    Ok(first.first().map_or(0, |event| event.position - 1))
}

/// Prints the whole history of an order with its payments, or of a payment with its order. `name`: an order's reference,
/// number or id, a payment's id, or Stripe's `pi_…`.
///
/// # Errors
/// When there is nothing of that name, or several things.
pub async fn show(url: &str, merchant: Option<&str>, name: &str, form: Form) -> anyhow::Result<()> {
    let reader = reader(url).await?;
    let streams = streams(&reader, merchant, name).await?;
    let mut events = Vec::new();
    for (kind, id) in &streams {
        events.extend(reader.read_stream(kind, id, 0).await?);
    }
    events.sort_by_key(|event| event.position);
    for event in &events {
        if !print(event, form)? {
            break;
        }
    }
    Ok(())
}

async fn reader(url: &str) -> anyhow::Result<Reader> {
    let pool = eventstore::pool(url, Role::Writer, 2)
        .await
        .context("the database (is the service running?)")?;
    Ok(Reader::new(pool))
}

/// The one thing that is called so: its merchant, and the order or the payment (with its order) that it is.
///
/// # Errors
/// When nothing is called so, or several things are.
async fn named(
    reader: &Reader,
    merchant: Option<&str>,
    name: &str,
) -> anyhow::Result<(String, Option<Uuid>, Option<Uuid>)> {
    let rows: Vec<(String, Option<Uuid>, Option<Uuid>)> = sqlx::query_as(
        "select merchant, order_id, null::uuid from orders
         where (reference = $1 or number = $1 or order_id::text = $1) and ($2::text is null or merchant = $2)
         union
         select merchant, order_id, payment_id from payments
         where (intent = $1 or payment_id::text = $1) and ($2::text is null or merchant = $2)",
    )
    .bind(name)
    .bind(merchant)
    .fetch_all(reader.pool())
    .await?;
    match rows.as_slice() {
        [] => bail!("no order and no payment is called {name:?}"),
        [one] => Ok(one.clone()),
        several => {
            let merchants: Vec<&str> = several.iter().map(|row| row.0.as_str()).collect();
            bail!(
                "{name:?} names {} things (merchants: {}): say which with --merchant, or by its id",
                several.len(),
                merchants.join(", ")
            )
        }
    }
}

/// The order of a merchant's that is called so, where one is asked for.
pub(super) async fn order_named(
    reader: &Reader,
    merchant: &MerchantId,
    name: Option<&str>,
) -> anyhow::Result<Option<OrderId>> {
    let Some(name) = name else {
        return Ok(None);
    };
    match named(reader, Some(merchant.as_str()), name).await? {
        (_, Some(order), None) => Ok(Some(OrderId::from_uuid(order))),
        _ => bail!("{name:?} is a payment and no order"),
    }
}

/// The payment of a merchant's that is called so.
pub(super) async fn payment_named(
    reader: &Reader,
    merchant: &MerchantId,
    name: &str,
) -> anyhow::Result<PaymentId> {
    match named(reader, Some(merchant.as_str()), name).await? {
        (.., Some(payment)) => Ok(PaymentId::from_uuid(payment)),
        _ => bail!("{name:?} is an order and no payment"),
    }
}

/// The streams that belong to what is named: an order and every payment of it.
async fn streams(
    reader: &Reader,
    merchant: Option<&str>,
    name: &str,
) -> anyhow::Result<Vec<(&'static str, String)>> {
    let (merchant, order, payment) = named(reader, merchant, name).await?;
    let mut payments: Vec<Uuid> = match order {
        Some(order) => {
            sqlx::query_scalar(
                "select payment_id from payments where merchant = $1 and order_id = $2",
            )
            .bind(&merchant)
            .bind(order)
            .fetch_all(reader.pool())
            .await?
        }
        None => Vec::new(),
    };
    payments.extend(payment);
    payments.sort_unstable();
    payments.dedup();
    let orders = order
        .into_iter()
        .map(|id| (Order::TYPE, format!("{merchant}/{id}")));
    Ok(orders
        .chain(
            payments
                .into_iter()
                .map(|id| (Payment::TYPE, format!("{merchant}/{id}"))),
        )
        .collect())
}

/// Writes one event; false when nobody reads any more.
fn print(event: &Recorded, form: Form) -> anyhow::Result<bool> {
    let line = match form {
        Form::Words => sentence(event)?,
        Form::Json => object(event)?.to_string(),
    };
    Ok(is_read(writeln!(std::io::stdout(), "{line}"))?)
}

/// `time  merchant/position  what it is about  who  what happened`.
fn sentence(event: &Recorded) -> anyhow::Result<String> {
    let metadata: HashMap<String, String> = event.metadata_as()?;
    let said = match event.aggregate_type.as_str() {
        Payment::TYPE => words::payment(&event.payload_as()?),
        Order::TYPE => words::order(&event.payload_as()?),
        Offer::TYPE => words::offer(&event.payload_as()?),
        Article::TYPE => words::article(&event.payload_as()?),
        Settlement::TYPE => words::settlement(&event.payload_as()?),
        Books::TYPE => words::books(&event.payload_as()?),
        Reconciliation::TYPE => words::reconciliation(&event.payload_as()?),
        other => format!("{other} {}", event.event_type),
    };
    let id = event.aggregate_id.rsplit('/').next().unwrap_or_default();
    let short = id.get(id.len().saturating_sub(12)..).unwrap_or(id);
    Ok(format!(
        "{}  {:>14}  {:<7} …{short}  {:<28} {said}",
        event.recorded_at.format("%Y-%m-%d %H:%M:%S%.3f"),
        format!("{}#{}", event.ledger, event.ledger_position),
        event.aggregate_type,
        metadata.get("actor").map_or("", String::as_str),
    ))
}

/// Only the ledger's own position leaves the house.
fn object(event: &Recorded) -> anyhow::Result<Value> {
    let (payload, metadata): (Value, Value) = (event.payload_as()?, event.metadata_as()?);
    Ok(json!({
        "ledger": event.ledger,
        "ledger_position": event.ledger_position,
        "aggregate_type": event.aggregate_type,
        "aggregate_id": event.aggregate_id,
        "sequence": event.sequence,
        "event_id": event.event_id,
        "event_type": event.event_type,
        "event_version": event.event_version,
        "recorded_at": event.recorded_at,
        "payload": payload,
        "metadata": metadata,
        "leaf_hash": hex::encode(event.leaf_hash),
    }))
}
