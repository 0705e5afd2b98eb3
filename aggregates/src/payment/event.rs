//! What has happened to a payment. Past tense, for ever: a changed shape is a new version with an upcaster.

use crate::ids::{IntentionId, MerchantId, OrderId, RefundId};
use crate::money::Money;
use crate::parking::ByHand;
use crate::payment::description::Description;
use crate::payment::terms::{CaptureMethod, ConfirmTerms, Metadata, Parameters};
use crate::sealed::Sealed;
use cqrs_es::DomainEvent;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Every fact of a payment.
///
/// An *intention* (`…Requested`) is recorded before Stripe hears anything; its [`IntentionId`] is the event's own id, and
/// Stripe's idempotency key is derived from it. An *outcome* names the intention that it ends, or none where Stripe
/// reported a thing that nobody here had asked for (a customer paid, a refund was made in Stripe's dashboard).
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
#[strum_discriminants(derive(strum::EnumIter, strum::IntoStaticStr), name(PaymentEventKind))]
pub enum PaymentEvent {
    /// Intention: a payment intent is to be made at Stripe with exactly these parameters.
    CreateRequested(Box<CreateRequested>),
    /// Stripe made the intent.
    Created(Created),
    /// Stripe refused to make it; nothing exists there.
    CreateRefused {
        intention: IntentionId,
        refusal: Refusal,
    },

    /// An intent that was made elsewhere comes into the ledger, as if it had been created here. Nothing is asked of Stripe;
    /// how far it has come is told by the events that follow.
    Adopted(Box<Adopted>),

    /// Intention: the intent is to be changed.
    UpdateRequested {
        intention: IntentionId,
        changes: Box<Changes>,
    },
    /// Stripe took the change; `payment_method` as it stands after it, and the open `status` that it left the intent in
    /// (none where it changed no status: the intent is processing, held, or finished).
    Updated {
        intention: IntentionId,
        changes: Box<Changes>,
        status: Option<OpenStatus>,
        payment_method: Option<String>,
    },
    UpdateRefused {
        intention: IntentionId,
        refusal: Refusal,
    },

    /// Intention: the customer's payment is to be attempted.
    ConfirmRequested {
        intention: IntentionId,
        payment_method: Option<String>,
        terms: ConfirmTerms,
    },
    /// Stripe refused to attempt it (not a decline: the request itself was refused).
    ConfirmRefused {
        intention: IntentionId,
        refusal: Refusal,
    },
    /// The customer has to act (3-D Secure). The address to act at is Stripe's to tell: it is fetched, never stored.
    RequiresAction {
        intention: Option<IntentionId>,
        payment_method: Option<String>,
    },
    /// The payment method's network is at work.
    Processing {
        intention: Option<IntentionId>,
        payment_method: Option<String>,
    },
    /// Money is held, not taken: it may be captured up to `amount`.
    Authorized {
        intention: Option<IntentionId>,
        amount: Money,
        charge: Option<String>,
        payment_method: Option<String>,
    },
    /// Money was taken.
    Captured {
        intention: Option<IntentionId>,
        amount: Money,
        charge: Option<String>,
        payment_method: Option<String>,
    },
    /// The intent is finished and paid. Final.
    Succeeded {
        intention: Option<IntentionId>,
    },
    /// The attempt failed; another payment method may be tried.
    Declined {
        intention: Option<IntentionId>,
        decline: Decline,
    },
    /// Stripe says the intent stands open at `status` again (a method was attached or taken off outside).
    Reopened {
        status: OpenStatus,
        payment_method: Option<String>,
    },

    /// Intention: `amount` of what is held is to be taken, the rest let go.
    CaptureRequested {
        intention: IntentionId,
        amount: Money,
        #[serde(default, skip_serializing_if = "Parameters::is_empty")]
        parameters: Parameters,
    },
    CaptureRefused {
        intention: IntentionId,
        refusal: Refusal,
    },

