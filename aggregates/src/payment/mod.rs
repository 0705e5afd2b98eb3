//! One payment: an intent at Stripe, the money it takes and gives back, and every step in between.
//!
//! `decide` reads the state and answers events or an error; no events mean that it is so already. `apply` takes a fact.

mod adopt;
mod apply;
pub mod command;
mod decide;
pub mod description;
pub mod error;
pub mod event;
pub mod lookup;
mod observe;
mod park;
mod refunds;
pub mod state;
pub mod terms;
#[cfg(test)]
mod tests;

pub use command::{Observation, PaymentCommand, Said};
pub use description::Description;
pub use error::{ErrorKind, PaymentError};
pub use event::{PaymentEvent, PaymentEventKind};
pub use state::{Facts, Payment, Status};
pub use terms::{Metadata, MetadataError, Parameters, ParametersError};

use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;

impl Aggregate for Payment {
    const TYPE: &'static str = "payment";
    type Command = PaymentCommand;
    type Event = PaymentEvent;
    type Error = PaymentError;
    type Services = ();

    /// Forwards to [`Payment::decide`]: `handle` runs before the commit, so it must touch nothing.
    async fn handle(
        &mut self,
        command: PaymentCommand,
        (): &(),
        sink: &EventSink<Self>,
    ) -> Result<(), PaymentError> {
        for event in self.decide(command)? {
            sink.write(event, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: PaymentEvent) {
        Self::apply(self, &event);
    }
}
