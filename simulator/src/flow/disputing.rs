//! Disputes: the payer's bank takes the money of a charge back, reads what the merchant has to say, and decides.
//!
//! What decides is the text in `evidence[uncategorized_text]`, as in Stripe's test mode: `winning_evidence`, `losing_evidence`, and for an inquiry
//! `escalate_inquiry_evidence`. Any other evidence stays under review.

use serde_json::Value;

use super::settling::{Movement, available_with, book};
use crate::cards::Disputing;
use crate::errors::{ApiError, Outcome};
use crate::objects::{
    BalanceTransaction, BalanceType, Charge, ChargeStatus, Dispute, DisputeStatus as Status,
    Metadata,
};
use crate::state::Tx;

/// What Stripe charges for a dispute, in minor units. It is not given back.
const FEE_MINOR: i64 = 1_500;
/// How long a merchant has to answer, in seconds.
const ANSWER_WITHIN_S: i64 = 9 * 24 * 3_600;

/// The dispute as Stripe shows it.
pub fn show_dispute(tx: &Tx<'_>, dispute: &Dispute) -> Value {
    dispute.render(tx.now, |id| tx.get::<BalanceTransaction>(id))
}

/// Notes when the bank of a card that disputes will do so, now that the money was taken.
pub(super) fn foresee(tx: &Tx<'_>, charge: &mut Charge) {
    if charge.card.behaviour.disputing != Disputing::Never {
        charge.disputes_at = Some(tx.now + tx.cell.later_s);
    }
}

/// The bank disputes what is left of a charge, or asks about it.
///
/// # Errors
/// 400 when nothing of it was captured or is left, or it is disputed already.
pub fn dispute(tx: &mut Tx<'_>, mut charge: Charge, how: Disputing) -> Outcome<Dispute> {
    check_disputable(&charge)?;
    let (reason, network_reason_code) = match how {
        Disputing::NotReceived => ("product_not_received", "13.1"),
        _ => ("fraudulent", "10.4"),
    };
    let mut dispute = Dispute {
        id: tx.new_id("dp"),
        created: tx.now,
        amount: charge.refundable(),
        currency: charge.currency.clone(),
        charge: charge.id.clone(),
        payment_intent: charge.payment_intent.clone(),
        reason: reason.to_owned(),
        network_reason_code: network_reason_code.to_owned(),
        brand: charge.card.brand.clone(),
        status: match how {
            Disputing::Inquiry => Status::WarningNeedsResponse,
            _ => Status::NeedsResponse,
        },
        evidence: Default::default(),
        submission_count: 0,
        metadata: Metadata::new(),
        balance_transactions: Vec::new(),
        due_by: tx.now + ANSWER_WITHIN_S,
        decides_at: None,
    };
    charge.disputes_at = None;
    charge.dispute = Some(dispute.id.clone());
    tx.put(charge.clone());
    if how == Disputing::Inquiry {
        put(tx, &dispute, &["charge.dispute.created"]);
    } else {
        withdraw(tx, &mut dispute, &charge);
        let types = ["charge.dispute.created", "charge.dispute.funds_withdrawn"];
        put(tx, &dispute, &types);
    }
    Ok(dispute)
}

fn check_disputable(charge: &Charge) -> Outcome<()> {
    let refused =
        |why: &str| Err(ApiError::invalid(format!("Charge {} {why}.", charge.id)).param("charge"));
    if charge.status != ChargeStatus::Succeeded || !charge.captured {
        return refused("has not been captured");
    }
    if charge.dispute.is_some() {
        return refused("has already been disputed");
    }
    match charge.refundable() {
        0 => refused("has nothing left to dispute"),
        _ => Ok(()),
    }
}

/// The time has come for the bank of a card that disputes; nothing happens when there is nothing left to dispute.
pub(super) fn open(tx: &mut Tx<'_>, mut charge: Charge) {
    let how = charge.card.behaviour.disputing;
    charge.disputes_at = None;
    tx.put(charge.clone());
    // Refused: it was refunded or disputed by hand before.
    let _ = dispute(tx, charge, how);
}

fn put(tx: &mut Tx<'_>, dispute: &Dispute, event_types: &[&str]) {
    tx.put(dispute.clone());
    let shown = show_dispute(tx, dispute);
    for event_type in event_types {
        tx.emit(event_type, &shown);
    }
}

fn withdraw(tx: &mut Tx<'_>, dispute: &mut Dispute, charge: &Charge) {
    let movement = Movement {
        balance_type: BalanceType::Dispute,
        amount: -dispute.amount,
        fee: FEE_MINOR,
        currency: &dispute.currency,
        source: &dispute.id,
        description: Some(format!("Chargeback withdrawal for {}", dispute.charge)),
        available_on: available_with(tx, charge),
    };
    let id = book(tx, movement);
    dispute.balance_transactions.push(id);
}

