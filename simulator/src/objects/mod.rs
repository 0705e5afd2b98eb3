//! Stripe's objects: the facts that the simulator keeps of each, and how each is rendered.
//!
//! A rendering has every field of Stripe's published schema of 2023-08-16 and what newer clients require; client secrets are `null` in it, and are
//! filled in where an answer or a delivery leaves (see [`Secrets::reveal`](crate::ids::Secrets::reveal)).

mod balance_transaction;
mod charge;
mod checkout_session;
mod customer;
mod dispute;
mod event;
mod payment_intent;
mod payment_method;
mod payout;
mod refund;
mod remembered;
mod webhook_endpoint;

pub use balance_transaction::{BalanceTransaction, BalanceType};
pub use charge::{Charge, ChargeStatus, Failure};
pub use checkout_session::{
    CheckoutSession, CustomerCreation, LineItem, PaymentStatus, RedirectOnCompletion,
    SessionStatus, UiMode,
};
pub use customer::Customer;
pub use dispute::{Dispute, DisputeStatus, EVIDENCE_FILES, EVIDENCE_TEXTS};
pub use event::{Cause, Delivery, DeliveryState, Event};
pub use payment_intent::{
    CancellationReason, CaptureMethod, ConfirmationMethod, Due, NextAction, PaymentIntent,
    PaymentIntentStatus, RequestThreeDSecure,
};
pub use payment_method::PaymentMethod;
pub use payout::{Payout, PayoutMethod, PayoutStatus, Schedule};
pub use refund::{Refund, RefundReason, RefundStatus};
pub use remembered::Remembered;
pub use webhook_endpoint::WebhookEndpoint;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// String pairs that the caller attaches.
pub type Metadata = BTreeMap<String, String>;

/// What the clock does to an object later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Later {
    /// An authorisation that nobody captured lapses.
    ExpireAuthorisation,
    /// A processing payment succeeds or is refused.
    FinishProcessing,
    /// A charge gets its balance transaction.
    SettleCharge,
    /// A charge is disputed.
    OpenDispute,
    /// Nobody paid a checkout in time.
    ExpireSession,
    /// The bank has read the evidence.
    DecideDispute,
    /// Nobody answered a dispute in time.
    LapseDispute,
    /// A payout arrives at the bank.
    FinishPayout,
    /// The available balance is paid out.
    PayOut,
    /// A pending refund succeeds, or a succeeded one fails.
    TurnRefund,
}

impl Later {
    /// Whether it has its date: a deadline that the merchant lets pass, or a day of the week. The rest merely takes a while.
    pub fn is_dated(self) -> bool {
        matches!(
            self,
            Self::ExpireAuthorisation | Self::ExpireSession | Self::LapseDispute | Self::PayOut
        )
    }
}

/// Something that is kept: in a table, and in the journal.
pub trait Entity: Clone + Send + Sync + 'static {
    /// Unique on the account.
    fn id(&self) -> &str;

    /// What the clock will do to it, and when (seconds of the simulator's clock).
    fn later(&self) -> Option<(i64, Later)> {
        None
    }
}

/// Any entity, as the journal holds it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Object {
    PaymentIntent(PaymentIntent),
    PaymentMethod(PaymentMethod),
    Charge(Charge),
    Dispute(Dispute),
    Payout(Payout),
    CheckoutSession(CheckoutSession),
    Schedule(Schedule),
    Customer(Customer),
    Refund(Refund),
    BalanceTransaction(BalanceTransaction),
    Event(Event),
    Delivery(Delivery),
    Remembered(Remembered),
    WebhookEndpoint(WebhookEndpoint),
}
