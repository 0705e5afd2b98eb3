//! What money movements do to the balance.

use crate::money::fee_minor;
use crate::objects::{BalanceTransaction, BalanceType, Charge};
use crate::state::Tx;

/// How long until money can be paid out, in seconds.
const AVAILABLE_AFTER_S: i64 = 2 * 24 * 3_600;

/// Books a captured charge, less Stripe's fee.
pub(super) fn settle(tx: &mut Tx<'_>, charge: &mut Charge) {
    let transaction = BalanceTransaction {
        id: tx.new_id("txn"),
        created: tx.now,
        amount: charge.amount_captured,
        fee: fee_minor(charge.amount_captured),
        currency: charge.currency.clone(),
        balance_type: BalanceType::Charge,
        source: charge.id.clone(),
        description: charge.description.clone(),
        available_on: tx.now + AVAILABLE_AFTER_S,
    };
    charge.balance_transaction = Some(transaction.id.clone());
    charge.settles_at = None;
    tx.put(transaction);
}

/// Books what a refund takes (or, when it fails, brings back); Stripe keeps its fee. Available when the charge is.
pub(super) fn book_refund(
    tx: &mut Tx<'_>,
    balance_type: BalanceType,
    amount: i64,
    refund: &str,
    charge: &Charge,
) -> String {
    let charged: Option<BalanceTransaction> = charge
        .balance_transaction
        .as_deref()
        .and_then(|id| tx.get(id));
    let available_on = charged.map_or(tx.now, |it| it.available_on.max(tx.now));
    let verb = match balance_type {
        BalanceType::RefundFailure => "REFUND FAILURE FOR CHARGE",
        _ => "REFUND FOR CHARGE",
    };
    let transaction = BalanceTransaction {
        id: tx.new_id("txn"),
        created: tx.now,
        amount,
        fee: 0,
        currency: charge.currency.clone(),
        balance_type,
        source: refund.to_owned(),
        description: Some(match &charge.description {
            Some(description) => format!("{verb} ({description})"),
            None => verb.to_owned(),
        }),
        available_on,
    };
    let id = transaction.id.clone();
    tx.put(transaction);
    id
}
