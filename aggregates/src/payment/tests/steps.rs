//! What callers ask for: limits, and intentions with their exact parameters.

use super::*;
use crate::money::Currency;
use crate::payment::PaymentError;
use crate::payment::event::Changes;
use crate::payment::terms::MetadataError;
use crate::sealed::Sealed;
use crate::testing::{eur, given};
use std::collections::BTreeMap;

fn create(amount: Money, enforce_minimum: bool) -> PaymentCommand {
    PaymentCommand::CreateIntent {
        request: Box::new(CreateRequested {
            amount,
            ..request()
        }),
        enforce_minimum,
    }
}

fn update(changes: Changes) -> PaymentCommand {
    PaymentCommand::Update {
        intention: intention(STEP),
        changes: Box::new(changes),
        enforce_minimum: true,
    }
}

fn confirm(payment_method: Option<String>) -> PaymentCommand {
    PaymentCommand::Confirm {
        intention: intention(STEP),
        payment_method,
        terms: ConfirmTerms::default(),
    }
}

fn capture(amount: Option<Money>) -> PaymentCommand {
    PaymentCommand::Capture {
        intention: intention(STEP),
        amount,
        parameters: Parameters::default(),
    }
}

fn pairs(count: usize) -> BTreeMap<String, String> {
    (0..count)
        .map(|number| (format!("key{number}"), "value".to_owned()))
        .collect()
}

#[test]
fn a_create_records_the_intention_with_its_exact_parameters() {
    let state = given::<Payment>([])
        .when(create(usd(100_00), true))
        .then([PaymentEvent::CreateRequested(Box::new(request()))]);
    assert_eq!(state.facts().unwrap().status, Status::Creating);
    assert_eq!(state.facts().unwrap().stripe_status(), None);
}

#[test]
fn a_payment_is_created_once() {
    given::<Payment>(standing(Status::Creating))
        .when(create(usd(100_00), true))
        .then_err(PaymentError::AlreadyCreated);
}

#[test]
fn nothing_can_be_asked_of_a_payment_that_does_not_exist() {
    given::<Payment>([])
        .when(capture(None))
        .then_err(PaymentError::NoSuchPayment);
    given::<Payment>([])
        .when(webhook(seen(StripeStatus::Succeeded)))
        .then_err(PaymentError::NoSuchPayment);
}

#[test]
fn an_amount_under_the_minimum_is_refused_unless_the_merchant_has_none() {
    let (amount, minimum) = (usd(49), usd(50));
    given::<Payment>([])
        .when(create(amount, true))
        .then_err(PaymentError::AmountTooSmall { amount, minimum });
    given::<Payment>([])
        .when(create(usd(10), false))
        .then_one(|it| matches!(it, PaymentEvent::CreateRequested(_)));
    let one_penny = Money::new(1, "pkr".parse().unwrap());
    given::<Payment>([])
        .when(create(one_penny, true))
        .then_one(|it| matches!(it, PaymentEvent::CreateRequested(_)));
}

#[test]
fn an_amount_that_stripe_cannot_charge_is_refused() {
    let (amount, maximum) = (usd(100_000_000), usd(99_999_999));
    given::<Payment>([])
        .when(create(amount, true))
        .then_err(PaymentError::AmountTooLarge { amount, maximum });
    for amount in [
        usd(0),
        usd(-1),
        Money::new(1_505, Currency::KWD),
        Money::new(1, Currency::ISK),
    ] {
        given::<Payment>([])
            .when(create(amount, false))
            .then_err(PaymentError::AmountInvalid { amount });
    }
}

#[test]
fn create_and_confirm_at_once_needs_a_payment_method_before_anything_is_made() {
    let request = CreateRequested {
        then_confirm: Some(ConfirmTerms::default()),
        ..request()
    };
    given::<Payment>([])
        .when(PaymentCommand::CreateIntent {
            request: Box::new(request),
            enforce_minimum: true,
        })
        .then_err(PaymentError::NeedsPaymentMethod);
}

#[test]
fn a_confirmation_forgets_that_it_was_to_follow() {
    let request = CreateRequested {
        then_confirm: Some(ConfirmTerms::default()),
        payment_method: method(),
        ..request()
    };
    let mut state = state(vec![
        PaymentEvent::CreateRequested(Box::new(request)),
        made(OpenStatus::RequiresConfirmation, Some(METHOD)),
    ]);
    assert!(state.facts().unwrap().then_confirm.is_some());
    state.apply(&confirm_requested());
    assert_eq!(state.facts().unwrap().then_confirm, None);
}

