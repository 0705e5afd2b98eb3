//! One file for every event as it is written, for ever; and the framework's own way through `handle`.

use super::*;
use crate::ids::RefundId;
use crate::parking::ByHand;
use crate::payment::Description;
use crate::payment::event::{Adopted, CancellationReason, Changes, PaymentEventKind, RefundReason};
use crate::sealed::Sealed;
use crate::testing::{check_golden, check_golden_version};
use cqrs_es::DomainEvent;
use cqrs_es::test::TestFramework;
use strum::IntoEnumIterator;

fn text(it: &str) -> String {
    it.to_owned()
}

fn sealed() -> Sealed {
    Sealed {
        subject: format!("order/{}", order_id()),
        nonce: text("bm9uY2U="),
        ciphertext: text("Y2lwaGVydGV4dA=="),
    }
}

fn changes() -> Box<Changes> {
    Box::new(Changes {
        amount: Some(usd(120_00)),
        payment_method: method(),
        customer: Some(text("cus_1")),
        description: Some(text("new")),
        metadata: [(text("order_id"), text("9"))].into(),
        clear_metadata: true,
        attributes: [(text("quantity"), text("3"))].into(),
        personal: Some(sealed()),
        parameters: Parameters::default(),
    })
}

fn description() -> Description {
    let object = |value: serde_json::Value| value.as_object().unwrap().clone();
    Description {
        reference: Some(text("ANY-EXTERNAL-REFERENCE")),
        reference_origin: Some(text("ANY-EXTERNAL-REFERENCE-ORIGIN")),
        options: object(serde_json::json!({"customer": "cus_xxx", "payment_method": "pm_xxx"})),
        return_url: Some(text("https://yourdomain.com/thankyou")),
        metadata: object(serde_json::json!({"foo": "bar", "deep": {"er": [1, null]}})),
    }
}

/// Each event with everything in it that it can hold.
pub(super) fn sample(kind: PaymentEventKind) -> PaymentEvent {
    step_sample(kind)
        .or_else(|| outcome_sample(kind))
        .unwrap_or_else(|| money_back_sample(kind))
}

fn step_sample(kind: PaymentEventKind) -> Option<PaymentEvent> {
    use PaymentEventKind as K;
    let (intention, refusal) = (intention(STEP), refusal());
    let terms = ConfirmTerms {
        return_url: Some(text("https://your.website")),
        off_session: true,
        parameters: Parameters::default(),
    };
    Some(match kind {
        K::CreateRequested => PaymentEvent::CreateRequested(Box::new(CreateRequested {
            payment_method: method(),
            customer: Some(text("cus_1")),
            metadata: Metadata::parse([(text("key1"), text("value1"))]).unwrap(),
            personal: Some(sealed()),
            then_confirm: Some(terms),
            ..request()
        })),
        K::Created => made(OpenStatus::RequiresConfirmation, Some(METHOD)),
        K::CreateRefused => PaymentEvent::CreateRefused { intention, refusal },
        K::Adopted => PaymentEvent::Adopted(Box::new(Adopted {
            merchant: merchant(),
            order: Some(order_id()),
            intent: text(INTENT),
            amount: usd(100_00),
            capture_method: CaptureMethod::Manual,
            status: OpenStatus::RequiresConfirmation,
            payment_method: method(),
            customer: Some(text("cus_1")),
            description: Some(text("made elsewhere")),
            metadata: Metadata::parse([(text("key1"), text("value1"))]).unwrap(),
            created: 1_743_415_050,
            livemode: false,
            checkout_session: Some(text("cs_1")),
            reason: text("webhook"),
        })),
        K::UpdateRequested => PaymentEvent::UpdateRequested {
            intention,
            changes: changes(),
        },
        K::Updated => PaymentEvent::Updated {
            intention,
            changes: changes(),
            status: Some(OpenStatus::RequiresConfirmation),
            payment_method: method(),
        },
        K::UpdateRefused => PaymentEvent::UpdateRefused { intention, refusal },
        K::ConfirmRequested => PaymentEvent::ConfirmRequested {
            intention,
            payment_method: method(),
            terms,
        },
        K::ConfirmRefused => PaymentEvent::ConfirmRefused { intention, refusal },
        K::CaptureRequested => capture_requested(usd(40_00)),
        K::CaptureRefused => PaymentEvent::CaptureRefused { intention, refusal },
        K::CancelRequested => PaymentEvent::CancelRequested {
            intention,
            reason: Some(CancellationReason::RequestedByCustomer),
            parameters: Parameters::default(),
        },
        K::CancelRefused => PaymentEvent::CancelRefused { intention, refusal },
        _ => return None,
    })
}

