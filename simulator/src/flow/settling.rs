//! What money movements do to the balance.

use crate::money::fee_minor;
use crate::objects::{BalanceTransaction, BalanceType, Charge};
use crate::state::Tx;

/// How long until money can be paid out, in seconds.
const AVAILABLE_AFTER_S: i64 = 2 * 24 * 3_600;

/// One movement to be booked.
pub(super) struct Movement<'m> {
    /// What moves it.
    pub balance_type: BalanceType,
    /// In minor units, gross; negative where money leaves.
    pub amount: i64,
    /// In minor units.
    pub fee: i64,
    /// Lower-case ISO-4217 code.
    pub currency: &'m str,
    /// The id of what moves it.
    pub source: &'m str,
    /// For people.
    pub description: Option<String>,
    /// Pending until then.
    pub available_on: i64,
}

/// Books a movement, and answers the id of its balance transaction.
pub(super) fn book(tx: &mut Tx<'_>, movement: Movement<'_>) -> String {
    let rate = rate(tx, movement.currency);
    let into = |minor: i64| {
        rate.as_ref()
            .map_or(minor, |(_, rate)| exchanged(minor, *rate))
    };
    let transaction = BalanceTransaction {
        id: tx.new_id("txn"),
        created: tx.now,
        amount: into(movement.amount),
        fee: into(movement.fee),
        currency: match &rate {
            Some((currency, _)) => currency.clone(),
            None => movement.currency.to_owned(),
        },
        rate_per_million: rate.as_ref().map(|(_, rate)| *rate),
        balance_type: movement.balance_type,
        source: movement.source.to_owned(),
        description: movement.description,
        available_on: movement.available_on,
        payout: None,
    };
    let id = transaction.id.clone();
    tx.put(transaction);
    id
}

/// The currency that the account settles in, and the rate into it; none where what comes in is kept as it is.
fn rate(tx: &Tx<'_>, currency: &str) -> Option<(String, i64)> {
    let settlement = tx.cell.settings.settlement.as_ref()?;
    let rate = settlement.rates_per_million.get(currency)?;
    (settlement.currency != currency).then(|| (settlement.currency.clone(), *rate))
}

/// Rounded half away from nought.
fn exchanged(minor: i64, per_million: i64) -> i64 {
    let millionths = i128::from(minor) * i128::from(per_million);
    let half = if millionths < 0 { -500_000 } else { 500_000 };
    i64::try_from((millionths + half) / 1_000_000).unwrap_or(i64::MAX)
}

/// Books a captured charge, less Stripe's fee.
pub(super) fn settle(tx: &mut Tx<'_>, charge: &mut Charge) {
    let movement = Movement {
        balance_type: BalanceType::Charge,
        amount: charge.amount_captured,
        fee: fee_minor(charge.amount_captured),
        currency: &charge.currency,
        source: &charge.id,
        description: charge.description.clone(),
        available_on: tx.now + AVAILABLE_AFTER_S,
    };
    charge.balance_transaction = Some(book(tx, movement));
    charge.settles_at = None;
}

/// Books what Stripe takes for itself, whatever it was for.
pub fn charge_fee(tx: &mut Tx<'_>, minor: i64, currency: &str) -> BalanceTransaction {
    let movement = Movement {
        balance_type: BalanceType::StripeFee,
        amount: -minor,
        fee: 0,
        currency,
        source: "",
        description: Some("Billing (fees)".to_owned()),
        available_on: tx.now,
    };
    let id = book(tx, movement);
    tx.get(&id).expect("it was just booked")
}

/// When money that goes back out of a charge, or comes back into it, counts as available: with the charge's own.
pub(super) fn available_with(tx: &Tx<'_>, charge: &Charge) -> i64 {
    let charged: Option<BalanceTransaction> = charge
        .balance_transaction
        .as_deref()
        .and_then(|id| tx.get(id));
    charged.map_or(tx.now, |it| it.available_on.max(tx.now))
}

/// Books what a refund takes (or, when it fails, brings back); Stripe keeps its fee. Available when the charge is.
pub(super) fn book_refund(
    tx: &mut Tx<'_>,
    balance_type: BalanceType,
    amount: i64,
    refund: &str,
    charge: &Charge,
) -> String {
    let verb = match balance_type {
        BalanceType::RefundFailure => "REFUND FAILURE FOR CHARGE",
        _ => "REFUND FOR CHARGE",
    };
    let description = match &charge.description {
        Some(description) => format!("{verb} ({description})"),
        None => verb.to_owned(),
    };
    let movement = Movement {
        balance_type,
        amount,
        fee: 0,
        currency: &charge.currency,
        source: refund,
        description: Some(description),
        available_on: available_with(tx, charge),
    };
    book(tx, movement)
}
