//! Taking the money: the attempt, its refusal, capture, and release.

use super::checkout::follow;
use super::confirming::card_error;
use super::disputing::foresee;
use super::settling::settle;
use super::unexpected::cannot_be;
use crate::cards::{Charging, Decline};
use crate::errors::{ApiError, Outcome};
use crate::objects::{
    CaptureMethod, Charge, ChargeStatus, Due, Failure, PaymentIntent,
    PaymentIntentStatus as Status, PaymentMethod,
};
use crate::state::Tx;
use crate::wire::Word;

/// How long a merchant has to capture, in seconds.
const CAPTURE_WITHIN_S: i64 = 7 * 24 * 3_600;

/// Charges the method as its behaviour says.
///
/// # Errors
/// 402 when it is refused.
pub(super) fn attempt(
    tx: &mut Tx<'_>,
    intent: PaymentIntent,
    method: &PaymentMethod,
    authenticated: bool,
) -> Outcome<PaymentIntent> {
    match method.card.behaviour.charging {
        Charging::Approve => Ok(approve(tx, intent, method, authenticated)),
        Charging::Refuse(decline) => Err(refuse(tx, intent, method, decline)),
        Charging::ProcessThenApprove | Charging::ProcessThenRefuse => Ok(process(tx, intent)),
    }
}

fn process(tx: &mut Tx<'_>, mut intent: PaymentIntent) -> PaymentIntent {
    intent.status = Status::Processing;
    intent.due = Some((tx.now + tx.cell.later_s, Due::Outcome));
    tx.put(intent.clone());
    tx.emit("payment_intent.processing", &intent.render());
    follow(tx, &intent);
    intent
}

/// The issuer agrees: the money is held, or taken at once.
pub(super) fn approve(
    tx: &mut Tx<'_>,
    mut intent: PaymentIntent,
    method: &PaymentMethod,
    authenticated: bool,
) -> PaymentIntent {
    let mut charge = new_charge(tx, &intent, method, authenticated);
    let held = intent.is_captured_by_hand();
    intent.latest_charge = Some(charge.id.clone());
    intent.due = None;
    if held {
        intent.status = Status::RequiresCapture;
        intent.amount_capturable = intent.amount;
        intent.due = Some((tx.now + CAPTURE_WITHIN_S, Due::Expiry));
    } else {
        charge.captured = true;
        charge.amount_captured = charge.amount;
        foresee(tx, &mut charge);
        intent.status = Status::Succeeded;
        intent.amount_received = intent.amount;
        if intent.capture_method == CaptureMethod::AutomaticAsync {
            charge.settles_at = Some(tx.now + tx.cell.later_s);
        } else {
            settle(tx, &mut charge);
        }
    }
    keep_method(tx, &intent, method);
    tx.put(charge.clone());
    tx.put(intent.clone());
    tx.emit("charge.succeeded", &charge.render());
    let event_type = match held {
        true => "payment_intent.amount_capturable_updated",
        false => "payment_intent.succeeded",
    };
    tx.emit(event_type, &intent.render());
    follow(tx, &intent);
    intent
}

/// A method that is meant for later payments becomes the customer's with the first one.
fn keep_method(tx: &mut Tx<'_>, intent: &PaymentIntent, method: &PaymentMethod) {
    let wanted = intent.keeps_method() && method.customer.is_none();
    let Some(customer) = intent.customer.as_ref().filter(|_| wanted) else {
        return;
    };
    let kept = PaymentMethod {
        customer: Some(customer.clone()),
        ..method.clone()
    };
    tx.put(kept.clone());
    tx.emit("payment_method.attached", &kept.render());
}

/// The issuer refuses: a failed charge is made, and the intent needs another method. The error has both inside.
pub(super) fn refuse(
    tx: &mut Tx<'_>,
    mut intent: PaymentIntent,
    method: &PaymentMethod,
    decline: Decline,
) -> ApiError {
    let mut charge = new_charge(tx, &intent, method, false);
    charge.status = ChargeStatus::Failed;
    charge.failure = Some(Failure {
        code: decline.error_code().to_owned(),
        decline_code: decline.as_str().to_owned(),
        message: decline.message().to_owned(),
    });
    let error = card_error(decline, &charge.id, method);
    intent.status = Status::RequiresPaymentMethod;
    intent.latest_charge = Some(charge.id.clone());
    intent.last_payment_error = Some(error.object());
    intent.payment_method = None;
    intent.next_action = None;
    intent.due = None;
    tx.put(charge.clone());
    tx.put(intent.clone());
    tx.emit("charge.failed", &charge.render());
    tx.emit("payment_intent.payment_failed", &intent.render());
    follow(tx, &intent);
    error.with("payment_intent", intent.render())
}

