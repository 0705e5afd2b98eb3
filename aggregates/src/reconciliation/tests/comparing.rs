//! What a comparison finds: nothing in a clean year, and each planted fault by its name, and no other.

use super::faults::Fault;
use super::years::{AT, Seed, Year, clean, is_payment, terms};
use crate::ids::{PaymentId, RefundId};
use crate::money::{Currency, Money};
use crate::payment::command::StripeStatus;
use crate::reconciliation::comparison::joined;
use crate::reconciliation::items::{Booking, OurPayout, Shown, TheirIntent, TheirPayout};
use crate::reconciliation::{
    Age, BreakClass, Comparison, Finding, Item, Kind, Ours, Subject, Terms, Theirs, Totals, Verdict,
};
use crate::settlement::PayoutStatus;
use proptest::prelude::*;
use std::collections::BTreeSet;
use strum::IntoEnumIterator;
use uuid::Uuid;

const DAY_S: i64 = 86_400;

pub fn compared(items: impl IntoIterator<Item = Item>, terms: Terms) -> (Vec<Finding>, Totals) {
    let mut comparison = Comparison::new(terms);
    let mut found = Vec::new();
    for item in items {
        found.extend(comparison.take(item));
    }
    found.extend(comparison.end_subject());
    (found, comparison.totals().clone())
}

pub fn breaks(found: &[Finding]) -> Vec<(BreakClass, Subject, String)> {
    let named = |it: &Finding| match it.verdict {
        Verdict::Break { class, .. } => Some((class, it.subject.clone(), it.part.clone())),
        _ => None,
    };
    found.iter().filter_map(named).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_clean_year_has_no_break(seed in any::<u64>()) {
        let (found, totals) = compared(clean(seed, 200).ordered(), terms());
        prop_assert_eq!(breaks(&found), vec![]);
        prop_assert_eq!((totals.payments, totals.break_count()), (200, 0));
        prop_assert_eq!(totals.in_transit, 0);
    }

    /// Red for each fault whose rule is taken out (but that of a charge of another amount, which its booking tells as well), or that
    /// is told under another name, or twice.
    #[test]
    fn each_planted_fault_is_found_and_named_and_nothing_else(seed in any::<u64>()) {
        for fault in Fault::iter() {
            let mut year = clean(seed, 100);
            let mut seed = Seed(seed ^ 0xfa17);
            let Some(expected) = fault.plant(&mut year, &mut seed) else {
                return Err(TestCaseError::fail(format!("{fault:?} has no place")));
            };
            let (found, _) = compared(year.ordered(), terms());
            prop_assert_eq!(breaks(&found), vec![expected], "{:?}", fault);
        }
    }

    #[test]
    fn many_faults_in_one_year_are_all_found(seed in any::<u64>()) {
        let mut year = clean(seed, 600);
        let mut seed = Seed(seed ^ 0xfa17);
        let (mut expected, mut touched) = (BTreeSet::new(), BTreeSet::new());
        for fault in Fault::iter().filter(|it| *it != Fault::BankLineUnknown).cycle().take(60) {
            let mut tried = year.clone();
            let Some(it) = fault.plant(&mut tried, &mut seed) else { continue };
            // A second fault in one subject may hide the first, and the whole has room for one.
            let subject = it.1.name().trim_end_matches('b').to_owned();
            if touched.insert(subject) && it.1.kind() != Kind::Whole {
                year.items = tried.items;
                expected.insert(it);
            }
        }
        let (found, totals) = compared(year.ordered(), terms());
        prop_assert_eq!(breaks(&found).into_iter().collect::<BTreeSet<_>>(), expected.clone());
        prop_assert_eq!(usize::try_from(totals.break_count()).unwrap(), expected.len());
    }
}

#[test]
fn every_class_of_breaks_has_a_fault_that_makes_it() {
    let made: BTreeSet<BreakClass> = Fault::iter()
        .filter_map(|fault| fault.plant(&mut clean(7, 100), &mut Seed(7)))
        .map(|(class, _, _)| class)
        .collect();
    assert_eq!(made, BreakClass::iter().collect());
}

