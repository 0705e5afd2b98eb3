//! Refunds, beside one another and late; disputes, in any order.

use super::*;
use crate::ids::RefundId;
use crate::payment::PaymentError;
use crate::payment::command::{
    DisputeSnapshot, DisputeState, DisputeStatus, DisputeTurn, RefundSnapshot, StripeRefundStatus,
};
use crate::payment::event::RefundReason;
use crate::payment::state::RefundStatus;
use crate::testing::{Given, eur, given};

fn refund(number: u128, amount: Option<Money>) -> PaymentCommand {
    let reason = Some(RefundReason::RequestedByCustomer);
    PaymentCommand::Refund {
        refund: intention(number),
        amount,
        reason,
        metadata: Metadata::default(),
        parameters: Parameters::default(),
    }
}

fn requested(number: u128, amount: Money) -> PaymentEvent {
    let reason = Some(RefundReason::RequestedByCustomer);
    PaymentEvent::RefundRequested {
        refund: intention(number),
        amount,
        reason,
        metadata: Metadata::default(),
        parameters: Parameters::default(),
    }
}

fn refunded(number: u128, amount: Money) -> PaymentEvent {
    PaymentEvent::Refunded {
        refund: intention(number),
        amount,
        stripe_refund: format!("re_{number}"),
        created: None,
        observed: false,
    }
}

fn failed(number: u128, amount: Money, had_succeeded: bool) -> PaymentEvent {
    let (refund, stripe_refund) = (intention(number), format!("re_{number}"));
    PaymentEvent::RefundFailed {
        refund,
        amount,
        stripe_refund,
        created: None,
        reason: None,
        had_succeeded,
    }
}

fn paid_then(events: impl IntoIterator<Item = PaymentEvent>) -> Vec<PaymentEvent> {
    standing(Status::Succeeded)
        .into_iter()
        .chain(events)
        .collect()
}

fn told(number: u128, status: StripeRefundStatus, amount: Money) -> PaymentCommand {
    let it = RefundSnapshot {
        refund: Some(intention(number)),
        stripe_refund: format!("re_{number}"),
        created: None,
        status,
        amount,
        failure_reason: None,
    };
    observe(None, false, Said::Refund(it))
}

fn nothing_captured(status: Status) -> PaymentError {
    match status {
        Status::Creating => PaymentError::InProgress,
        _ => PaymentError::NothingCaptured,
    }
}

/// Red when refunds that Stripe has not answered are left out of the sum: 60 + 60 on 100 would both be asked for.
#[test]
fn refunds_never_exceed_what_was_captured_even_while_they_are_open() {
    let (asked, refundable) = (usd(60_00), usd(40_00));
    given::<Payment>(paid_then([requested(10, usd(60_00))]))
        .when(refund(11, Some(asked)))
        .then_err(PaymentError::ExceedsRefundable { asked, refundable });
    let state = given::<Payment>(paid_then([requested(10, usd(60_00))]))
        .when(refund(11, None))
        .then([requested(11, usd(40_00))]);
    assert_eq!(
        state.decide(refund(12, Some(usd(1)))),
        Err(PaymentError::AlreadyRefunded)
    );
    assert_eq!(state.facts().unwrap().refunds_open(), usd(100_00));
}

#[test]
fn a_refund_of_nothing_or_of_other_money_is_refused() {
    let paid = || given::<Payment>(standing(Status::Succeeded));
    for amount in [usd(0), usd(-1)] {
        paid()
            .when(refund(10, Some(amount)))
            .then_err(PaymentError::AmountInvalid { amount });
    }
    let mismatch = PaymentError::CurrencyMismatch {
        given: "usd".to_owned(),
        asked: "eur".to_owned(),
    };
    paid().when(refund(10, Some(eur(1)))).then_err(mismatch);
}

#[test]
fn only_money_that_was_taken_can_be_given_back() {
    for status in [
        Status::Creating,
        Status::RequiresPaymentMethod,
        Status::RequiresCapture,
        Status::Canceled,
    ] {
        given::<Payment>(standing(status))
            .when(refund(10, None))
            .then_err(nothing_captured(status));
    }
}

#[test]
fn a_refund_waits_for_a_confirm_or_capture_but_not_for_an_update() {
    let waits = |events| {
        given::<Payment>(events)
            .when(refund(10, None))
            .then_err(PaymentError::InProgress)
    };
    waits(waiting(Status::RequiresConfirmation, confirm_requested()));
    waits(waiting(Status::RequiresCapture, capture_requested(usd(1))));
    let update = PaymentEvent::UpdateRequested {
        intention: intention(STEP),
        changes: Box::default(),
    };
    given::<Payment>(waiting(Status::Succeeded, update))
        .when(refund(10, None))
        .then([requested(10, usd(100_00))]);
}

