//! What differs in one place alone, rule by rule, where no fault of a year's is about it: told once, by its class and its part, or
//! on its way.
//!
//! Planted bugs, each seen red here: each of these rules left out in turn.

use super::comparing::{breaks, compared};
use super::faults::{more, whole};
use super::years::{AT, Year, bank_line, clean, terms};
use crate::money::{Currency, Money};
use crate::payment::state::RefundStatus;
use crate::reconciliation::items::{Booking, OurPayment, Shown};
use crate::reconciliation::{BreakClass, Kind, Ours, Subject, Theirs, Verdict};
use crate::settlement::PayoutStatus;

const DAY_S: i64 = 86_400;

/// A year of a hundred payments: the first of them have a refund that succeeded, one that failed and one that is pending, a
/// dispute that was won (4) and one that was lost (5), a part that was captured (6), and euros (7); of its payouts one failed (49)
/// and one tells what it is made of (74).
fn year() -> Year {
    clean(3, 100)
}

fn payment(number: u32) -> Subject {
    Subject::payment(format!("pi_{number:05}"))
}

fn payout(number: u32) -> Subject {
    Subject::payout(format!("po_{number:05}"))
}

/// The year, shown otherwise where the subject is shown.
fn shown(subject: &Subject, otherwise: impl Fn(&mut Shown)) -> Year {
    let mut year = year();
    let shown = year.items.iter_mut().filter(|it| it.subject == *subject);
    shown.for_each(|it| otherwise(&mut it.shown));
    year
}

fn our_payment(number: u32, otherwise: impl Fn(&mut OurPayment)) -> Year {
    shown(&payment(number), |it| {
        if let Shown::Ours(Ours::Payment(it)) = it {
            otherwise(it);
        }
    })
}

fn booking(it: &mut Shown) -> Option<(bool, &mut Booking)> {
    match it {
        Shown::Ours(Ours::Booking(it)) => Some((true, it)),
        Shown::Theirs(Theirs::Booking(it)) => Some((false, it)),
        _ => None,
    }
}

/// The year, with that booking as Stripe has it shown otherwise.
fn their_booking(subject: &Subject, id: &str, otherwise: impl Fn(&mut Booking)) -> Year {
    shown(subject, |it| match booking(it) {
        Some((false, it)) if it.id == id => otherwise(it),
        _ => {}
    })
}

/// The year in which that was never booked, on one side or on both: neither holds it.
fn not_booked(id: &str, ours: bool, theirs: bool) -> Year {
    let (mut year, mut gone) = (year(), None);
    year.items.retain_mut(|it| match booking(&mut it.shown) {
        Some((here, it)) if it.id == id && if here { ours } else { theirs } => {
            gone = Some(it.net);
            false
        }
        _ => true,
    });
    let gone = gone.unwrap();
    if ours {
        whole(&mut year.items, gone, true);
    }
    if theirs {
        whole(&mut year.items, gone, false);
    }
    year
}

fn told(year: &Year, subject: &Subject, class: BreakClass, part: &str) {
    let (found, _) = compared(year.ordered(), terms());
    let one = (class, subject.clone(), part.to_owned());
    assert_eq!(breaks(&found), vec![one]);
}

/// No break, and this is on its way.
fn on_its_way(year: &Year, part: &str) {
    let (found, totals) = compared(year.ordered(), terms());
    assert_eq!(breaks(&found), vec![]);
    let in_transit = |it: &Verdict| matches!(it, Verdict::InTransit { .. });
    let parts: Vec<&str> = found
        .iter()
        .filter(|it| in_transit(&it.verdict))
        .map(|it| it.part.as_str())
        .collect();
    assert_eq!((parts, totals.in_transit), (vec![part], 1));
}

#[test]
fn a_payment_that_is_not_what_stripe_says_of_it() {
    use BreakClass as Class;
    let other_amount = our_payment(6, |it| it.amount = more(it.amount, 1));
    told(&other_amount, &payment(6), Class::Amount, "amount");
    let waits = our_payment(3, |it| it.waiting_since = Some(AT - 2 * DAY_S));
    told(&waits, &payment(3), Class::Timing, "outcome");
    let not_asked = our_payment(0, |it| it.refunds.clear());
    told(&not_asked, &payment(0), Class::MissingHere, "re_00000");
    let failed = our_payment(0, |it| it.refunds[0].status = RefundStatus::Failed);
    told(&failed, &payment(0), Class::Status, "re_00000");
    // Booked as it was charged, and not what the intent received.
    let mut charged = shown(&payment(3), |it| match it {
        Shown::Theirs(Theirs::Charge(it)) => it.captured = more(it.captured, 1),
        it => {
            if let Some((_, it)) = booking(it) {
                (it.amount, it.net) = (more(it.amount, 1), more(it.net, 1));
            }
        }
    });
    for here in [true, false] {
        whole(&mut charged.items, Money::new(-1, Currency::USD), here);
    }
    told(&charged, &payment(3), Class::Amount, "ch_00003");
    let less = our_payment(5, |it| {
        it.disputes[0].amount = more(it.disputes[0].amount, -1);
    });
    told(&less, &payment(5), Class::Amount, "dp_00005");
    let mut none = year();
    let theirs =
        |it: &Shown| matches!(it, Shown::Theirs(Theirs::Dispute(it)) if it.dispute == "dp_00005");
    none.items.retain(|it| !theirs(&it.shown));
    told(&none, &payment(5), Class::MissingAtStripe, "dp_00005");
    let (_, totals) = compared(year().ordered(), terms());
    assert!(totals.explained > 0, "what does not pay its order is told");
}

