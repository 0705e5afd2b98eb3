//! A request is asked for once and ends once.

use super::*;
use crate::ids::{IntentionId, OrderId};
use crate::sealed::Sealed;
use crate::testing::{after, check_golden, given, merchant};
use cqrs_es::DomainEvent;
use cqrs_es::test::TestFramework;
use strum::IntoEnumIterator;
use uuid::Uuid;

fn intention() -> IntentionId {
    IntentionId::from_uuid(Uuid::from_u128(7))
}

fn sealed(nonce: &str) -> Sealed {
    Sealed {
        subject: format!("request/{}", intention()),
        nonce: nonce.to_owned(),
        ciphertext: "Y2lwaGVy".to_owned(),
    }
}

fn request() -> Box<ChangeRequested> {
    Box::new(ChangeRequested {
        intention: intention(),
        merchant: merchant(),
        method: Method::Post,
        path: "/customers".to_owned(),
        parameters: Some(sealed("bm9uY2U=")),
        order: None,
    })
}

fn requested() -> StripeRequestEvent {
    StripeRequestEvent::ChangeRequested(request())
}

fn made() -> StripeRequestEvent {
    StripeRequestEvent::ChangeMade {
        intention: intention(),
        object: Some("customer".to_owned()),
        id: Some("cus_1".to_owned()),
        answer: sealed("YW5zd2Vy"),
    }
}

fn parked() -> StripeRequestEvent {
    StripeRequestEvent::IntentionParked {
        intention: intention(),
        what: "post".to_owned(),
        reason: "time_out: time-out".to_owned(),
    }
}

fn happened() -> ByHand {
    ByHand::Happened {
        stripe_id: "cus_1".to_owned(),
    }
}

fn proposed(outcome: ByHand) -> StripeRequestEvent {
    StripeRequestEvent::SettlementProposed {
        intention: intention(),
        outcome,
        by: "anna".to_owned(),
        because: "seen in Stripe's dashboard".to_owned(),
    }
}

fn settled(outcome: ByHand) -> StripeRequestEvent {
    StripeRequestEvent::SettledByHand {
        intention: intention(),
        outcome,
        proposed_by: "anna".to_owned(),
        approved_by: "ben".to_owned(),
        because: "seen in Stripe's dashboard".to_owned(),
    }
}

fn approve(by: &str, id: Option<&str>) -> StripeRequestCommand {
    StripeRequestCommand::ApproveSettlement {
        by: by.to_owned(),
        object: id.map(|_| "customer".to_owned()),
        id: id.map(str::to_owned),
        answer: sealed("YW5zd2Vy"),
    }
}

fn refusal() -> Refusal {
    Refusal {
        status: 400,
        kind: "invalid_request_error".to_owned(),
        code: Some("parameter_unknown".to_owned()),
        message: "Received unknown parameter: colour".to_owned(),
        param: Some("colour".to_owned()),
    }
}

fn refused() -> StripeRequestEvent {
    StripeRequestEvent::ChangeRefused {
        intention: intention(),
        refusal: refusal(),
        answer: sealed("YW5zd2Vy"),
    }
}

fn done() -> StripeRequestCommand {
    StripeRequestCommand::Done {
        object: Some("customer".to_owned()),
        id: Some("cus_1".to_owned()),
        answer: sealed("YW5zd2Vy"),
    }
}

fn refuse() -> StripeRequestCommand {
    StripeRequestCommand::Refuse {
        refusal: refusal(),
        answer: sealed("YW5zd2Vy"),
    }
}

#[test]
fn a_change_is_intended_before_it_is_made() {
    given::<StripeRequest>([])
        .when(StripeRequestCommand::Ask(request()))
        .then([requested()]);
    given::<StripeRequest>([])
        .when(done())
        .then_err(StripeRequestError::NoSuchRequest);
}

#[test]
fn it_is_asked_for_once() {
    given::<StripeRequest>([requested()])
        .when(StripeRequestCommand::Ask(request()))
        .then_err(StripeRequestError::AlreadyAsked);
}

#[test]
fn it_ends_with_what_stripe_said() {
    given::<StripeRequest>([requested()])
        .when(done())
        .then([made()]);
    given::<StripeRequest>([requested()])
        .when(refuse())
        .then([refused()]);
}

/// Red when the status is not asked before an outcome is recorded: two drivers would end one request twice.
#[test]
fn it_ends_once() {
    for end in [made(), refused()] {
        for command in [done(), refuse()] {
            given::<StripeRequest>([requested(), end.clone()])
                .when(command)
                .then([]);
        }
    }
}

