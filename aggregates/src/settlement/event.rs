//! What has happened to a payout. Past tense, for ever.

use crate::ids::MerchantId;
use crate::money::Money;
use cqrs_es::DomainEvent;
use serde::{Deserialize, Serialize};

/// Every fact of a payout.
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
    /// What Stripe says contradicts what is known; nothing else changed.
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

impl DomainEvent for SettlementEvent {
    fn event_type(&self) -> String {
        <&'static str>::from(self).to_owned()
    }

    fn event_version(&self) -> String {
        "1.0".to_owned()
    }
}
