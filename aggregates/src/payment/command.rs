//! What may be asked of a payment. Ids come in with the command: nothing is drawn in here.

use crate::ids::{IntentionId, MerchantId, OrderId, RefundId};
use crate::money::Money;
use crate::payment::description::Description;
use crate::payment::event::{
    CancellationReason, Changes, CreateRequested, Decline, RefundReason, Refusal,
};
use crate::payment::terms::{CaptureMethod, ConfirmTerms, Metadata, Parameters};

/// A wish about one payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PaymentCommand {
    /// Make the intent. `enforce_minimum` is off for a merchant whose settings say so.
    CreateIntent {
        request: Box<CreateRequested>,
        enforce_minimum: bool,
    },
    /// Take up an intent that was made elsewhere. No events where it was taken up, or made here, already.
    Adopt(Box<Adopt>),
    Update {
        intention: IntentionId,
        changes: Box<Changes>,
        enforce_minimum: bool,
    },
    Confirm {
        intention: IntentionId,
        payment_method: Option<String>,
        terms: ConfirmTerms,
    },
    /// `amount`: none takes all that is held.
    Capture {
        intention: IntentionId,
        amount: Option<Money>,
        parameters: Parameters,
    },
    Cancel {
        intention: IntentionId,
        reason: Option<CancellationReason>,
        parameters: Parameters,
    },
    /// `amount`: none gives back all that is left.
    Refund {
        refund: RefundId,
        amount: Option<Money>,
        reason: Option<RefundReason>,
        metadata: Metadata,
        parameters: Parameters,
    },
    /// Its money went to the order (issued together with the order's `MarkPaid`).
    Apply { order: OrderId, amount: Money },
    /// It is to pay this order from here on. No events where it does already.
    AssignOrder { order: OrderId },
    /// What the order's system says of it; no events where that is known.
    Describe(Box<Description>),
    /// The order's system throws it away, once it can take no money.
    Discard,
    /// What Stripe said, in answer to us or on its own.
    Observe(Observation),
    /// Give up finding out what came of an intention: people have to. No events where it has ended, or is parked.
    Park {
        intention: IntentionId,
        reason: String,
    },
    /// The sealed data of this subject can no longer be read: its key is deleted in the same step.
    ErasePersonalData { subject: String },
}

/// An intent that was made elsewhere, as Stripe shows it; the ids, times and amounts are the snapshot's.
///
/// An intent that carries the id of a payment of ours in its metadata is that payment's, even while its creation is still
/// pending: it is to be observed there, never adopted beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopt {
    pub merchant: MerchantId,
    pub order: Option<OrderId>,
    pub capture_method: CaptureMethod,
    pub customer: Option<String>,
    pub description: Option<String>,
    /// The caller's own ([`Metadata::told`]).
    pub metadata: Metadata,
    /// The checkout session (`cs_…`) that made the intent, where one did.
    pub checkout_session: Option<String>,
    /// What brought it in, in a word: `webhook`, `change`.
    pub reason: String,
    pub seen: IntentSnapshot,
}

/// One thing Stripe said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// The intention it answers, where it is an answer.
    pub intention: Option<IntentionId>,
    /// True where Stripe was asked just now, so that this is how it stands; false for a webhook, which may be old.
    pub current: bool,
    pub said: Said,
}

/// The forms in which Stripe speaks of a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// The intent as it stands.
    Intent(Box<IntentSnapshot>),
    /// The request that carried the intention was refused, and nothing came of it.
    Refused(Refusal),
    Refund(RefundSnapshot),
    /// A dispute's turn, as a webhook tells of it.
    Dispute(DisputeSnapshot),
    /// A dispute as it stands, as it is read.
    DisputeState(DisputeState),
}

/// Stripe's payment intent, in our words. Amounts in minor units of its currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntentSnapshot {
    pub intent: String,
    pub status: StripeStatus,
    pub amount: Money,
    pub amount_capturable: Money,
    pub amount_received: Money,
    pub payment_method: Option<String>,
    pub charge: Option<String>,
    pub last_error: Option<Decline>,
    pub cancellation_reason: Option<String>,
    pub canceled_at: Option<i64>,
    pub created: i64,
    pub livemode: bool,
}

/// Stripe's seven states.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    strum::Display,
    strum::EnumString,
    strum::EnumIter,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum StripeStatus {
    RequiresPaymentMethod,
    RequiresConfirmation,
    RequiresAction,
    Processing,
    RequiresCapture,
    Succeeded,
    Canceled,
}

impl StripeStatus {
    /// Nothing follows it.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Canceled)
    }
}

/// Stripe's refund. `refund` is ours, read from its metadata; none for one that was made outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundSnapshot {
    pub refund: Option<RefundId>,
    pub stripe_refund: String,
    pub status: StripeRefundStatus,
    pub amount: Money,
    pub failure_reason: Option<String>,
    /// Stripe's time, seconds since 1970, where it told.
    pub created: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display, strum::EnumString)]
#[strum(serialize_all = "snake_case")]
pub enum StripeRefundStatus {
    Pending,
    RequiresAction,
    Succeeded,
    Failed,
    Canceled,
}

/// Stripe's dispute and what happened to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisputeSnapshot {
    pub dispute: String,
    pub amount: Money,
    pub reason: String,
    pub turn: DisputeTurn,
}

/// Stripe's dispute as it stands: which of its turns have been taken by now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisputeState {
    pub dispute: String,
    pub amount: Money,
    pub reason: String,
    pub status: DisputeStatus,
    /// Stripe's fee with the withdrawal, in minor units of the balance; none where no funds were withdrawn. From the
    /// dispute's balance transactions: the one of a negative amount.
    pub withdrawn_fee_minor: Option<i64>,
    /// Whether the funds came back: a balance transaction of a positive amount.
    pub reinstated: bool,
}

/// Stripe's words for where a dispute stands. The warnings are inquiries, which move nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display, strum::EnumString, strum::EnumIter)]
#[strum(serialize_all = "snake_case")]
pub enum DisputeStatus {
    WarningNeedsResponse,
    WarningUnderReview,
    WarningClosed,
    NeedsResponse,
    UnderReview,
    Won,
    Lost,
    /// Ended before it began: the charge was refunded in time.
    Prevented,
}

impl DisputeStatus {
    pub fn is_inquiry(self) -> bool {
        matches!(
            self,
            Self::WarningNeedsResponse | Self::WarningUnderReview | Self::WarningClosed
        )
    }

    /// None while it is open; only one that was lost was not won.
    pub fn won(self) -> Option<bool> {
        match self {
            Self::WarningNeedsResponse
            | Self::WarningUnderReview
            | Self::NeedsResponse
            | Self::UnderReview => None,
            Self::WarningClosed | Self::Won | Self::Prevented => Some(true),
            Self::Lost => Some(false),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisputeTurn {
    Opened { inquiry: bool },
    FundsWithdrawn { fee_minor: i64 },
    FundsReinstated,
    Closed { won: bool },
}