#[test]
fn an_update_changes_nothing_until_stripe_has_taken_it() {
    let changes = Changes {
        amount: Some(usd(120_00)),
        payment_method: method(),
        metadata: [("order_id".to_owned(), "9".to_owned())].into(),
        ..Changes::default()
    };
    let requested = PaymentEvent::UpdateRequested {
        intention: intention(STEP),
        changes: Box::new(changes.clone()),
    };
    let asked = given::<Payment>(standing(Status::RequiresPaymentMethod))
        .when(update(changes.clone()))
        .then([requested.clone()]);
    assert_eq!(asked.facts().unwrap().amount, usd(100_00));

    let after = IntentSnapshot {
        amount: usd(120_00),
        ..seen(StripeStatus::RequiresConfirmation)
    };
    let updated = given::<Payment>(waiting(Status::RequiresPaymentMethod, requested))
        .when(answer(after))
        .then([PaymentEvent::Updated {
            intention: intention(STEP),
            changes: Box::new(changes),
            status: Some(OpenStatus::RequiresConfirmation),
            payment_method: method(),
        }]);
    let facts = updated.facts().unwrap();
    assert_eq!(
        (facts.amount, facts.status, &facts.pending),
        (usd(120_00), Status::RequiresConfirmation, &None)
    );
    assert_eq!(facts.metadata.as_map()["order_id"], "9");
    assert_eq!(facts.attributes.get("quantity").unwrap(), "2");
}

#[test]
fn an_update_that_names_nothing_is_no_step() {
    given::<Payment>(standing(Status::RequiresConfirmation))
        .when(update(Changes::default()))
        .then_nothing();
    given::<Payment>(standing(Status::Canceled))
        .when(update(Changes::default()))
        .then_err(PaymentError::UnexpectedState {
            action: "update",
            status: Status::Canceled,
        });
}

#[test]
fn an_update_keeps_to_the_limits_of_amounts_and_currency() {
    let to = |amount| {
        update(Changes {
            amount: Some(amount),
            ..Changes::default()
        })
    };
    let open = || given::<Payment>(standing(Status::RequiresPaymentMethod));
    open()
        .when(to(usd(49)))
        .then_err(PaymentError::AmountTooSmall {
            amount: usd(49),
            minimum: usd(50),
        });
    open()
        .when(to(usd(0)))
        .then_err(PaymentError::AmountInvalid { amount: usd(0) });
    let mismatch = PaymentError::CurrencyMismatch {
        given: "usd".to_owned(),
        asked: "eur".to_owned(),
    };
    open().when(to(eur(100_00))).then_err(mismatch);
}

#[test]
fn metadata_is_merged_an_empty_value_unsets_and_clearing_comes_first() {
    let known = Metadata::parse([
        ("a".to_owned(), "1".to_owned()),
        ("b".to_owned(), "2".to_owned()),
    ])
    .unwrap();
    let changes = [
        ("a".to_owned(), String::new()),
        ("c".to_owned(), "3".to_owned()),
    ]
    .into();
    let keys = |it: &Metadata| it.as_map().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&known.merged(&changes, false).unwrap()), ["b", "c"]);
    assert_eq!(keys(&known.merged(&changes, true).unwrap()), ["c"]);
    assert_eq!(
        keys(&known.merged(&BTreeMap::new(), true).unwrap()),
        [""; 0]
    );
}

#[test]
fn metadata_keeps_to_stripes_limits_and_leaves_our_keys_alone() {
    let one = |key: &str, value: &str| Metadata::parse([(key.to_owned(), value.to_owned())]);
    assert!(one(&"ä".repeat(40), &"ö".repeat(500)).is_ok());
    assert_eq!(one(&"k".repeat(41), "v"), Err(MetadataError::KeyTooLong));
    assert_eq!(one("", "v"), Err(MetadataError::EmptyKey));
    assert_eq!(one("a[b]", "v"), Err(MetadataError::KeyWithBracket));
    assert_eq!(
        one("k", &"v".repeat(501)),
        Err(MetadataError::ValueTooLong {
            key: "k".to_owned()
        })
    );
    assert_eq!(
        Metadata::parse(pairs(51)),
        Err(MetadataError::TooManyPairs { count: 51 })
    );
    for key in [
        "counterfoil_payment",
        "counterfoil_refund",
        "counterfoil_merchant",
        "counterfoil_checkout",
    ] {
        assert_eq!(
            one(key, "v"),
            Err(MetadataError::Reserved {
                key: key.to_owned()
            })
        );
        assert_eq!(
            one(key, ""),
            Err(MetadataError::Reserved {
                key: key.to_owned()
            })
        );
    }
    let full = Metadata::parse(pairs(50)).unwrap();
    let one_more = [("more".to_owned(), "1".to_owned())].into();
    assert_eq!(
        full.merged(&one_more, false),
        Err(MetadataError::TooManyPairs { count: 51 })
    );
    assert!(full.merged(&one_more, true).is_ok());
}

