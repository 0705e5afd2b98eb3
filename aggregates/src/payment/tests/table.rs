//! The wire's table of transitions, every cell; and one step at a time.

use super::*;
use crate::payment::PaymentError;
use crate::payment::event::{CancellationReason, Changes};
use strum::IntoEnumIterator;

/// `ok`: the intention is recorded. `no`: unexpected state. `needs`: a payment method. `wait`: another step is under way.
const TABLE: &str = "
state                   | metadata | description | parameters | method | amount | confirm | capture | cancel
creating                | wait     | wait        | wait       | wait   | wait   | wait    | wait    | wait
refused                 | no       | no          | no         | no     | no     | no      | no      | no
requires_payment_method | ok       | ok          | ok         | ok     | ok     | needs   | no      | ok
requires_confirmation   | ok       | ok          | ok         | ok     | ok     | ok      | no      | ok
requires_action         | ok       | ok          | ok         | ok     | ok     | ok      | no      | ok
processing              | ok       | no          | no         | no     | no     | no      | no      | no
requires_capture        | ok       | ok          | ok         | ok     | no     | no      | ok      | ok
succeeded               | ok       | ok          | no         | no     | no     | no      | no      | no
canceled                | no       | no          | no         | no     | no     | no      | no      | no
";

fn update(changes: Changes) -> PaymentCommand {
    PaymentCommand::Update {
        intention: intention(STEP),
        changes: Box::new(changes),
        enforce_minimum: true,
    }
}

fn command(column: &str) -> PaymentCommand {
    let intention = intention(STEP);
    match column {
        "metadata" => update(Changes {
            metadata: [("key1".to_owned(), "value1".to_owned())].into(),
            attributes: [("quantity".to_owned(), "3".to_owned())].into(),
            ..Changes::default()
        }),
        "description" => update(Changes {
            description: Some("new".to_owned()),
            ..Changes::default()
        }),
        "parameters" => update(Changes {
            parameters: parameters(),
            ..Changes::default()
        }),
        "method" => update(Changes {
            payment_method: method(),
            ..Changes::default()
        }),
        "amount" => update(Changes {
            amount: Some(usd(90_00)),
            ..Changes::default()
        }),
        "confirm" => PaymentCommand::Confirm {
            intention,
            payment_method: None,
            terms: ConfirmTerms::default(),
        },
        "capture" => PaymentCommand::Capture {
            intention,
            amount: None,
            parameters: Parameters::default(),
        },
        "cancel" => PaymentCommand::Cancel {
            intention,
            reason: Some(CancellationReason::Duplicate),
            parameters: Parameters::default(),
        },
        other => panic!("no column {other}"),
    }
}

fn cell(state: &Payment, column: &str) -> &'static str {
    match state.decide(command(column)) {
        Ok(events) if events.len() == 1 => "ok",
        Err(PaymentError::UnexpectedState { .. }) => "no",
        Err(PaymentError::NeedsPaymentMethod) => "needs",
        Err(PaymentError::InProgress) => "wait",
        other => panic!("{column}: {other:?}"),
    }
}

fn rows() -> Vec<Vec<&'static str>> {
    TABLE
        .trim()
        .lines()
        .map(|line| line.split('|').map(str::trim).collect())
        .collect()
}

#[test]
fn every_step_is_possible_in_exactly_the_states_of_the_table() {
    let rows = rows();
    let (head, rows) = rows.split_first().unwrap();
    assert_eq!(rows.len(), Status::iter().count(), "a state has no row");
    for row in rows {
        let status: Status = row[0].parse().unwrap();
        let state = state(standing(status));
        assert_eq!(state.facts().unwrap().status, status);
        for (column, expected) in head.iter().zip(row).skip(1) {
            assert_eq!(cell(&state, column), *expected, "{column} while {status}");
        }
    }
}

#[test]
fn an_impossible_step_names_itself_and_the_state() {
    let error = state(standing(Status::Succeeded))
        .decide(command("cancel"))
        .unwrap_err();
    assert_eq!(
        error,
        PaymentError::UnexpectedState {
            action: "cancel",
            status: Status::Succeeded
        }
    );
    assert_eq!(error.code(), "unexpected_state");
    assert_eq!(
        error.to_string(),
        "you cannot cancel this payment because it has a status of succeeded"
    );
}

/// Red when a second step is decided while the first one's outcome is unknown: two captures would both reach Stripe.
#[test]
fn while_a_step_waits_for_its_answer_every_other_step_waits_too() {
    let update = PaymentEvent::UpdateRequested {
        intention: intention(STEP),
        changes: Box::new(Changes {
            description: Some("new".to_owned()),
            ..Changes::default()
        }),
    };
    let pending = [
        (Status::RequiresPaymentMethod, update.clone()),
        (Status::Succeeded, update),
        (Status::RequiresConfirmation, confirm_requested()),
        (Status::RequiresCapture, capture_requested(usd(100_00))),
        (Status::RequiresAction, cancel_requested()),
    ];
    for (status, requested) in pending {
        let state = state(waiting(status, requested));
        for column in &rows()[0][1..] {
            assert_eq!(
                cell(&state, column),
                "wait",
                "{column} while {status} waits"
            );
        }
    }
}

#[test]
fn a_confirm_or_capture_without_outcome_reads_as_processing() {
    let public = |events| state(events).facts().unwrap().public_status();
    assert_eq!(
        public(waiting(Status::RequiresConfirmation, confirm_requested())),
        Status::Processing
    );
    assert_eq!(
        public(waiting(Status::RequiresCapture, capture_requested(usd(1)))),
        Status::Processing
    );
    assert_eq!(
        public(waiting(Status::RequiresCapture, cancel_requested())),
        Status::RequiresCapture
    );
    assert_eq!(public(standing(Status::Creating)), Status::Creating);
    for status in Status::iter() {
        assert_eq!(public(standing(status)), status);
    }
}