#[test]
fn the_same_refund_asked_for_twice_is_asked_for_once() {
    let once = paid_then([requested(10, usd(60_00))]);
    given::<Payment>(once)
        .when(refund(10, Some(usd(60_00))))
        .then_nothing();
}

#[test]
fn a_refund_goes_from_requested_over_pending_to_succeeded_and_never_back() {
    use StripeRefundStatus::{Pending, RequiresAction, Succeeded};
    let amount = usd(60_00);
    let pending = PaymentEvent::RefundPending {
        refund: intention(10),
        amount,
        stripe_refund: "re_10".to_owned(),
        created: None,
    };
    let history = [requested(10, amount), pending.clone(), refunded(10, amount)];
    let after = |count: usize| given::<Payment>(paid_then(history[..count].to_vec()));

    after(1)
        .when(told(10, Pending, amount))
        .then([pending.clone()]);
    after(1)
        .when(told(10, RequiresAction, amount))
        .then([pending]);
    after(1)
        .when(told(10, Succeeded, amount))
        .then([refunded(10, amount)]);
    after(2).when(told(10, Pending, amount)).then_nothing();
    let state = after(2)
        .when(told(10, Succeeded, amount))
        .then([refunded(10, amount)]);
    assert_eq!(state.facts().unwrap().refunded(), amount);
    after(3).when(told(10, Succeeded, amount)).then_nothing();
    after(3).when(told(10, Pending, amount)).then_nothing();
}

#[test]
fn a_refund_that_succeeded_may_still_fail_and_its_money_is_refundable_again() {
    let amount = usd(100_00);
    let before = paid_then([requested(10, amount), refunded(10, amount)]);
    let state = given::<Payment>(before)
        .when(told(10, StripeRefundStatus::Failed, amount))
        .then([failed(10, amount, true)]);
    assert_eq!(state.facts().unwrap().refundable(), amount);
    assert_eq!(
        state.decide(told(10, StripeRefundStatus::Succeeded, amount)),
        Ok(vec![])
    );
    assert_eq!(
        state.decide(told(10, StripeRefundStatus::Failed, amount)),
        Ok(vec![])
    );
}

/// Red when the success that is heard of late is dropped: its money would have gone out of the sales or not by chance.
#[test]
fn a_success_that_is_heard_of_after_its_failure_leaves_what_both_in_order_leave() {
    let amount = usd(100_00);
    let in_order = given::<Payment>(paid_then([requested(10, amount), refunded(10, amount)]))
        .when(told(10, StripeRefundStatus::Failed, amount))
        .then([failed(10, amount, true)]);
    let events = paid_then([requested(10, amount), failed(10, amount, false)]);
    let late = given::<Payment>(events)
        .when(told(10, StripeRefundStatus::Succeeded, amount))
        .then([refunded(10, amount), failed(10, amount, true)]);
    assert_eq!(late, in_order);
    let again = told(10, StripeRefundStatus::Succeeded, amount);
    assert_eq!(late.decide(again), Ok(vec![]));
}

/// Red when a refund that shows another amount is passed over, or is recorded each time that it is said.
#[test]
fn a_refund_that_contradicts_what_is_known_of_it_is_refused_once_with_the_reason() {
    use StripeRefundStatus::{Canceled, Succeeded};
    let amount = usd(60_00);
    let before = || paid_then([requested(10, amount), refunded(10, amount)]);
    for (status, seen) in [(Canceled, amount), (Succeeded, usd(59_99))] {
        let state = given::<Payment>(before())
            .when(told(10, status, seen))
            .then_one(|it| matches!(it, PaymentEvent::ObservationRefused { .. }));
        assert_eq!(state.decide(told(10, status, seen)), Ok(vec![]));
        assert_eq!(state.facts().unwrap().refunded(), amount);
    }
}

#[test]
fn a_refund_that_fails_before_it_succeeded_says_so() {
    let amount = usd(60_00);
    given::<Payment>(paid_then([requested(10, amount)]))
        .when(told(10, StripeRefundStatus::Failed, amount))
        .then([failed(10, amount, false)]);
}

#[test]
fn a_pending_refund_may_be_called_off() {
    let amount = usd(60_00);
    let called_off = PaymentEvent::RefundCancelled {
        refund: intention(10),
        amount,
        stripe_refund: "re_10".to_owned(),
        created: None,
    };
    let state = given::<Payment>(paid_then([requested(10, amount)]))
        .when(told(10, StripeRefundStatus::Canceled, amount))
        .then([called_off]);
    assert_eq!(state.facts().unwrap().refundable(), usd(100_00));
    given::<Payment>(paid_then([requested(10, amount), refunded(10, amount)]))
        .when(told(10, StripeRefundStatus::Canceled, amount))
        .then_one(|it| matches!(it, PaymentEvent::ObservationRefused { .. }));
}

