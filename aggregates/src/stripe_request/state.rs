//! A request as its events leave it.

use crate::parking::{Parked, ParkedState, Proposal};
use crate::payment::event::Refusal;
use crate::sealed::Sealed;
use crate::stripe_request::{ChangeRequested, StripeRequestEvent};
use serde::{Deserialize, Serialize};

/// A request: nothing yet, or what is known of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StripeRequest {
    facts: Option<Box<Facts>>,
}

/// What is known of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    pub request: ChangeRequested,
    pub status: Status,
    /// What Stripe changed: the kind of object, such as `customer`.
    pub object: Option<String>,
    /// Its id at Stripe.
    pub id: Option<String>,
    pub refusal: Option<Refusal>,
    /// What Stripe said, sealed; none while it has said nothing, and once it was erased.
    pub answer: Option<Sealed>,
    /// Where it waits, or has waited, for people.
    #[serde(default)]
    pub parked: Option<Parked>,
}

/// Where a request stands.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display, strum::EnumString,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Status {
    /// Recorded; Stripe has not answered.
    Requested,
    Made,
    Refused,
}

impl StripeRequest {
    /// What is known; none where nothing was asked.
    pub fn facts(&self) -> Option<&Facts> {
        self.facts.as_deref()
    }

    /// Takes a fact. Never fails: what has happened has happened.
    pub fn apply(&mut self, event: &StripeRequestEvent) {
        if let StripeRequestEvent::ChangeRequested(request) = event {
            self.facts = Some(Box::new(Facts {
                request: ChangeRequested::clone(request),
                status: Status::Requested,
                object: None,
                id: None,
                refusal: None,
                answer: None,
                parked: None,
            }));
            return;
        }
        let Some(facts) = &mut self.facts else {
            return;
        };
        match event {
            StripeRequestEvent::ChangeMade {
                object, id, answer, ..
            } => {
                facts.answered(Status::Made);
                facts.object.clone_from(object);
                facts.id.clone_from(id);
                facts.answer = Some(answer.clone());
            }
            StripeRequestEvent::ChangeRefused {
                refusal, answer, ..
            } => {
                facts.answered(Status::Refused);
                facts.refusal = Some(refusal.clone());
                facts.answer = Some(answer.clone());
            }
            StripeRequestEvent::PersonalDataErased { .. } => {
                facts.request.parameters = None;
                facts.answer = None;
            }
            StripeRequestEvent::IntentionParked {
                intention,
                what,
                reason,
            } => facts.parked = Some(Parked::new(*intention, what, reason)),
            StripeRequestEvent::SettlementProposed {
                outcome,
                by,
                because,
                ..
            } => {
                if let Some(parked) = &mut facts.parked {
                    parked.proposal = Some(Proposal {
                        outcome: outcome.clone(),
                        by: by.clone(),
                        because: because.clone(),
                    });
                }
            }
            StripeRequestEvent::SettledByHand { approved_by, .. } => {
                if let Some(parked) = &mut facts.parked {
                    parked.settled(approved_by);
                }
            }
            StripeRequestEvent::ChangeRequested(_) => {}
        }
    }
}

impl Facts {
    /// Whether it waits for people: no machine asks Stripe for it any more.
    pub fn is_parked(&self) -> bool {
        self.parked
            .as_ref()
            .is_some_and(|it| it.state == ParkedState::Waiting)
    }

    fn answered(&mut self, status: Status) {
        self.status = status;
        if let Some(parked) = &mut self.parked {
            parked.answered();
        }
    }
}
