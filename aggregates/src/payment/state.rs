//! A payment as its events leave it.

use crate::ids::{IntentionId, MerchantId, OrderId, RefundId};
use crate::money::Money;
use crate::parking::{Parked, ParkedState};
use crate::payment::command::StripeStatus;
use crate::payment::description::Description;
use crate::payment::event::{
    CancellationReason, Changes, CreateRequested, Decline, OpenStatus, RefundReason, Refusal,
};
use crate::payment::terms::{CaptureMethod, ConfirmTerms, Metadata, Parameters};
use crate::refused::RefusedObservations;
use crate::sealed::Sealed;
use litemap::LiteMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A payment: nothing yet, or what is known of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    pub(crate) facts: Option<Box<Facts>>,
}

/// What is known of a payment. A replay keeps very many: what most of them have none of is apart, and their maps, of an entry or
/// two, are lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    pub merchant: MerchantId,
    pub order: Option<OrderId>,
    pub amount: Money,
    pub capture_method: CaptureMethod,
    pub status: Status,
    /// Stripe's intent, once it was made.
    pub intent: Option<StripeIntent>,
    pub payment_method: Option<String>,
    pub customer: Option<String>,
    pub description: Option<String>,
    pub metadata: Metadata,
    pub attributes: LiteMap<String, String>,
    pub personal: Option<Box<Sealed>>,
    pub then_confirm: Option<Box<ConfirmTerms>>,
    /// The one step that Stripe has not answered yet (refunds wait on their own, in `refunds`).
    pub pending: Option<Pending>,
    pub charge: Option<String>,
    /// Held and not taken, minor units of the payment's currency.
    pub authorized: Money,
    pub captured: Money,
    pub refunds: Vec<Refund>,
    /// What of it was applied to its order.
    pub applied: Money,
    /// What refunds have taken back of that; a refund that fails later does not sell it again.
    pub taken_back: Money,
    pub last_decline: Option<Box<Decline>>,
    /// The refusal that ended a create.
    pub refusal: Option<Box<Refusal>>,
    pub cancellation_reason: Option<String>,
    pub canceled_at: Option<i64>,
    pub return_url: Option<String>,
    pub disputes: BTreeMap<String, Dispute>,
    /// The checkout session (`cs_…`) that made the intent, where one did.
    #[serde(default)]
    pub checkout_session: Option<String>,
    /// Intentions that wait, or have waited, for people.
    #[serde(default)]
    pub parked: Vec<Parked>,
    /// What the order's system says of it, once it has said anything.
    #[serde(default)]
    pub described: Option<Box<Description>>,
    /// The order's system has thrown it away.
    #[serde(default)]
    pub discarded: bool,
    #[serde(default)]
    pub refused: RefusedObservations,
}

/// Stripe's own side of the payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StripeIntent {
    pub id: String,
    /// Seconds since 1970, Stripe's clock.
    pub created: i64,
    pub livemode: bool,
}

/// Where a payment stands. Stripe's seven, with what comes before an intent exists there.
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
    strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Status {
    /// The intention to create is recorded, Stripe has not answered.
    Creating,
    /// Stripe refused to make the intent.
    Refused,
    RequiresPaymentMethod,
    RequiresConfirmation,
    RequiresAction,
    Processing,
    RequiresCapture,
    Succeeded,
    Canceled,
}

/// An intention without its outcome: what Stripe is to be asked (again, with the same key).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    pub intention: IntentionId,
    pub step: Step,
}

/// What the pending intention asks of Stripe, with its exact parameters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    Create(Box<CreateRequested>),
    Update(Box<Changes>),
    Confirm {
        payment_method: Option<String>,
        terms: ConfirmTerms,
    },
    Capture {
        amount: Money,
        #[serde(default, skip_serializing_if = "Parameters::is_empty")]
        parameters: Parameters,
    },
    Cancel {
        reason: Option<CancellationReason>,
        parameters: Parameters,
    },
}

impl Step {
    /// Its name, in a word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Create(_) => "create",
            Self::Update(_) => "update",
            Self::Confirm { .. } => "confirm",
            Self::Capture { .. } => "capture",
            Self::Cancel { .. } => "cancel",
        }
    }
}

/// One refund of the payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refund {
    pub id: RefundId,
    pub amount: Money,
    pub reason: Option<RefundReason>,
    pub metadata: Metadata,
    /// What it is asked with beside that, until Stripe has answered.
    #[serde(default, skip_serializing_if = "Parameters::is_empty")]
    pub parameters: Parameters,
    /// Stripe's id (`re_…`), once it was made.
    pub stripe_refund: Option<String>,
    /// When Stripe made it, seconds since 1970, where it told.
    #[serde(default)]
    pub created: Option<i64>,
    pub status: RefundStatus,
    pub failure_reason: Option<String>,
    pub refusal: Option<Refusal>,
    /// It has succeeded, whatever became of it since.
    #[serde(default)]
    pub had_succeeded: bool,
}

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display, strum::EnumString,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum RefundStatus {
    /// Asked for; Stripe has not answered.
    Requested,
    Pending,
    Succeeded,
    Failed,
    Canceled,
    Refused,
}

/// One dispute of the payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dispute {
    pub amount: Money,
    pub reason: String,
    pub inquiry: bool,
    /// Funds withdrawn and not reinstated.
    pub withdrawn: Money,
    /// Which turns are recorded: each is recorded once, in whatever order they come.
    pub opened: bool,
    pub funds_withdrawn: bool,
    pub funds_reinstated: bool,
    /// None while it is open.
    pub won: Option<bool>,
}

