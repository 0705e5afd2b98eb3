//! What Stripe says: answers, webhooks and polls, in any order and any number of times.

use super::*;
use crate::payment::event::Changes;
use crate::testing::{eur, given};
use strum::IntoEnumIterator;

fn create_answer(it: IntentSnapshot) -> PaymentCommand {
    observe(Some(intention(CREATE)), true, Said::Intent(Box::new(it)))
}

pub(super) fn refused_answer(number: u128) -> PaymentCommand {
    observe(Some(intention(number)), true, Said::Refused(refusal()))
}

pub(super) fn captured_by(intention: Option<IntentionId>, amount: Money) -> [PaymentEvent; 2] {
    [
        PaymentEvent::Captured {
            intention,
            amount,
            charge: Some("ch_1".to_owned()),
            payment_method: method(),
        },
        PaymentEvent::Succeeded { intention },
    ]
}

fn is_refused(event: &PaymentEvent) -> bool {
    matches!(event, PaymentEvent::ObservationRefused { .. })
}

pub(super) fn step() -> Option<IntentionId> {
    Some(intention(STEP))
}

/// Red when only the answer, not a webhook, can tell that the intent was made: a lost answer would leave it unknown.
#[test]
fn whoever_tells_of_it_first_the_intent_is_created_once() {
    let expected = || [made(OpenStatus::RequiresPaymentMethod, None)];
    let it = || seen(StripeStatus::RequiresPaymentMethod);
    for command in [create_answer(it()), webhook(it()), poll(it())] {
        given::<Payment>(standing(Status::Creating))
            .when(command)
            .then(expected());
    }
    for command in [create_answer(it()), webhook(it()), poll(it())] {
        given::<Payment>(standing(Status::RequiresPaymentMethod))
            .when(command)
            .then_nothing();
    }
}

#[test]
fn a_creation_seen_late_is_followed_by_what_came_of_it() {
    let [taken, succeeded] = captured_by(None, usd(100_00));
    given::<Payment>(standing(Status::Creating))
        .when(webhook(seen(StripeStatus::Succeeded)))
        .then([
            made(OpenStatus::RequiresConfirmation, Some(METHOD)),
            taken,
            succeeded,
        ]);
    given::<Payment>(standing(Status::Creating))
        .when(poll(seen_declined(decline("ch_1"))))
        .then([
            made(OpenStatus::RequiresPaymentMethod, None),
            PaymentEvent::Declined {
                intention: None,
                decline: decline("ch_1"),
            },
        ]);
}

#[test]
fn a_refused_create_ends_the_payment() {
    let state = given::<Payment>(standing(Status::Creating))
        .when(refused_answer(CREATE))
        .then([PaymentEvent::CreateRefused {
            intention: intention(CREATE),
            refusal: refusal(),
        }]);
    let facts = state.facts().unwrap();
    assert_eq!(
        (facts.status, &facts.refusal),
        (Status::Refused, &Some(Box::new(refusal())))
    );
    given::<Payment>(standing(Status::Refused))
        .when(webhook(seen(StripeStatus::Succeeded)))
        .then_one(is_refused);
}

#[test]
fn a_confirmation_is_resolved_by_any_outcome_and_its_event_names_it() {
    let outcomes = [
        (
            seen(StripeStatus::RequiresAction),
            vec![PaymentEvent::RequiresAction {
                intention: step(),
                payment_method: method(),
            }],
        ),
        (
            seen(StripeStatus::Processing),
            vec![PaymentEvent::Processing {
                intention: step(),
                payment_method: method(),
            }],
        ),
        (
            seen(StripeStatus::RequiresCapture),
            vec![PaymentEvent::Authorized {
                intention: step(),
                amount: usd(100_00),
                charge: Some("ch_1".to_owned()),
                payment_method: method(),
            }],
        ),
        (
            seen(StripeStatus::Succeeded),
            captured_by(step(), usd(100_00)).into(),
        ),
        (
            seen_declined(decline("ch_1")),
            vec![PaymentEvent::Declined {
                intention: step(),
                decline: decline("ch_1"),
            }],
        ),
        (seen(StripeStatus::Canceled), vec![cancelled(step())]),
    ];
    for (snapshot, events) in outcomes {
        for command in [
            answer(snapshot.clone()),
            webhook(snapshot.clone()),
            poll(snapshot.clone()),
        ] {
            let before = waiting(Status::RequiresConfirmation, confirm_requested());
            let after = given::<Payment>(before).when(command).then(events.clone());
            assert_eq!(after.facts().unwrap().pending, None);
            assert_eq!(
                after.facts().unwrap().stripe_status(),
                Some(snapshot.status)
            );
        }
    }
}

