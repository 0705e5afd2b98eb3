//! What an offer costs, to whom it is sold, and until when.

mod golden;
mod properties;

use super::*;
use crate::money::{Currency, Money, MoneyError};
use crate::testing::{after, eur, given, merchant};
use chrono::{DateTime, TimeDelta, Utc};

fn gbp(minor: i64) -> Money {
    Money::new(minor, Currency::GBP)
}

fn midnight() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

fn product(code: &str, price: i64) -> Product {
    Product {
        code: code.to_owned(),
        name: format!("The {code}"),
        price: gbp(price),
    }
}

fn group(name: &str, products: Vec<Product>) -> Group {
    Group {
        name: name.to_owned(),
        products,
    }
}

fn choice(group: &str, code: &str) -> Choice {
    Choice {
        group: group.to_owned(),
        code: code.to_owned(),
    }
}

/// Two groups, both with an `ad`; of the first, `core` and `ad` are selected. It expires at midnight.
fn offer() -> Published {
    Published {
        merchant: merchant(),
        number: "10311080".to_owned(),
        currency: Currency::GBP,
        groups: vec![
            group("home", vec![product("core", 80_00), product("ad", 3_51)]),
            group("car", vec![product("glass", 12_00), product("ad", 9_99)]),
        ],
        selection: vec![choice("home", "core"), choice("home", "ad")],
        expires_at: Some(midnight()),
    }
}

fn published() -> OfferEvent {
    OfferEvent::OfferPublished(Box::new(offer()))
}

fn publish(it: Published) -> OfferCommand {
    OfferCommand::Publish(Box::new(it))
}

fn new_price(group: &str, code: &str, price: Money) -> NewPrice {
    NewPrice {
        group: group.to_owned(),
        code: code.to_owned(),
        price,
    }
}

fn reprice(prices: Vec<NewPrice>) -> OfferCommand {
    OfferCommand::Reprice { prices }
}

fn repriced(prices: Vec<NewPrice>) -> OfferEvent {
    OfferEvent::OfferRepriced { prices }
}

fn withdraw() -> OfferCommand {
    OfferCommand::Withdraw {
        reason: "no longer sold".to_owned(),
    }
}

fn withdrawn() -> OfferEvent {
    OfferEvent::OfferWithdrawn {
        reason: "no longer sold".to_owned(),
    }
}

fn codes(codes: &[&str]) -> Wanted {
    Wanted::Codes(codes.iter().map(|it| (*it).to_owned()).collect())
}

fn grouped(groups: &[(&str, &[&str])]) -> Wanted {
    let owned = |it: &&str| (*it).to_owned();
    let group =
        |(name, codes): &(&str, &[&str])| ((*name).to_owned(), codes.iter().map(owned).collect());
    Wanted::Grouped(groups.iter().map(group).collect())
}

fn unknown_in(group: &str, code: &str) -> OfferError {
    OfferError::UnknownCodeInGroup {
        group: group.to_owned(),
        code: code.to_owned(),
    }
}

/// A moment at which the offer still holds.
fn in_time() -> DateTime<Utc> {
    midnight() - TimeDelta::milliseconds(1)
}

fn standing() -> Offer {
    after(Offer::default(), [published()])
}

/// The minor units that the selection costs.
fn cost(offer: &Offer, wanted: Option<&Wanted>) -> Result<i64, OfferError> {
    offer
        .price(wanted, in_time())
        .map(|price| price.total.minor())
}

#[test]
fn an_offer_is_published_once_and_again_changes_nothing() {
    given::<Offer>([])
        .when(publish(offer()))
        .then([published()]);
    given::<Offer>([published()])
        .when(publish(offer()))
        .then_nothing();
    let other = Published {
        expires_at: None,
        ..offer()
    };
    given::<Offer>([published()])
        .when(publish(other))
        .then_err(OfferError::PublishedDifferently);
}

/// Red when what is published is compared with how the offer stands now: a restart would find its own offer another one.
#[test]
fn publishing_it_again_changes_nothing_whatever_became_of_it() {
    let dearer = repriced(vec![new_price("home", "core", gbp(90_00))]);
    given::<Offer>([published(), dearer, withdrawn()])
        .when(publish(offer()))
        .then_nothing();
}

#[test]
fn the_selection_is_kept_in_the_order_of_the_offer_and_without_repetition() {
    let shuffled = Published {
        selection: vec![
            choice("home", "ad"),
            choice("home", "core"),
            choice("home", "ad"),
        ],
        ..offer()
    };
    given::<Offer>([])
        .when(publish(shuffled))
        .then([published()]);
}

