//! A bank's line is imported once, matched once, with the payout that it names or that alone fits it.

use super::{bank_line, day, line_id, sample};
use crate::ids::SettlementId;
use crate::settlement::*;
use crate::testing::{Given, eur, given, merchant, usd};

fn imported() -> Given<Settlement> {
    given([sample(SettlementEventKind::BankLineImported)])
}

fn matched_with(payout: &str) -> SettlementCommand {
    SettlementCommand::MatchPayout {
        payout: payout.to_owned(),
    }
}

#[test]
fn a_line_is_imported_once_however_often_its_statement_is_read() {
    let import = || SettlementCommand::ImportBankLine(Box::new(bank_line()));
    let state = given::<Settlement>([])
        .when(import())
        .then([sample(SettlementEventKind::BankLineImported)]);
    Given(state).when(import()).then_nothing();
}

#[test]
fn a_line_is_matched_with_one_payout() {
    let state = imported()
        .when(matched_with("po_1"))
        .then([sample(SettlementEventKind::BankLineMatched)]);
    Given(state.clone())
        .when(matched_with("po_1"))
        .then_nothing();
    Given(state)
        .when(matched_with("po_2"))
        .then_err(SettlementError::MatchedAlready {
            with: "payout po_1".to_owned(),
        });
}

/// Red when a payout that has arrived takes a second line for its arrival.
#[test]
fn a_payout_arrives_with_one_line_and_is_sent_back_with_one() {
    let meet = |name: &str, amount| SettlementCommand::MeetBankLine {
        line: SettlementId::of_bank_line(&merchant(), "main", &[name]),
        amount,
    };
    let paid = || given::<Settlement>(super::payouts::standing(PayoutStatus::Paid));
    let state = paid()
        .when(meet("1", usd(95_00)))
        .then([sample(SettlementEventKind::PayoutArrived)]);
    Given(state.clone())
        .when(meet("1", usd(95_00)))
        .then_nothing();
    let known = format!("the bank's line {}", line_id());
    Given(state.clone())
        .when(meet("2", usd(95_00)))
        .then_err(SettlementError::MatchedAlready { with: known });
    for wrong in [usd(94_99), eur(95_00), eur(-95_00)] {
        paid()
            .when(meet("1", wrong))
            .then_err(SettlementError::AmountDiffers {
                line: wrong,
                payout: usd(95_00),
            });
    }
    Given(state.clone())
        .when(meet("3", usd(-95_00)))
        .then_err(SettlementError::NotReturned {
            status: "paid".to_owned(),
        });
    let failed = crate::testing::after(state, [sample(SettlementEventKind::PayoutFailed)]);
    let line = SettlementId::of_bank_line(&merchant(), "main", &["3"]);
    let state = Given(failed)
        .when(meet("3", usd(-95_00)))
        .then([SettlementEvent::PayoutReturned { line }]);
    let payout = state.payout().unwrap();
    assert_eq!(
        (payout.arrived, payout.returned),
        (Some(line_id()), Some(line))
    );
}

fn candidate(payout: &str, minor: i64, expected: u32) -> Candidate {
    let arrival = day(expected).and_hms_opt(0, 0, 0).unwrap().and_utc();
    Candidate {
        id: SettlementId::of_payout(&merchant(), payout),
        payout: payout.to_owned(),
        amount: usd(minor),
        status: PayoutStatus::Paid,
        arrival_date: arrival.timestamp(),
        arrived: false,
        returned: false,
    }
}

fn unnamed(minor: i64) -> BankLineImported {
    BankLineImported {
        amount: usd(minor),
        booked_on: day(10),
        names_payout: None,
        ..bank_line()
    }
}

#[track_caller]
fn takes(line: &BankLineImported, among: &[Candidate], expected: Option<&str>) {
    let found = match match_of(line, among) {
        Match::One(it) => Some(it.payout),
        Match::None => None,
        Match::Several(payouts) => panic!("several: {payouts:?}"),
    };
    assert_eq!(found.as_deref(), expected);
}

#[test]
fn a_line_that_names_a_payout_is_that_payouts_or_nobodys() {
    let named = BankLineImported {
        names_payout: Some("po_2".to_owned()),
        ..unnamed(95_00)
    };
    let two = [candidate("po_1", 95_00, 10), candidate("po_2", 95_00, 28)];
    takes(&named, &two, Some("po_2"));
    takes(&named, &two[..1], None);
    takes(&named, &[candidate("po_2", 95_01, 10)], None);
}

/// Red when the first that fits is taken, or the days are counted in one direction alone.
#[test]
fn a_line_that_names_none_is_the_nearest_of_its_amount_unless_two_are_as_near() {
    let near = [candidate("po_1", 95_00, 7), candidate("po_2", 95_00, 11)];
    takes(&unnamed(95_00), &near, Some("po_2"));
    takes(
        &unnamed(95_00),
        &[candidate("po_1", 95_00, 5)],
        Some("po_1"),
    );
    takes(&unnamed(95_00), &[candidate("po_1", 95_00, 4)], None);
    takes(&unnamed(95_01), &near, None);
    let equal = [candidate("po_1", 95_00, 9), candidate("po_2", 95_00, 11)];
    assert_eq!(
        match_of(&unnamed(95_00), &equal),
        Match::Several(vec!["po_1".to_owned(), "po_2".to_owned()])
    );
}

#[test]
fn what_has_arrived_is_awaited_no_more_and_only_what_failed_comes_back() {
    let arrived = Candidate {
        arrived: true,
        ..candidate("po_1", 95_00, 10)
    };
    takes(&unnamed(95_00), std::slice::from_ref(&arrived), None);
    takes(&unnamed(-95_00), std::slice::from_ref(&arrived), None);
    let failed = Candidate {
        status: PayoutStatus::Failed,
        ..arrived
    };
    takes(
        &unnamed(-95_00),
        std::slice::from_ref(&failed),
        Some("po_1"),
    );
    let returned = Candidate {
        returned: true,
        ..failed
    };
    takes(&unnamed(-95_00), &[returned], None);
    let canceled = Candidate {
        status: PayoutStatus::Canceled,
        ..candidate("po_1", 95_00, 10)
    };
    takes(&unnamed(95_00), &[canceled], None);
}

#[test]
fn a_lines_text_names_a_payout_only_where_it_is_a_word_of_its_own() {
    let named = |text| what_it_names(text).0;
    assert_eq!(
        named("STRIPE po_1NabcDEF23 payout"),
        Some("po_1NabcDEF23".to_owned())
    );
    assert_eq!(named("ref:po_1Nabc/2025"), Some("po_1Nabc".to_owned()));
    assert_eq!(named("depo_1Nabc"), None);
    assert_eq!(named("po_"), None);
    assert_eq!(named("po_box_7"), None);
    assert_eq!(what_it_names("Stripe Payments Europe"), (None, true));
    assert_eq!(what_it_names("Rent April"), (None, false));
}
