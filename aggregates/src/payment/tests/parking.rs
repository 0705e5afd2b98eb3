//! What is looked up, and what nobody could find out.

use super::*;
use crate::parking::{ByHand, ParkedState, ParkingError};
use crate::payment::command::{RefundSnapshot, StripeRefundStatus};
use crate::payment::lookup::Shown;
use crate::payment::state::RefundStatus;

fn parked(what: &str) -> PaymentEvent {
    PaymentEvent::IntentionParked {
        intention: intention(STEP),
        what: what.to_owned(),
        reason: "time_out: time-out".to_owned(),
    }
}

fn park() -> PaymentCommand {
    PaymentCommand::Park {
        intention: intention(STEP),
        reason: "time_out: time-out".to_owned(),
    }
}

fn happened(stripe_id: &str) -> ByHand {
    ByHand::Happened {
        stripe_id: stripe_id.to_owned(),
    }
}

fn proposed(outcome: ByHand) -> PaymentEvent {
    PaymentEvent::SettlementProposed {
        intention: intention(STEP),
        outcome,
        by: "anna".to_owned(),
        because: "seen in Stripe's dashboard".to_owned(),
    }
}

/// A capture of all that is held, parked, and somebody's word on what became of it.
fn capture_parked(outcome: Option<ByHand>) -> Payment {
    let mut events = waiting(Status::RequiresCapture, capture_requested(usd(100_00)));
    events.push(parked("capture"));
    events.extend(outcome.map(proposed));
    state(events)
}

fn approve(
    payment: &Payment,
    by: &str,
    shown: Option<Said>,
) -> Result<Vec<PaymentEvent>, ParkingError> {
    payment.approve_settlement(intention(STEP), by, shown)
}

fn shown(status: StripeStatus) -> Option<Said> {
    Some(Said::Intent(Box::new(seen(status))))
}

fn not_borne_out<T: std::fmt::Debug>(settled: Result<T, ParkingError>) {
    assert!(
        matches!(settled, Err(ParkingError::NotBorneOut { .. })),
        "{settled:?}"
    );
}

/// Red when a hold that still stands counts as a capture, or a capture by anybody counts as none.
#[test]
fn an_intent_shows_whether_the_pending_step_was_carried_out() {
    use Shown::{Done, NotDone};
    use StripeStatus as S;
    let facts = |status, requested| state(waiting(status, requested));
    let capture = facts(Status::RequiresCapture, capture_requested(usd(100_00)));
    let cancel = facts(Status::RequiresCapture, cancel_requested());
    let confirm = facts(Status::RequiresConfirmation, confirm_requested());
    let cases = [
        (&capture, S::RequiresCapture, NotDone),
        (&capture, S::Succeeded, Done),
        (&capture, S::Processing, Done),
        (&capture, S::Canceled, NotDone),
        (&cancel, S::RequiresCapture, NotDone),
        (&cancel, S::Canceled, Done),
        (&cancel, S::Succeeded, NotDone),
        (&confirm, S::RequiresConfirmation, NotDone),
        (&confirm, S::RequiresPaymentMethod, NotDone),
        (&confirm, S::RequiresAction, Done),
        (&confirm, S::Processing, Done),
        (&confirm, S::RequiresCapture, Done),
        (&confirm, S::Succeeded, Done),
    ];
    for (payment, status, expected) in cases {
        let facts = payment.facts().unwrap();
        let step = facts.pending.as_ref().unwrap().step.name();
        assert_eq!(facts.shown_by(&seen(status)), expected, "{step} {status}");
    }
}

/// Red when any decline that stands at the intent is taken for this attempt's.
#[test]
fn an_attempt_shows_in_a_decline_that_was_not_there_before() {
    let mut events = standing(Status::RequiresPaymentMethod);
    events.push(PaymentEvent::Declined {
        intention: None,
        decline: decline("ch_1"),
    });
    events.push(confirm_requested());
    let payment = state(events);
    let facts = payment.facts().unwrap();
    assert_eq!(
        facts.shown_by(&seen_declined(decline("ch_1"))),
        Shown::NotDone
    );
    assert_eq!(facts.shown_by(&seen_declined(decline("ch_2"))), Shown::Done);
}

/// Red when an intention that has ended is parked, or one is parked twice.
#[test]
fn an_open_intention_is_parked_once() {
    let open = waiting(Status::RequiresCapture, capture_requested(usd(100_00)));
    let payment = state(open.clone());
    assert_eq!(payment.decide(park()), Ok(vec![parked("capture")]));
    assert_eq!(capture_parked(None).decide(park()), Ok(vec![]));
    let ended = state(standing(Status::Succeeded));
    assert_eq!(ended.decide(park()), Ok(vec![]));
}

