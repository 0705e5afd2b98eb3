//! A payout as its events leave it.

use crate::ids::MerchantId;
use crate::money::Money;
use crate::refused::RefusedObservations;
use crate::settlement::{PayoutObserved, PayoutStatus, SettlementEvent, Turn};
use serde::{Deserialize, Serialize};

/// A settlement: nothing yet, or what is known of its payout.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settlement {
    facts: Option<Box<Facts>>,
}

/// What is known of a payout. Times are Stripe's, seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    pub merchant: MerchantId,
    /// Stripe's id (`po_…`).
    pub payout: String,
    /// Negative where Stripe takes the money from the bank.
    pub amount: Money,
    pub status: PayoutStatus,
    pub arrival_date: i64,
    pub created: i64,
    pub automatic: bool,
    pub method: String,
    pub balance_transaction: Option<String>,
    pub failure_code: Option<String>,
    /// The balance transaction that brought the money back.
    pub failure_balance_transaction: Option<String>,
    pub reconciled: bool,
    #[serde(default)]
    pub refused: RefusedObservations,
}

impl Settlement {
    /// What is known; none before the payout was seen.
    pub fn facts(&self) -> Option<&Facts> {
        self.facts.as_deref()
    }

    /// Takes a fact. Never fails; one about a payout that was never seen leaves no trace.
    pub fn apply(&mut self, event: &SettlementEvent) {
        match (&mut self.facts, event) {
            (Some(facts), event) => facts.apply(event),
            (facts @ None, SettlementEvent::PayoutObserved(it)) => {
                *facts = Some(Box::new(begun(it)));
            }
            (None, _) => {}
        }
    }
}

fn begun(it: &PayoutObserved) -> Facts {
    Facts {
        merchant: it.merchant.clone(),
        payout: it.payout.clone(),
        amount: it.amount,
        status: PayoutStatus::Pending,
        arrival_date: it.arrival_date,
        created: it.created,
        automatic: it.automatic,
        method: it.method.clone(),
        balance_transaction: it.balance_transaction.clone(),
        failure_code: None,
        failure_balance_transaction: None,
        reconciled: false,
        refused: RefusedObservations::default(),
    }
}

impl Facts {
    fn apply(&mut self, event: &SettlementEvent) {
        use SettlementEvent as E;
        match event {
            E::PayoutObserved(_) => {}
            E::PayoutInTransit(turn) => self.turns(PayoutStatus::InTransit, turn),
            E::PayoutPaid(turn) => self.turns(PayoutStatus::Paid, turn),
            E::PayoutCanceled(turn) => self.turns(PayoutStatus::Canceled, turn),
            E::PayoutFailed {
                turn,
                code,
                failure_balance_transaction,
            } => {
                self.turns(PayoutStatus::Failed, turn);
                self.failure_code.clone_from(code);
                self.failure_balance_transaction
                    .clone_from(failure_balance_transaction);
            }
            E::PayoutReconciled => self.reconciled = true,
            E::ObservationRefused { said, because } => self.refused.take(said, because),
        }
    }

    fn turns(&mut self, status: PayoutStatus, turn: &Turn) {
        self.status = status;
        self.arrival_date = turn.arrival_date;
        if turn.balance_transaction.is_some() {
            self.balance_transaction
                .clone_from(&turn.balance_transaction);
        }
    }
}
