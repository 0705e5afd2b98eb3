//! What has happened to what is settled. Past tense, for ever.

use crate::ids::{MerchantId, SettlementId};
use crate::money::Money;
use chrono::NaiveDate;
use cqrs_es::DomainEvent;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// Every fact of a payout, a balance transaction, or a line of a bank statement.
#[derive(
    Debug,
    Clone,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    strum::IntoStaticStr,
    strum::EnumDiscriminants,
)]
#[strum_discriminants(
    derive(strum::EnumIter, strum::IntoStaticStr),
    name(SettlementEventKind)
)]
pub enum SettlementEvent {
    /// Stripe made it. How far it has come since is told by the events that follow.
    PayoutObserved(Box<PayoutObserved>),
    /// It is on its way to the bank.
    PayoutInTransit(Turn),
    /// It is at the bank, as far as Stripe knows.
    PayoutPaid(Turn),
    /// The bank did not take it, or sent it back: the money is at Stripe again. May come days after `PayoutPaid`.
    PayoutFailed {
        turn: Turn,
        code: Option<String>,
        failure_balance_transaction: Option<String>,
    },
    /// It was called off before it left.
    PayoutCanceled(Turn),
    /// Stripe has told which balance transactions it is made of.
    PayoutReconciled,
    /// The balance transactions that it is made of were counted.
    PayoutItemised(Items),
    /// This line of a bank statement is its arrival.
    PayoutArrived { line: SettlementId },
    /// With this line the bank sent it back.
    PayoutReturned { line: SettlementId },
    /// A person said that this line is not its own: it is awaited at the bank again.
    PayoutUnmatched { line: SettlementId },

    /// Stripe booked a movement of the account's balance. Posts its entry.
    BalanceTransactionObserved(Box<BalanceTransactionObserved>),
    /// Its money can be paid out, since `available_on`, seconds since 1970.
    BalanceTransactionAvailable { available_on: i64 },
    /// It went into this automatic payout (`po_…`).
    BalanceTransactionPaidOut { payout: String },

    /// A bank statement has this line.
    BankLineImported(Box<BankLineImported>),
    /// The line is the arrival or the return of this payout (`po_…`). Posts its entry.
    BankLineMatched {
        payout: String,
        amount: Money,
        booked_on: NaiveDate,
    },
    /// A person said that the line is not this payout's (`po_…`). Posts the reverse of its entry; from now on only people
    /// match it.
    BankLineUnmatched {
        payout: String,
        amount: Money,
        booked_on: NaiveDate,
    },

    /// What Stripe says contradicts what is known, or itself; nothing else changed.
    ObservationRefused { said: String, because: String },
}

/// A payout as it was made. Times are Stripe's, seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayoutObserved {
    pub merchant: MerchantId,
    /// Stripe's id (`po_…`).
    pub payout: String,
    /// Negative where Stripe takes the money from the bank.
    pub amount: Money,
    pub arrival_date: i64,
    pub created: i64,
    /// Made by schedule, so that it can be itemised.
    pub automatic: bool,
    /// `standard` or `instant`.
    pub method: String,
    pub balance_transaction: Option<String>,
}

/// What may have changed with a payout's status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// When the money is expected at the bank by now, seconds since 1970.
    pub arrival_date: i64,
    pub balance_transaction: Option<String>,
}

/// What a payout is made of, by Stripe's own list: so many balance transactions, which come to `net`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Items {
    pub count: u64,
    pub net: Money,
}

/// A balance transaction as Stripe booked it. Amounts are signed: money that leaves the balance is negative. Times are
/// Stripe's, seconds since 1970. Its description is left out, since it may name a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BalanceTransactionObserved {
    pub merchant: MerchantId,
    /// Stripe's id (`txn_…`).
    pub balance_transaction: String,
    /// Stripe's `type`, such as `adjustment`.
    pub kind: String,
    /// Stripe's `reporting_category`, such as `dispute_reversal`: what the entry goes by.
    pub category: String,
    /// Gross, in the currency that the account settles in.
    pub amount: Money,
    /// What Stripe keeps of it.
    pub fee: Money,
    pub fees: Vec<Fee>,
    /// What the balance changed by: `amount` less `fee`.
    pub net: Money,
    /// Stripe's id of what moved it (`ch_…`, `re_…`, `dp_…`, `po_…`).
    pub source: Option<String>,
    /// What was moved in the currency of its source, with the sign of `amount`; none where the source has no amount.
    pub origin: Option<Money>,
    /// From the currency of its source to that of the balance, where Stripe exchanged it.
    #[serde(with = "rust_decimal::serde::str_option")]
    pub exchange_rate: Option<Decimal>,
    pub created: i64,
    pub available_on: i64,
    /// Whether it could be paid out when it was first seen.
    pub available: bool,
}

/// A part of what Stripe keeps of a balance transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fee {
    /// Stripe's word: `stripe_fee`, `tax`, `application_fee`, …
    pub kind: String,
    pub amount: Money,
}

/// A line of a bank statement. Its text may name people, so nothing is kept of it but what it says of Stripe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BankLineImported {
    pub merchant: MerchantId,
    /// What the merchant calls its account with the bank.
    pub account: String,
    pub booked_on: NaiveDate,
    pub value_on: Option<NaiveDate>,
    /// Positive where money came into the account.
    pub amount: Money,
    /// The payout (`po_…`) that the line's text names.
    pub names_payout: Option<String>,
    /// Whether the line's text names Stripe.
    pub names_stripe: bool,
}

impl DomainEvent for SettlementEvent {
    fn event_type(&self) -> String {
        <&'static str>::from(self).to_owned()
    }

    fn event_version(&self) -> String {
        "1.0".to_owned()
    }
}
