//! One change at Stripe that no other aggregate carries: a customer, a payment method's owner, evidence for a dispute, a
//! checkout session. It has no rules of its own beyond these: it is asked for once, and it ends once.
//!
//! What is asked is recorded, as an intention, before Stripe hears of it; so a change that was cut off is carried on with
//! the same bytes under the same key.

mod event;
mod state;
#[cfg(test)]
mod tests;

pub use event::{ChangeRequested, Method, StripeRequestEvent, StripeRequestEventKind};
pub use state::{Facts, Status, StripeRequest};

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
}

/// Why a command is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StripeRequestError {
    #[error("the request was made already")]
    AlreadyAsked,
    #[error("there is no such request")]
    NoSuchRequest,
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
            _ if facts.is_some_and(|facts| facts.status != Status::Requested) => Ok(vec![]),
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
