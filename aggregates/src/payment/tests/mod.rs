//! What a payment does, one behaviour each; the histories and snapshots that the tests begin with.

mod adoption;
mod golden;
mod money_back;
mod observations;
mod parameters;
mod parking;
mod properties;
mod sources;
mod steps;
mod stripe;
mod table;
mod updates;
mod world;

use super::command::{Adopt, IntentSnapshot, Observation, PaymentCommand, Said, StripeStatus};
use super::event::{CreateRequested, Created, Decline, OpenStatus, PaymentEvent, Refusal};
use super::state::{Payment, Status};
use super::terms::{CaptureMethod, ConfirmTerms, Metadata, Parameters};
use crate::ids::IntentionId;
use crate::money::Money;
use crate::testing::{after, intention, merchant, order_id, usd};

const INTENT: &str = "pi_3R8f5yQ9LjHruSyq1ofjdVY5";
const METHOD: &str = "pm_1R8f7mQ9LjHruSyqZP0sUF3N";
/// The intention of the create, and of the step that histories have pending.
const CREATE: u128 = 1;
const STEP: u128 = 2;

fn request() -> CreateRequested {
    CreateRequested {
        intention: intention(CREATE),
        merchant: merchant(),
        order: Some(order_id()),
        amount: usd(100_00),
        capture_method: CaptureMethod::Manual,
        payment_method: None,
        customer: None,
        description: Some("Payment for Order #ORD-20250331-5XZF".to_owned()),
        metadata: Metadata::default(),
        attributes: [("quantity".to_owned(), "2".to_owned())].into(),
        personal: None,
        then_confirm: None,
        parameters: Parameters::default(),
    }
}

/// An intent that nobody here had asked for.
fn adopt(seen: IntentSnapshot) -> Adopt {
    Adopt {
        merchant: merchant(),
        order: None,
        capture_method: CaptureMethod::Manual,
        customer: Some("cus_1".to_owned()),
        description: None,
        metadata: Metadata::default(),
        checkout_session: Some("cs_1".to_owned()),
        reason: "webhook".to_owned(),
        seen,
    }
}

fn made(status: OpenStatus, payment_method: Option<&str>) -> PaymentEvent {
    PaymentEvent::Created(Created {
        intention: intention(CREATE),
        intent: INTENT.to_owned(),
        status,
        payment_method: payment_method.map(str::to_owned),
        created: 1_743_415_050,
        livemode: false,
    })
}

/// What no rule of ours looks at.
fn parameters() -> Parameters {
    let name = "payment_method_options[card][request_three_d_secure]";
    Parameters::parse([(name.to_owned(), "any".to_owned())]).unwrap()
}

fn method() -> Option<String> {
    Some(METHOD.to_owned())
}

fn authorized(amount: Money) -> PaymentEvent {
    PaymentEvent::Authorized {
        intention: None,
        amount,
        charge: Some("ch_1".to_owned()),
        payment_method: method(),
    }
}

fn captured(amount: Money) -> PaymentEvent {
    PaymentEvent::Captured {
        intention: None,
        amount,
        charge: Some("ch_1".to_owned()),
        payment_method: method(),
    }
}

fn cancelled(intention: Option<IntentionId>) -> PaymentEvent {
    PaymentEvent::Cancelled {
        intention,
        reason: Some("abandoned".to_owned()),
        canceled_at: Some(1_743_415_099),
    }
}