/// Red when something of a subject is kept outside of it and lost with the process.
#[test]
fn a_comparison_that_is_kept_between_two_subjects_goes_on_as_if_nothing_had_been() {
    let mut year = clean(11, 60);
    for fault in [Fault::BookingAmount, Fault::PayoutNotAtTheBank] {
        fault.plant(&mut year, &mut Seed(3)).unwrap();
    }
    for items in [year.ordered(), paid_out_otherwise()] {
        let whole = compared(items.clone(), terms());
        assert_eq!(compared_in_parts(items), whole);
    }
}

/// Each subject by another process.
fn compared_in_parts(items: Vec<Item>) -> (Vec<Finding>, Totals) {
    let mut comparison = Comparison::new(terms());
    let (mut found, mut last) = (Vec::new(), None);
    for item in items {
        if last.as_ref() != Some(&item.subject) {
            found.extend(comparison.end_subject());
            let kept = serde_json::to_string(&comparison).unwrap();
            comparison = serde_json::from_str(&kept).unwrap();
        }
        last = Some(item.subject.clone());
        found.extend(comparison.take(item));
    }
    found.extend(comparison.end_subject());
    (found, comparison.totals().clone())
}

/// Red when an item is written in a form that it cannot be read back from: what Stripe answered is kept so.
#[test]
fn what_is_shown_is_kept_as_it_is() {
    for item in clean(5, 60).ordered() {
        let kept = serde_json::to_string(&item).unwrap();
        let again: Item = serde_json::from_str(&kept).unwrap();
        assert_eq!((again.name(), &again), (item.name(), &item), "{kept}");
    }
}

#[test]
fn two_streams_in_order_are_one_in_order() {
    let items = clean(5, 40).ordered();
    let is_ours = |it: &&Item| matches!(it.shown, Shown::Ours(_));
    let ours: Vec<Item> = items.iter().filter(is_ours).cloned().collect();
    let theirs: Vec<Item> = items.iter().filter(|it| !is_ours(it)).cloned().collect();
    let one: Vec<Item> = joined(ours.into_iter(), theirs.into_iter()).collect();
    assert!(one.is_sorted_by(|a, b| a.subject <= b.subject));
    assert_eq!(compared(one, terms()), compared(items, terms()));
}

#[test]
fn what_differs_by_less_than_is_tolerated_is_counted_and_no_break() {
    let mut year = clean(3, 40);
    Fault::CapturedAmount
        .plant(&mut year, &mut Seed(3))
        .unwrap();
    let tolerant = Terms {
        tolerance_minor: 1,
        ..terms()
    };
    let (found, totals) = compared(year.ordered(), tolerant);
    assert_eq!(breaks(&found), vec![]);
    assert_eq!(totals.tolerated, 1);
}

/// Red when the age of a payment is not looked at: what changes while Stripe is read would be a break in every run.
#[test]
fn what_changed_while_stripe_was_read_is_for_the_next_run() {
    let mut year = clean(3, 40);
    Fault::CapturedAmount
        .plant(&mut year, &mut Seed(3))
        .unwrap();
    for item in year.items.iter_mut().filter(|it| is_payment(&it.subject)) {
        if let Shown::Ours(Ours::Payment(it)) = &mut item.shown {
            it.moved_at = AT;
        }
    }
    let (found, totals) = compared(year.ordered(), terms());
    assert_eq!(breaks(&found), vec![]);
    assert_eq!(totals.moving, 1);
}

#[test]
fn what_is_not_booked_yet_is_in_transit_until_its_deadline_and_late_after_it() {
    let mut year = clean(3, 40);
    let (_, subject, part) = Fault::BookingLate.plant(&mut year, &mut Seed(3)).unwrap();
    let captured_at = |at: i64| {
        let mut items = year.ordered();
        for item in &mut items {
            match &mut item.shown {
                Shown::Ours(Ours::Payment(it)) if item.subject == subject => {
                    it.captured_at = Some(at);
                }
                _ => {}
            }
        }
        compared(items, terms()).0
    };
    let found = captured_at(AT - 3600);
    assert_eq!(breaks(&found), vec![]);
    let waiting = found.iter().find(|it| it.part == part).unwrap();
    assert_eq!(waiting.verdict, Verdict::InTransit { due: AT + 3600 });
    let late = captured_at(AT - 3 * 3600);
    assert_eq!(
        breaks(&late),
        vec![(BreakClass::Timing, subject.clone(), part)]
    );
}

