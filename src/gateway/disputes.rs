//! Reads Stripe's disputes.

use aggregates::money::Money;
use aggregates::payment::command::{DisputeSnapshot, DisputeState, DisputeStatus, DisputeTurn};
use serde::Deserialize;
use serde_json::Value;

use super::answers::{Unreadable, currency, read, status};

#[derive(Deserialize)]
struct DisputeObject {
    id: String,
    amount: i64,
    currency: String,
    #[serde(default)]
    reason: String,
    status: String,
    #[serde(default)]
    balance_transactions: Vec<DisputeBooking>,
}

#[derive(Deserialize)]
struct DisputeBooking {
    /// Negative where funds were withdrawn.
    #[serde(default)]
    amount: i64,
    #[serde(default)]
    fee: i64,
}

/// A dispute's turn, from the type of the event (`charge.dispute.…`) and Stripe's object. None for a turn that says nothing.
///
/// # Errors
/// When a field that matters is missing or makes no sense.
pub fn dispute_from(
    event_type: &str,
    object: Value,
) -> Result<Option<DisputeSnapshot>, Unreadable> {
    let it: DisputeObject = read(object)?;
    let turn = match event_type {
        "charge.dispute.created" => DisputeTurn::Opened {
            inquiry: it.status.starts_with("warning"),
        },
        "charge.dispute.funds_withdrawn" => DisputeTurn::FundsWithdrawn {
            fee_minor: it
                .balance_transactions
                .first()
                .map_or(0, |booking| booking.fee),
        },
        "charge.dispute.funds_reinstated" => DisputeTurn::FundsReinstated,
        "charge.dispute.closed" => DisputeTurn::Closed {
            won: it.status != "lost",
        },
        _ => return Ok(None),
    };
    let amount = Money::new(it.amount, currency(&it.currency)?);
    Ok(Some(DisputeSnapshot {
        dispute: it.id,
        amount,
        reason: it.reason,
        turn,
    }))
}

/// A dispute as it stands, from Stripe's object.
///
/// # Errors
/// When a field that matters is missing or makes no sense.
pub fn dispute_state_from(object: Value) -> Result<DisputeState, Unreadable> {
    let it: DisputeObject = read(object)?;
    let booked = |withdrawn: bool| {
        it.balance_transactions
            .iter()
            .find(move |booking| (booking.amount < 0) == withdrawn)
    };
    Ok(DisputeState {
        amount: Money::new(it.amount, currency(&it.currency)?),
        status: status::<DisputeStatus>(&it.status)?,
        withdrawn_fee_minor: booked(true).map(|booking| booking.fee),
        reinstated: booked(false).is_some(),
        dispute: it.id.clone(),
        reason: it.reason.clone(),
    })
}