#[test]
fn what_stripe_moved_and_did_not_book_or_booked_otherwise() {
    use BreakClass as Class;
    for (number, id, part) in [
        (0, "txn_re_00000", "re_00000"),
        (4, "txn_dp_00004_back", "dp_00004"),
        (5, "txn_dp_00005", "dp_00005"),
    ] {
        let year = not_booked(id, true, true);
        told(&year, &payment(number), Class::Timing, part);
    }
    on_its_way(&not_booked("txn_re_00001_back", true, true), "re_00001");
    let (subject, id) = (payment(3), "txn_ch_00003");
    let other = their_booking(&subject, id, |it| it.category = "payment".to_owned());
    told(&other, &subject, Class::Status, id);
    let parts = their_booking(&subject, id, |it| {
        it.fee_parts = it.fee_parts.map(|it| more(it, 1));
    });
    told(&parts, &subject, Class::Fee, id);
    let mut net = their_booking(&subject, id, |it| it.net = more(it.net, -1));
    whole(&mut net.items, Money::new(1, Currency::USD), false);
    told(&net, &subject, Class::Amount, id);
    let paid_out = shown(&subject, |it| {
        if let Some((here, it)) = booking(it) {
            it.payout = Some(if here { "po_1" } else { "po_2" }.to_owned());
        }
    });
    told(&paid_out, &subject, Class::Status, id);
    // Euros that nobody exchanged, booked in dollars.
    let exchanged = shown(&payment(7), |it| {
        if let Some((_, it)) = booking(it) {
            (it.origin, it.exchange_rate) = (None, None);
        }
    });
    told(&exchanged, &payment(7), Class::Currency, "ch_00007");
}

#[test]
fn what_is_booked_while_the_other_side_is_read_is_no_break() {
    let id = "txn_ch_00003";
    let mut just_booked = not_booked(id, true, false);
    for it in &mut just_booked.items {
        match booking(&mut it.shown) {
            Some((_, it)) if it.id == id => it.created = AT - 60,
            _ => {}
        }
    }
    on_its_way(&just_booked, id);
    let mut just_recorded = not_booked(id, false, true);
    for it in &mut just_recorded.items {
        match booking(&mut it.shown) {
            Some((_, it)) if it.id == id => it.recorded_at = Some(AT),
            _ => {}
        }
    }
    let of_it = just_recorded.items.iter_mut();
    for it in of_it.filter(|it| it.subject == payment(3)) {
        if let Shown::Ours(Ours::Payment(it)) = &mut it.shown {
            it.captured_at = Some(AT - 60);
        }
    }
    let (found, totals) = compared(just_recorded.ordered(), terms());
    assert_eq!((breaks(&found), totals.moving), (vec![], 1));
}

#[test]
fn a_payout_that_is_not_what_it_is_made_of_or_did_not_come() {
    use BreakClass as Class;
    let subject = payout(74);
    let mixed = shown(&subject, |it| match it {
        Shown::Theirs(Theirs::PayoutItem { id, net }) if id.ends_with("_0") => {
            *net = Money::new(net.minor(), Currency::EUR);
        }
        _ => {}
    });
    told(&mixed, &subject, Class::Currency, "items");
    let counted = shown(&subject, |it| {
        if let Shown::Ours(Ours::Payout(it)) = it {
            it.items_count = it.items_count.map(|it| it + 1);
        }
    });
    told(&counted, &subject, Class::Amount, "items");
    let year = not_booked("txn_po_00074", true, true);
    told(&year, &subject, Class::Timing, "booking");
    let under_way = shown(&subject, |it| match it {
        Shown::Ours(Ours::Payout(it)) => it.status = PayoutStatus::InTransit,
        Shown::Theirs(Theirs::Payout(it)) => it.status = PayoutStatus::InTransit,
        _ => {}
    });
    told(&under_way, &subject, Class::Timing, "arrival");
    let not_returned = shown(&payout(49), |it| {
        if let Shown::Ours(Ours::Payout(it)) = it {
            it.arrived = true;
        }
    });
    told(&not_returned, &payout(49), Class::Timing, "bank");
}

#[test]
fn a_line_of_the_bank_that_is_no_payouts() {
    use BreakClass as Class;
    let line =
        |number, at, name: &str| bank_line(number, Money::new(77, Currency::USD), at, name, false);
    let part = |it: &Ours| match it {
        Ours::BankLine(it) => it.line.to_string(),
        _ => String::new(),
    };
    let long_ago = AT - 40 * DAY_S;
    for subject in [payout(74), Subject::payout("po_nobodys")] {
        let (mut year, it) = (year(), line(9, long_ago, subject.name()));
        let part = part(&it);
        year.ours(&subject, it);
        let class = match subject == payout(74) {
            true => Class::Amount,
            false => Class::MissingAtStripe,
        };
        told(&year, &subject, class, &part);
    }
    let mut fresh = year();
    fresh.ours(&Subject::new(Kind::BankLine, "9"), line(9, AT, ""));
    on_its_way(&fresh, "line");
}

#[test]
fn a_journal_that_is_not_what_its_bookings_come_to() {
    let mut year = year();
    whole(&mut year.items, Money::new(1, Currency::USD), true);
    let subject = Subject::whole(Currency::USD);
    told(&year, &subject, BreakClass::Amount, "journal");
}