    /// Intention: the intent is to be cancelled.
    CancelRequested {
        intention: IntentionId,
        reason: Option<CancellationReason>,
        #[serde(default, skip_serializing_if = "Parameters::is_empty")]
        parameters: Parameters,
    },
    CancelRefused {
        intention: IntentionId,
        refusal: Refusal,
    },
    /// The intent is cancelled. Final. `canceled_at` is Stripe's time, seconds since 1970.
    Cancelled {
        intention: Option<IntentionId>,
        reason: Option<String>,
        canceled_at: Option<i64>,
    },

    /// Intention: `amount` is to be given back. The refund's id is the intention's.
    RefundRequested {
        refund: RefundId,
        amount: Money,
        reason: Option<RefundReason>,
        metadata: Metadata,
        #[serde(default, skip_serializing_if = "Parameters::is_empty")]
        parameters: Parameters,
    },
    /// Stripe took the refund on, the money is not there yet.
    RefundPending {
        refund: RefundId,
        amount: Money,
        stripe_refund: String,
        /// When Stripe made it, by its clock, seconds since 1970; none where it did not tell.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        created: Option<i64>,
    },
    /// The money was given back. Where nobody here asked for it (`observed`), it is a fact all the same.
    Refunded {
        refund: RefundId,
        amount: Money,
        stripe_refund: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        created: Option<i64>,
        observed: bool,
    },
    /// Stripe refused the refund; nothing moved.
    RefundRefused {
        refund: RefundId,
        refusal: Refusal,
    },
    /// A refund failed after Stripe had taken it on: the money is back at Stripe.
    RefundFailed {
        refund: RefundId,
        amount: Money,
        stripe_refund: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        created: Option<i64>,
        reason: Option<String>,
        had_succeeded: bool,
    },

    /// A pending refund was called off; nothing was given back.
    RefundCancelled {
        refund: RefundId,
        amount: Money,
        stripe_refund: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        created: Option<i64>,
    },

    /// The money of this payment was applied to its order (recorded together with `OrderPaid`).
    Applied {
        order: OrderId,
        amount: Money,
    },

    DisputeOpened {
        dispute: String,
        amount: Money,
        reason: String,
        inquiry: bool,
    },
    DisputeFundsWithdrawn {
        dispute: String,
        amount: Money,
        fee_minor: i64,
    },
    DisputeFundsReinstated {
        dispute: String,
        amount: Money,
    },
    DisputeClosed {
        dispute: String,
        amount: Money,
        won: bool,
    },

    /// Nobody could find out what came of an intention: it waits for people, who are shown `reason`.
    IntentionParked {
        intention: IntentionId,
        /// What was asked of Stripe, in a word: `capture`.
        what: String,
        reason: String,
    },
    /// One person (the maker) says what became of a parked intention. It counts once another approves.
    SettlementProposed {
        intention: IntentionId,
        outcome: ByHand,
        by: String,
        because: String,
    },
    /// Another person (the checker) approved; the outcome itself is told by the events that follow.
    SettledByHand {
        intention: IntentionId,
        outcome: ByHand,
        proposed_by: String,
        approved_by: String,
        because: String,
    },
    /// From here on it is to pay this order: it was begun without one.
    OrderAssigned {
        order: OrderId,
    },
    /// What the order's system says of it, as a whole.
    Described(Box<Description>),
    /// The order's system has thrown it away: it is in no list of payment sources any more. Its history stays.
    Discarded,

    /// Something Stripe said that contradicts what is final here, or is older than what is known; kept, not applied.
    ObservationRefused {
        said: String,
        because: String,
    },
    /// The key of this payment's personal data was deleted; what was sealed can no longer be read.
    PersonalDataErased {
        subject: String,
    },
}

impl DomainEvent for PaymentEvent {
    fn event_type(&self) -> String {
        <&'static str>::from(self).to_owned()
    }