fn outcome_sample(kind: PaymentEventKind) -> Option<PaymentEvent> {
    use PaymentEventKind as K;
    let (intention, payment_method) = (Some(intention(STEP)), method());
    let (amount, charge) = (usd(100_00), Some(text("ch_1")));
    Some(match kind {
        K::RequiresAction => PaymentEvent::RequiresAction {
            intention,
            payment_method,
        },
        K::Processing => PaymentEvent::Processing {
            intention,
            payment_method,
        },
        K::Authorized => PaymentEvent::Authorized {
            intention,
            amount,
            charge,
            payment_method,
        },
        K::Captured => PaymentEvent::Captured {
            intention,
            amount,
            charge,
            payment_method,
        },
        K::Succeeded => PaymentEvent::Succeeded { intention },
        K::Declined => PaymentEvent::Declined {
            intention,
            decline: decline("ch_1"),
        },
        K::Reopened => PaymentEvent::Reopened {
            status: OpenStatus::RequiresPaymentMethod,
            payment_method,
        },
        K::Cancelled => cancelled(intention),
        K::Applied => PaymentEvent::Applied {
            order: order_id(),
            amount,
        },
        K::OrderAssigned => PaymentEvent::OrderAssigned { order: order_id() },
        K::Described => PaymentEvent::Described(Box::new(description())),
        K::Discarded => PaymentEvent::Discarded,
        K::ObservationRefused => PaymentEvent::ObservationRefused {
            said: text("said"),
            because: text("because"),
        },
        K::PersonalDataErased => PaymentEvent::PersonalDataErased {
            subject: sealed().subject,
        },
        _ => return None,
    })
}

fn money_back_sample(kind: PaymentEventKind) -> PaymentEvent {
    use PaymentEventKind as K;
    let (refund, stripe_refund, dispute): (RefundId, _, _) =
        (intention(STEP), text("re_1"), text("dp_1"));
    let amount = usd(60_00);
    match kind {
        K::RefundRequested => PaymentEvent::RefundRequested {
            refund,
            amount,
            reason: Some(RefundReason::RequestedByCustomer),
            metadata: Metadata::parse([(text("key1"), text("value1"))]).unwrap(),
            parameters: Parameters::default(),
        },
        K::RefundPending => PaymentEvent::RefundPending {
            refund,
            amount,
            stripe_refund,
            created: None,
        },
        K::Refunded => PaymentEvent::Refunded {
            refund,
            amount,
            stripe_refund,
            created: None,
            observed: true,
        },
        K::RefundRefused => PaymentEvent::RefundRefused {
            refund,
            refusal: refusal(),
        },
        K::RefundFailed => {
            let reason = Some(text("expired_or_canceled_card"));
            PaymentEvent::RefundFailed {
                refund,
                amount,
                stripe_refund,
                created: None,
                reason,
                had_succeeded: true,
            }
        }
        K::RefundCancelled => PaymentEvent::RefundCancelled {
            refund,
            amount,
            stripe_refund,
            created: None,
        },
        K::DisputeOpened => PaymentEvent::DisputeOpened {
            dispute,
            amount,
            reason: text("fraudulent"),
            inquiry: false,
        },
        K::DisputeFundsWithdrawn => PaymentEvent::DisputeFundsWithdrawn {
            dispute,
            amount,
            fee_minor: 15_00,
        },
        K::DisputeFundsReinstated => PaymentEvent::DisputeFundsReinstated { dispute, amount },
        K::DisputeClosed => PaymentEvent::DisputeClosed {
            dispute,
            amount,
            won: false,
        },
        K::IntentionParked => PaymentEvent::IntentionParked {
            intention: refund,
            what: text("refund"),
            reason: text("time_out: time-out"),
        },
        K::SettlementProposed => PaymentEvent::SettlementProposed {
            intention: refund,
            outcome: ByHand::Happened {
                stripe_id: stripe_refund,
            },
            by: text("anna"),
            because: text("seen in Stripe's dashboard"),
        },
        K::SettledByHand => PaymentEvent::SettledByHand {
            intention: refund,
            outcome: ByHand::DidNotHappen,
            proposed_by: text("anna"),
            approved_by: text("ben"),
            because: text("Stripe's support says so"),
        },
        other => panic!("{other:?} has no sample"),
    }
}

