//! Reads Stripe's payouts.

use aggregates::money::Money;
use aggregates::settlement::{PayoutSnapshot, PayoutStatus, ReconciliationStatus};
use serde::Deserialize;
use serde_json::Value;

use super::answers::{Reference, Unreadable, currency, read, status};

#[derive(Deserialize)]
struct PayoutObject {
    id: String,
    amount: i64,
    currency: String,
    status: String,
    arrival_date: i64,
    created: i64,
    #[serde(default)]
    automatic: bool,
    #[serde(default)]
    method: String,
    #[serde(default)]
    balance_transaction: Option<Reference>,
    #[serde(default)]
    failure_code: Option<String>,
    #[serde(default)]
    failure_balance_transaction: Option<Reference>,
    #[serde(default)]
    reconciliation_status: Option<String>,
}

/// A payout as it stands, from Stripe's object.
///
/// # Errors
/// When a field that matters is missing or makes no sense.
pub fn payout_from(object: Value) -> Result<PayoutSnapshot, Unreadable> {
    let it: PayoutObject = read(object)?;
    let reconciliation = it.reconciliation_status.as_deref();
    Ok(PayoutSnapshot {
        amount: Money::new(it.amount, currency(&it.currency)?),
        status: status::<PayoutStatus>(&it.status)?,
        arrival_date: it.arrival_date,
        created: it.created,
        automatic: it.automatic,
        method: it.method,
        balance_transaction: it.balance_transaction.map(Reference::id),
        failure_code: it.failure_code,
        failure_balance_transaction: it.failure_balance_transaction.map(Reference::id),
        reconciliation_status: status::<ReconciliationStatus>(
            reconciliation.unwrap_or("not_applicable"),
        )?,
        payout: it.id,
    })
}
