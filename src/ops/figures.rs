//! `counterfoil ledger explain-order` and `explain-payment`: each figure with the events that it moved at.

use aggregates::ids::MerchantId;
use anyhow::{Context as _, bail};
use eventstore::Reader;
use projections::books::AsOf;
use projections::figures::{Change, FigureExplained};
use projections::lives::Subject;
use serde_json::{Value, json};

use super::events::{self, Form};
use super::ledger::Which;
use super::{database_of, say};
use crate::store::Exports;

/// What is asked after: an order's reference, number or id, or a payment's id or Stripe's.
pub enum Named {
    Order(String),
    Payment(String),
}

/// Prints the figures, as they stand or as they stood.
///
/// # Errors
/// When there is no such thing, or no history of then.
pub async fn run(url: &str, named: Named, which: &Which) -> anyhow::Result<()> {
    let pool = database_of(url, &which.merchant, 1).await?;
    let as_of = which.as_of()?;
    if matches!(as_of, AsOf::Effective(_)) {
        bail!("an order or a payment is as of a position or a time of record");
    }
    let subject = subject(&Reader::new(pool.clone()), &which.merchant, named).await?;
    let exports = Exports::new(pool);
    let found = exports.figures(&which.merchant, subject, as_of).await?;
    let found = found.context("it had not begun by then")?;
    if which.form() == Form::Words {
        say!("as of ledger position {}", found.ledger_position);
    }
    for it in &found.figures {
        match which.form() {
            Form::Json => say!("{}", in_json(it, found.ledger_position)),
            Form::Words => in_words(it),
        }
    }
    Ok(())
}

async fn subject(reader: &Reader, merchant: &MerchantId, named: Named) -> anyhow::Result<Subject> {
    Ok(match named {
        Named::Order(name) => {
            let id = events::order_named(reader, merchant, Some(&name)).await?;
            Subject::Order(id.context("it is named")?)
        }
        Named::Payment(name) => {
            Subject::Payment(events::payment_named(reader, merchant, &name).await?)
        }
    })
}

fn in_words(it: &FigureExplained) {
    say!(
        "{:<14} {:>16} {}",
        it.figure.to_string(),
        it.amount.to_decimal_string(),
        it.amount.currency().code()
    );
    for change in &it.made_of {
        let told = |name: &str| change.event.told(name).unwrap_or_default();
        let ids: Vec<&str> = change.event.stripe_ids.iter().map(String::as_str).collect();
        say!(
            "    {:>16}  {:<8} {}  {} of {} {}  {} {} {}  {}",
            change.by.to_decimal_string(),
            change.ledger_position,
            change.recorded_at.format("%Y-%m-%d %H:%M:%S"),
            change.event.event_type,
            change.event.aggregate_type,
            change.event.aggregate_id,
            told("actor"),
            told("door"),
            told("reason"),
            ids.join(" ")
        );
    }
}

fn in_json(it: &FigureExplained, position: i64) -> Value {
    let change = |it: &Change| {
        json!({
            "position": it.ledger_position, "recorded_at": it.recorded_at, "change_minor": it.by.minor(),
            "comes_to_minor": it.comes_to.minor(),
            "event": {
                "id": it.event.event_id, "type": it.event.event_type,
                "aggregate": {"type": it.event.aggregate_type, "id": it.event.aggregate_id},
                "metadata": it.event.metadata, "stripe_ids": it.event.stripe_ids,
            },
        })
    };
    json!({
        "position": position, "figure": it.figure.to_string(), "currency": it.amount.currency().code(),
        "amount_minor": it.amount.minor(), "made_of": it.made_of.iter().map(change).collect::<Vec<_>>(),
    })
}