#[test]
fn an_update_beyond_the_limits_of_metadata_is_refused() {
    let changes = Changes {
        metadata: pairs(51),
        ..Changes::default()
    };
    given::<Payment>(standing(Status::Succeeded))
        .when(update(changes))
        .then_err(PaymentError::Metadata(MetadataError::TooManyPairs {
            count: 51,
        }));
}

#[test]
fn a_method_on_the_confirmation_is_enough() {
    let terms = ConfirmTerms {
        return_url: Some("https://your.website".to_owned()),
        off_session: false,
        parameters: Parameters::default(),
    };
    let command = PaymentCommand::Confirm {
        intention: intention(STEP),
        payment_method: method(),
        terms: terms.clone(),
    };
    let state = given::<Payment>(standing(Status::RequiresPaymentMethod))
        .when(command)
        .then([PaymentEvent::ConfirmRequested {
            intention: intention(STEP),
            payment_method: method(),
            terms,
        }]);
    assert_eq!(
        state.facts().unwrap().return_url.as_deref(),
        Some("https://your.website")
    );
}

#[test]
fn a_declined_payment_needs_a_new_method() {
    let mut events = standing(Status::RequiresConfirmation);
    events.push(PaymentEvent::Declined {
        intention: None,
        decline: decline("ch_1"),
    });
    given::<Payment>(events)
        .when(confirm(None))
        .then_err(PaymentError::NeedsPaymentMethod);
}

#[test]
fn a_capture_takes_all_that_is_held_unless_it_says_less() {
    let held = || given::<Payment>(standing(Status::RequiresCapture));
    held()
        .when(capture(None))
        .then([capture_requested(usd(100_00))]);
    held()
        .when(capture(Some(usd(40_00))))
        .then([capture_requested(usd(40_00))]);
}

#[test]
fn a_capture_never_exceeds_the_hold() {
    let (asked, capturable) = (usd(100_01), usd(100_00));
    let held = || given::<Payment>(standing(Status::RequiresCapture));
    held()
        .when(capture(Some(asked)))
        .then_err(PaymentError::ExceedsHold { asked, capturable });
    for amount in [usd(0), usd(-5)] {
        held()
            .when(capture(Some(amount)))
            .then_err(PaymentError::AmountInvalid { amount });
    }
    let mismatch = PaymentError::CurrencyMismatch {
        given: "usd".to_owned(),
        asked: "eur".to_owned(),
    };
    held().when(capture(Some(eur(1)))).then_err(mismatch);
}

#[test]
fn its_money_is_applied_to_an_order_once() {
    let apply = |amount| PaymentCommand::Apply {
        order: order_id(),
        amount,
    };
    let applied = PaymentEvent::Applied {
        order: order_id(),
        amount: usd(100_00),
    };
    given::<Payment>(standing(Status::Succeeded))
        .when(apply(usd(100_00)))
        .then([applied.clone()]);
    given::<Payment>(waiting(Status::Succeeded, applied))
        .when(apply(usd(100_00)))
        .then_nothing();
    given::<Payment>(standing(Status::Succeeded))
        .when(apply(usd(100_01)))
        .then_err(PaymentError::AmountInvalid {
            amount: usd(100_01),
        });
}

#[test]
fn erasing_waits_for_open_intentions_and_happens_once() {
    let subject = format!("order/{}", order_id());
    let sealed = Sealed {
        subject: subject.clone(),
        nonce: "bm9uY2U=".to_owned(),
        ciphertext: "Y2lwaGVy".to_owned(),
    };
    let begun = PaymentEvent::CreateRequested(Box::new(CreateRequested {
        personal: Some(sealed),
        ..request()
    }));
    let made = made(OpenStatus::RequiresPaymentMethod, None);
    let erase = || PaymentCommand::ErasePersonalData {
        subject: subject.clone(),
    };
    let erased = PaymentEvent::PersonalDataErased {
        subject: subject.clone(),
    };

    given::<Payment>([begun.clone()])
        .when(erase())
        .then_err(PaymentError::InProgress);
    let state = given::<Payment>([begun.clone(), made.clone()])
        .when(erase())
        .then([erased.clone()]);
    assert_eq!(state.facts().unwrap().personal, None);
    given::<Payment>([begun.clone(), made.clone(), erased])
        .when(erase())
        .then_nothing();
    let other = PaymentCommand::ErasePersonalData {
        subject: "order/other".to_owned(),
    };
    given::<Payment>([begun, made]).when(other).then_nothing();
}
