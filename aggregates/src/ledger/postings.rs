//! The design's table: which accounts an event debits and credits. An event without a line there moves no money.

use crate::ledger::entry::{Account, Entry, Line};
use crate::money::Money;
use crate::order::OrderEvent;
use crate::order::state::Order;
use crate::payment::PaymentEvent;
use crate::payment::state::{Facts, Payment};
use crate::settlement::{BalanceTransactionObserved, SettlementEvent};

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
        ) => moved(
            *amount,
            Account::StripeClearing,
            Account::CustomersUnapplied,
        ),
        (
            PaymentEvent::DisputeFundsWithdrawn {
                dispute, amount, ..
            },
            Some(before),
        ) => withdrawn(dispute, *amount, before),
        (PaymentEvent::DisputeFundsReinstated { amount, .. }, _) => {
            moved(*amount, Account::StripeClearing, Account::StripeDisputed)
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

/// Where the dispute was lost before the funds were reported as withdrawn, the loss is posted with them. Stripe's fee is
/// posted with what Stripe books for the dispute.
fn withdrawn(dispute: &str, amount: Money, before: &Facts) -> Vec<Entry> {
    let lost = before
        .disputes
        .get(dispute)
        .is_some_and(|it| it.won == Some(false) && !it.funds_reinstated);
    let mut entries = moved(amount, Account::StripeDisputed, Account::StripeClearing);
    if lost {
        entries.extend(moved(amount, Account::Disputes, Account::StripeDisputed));
    }
    entries
}

/// What an event of a payout, a balance transaction or a bank's line posts. A payout moves money where Stripe books it, and
/// where the bank does: what it tells of itself posts nothing.
pub fn settlement_entries(event: &SettlementEvent) -> Vec<Entry> {
    match event {
        SettlementEvent::BalanceTransactionObserved(it) => booked(it).into_iter().collect(),
        SettlementEvent::BankLineMatched { amount, .. } => {
            between(*amount, Account::Bank, Account::BankInTransit)
        }
        SettlementEvent::BankLineUnmatched { amount, .. } => {
            between(*amount, Account::BankInTransit, Account::Bank)
        }
        _ => vec![],
    }
}

/// What the balance changed by, what Stripe kept of it, and the gross of it to where it came from. Money of another currency
/// is exchanged: each currency balances in itself. None where nothing moved.
fn booked(it: &BalanceTransactionObserved) -> Option<Entry> {
    let (gross, currency) = (it.amount.minor(), it.amount.currency());
    let from = counterpart(&it.category);
    let exchanged = it
        .origin
        .filter(|origin| from == Account::StripeClearing && origin.currency() != currency);
    let net = it.amount.minus(it.fee).ok()?;
    let mut lines = vec![
        Line::signed(Account::StripeBalance, net.minor(), currency),
        Line::signed(Account::StripeFees, it.fee.minor(), currency),
    ];
    let came_from = gross.checked_neg()?;
    if let Some(origin) = exchanged {
        let (minor, of) = (origin.minor(), origin.currency());
        lines.push(Line::signed(Account::Exchange, came_from, currency));
        lines.push(Line::signed(Account::Exchange, minor, of));
        lines.push(Line::signed(from, minor.checked_neg()?, of));
    } else if it.exchange_rate.is_some() && it.origin.is_none() && from == Account::StripeClearing {
        // It was exchanged, and from what is not known: nothing that is known can be cleared with it.
        lines.push(Line::signed(Account::Suspense, came_from, currency));
    } else {
        lines.push(Line::signed(from, came_from, currency));
    }
    Entry::new(lines.into_iter().flatten().collect()).ok()
}

/// Where the gross of a balance transaction comes from (or goes to), by Stripe's reporting category.
fn counterpart(category: &str) -> Account {
    match category {
        "charge"
        | "refund"
        | "refund_failure"
        | "dispute"
        | "dispute_reversal"
        | "partial_capture_reversal" => Account::StripeClearing,
        "payout" | "payout_reversal" | "topup" | "topup_reversal" => Account::BankInTransit,
        "fee" | "network_cost" | "tax" => Account::StripeFees,
        "risk_reserved_funds"
        | "connect_reserved_funds"
        | "payout_minimum_balance_hold"
        | "payout_minimum_balance_release" => Account::StripeReserve,
        _ => Account::Suspense,
    }
}

/// From one account to another; the other way where the amount is negative.
fn between(amount: Money, to: Account, from: Account) -> Vec<Entry> {
    let (minor, currency) = (amount.minor(), amount.currency());
    let came = Line::signed(to, minor, currency);
    let back = minor.checked_neg();
    let went = back.and_then(|it| Line::signed(from, it, currency));
    let lines = came.into_iter().chain(went).collect();
    Entry::new(lines).into_iter().collect()
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
