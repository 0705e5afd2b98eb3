//! A payout: what Stripe sends to the merchant's bank, and what becomes of it.

use crate::ids::{MerchantId, SettlementId};
use crate::money::Money;
use crate::settlement::{
    Payout, PayoutObserved, PayoutSnapshot, PayoutStatus, ReconciliationStatus, Settlement,
    SettlementError, SettlementEvent, Turn,
};

impl Settlement {
    pub(super) fn see_payout(
        &self,
        merchant: MerchantId,
        seen: &PayoutSnapshot,
    ) -> Result<Vec<SettlementEvent>, SettlementError> {
        if self.merchant().is_none() {
            return Ok(begun(merchant, seen));
        }
        let payout = self.known_payout(&seen.payout)?;
        if payout.payout != seen.payout {
            return Err(self.another(&seen.payout));
        }
        Ok(match payout.contradiction(seen) {
            Some(because) => self.refuse(
                format!(
                    "payout {} of {} is {}",
                    seen.payout, seen.amount, seen.status
                ),
                because,
            ),
            None => payout.see(seen),
        })
    }

    /// The payout that a command is about.
    pub(super) fn known_payout(&self, told: &str) -> Result<&Payout, SettlementError> {
        self.payout().ok_or_else(|| self.another(told))
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
    let payout = settlement.payout().expect("an observation begins a payout");
    let since = payout.see(seen);
    [first].into_iter().chain(since).collect()
}

impl Payout {
    fn see(&self, seen: &PayoutSnapshot) -> Vec<SettlementEvent> {
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

    /// A payout arrives once, with its whole amount, and is sent back once, with the whole of it again.
    pub(super) fn meet(
        &self,
        line: SettlementId,
        amount: Money,
    ) -> Result<Vec<SettlementEvent>, SettlementError> {
        let returned = self.amount.minor().checked_neg();
        let comes = amount == self.amount;
        if !comes
            && (amount.currency() != self.amount.currency() || Some(amount.minor()) != returned)
        {
            return Err(SettlementError::AmountDiffers {
                line: amount,
                payout: self.amount,
            });
        }
        let (known, event) = if comes {
            (self.arrived, SettlementEvent::PayoutArrived { line })
        } else {
            (self.returned, SettlementEvent::PayoutReturned { line })
        };
        match known {
            Some(known) if known == line => Ok(vec![]),
            Some(known) => Err(SettlementError::MatchedAlready {
                with: format!("the bank's line {known}"),
            }),
            None if !comes && self.status != PayoutStatus::Failed => {
                Err(SettlementError::NotReturned {
                    status: self.status.to_string(),
                })
            }
            None => Ok(vec![event]),
        }
    }

    /// It never met that line.
    pub(super) fn part(&self, line: SettlementId) -> Result<Vec<SettlementEvent>, SettlementError> {
        if self.arrived != Some(line) && self.returned != Some(line) {
            return Err(SettlementError::NotMatched);
        }
        Ok(vec![SettlementEvent::PayoutUnmatched { line }])
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
