//! What has happened to a run of a reconciliation, or to a break. Past tense, for ever.

use crate::ids::{MerchantId, ReconciliationId};
use crate::money::Money;
use crate::reconciliation::comparison::Totals;
use crate::reconciliation::subject::{BreakClass, Subject};
use cqrs_es::DomainEvent;
use serde::{Deserialize, Serialize};

/// Every fact of a run or of a break. What agrees leaves no event: the run's totals count it.
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
    name(ReconciliationEventKind)
)]
pub enum ReconciliationEvent {
    /// The account is to be compared with Stripe's.
    RunOpened { merchant: MerchantId, terms: Terms },
    /// What is compared is fixed from here on: the ledger up to this position, and Stripe's answers, by their hash.
    RunPinned(Pinned),
    /// All of it was compared.
    RunClosed(Box<Closed>),
    /// It could not be finished; another run begins anew.
    RunAbandoned { because: String },

    /// A run found the two sides to disagree: for the first time, or again after they had agreed.
    BreakFound(Box<Found>),
    /// A later run found other figures. What was resolved is open again: the reason was for others.
    BreakChanged(Box<Found>),
    /// A later run found the two sides to agree.
    BreakGone { run: ReconciliationId },
    /// Whose it is to look into.
    BreakAssigned { owner: String },
    /// One person gave the reason.
    BreakResolved { reason: String, by: String },
    /// Another person agreed to it. What was agreed to is no open break until its figures change.
    ResolutionApproved { by: String },
    /// Another person did not agree to it: it is open again.
    ResolutionRefused { by: String, because: String },
}

/// How a run compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Amounts that differ by no more, in minor units of any currency, are counted and are no breaks.
    pub tolerance_minor: i64,
    /// When the reading of Stripe's answers began, seconds since 1970: what was made later is not looked at, and every deadline
    /// and age is reckoned to here.
    pub at: i64,
}

/// What a run compares. Both can be read again for ever, so the run can be repeated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pinned {
    /// The last position of the merchant's ledger that is looked at.
    pub ledger_position: i64,
    /// SHA-256 over the pages of Stripe's answers, in hex.
    pub snapshot_hash: String,
    /// How many pages there are.
    pub pages: u64,
    /// Payments whose drift was healed before, by observing Stripe.
    pub healed: u64,
}

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    pub totals: Totals,
    /// SHA-256 over the report as JSON, in hex: a repeated run makes the same.
    pub report_hash: String,
}

/// A break, as a run found it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    pub merchant: MerchantId,
    pub run: ReconciliationId,
    pub class: BreakClass,
    pub subject: Subject,
    /// Which part of the subject: an object of Stripe's (`re_1`), or a figure (`captured`).
    pub part: String,
    /// Our figure; none where we have none.
    pub ours: Option<Money>,
    /// Stripe's, or the bank's.
    pub theirs: Option<Money>,
    /// What the figures are, in words, without anything personal.
    pub says: String,
    /// When what it is about happened, seconds since 1970.
    pub since: i64,
    /// By when it should have come; for what is late.
    pub due: Option<i64>,
    /// When the run looked that found it, seconds since 1970.
    pub seen: i64,
}

impl DomainEvent for ReconciliationEvent {
    fn event_type(&self) -> String {
        <&'static str>::from(self).to_owned()
    }

    fn event_version(&self) -> String {
        "1.0".to_owned()
    }
}

impl Found {
    /// Whether another run found the same, so that it is no news.
    pub fn is_like(&self, other: &Self) -> bool {
        (self.ours, self.theirs, &self.says, self.due)
            == (other.ours, other.theirs, &other.says, other.due)
    }

    /// The id of its stream.
    pub fn id(&self) -> ReconciliationId {
        let class: &'static str = self.class.into();
        ReconciliationId::of_break(&self.merchant, class, &self.subject.to_string(), &self.part)
    }
}