fn reinstate(tx: &mut Tx<'_>, dispute: &mut Dispute) {
    let charge = charge_of(tx, dispute);
    let movement = Movement {
        balance_type: BalanceType::DisputeReversal,
        amount: dispute.amount,
        fee: 0,
        currency: &dispute.currency,
        source: &dispute.id,
        description: Some(format!("Chargeback reversal for {}", dispute.charge)),
        available_on: available_with(tx, &charge),
    };
    let id = book(tx, movement);
    dispute.balance_transactions.push(id);
}

fn charge_of(tx: &Tx<'_>, dispute: &Dispute) -> Charge {
    tx.get(&dispute.charge).expect("a dispute has a charge")
}

/// Hands the evidence that was gathered to the bank.
///
/// # Errors
/// 400 when the bank takes none any more.
pub fn submit_evidence(tx: &mut Tx<'_>, mut dispute: Dispute) -> Outcome<Dispute> {
    check_answerable(&dispute)?;
    dispute.submission_count += 1;
    dispute.status = match dispute.status {
        Status::WarningNeedsResponse => Status::WarningUnderReview,
        _ => Status::UnderReview,
    };
    let settles = dispute
        .evidence
        .get("uncategorized_text")
        .is_some_and(|it| {
            matches!(
                it.as_str(),
                "winning_evidence" | "losing_evidence" | "escalate_inquiry_evidence"
            )
        });
    dispute.decides_at = settles.then_some(tx.now + tx.cell.later_s);
    put(tx, &dispute, &["charge.dispute.updated"]);
    Ok(dispute)
}

/// Whether evidence can still be given.
///
/// # Errors
/// 400 when it was submitted already, or the dispute is over.
pub fn check_answerable(dispute: &Dispute) -> Outcome<()> {
    use crate::wire::Word;
    match dispute.status.needs_response() {
        true => Ok(()),
        false => Err(ApiError::invalid(format!(
            "The evidence of dispute {} can no longer be changed because the dispute has a status of {}.",
            dispute.id,
            dispute.status.as_str()
        ))
        .param("evidence")),
    }
}

/// The bank has read the evidence.
pub(super) fn decide(tx: &mut Tx<'_>, mut dispute: Dispute) {
    dispute.decides_at = None;
    let text = dispute.evidence.get("uncategorized_text");
    let text = text.map(String::as_str).unwrap_or_default();
    match (dispute.status.is_inquiry(), text) {
        (true, "escalate_inquiry_evidence") => escalate(tx, dispute),
        (true, _) => end(tx, dispute, Status::WarningClosed),
        (false, "winning_evidence") => end(tx, dispute, Status::Won),
        (false, _) => end(tx, dispute, Status::Lost),
    }
}

/// What was a question becomes a dispute, which is to be answered anew.
fn escalate(tx: &mut Tx<'_>, mut dispute: Dispute) {
    let charge = charge_of(tx, &dispute);
    dispute.status = Status::NeedsResponse;
    dispute.due_by = tx.now + ANSWER_WITHIN_S;
    withdraw(tx, &mut dispute, &charge);
    let types = ["charge.dispute.updated", "charge.dispute.funds_withdrawn"];
    put(tx, &dispute, &types);
}

/// Nobody answered in time.
pub(super) fn lapse(tx: &mut Tx<'_>, dispute: Dispute) {
    let status = match dispute.status.is_inquiry() {
        true => Status::WarningClosed,
        false => Status::Lost,
    };
    end(tx, dispute, status);
}

/// The merchant gives in.
///
/// # Errors
/// 400 when the dispute is over.
pub fn close_dispute(tx: &mut Tx<'_>, dispute: Dispute) -> Outcome<Dispute> {
    if dispute.status.is_closed() {
        return Err(
            ApiError::invalid(format!("Dispute {} is already closed.", dispute.id))
                .code("dispute_already_closed"),
        );
    }
    let id = dispute.id.clone();
    lapse(tx, dispute);
    Ok(tx.get(&id).expect("it was just put"))
}

/// A refund in full answers an inquiry.
pub(super) fn answer_by_refund(tx: &mut Tx<'_>, charge: &Charge) {
    let dispute: Option<Dispute> = charge.dispute.as_deref().and_then(|id| tx.get(id));
    let open = dispute.filter(|it| it.status.is_inquiry() && !it.status.is_closed());
    if let Some(dispute) = open.filter(|_| charge.refundable() == 0) {
        end(tx, dispute, Status::WarningClosed);
    }
}

fn end(tx: &mut Tx<'_>, mut dispute: Dispute, status: Status) {
    dispute.status = status;
    dispute.decides_at = None;
    if status == Status::Won {
        reinstate(tx, &mut dispute);
        let types = ["charge.dispute.funds_reinstated", "charge.dispute.closed"];
        put(tx, &dispute, &types);
    } else {
        put(tx, &dispute, &["charge.dispute.closed"]);
    }
}
