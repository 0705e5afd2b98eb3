//! Requests that no machine could resolve: parked, settled by one person, approved by another.

use crate::parking::{self, ByHand, Parked, ParkingError, Proposal};
use crate::payment::event::Refusal;
use crate::sealed::Sealed;
use crate::stripe_request::{StripeRequest, StripeRequestEvent};

impl StripeRequest {
    fn parked(&self) -> Result<&Parked, ParkingError> {
        let facts = self.facts().filter(|facts| facts.is_parked());
        facts
            .and_then(|facts| facts.parked.as_ref())
            .ok_or(ParkingError::NotParked)
    }

    pub(super) fn park(&self, reason: String) -> Vec<StripeRequestEvent> {
        match self.facts() {
            Some(facts) if !facts.is_parked() => vec![StripeRequestEvent::IntentionParked {
                intention: facts.request.intention,
                what: facts.request.method.to_string(),
                reason,
            }],
            _ => vec![],
        }
    }

    /// A new proposal takes the place of one that nobody has approved.
    pub(super) fn propose_settlement(
        &self,
        outcome: ByHand,
        by: String,
        because: String,
    ) -> Result<Vec<StripeRequestEvent>, ParkingError> {
        let parked = self.parked()?;
        parking::said_by(&by, &because)?;
        let proposal = Proposal {
            outcome,
            by,
            because,
        };
        if parked.proposal.as_ref() == Some(&proposal) {
            return Ok(vec![]);
        }
        Ok(vec![StripeRequestEvent::SettlementProposed {
            intention: parked.intention,
            outcome: proposal.outcome,
            by: proposal.by,
            because: proposal.because,
        }])
    }

    /// The outcome is recorded with the approval.
    pub(super) fn approve_settlement(
        &self,
        by: &str,
        object: Option<String>,
        id: Option<String>,
        answer: Sealed,
    ) -> Result<Vec<StripeRequestEvent>, ParkingError> {
        let parked = self.parked()?;
        let proposal = parked.approvable_by(by)?;
        parking::said_by(by, &proposal.because)?;
        let intention = parked.intention;
        let outcome = match &proposal.outcome {
            ByHand::DidNotHappen => StripeRequestEvent::ChangeRefused {
                intention,
                refusal: Refusal::settled_by_hand(),
                answer,
            },
            ByHand::Happened { stripe_id } if id.as_ref() == Some(stripe_id) => {
                StripeRequestEvent::ChangeMade {
                    intention,
                    object,
                    id,
                    answer,
                }
            }
            ByHand::Happened { .. } => {
                return Err(ParkingError::NotBorneOut {
                    because: "Stripe does not show that object".to_owned(),
                });
            }
        };
        let settled = StripeRequestEvent::SettledByHand {
            intention,
            outcome: proposal.outcome.clone(),
            proposed_by: proposal.by.clone(),
            approved_by: by.to_owned(),
            because: proposal.because.clone(),
        };
        Ok(vec![settled, outcome])
    }
}
