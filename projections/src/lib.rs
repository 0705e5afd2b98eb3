//! Events to rows, and rows back out.
//!
//! Every read model is a deterministic fold of events. What answers need at once ([`TABLES`]) is folded in the append's own
//! statement ([`fold`]); the [`journal`] is caught up behind it. A rebuild runs the same functions.
#![forbid(unsafe_code)]

pub mod articles;
pub mod balance_transactions;
pub mod balances;
pub mod bank_lines;
pub mod books;
pub mod entries;
pub mod exports;
pub mod figures;
pub mod fold;
pub mod journal;
pub mod listed;
pub mod lives;
mod moments;
pub mod offers;
pub mod orders;
pub mod parked;
pub mod payments;
pub mod payouts;
pub mod periods;
pub mod rebuild;
pub mod reconciliations;
pub mod refunds;
pub mod stripe_requests;

use eventstore::Table;

/// The tables that the append folds, for [`eventstore`]'s log to know.
pub const TABLES: &[Table] = &[
    orders::TABLE,
    payments::TABLE,
    refunds::TABLE,
    balances::TABLE,
    stripe_requests::TABLE,
    payouts::TABLE,
    balance_transactions::TABLE,
    bank_lines::TABLE,
    reconciliations::RUNS,
    reconciliations::BREAKS,
    offers::TABLE,
    articles::TABLE,
    parked::TABLE,
];

/// A count for a `bigint` column. Versions and counts are far below its limit.
pub(crate) fn int8(count: u64) -> i64 {
    i64::try_from(count).expect("a stream holds fewer than 2^63 events")
}
