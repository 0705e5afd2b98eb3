//! One payout: what Stripe sends to the merchant's bank, and what becomes of it.
//!
//! Stripe alone knows of payouts, so nothing is asked here: a payout is observed, in whatever order news of it comes.

mod command;
mod error;
mod event;
mod state;
#[cfg(test)]
mod tests;

pub use command::{PayoutSnapshot, PayoutStatus, ReconciliationStatus, SettlementCommand};
pub use error::SettlementError;
pub use event::{PayoutObserved, SettlementEvent, SettlementEventKind, Turn};
pub use state::{Facts, Settlement};

use crate::ids::MerchantId;
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
        let SettlementCommand::Observe { merchant, seen } = command;
        let Some(facts) = self.facts() else {
            return Ok(begun(merchant, &seen));
        };
        if facts.payout != seen.payout {
            return Err(SettlementError::AnotherPayout {
                known: facts.payout.clone(),
                told: seen.payout,
            });
        }
        Ok(facts.see(&seen))
    }
}

/// The payout as it was made, and what the snapshot shows to have happened since.
fn begun(merchant: MerchantId, seen: &PayoutSnapshot) -> Vec<SettlementEvent> {
    let first = SettlementEvent::PayoutObserved(Box::new(PayoutObserved {
        merchant,
        payout: seen.payout.clone(),
        amount: seen.amount,
        arrival_date: seen.arrival_date,
        created: seen.created,
        automatic: seen.automatic,
        method: seen.method.clone(),
        balance_transaction: seen.balance_transaction.clone(),
    }));
    let mut settlement = Settlement::default();
    settlement.apply(&first);
    let facts = settlement.facts().expect("an observation begins a payout");
    let since = facts.see(seen);
    [first].into_iter().chain(since).collect()
}

impl Facts {
    fn see(&self, seen: &PayoutSnapshot) -> Vec<SettlementEvent> {
        if let Some(because) = self.contradiction(seen) {
            let said = format!(
                "payout {} of {} is {}",
                seen.payout, seen.amount, seen.status
            );
            let known = self.refused.hold(&said, &because);
            let event = SettlementEvent::ObservationRefused { said, because };
            return (!known).then_some(event).into_iter().collect();
        }
        let reconciled =
            seen.reconciliation_status == ReconciliationStatus::Completed && !self.reconciled;
        self.moved(seen)
            .into_iter()
            .chain(reconciled.then_some(SettlementEvent::PayoutReconciled))
            .collect()
    }

    /// Why this cannot be how the payout stands, or ever stood. A payout ends once: it fails (even after it was paid: the
    /// bank sends it back) or is canceled (never after it was paid).
    fn contradiction(&self, seen: &PayoutSnapshot) -> Option<String> {
        use PayoutStatus as S;
        if seen.amount != self.amount {
            return Some(format!("the amount known here is {}", self.amount));
        }
        match (self.status, seen.status) {
            (S::Paid | S::Failed, S::Canceled) | (S::Canceled, S::Paid | S::Failed) => {
                Some(format!("it is {}", self.status))
            }
            _ => None,
        }
    }

    /// Onward, where the snapshot shows it further than it is known to be. An older one is no news.
    fn moved(&self, seen: &PayoutSnapshot) -> Option<SettlementEvent> {
        if rank(seen.status) <= rank(self.status) {
            return None;
        }
        let turn = Turn {
            arrival_date: seen.arrival_date,
            balance_transaction: seen.balance_transaction.clone(),
        };
        match seen.status {
            PayoutStatus::Pending => None,
            PayoutStatus::InTransit => Some(SettlementEvent::PayoutInTransit(turn)),
            PayoutStatus::Paid => Some(SettlementEvent::PayoutPaid(turn)),
            PayoutStatus::Canceled => Some(SettlementEvent::PayoutCanceled(turn)),
            PayoutStatus::Failed => Some(SettlementEvent::PayoutFailed {
                turn,
                code: seen.failure_code.clone(),
                failure_balance_transaction: seen.failure_balance_transaction.clone(),
            }),
        }
    }
}

/// How far along a payout is: whatever comes later ranks higher.
fn rank(status: PayoutStatus) -> u8 {
    match status {
        PayoutStatus::Pending => 0,
        PayoutStatus::InTransit => 1,
        PayoutStatus::Paid => 2,
        PayoutStatus::Failed | PayoutStatus::Canceled => 3,
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
