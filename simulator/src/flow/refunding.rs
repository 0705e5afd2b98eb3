//! Refunds: never more than was captured, at once or later, and sometimes in vain.

use super::disputing;
use super::settling::book_refund;
use crate::cards::Refunding;
use crate::errors::{ApiError, Outcome};
use crate::money::display;
use crate::objects::{
    BalanceType, Charge, ChargeStatus, Dispute, Metadata, Refund, RefundReason, RefundStatus,
};
use crate::state::Tx;
use crate::wire::Word;

/// What a caller asks for.
pub struct NewRefund {
    /// In minor units; everything that is left when not given.
    pub amount: Option<i64>,
    /// Why.
    pub reason: Option<RefundReason>,
    /// The caller's own pairs.
    pub metadata: Metadata,
}

/// Refunds a charge.
///
/// # Errors
/// 400 when it was not captured, nothing is left (`charge_already_refunded`), or more is asked than is left.
pub fn refund(tx: &mut Tx<'_>, mut charge: Charge, asked: NewRefund) -> Outcome<Refund> {
    check_dispute(tx, &charge)?;
    let amount = check_amount(&charge, asked.amount)?;
    let id = tx.new_id("re");
    let (status, turns) = match charge.card.behaviour.refunding {
        Refunding::Succeed => (RefundStatus::Succeeded, false),
        Refunding::SucceedLater => (RefundStatus::Pending, true),
        Refunding::RequireAction => (RefundStatus::RequiresAction, true),
        Refunding::FailLater => (RefundStatus::Succeeded, true),
    };
    let balance_transaction = book_refund(tx, BalanceType::Refund, -amount, &id, &charge);
    let refund = Refund {
        id,
        created: tx.now,
        amount,
        currency: charge.currency.clone(),
        charge: charge.id.clone(),
        payment_intent: charge.payment_intent.clone(),
        reason: asked.reason,
        status,
        metadata: asked.metadata,
        balance_transaction,
        failure_balance_transaction: None,
        failure_reason: None,
        turns_at: turns.then_some(tx.now + tx.cell.later_s),
    };
    charge.amount_refunded += amount;
    tx.put(charge.clone());
    tx.put(refund.clone());
    tx.emit("refund.created", &refund.render());
    tx.emit("charge.refunded", &charge.render());
    disputing::answer_by_refund(tx, &charge);
    Ok(refund)
}

/// What the payer's bank has taken back cannot be given back as well.
fn check_dispute(tx: &Tx<'_>, charge: &Charge) -> Outcome<()> {
    let dispute: Option<Dispute> = charge.dispute.as_deref().and_then(|id| tx.get(id));
    match dispute.is_none_or(|it| it.is_charge_refundable()) {
        true => Ok(()),
        false => Err(ApiError::invalid(format!(
            "Charge {} has been charged back; cannot issue a refund.",
            charge.id
        ))
        .code("charge_disputed")
        .executed()),
    }
}

fn check_amount(charge: &Charge, asked: Option<i64>) -> Outcome<i64> {
    if charge.status != ChargeStatus::Succeeded || !charge.captured {
        return Err(ApiError::invalid(format!(
            "Charge {} has not been captured, so it cannot be refunded.",
            charge.id
        ))
        .code("charge_not_refundable")
        .executed());
    }
    let left = charge.refundable();
    if left == 0 {
        return Err(
            ApiError::invalid(format!("Charge {} has already been refunded.", charge.id))
                .code("charge_already_refunded")
                .executed(),
        );
    }
    let amount = asked.unwrap_or(left);
    if amount > left {
        return Err(ApiError::invalid(format!(
            "Refund amount ({}) is greater than unrefunded amount on charge ({})",
            display(amount, &charge.currency),
            display(left, &charge.currency)
        ))
        .param("amount")
        .executed());
    }
    Ok(amount)
}

/// Cancels a refund for which the payer has to do something; it is documented that no other can be, not even a pending one.
///
/// # Errors
/// 400 in any other state.
pub fn cancel_refund(tx: &mut Tx<'_>, mut refund: Refund) -> Outcome<Refund> {
    if refund.status != RefundStatus::RequiresAction {
        return Err(ApiError::invalid(format!(
            "Refund {} could not be canceled because it has a status of {}.",
            refund.id,
            refund.status.as_str()
        ))
        .executed());
    }
    refund.status = RefundStatus::Canceled;
    let refund = bring_back(tx, refund, "merchant_request");
    tx.emit("refund.updated", &refund.render());
    Ok(refund)
}

/// The time has come: a refund that is under way succeeds, a succeeded one fails.
pub(super) fn turn(tx: &mut Tx<'_>, mut refund: Refund) {
    if refund.status != RefundStatus::Succeeded {
        refund.status = RefundStatus::Succeeded;
        refund.turns_at = None;
        tx.put(refund.clone());
        tx.emit("refund.updated", &refund.render());
        return;
    }
    refund.status = RefundStatus::Failed;
    let refund = bring_back(tx, refund, "expired_or_canceled_card");
    tx.emit("refund.updated", &refund.render());
    tx.emit("refund.failed", &refund.render());
}

/// The money is the merchant's again.
fn bring_back(tx: &mut Tx<'_>, mut refund: Refund, why: &str) -> Refund {
    let mut charge: Charge = tx.get(&refund.charge).expect("a refund has a charge");
    let id = book_refund(
        tx,
        BalanceType::RefundFailure,
        refund.amount,
        &refund.id,
        &charge,
    );
    charge.amount_refunded -= refund.amount;
    refund.failure_balance_transaction = Some(id);
    refund.failure_reason = Some(why.to_owned());
    refund.turns_at = None;
    tx.put(charge.clone());
    tx.put(refund.clone());
    tx.emit("charge.updated", &charge.render());
    refund
}
