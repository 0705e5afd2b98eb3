//! One thing that is settled, as its events leave it.

use crate::ids::{MerchantId, SettlementId};
use crate::money::Money;
use crate::refused::RefusedObservations;
use crate::settlement::event::{
    BalanceTransactionObserved, BankLineImported, PayoutObserved, SettlementEvent, Turn,
};
use crate::settlement::{Items, PayoutStatus};
use serde::{Deserialize, Serialize};

/// A settlement: nothing yet, or a payout, a balance transaction, or a line of a bank statement.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settlement {
    item: Option<Item>,
    refused: RefusedObservations,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Item {
    Payout(Box<Payout>),
    Transaction(Box<Transaction>),
    BankLine(Box<BankLine>),
}

/// What is known of a payout. Times are Stripe's, seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payout {
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
    /// Stripe has told which balance transactions it is made of.
    pub reconciled: bool,
    /// What the balance transactions that it is made of come to, once they were counted.
    pub items: Option<Items>,
    /// The line of a bank statement with which it arrived.
    pub arrived: Option<SettlementId>,
    /// The line with which the bank sent it back.
    pub returned: Option<SettlementId>,
}

/// What is known of a balance transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    pub booked: BalanceTransactionObserved,
    /// When it can be paid out, seconds since 1970.
    pub available_on: i64,
    pub available: bool,
    /// The automatic payout (`po_…`) that it went into.
    pub payout: Option<String>,
}

/// What is known of a line of a bank statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BankLine {
    pub line: BankLineImported,
    /// The payout (`po_…`) that it is the arrival or the return of.
    pub matched: Option<String>,
}

impl Settlement {
    /// The payout, where it is one.
    pub fn payout(&self) -> Option<&Payout> {
        match &self.item {
            Some(Item::Payout(it)) => Some(it),
            _ => None,
        }
    }

    /// The balance transaction, where it is one.
    pub fn transaction(&self) -> Option<&Transaction> {
        match &self.item {
            Some(Item::Transaction(it)) => Some(it),
            _ => None,
        }
    }

    /// The line of a bank statement, where it is one.
    pub fn bank_line(&self) -> Option<&BankLine> {
        match &self.item {
            Some(Item::BankLine(it)) => Some(it),
            _ => None,
        }
    }

    /// Whose it is; none before anything is known.
    pub fn merchant(&self) -> Option<&MerchantId> {
        Some(match self.item.as_ref()? {
            Item::Payout(it) => &it.merchant,
            Item::Transaction(it) => &it.booked.merchant,
            Item::BankLine(it) => &it.line.merchant,
        })
    }

    /// What it is, for people: Stripe's id, or the bank's account.
    pub fn name(&self) -> &str {
        match &self.item {
            None => "nothing yet",
            Some(Item::Payout(it)) => &it.payout,
            Some(Item::Transaction(it)) => &it.booked.balance_transaction,
            Some(Item::BankLine(it)) => &it.line.account,
        }
    }

    pub(super) fn refused(&self) -> &RefusedObservations {
        &self.refused
    }

    /// Takes a fact. Never fails; one about a thing that was never seen leaves no trace.
    pub fn apply(&mut self, event: &SettlementEvent) {
        use SettlementEvent as E;
        match (&mut self.item, event) {
            (_, E::ObservationRefused { said, because }) => self.refused.take(said, because),
            (None, event) => self.item = begun(event),
            (Some(Item::Payout(it)), event) => it.apply(event),
            (Some(Item::Transaction(it)), event) => it.apply(event),
            (Some(Item::BankLine(it)), E::BankLineMatched { payout, .. }) => {
                it.matched = Some(payout.clone());
            }
            (Some(Item::BankLine(_)), _) => {}
        }
    }
}

fn begun(event: &SettlementEvent) -> Option<Item> {
    Some(match event {
        SettlementEvent::PayoutObserved(it) => Item::Payout(Box::new(Payout::made(it))),
        SettlementEvent::BalanceTransactionObserved(it) => {
            Item::Transaction(Box::new(Transaction {
                booked: BalanceTransactionObserved::clone(it),
                available_on: it.available_on,
                available: it.available,
                payout: None,
            }))
        }
        SettlementEvent::BankLineImported(it) => Item::BankLine(Box::new(BankLine {
            line: BankLineImported::clone(it),
            matched: None,
        })),
        _ => return None,
    })
}

impl Payout {
    fn made(it: &PayoutObserved) -> Self {
        Self {
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
            items: None,
            arrived: None,
            returned: None,
        }
    }

    fn apply(&mut self, event: &SettlementEvent) {
        use SettlementEvent as E;
        match event {
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
            E::PayoutItemised(items) => self.items = Some(*items),
            E::PayoutArrived { line } => self.arrived = Some(*line),
            E::PayoutReturned { line } => self.returned = Some(*line),
            _ => {}
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

impl Transaction {
    fn apply(&mut self, event: &SettlementEvent) {
        match event {
            SettlementEvent::BalanceTransactionAvailable { available_on } => {
                self.available = true;
                self.available_on = *available_on;
            }
            SettlementEvent::BalanceTransactionPaidOut { payout } => {
                self.payout = Some(payout.clone());
            }
            _ => {}
        }
    }
}
