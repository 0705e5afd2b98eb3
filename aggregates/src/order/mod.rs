//! One order: its price, the one live way to pay it, and whether it is paid.

mod apply;
pub mod command;
mod decide;
pub mod error;
pub mod event;
pub mod state;
#[cfg(test)]
mod tests;

pub use command::OrderCommand;
pub use error::OrderError;
pub use event::{OrderEvent, OrderEventKind};
pub use state::{COMMERCE_LAYER, Facts, Order, Status};

use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;

impl Aggregate for Order {
    const TYPE: &'static str = "order";
    type Command = OrderCommand;
    type Event = OrderEvent;
    type Error = OrderError;
    type Services = ();

    /// Forwards to [`Order::decide`]: `handle` runs before the commit, so it must touch nothing.
    async fn handle(
        &mut self,
        command: OrderCommand,
        (): &(),
        sink: &EventSink<Self>,
    ) -> Result<(), OrderError> {
        for event in self.decide(command)? {
            sink.write(event, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: OrderEvent) {
        Self::apply(self, &event);
    }
}
