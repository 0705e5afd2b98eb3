mod life;
mod settlement;

use crate::ledger::{Account, Entry, Line, Side, Unbalanced, order_entries, payment_entries};
use crate::money::Money;
use crate::order::event::{Line as OrderLine, Placed, Price};
use crate::order::{Order, OrderEvent};
use crate::payment::event::{CreateRequested, PaymentEvent};
use crate::payment::state::Payment;
use crate::payment::terms::{CaptureMethod, Metadata, Parameters};
use crate::testing::{after, eur, intention, merchant, order_id, payment_id, usd};
use proptest::prelude::*;
use strum::IntoEnumIterator;

/// `debit 12.00 USD account` for each line.
fn posted(entries: &[Entry]) -> Vec<String> {
    let side = |it| if it == Side::Debit { "debit" } else { "credit" };
    let text = |line: &Line| format!("{} {} {}", side(line.side), line.amount, line.account);
    entries.iter().flat_map(Entry::lines).map(text).collect()
}

fn payment(events: impl IntoIterator<Item = PaymentEvent>) -> Payment {
    let begun = PaymentEvent::CreateRequested(Box::new(CreateRequested {
        intention: intention(1),
        merchant: merchant(),
        order: Some(order_id()),
        amount: usd(100_00),
        capture_method: CaptureMethod::Automatic,
        payment_method: None,
        customer: None,
        description: None,
        metadata: Metadata::default(),
        attributes: [].into(),
        personal: None,
        then_confirm: None,
        parameters: Parameters::default(),
    }));
    after(
        Payment::default(),
        [begun, captured()].into_iter().chain(events),
    )
}

fn captured() -> PaymentEvent {
    captured_of(usd(100_00))
}

fn captured_of(amount: Money) -> PaymentEvent {
    PaymentEvent::Captured {
        intention: None,
        amount,
        charge: None,
        payment_method: None,
    }
}

fn applied(amount: Money) -> PaymentEvent {
    PaymentEvent::Applied {
        order: order_id(),
        amount,
    }
}

fn refunded(number: u128, amount: Money) -> PaymentEvent {
    PaymentEvent::Refunded {
        refund: intention(number),
        amount,
        stripe_refund: format!("re_{number}"),
        created: None,
        observed: false,
    }
}

fn failed(number: u128, amount: Money, had_succeeded: bool) -> PaymentEvent {
    let (refund, stripe_refund) = (intention(number), format!("re_{number}"));
    PaymentEvent::RefundFailed {
        refund,
        amount,
        stripe_refund,
        created: None,
        reason: None,
        had_succeeded,
    }
}

fn withdrawn() -> PaymentEvent {
    withdrawn_of(usd(100_00))
}

fn withdrawn_of(amount: Money) -> PaymentEvent {
    PaymentEvent::DisputeFundsWithdrawn {
        dispute: "dp_1".to_owned(),
        amount,
        fee_minor: 15_00,
    }
}

fn reinstated() -> PaymentEvent {
    reinstated_of(usd(100_00))
}

fn reinstated_of(amount: Money) -> PaymentEvent {
    PaymentEvent::DisputeFundsReinstated {
        dispute: "dp_1".to_owned(),
        amount,
    }
}

fn closed(won: bool) -> PaymentEvent {
    closed_of(usd(100_00), won)
}

fn closed_of(amount: Money, won: bool) -> PaymentEvent {
    PaymentEvent::DisputeClosed {
        dispute: "dp_1".to_owned(),
        amount,
        won,
    }
}

#[track_caller]
fn posts(event: &PaymentEvent, before: impl IntoIterator<Item = PaymentEvent>, expected: &[&str]) {
    assert_eq!(posted(&payment_entries(event, &payment(before))), expected);
}

#[test]
fn money_that_is_captured_is_owed_by_stripe_and_owed_to_the_customer() {
    posts(
        &captured(),
        [],
        &[
            "debit 100.00 USD assets:stripe:clearing",
            "credit 100.00 USD liabilities:customers:unapplied",
        ],
    );
}

#[test]
fn a_paid_order_turns_unapplied_money_into_sales_and_tax() {
    let price = |tax| Price {
        total: usd(100_00),
        tax,
        lines: vec![OrderLine {
            name: "x".to_owned(),
            unit: usd(50_00),
            quantity: 2,
            description: String::new(),
        }],
    };
    let entries = |tax| {
        let placed = Placed {
            merchant: merchant(),
            source: "shop".to_owned(),
            reference: "9".to_owned(),
            number: None,
            customer: None,
            price: price(tax),
            personal: None,
        };
        let before = after(
            Order::default(),
            [OrderEvent::OrderPlaced(Box::new(placed))],
        );
        posted(&order_entries(
            &OrderEvent::OrderPaid {
                payment: payment_id(1),
                amount: usd(100_00),
            },
            &before,
        ))
    };
    let unapplied = "debit 100.00 USD liabilities:customers:unapplied";
    let taxed = [
        unapplied,
        "credit 80.00 USD income:sales",
        "credit 20.00 USD liabilities:tax",
    ];
    assert_eq!(entries(usd(20_00)), taxed);
    assert_eq!(
        entries(usd(0)),
        [unapplied, "credit 100.00 USD income:sales"]
    );
}

