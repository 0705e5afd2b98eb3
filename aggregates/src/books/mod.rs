//! The closing of a merchant's books, month by month. What is recorded after a month was closed is posted in the first month
//! that is open, with the time at which it happened. Nothing is opened again: what was wrong is put right in an open month.

mod month;
#[cfg(test)]
mod tests;

pub use month::{Month, NotAMonth};

use crate::ids::MerchantId;
use chrono::{DateTime, Utc};
use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, DomainEvent};
use serde::{Deserialize, Serialize};

/// The books of one merchant: up to where they are closed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Books {
    closed_through: Option<Month>,
}

/// What may be asked of the books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BooksCommand {
    /// A person closes all months up to this one. `now`: the database's time.
    Close {
        merchant: MerchantId,
        through: Month,
        now: DateTime<Utc>,
    },
}

/// What has happened to the books. Who closed them and why is told with the event.
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
#[strum_discriminants(derive(strum::EnumIter, strum::IntoStaticStr), name(BooksEventKind))]
pub enum BooksEvent {
    /// This month, and all before it, take no more entries.
    PeriodClosed {
        merchant: MerchantId,
        through: Month,
    },
}

/// Why the books are not closed; nothing was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BooksError {
    #[error("{0} has not ended yet")]
    NotEnded(Month),
}

impl Books {
    /// The last month that is closed.
    pub fn closed_through(&self) -> Option<Month> {
        self.closed_through
    }

    /// The events that the command leads to; none where the month is closed already.
    ///
    /// # Errors
    /// [`BooksError`].
    pub fn decide(&self, command: BooksCommand) -> Result<Vec<BooksEvent>, BooksError> {
        let BooksCommand::Close {
            merchant,
            through,
            now,
        } = command;
        if self.closed_through.is_some_and(|closed| closed >= through) {
            return Ok(vec![]);
        }
        if !through.has_ended_by(now) {
            return Err(BooksError::NotEnded(through));
        }
        Ok(vec![BooksEvent::PeriodClosed { merchant, through }])
    }

    /// Takes a fact. Never fails.
    pub fn apply(&mut self, event: &BooksEvent) {
        let BooksEvent::PeriodClosed { through, .. } = event;
        self.closed_through = self.closed_through.max(Some(*through));
    }
}

/// The month in which something is posted that happened at `effective_at`, where the books are closed through that month.
pub fn posting_month(effective_at: DateTime<Utc>, closed_through: Option<Month>) -> Month {
    let month = Month::of(effective_at);
    closed_through.map_or(month, |closed| month.max(closed.next()))
}

impl DomainEvent for BooksEvent {
    fn event_type(&self) -> String {
        <&'static str>::from(self).to_owned()
    }

    fn event_version(&self) -> String {
        "1.0".to_owned()
    }
}

impl Aggregate for Books {
    const TYPE: &'static str = "books";
    type Command = BooksCommand;
    type Event = BooksEvent;
    type Error = BooksError;
    type Services = ();

    async fn handle(
        &mut self,
        command: BooksCommand,
        _: &(),
        sink: &EventSink<Self>,
    ) -> Result<(), BooksError> {
        for event in self.decide(command)? {
            sink.write(event, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: BooksEvent) {
        Books::apply(self, &event);
    }
}