/// Red when something parked stays with people although Stripe has told.
#[test]
fn stripe_may_still_tell_what_came_of_something_parked() {
    let payment = capture_parked(None);
    let events = payment.decide(poll(seen(StripeStatus::Succeeded))).unwrap();
    let after = after(payment, events);
    let facts = after.facts().unwrap();
    assert_eq!(facts.status, Status::Succeeded);
    assert_eq!(facts.parked[0].state, ParkedState::Answered);
    assert_eq!(
        approve(&after, "ben", shown(StripeStatus::Succeeded)),
        Err(ParkingError::NotParked)
    );
}

/// Red when the maker may be the checker, in whatever spelling.
#[test]
fn one_person_says_what_became_of_it_and_another_approves() {
    let payment = capture_parked(None);
    let all = shown(StripeStatus::Succeeded);
    assert_eq!(
        approve(&payment, "ben", all.clone()),
        Err(ParkingError::NothingProposed)
    );
    let say = |by: &str, because: &str| {
        payment.propose_settlement(
            intention(STEP),
            happened(INTENT),
            by.to_owned(),
            because.to_owned(),
        )
    };
    assert_eq!(say("anna", " "), Err(ParkingError::NoNameOrReason));
    assert_eq!(
        say("anna", "seen in Stripe's dashboard"),
        Ok(vec![proposed(happened(INTENT))])
    );
    let payment = capture_parked(Some(happened(INTENT)));
    assert_eq!(
        approve(&payment, "ANNA ", all.clone()),
        Err(ParkingError::SamePerson {
            by: "ANNA ".to_owned()
        })
    );
    let events = approve(&payment, "ben", all).unwrap();
    assert!(
        matches!(&events[0], PaymentEvent::SettledByHand { proposed_by, approved_by, .. } if proposed_by == "anna" && approved_by == "ben")
    );
    let settled = after(payment, events);
    let facts = settled.facts().unwrap();
    assert_eq!(facts.status, Status::Succeeded);
    assert_eq!(facts.captured, usd(100_00));
    assert_eq!(facts.parked[0].state, ParkedState::Settled);
}

/// Red when people's word counts for more than what Stripe shows.
#[test]
fn what_stripe_does_not_bear_out_is_not_settled() {
    let payment = capture_parked(Some(happened(INTENT)));
    not_borne_out(approve(
        &payment,
        "ben",
        shown(StripeStatus::RequiresCapture),
    ));
    not_borne_out(approve(&payment, "ben", None));
    let payment = capture_parked(Some(happened("pi_another")));
    not_borne_out(approve(&payment, "ben", shown(StripeStatus::Succeeded)));
}

/// Red when a step that did not happen leaves the payment waiting.
#[test]
fn what_did_not_happen_is_refused_and_may_be_asked_for_anew() {
    let payment = capture_parked(Some(ByHand::DidNotHappen));
    let events = approve(&payment, "ben", None).unwrap();
    let settled = after(payment, events);
    let facts = settled.facts().unwrap();
    assert_eq!(
        (facts.status, &facts.pending),
        (Status::RequiresCapture, &None)
    );
    let again = PaymentCommand::Capture {
        intention: intention(9),
        amount: None,
        parameters: Parameters::default(),
    };
    assert_eq!(settled.decide(again).map(|events| events.len()), Ok(1));
}

/// Red when any refund of Stripe's settles ours.
#[test]
fn a_parked_refund_is_settled_by_a_refund_of_its_amount() {
    let mut events = standing(Status::Succeeded);
    events.extend([
        PaymentEvent::RefundRequested {
            refund: intention(STEP),
            amount: usd(40_00),
            reason: None,
            metadata: Metadata::default(),
            parameters: Parameters::default(),
        },
        parked("refund"),
        proposed(happened("re_1")),
    ]);
    let payment = state(events);
    let shown = |amount| {
        Some(Said::Refund(RefundSnapshot {
            refund: None,
            stripe_refund: "re_1".to_owned(),
            status: StripeRefundStatus::Succeeded,
            amount,
            failure_reason: None,
            created: None,
        }))
    };
    not_borne_out(approve(&payment, "ben", shown(usd(50_00))));
    let events = approve(&payment, "ben", shown(usd(40_00))).unwrap();
    let settled = after(payment, events);
    let facts = settled.facts().unwrap();
    let refund = facts.refund(intention(STEP)).unwrap();
    assert_eq!(refund.status, RefundStatus::Succeeded);
    assert_eq!(facts.refunded(), usd(40_00));
    assert_eq!(facts.parked[0].state, ParkedState::Settled);
}
