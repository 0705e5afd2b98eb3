//! The figures that people ask "why?" of: what an order and a payment come to, and what Stripe kept of it.

use crate::money::Money;
use crate::order::state::{Facts as OrderFacts, Status};
use crate::payment::state::Facts as PaymentFacts;
use crate::settlement::BalanceTransactionObserved;

/// A figure of an order or of a payment.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, strum::Display, strum::EnumIter,
)]
#[strum(serialize_all = "snake_case")]
pub enum Figure {
    /// What an order costs, its tax included.
    Total,
    /// The part of that which is tax.
    Tax,
    /// What paid the order.
    Paid,
    /// What is still to be paid of an open order.
    Due,
    /// Money that came for the order and does not pay it.
    Unapplied,
    /// What is held and not taken.
    Authorized,
    /// What was taken, refunds not deducted.
    Captured,
    /// The part of what was taken that paid an order.
    Applied,
    /// What was given back.
    Refunded,
    /// What is being given back.
    RefundsOpen,
    /// What disputes have withdrawn and not reinstated.
    Disputed,
    /// What Stripe keeps, by its own bookings.
    Fee,
    /// What came to the balance at Stripe, by its own bookings: fees, refunds and disputes are off it.
    Net,
}

/// An order's own.
pub fn of_order(it: &OrderFacts) -> [(Figure, Money); 5] {
    let (total, none) = (it.total(), Money::zero(it.total().currency()));
    let (paid, due) = match it.status {
        Status::Open => (none, total),
        Status::Paid { .. } => (total, none),
        Status::Cancelled { .. } => (none, none),
    };
    // What came in another currency is told by its payment.
    let unapplied = it.mispaid.values();
    let unapplied = unapplied.filter(|it| it.currency() == total.currency());
    let unapplied = unapplied.map(|it| it.minor()).fold(0, i64::saturating_add);
    [
        (Figure::Total, total),
        (Figure::Tax, it.price.tax),
        (Figure::Paid, paid),
        (Figure::Due, due),
        (Figure::Unapplied, Money::new(unapplied, total.currency())),
    ]
}

/// A payment's own.
pub fn of_payment(it: &PaymentFacts) -> [(Figure, Money); 6] {
    let withdrawn = it.disputes.values().map(|it| it.withdrawn.minor());
    let withdrawn = withdrawn.fold(0, i64::saturating_add);
    [
        (Figure::Authorized, it.authorized),
        (Figure::Captured, it.captured),
        (Figure::Applied, it.applied),
        (Figure::Refunded, it.refunded()),
        (Figure::RefundsOpen, it.refunds_open()),
        (
            Figure::Disputed,
            Money::new(withdrawn, it.amount.currency()),
        ),
    ]
}

/// What a booking of Stripe's adds to them, in the currency that the account settles in.
pub fn of_booking(it: &BalanceTransactionObserved) -> [(Figure, Money); 2] {
    [(Figure::Fee, it.fee), (Figure::Net, it.net)]
}
