//! What no rule of ours looks at goes to Stripe as it came, and is forgotten once Stripe has answered.

use super::*;
use crate::payment::event::Changes;
use crate::payment::state::{RefundStatus, Step};
use crate::payment::{ParametersError, PaymentError};
use crate::testing::given;

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[test]
fn parameters_are_taken_up_to_their_limits_and_refused_beyond_them() {
    let many = |count| (0..count).map(|it| pair(&format!("p[{it}]"), ""));
    let (name, value) = ("ñ".repeat(200), "ñ".repeat(5000));
    assert_eq!(Parameters::parse(many(60)).unwrap().iter().count(), 60);
    assert_eq!(
        Parameters::parse(many(61)),
        Err(ParametersError::TooManyPairs { count: 61 })
    );
    assert!(Parameters::parse([pair(&name, &value)]).is_ok());
    let named = |name: &str, value: &str| Parameters::parse([pair(name, value)]).unwrap_err();
    assert_eq!(named("", "1"), ParametersError::EmptyName);
    assert_eq!(named(&(name + "n"), "1"), ParametersError::NameTooLong);
    let name = "p".to_owned();
    assert_eq!(
        named("p", &(value + "n")),
        ParametersError::ValueTooLong { name }
    );
}

/// Red when `update` compares what it knows of and takes the rest for nothing.
#[test]
fn an_update_of_parameters_alone_is_a_change() {
    let changes = Box::new(Changes {
        parameters: parameters(),
        ..Changes::default()
    });
    let intention = intention(STEP);
    let state = given::<Payment>(standing(Status::RequiresPaymentMethod))
        .when(PaymentCommand::Update {
            intention,
            changes: changes.clone(),
            enforce_minimum: true,
        })
        .then([PaymentEvent::UpdateRequested {
            intention,
            changes: changes.clone(),
        }]);
    let pending = &state.facts().unwrap().pending;
    assert_eq!(pending.as_ref().unwrap().step, Step::Update(changes));
}

/// Red when a step drops them on their way into the intention: Stripe would never hear of them.
#[test]
fn a_capture_and_a_refund_wait_with_their_parameters() {
    let state = given::<Payment>(standing(Status::RequiresCapture))
        .when(PaymentCommand::Capture {
            intention: intention(STEP),
            amount: None,
            parameters: parameters(),
        })
        .then([PaymentEvent::CaptureRequested {
            intention: intention(STEP),
            amount: usd(100_00),
            parameters: parameters(),
        }]);
    let pending = &state.facts().unwrap().pending;
    assert_eq!(
        pending.as_ref().unwrap().step,
        Step::Capture {
            amount: usd(100_00),
            parameters: parameters(),
        }
    );

    let requested = given::<Payment>(standing(Status::Succeeded))
        .when(PaymentCommand::Refund {
            refund: intention(STEP),
            amount: None,
            reason: None,
            metadata: Metadata::default(),
            parameters: parameters(),
        })
        .then_one(|it| matches!(it, PaymentEvent::RefundRequested { .. }));
    let refund = |it: &Payment| it.facts().unwrap().refunds[0].clone();
    assert_eq!(refund(&requested).parameters, parameters());
    let answered = after(
        requested,
        [PaymentEvent::RefundRefused {
            refund: intention(STEP),
            refusal: refusal(),
        }],
    );
    assert_eq!(refund(&answered).status, RefundStatus::Refused);
    assert!(refund(&answered).parameters.is_empty());
}

/// Red when any parameter counts as a change: who only wants to see more of a finished payment would be refused.
#[test]
fn a_wish_for_how_the_answer_is_shown_changes_nothing() {
    let expand = Parameters::parse([pair("expand[0]", "latest_charge")]).unwrap();
    let changes = |parameters: Parameters| {
        Box::new(Changes {
            metadata: std::iter::once(pair("a", "1")).collect(),
            parameters,
            ..Changes::default()
        })
    };
    let update = |changes| PaymentCommand::Update {
        intention: intention(STEP),
        changes,
        enforce_minimum: true,
    };
    given::<Payment>(standing(Status::Succeeded))
        .when(update(changes(expand.clone())))
        .then([PaymentEvent::UpdateRequested {
            intention: intention(STEP),
            changes: changes(expand),
        }]);
    given::<Payment>(standing(Status::Succeeded))
        .when(update(changes(parameters())))
        .then_err(PaymentError::UnexpectedState {
            action: "update",
            status: Status::Succeeded,
        });
}