#[test]
fn a_refund_comes_out_of_the_sales_as_far_as_the_payment_was_applied() {
    let clearing = "credit 60.00 USD assets:stripe:clearing";
    posts(
        &refunded(2, usd(60_00)),
        [],
        &["debit 60.00 USD liabilities:customers:unapplied", clearing],
    );
    posts(
        &refunded(2, usd(60_00)),
        [applied(usd(100_00))],
        &["debit 60.00 USD contra:refunds", clearing],
    );
    posts(
        &refunded(3, usd(60_00)),
        [applied(usd(100_00)), refunded(2, usd(60_00))],
        &[
            "debit 40.00 USD contra:refunds",
            "debit 20.00 USD liabilities:customers:unapplied",
            clearing,
        ],
    );
}

/// Red when the failed refund's amount counts as sold again: the sales would be taken back twice.
#[test]
fn a_refund_after_a_failed_one_comes_out_of_the_customers_money() {
    let before = [
        applied(usd(100_00)),
        refunded(2, usd(100_00)),
        failed(2, usd(100_00), true),
    ];
    posts(
        &refunded(3, usd(100_00)),
        before,
        &[
            "debit 100.00 USD liabilities:customers:unapplied",
            "credit 100.00 USD assets:stripe:clearing",
        ],
    );
}

#[test]
fn a_refund_that_failed_after_it_succeeded_is_owed_by_stripe_again() {
    let expected = [
        "debit 60.00 USD assets:stripe:clearing",
        "credit 60.00 USD liabilities:customers:unapplied",
    ];
    posts(
        &failed(2, usd(60_00), true),
        [refunded(2, usd(60_00))],
        &expected,
    );
    posts(&failed(2, usd(60_00), false), [], &[]);
}

#[test]
fn a_dispute_moves_what_is_withdrawn_and_loses_only_that() {
    let lost = [
        "debit 100.00 USD expenses:disputes",
        "credit 100.00 USD assets:stripe:disputed",
    ];
    posts(
        &withdrawn(),
        [],
        &[
            "debit 100.00 USD assets:stripe:disputed",
            "credit 100.00 USD assets:stripe:clearing",
        ],
    );
    let back = [
        "debit 100.00 USD assets:stripe:clearing",
        "credit 100.00 USD assets:stripe:disputed",
    ];
    posts(&reinstated(), [withdrawn()], &back);
    posts(&closed(false), [withdrawn()], &lost);
    posts(&closed(true), [withdrawn()], &[]);
    posts(&closed(false), [withdrawn(), reinstated()], &[]);
    posts(&closed(false), [], &[]);
}

#[test]
fn a_dispute_reported_as_lost_before_the_withdrawal_is_lost_with_it() {
    let entries = payment_entries(&withdrawn(), &payment([closed(false)]));
    assert_eq!(
        posted(&entries[1..]),
        [
            "debit 100.00 USD expenses:disputes",
            "credit 100.00 USD assets:stripe:disputed"
        ]
    );
}

#[test]
fn what_moves_no_money_posts_nothing() {
    posts(&PaymentEvent::Succeeded { intention: None }, [], &[]);
    posts(&applied(usd(100_00)), [], &[]);
    let inquiry = PaymentEvent::DisputeOpened {
        dispute: "dp_1".to_owned(),
        amount: usd(100_00),
        reason: "general".to_owned(),
        inquiry: true,
    };
    posts(&inquiry, [], &[]);
}

#[test]
fn an_accounts_name_is_read_back() {
    for account in Account::iter() {
        assert_eq!(account.as_str().parse(), Ok(account));
        assert_eq!(
            serde_json::to_string(&account).unwrap(),
            format!("{:?}", account.as_str())
        );
    }
}

/// Red when sums are kept in 64 bits: four times 2^62 wraps to nothing.
#[test]
fn an_unbalanced_entry_cannot_be_built_or_read() {
    let (clearing, sales) = (Account::StripeClearing, Account::Sales);
    let refused = [
        vec![],
        vec![Line::debit(clearing, usd(1))],
        vec![Line::debit(clearing, usd(2)), Line::credit(sales, usd(1))],
        vec![Line::debit(clearing, usd(1)), Line::credit(sales, eur(1))],
        vec![Line::debit(clearing, usd(0)), Line::credit(sales, usd(0))],
        vec![Line::debit(clearing, usd(-1)), Line::credit(sales, usd(-1))],
        vec![Line::debit(clearing, usd(1 << 62)); 4],
    ];
    for lines in refused {
        let text = serde_json::to_string(&lines).unwrap();
        assert!(serde_json::from_str::<Entry>(&text).is_err(), "{text}");
        assert_eq!(Entry::new(lines), Err(Unbalanced));
    }
}

proptest! {
    /// Red when `Entry::new` adds up currencies together, or looks at the whole but not at each side's sign.
    #[test]
    fn an_entry_is_built_exactly_when_it_balances(lines in prop::collection::vec((any::<bool>(), any::<bool>(), 1..4_i64), 1..6), scale in 1..=i64::MAX / 4) {
        let lines: Vec<Line> = lines
            .into_iter()
            .map(|(debit, euros, minor)| {
                let amount = if euros { eur(minor * scale) } else { usd(minor * scale) };
                if debit { Line::debit(Account::StripeClearing, amount) } else { Line::credit(Account::Sales, amount) }
            })
            .collect();
        let difference = |currency| -> i128 {
            let of = lines.iter().filter(|it| it.amount.currency() == currency);
            of.map(|it| i128::from(it.amount.minor()) * if it.side == Side::Debit { 1 } else { -1 }).sum()
        };
        let balanced = difference(usd(1).currency()) == 0 && difference(eur(1).currency()) == 0;
        prop_assert_eq!(Entry::new(lines.clone()).is_ok(), balanced);
    }
}
