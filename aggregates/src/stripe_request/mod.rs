//! One change at Stripe that no other aggregate carries: a customer, a payment method's owner, evidence for a dispute, a
//! checkout session. It has no rules of its own beyond these: it is asked for once, and it ends once.
//!
//! What is asked is recorded, as an intention, before Stripe hears of it; so a change that was cut off is carried on with
//! the same bytes under the same key.

mod event;
mod park;
mod state;
#[cfg(test)]
mod tests;

pub use event::{ChangeRequested, Method, StripeRequestEvent, StripeRequestEventKind};
pub use state::{Facts, Status, StripeRequest};

use crate::parking::{ByHand, ParkingError};
use crate::payment::event::Refusal;
use crate::sealed::Sealed;
use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;

/// What may be asked of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StripeRequestCommand {
    /// Intend the change.
    Ask(Box<ChangeRequested>),
    /// Stripe carried it out; `object` and `id` say on what, as far as it told.
    Done {
        object: Option<String>,
        id: Option<String>,
        answer: Sealed,
    },
    /// Stripe refused it for good.
    Refuse { refusal: Refusal, answer: Sealed },
    /// Give up finding out what came of it: people have to.
    Park { reason: String },
    /// Say what became of it, where it is parked.
    ProposeSettlement {
        outcome: ByHand,
        by: String,
        because: String,
    },
    /// Approve what another person proposed. `answer`: what is answered for it from then on; `object` and `id`: what Stripe
    /// shows of it, where it is said to have happened.
    ApproveSettlement {
        by: String,
        object: Option<String>,
        id: Option<String>,
        answer: Sealed,
    },
}

/// Why a command is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StripeRequestError {
    #[error("the request was made already")]
    AlreadyAsked,
    #[error("there is no such request")]
    NoSuchRequest,
    #[error(transparent)]
    Parking(#[from] ParkingError),
}

impl StripeRequest {
    /// The events that the command leads to; none where it has ended already.
    ///
    /// # Errors
    /// [`StripeRequestError`].
    pub fn decide(
        &self,
        command: StripeRequestCommand,
    ) -> Result<Vec<StripeRequestEvent>, StripeRequestError> {
        let facts = self.facts();
        let intention = facts.map(|facts| facts.request.intention);
        match (command, intention) {
            (StripeRequestCommand::Ask(request), None) => {
                Ok(vec![StripeRequestEvent::ChangeRequested(request)])
            }
            (StripeRequestCommand::Ask(_), Some(_)) => Err(StripeRequestError::AlreadyAsked),
            (_, None) => Err(StripeRequestError::NoSuchRequest),
            (
                StripeRequestCommand::ProposeSettlement { .. }
                | StripeRequestCommand::ApproveSettlement { .. },
                _,
            ) if facts.is_none_or(|facts| !facts.is_parked()) => {
                Err(ParkingError::NotParked.into())
            }
            _ if facts.is_some_and(|facts| facts.status != Status::Requested) => Ok(vec![]),
            (StripeRequestCommand::Park { reason }, Some(_)) => Ok(self.park(reason)),
            (
                StripeRequestCommand::ProposeSettlement {
                    outcome,
                    by,
                    because,
                },
                Some(_),
            ) => Ok(self.propose_settlement(outcome, by, because)?),
            (
                StripeRequestCommand::ApproveSettlement {
                    by,
                    object,
                    id,
                    answer,
                },
                Some(_),
            ) => Ok(self.approve_settlement(&by, object, id, answer)?),
            (StripeRequestCommand::Done { object, id, answer }, Some(intention)) => {
                Ok(vec![StripeRequestEvent::ChangeMade {
                    intention,
                    object,
                    id,
                    answer,
                }])
            }
            (StripeRequestCommand::Refuse { refusal, answer }, Some(intention)) => {
                Ok(vec![StripeRequestEvent::ChangeRefused {
                    intention,
                    refusal,
                    answer,
                }])
            }
        }
    }
}

impl Aggregate for StripeRequest {
    const TYPE: &'static str = "stripe_request";
    type Command = StripeRequestCommand;
    type Event = StripeRequestEvent;
    type Error = StripeRequestError;
    type Services = ();

    /// Forwards to [`StripeRequest::decide`]: `handle` runs before the commit, so it must touch nothing.
    async fn handle(
        &mut self,
        command: StripeRequestCommand,
        (): &(),
        sink: &EventSink<Self>,
    ) -> Result<(), StripeRequestError> {
        for event in self.decide(command)? {
            sink.write(event, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: StripeRequestEvent) {
        Self::apply(self, &event);
    }
}
