//! An update and the answers to it: alone, late, and beside what the customer does meanwhile.

use super::observations::{captured_by, refused_answer};
use super::*;
use crate::payment::event::Changes;
use crate::testing::{Given, given};

/// Red when the change is taken as made because some webhook came along.
#[test]
fn an_update_is_resolved_by_its_answer_not_by_a_webhook() {
    let changes = Box::new(Changes {
        amount: Some(usd(120_00)),
        ..Changes::default()
    });
    let requested = PaymentEvent::UpdateRequested {
        intention: intention(STEP),
        changes: changes.clone(),
    };
    let before = || given::<Payment>(waiting(Status::RequiresConfirmation, requested.clone()));
    let updated = |status| PaymentEvent::Updated {
        intention: intention(STEP),
        changes: changes.clone(),
        status,
        payment_method: method(),
    };
    let at_new_amount = |status| IntentSnapshot {
        amount: usd(120_00),
        ..seen(status)
    };

    before()
        .when(webhook(seen(StripeStatus::RequiresConfirmation)))
        .then_nothing();
    before()
        .when(webhook(at_new_amount(StripeStatus::RequiresConfirmation)))
        .then_nothing();
    before()
        .when(poll(seen(StripeStatus::RequiresConfirmation)))
        .then_nothing();
    let open = Some(OpenStatus::RequiresConfirmation);
    before()
        .when(answer(at_new_amount(StripeStatus::RequiresConfirmation)))
        .then([updated(open)]);
    before()
        .when(poll(at_new_amount(StripeStatus::RequiresConfirmation)))
        .then([updated(open)]);

    let [taken, succeeded] = captured_by(None, usd(120_00));
    let paid = IntentSnapshot {
        amount_received: usd(120_00),
        ..at_new_amount(StripeStatus::Succeeded)
    };
    before()
        .when(webhook(paid))
        .then([updated(None), taken, succeeded]);
}

#[test]
fn a_payment_that_slipped_through_at_the_old_price_is_taken_as_it_is() {
    let changes = Box::new(Changes {
        amount: Some(usd(120_00)),
        ..Changes::default()
    });
    let requested = PaymentEvent::UpdateRequested {
        intention: intention(STEP),
        changes,
    };
    let state = given::<Payment>(waiting(Status::RequiresConfirmation, requested))
        .when(webhook(seen(StripeStatus::Succeeded)))
        .then(captured_by(None, usd(100_00)));
    assert_eq!(state.facts().unwrap().amount, usd(100_00));
    let state = Given(state)
        .when(refused_answer(STEP))
        .then([PaymentEvent::UpdateRefused {
            intention: intention(STEP),
            refusal: refusal(),
        }]);
    assert_eq!(state.facts().unwrap().status, Status::Succeeded);
}

/// Red when the answer, older than the end that came in between, is held against that end.
#[test]
fn an_answer_that_comes_after_the_end_resolves_the_update_and_moves_nothing() {
    let changes = Box::new(Changes {
        description: Some("new".to_owned()),
        ..Changes::default()
    });
    let requested = PaymentEvent::UpdateRequested {
        intention: intention(STEP),
        changes: changes.clone(),
    };
    let mut events = waiting(Status::RequiresConfirmation, requested);
    events.extend(captured_by(None, usd(100_00)));
    let state = given::<Payment>(events)
        .when(answer(seen(StripeStatus::RequiresConfirmation)))
        .then([PaymentEvent::Updated {
            intention: intention(STEP),
            changes,
            status: None,
            payment_method: method(),
        }]);
    let facts = state.facts().unwrap();
    assert_eq!(
        (facts.status, facts.description.as_deref()),
        (Status::Succeeded, Some("new"))
    );
}

#[test]
fn an_update_of_a_finished_payment_leaves_its_status() {
    let changes = Box::new(Changes {
        description: Some("new".to_owned()),
        ..Changes::default()
    });
    let requested = PaymentEvent::UpdateRequested {
        intention: intention(STEP),
        changes: changes.clone(),
    };
    given::<Payment>(waiting(Status::Succeeded, requested))
        .when(answer(seen(StripeStatus::Succeeded)))
        .then([PaymentEvent::Updated {
            intention: intention(STEP),
            changes,
            status: None,
            payment_method: method(),
        }]);
}
