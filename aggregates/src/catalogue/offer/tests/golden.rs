//! One file for every event as it is written, for ever; and the framework's own way through `handle`.

use super::*;
use crate::testing::check_golden;
use cqrs_es::DomainEvent;
use cqrs_es::test::TestFramework;
use strum::IntoEnumIterator;

/// Each event with everything in it that it can hold.
pub(super) fn sample(kind: OfferEventKind) -> OfferEvent {
    use OfferEventKind as K;
    match kind {
        K::OfferPublished => published(),
        K::OfferRepriced => repriced(vec![new_price("home", "core", gbp(85_00))]),
        K::SelectionChanged => OfferEvent::SelectionChanged {
            selection: vec![choice("car", "glass")],
        },
        K::OfferWithdrawn => withdrawn(),
    }
}

/// Red when a field is renamed, a variant is added without its file, or a default changes what is written.
#[test]
fn every_event_is_written_as_its_golden_file_says_and_read_back() {
    for kind in OfferEventKind::iter() {
        let event = sample(kind);
        let name: &'static str = kind.into();
        assert_eq!(
            (event.event_type(), event.event_version()),
            (name.to_owned(), "1.0".to_owned())
        );
        check_golden("offer", name, &event);
    }
}

/// Red when the state of an offer is not told by its JSON, which snapshots are made of.
#[test]
fn the_state_survives_being_written_and_read() {
    let mut offer = Offer::default();
    for kind in OfferEventKind::iter() {
        offer.apply(&sample(kind));
        let text = serde_json::to_string(&offer).unwrap();
        assert_eq!(serde_json::from_str::<Offer>(&text).unwrap(), offer);
    }
}

#[test]
fn the_framework_hands_commands_on_to_the_rules() {
    TestFramework::<Offer>::with(())
        .given(vec![published()])
        .when(withdraw())
        .then_expect_events(vec![withdrawn()]);
    TestFramework::<Offer>::with(())
        .given_no_previous_events()
        .when(withdraw())
        .then_expect_error(OfferError::NoSuchOffer);
}