/// A payment of 100.00 USD that came to stand at `status`, nothing pending but a create.
fn standing(status: Status) -> Vec<PaymentEvent> {
    let mut events = vec![PaymentEvent::CreateRequested(Box::new(request()))];
    let open = || made(OpenStatus::RequiresConfirmation, Some(METHOD));
    match status {
        Status::Creating => {}
        Status::Refused => {
            events.push(PaymentEvent::CreateRefused {
                intention: intention(CREATE),
                refusal: refusal(),
            });
        }
        Status::RequiresPaymentMethod => events.push(made(OpenStatus::RequiresPaymentMethod, None)),
        Status::RequiresConfirmation => events.push(open()),
        Status::RequiresAction => {
            events.extend([
                open(),
                PaymentEvent::RequiresAction {
                    intention: None,
                    payment_method: method(),
                },
            ]);
        }
        Status::Processing => {
            events.extend([
                open(),
                PaymentEvent::Processing {
                    intention: None,
                    payment_method: method(),
                },
            ]);
        }
        Status::RequiresCapture => events.extend([open(), authorized(usd(100_00))]),
        Status::Succeeded => {
            events.extend([
                open(),
                captured(usd(100_00)),
                PaymentEvent::Succeeded { intention: None },
            ]);
        }
        Status::Canceled => events.extend([open(), cancelled(None)]),
    }
    events
}

/// The same with the step of `requested` pending.
fn waiting(status: Status, requested: PaymentEvent) -> Vec<PaymentEvent> {
    let mut events = standing(status);
    events.push(requested);
    events
}

fn confirm_requested() -> PaymentEvent {
    PaymentEvent::ConfirmRequested {
        intention: intention(STEP),
        payment_method: None,
        terms: ConfirmTerms::default(),
    }
}

fn capture_requested(amount: Money) -> PaymentEvent {
    PaymentEvent::CaptureRequested {
        intention: intention(STEP),
        amount,
        parameters: Parameters::default(),
    }
}

fn cancel_requested() -> PaymentEvent {
    PaymentEvent::CancelRequested {
        intention: intention(STEP),
        reason: None,
        parameters: Parameters::default(),
    }
}

fn state(events: Vec<PaymentEvent>) -> Payment {
    after(Payment::default(), events)
}

/// Stripe's intent of 100.00 USD at `status`, as a real one would be.
fn seen(status: StripeStatus) -> IntentSnapshot {
    let nothing = usd(0);
    let all = |wanted: bool| if wanted { usd(100_00) } else { nothing };
    IntentSnapshot {
        intent: INTENT.to_owned(),
        status,
        amount: usd(100_00),
        amount_capturable: all(status == StripeStatus::RequiresCapture),
        amount_received: all(status == StripeStatus::Succeeded),
        payment_method: method().filter(|_| status != StripeStatus::RequiresPaymentMethod),
        charge: matches!(
            status,
            StripeStatus::RequiresCapture | StripeStatus::Succeeded
        )
        .then(|| "ch_1".to_owned()),
        last_error: None,
        cancellation_reason: (status == StripeStatus::Canceled).then(|| "abandoned".to_owned()),
        canceled_at: (status == StripeStatus::Canceled).then_some(1_743_415_099),
        created: 1_743_415_050,
        livemode: false,
    }
}

/// After a decline.
fn seen_declined(decline: Decline) -> IntentSnapshot {
    IntentSnapshot {
        last_error: Some(decline),
        ..seen(StripeStatus::RequiresPaymentMethod)
    }
}

fn decline(charge: &str) -> Decline {
    Decline {
        code: "card_declined".to_owned(),
        decline_code: Some("generic_decline".to_owned()),
        message: "Your card was declined.".to_owned(),
        charge: Some(charge.to_owned()),
        payment_method: method(),
    }
}

fn refusal() -> Refusal {
    Refusal {
        status: 400,
        kind: "invalid_request_error".to_owned(),
        code: Some("parameter_invalid_integer".to_owned()),
        message: "Invalid integer".to_owned(),
        param: Some("amount".to_owned()),
    }
}

fn observe(intention: Option<IntentionId>, current: bool, said: Said) -> PaymentCommand {
    PaymentCommand::Observe(Observation {
        intention,
        current,
        said,
    })
}

/// The answer to the pending step.
fn answer(it: IntentSnapshot) -> PaymentCommand {
    observe(Some(intention(STEP)), true, Said::Intent(Box::new(it)))
}

fn webhook(it: IntentSnapshot) -> PaymentCommand {
    observe(None, false, Said::Intent(Box::new(it)))
}

fn poll(it: IntentSnapshot) -> PaymentCommand {
    observe(None, true, Said::Intent(Box::new(it)))
}