    /// 1.1 added Stripe's own parameters to what is asked of it, and to refunds the time when Stripe made them. An event of
    /// 1.0 is one that has none: what is empty is left out in writing and filled in by reading, so each of the two is read
    /// as the other.
    fn event_version(&self) -> String {
        let version = match self {
            Self::CreateRequested(_)
            | Self::UpdateRequested { .. }
            | Self::Updated { .. }
            | Self::ConfirmRequested { .. }
            | Self::CaptureRequested { .. }
            | Self::CancelRequested { .. }
            | Self::RefundRequested { .. }
            | Self::RefundPending { .. }
            | Self::Refunded { .. }
            | Self::RefundFailed { .. }
            | Self::RefundCancelled { .. } => "1.1",
            _ => "1.0",
        };
        version.to_owned()
    }
}

/// The exact parameters of the intent to be made. Amounts in minor units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateRequested {
    pub intention: IntentionId,
    pub merchant: MerchantId,
    /// The order this pays, where it pays one of ours.
    pub order: Option<OrderId>,
    pub amount: Money,
    pub capture_method: CaptureMethod,
    pub payment_method: Option<String>,
    pub customer: Option<String>,
    pub description: Option<String>,
    /// The caller's own metadata, as it goes to Stripe beside ours.
    pub metadata: Metadata,
    /// What a door keeps to echo (the seed's `quantity`, `merchant_order_id`, the currency as sent, …). Never sent to Stripe.
    pub attributes: BTreeMap<String, String>,
    /// Receipt e-mail, shipping: sealed.
    pub personal: Option<Sealed>,
    /// Where the caller asked to create and confirm at once: what the confirmation will be asked with.
    pub then_confirm: Option<ConfirmTerms>,
    #[serde(default, skip_serializing_if = "Parameters::is_empty")]
    pub parameters: Parameters,
}

/// Stripe's answer to a create.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Created {
    pub intention: IntentionId,
    /// Stripe's id of the intent (`pi_…`).
    pub intent: String,
    pub status: OpenStatus,
    pub payment_method: Option<String>,
    /// Stripe's time, seconds since 1970.
    pub created: i64,
    pub livemode: bool,
}

/// An intent that was made before us, in Stripe's dashboard, or by a checkout session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adopted {
    pub merchant: MerchantId,
    /// The order this pays, where it pays one of ours.
    pub order: Option<OrderId>,
    /// Stripe's id of the intent (`pi_…`).
    pub intent: String,
    pub amount: Money,
    pub capture_method: CaptureMethod,
    pub status: OpenStatus,
    pub payment_method: Option<String>,
    pub customer: Option<String>,
    pub description: Option<String>,
    /// The caller's own, without ours.
    pub metadata: Metadata,
    /// Stripe's time, seconds since 1970.
    pub created: i64,
    pub livemode: bool,
    /// The checkout session (`cs_…`) that made the intent, where one did.
    pub checkout_session: Option<String>,
    /// What brought it in, in a word: `webhook`, `change`.
    pub reason: String,
}

/// The open states an intent can be created in or left in by an update.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display, strum::EnumString,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum OpenStatus {
    RequiresPaymentMethod,
    RequiresConfirmation,
    RequiresAction,
    RequiresCapture,
}

/// A change to an intent: only what is named changes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Changes {
    pub amount: Option<Money>,
    pub payment_method: Option<String>,
    pub customer: Option<String>,
    pub description: Option<String>,
    /// Keys to set; an empty value unsets its key.
    pub metadata: BTreeMap<String, String>,
    /// All metadata is unset first.
    pub clear_metadata: bool,
    pub attributes: BTreeMap<String, String>,
    /// The whole of the personal data as it stands after the change.
    pub personal: Option<Sealed>,
    #[serde(skip_serializing_if = "Parameters::is_empty")]
    pub parameters: Parameters,
}

/// Stripe said no for good to one request: nothing came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Stripe's HTTP status.
    pub status: u16,
    /// Stripe's error type, such as `invalid_request_error`.
    pub kind: String,
    pub code: Option<String>,
    pub message: String,
    pub param: Option<String>,
}

