//! What holds whatever is asked of an offer, in any order.

use super::golden::sample;
use super::*;
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};
use strum::IntoEnumIterator;

/// Every product with its price, as `group/code`.
const ALL: [(&str, &str, i64); 4] = [
    ("home", "core", 80_00),
    ("home", "ad", 3_51),
    ("car", "glass", 12_00),
    ("car", "ad", 9_99),
];

fn product_of_it() -> impl Strategy<Value = (&'static str, &'static str)> {
    select(ALL.to_vec()).prop_map(|(group, code, _)| (group, code))
}

fn command() -> impl Strategy<Value = OfferCommand> {
    let price = (product_of_it(), 0..100_00_i64)
        .prop_map(|((group, code), minor)| new_price(group, code, gbp(minor)));
    prop_oneof![
        1 => Just(publish(offer())),
        6 => prop::collection::vec(price, 0..4).prop_map(reprice),
        2 => prop::collection::vec(product_of_it(), 0..4).prop_map(|it| {
            let mut groups = std::collections::BTreeMap::<String, Vec<String>>::new();
            for (group, code) in it {
                groups.entry(group.to_owned()).or_default().push(code.to_owned());
            }
            OfferCommand::Select { wanted: Wanted::Grouped(groups) }
        }),
        1 => Just(withdraw()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Red when a product that is named twice counts twice, or the order of the names reaches the price.
    #[test]
    fn repetition_and_order_are_of_no_meaning(
        chosen in subsequence(ALL.to_vec(), 1..=4).prop_shuffle(),
        again in prop::collection::vec(any::<Index>(), 0..6),
    ) {
        let sum: i64 = chosen.iter().map(|it| it.2).sum();
        let mut named = chosen.clone();
        named.extend(again.iter().map(|it| chosen[it.index(chosen.len())]));
        let mut groups = std::collections::BTreeMap::<String, Vec<String>>::new();
        for (group, code, _) in named {
            groups.entry(group.to_owned()).or_default().push(code.to_owned());
        }
        let wanted = Wanted::Grouped(groups);
        prop_assert_eq!(cost(&standing(), Some(&wanted)), Ok(sum));
    }

    /// Every command may be repeated at once, prices are never forgotten, and a selection costs what its products cost.
    ///
    /// Red when a price is set without the one before being kept, or when a selection is priced as it was published.
    #[test]
    fn prices_add_up_and_are_never_forgotten(commands in prop::collection::vec(command(), 1..40)) {
        let mut offer = standing();
        let mut changes = 0;
        for command in commands {
            let Ok(events) = offer.decide(command.clone()) else { continue };
            for event in &events {
                if let OfferEvent::OfferRepriced { prices } = event {
                    changes += prices.len();
                }
                offer.apply(event);
            }
            if let Ok(again) = offer.decide(command) {
                prop_assert_eq!(again, vec![]);
            }
            let facts = offer.facts().unwrap();
            let earlier: usize = facts.groups.iter().flat_map(|it| &it.items).map(|it| it.earlier.len()).sum();
            prop_assert_eq!(earlier, changes);
            let selected: i64 = facts
                .selection
                .iter()
                .map(|it| facts.item(&it.group, &it.code).unwrap().price.minor())
                .sum();
            match cost(&offer, None) {
                Ok(total) => prop_assert_eq!(total, selected),
                Err(OfferError::NothingSelected) => prop_assert!(facts.selection.is_empty()),
                Err(error) => prop_assert_eq!(error, OfferError::OfferIsWithdrawn),
            }
        }
    }

    /// Any events in any order are taken without a panic.
    #[test]
    fn facts_never_fail(kinds in prop::collection::vec(any::<Index>(), 0..20)) {
        let all: Vec<OfferEventKind> = OfferEventKind::iter().collect();
        let mut offer = Offer::default();
        let mut was_published = false;
        for kind in kinds {
            let event = sample(all[kind.index(all.len())]);
            was_published |= matches!(event, OfferEvent::OfferPublished(_));
            offer.apply(&event);
            prop_assert_eq!(offer.facts().is_some(), was_published);
        }
    }
}