#[test]
fn an_offer_that_makes_no_sense_is_refused() {
    let of = |groups: Vec<Group>| Published {
        groups,
        selection: vec![],
        ..offer()
    };
    let repeated = |name: &str| OfferError::Repeated {
        name: name.to_owned(),
    };
    let dear = Money::new(Money::MAXIMUM_MINOR + 1, Currency::GBP);
    let too_dear = MoneyError::TooLarge {
        amount: dear,
        maximum: gbp(Money::MAXIMUM_MINOR),
    };
    let foreign = MoneyError::CurrencyMismatch {
        left: Currency::GBP,
        right: Currency::EUR,
    };
    let priced = |price: Money| Product {
        price,
        ..product("a", 1)
    };
    let long = "x".repeat(101);
    for (groups, error) in [
        (vec![], OfferError::NothingOffered),
        (vec![group("g", vec![])], OfferError::NothingOffered),
        (
            vec![group("", vec![product("a", 1)])],
            OfferError::UnusableName,
        ),
        (
            vec![group("g", vec![product(&long, 1)])],
            OfferError::UnusableName,
        ),
        (
            vec![group("g", vec![product("a", 1), product("a", 2)])],
            repeated("a"),
        ),
        (
            vec![
                group("g", vec![product("a", 1)]),
                group("g", vec![product("b", 1)]),
            ],
            repeated("g"),
        ),
        (
            vec![group("g", vec![priced(gbp(-1))])],
            OfferError::NegativePrice,
        ),
        (vec![group("g", vec![priced(dear)])], too_dear.into()),
        (vec![group("g", vec![priced(eur(1_00))])], foreign.into()),
    ] {
        given::<Offer>([]).when(publish(of(groups))).then_err(error);
    }
    let selecting = |it: Choice| Published {
        selection: vec![it],
        ..offer()
    };
    given::<Offer>([])
        .when(publish(selecting(choice("home", "glass"))))
        .then_err(unknown_in("home", "glass"));
    given::<Offer>([])
        .when(publish(selecting(choice("boat", "ad"))))
        .then_err(OfferError::UnknownGroup {
            group: "boat".to_owned(),
        });
}

#[test]
fn an_offer_that_was_never_published_can_do_nothing() {
    for command in [
        reprice(vec![]),
        withdraw(),
        OfferCommand::Select {
            wanted: codes(&["core"]),
        },
    ] {
        given::<Offer>([])
            .when(command)
            .then_err(OfferError::NoSuchOffer);
    }
    assert_eq!(cost(&Offer::default(), None), Err(OfferError::NoSuchOffer));
}

#[test]
fn a_product_takes_another_price_and_remembers_the_ones_before() {
    let one = |minor| vec![new_price("home", "core", gbp(minor))];
    let offer = given::<Offer>([published(), repriced(one(90_00))])
        .when(reprice(one(85_00)))
        .then([repriced(one(85_00))]);
    let item = offer.facts().unwrap().item("home", "core").unwrap();
    assert_eq!(item.price, gbp(85_00));
    assert_eq!(item.earlier, [gbp(80_00), gbp(90_00)]);
    assert_eq!(cost(&offer, None), Ok(88_51));
}

#[test]
fn only_prices_that_change_are_recorded_and_wrong_ones_refuse_all() {
    given::<Offer>([published()])
        .when(reprice(vec![new_price("home", "core", gbp(80_00))]))
        .then_nothing();
    let both = vec![
        new_price("home", "core", gbp(80_00)),
        new_price("car", "ad", gbp(0)),
    ];
    given::<Offer>([published()])
        .when(reprice(both.clone()))
        .then([repriced(both[1..].to_vec())]);
    let foreign = MoneyError::CurrencyMismatch {
        left: Currency::GBP,
        right: Currency::EUR,
    };
    for (second, error) in [
        (new_price("car", "ad", gbp(-1)), OfferError::NegativePrice),
        (new_price("car", "ad", eur(1_00)), foreign.into()),
        (
            new_price("car", "core", gbp(1_00)),
            unknown_in("car", "core"),
        ),
        (
            new_price("home", "core", gbp(2_00)),
            OfferError::Repeated {
                name: "core".to_owned(),
            },
        ),
    ] {
        given::<Offer>([published()])
            .when(reprice(vec![new_price("home", "core", gbp(1_00)), second]))
            .then_err(error);
    }
}

