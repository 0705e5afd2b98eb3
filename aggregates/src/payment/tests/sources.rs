//! A payment as an order's payment source: given to an order, described, thrown away.

use super::*;
use crate::ids::OrderId;
use crate::payment::{Description, PaymentError};
use crate::testing::given;
use uuid::Uuid;

fn another_order() -> OrderId {
    OrderId::from_uuid(Uuid::from_u128(77))
}

fn described(reference: &str) -> Box<Description> {
    Box::new(Description {
        reference: Some(reference.to_owned()),
        ..Description::default()
    })
}

/// Stands at `status`, and was begun for no order.
fn without_order(status: Status) -> Vec<PaymentEvent> {
    let mut events = standing(status);
    if let Some(PaymentEvent::CreateRequested(request)) = events.first_mut() {
        request.order = None;
    }
    events
}

/// Planted bug: taking any order for the one it has.
#[test]
fn it_is_given_to_one_order_once_and_to_no_other() {
    let assigned = PaymentEvent::OrderAssigned { order: order_id() };
    let assign = |order| PaymentCommand::AssignOrder { order };
    for status in [Status::RequiresPaymentMethod, Status::Succeeded] {
        let state = given::<Payment>(without_order(status))
            .when(assign(order_id()))
            .then([assigned.clone()]);
        assert_eq!(state.facts().unwrap().order, Some(order_id()));
        given::<Payment>(standing(status))
            .when(assign(order_id()))
            .then([]);
        given::<Payment>(standing(status))
            .when(assign(another_order()))
            .then_err(PaymentError::UnexpectedState {
                action: "assign another order to",
                status,
            });
    }
    given::<Payment>(without_order(Status::Canceled))
        .when(assign(order_id()))
        .then_err(PaymentError::UnexpectedState {
            action: "assign an order to",
            status: Status::Canceled,
        });
    given::<Payment>(without_order(Status::Creating))
        .when(assign(order_id()))
        .then_err(PaymentError::InProgress);
}

#[test]
fn it_is_described_in_every_state_and_the_same_words_twice_are_said_once() {
    for status in [
        Status::Creating,
        Status::Processing,
        Status::Succeeded,
        Status::Canceled,
    ] {
        let state = given::<Payment>(standing(status))
            .when(PaymentCommand::Describe(described("A-1")))
            .then([PaymentEvent::Described(described("A-1"))]);
        let mut events = standing(status);
        events.push(PaymentEvent::Described(described("A-1")));
        assert_eq!(state, after(Payment::default(), events.clone()));
        given::<Payment>(events)
            .when(PaymentCommand::Describe(described("A-1")))
            .then([]);
    }
}

/// Planted bug: throwing away what can still take money.
#[test]
fn only_what_ended_without_money_is_thrown_away_and_once() {
    for status in [Status::Refused, Status::Canceled] {
        let mut events = standing(status);
        given::<Payment>(events.clone())
            .when(PaymentCommand::Discard)
            .then([PaymentEvent::Discarded]);
        events.push(PaymentEvent::Discarded);
        given::<Payment>(events)
            .when(PaymentCommand::Discard)
            .then([]);
    }
    for status in [
        Status::RequiresPaymentMethod,
        Status::Processing,
        Status::RequiresCapture,
        Status::Succeeded,
    ] {
        given::<Payment>(standing(status))
            .when(PaymentCommand::Discard)
            .then_err(PaymentError::UnexpectedState {
                action: "discard",
                status,
            });
    }
    given::<Payment>(standing(Status::Creating))
        .when(PaymentCommand::Discard)
        .then_err(PaymentError::InProgress);
}