/// Red when an answer is recorded again though a webhook told the same before it.
#[test]
fn an_answer_after_a_webhook_that_told_the_same_records_nothing() {
    for status in
        StripeStatus::iter().filter(|it| it.is_final() || *it == StripeStatus::RequiresCapture)
    {
        let mut state = state(waiting(Status::RequiresConfirmation, confirm_requested()));
        for event in state.decide(webhook(seen(status))).unwrap() {
            state.apply(&event);
        }
        assert_eq!(state.decide(answer(seen(status))), Ok(vec![]), "{status}");
    }
}

#[test]
fn a_confirmation_goes_on_waiting_where_stripe_has_not_attempted_it_yet() {
    let before = || given::<Payment>(waiting(Status::RequiresConfirmation, confirm_requested()));
    before()
        .when(webhook(seen(StripeStatus::RequiresConfirmation)))
        .then_nothing();
    before()
        .when(poll(seen(StripeStatus::RequiresConfirmation)))
        .then_nothing();
}

#[test]
fn an_answer_that_shows_no_attempt_ends_the_confirmation() {
    let state = given::<Payment>(waiting(Status::RequiresConfirmation, confirm_requested()))
        .when(answer(seen(StripeStatus::RequiresConfirmation)))
        .then_one(|it| matches!(it, PaymentEvent::ConfirmRefused { intention, .. } if Some(*intention) == step()));
    assert_eq!(state.facts().unwrap().pending, None);
}

/// Red when a webhook about the attempt before is taken for the outcome of the one that is pending.
#[test]
fn an_old_decline_does_not_end_a_new_attempt() {
    let mut events = standing(Status::RequiresConfirmation);
    events.push(PaymentEvent::Declined {
        intention: None,
        decline: decline("ch_1"),
    });
    let second = PaymentEvent::ConfirmRequested {
        intention: intention(STEP),
        payment_method: Some("pm_other".to_owned()),
        terms: ConfirmTerms::default(),
    };
    events.push(second);
    given::<Payment>(events.clone())
        .when(webhook(seen_declined(decline("ch_1"))))
        .then_nothing();
    given::<Payment>(events.clone())
        .when(webhook(seen(StripeStatus::RequiresAction)))
        .then_nothing();
    let declined_again = Decline {
        payment_method: Some("pm_other".to_owned()),
        ..decline("ch_2")
    };
    given::<Payment>(events)
        .when(webhook(seen_declined(declined_again.clone())))
        .then([PaymentEvent::Declined {
            intention: step(),
            decline: declined_again,
        }]);
}

#[test]
fn a_decline_turns_an_attempt_back_and_a_repeated_one_does_nothing() {
    for status in [
        Status::RequiresConfirmation,
        Status::RequiresAction,
        Status::Processing,
    ] {
        let it = || webhook(seen_declined(decline("ch_1")));
        let declined = PaymentEvent::Declined {
            intention: None,
            decline: decline("ch_1"),
        };
        let state = given::<Payment>(standing(status))
            .when(it())
            .then([declined]);
        let facts = state.facts().unwrap();
        assert_eq!(
            (facts.status, &facts.payment_method),
            (Status::RequiresPaymentMethod, &None)
        );
        assert_eq!(state.decide(it()), Ok(vec![]));
    }
    given::<Payment>(standing(Status::RequiresCapture))
        .when(webhook(seen_declined(decline("ch_0"))))
        .then_nothing();
}

#[test]
fn a_capture_takes_what_stripe_says_it_took() {
    let taken = || IntentSnapshot {
        amount_received: usd(40_00),
        ..seen(StripeStatus::Succeeded)
    };
    for command in [answer(taken()), webhook(taken()), poll(taken())] {
        let before = waiting(Status::RequiresCapture, capture_requested(usd(40_00)));
        let state = given::<Payment>(before)
            .when(command)
            .then(captured_by(step(), usd(40_00)));
        let facts = state.facts().unwrap();
        assert_eq!(
            (facts.captured, facts.capturable(), facts.status),
            (usd(40_00), usd(0), Status::Succeeded)
        );
    }
}

