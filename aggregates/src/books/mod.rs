//! The closing of a merchant's books, month by month. What is recorded after a month was closed is posted in the first month
//! that is open, with the time at which it happened. Nothing is opened again: what was wrong is put right in an open month.
//! And what the merchant's own books call our accounts.

mod chart;
mod month;
#[cfg(test)]
mod tests;

pub use chart::{Chart, ChartAccount, NotAChartAccount};
pub use month::{Month, NotAMonth};

use crate::ids::MerchantId;
use crate::ledger::Account;
use chrono::{DateTime, Utc};
use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, DomainEvent};
use serde::{Deserialize, Serialize};

/// The books of one merchant: up to where they are closed, and what their accounts are called elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Books {
    closed_through: Option<Month>,
    #[serde(default)]
    chart: Chart,
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
    /// A person says what the merchant's own books call an account; none takes back what was said.
    Map {
        merchant: MerchantId,
        account: Account,
        to: Option<ChartAccount>,
    },
}

/// What has happened to the books. Who did it and why is told with the event.
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
    /// In exports this account is, from now on, that one of the merchant's own chart.
    AccountMapped {
        merchant: MerchantId,
        account: Account,
        to: ChartAccount,
    },
    /// This account has none in the merchant's own chart any more.
    AccountUnmapped {
        merchant: MerchantId,
        account: Account,
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

    /// What the merchant's own books call our accounts.
    pub fn chart(&self) -> &Chart {
        &self.chart
    }

    /// The events that the command leads to; none where it is so already.
    ///
    /// # Errors
    /// [`BooksError`].
    pub fn decide(&self, command: BooksCommand) -> Result<Vec<BooksEvent>, BooksError> {
        match command {
            BooksCommand::Close { through, .. }
                if self.closed_through.is_some_and(|closed| closed >= through) =>
            {
                Ok(vec![])
            }
            BooksCommand::Close { through, now, .. } if !through.has_ended_by(now) => {
                Err(BooksError::NotEnded(through))
            }
            BooksCommand::Close {
                merchant, through, ..
            } => Ok(vec![BooksEvent::PeriodClosed { merchant, through }]),
            BooksCommand::Map { account, to, .. } if self.chart.get(&account) == to.as_ref() => {
                Ok(vec![])
            }
            BooksCommand::Map {
                merchant,
                account,
                to,
            } => Ok(vec![match to {
                Some(to) => BooksEvent::AccountMapped {
                    merchant,
                    account,
                    to,
                },
                None => BooksEvent::AccountUnmapped { merchant, account },
            }]),
        }
    }

    /// Takes a fact. Never fails.
    pub fn apply(&mut self, event: &BooksEvent) {
        match event {
            BooksEvent::PeriodClosed { through, .. } => {
                self.closed_through = self.closed_through.max(Some(*through));
            }
            BooksEvent::AccountMapped { account, to, .. } => {
                self.chart.insert(*account, to.clone());
            }
            BooksEvent::AccountUnmapped { account, .. } => {
                self.chart.remove(account);
            }
        }
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