#[test]
fn a_refused_refund_frees_its_amount() {
    let refused = || observe(Some(intention(10)), true, Said::Refused(refusal()));
    let state = given::<Payment>(paid_then([requested(10, usd(100_00))]))
        .when(refused())
        .then([PaymentEvent::RefundRefused {
            refund: intention(10),
            refusal: refusal(),
        }]);
    let facts = state.facts().unwrap();
    assert_eq!(
        (facts.refundable(), facts.refunds[0].status),
        (usd(100_00), RefundStatus::Refused)
    );
    given::<Payment>(paid_then([
        requested(10, usd(60_00)),
        refunded(10, usd(60_00)),
    ]))
    .when(refused())
    .then_nothing();
}

/// Red when a refund that nobody here asked for is dropped, or held against our own limit.
#[test]
fn a_refund_made_outside_is_a_fact_even_beyond_what_was_captured() {
    let outside = |status| RefundSnapshot {
        refund: None,
        stripe_refund: "re_outside".to_owned(),
        created: None,
        status,
        amount: usd(130_00),
        failure_reason: None,
    };
    let observed = RefundId::of_observed_refund("re_outside");
    let command = || {
        observe(
            None,
            false,
            Said::Refund(outside(StripeRefundStatus::Succeeded)),
        )
    };
    let fact = PaymentEvent::Refunded {
        refund: observed,
        amount: usd(130_00),
        stripe_refund: "re_outside".to_owned(),
        created: None,
        observed: true,
    };
    let state = given::<Payment>(standing(Status::Succeeded))
        .when(command())
        .then([fact]);
    assert_eq!(state.facts().unwrap().refundable(), usd(0));
    assert_eq!(state.decide(command()), Ok(vec![]));
    assert_eq!(
        state.decide(refund(10, Some(usd(1)))),
        Err(PaymentError::AlreadyRefunded)
    );
}

#[test]
fn a_second_refund_that_carries_our_id_is_another_refund() {
    let amount = usd(60_00);
    let copy = RefundSnapshot {
        refund: Some(intention(10)),
        stripe_refund: "re_copy".to_owned(),
        created: None,
        status: StripeRefundStatus::Succeeded,
        amount,
        failure_reason: None,
    };
    let observed = RefundId::of_observed_refund("re_copy");
    given::<Payment>(paid_then([requested(10, amount), refunded(10, amount)]))
        .when(observe(None, false, Said::Refund(copy)))
        .then_one(|it| matches!(it, PaymentEvent::Refunded { refund, .. } if *refund == observed));
}

#[test]
fn a_refund_in_another_currency_is_kept_as_refused() {
    given::<Payment>(paid_then([requested(10, usd(60_00))]))
        .when(told(10, StripeRefundStatus::Succeeded, eur(60_00)))
        .then_one(|it| matches!(it, PaymentEvent::ObservationRefused { .. }));
}

fn dispute(turn: DisputeTurn) -> PaymentCommand {
    let (dispute, reason) = ("dp_1".to_owned(), "fraudulent".to_owned());
    observe(
        None,
        false,
        Said::Dispute(DisputeSnapshot {
            dispute,
            amount: usd(100_00),
            reason,
            turn,
        }),
    )
}

/// Red when an end that contradicts the end is passed over in silence.
#[test]
fn a_dispute_ends_once_and_another_end_is_refused_with_the_reason() {
    let lost = || dispute(DisputeTurn::Closed { won: false });
    let ended = PaymentEvent::DisputeClosed {
        dispute: "dp_1".to_owned(),
        amount: usd(100_00),
        won: false,
    };
    let state = given::<Payment>(paid_then([ended]))
        .when(dispute(DisputeTurn::Closed { won: true }))
        .then_one(|it| matches!(it, PaymentEvent::ObservationRefused { .. }));
    assert_eq!(
        state.decide(dispute(DisputeTurn::Closed { won: true })),
        Ok(vec![])
    );
    assert_eq!(state.decide(lost()), Ok(vec![]));
}

/// Red when a turn is recorded twice, or dropped because it comes before the opening.
#[test]
fn each_turn_of_a_dispute_is_recorded_once_in_whatever_order() {
    use DisputeTurn::{Closed, FundsReinstated, FundsWithdrawn, Opened};
    let turns = [
        Opened { inquiry: false },
        FundsWithdrawn { fee_minor: 15_00 },
        FundsReinstated,
        Closed { won: true },
    ];
    for first in 0..turns.len() {
        let mut state = state(standing(Status::Succeeded));
        for turn in turns.iter().cycle().skip(first).take(turns.len()) {
            let events = state.decide(dispute(*turn)).unwrap();
            assert_eq!(events.len(), 1, "{turn:?}");
            events.iter().for_each(|event| state.apply(event));
            assert_eq!(state.decide(dispute(*turn)), Ok(vec![]), "{turn:?} again");
        }
        let known = &state.facts().unwrap().disputes["dp_1"];
        assert_eq!(
            (known.withdrawn, known.won, known.reason.as_str()),
            (usd(0), Some(true), "fraudulent")
        );
    }
}