#[test]
fn a_payment_whose_intent_was_never_answered_is_late_after_a_day() {
    let mut year = Year::default();
    let payment = PaymentId::from_uuid(Uuid::from_u128(77));
    let subject = Subject::payment(payment.to_string());
    let mut source = clean(3, 10);
    let known = source.items.drain(..).find_map(|it| match it.shown {
        Shown::Ours(Ours::Payment(it)) => Some(it),
        _ => None,
    });
    let mut known = known.unwrap();
    known.payment = payment;
    known.intent = None;
    known.captured = Money::zero(known.amount.currency());
    known.refunds.clear();
    known.disputes.clear();
    known.status = crate::payment::state::Status::Creating;
    known.waiting_since = Some(AT - 86_400 - 1);
    year.ours(&subject, Ours::Payment(known.clone()));
    let (found, _) = compared(year.ordered(), terms());
    assert_eq!(
        breaks(&found),
        vec![(BreakClass::Timing, subject.clone(), "outcome".to_owned())]
    );
    known.waiting_since = Some(AT - 86_400);
    let mut year = Year::default();
    year.ours(&subject, Ours::Payment(known));
    assert_eq!(breaks(&compared(year.ordered(), terms()).0), vec![]);
}

/// What was kept before checkouts were told apart is read as it was, and written as it was: a run that is repeated finds the same.
#[test]
fn an_intent_that_was_kept_before_it_could_name_a_checkout_is_kept_as_it_is() {
    let kept = r#"{"intent":"pi_1","status":"succeeded","amount":{"minor":500,"currency":"usd"},"amount_received":{"minor":500,"currency":"usd"},"created":7,"names":null,"twin_of":"pi_2"}"#;
    let read: TheirIntent = serde_json::from_str(kept).unwrap();
    assert_eq!((read.checkout, read.payment()), (None, None));
    assert_eq!(serde_json::to_string(&read).unwrap(), kept);
}

/// Red when money at Stripe that nobody here knows of is taken for a plan of somebody else's.
#[test]
fn an_intent_of_somebody_elses_is_a_break_once_it_moves_money() {
    let shown = |status: StripeStatus, received: i64| {
        let intent = TheirIntent {
            intent: "pi_else".to_owned(),
            status,
            amount: Money::new(500, Currency::USD),
            amount_received: Money::new(received, Currency::USD),
            created: AT - 86_400,
            names: None,
            checkout: None,
            twin_of: None,
        };
        let mut year = Year::default();
        year.theirs(
            &Subject::payment("pi_else"),
            Theirs::Intent(Box::new(intent)),
        );
        let (found, totals) = compared(year.ordered(), terms());
        (breaks(&found).len(), totals.explained)
    };
    assert_eq!(shown(StripeStatus::RequiresPaymentMethod, 0), (0, 1));
    assert_eq!(shown(StripeStatus::RequiresCapture, 0), (1, 0));
    assert_eq!(shown(StripeStatus::Succeeded, 500), (1, 0));
}

#[test]
fn ages_fall_into_buckets() {
    let day = 86_400;
    let aged = |days: i64| Age::between(AT - days * day, AT).to_string();
    let ages: Vec<String> = [0, 1, 2, 7, 8, 30, 31, 90, 91].map(aged).into();
    assert_eq!(
        ages,
        [
            "0-1", "0-1", "2-7", "2-7", "8-30", "8-30", "31-90", "31-90", "over-90"
        ]
    );
    assert_eq!(Age::between(AT, AT - day), Age::UpToADay);
}

#[test]
fn a_refund_is_known_by_our_id_before_stripes_is_recorded() {
    let mut year = clean(3, 40);
    let mut seen = None;
    for item in &mut year.items {
        if let Shown::Ours(Ours::Payment(it)) = &mut item.shown
            && let Some(refund) = it.refunds.first_mut()
        {
            seen = Some(RefundId::from_uuid(refund.id.uuid()));
            refund.stripe_refund = None;
            refund.status = crate::payment::state::RefundStatus::Requested;
            it.waiting_since = Some(AT - 60);
            break;
        }
    }
    assert!(seen.is_some());
    let (found, totals) = compared(year.ordered(), terms());
    assert_eq!((breaks(&found), totals.in_transit), (vec![], 1));
}

