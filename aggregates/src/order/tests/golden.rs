//! One file for every event as it is written, for ever; and the framework's own way through `handle`.

use super::*;
use crate::order::OrderEventKind;
use crate::testing::check_golden;
use cqrs_es::DomainEvent;
use cqrs_es::test::TestFramework;
use strum::IntoEnumIterator;

/// Each event with everything in it that it can hold.
pub(super) fn sample(kind: OrderEventKind) -> OrderEvent {
    use OrderEventKind as K;
    let with_tax = Price {
        tax: usd(12_00),
        ..price(usd(56_00), 2)
    };
    match kind {
        K::OrderPlaced => OrderEvent::OrderPlaced(Box::new(Placed {
            price: with_tax,
            personal: Some(sealed("bm9uY2U=")),
            ..placed()
        })),
        K::OrderRepriced => OrderEvent::OrderRepriced { price: with_tax },
        K::PaymentAttached => attached(first(), usd(112_00)),
        K::PaymentRetargeted => OrderEvent::PaymentRetargeted {
            payment: first(),
            amount: usd(120_00),
        },
        K::PaymentReleased => released(first()),
        K::CheckoutRequested => checkout_requested(first()),
        K::CheckoutRefused => checkout_refused(first()),
        K::CheckoutOpened => opened(first()),
        K::CheckoutInvalidated => OrderEvent::CheckoutInvalidated {
            checkout: first(),
            session: "cs_1".to_owned(),
            because: "a new checkout was opened".to_owned(),
        },
        K::OrderPaid => paid(first()),
        K::OrderMispaid => mispaid(usd(112_00), usd(120_00), Mispayment::StalePrice),
        K::OrderCancelled => cancelled(),
        K::PersonalDataErased => OrderEvent::PersonalDataErased {
            subject: SUBJECT.to_owned(),
        },
    }
}

/// Red when a field is renamed, a variant is added without its file, or a default changes what is written.
#[test]
fn every_event_is_written_as_its_golden_file_says_and_read_back() {
    for kind in OrderEventKind::iter() {
        let event = sample(kind);
        let name: &'static str = kind.into();
        assert_eq!(OrderEventKind::from(&event), kind);
        assert_eq!(
            (event.event_type(), event.event_version()),
            (name.to_owned(), "1.0".to_owned())
        );
        check_golden("order", name, &event);
    }
}

/// Red when the state of an order is not told by its JSON, which snapshots are made of (map keys are ids).
#[test]
fn the_state_survives_being_written_and_read() {
    let mut order = Order::default();
    for kind in OrderEventKind::iter() {
        order.apply(&sample(kind));
        let text = serde_json::to_string(&order).unwrap();
        assert_eq!(
            serde_json::from_str::<Order>(&text).unwrap(),
            order,
            "after {kind:?}"
        );
    }
}

#[test]
fn the_framework_hands_commands_on_to_the_rules() {
    TestFramework::<Order>::with(())
        .given(vec![placed_event()])
        .when(request(first()))
        .then_expect_events(vec![attached(first(), usd(112_00))]);
    TestFramework::<Order>::with(())
        .given_no_previous_events()
        .when(request(first()))
        .then_expect_error(OrderError::NoSuchOrder);
}
