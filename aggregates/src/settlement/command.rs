//! What may be told of a payout, a balance transaction, or a line of a bank statement.

use crate::ids::{MerchantId, SettlementId};
use crate::money::Money;
use crate::settlement::event::{BankLineImported, Fee, Items};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// Something became known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettlementCommand {
    /// Stripe said how a payout stands.
    ObservePayout {
        merchant: MerchantId,
        seen: Box<PayoutSnapshot>,
    },
    /// Stripe listed all that a payout is made of.
    Itemise(Items),
    /// Stripe said how a balance transaction stands.
    ObserveTransaction {
        merchant: MerchantId,
        seen: Box<TransactionSnapshot>,
    },
    /// A bank statement was read.
    ImportBankLine(Box<BankLineImported>),
    /// To a payout: this line of a bank statement is its arrival, or its return.
    MeetBankLine { line: SettlementId, amount: Money },
    /// To a line of a bank statement: it is the arrival, or the return, of this payout (`po_…`). Issued together with the
    /// payout's `MeetBankLine`.
    MatchPayout { payout: String },
    /// A person says that the line is not its payout's. Issued together with the payout's `PartFromLine`.
    UnmatchLine,
    /// To a payout: this line is neither its arrival nor its return.
    PartFromLine { line: SettlementId },
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

/// Stripe's balance transaction, in our words. Amounts are signed. Times are Stripe's, seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionSnapshot {
    /// Stripe's id (`txn_…`).
    pub balance_transaction: String,
    pub kind: String,
    pub category: String,
    pub amount: Money,
    pub fee: Money,
    pub fees: Vec<Fee>,
    pub net: Money,
    /// Stripe's id of what moved it.
    pub source: Option<String>,
    /// What was moved in the currency of its source, as the source tells it: without a sign.
    pub source_amount: Option<Money>,
    pub exchange_rate: Option<Decimal>,
    pub created: i64,
    pub available_on: i64,
    pub available: bool,
    /// The automatic payout (`po_…`) in whose list it was seen.
    pub payout: Option<String>,
}