/// A booking of a dollar that was paid out, as either side shows it and the payout.
fn paid_out() -> Vec<Item> {
    let dollar = Money::new(100, Currency::USD);
    let left = Money::new(-100, Currency::USD);
    let booking = |id: &str, category: &str, net| Booking {
        id: id.to_owned(),
        category: category.to_owned(),
        amount: net,
        fee: Money::zero(Currency::USD),
        net,
        fee_parts: None,
        source: None,
        origin: None,
        exchange_rate: None,
        created: AT - 40 * DAY_S,
        payout: (category != "payout").then(|| "po_1".to_owned()),
        recorded_at: None,
    };
    let ours = OurPayout {
        payout: "po_1".to_owned(),
        amount: dollar,
        status: PayoutStatus::Paid,
        arrival_date: AT - 30 * DAY_S,
        items_count: Some(1),
        items_net: Some(dollar),
        arrived: true,
        returned: false,
        moved_at: AT - 30 * DAY_S,
    };
    let theirs = TheirPayout {
        payout: "po_1".to_owned(),
        amount: dollar,
        status: PayoutStatus::Paid,
        arrival_date: AT - 30 * DAY_S,
        created: AT - 31 * DAY_S,
        itemised: true,
        failure_booking: None,
    };
    let (fee, payout) = (Subject::booking("txn_1"), Subject::payout("po_1"));
    let (paid, out) = (
        booking("txn_1", "fee", dollar),
        booking("txn_2", "payout", left),
    );
    let of_ours = |subject: &Subject, it| Item {
        subject: subject.clone(),
        shown: Shown::Ours(it),
    };
    let of_theirs = |subject: &Subject, it| Item {
        subject: subject.clone(),
        shown: Shown::Theirs(it),
    };
    vec![
        of_ours(&fee, Ours::Booking(Box::new(paid.clone()))),
        of_theirs(&fee, Theirs::Booking(Box::new(paid))),
        of_ours(&payout, Ours::Payout(Box::new(ours))),
        of_ours(&payout, Ours::Booking(Box::new(out.clone()))),
        of_theirs(&payout, Theirs::Payout(Box::new(theirs))),
        of_theirs(&payout, Theirs::Booking(Box::new(out))),
        of_theirs(
            &payout,
            Theirs::PayoutItem {
                id: "txn_1".to_owned(),
                net: dollar,
            },
        ),
    ]
}

/// The same, and the booking is of another amount wherever Stripe shows it.
fn paid_out_otherwise() -> Vec<Item> {
    let mut other = paid_out();
    for item in &mut other {
        match &mut item.shown {
            Shown::Theirs(Theirs::Booking(it)) if it.id == "txn_1" => {
                it.amount = Money::new(99, Currency::USD);
                it.net = it.amount;
            }
            Shown::Theirs(Theirs::PayoutItem { net, .. }) => *net = Money::new(99, Currency::USD),
            _ => {}
        }
    }
    other
}

/// Red when a payout is held against a booking that was told already.
#[test]
fn a_booking_that_differs_is_told_once_and_not_of_its_payout_as_well() {
    assert_eq!(breaks(&compared(paid_out(), terms()).0), vec![]);
    let told = |class| vec![(class, Subject::booking("txn_1"), "txn_1".to_owned())];
    let (found, _) = compared(paid_out_otherwise(), terms());
    assert_eq!(breaks(&found), told(BreakClass::Amount));
    // Lost: it is in no list any more.
    let mut lost = paid_out();
    lost.retain(|it| match &it.shown {
        Shown::Theirs(Theirs::Booking(it)) => it.id != "txn_1",
        Shown::Theirs(Theirs::PayoutItem { .. }) => false,
        _ => true,
    });
    let (found, _) = compared(lost, terms());
    assert_eq!(breaks(&found), told(BreakClass::MissingAtStripe));
    // Known to Stripe alone, and part of the payout all the same.
    let mut unknown = paid_out();
    unknown.remove(0);
    let (found, _) = compared(unknown, terms());
    assert_eq!(breaks(&found), told(BreakClass::MissingHere));
    // What differs in the payout's list alone is the payout's.
    let mut listed = paid_out();
    listed.pop();
    let (found, _) = compared(listed, terms());
    let items = "items".to_owned();
    let payout = Subject::payout("po_1");
    assert_eq!(breaks(&found), vec![(BreakClass::Amount, payout, items)]);
}
