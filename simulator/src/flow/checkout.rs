//! Checkout sessions: paid once, or expired, and never both. Whatever happens to a session's intent is followed here.

use super::charging::cancel;
use super::confirming::{Confirmation, confirm};
use crate::errors::{ApiError, Outcome};
use crate::objects::{
    CheckoutSession, Customer, CustomerCreation, PaymentIntent, PaymentIntentStatus as Status,
    PaymentMethod, PaymentStatus, SessionStatus,
};
use crate::state::Tx;
use crate::wire::Word;

/// The payer tries to pay. Answers the intent as it then stands; when the card is refused, it has the error, and the session stays open.
///
/// # Errors
/// 400 when the session is no longer open.
pub fn pay_session(
    tx: &mut Tx<'_>,
    mut session: CheckoutSession,
    method: &PaymentMethod,
    email: Option<String>,
) -> Outcome<PaymentIntent> {
    check_open(&session, "paid")?;
    session.payer_email = email.or(session.payer_email);
    adopt_customer(tx, &mut session);
    let mut intent = intent_of(tx, &mut session);
    tx.put(session.clone());
    intent.payment_method = Some(method.id.clone());
    intent.status = Status::RequiresConfirmation;
    intent.next_action = None;
    let id = intent.id.clone();
    let how = Confirmation {
        return_url: Some(session.page(&tx.cell.base_url)),
        ..Confirmation::default()
    };
    match confirm(tx, intent, how) {
        Ok(intent) => Ok(intent),
        Err(refusal) if refusal.is_executed() => {
            Ok(tx.get(&id).expect("a refused attempt puts the intent"))
        }
        Err(error) => Err(error),
    }
}

fn check_open(session: &CheckoutSession, done: &str) -> Outcome<()> {
    if session.status == SessionStatus::Open {
        return Ok(());
    }
    let status = session.status.as_str();
    Err(ApiError::invalid(format!(
        "Only Checkout Sessions with a status in [\"open\"] can be {done}. This Checkout Session has a status of {status}."
    )))
}

/// The session's intent, which is made by the first attempt to pay.
fn intent_of(tx: &mut Tx<'_>, session: &mut CheckoutSession) -> PaymentIntent {
    let begun: Option<PaymentIntent> = session.payment_intent.as_deref().and_then(|id| tx.get(id));
    if let Some(intent) = begun {
        return intent;
    }
    let mut intent = (*session.plan).clone();
    intent.id = tx.new_id("pi");
    intent.created = tx.now;
    intent.customer.clone_from(&session.customer);
    intent.checkout_session = Some(session.id.clone());
    session.payment_intent = Some(intent.id.clone());
    tx.put(intent.clone());
    tx.emit("payment_intent.created", &intent.render());
    intent
}

fn adopt_customer(tx: &mut Tx<'_>, session: &mut CheckoutSession) {
    let wanted = session.customer_creation == Some(CustomerCreation::Always);
    if !wanted || session.customer.is_some() {
        return;
    }
    let mut customer = Customer::new(tx.new_id("cus"), tx.now);
    customer.email.clone_from(&session.payer_email);
    session.customer = Some(customer.id.clone());
    tx.put(customer.clone());
    tx.emit("customer.created", &customer.render());
}

/// Expires an open session; its intent, where somebody has tried to pay, is cancelled.
///
/// # Errors
/// 400 once it is paid or expired.
pub fn expire_session(tx: &mut Tx<'_>, mut session: CheckoutSession) -> Outcome<CheckoutSession> {
    check_open(&session, "expired")?;
    session.status = SessionStatus::Expired;
    tx.put(session.clone());
    let intent: Option<PaymentIntent> = session.payment_intent.as_deref().and_then(|id| tx.get(id));
    if let Some(intent) = intent {
        cancel(tx, intent, Some("abandoned"))?;
    }
    emit(tx, &session, "checkout.session.expired");
    Ok(session)
}

fn emit(tx: &mut Tx<'_>, session: &CheckoutSession, event_type: &str) {
    let shown = session.render(&tx.cell.base_url);
    tx.emit(event_type, &shown);
}

/// Whether the intent belongs to a session that can still be paid, and so is not to be moved by itself.
pub fn is_held_by_session(tx: &Tx<'_>, intent: &PaymentIntent) -> bool {
    let session: Option<CheckoutSession> =
        intent.checkout_session.as_deref().and_then(|id| tx.get(id));
    session.is_some_and(|it| it.status == SessionStatus::Open)
}

/// Something happened to an intent: its session, if it has one, becomes complete, paid, or is told that the money did not come.
pub(super) fn follow(tx: &mut Tx<'_>, intent: &PaymentIntent) {
    let session: Option<CheckoutSession> =
        intent.checkout_session.as_deref().and_then(|id| tx.get(id));
    let Some(mut session) = session else {
        return;
    };
    let is_paid = intent.status == Status::Succeeded;
    let event_type = match (session.status, intent.status) {
        (SessionStatus::Open, Status::Succeeded | Status::Processing | Status::RequiresCapture) => {
            Some("checkout.session.completed")
        }
        // A capture is the merchant's own doing.
        (SessionStatus::Complete, Status::Succeeded) if intent.is_captured_by_hand() => None,
        (SessionStatus::Complete, Status::Succeeded) => {
            Some("checkout.session.async_payment_succeeded")
        }
        (SessionStatus::Complete, Status::RequiresPaymentMethod) => {
            Some("checkout.session.async_payment_failed")
        }
        _ => return,
    };
    session.status = SessionStatus::Complete;
    if is_paid {
        session.payment_status = PaymentStatus::Paid;
    }
    tx.put(session.clone());
    if let Some(event_type) = event_type {
        emit(tx, &session, event_type);
    }
}
