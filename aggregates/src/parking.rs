//! What nobody could find out waits for people: one settles it by hand, another approves.

use crate::ids::IntentionId;
use serde::{Deserialize, Serialize};

/// An intention whose outcome could not be found out by any machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parked {
    pub intention: IntentionId,
    /// What was asked of Stripe, in a word: `capture`.
    pub what: String,
    /// Why it could not be found out.
    pub reason: String,
    pub state: ParkedState,
    pub proposal: Option<Proposal>,
    /// Who approved the proposal.
    pub approved_by: Option<String>,
}

/// Where something parked stands.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display, strum::EnumString,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum ParkedState {
    /// Nobody knows what came of it.
    Waiting,
    /// Two people have settled it.
    Settled,
    /// Stripe told after all.
    Answered,
}

/// What one person says became of it, before another has approved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    pub outcome: ByHand,
    /// The maker: who says so.
    pub by: String,
    /// Why they are sure.
    pub because: String,
}

/// What people can say became of an intention.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum ByHand {
    /// Stripe did it: to this object (`pi_…`, `re_…`, `cus_…`).
    Happened { stripe_id: String },
    /// It did not happen, and cannot happen any more.
    DidNotHappen,
}

/// Why a settlement by hand is refused; nothing was recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum ParkingError {
    #[error("nothing is parked under this intention")]
    NotParked,
    #[error("nobody has said yet what became of it")]
    NothingProposed,
    /// Maker is never checker.
    #[error("{by} proposed this settlement: another person has to approve it")]
    SamePerson { by: String },
    #[error("who settles something by hand says who they are, and why")]
    NoNameOrReason,
    /// What Stripe shows does not bear out what was proposed.
    #[error("what Stripe shows does not bear this out: {because}")]
    NotBorneOut { because: String },
}

impl ByHand {
    /// The object of Stripe's that it happened to.
    pub fn stripe_id(&self) -> Option<&str> {
        match self {
            Self::Happened { stripe_id } => Some(stripe_id),
            Self::DidNotHappen => None,
        }
    }
}

impl Parked {
    /// Something parked just now.
    pub fn new(intention: IntentionId, what: &str, reason: &str) -> Self {
        Self {
            intention,
            what: what.to_owned(),
            reason: reason.to_owned(),
            state: ParkedState::Waiting,
            proposal: None,
            approved_by: None,
        }
    }

    pub(crate) fn settled(&mut self, approved_by: &str) {
        self.state = ParkedState::Settled;
        self.approved_by = Some(approved_by.to_owned());
    }

    pub(crate) fn answered(&mut self) {
        if self.state == ParkedState::Waiting {
            self.state = ParkedState::Answered;
        }
    }

    /// The proposal, if `by` may approve it.
    pub(crate) fn approvable_by(&self, by: &str) -> Result<&Proposal, ParkingError> {
        let proposal = self
            .proposal
            .as_ref()
            .ok_or(ParkingError::NothingProposed)?;
        if same_person(&proposal.by, by) {
            return Err(ParkingError::SamePerson { by: by.to_owned() });
        }
        Ok(proposal)
    }
}

/// What waits under this intention.
pub(crate) fn waiting(parked: &[Parked], intention: IntentionId) -> Result<&Parked, ParkingError> {
    parked
        .iter()
        .find(|it| it.intention == intention && it.state == ParkedState::Waiting)
        .ok_or(ParkingError::NotParked)
}

/// Upper and lower case and blanks around a name make nobody another person. The database has the same rule.
pub(crate) fn same_person(one: &str, other: &str) -> bool {
    one.trim().to_lowercase() == other.trim().to_lowercase()
}

/// Whoever settles something says who they are, and why.
pub(crate) fn said_by(by: &str, because: &str) -> Result<(), ParkingError> {
    match by.trim().is_empty() || because.trim().is_empty() {
        true => Err(ParkingError::NoNameOrReason),
        false => Ok(()),
    }
}
