//! What has happened to a request. Past tense, for ever.

use crate::ids::{IntentionId, MerchantId, OrderId};
use crate::parking::ByHand;
use crate::payment::event::Refusal;
use crate::sealed::Sealed;
use cqrs_es::DomainEvent;
use serde::{Deserialize, Serialize};

/// Every fact of a request. An outcome holds Stripe's `answer` in its own words, sealed, so that whoever repeats the request
/// is answered the same; secrets are cut out of it before.
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
    name(StripeRequestEventKind)
)]
pub enum StripeRequestEvent {
    /// Intention: Stripe is to be asked for exactly this.
    ChangeRequested(Box<ChangeRequested>),
    /// Stripe did it: to the object `id` of the kind `object` (`customer`, `cus_…`), where it named one.
    ChangeMade {
        intention: IntentionId,
        object: Option<String>,
        id: Option<String>,
        answer: Sealed,
    },
    /// Stripe refused it; nothing changed there.
    ChangeRefused {
        intention: IntentionId,
        refusal: Refusal,
        answer: Sealed,
    },
    /// Nobody could find out what came of it: it waits for people, who are shown `reason`.
    IntentionParked {
        intention: IntentionId,
        /// What was asked of Stripe, in a word: `post`.
        what: String,
        reason: String,
    },
    /// One person (the maker) says what became of it. It counts once another approves.
    SettlementProposed {
        intention: IntentionId,
        outcome: ByHand,
        by: String,
        because: String,
    },
    /// Another person (the checker) approved; the outcome itself is told by the event that follows.
    SettledByHand {
        intention: IntentionId,
        outcome: ByHand,
        proposed_by: String,
        approved_by: String,
        because: String,
    },
    /// The key of the personal data in it was deleted; what was sealed can no longer be read.
    PersonalDataErased { subject: String },
}

/// The exact request. Its parameters may speak of a person, so they are sealed, all of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeRequested {
    pub intention: IntentionId,
    pub merchant: MerchantId,
    pub method: Method,
    /// Below Stripe's version: `/customers/cus_1`.
    pub path: String,
    /// The form body, sealed; none where it is empty.
    pub parameters: Option<Sealed>,
    /// The order whose checkout it opens or ends: the outcome is recorded of both at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<OrderId>,
}

/// How Stripe is asked.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display, strum::EnumString,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Method {
    Post,
    Delete,
}

impl DomainEvent for StripeRequestEvent {
    fn event_type(&self) -> String {
        <&'static str>::from(self).to_owned()
    }

    fn event_version(&self) -> String {
        "1.0".to_owned()
    }
}

impl StripeRequestEvent {
    /// The intention that this event records.
    pub fn intention(&self) -> Option<IntentionId> {
        match self {
            Self::ChangeRequested(request) => Some(request.intention),
            Self::ChangeMade { .. }
            | Self::ChangeRefused { .. }
            | Self::IntentionParked { .. }
            | Self::SettlementProposed { .. }
            | Self::SettledByHand { .. }
            | Self::PersonalDataErased { .. } => None,
        }
    }
}
