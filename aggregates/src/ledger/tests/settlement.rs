//! What Stripe's balance transactions and the bank's lines post.

use super::posted;
use crate::ledger::settlement_entries;
use crate::money::Money;
use crate::settlement::{BalanceTransactionObserved, SettlementEvent};
use crate::testing::{eur, merchant, usd};
use chrono::NaiveDate;
use rust_decimal::dec;

pub(super) fn transaction(category: &str, amount: Money, fee: Money) -> BalanceTransactionObserved {
    BalanceTransactionObserved {
        merchant: merchant(),
        balance_transaction: "txn_1".to_owned(),
        kind: category.to_owned(),
        category: category.to_owned(),
        amount,
        fee,
        fees: vec![],
        net: amount.minus(fee).unwrap(),
        source: None,
        origin: None,
        exchange_rate: None,
        created: 0,
        available_on: 0,
        available: true,
    }
}

pub(super) const DAY: NaiveDate = NaiveDate::from_ymd_opt(2025, 4, 1).unwrap();

fn posts_of(it: BalanceTransactionObserved) -> Vec<String> {
    let event = SettlementEvent::BalanceTransactionObserved(Box::new(it));
    posted(&settlement_entries(&event))
}

#[track_caller]
fn posts(category: &str, amount_minor: i64, fee_minor: i64, expected: &[&str]) {
    let it = transaction(category, usd(amount_minor), usd(fee_minor));
    assert_eq!(posts_of(it), expected, "{category}");
}

/// The design's table, row by row.
#[test]
fn each_kind_of_balance_transaction_is_taken_off_where_it_came_from() {
    posts(
        "charge",
        100_00,
        3_20,
        &[
            "debit 96.80 USD assets:stripe:balance",
            "debit 3.20 USD expenses:stripe:fees",
            "credit 100.00 USD assets:stripe:clearing",
        ],
    );
    posts(
        "refund",
        -60_00,
        0,
        &[
            "credit 60.00 USD assets:stripe:balance",
            "debit 60.00 USD assets:stripe:clearing",
        ],
    );
    posts(
        "refund_failure",
        60_00,
        0,
        &[
            "debit 60.00 USD assets:stripe:balance",
            "credit 60.00 USD assets:stripe:clearing",
        ],
    );
    posts(
        "dispute",
        -100_00,
        15_00,
        &[
            "credit 115.00 USD assets:stripe:balance",
            "debit 15.00 USD expenses:stripe:fees",
            "debit 100.00 USD assets:stripe:clearing",
        ],
    );
    // Where Stripe gives its fee back, it is negative.
    posts(
        "dispute_reversal",
        100_00,
        -15_00,
        &[
            "debit 115.00 USD assets:stripe:balance",
            "credit 15.00 USD expenses:stripe:fees",
            "credit 100.00 USD assets:stripe:clearing",
        ],
    );
    posts(
        "payout",
        -500_00,
        0,
        &[
            "credit 500.00 USD assets:stripe:balance",
            "debit 500.00 USD assets:bank:in_transit",
        ],
    );
    posts(
        "payout_reversal",
        500_00,
        0,
        &[
            "debit 500.00 USD assets:stripe:balance",
            "credit 500.00 USD assets:bank:in_transit",
        ],
    );
    posts(
        "risk_reserved_funds",
        -50_00,
        0,
        &[
            "credit 50.00 USD assets:stripe:balance",
            "debit 50.00 USD assets:stripe:reserve",
        ],
    );
    for fee in ["fee", "network_cost", "tax"] {
        posts(
            fee,
            -2_00,
            0,
            &[
                "credit 2.00 USD assets:stripe:balance",
                "debit 2.00 USD expenses:stripe:fees",
            ],
        );
    }
}

/// Red when an unknown category falls in with a known one.
#[test]
fn what_cannot_be_classified_goes_to_suspense() {
    for category in ["other_adjustment", "climate_order_purchase", "", "new one"] {
        posts(
            category,
            -7_00,
            1_00,
            &[
                "credit 8.00 USD assets:stripe:balance",
                "debit 1.00 USD expenses:stripe:fees",
                "debit 7.00 USD suspense",
            ],
        );
    }
}

/// Red when the two currencies are balanced together, or clearing is cleared in the currency of the balance.
#[test]
fn a_payment_settled_in_another_currency_is_exchanged_and_each_currency_balances() {
    let charge = BalanceTransactionObserved {
        origin: Some(eur(100_00)),
        exchange_rate: Some(dec!(1.08)),
        ..transaction("charge", usd(108_00), usd(3_43))
    };
    assert_eq!(
        posts_of(charge),
        [
            "debit 104.57 USD assets:stripe:balance",
            "debit 3.43 USD expenses:stripe:fees",
            "credit 108.00 USD assets:exchange",
            "debit 100.00 EUR assets:exchange",
            "credit 100.00 EUR assets:stripe:clearing",
        ]
    );
    let refund = BalanceTransactionObserved {
        origin: Some(eur(-50_00)),
        ..transaction("refund", usd(-55_00), usd(0))
    };
    assert_eq!(
        posts_of(refund),
        [
            "credit 55.00 USD assets:stripe:balance",
            "debit 55.00 USD assets:exchange",
            "credit 50.00 EUR assets:exchange",
            "debit 50.00 EUR assets:stripe:clearing",
        ]
    );
}

#[test]
fn what_was_exchanged_from_nobody_knows_what_goes_to_suspense() {
    let charge = BalanceTransactionObserved {
        exchange_rate: Some(dec!(1.08)),
        ..transaction("charge", usd(108_00), usd(0))
    };
    assert_eq!(
        posts_of(charge),
        [
            "debit 108.00 USD assets:stripe:balance",
            "credit 108.00 USD suspense",
        ]
    );
}

#[test]
fn what_moves_nothing_posts_nothing() {
    posts("charge", 0, 0, &[]);
    let told = SettlementEvent::PayoutReconciled;
    assert!(settlement_entries(&told).is_empty());
}

#[test]
fn a_banks_line_takes_what_was_in_transit_to_the_bank_or_back() {
    let matched = |amount| SettlementEvent::BankLineMatched {
        payout: "po_1".to_owned(),
        amount,
        booked_on: DAY,
    };
    assert_eq!(
        posted(&settlement_entries(&matched(usd(500_00)))),
        [
            "debit 500.00 USD assets:bank",
            "credit 500.00 USD assets:bank:in_transit",
        ]
    );
    assert_eq!(
        posted(&settlement_entries(&matched(usd(-500_00)))),
        [
            "credit 500.00 USD assets:bank",
            "debit 500.00 USD assets:bank:in_transit",
        ]
    );
}