/// The same with what version 1.1 added, where it can hold it.
fn with_news(mut event: PaymentEvent) -> PaymentEvent {
    use PaymentEvent as E;
    match &mut event {
        E::CreateRequested(request) => {
            request.parameters = parameters();
            let terms = request.then_confirm.as_mut();
            terms.unwrap().parameters = parameters();
        }
        E::UpdateRequested { changes, .. } | E::Updated { changes, .. } => {
            changes.parameters = parameters();
        }
        E::ConfirmRequested { terms, .. } => terms.parameters = parameters(),
        E::CaptureRequested { parameters: it, .. }
        | E::CancelRequested { parameters: it, .. }
        | E::RefundRequested { parameters: it, .. } => {
            *it = parameters();
        }
        E::RefundPending { created, .. }
        | E::Refunded { created, .. }
        | E::RefundFailed { created, .. }
        | E::RefundCancelled { created, .. } => *created = Some(1_743_415_150),
        _ => {}
    }
    event
}

/// Red when a field is renamed, a variant is added without its file, or a default changes what is written.
#[test]
fn every_event_is_written_as_its_golden_file_says_and_read_back() {
    for kind in PaymentEventKind::iter() {
        let event = sample(kind);
        let name: &'static str = kind.into();
        assert_eq!(PaymentEventKind::from(&event), kind);
        assert_eq!(event.event_type(), name);
        check_golden("payment", name, &event);
        let newer = with_news(event.clone());
        let version = if newer == event { "1.0" } else { "1.1" };
        assert_eq!(event.event_version(), version, "{name}");
        if newer != event {
            check_golden_version("payment", name, version, &newer);
        }
    }
}

/// Red when the state of a payment is not told by its JSON, which snapshots are made of.
#[test]
fn the_state_survives_being_written_and_read() {
    let mut payment = Payment::default();
    for kind in PaymentEventKind::iter() {
        payment.apply(&sample(kind));
        let text = serde_json::to_string(&payment).unwrap();
        assert_eq!(
            serde_json::from_str::<Payment>(&text).unwrap(),
            payment,
            "after {kind:?}"
        );
    }
}

#[test]
fn the_framework_hands_commands_on_to_the_rules() {
    TestFramework::<Payment>::with(())
        .given(standing(Status::RequiresCapture))
        .when(PaymentCommand::Capture {
            intention: intention(STEP),
            amount: None,
            parameters: Parameters::default(),
        })
        .then_expect_events(vec![capture_requested(usd(100_00))]);
    TestFramework::<Payment>::with(())
        .given_no_previous_events()
        .when(PaymentCommand::Capture {
            intention: intention(STEP),
            amount: None,
            parameters: Parameters::default(),
        })
        .then_expect_error(crate::payment::PaymentError::NoSuchPayment);
}