fn new_charge(
    tx: &mut Tx<'_>,
    intent: &PaymentIntent,
    method: &PaymentMethod,
    authenticated: bool,
) -> Charge {
    Charge {
        id: tx.new_id("ch"),
        created: tx.now,
        amount: intent.amount,
        amount_captured: 0,
        amount_refunded: 0,
        currency: intent.currency.clone(),
        status: ChargeStatus::Succeeded,
        captured: false,
        payment_intent: intent.id.clone(),
        payment_method: method.id.clone(),
        card: method.card.clone(),
        billing_details: method.billing_details.clone(),
        authenticated,
        failure: None,
        balance_transaction: None,
        settles_at: None,
        description: intent.description.clone(),
        metadata: intent.metadata.clone(),
        receipt_email: intent.receipt_email.clone(),
        shipping: intent.shipping.clone(),
        statement_descriptor: intent.statement_descriptor.clone(),
        statement_descriptor_suffix: intent.statement_descriptor_suffix.clone(),
        transfer_group: intent.transfer_group.clone(),
        customer: intent.customer.clone(),
        dispute: None,
        user_report: None,
        disputes_at: None,
    }
}

/// Captures a held payment, once; what is not captured is released.
///
/// # Errors
/// 400 in any state but `requires_capture`, or for more than is held.
pub fn capture(
    tx: &mut Tx<'_>,
    mut intent: PaymentIntent,
    amount: Option<i64>,
) -> Outcome<PaymentIntent> {
    if intent.status != Status::RequiresCapture {
        return Err(cannot_be(&intent, "captured", &[Status::RequiresCapture]));
    }
    let held = intent.amount_capturable;
    let amount = amount.unwrap_or(held);
    if amount > held {
        return Err(ApiError::invalid(
            "The amount to capture is greater than the amount that can be captured.",
        )
        .code("amount_too_large")
        .param("amount_to_capture"));
    }
    let mut charge = latest_charge(tx, &intent);
    charge.captured = true;
    charge.amount_captured = amount;
    charge
        .statement_descriptor
        .clone_from(&intent.statement_descriptor);
    charge
        .statement_descriptor_suffix
        .clone_from(&intent.statement_descriptor_suffix);
    charge.receipt_email.clone_from(&intent.receipt_email);
    charge.transfer_group.clone_from(&intent.transfer_group);
    foresee(tx, &mut charge);
    settle(tx, &mut charge);
    intent.status = Status::Succeeded;
    intent.amount_capturable = 0;
    intent.amount_received = amount;
    intent.due = None;
    tx.put(charge.clone());
    tx.put(intent.clone());
    tx.emit("charge.captured", &charge.render());
    tx.emit("payment_intent.succeeded", &intent.render());
    follow(tx, &intent);
    Ok(intent)
}

pub(super) fn latest_charge(tx: &Tx<'_>, intent: &PaymentIntent) -> Charge {
    intent
        .latest_charge
        .as_deref()
        .and_then(|id| tx.get(id))
        .expect("an intent that was authorised has a charge")
}

/// Cancels an intent; what is held is released, which makes no refund.
///
/// # Errors
/// 400 once it is processing, succeeded or cancelled.
pub fn cancel(
    tx: &mut Tx<'_>,
    mut intent: PaymentIntent,
    reason: Option<&str>,
) -> Outcome<PaymentIntent> {
    let allowed = [
        Status::RequiresPaymentMethod,
        Status::RequiresCapture,
        Status::RequiresConfirmation,
        Status::RequiresAction,
    ];
    if !allowed.contains(&intent.status) {
        return Err(cannot_be(&intent, "canceled", &allowed));
    }
    intent.status = Status::Canceled;
    intent.amount_capturable = 0;
    intent.canceled_at = Some(tx.now);
    intent.cancellation_reason = reason.map(str::to_owned);
    intent.next_action = None;
    intent.due = None;
    tx.put(intent.clone());
    tx.emit("payment_intent.canceled", &intent.render());
    Ok(intent)
}