#[test]
fn more_captured_than_was_held_is_a_fact_all_the_same() {
    let taken = IntentSnapshot {
        amount_received: usd(140_00),
        ..seen(StripeStatus::Succeeded)
    };
    given::<Payment>(standing(Status::RequiresCapture))
        .when(webhook(taken))
        .then(captured_by(None, usd(140_00)));
}

#[test]
fn a_hold_that_ended_ends_the_capture() {
    let state = given::<Payment>(waiting(
        Status::RequiresCapture,
        capture_requested(usd(100_00)),
    ))
    .when(webhook(seen(StripeStatus::Canceled)));
    let events = [
        cancelled(None),
        refused_by_us("capture", StripeStatus::Canceled),
    ];
    let state = state.then(events);
    assert_eq!(state.facts().unwrap().pending, None);
}

fn refused_by_us(action: &str, status: StripeStatus) -> PaymentEvent {
    let refusal = Refusal {
        status: 400,
        kind: "invalid_request_error".to_owned(),
        code: Some("payment_intent_unexpected_state".to_owned()),
        message: format!("The {action} was not carried out: the intent has a status of {status}."),
        param: None,
    };
    let intention = intention(STEP);
    match action {
        "capture" => PaymentEvent::CaptureRefused { intention, refusal },
        _ => PaymentEvent::CancelRefused { intention, refusal },
    }
}

#[test]
fn an_answer_that_still_shows_the_hold_ends_the_capture_and_the_cancel() {
    for (requested, action) in [
        (capture_requested(usd(100_00)), "capture"),
        (cancel_requested(), "cancel"),
    ] {
        let held = || seen(StripeStatus::RequiresCapture);
        let before = || given::<Payment>(waiting(Status::RequiresCapture, requested.clone()));
        before().when(poll(held())).then_nothing();
        before()
            .when(answer(held()))
            .then([refused_by_us(action, StripeStatus::RequiresCapture)]);
    }
}

#[test]
fn a_cancel_is_resolved_by_any_cancellation() {
    let it = || seen(StripeStatus::Canceled);
    for command in [answer(it()), webhook(it()), poll(it())] {
        given::<Payment>(waiting(Status::RequiresCapture, cancel_requested()))
            .when(command)
            .then([cancelled(step())]);
    }
}

#[test]
fn a_success_that_overtook_the_cancel_wins() {
    let [taken, succeeded] = captured_by(None, usd(100_00));
    let state = given::<Payment>(waiting(Status::RequiresAction, cancel_requested()))
        .when(webhook(seen(StripeStatus::Succeeded)))
        .then([
            taken,
            succeeded,
            refused_by_us("cancel", StripeStatus::Succeeded),
        ]);
    assert_eq!(state.facts().unwrap().pending, None);
    assert_eq!(state.decide(refused_answer(STEP)), Ok(vec![]));
}

#[test]
fn a_refusal_ends_its_step_and_leaves_the_rest_as_it_was() {
    type Refused = fn(IntentionId, Refusal) -> PaymentEvent;
    let changes = Box::new(Changes {
        description: Some("new".to_owned()),
        ..Changes::default()
    });
    let update = PaymentEvent::UpdateRequested {
        intention: intention(STEP),
        changes,
    };
    let cases: [(Status, PaymentEvent, Refused); 4] = [
        (Status::Succeeded, update, |intention, refusal| {
            PaymentEvent::UpdateRefused { intention, refusal }
        }),
        (
            Status::RequiresConfirmation,
            confirm_requested(),
            |intention, refusal| PaymentEvent::ConfirmRefused { intention, refusal },
        ),
        (
            Status::RequiresCapture,
            capture_requested(usd(1)),
            |intention, refusal| PaymentEvent::CaptureRefused { intention, refusal },
        ),
        (
            Status::RequiresCapture,
            cancel_requested(),
            |intention, refusal| PaymentEvent::CancelRefused { intention, refusal },
        ),
    ];
    for (status, requested, refused) in cases {
        let before = || given::<Payment>(waiting(status, requested.clone()));
        let state = before()
            .when(refused_answer(STEP))
            .then([refused(intention(STEP), refusal())]);
        assert_eq!(
            state,
            super::state(standing(status)),
            "as if it had not been asked"
        );
        before().when(refused_answer(99)).then_nothing();
    }
}

