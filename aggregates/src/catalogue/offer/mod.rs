//! One offer (a quote): groups of priced products, those of them that are selected, and until when it holds.
//!
//! What a selection costs is decided here ([`Offer::price`]); that it is paid is an order's matter.

mod decide;
mod error;
mod event;
mod state;
#[cfg(test)]
mod tests;

pub use error::OfferError;
pub use event::{Choice, Group, NewPrice, OfferEvent, OfferEventKind, Product, Published};
pub use state::{Facts, Offer, PricedGroup};

use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use std::collections::BTreeMap;

/// A wish about one offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OfferCommand {
    /// Publishing the same offer again changes nothing, whatever became of it since; another one under its name is refused.
    Publish(Box<Published>),
    /// These products cost something else from now on.
    Reprice { prices: Vec<NewPrice> },
    /// The offer's own selection is another one from now on.
    Select { wanted: Wanted },
    /// It can no longer be taken up.
    Withdraw { reason: String },
}

/// Which products are asked for. A product that is named twice counts once, and the order in which they are named is
/// of no meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Codes by the name of their group.
    Grouped(BTreeMap<String, Vec<String>>),
    /// Codes alone; each is to be in one group only.
    Codes(Vec<String>),
}

impl Aggregate for Offer {
    const TYPE: &'static str = "offer";
    type Command = OfferCommand;
    type Event = OfferEvent;
    type Error = OfferError;
    type Services = ();

    /// Forwards to [`Offer::decide`]: `handle` runs before the commit, so it must touch nothing.
    async fn handle(
        &mut self,
        command: OfferCommand,
        (): &(),
        sink: &EventSink<Self>,
    ) -> Result<(), OfferError> {
        for event in self.decide(command)? {
            sink.write(event, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: OfferEvent) {
        Self::apply(self, &event);
    }
}