impl Payment {
    /// What is known of it; none before it was created.
    pub fn facts(&self) -> Option<&Facts> {
        self.facts.as_deref()
    }
}

impl Facts {
    /// Where the payer returns to: as it was described, or confirmed.
    pub fn returns_to(&self) -> Option<&str> {
        let said = self
            .described
            .as_ref()
            .and_then(|it| it.return_url.as_ref());
        said.or(self.return_url.as_ref()).map(String::as_str)
    }

    /// The metadata of its description; of one that nobody has described, what Stripe was given.
    pub fn said_metadata(&self) -> Map<String, Value> {
        match &self.described {
            Some(it) => it.metadata.clone(),
            None => {
                let pairs = self.metadata.as_map().iter();
                pairs
                    .map(|(key, value)| (key.clone(), value.as_str().into()))
                    .collect()
            }
        }
    }

    /// What was given back.
    pub fn refunded(&self) -> Money {
        self.refunds_in(|status| status == RefundStatus::Succeeded)
    }

    /// What is being given back: asked for or taken on by Stripe, and not ended.
    pub fn refunds_open(&self) -> Money {
        self.refunds_in(|status| matches!(status, RefundStatus::Requested | RefundStatus::Pending))
    }

    /// What may still be given back; never negative, even where Stripe gave back more than it took.
    pub fn refundable(&self) -> Money {
        let left = self
            .captured
            .minor()
            .saturating_sub(self.refunded().minor())
            .saturating_sub(self.refunds_open().minor());
        Money::new(left.max(0), self.amount.currency())
    }

    /// What is held and may be taken.
    pub fn capturable(&self) -> Money {
        match self.status {
            Status::RequiresCapture => self.authorized,
            _ => Money::zero(self.amount.currency()),
        }
    }

    /// What was taken, refunds not deducted, as Stripe's `amount_received`.
    pub fn amount_received(&self) -> Money {
        self.captured
    }

    /// Stripe's word for where it stands; none before Stripe made an intent.
    pub fn stripe_status(&self) -> Option<StripeStatus> {
        self.status.at_stripe()
    }

    /// Where it stands for a caller: a confirm or a capture whose outcome is unknown reads as `processing`.
    pub fn public_status(&self) -> Status {
        match &self.pending {
            Some(Pending {
                step: Step::Confirm { .. } | Step::Capture { .. },
                ..
            }) => Status::Processing,
            _ => self.status,
        }
    }

    /// The part of a refund of `amount` that comes out of what was sold; the rest was never applied to an order.
    pub fn out_of_sales(&self, amount: Money) -> Money {
        let sold = self.applied.minor().saturating_sub(self.taken_back.minor());
        Money::new(sold.min(amount.minor()).max(0), amount.currency())
    }

    /// Whether the intention waits for people: no machine asks Stripe for it any more.
    pub fn is_parked(&self, intention: IntentionId) -> bool {
        self.parked
            .iter()
            .any(|it| it.intention == intention && it.state == ParkedState::Waiting)
    }

    pub fn refund(&self, id: RefundId) -> Option<&Refund> {
        self.refunds.iter().find(|it| it.id == id)
    }

    /// Sums saturate: they are made of what Stripe reports, and facts are never refused.
    fn refunds_in(&self, wanted: impl Fn(RefundStatus) -> bool) -> Money {
        let amounts = self
            .refunds
            .iter()
            .filter(|it| wanted(it.status))
            .map(|it| it.amount.minor());
        Money::new(amounts.fold(0, i64::saturating_add), self.amount.currency())
    }
}

impl Status {
    /// Stripe's word for it; none before Stripe made an intent.
    pub fn at_stripe(self) -> Option<StripeStatus> {
        match self {
            Self::Creating | Self::Refused => None,
            Self::RequiresPaymentMethod => Some(StripeStatus::RequiresPaymentMethod),
            Self::RequiresConfirmation => Some(StripeStatus::RequiresConfirmation),
            Self::RequiresAction => Some(StripeStatus::RequiresAction),
            Self::Processing => Some(StripeStatus::Processing),
            Self::RequiresCapture => Some(StripeStatus::RequiresCapture),
            Self::Succeeded => Some(StripeStatus::Succeeded),
            Self::Canceled => Some(StripeStatus::Canceled),
        }
    }

    /// Nothing follows it.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Refused | Self::Succeeded | Self::Canceled)
    }
}

impl From<StripeStatus> for Status {
    fn from(it: StripeStatus) -> Self {
        match it {
            StripeStatus::RequiresPaymentMethod => Self::RequiresPaymentMethod,
            StripeStatus::RequiresConfirmation => Self::RequiresConfirmation,
            StripeStatus::RequiresAction => Self::RequiresAction,
            StripeStatus::Processing => Self::Processing,
            StripeStatus::RequiresCapture => Self::RequiresCapture,
            StripeStatus::Succeeded => Self::Succeeded,
            StripeStatus::Canceled => Self::Canceled,
        }
    }
}

impl From<OpenStatus> for Status {
    fn from(it: OpenStatus) -> Self {
        match it {
            OpenStatus::RequiresPaymentMethod => Self::RequiresPaymentMethod,
            OpenStatus::RequiresConfirmation => Self::RequiresConfirmation,
            OpenStatus::RequiresAction => Self::RequiresAction,
            OpenStatus::RequiresCapture => Self::RequiresCapture,
        }
    }
}