/// Red when a request that has ended, or is parked already, is parked.
#[test]
fn it_is_parked_once_and_only_while_it_is_open() {
    let park = || StripeRequestCommand::Park {
        reason: "time_out: time-out".to_owned(),
    };
    given::<StripeRequest>([requested()])
        .when(park())
        .then([parked()]);
    given::<StripeRequest>([requested(), parked()])
        .when(park())
        .then([]);
    given::<StripeRequest>([requested(), made()])
        .when(park())
        .then([]);
}

/// Red when the maker may be the checker, in whatever spelling.
#[test]
fn what_is_parked_is_settled_by_two_people() {
    let waiting = || [requested(), parked(), proposed(happened())];
    given::<StripeRequest>([requested(), parked()])
        .when(approve("ben", Some("cus_1")))
        .then_err(ParkingError::NothingProposed.into());
    given::<StripeRequest>(waiting())
        .when(approve(" Anna", Some("cus_1")))
        .then_err(
            ParkingError::SamePerson {
                by: " Anna".to_owned(),
            }
            .into(),
        );
    given::<StripeRequest>(waiting())
        .when(approve("ben", Some("cus_1")))
        .then([settled(happened()), made()]);
    let refused = StripeRequestEvent::ChangeRefused {
        intention: intention(),
        refusal: Refusal::settled_by_hand(),
        answer: sealed("YW5zd2Vy"),
    };
    given::<StripeRequest>([requested(), parked(), proposed(ByHand::DidNotHappen)])
        .when(approve("ben", None))
        .then([settled(ByHand::DidNotHappen), refused]);
    given::<StripeRequest>([requested(), parked(), proposed(happened()), made()])
        .when(approve("ben", Some("cus_1")))
        .then_err(ParkingError::NotParked.into());
}

/// Red when what Stripe shows is not compared with what was said.
#[test]
fn what_stripe_does_not_show_is_not_settled_as_having_happened() {
    given::<StripeRequest>([requested(), parked(), proposed(happened())])
        .when(approve("ben", Some("cus_2")))
        .then_err(
            ParkingError::NotBorneOut {
                because: "Stripe does not show that object".to_owned(),
            }
            .into(),
        );
}

/// Red when an answer of Stripe's leaves what it ends to people.
#[test]
fn stripe_may_still_tell_what_came_of_something_parked() {
    let state = after(StripeRequest::default(), [requested(), parked(), made()]);
    let facts = state.facts().unwrap();
    assert_eq!(facts.status, Status::Made);
    let parked = facts.parked.as_ref().unwrap();
    assert_eq!(parked.state, crate::parking::ParkedState::Answered);
}

#[test]
fn what_was_erased_is_gone_from_its_state() {
    let erased = StripeRequestEvent::PersonalDataErased {
        subject: format!("request/{}", intention()),
    };
    let state = after(StripeRequest::default(), [requested(), made(), erased]);
    let facts = state.facts().unwrap();
    assert_eq!((&facts.request.parameters, &facts.answer), (&None, &None));
    assert_eq!(
        (facts.status, facts.id.as_deref()),
        (Status::Made, Some("cus_1"))
    );
}

/// Red when a field is renamed, a variant is added without its file, or a default changes what is written.
#[test]
fn every_event_is_written_as_its_golden_file_says_and_read_back() {
    use StripeRequestEventKind as K;
    for kind in K::iter() {
        let event = match kind {
            K::ChangeRequested => requested(),
            K::ChangeMade => made(),
            K::ChangeRefused => refused(),
            K::IntentionParked => parked(),
            K::SettlementProposed => proposed(happened()),
            K::SettledByHand => settled(happened()),
            K::PersonalDataErased => StripeRequestEvent::PersonalDataErased {
                subject: "customer/cus_1".to_owned(),
            },
        };
        let name: &'static str = kind.into();
        assert_eq!(
            (event.event_type(), event.event_version()),
            (name.to_owned(), "1.0".to_owned())
        );
        check_golden("stripe_request", name, &event);
    }
}

#[test]
fn a_request_about_an_orders_checkout_names_the_order() {
    let order = OrderId::from_uuid(Uuid::from_u128(9));
    let event = StripeRequestEvent::ChangeRequested(Box::new(ChangeRequested {
        order: Some(order),
        ..*request()
    }));
    check_golden("stripe_request", "ChangeRequestedOfOrder", &event);
}

#[test]
fn the_framework_hands_commands_on_to_the_rules() {
    TestFramework::<StripeRequest>::with(())
        .given(vec![requested()])
        .when(done())
        .then_expect_events(vec![made()]);
}
