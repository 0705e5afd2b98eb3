//! Stripe, in the words of the domain.
//!
//! Everything asked of Stripe goes through [`Gateway`]. Whatever happens on the way, the answer is one of three: Stripe
//! said something, Stripe refused for good, or nobody knows ([`Outcome`]). Only `client` names async-stripe's
//! types, and nothing outside this folder sees Stripe's JSON but through [`IntentView`], and through [`StripeAnswer`] where a door
//! answers in Stripe's own shapes.

mod answers;
mod balance_transactions;
mod checkout_mark;
mod client;
mod disputes;
mod events;
mod lookup;
mod payouts;
mod snapshots;
mod wire;

pub use answers::{
    IntentView, RefundView, Unreadable, adoption_from, error_from, intent_from, refund_from,
};
pub use balance_transactions::{TransactionPage, TransactionView, transactions_from};
pub use checkout_mark::{CHECKOUT_KEY, CheckoutMark};
pub use client::{Card, Gateway};
pub use disputes::{dispute_from, dispute_state_from};
pub use events::EventPage;
pub use lookup::{shows_changes, shows_form};
pub use payouts::payout_from;
pub use snapshots::{ShownList, ShownPage, balance_from, shown_from};
pub use wire::{Account, GatewayOptions};

use aggregates::ids::{IntentionId, MerchantId, PaymentId};
use aggregates::payment::event::Refusal;
use aggregates::payment::state::{Refund, Step};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;

use crate::personal::Personal;

/// The key in Stripe's metadata that holds our payment's id.
pub const PAYMENT_KEY: &str = "counterfoil_payment";
/// The key in Stripe's metadata that holds our refund's id.
pub const REFUND_KEY: &str = "counterfoil_refund";
/// The key in Stripe's metadata that holds the merchant's id.
pub const MERCHANT_KEY: &str = "counterfoil_merchant";
/// The key in Stripe's metadata that holds the id of the request that made an object no payment carries.
pub const REQUEST_KEY: &str = "counterfoil_request";

/// What came of asking Stripe.
#[derive(Debug)]
pub enum Outcome<T> {
    /// It answered. For a step of a payment this may be a decline: the intent then says so.
    Said(T),
    /// It refused the request for good; nothing came of it.
    Refused(Refusal),
    /// Nobody knows whether it was done: no answer, a 5xx, too many requests, our own key refused. The same request with
    /// the same idempotency key may be sent again.
    Unknown(Silence),
}

/// Why an outcome is not known.
#[derive(Debug, Clone)]
pub struct Silence {
    pub kind: SilenceKind,
    /// For logs: no body, no secret.
    pub why: String,
}

/// The kinds of silence, as far as it matters what is done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum SilenceKind {
    /// It could not be sent: no key is configured, or it lacks what it is about.
    NotSent,
    NoConnection,
    TimeOut,
    ConnectionBroke,
    /// A 5xx, for the first time.
    ServerError,
    /// A 5xx that Stripe keeps under our key: asking again gives it again, for as long as the key lives.
    StoredError,
    /// 429.
    TooManyRequests,
    /// 409: the same request still runs there.
    StillRunning,
    /// 401 or 403: our own key is not good.
    KeyRefused,
    /// It answered, and what it said cannot be read.
    Unreadable,
    /// A list is too long to be read to its end.
    ListTooLong,
}

impl Silence {
    pub(in crate::gateway) fn new(kind: SilenceKind, why: impl Into<String>) -> Self {
        Self {
            kind,
            why: why.into(),
        }
    }

    /// Whether it speaks of Stripe, or the way to it, being out of order altogether, rather than of this one request.
    pub fn is_outage(&self) -> bool {
        use SilenceKind as K;
        matches!(
            self.kind,
            K::NoConnection
                | K::TimeOut
                | K::ConnectionBroke
                | K::ServerError
                | K::TooManyRequests
                | K::KeyRefused
        )
    }
}

/// Stripe's own words: what a door answers in Stripe's shapes is made of. Its `Debug` says nothing, since a client secret
/// may be in it.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct StripeAnswer {
    /// Of HTTP; never one that leaves the outcome open.
    pub status: u16,
    pub body: Value,
    /// Stripe had given it before, under the same idempotency key.
    #[serde(skip)]
    pub replayed: bool,
}

impl fmt::Debug for StripeAnswer {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "StripeAnswer({})", self.status)
    }
}

/// A request to Stripe that no payment makes. It has no `Debug`: what a caller says may be about a person.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    pub verb: Verb,
    /// Below the version: `/customers/cus_1`.
    pub path: &'a str,
    /// Form-encoded: the query of a `Get`, the body of a `Post`.
    pub parameters: Option<&'a str>,
    /// Stripe's idempotency key; none for a read.
    pub key: Option<&'a str>,
}

/// How Stripe is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Get,
    Post,
    Delete,
}

/// One step of a payment, to be asked of Stripe under the key of its intention.
#[derive(Debug, Clone, Copy)]
pub struct Effect<'a> {
    pub merchant: &'a MerchantId,
    pub payment: PaymentId,
    pub intention: IntentionId,
    pub step: &'a Step,
    /// Stripe's id of the intent; none only for a create.
    pub intent: Option<&'a str>,
    /// The person's data, in the clear for this one call.
    pub personal: Option<&'a Personal>,
}

/// A refund, to be asked of Stripe under the key of its intention.
#[derive(Debug, Clone, Copy)]
pub struct RefundEffect<'a> {
    pub merchant: &'a MerchantId,
    pub payment: PaymentId,
    pub intent: &'a str,
    pub refund: &'a Refund,
}

/// An answer of Stripe's, as everything that it could be: for fuzzers.
pub(crate) fn parse(bytes: &[u8]) {
    let Ok(object) = answers::object_from(bytes) else {
        return;
    };
    let merchant: MerchantId = "acme".parse().expect("it is one");
    let _ = (
        intent_from(object.clone()),
        refund_from(object.clone()),
        payout_from(object.clone()),
    );
    let _ = adoption_from(object.clone(), &merchant, "fuzzed");
    let _ = dispute_from("charge.dispute.created", object.clone());
    let _ = dispute_state_from(object.clone());
    let _ = shows_form(&object, "amount=1&metadata[a]=b");
    let _ = error_from(400, object);
}