/// Why an attempt to pay failed, in Stripe's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decline {
    pub code: String,
    pub decline_code: Option<String>,
    pub message: String,
    pub charge: Option<String>,
    /// The method that was declined (`pm_…`); the intent no longer holds it.
    pub payment_method: Option<String>,
}

/// Why an intent is cancelled: what a caller may say.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display, strum::EnumString,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum CancellationReason {
    Duplicate,
    Fraudulent,
    RequestedByCustomer,
    Abandoned,
}

/// Why money is given back: what a caller may say.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display, strum::EnumString,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum RefundReason {
    Duplicate,
    Fraudulent,
    RequestedByCustomer,
}

impl PaymentEvent {
    /// The intention that this event records; none for an outcome or an observation.
    pub fn intention(&self) -> Option<IntentionId> {
        match self {
            Self::CreateRequested(request) => Some(request.intention),
            Self::UpdateRequested { intention, .. }
            | Self::ConfirmRequested { intention, .. }
            | Self::CaptureRequested { intention, .. }
            | Self::CancelRequested { intention, .. }
            | Self::RefundRequested {
                refund: intention, ..
            } => Some(*intention),
            _ => None,
        }
    }

    /// The intention that this event is the outcome of; none for an intention, or where nobody here had asked.
    pub fn outcome_of(&self) -> Option<IntentionId> {
        match self {
            Self::Created(created) => Some(created.intention),
            Self::CreateRefused { intention, .. }
            | Self::Updated { intention, .. }
            | Self::UpdateRefused { intention, .. }
            | Self::ConfirmRefused { intention, .. }
            | Self::CaptureRefused { intention, .. }
            | Self::CancelRefused { intention, .. } => Some(*intention),
            Self::RequiresAction { intention, .. }
            | Self::Processing { intention, .. }
            | Self::Authorized { intention, .. }
            | Self::Captured { intention, .. }
            | Self::Succeeded { intention }
            | Self::Declined { intention, .. }
            | Self::Cancelled { intention, .. } => *intention,
            Self::RefundPending { refund, .. }
            | Self::Refunded {
                refund,
                observed: false,
                ..
            }
            | Self::RefundRefused { refund, .. }
            | Self::RefundFailed { refund, .. }
            | Self::RefundCancelled { refund, .. } => Some(*refund),
            Self::CreateRequested(_)
            | Self::UpdateRequested { .. }
            | Self::ConfirmRequested { .. }
            | Self::CaptureRequested { .. }
            | Self::CancelRequested { .. }
            | Self::RefundRequested { .. }
            | Self::Adopted(_)
            | Self::Reopened { .. }
            | Self::Refunded { observed: true, .. }
            | Self::Applied { .. }
            | Self::DisputeOpened { .. }
            | Self::DisputeFundsWithdrawn { .. }
            | Self::DisputeFundsReinstated { .. }
            | Self::DisputeClosed { .. }
            | Self::IntentionParked { .. }
            | Self::SettlementProposed { .. }
            | Self::SettledByHand { .. }
            | Self::OrderAssigned { .. }
            | Self::Described(_)
            | Self::Discarded
            | Self::ObservationRefused { .. }
            | Self::PersonalDataErased { .. } => None,
        }
    }

    /// The intention that this event parks, settles by hand, or ends.
    pub fn parks_or_ends(&self) -> Option<IntentionId> {
        match self {
            Self::IntentionParked { intention, .. }
            | Self::SettlementProposed { intention, .. }
            | Self::SettledByHand { intention, .. } => Some(*intention),
            _ => self.outcome_of(),
        }
    }

    /// The refund that this event is about.
    pub fn refund(&self) -> Option<RefundId> {
        match self {
            Self::RefundRequested { refund, .. }
            | Self::RefundPending { refund, .. }
            | Self::Refunded { refund, .. }
            | Self::RefundRefused { refund, .. }
            | Self::RefundFailed { refund, .. }
            | Self::RefundCancelled { refund, .. } => Some(*refund),
            _ => None,
        }
    }
}