#[test]
fn another_selection_is_what_is_paid_for_from_then_on() {
    let select = |wanted: Wanted| OfferCommand::Select { wanted };
    let selection = vec![choice("home", "core"), choice("car", "glass")];
    let offer = given::<Offer>([published()])
        .when(select(codes(&["glass", "core", "glass"])))
        .then([OfferEvent::SelectionChanged { selection }]);
    assert_eq!(cost(&offer, None), Ok(92_00));
    given::<Offer>([published()])
        .when(select(grouped(&[("home", &["ad", "core"])])))
        .then_nothing();
}

#[test]
fn a_withdrawn_offer_is_neither_sold_nor_changed_and_withdrawing_it_again_changes_nothing() {
    let offer = given::<Offer>([published()])
        .when(withdraw())
        .then([withdrawn()]);
    assert_eq!(cost(&offer, None), Err(OfferError::OfferIsWithdrawn));
    for (command, error) in [
        (reprice(vec![]), OfferError::OfferIsWithdrawn),
        (
            OfferCommand::Select {
                wanted: codes(&["core"]),
            },
            OfferError::OfferIsWithdrawn,
        ),
    ] {
        given::<Offer>([published(), withdrawn()])
            .when(command)
            .then_err(error);
    }
    given::<Offer>([published(), withdrawn()])
        .when(withdraw())
        .then_nothing();
}

/// Red when the moment of expiry itself still counts, or the expiry is not looked at.
#[test]
fn an_offer_holds_until_it_expires_and_for_good_where_it_does_not() {
    assert_eq!(cost(&standing(), None), Ok(83_51));
    for late in [midnight(), midnight() + TimeDelta::days(1)] {
        assert_eq!(standing().price(None, late), Err(OfferError::OfferExpired));
    }
    let for_good = Published {
        expires_at: None,
        ..offer()
    };
    let for_good = after(
        Offer::default(),
        [OfferEvent::OfferPublished(Box::new(for_good))],
    );
    assert!(
        for_good
            .price(None, midnight() + TimeDelta::days(9999))
            .is_ok()
    );
}

#[test]
fn a_selection_is_the_sum_of_its_products_in_the_order_of_the_offer() {
    let wanted = grouped(&[("car", &["glass"]), ("home", &["ad", "core"])]);
    let price = standing().price(Some(&wanted), in_time()).unwrap();
    assert_eq!((price.total, price.tax), (gbp(95_51), gbp(0)));
    let lines: Vec<_> = price
        .lines
        .iter()
        .map(|it| (it.description.as_str(), it.name.as_str(), it.unit))
        .collect();
    assert_eq!(
        lines,
        [
            ("home/core", "The core", gbp(80_00)),
            ("home/ad", "The ad", gbp(3_51)),
            ("car/glass", "The glass", gbp(12_00)),
        ]
    );
}

#[test]
fn what_is_unknown_is_named_and_nothing_is_selected_is_said() {
    let offer = standing();
    for (wanted, error) in [
        (
            grouped(&[("boat", &[])]),
            OfferError::UnknownGroup {
                group: "boat".to_owned(),
            },
        ),
        (
            grouped(&[("home", &["glass"])]),
            unknown_in("home", "glass"),
        ),
        (
            codes(&["core", "hull"]),
            OfferError::UnknownCode {
                code: "hull".to_owned(),
            },
        ),
        (
            codes(&["ad"]),
            OfferError::AmbiguousCode {
                code: "ad".to_owned(),
            },
        ),
        (codes(&[]), OfferError::NothingSelected),
        (grouped(&[("home", &[])]), OfferError::NothingSelected),
    ] {
        assert_eq!(cost(&offer, Some(&wanted)), Err(error), "{wanted:?}");
    }
    let bare = Published {
        selection: vec![],
        ..self::offer()
    };
    let bare = after(
        Offer::default(),
        [OfferEvent::OfferPublished(Box::new(bare))],
    );
    assert_eq!(cost(&bare, None), Err(OfferError::NothingSelected));
}

/// Red when an order keeps the price that its product had when it was placed.
#[test]
fn an_orders_price_follows_its_products_whatever_is_selected() {
    let then = standing()
        .price(Some(&codes(&["core", "glass"])), in_time())
        .unwrap();
    let dearer = vec![
        new_price("car", "glass", gbp(13_00)),
        new_price("car", "ad", gbp(1)),
    ];
    let offer = after(Offer::default(), [published(), repriced(dearer)]);
    let now = offer.repriced(&then).unwrap();
    assert_eq!((then.total, now.total), (gbp(92_00), gbp(93_00)));
    assert_eq!(now.lines[1].unit, gbp(13_00));
    assert_eq!(offer.repriced(&now).unwrap(), now, "it is so already");
}