#[test]
fn funds_are_withdrawn_until_they_are_reinstated() {
    let mut state = state(standing(Status::Succeeded));
    let mut after = |turn| {
        let events = state.decide(dispute(turn)).unwrap();
        events.iter().for_each(|event| state.apply(event));
        state.facts().unwrap().disputes["dp_1"].withdrawn
    };
    assert_eq!(after(DisputeTurn::Opened { inquiry: true }), usd(0));
    assert_eq!(
        after(DisputeTurn::FundsWithdrawn { fee_minor: 15_00 }),
        usd(100_00)
    );
    assert_eq!(after(DisputeTurn::FundsReinstated), usd(0));
}

/// Red when a later answer, which may not tell the time, takes away what an earlier one told.
#[test]
fn when_stripe_made_a_refund_is_kept_once_it_is_told() {
    let created = Some(1_743_415_150);
    let told = |status, created| {
        let seen = RefundSnapshot {
            refund: Some(intention(10)),
            stripe_refund: "re_10".to_owned(),
            created,
            status,
            amount: usd(60_00),
            failure_reason: None,
        };
        observe(None, true, Said::Refund(seen))
    };
    let state = given::<Payment>(standing(Status::Succeeded))
        .when(refund(10, Some(usd(60_00))))
        .then([requested(10, usd(60_00))]);
    let state = Given(state)
        .when(told(StripeRefundStatus::Pending, created))
        .then_one(|it| {
            matches!(
                it,
                PaymentEvent::RefundPending {
                    created: Some(_),
                    ..
                }
            )
        });
    let state = Given(state)
        .when(told(StripeRefundStatus::Succeeded, None))
        .then([refunded(10, usd(60_00))]);
    let known = state.facts().unwrap().refund(intention(10)).unwrap();
    assert_eq!(known.created, created);
}

/// Red when a read dispute is recorded beside the webhooks that told of the same turns, or leaves out one that they missed.
#[test]
fn a_dispute_that_is_read_records_the_turns_that_no_webhook_told_of() {
    let lost = || {
        observe(
            None,
            true,
            Said::DisputeState(DisputeState {
                dispute: "dp_1".to_owned(),
                amount: usd(100_00),
                reason: "fraudulent".to_owned(),
                status: DisputeStatus::Lost,
                withdrawn_fee_minor: Some(15_00),
                reinstated: false,
            }),
        )
    };
    let turns = [
        DisputeTurn::Opened { inquiry: false },
        DisputeTurn::FundsWithdrawn { fee_minor: 15_00 },
        DisputeTurn::Closed { won: false },
    ];
    let by_webhooks = |known: &[DisputeTurn]| {
        let paid = state(standing(Status::Succeeded));
        known.iter().fold(paid, |payment, turn| {
            let events = payment.decide(dispute(*turn)).unwrap();
            after(payment, events)
        })
    };
    let told = by_webhooks(&turns);
    for missed in 0_usize..8 {
        let of = |wanted: bool| {
            let chosen = (0..3).filter(move |it| (missed >> it & 1 == 0) == wanted);
            chosen.map(|it| turns[it]).collect::<Vec<_>>()
        };
        let before = by_webhooks(&of(true));
        let events = before.decide(lost()).unwrap();
        assert_eq!(events.len(), of(false).len(), "{missed:b}: {events:?}");
        let read = after(before, events);
        assert_eq!(
            read.facts().unwrap().disputes,
            told.facts().unwrap().disputes
        );
        assert_eq!(read.decide(lost()), Ok(vec![]));
        for turn in turns {
            assert_eq!(read.decide(dispute(turn)), Ok(vec![]));
        }
    }
}

#[test]
fn an_inquiry_that_is_read_moves_nothing_and_an_open_one_does_not_end() {
    let read = |status| {
        let seen = DisputeState {
            dispute: "dp_1".to_owned(),
            amount: usd(100_00),
            reason: "general".to_owned(),
            status,
            withdrawn_fee_minor: None,
            reinstated: false,
        };
        let events = state(standing(Status::Succeeded)).decide(observe(
            None,
            true,
            Said::DisputeState(seen),
        ));
        let inquiry =
            |it: &PaymentEvent| matches!(it, PaymentEvent::DisputeOpened { inquiry: true, .. });
        let events = events.unwrap();
        (inquiry(&events[0]), events.len())
    };
    assert_eq!(read(DisputeStatus::WarningNeedsResponse), (true, 1));
    assert_eq!(read(DisputeStatus::WarningClosed), (true, 2));
    assert_eq!(read(DisputeStatus::UnderReview), (false, 1));
}
