//! What Stripe pays out, and where it came from: payouts, balance transactions, and the lines of bank statements.
//!
//! Each is an aggregate of its own, so that no history grows with the account's. Stripe and the bank alone know of them:
//! nothing is asked here, everything is observed, in whatever order news of it comes.

mod bank_lines;
mod command;
mod error;
mod event;
mod matching;
mod payouts;
mod state;
#[cfg(test)]
mod tests;
mod transactions;

pub use bank_lines::what_it_names;
pub use command::{
    PayoutSnapshot, PayoutStatus, ReconciliationStatus, SettlementCommand, TransactionSnapshot,
};
pub use error::SettlementError;
pub use event::{
    BalanceTransactionObserved, BankLineImported, Fee, Items, PayoutObserved, SettlementEvent,
    SettlementEventKind, Turn,
};
pub use matching::{Candidate, Match, match_of};
pub use state::{BankLine, Payout, Settlement, Transaction};
pub use transactions::BOOKED_MAX_MINOR;

use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;

impl Settlement {
    /// The events that the command leads to; none where it tells nothing new.
    ///
    /// # Errors
    /// [`SettlementError`].
    pub fn decide(
        &self,
        command: SettlementCommand,
    ) -> Result<Vec<SettlementEvent>, SettlementError> {
        use SettlementCommand as C;
        match command {
            C::ObservePayout { merchant, seen } => self.see_payout(merchant, &seen),
            C::Itemise(items) => {
                let known = self.known_payout("the items of a payout")?.items;
                let told = (known != Some(items)).then_some(SettlementEvent::PayoutItemised(items));
                Ok(told.into_iter().collect())
            }
            C::ObserveTransaction { merchant, seen } => self.see_transaction(merchant, &seen),
            C::ImportBankLine(line) => self.import(line),
            C::MeetBankLine { line, amount } => {
                let payout = self.known_payout("the payout of a bank's line")?;
                payout.meet(line, amount)
            }
            C::MatchPayout { payout } => self.match_payout(payout),
        }
    }

    /// The refusal of an observation, unless it was refused already.
    fn refuse(&self, said: String, because: String) -> Vec<SettlementEvent> {
        let known = self.refused().hold(&said, &because);
        let event = SettlementEvent::ObservationRefused { said, because };
        (!known).then_some(event).into_iter().collect()
    }

    fn another(&self, told: &str) -> SettlementError {
        SettlementError::Another {
            known: self.name().to_owned(),
            told: told.to_owned(),
        }
    }
}

impl Aggregate for Settlement {
    const TYPE: &'static str = "settlement";
    type Command = SettlementCommand;
    type Event = SettlementEvent;
    type Error = SettlementError;
    type Services = ();

    /// Forwards to [`Settlement::decide`]: `handle` runs before the commit, so it must touch nothing.
    async fn handle(
        &mut self,
        command: SettlementCommand,
        (): &(),
        sink: &EventSink<Self>,
    ) -> Result<(), SettlementError> {
        for event in self.decide(command)? {
            sink.write(event, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: SettlementEvent) {
        Self::apply(self, &event);
    }
}
