//! Intents that were made elsewhere: taken up once, as they stand, and like any other from then on.

use super::*;
use crate::ids::{PaymentId, RefundId};
use crate::payment::PaymentError;
use crate::payment::command::{RefundSnapshot, StripeRefundStatus};
use crate::payment::event::Adopted;
use crate::payment::state::RefundStatus;
use crate::testing::{Given, given};
use strum::IntoEnumIterator;

fn taken_up(seen: IntentSnapshot) -> PaymentCommand {
    PaymentCommand::Adopt(Box::new(adopt(seen)))
}

fn adopted(status: OpenStatus, payment_method: Option<String>) -> PaymentEvent {
    PaymentEvent::Adopted(Box::new(Adopted {
        merchant: merchant(),
        order: None,
        intent: INTENT.to_owned(),
        amount: usd(100_00),
        capture_method: CaptureMethod::Manual,
        status,
        payment_method,
        customer: Some("cus_1".to_owned()),
        description: None,
        metadata: Metadata::default(),
        created: 1_743_415_050,
        livemode: false,
        checkout_session: Some("cs_1".to_owned()),
        reason: "webhook".to_owned(),
    }))
}

/// Red when the snapshot is not observed in the same decision, or observed by a rule of its own.
#[test]
fn it_is_taken_up_as_it_stands_whatever_has_happened_to_it() {
    let payment_method = method();
    let open = adopted(OpenStatus::RequiresConfirmation, method());
    let since = |status| match status {
        StripeStatus::RequiresPaymentMethod | StripeStatus::RequiresConfirmation => vec![],
        StripeStatus::RequiresAction => vec![PaymentEvent::RequiresAction {
            intention: None,
            payment_method: method(),
        }],
        StripeStatus::Processing => vec![PaymentEvent::Processing {
            intention: None,
            payment_method: payment_method.clone(),
        }],
        StripeStatus::RequiresCapture => vec![authorized(usd(100_00))],
        StripeStatus::Succeeded => vec![
            captured(usd(100_00)),
            PaymentEvent::Succeeded { intention: None },
        ],
        StripeStatus::Canceled => vec![cancelled(None)],
    };
    for status in StripeStatus::iter() {
        let first = match status {
            StripeStatus::RequiresPaymentMethod => adopted(OpenStatus::RequiresPaymentMethod, None),
            _ => open.clone(),
        };
        let mut expected = vec![first];
        expected.extend(since(status));
        let state = given::<Payment>([])
            .when(taken_up(seen(status)))
            .then(expected);
        let facts = state.facts().unwrap();
        assert_eq!(facts.stripe_status(), Some(status));
        assert_eq!(facts.pending, None, "nothing is asked of Stripe");
        assert_eq!(facts.checkout_session.as_deref(), Some("cs_1"));
    }
}

#[test]
fn a_decline_before_the_adoption_is_known_after_it() {
    given::<Payment>([])
        .when(taken_up(seen_declined(decline("ch_1"))))
        .then([
            adopted(OpenStatus::RequiresPaymentMethod, None),
            PaymentEvent::Declined {
                intention: None,
                decline: decline("ch_1"),
            },
        ]);
}

/// Red when a second telling begins the payment anew: its money would be booked twice.
#[test]
fn it_is_taken_up_once() {
    let state = given::<Payment>([])
        .when(taken_up(seen(StripeStatus::Succeeded)))
        .then([
            adopted(OpenStatus::RequiresConfirmation, method()),
            captured(usd(100_00)),
            PaymentEvent::Succeeded { intention: None },
        ]);
    Given(state)
        .when(taken_up(seen(StripeStatus::Succeeded)))
        .then_nothing();
    given::<Payment>(standing(Status::Succeeded))
        .when(taken_up(seen(StripeStatus::Succeeded)))
        .then_nothing();
}

#[test]
fn another_intent_is_not_taken_up_in_its_place() {
    let other = IntentSnapshot {
        intent: "pi_other".to_owned(),
        ..seen(StripeStatus::Succeeded)
    };
    given::<Payment>(standing(Status::RequiresCapture))
        .when(taken_up(other))
        .then_err(PaymentError::AlreadyCreated);
    given::<Payment>(standing(Status::Creating))
        .when(taken_up(seen(StripeStatus::Succeeded)))
        .then_err(PaymentError::AlreadyCreated);
}

#[test]
fn it_goes_on_like_any_other() {
    let state = given::<Payment>([])
        .when(taken_up(seen(StripeStatus::RequiresCapture)))
        .then([
            adopted(OpenStatus::RequiresConfirmation, method()),
            authorized(usd(100_00)),
        ]);
    Given(state)
        .when(PaymentCommand::Capture {
            intention: intention(STEP),
            amount: Some(usd(40_00)),
            parameters: Parameters::default(),
        })
        .then([capture_requested(usd(40_00))]);
}

#[test]
fn a_refund_that_is_seen_afterwards_is_taken_up_with_it() {
    let state = given::<Payment>([])
        .when(taken_up(seen(StripeStatus::Succeeded)))
        .then([
            adopted(OpenStatus::RequiresConfirmation, method()),
            captured(usd(100_00)),
            PaymentEvent::Succeeded { intention: None },
        ]);
    let refund = RefundId::of_observed_refund("re_1");
    let refunded = RefundSnapshot {
        refund: None,
        stripe_refund: "re_1".to_owned(),
        created: None,
        status: StripeRefundStatus::Succeeded,
        amount: usd(60_00),
        failure_reason: None,
    };
    let state = Given(state)
        .when(observe(None, true, Said::Refund(refunded)))
        .then([PaymentEvent::Refunded {
            refund,
            amount: usd(60_00),
            stripe_refund: "re_1".to_owned(),
            created: None,
            observed: true,
        }]);
    let facts = state.facts().unwrap();
    assert_eq!(
        facts.refund(refund).unwrap().status,
        RefundStatus::Succeeded
    );
    assert_eq!(facts.refundable(), usd(40_00));
}

#[test]
fn its_name_is_told_by_merchant_and_intent() {
    let rival = "rival".parse().unwrap();
    let name = PaymentId::of_adopted(&merchant(), INTENT);
    assert_eq!(name, PaymentId::of_adopted(&merchant(), INTENT));
    assert_ne!(name, PaymentId::of_adopted(&merchant(), "pi_other"));
    assert_ne!(name, PaymentId::of_adopted(&rival, INTENT));
}

#[test]
fn metadata_told_by_stripe_is_kept_without_our_own_pairs() {
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let ours = Metadata::RESERVED.map(|key| pair(key, "x"));
    let told = Metadata::told(
        ours.into_iter()
            .chain([pair("order_id", "9"), pair("e", "")]),
    );
    assert_eq!(*told.as_map(), [pair("order_id", "9")].into());
}
