//! The design's table: which accounts an event debits and credits. An event without a line there moves no money.

use crate::ledger::entry::{Account, Entry, Line};
use crate::money::Money;
use crate::order::OrderEvent;
use crate::order::state::Order;
use crate::payment::PaymentEvent;
use crate::payment::state::{Facts, Payment};

/// What an event of a payment posts. `before` is the payment as it stood before the event.
pub fn payment_entries(event: &PaymentEvent, before: &Payment) -> Vec<Entry> {
    match (event, before.facts()) {
        (PaymentEvent::Captured { amount, .. }, _) => moved(
            *amount,
            Account::StripeClearing,
            Account::CustomersUnapplied,
        ),
        (PaymentEvent::Refunded { amount, .. }, Some(before)) => refunded(*amount, before),
        (
            PaymentEvent::RefundFailed {
                amount,
                had_succeeded: true,
                ..
            },
            _,
        ) => moved(*amount, Account::StripeBalance, Account::CustomersUnapplied),
        (
            PaymentEvent::DisputeFundsWithdrawn {
                dispute,
                amount,
                fee_minor,
            },
            Some(before),
        ) => withdrawn(dispute, *amount, *fee_minor, before),
        (PaymentEvent::DisputeFundsReinstated { amount, .. }, _) => {
            moved(*amount, Account::StripeBalance, Account::StripeDisputed)
        }
        (
            PaymentEvent::DisputeClosed {
                dispute,
                won: false,
                ..
            },
            Some(before),
        ) => {
            let lost = before.disputes.get(dispute).map(|it| it.withdrawn);
            lost.map_or(vec![], |amount| {
                moved(amount, Account::Disputes, Account::StripeDisputed)
            })
        }
        _ => vec![],
    }
}

/// What an event of an order posts. `before` is the order as it stood before the event.
pub fn order_entries(event: &OrderEvent, before: &Order) -> Vec<Entry> {
    let (OrderEvent::OrderPaid { amount, .. }, Some(facts)) = (event, before.facts()) else {
        return vec![];
    };
    let tax = part_of(*amount, facts.price.tax);
    let sales = amount.minus(tax).expect(PART);
    entry([
        Line::debit(Account::CustomersUnapplied, *amount),
        Line::credit(Account::Sales, sales),
        Line::credit(Account::Tax, tax),
    ])
}

/// What was sold is taken back from the sales, as far as it was; the rest was the customer's own all along.
fn refunded(amount: Money, before: &Facts) -> Vec<Entry> {
    let sold = before.out_of_sales(amount);
    let own = amount.minus(sold).expect(PART);
    entry([
        Line::debit(Account::Refunds, sold),
        Line::debit(Account::CustomersUnapplied, own),
        Line::credit(Account::StripeClearing, amount),
    ])
}

/// Where the dispute was lost before the funds were reported as withdrawn, the loss is posted with them.
fn withdrawn(dispute: &str, amount: Money, fee_minor: i64, before: &Facts) -> Vec<Entry> {
    let fee = Money::new(fee_minor, amount.currency());
    let lost = before
        .disputes
        .get(dispute)
        .is_some_and(|it| it.won == Some(false) && !it.funds_reinstated);
    let mut entries = entry([
        Line::debit(Account::StripeDisputed, amount),
        Line::debit(Account::StripeFees, fee),
        Line::credit(Account::StripeBalance, amount),
        Line::credit(Account::StripeBalance, fee),
    ]);
    if lost {
        entries.extend(moved(amount, Account::Disputes, Account::StripeDisputed));
    }
    entries
}

fn moved(amount: Money, debit: Account, credit: Account) -> Vec<Entry> {
    entry([Line::debit(debit, amount), Line::credit(credit, amount)])
}

const PART: &str = "a part is in the currency of its whole and no larger";

/// The tax in an amount that was paid, or as much of it as the amount can hold.
fn part_of(amount: Money, tax: Money) -> Money {
    let same = tax.currency() == amount.currency();
    let minor = tax.minor().min(amount.minor()).max(0);
    Money::new(if same { minor } else { 0 }, amount.currency())
}

/// One entry of the lines that are not zero. None where nothing moves.
fn entry<const N: usize>(lines: [Line; N]) -> Vec<Entry> {
    let moving = |line: &Line| line.amount.is_positive();
    let lines: Vec<Line> = lines.into_iter().filter(moving).collect();
    if lines.is_empty() {
        return vec![];
    }
    vec![Entry::new(lines).expect("each posting names both sides of what it moves")]
}