/// Red when a late webhook moves a payment out of its final state.
#[test]
fn what_is_final_stays_and_a_contradiction_is_kept_as_refused() {
    let before = |status| given::<Payment>(standing(status));
    before(Status::Succeeded)
        .when(webhook(seen(StripeStatus::Canceled)))
        .then_one(is_refused);
    before(Status::Canceled)
        .when(webhook(seen(StripeStatus::Succeeded)))
        .then_one(is_refused);
    before(Status::Succeeded)
        .when(poll(seen(StripeStatus::RequiresCapture)))
        .then_one(is_refused);
    let more = IntentSnapshot {
        amount_received: usd(140_00),
        ..seen(StripeStatus::Succeeded)
    };
    before(Status::Succeeded)
        .when(webhook(more))
        .then_one(is_refused);
}

#[test]
fn old_news_is_no_news() {
    for known in Status::iter().filter(|it| it.at_stripe().is_some()) {
        for status in StripeStatus::iter().filter(|it| !it.is_final()) {
            let older = known.is_final()
                || Status::iter().position(|it| it == status.into())
                    <= Status::iter().position(|it| it == known);
            if older {
                given::<Payment>(standing(known))
                    .when(webhook(seen(status)))
                    .then_nothing();
            }
        }
        given::<Payment>(standing(known))
            .when(poll(seen(known.at_stripe().unwrap())))
            .then_nothing();
    }
}

#[test]
fn who_was_asked_just_now_may_say_that_it_went_back() {
    given::<Payment>(standing(Status::RequiresConfirmation))
        .when(poll(seen(StripeStatus::RequiresPaymentMethod)))
        .then([PaymentEvent::Reopened {
            status: OpenStatus::RequiresPaymentMethod,
            payment_method: None,
        }]);
    let state = given::<Payment>(standing(Status::RequiresCapture))
        .when(poll(seen(StripeStatus::RequiresAction)))
        .then([PaymentEvent::RequiresAction {
            intention: None,
            payment_method: method(),
        }]);
    assert_eq!(state.facts().unwrap().authorized, usd(0));
}

#[test]
fn a_method_attached_at_stripe_moves_it_to_confirmation() {
    let reopened = PaymentEvent::Reopened {
        status: OpenStatus::RequiresConfirmation,
        payment_method: method(),
    };
    for command in [
        poll(seen(StripeStatus::RequiresConfirmation)),
        webhook(seen(StripeStatus::RequiresConfirmation)),
    ] {
        given::<Payment>(standing(Status::RequiresPaymentMethod))
            .when(command)
            .then([reopened.clone()]);
    }
}

#[test]
fn another_intent_or_currency_is_always_refused() {
    for status in Status::iter().filter(|it| !matches!(it, Status::Creating | Status::Refused)) {
        let other = IntentSnapshot {
            intent: "pi_other".to_owned(),
            ..seen(StripeStatus::Succeeded)
        };
        given::<Payment>(standing(status))
            .when(poll(other))
            .then_one(is_refused);
        let euros = IntentSnapshot {
            amount: eur(100_00),
            ..seen(status.at_stripe().unwrap())
        };
        given::<Payment>(standing(status))
            .when(webhook(euros))
            .then_one(is_refused);
    }
}

#[test]
fn a_drifted_amount_is_noted_and_never_hides_money_or_an_answer() {
    let drifted = |status| IntentSnapshot {
        amount: usd(99_00),
        ..seen(status)
    };
    given::<Payment>(standing(Status::RequiresConfirmation))
        .when(webhook(drifted(StripeStatus::RequiresAction)))
        .then_one(is_refused);
    given::<Payment>(standing(Status::Processing))
        .when(webhook(drifted(StripeStatus::RequiresAction)))
        .then_nothing();

    let noted = |events: Vec<PaymentEvent>, wanted: usize| {
        assert_eq!(events.len(), wanted + 1, "{events:?}");
        assert!(is_refused(&events[wanted]), "{events:?}");
    };
    let paid = state(standing(Status::Processing))
        .decide(webhook(drifted(StripeStatus::Succeeded)))
        .unwrap();
    noted(paid, 2);
    let held = state(waiting(Status::RequiresConfirmation, confirm_requested()));
    noted(
        held.decide(answer(drifted(StripeStatus::RequiresCapture)))
            .unwrap(),
        1,
    );
}

/// Red when a replayed answer is believed as if Stripe had been asked just now.
#[test]
fn an_answer_whose_intention_ended_meanwhile_is_as_old_as_a_webhook() {
    given::<Payment>(standing(Status::Succeeded))
        .when(answer(seen(StripeStatus::RequiresAction)))
        .then_nothing();
    given::<Payment>(standing(Status::Processing))
        .when(answer(seen(StripeStatus::RequiresAction)))
        .then_nothing();
}
