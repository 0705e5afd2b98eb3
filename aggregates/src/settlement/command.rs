//! What may be told of a payout.

use crate::ids::MerchantId;
use crate::money::Money;
use serde::{Deserialize, Serialize};

/// There is one: Stripe said how it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettlementCommand {
    Observe {
        merchant: MerchantId,
        seen: Box<PayoutSnapshot>,
    },
}

/// Stripe's payout, in our words. Times are Stripe's, seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayoutSnapshot {
    /// Stripe's id (`po_…`).
    pub payout: String,
    /// Negative where Stripe takes the money from the bank.
    pub amount: Money,
    pub status: PayoutStatus,
    /// When the money is expected at the bank.
    pub arrival_date: i64,
    pub created: i64,
    /// Made by schedule, so that it can be itemised; false for one that was asked for.
    pub automatic: bool,
    /// `standard` or `instant`.
    pub method: String,
    pub balance_transaction: Option<String>,
    pub failure_code: Option<String>,
    /// The balance transaction that brings the money back.
    pub failure_balance_transaction: Option<String>,
    pub reconciliation_status: ReconciliationStatus,
}

/// Stripe's five states of a payout.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::EnumIter,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum PayoutStatus {
    Pending,
    InTransit,
    Paid,
    Failed,
    Canceled,
}

/// Whether Stripe has told which balance transactions a payout is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display, strum::EnumString, strum::EnumIter)]
#[strum(serialize_all = "snake_case")]
pub enum ReconciliationStatus {
    NotApplicable,
    InProgress,
    Completed,
}
