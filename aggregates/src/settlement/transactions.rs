//! A balance transaction: one movement of what Stripe holds for the merchant. What was booked never changes; only that it
//! becomes available, and which payout it goes into, is told later.

use crate::ids::MerchantId;
use crate::money::Money;
use crate::settlement::{
    BalanceTransactionObserved, Settlement, SettlementError, SettlementEvent, Transaction,
    TransactionSnapshot,
};

/// No movement is larger, in minor units of any currency: sums of a thousand of them are still counted.
pub const BOOKED_MAX_MINOR: i64 = 1_000_000_000_000_000;

impl Settlement {
    pub(super) fn see_transaction(
        &self,
        merchant: MerchantId,
        seen: &TransactionSnapshot,
    ) -> Result<Vec<SettlementEvent>, SettlementError> {
        let told = &seen.balance_transaction;
        if let Some(because) = nonsense(seen) {
            return Ok(self.refuse(said(seen), because));
        }
        if self.merchant().is_none() {
            return Ok(begun(merchant, seen));
        }
        let known = self.transaction().ok_or_else(|| self.another(told))?;
        if known.booked.balance_transaction != *told {
            return Err(self.another(told));
        }
        Ok(match known.contradiction(seen) {
            Some(because) => self.refuse(said(seen), because),
            None => known.see(seen),
        })
    }
}

/// Why the snapshot contradicts itself.
fn nonsense(seen: &TransactionSnapshot) -> Option<String> {
    let amounts = [seen.amount, seen.fee, seen.net];
    let moved = seen.source_amount;
    if amounts
        .iter()
        .chain(&moved)
        .any(|it| it.minor().unsigned_abs() > BOOKED_MAX_MINOR.unsigned_abs())
    {
        return Some("an amount is beyond what is booked".to_owned());
    }
    if seen.amount.minus(seen.fee).as_ref() != Ok(&seen.net) {
        return Some("the net is not the amount less the fee".to_owned());
    }
    None
}

/// What is told in a refusal: also tells one refused snapshot from another.
fn said(seen: &TransactionSnapshot) -> String {
    format!(
        "balance transaction {} ({}) of {} less {}, net {}, for {}, in payout {}",
        seen.balance_transaction,
        seen.category,
        seen.amount,
        seen.fee,
        seen.net,
        seen.source.as_deref().unwrap_or("nothing"),
        seen.payout.as_deref().unwrap_or("none")
    )
}

fn begun(merchant: MerchantId, seen: &TransactionSnapshot) -> Vec<SettlementEvent> {
    let origin = seen.source_amount.map(|it| {
        let minor = it.minor().saturating_abs() * seen.amount.minor().signum();
        Money::new(minor, it.currency())
    });
    let booked = BalanceTransactionObserved {
        merchant,
        balance_transaction: seen.balance_transaction.clone(),
        kind: seen.kind.clone(),
        category: seen.category.clone(),
        amount: seen.amount,
        fee: seen.fee,
        fees: seen.fees.clone(),
        net: seen.net,
        source: seen.source.clone(),
        origin,
        exchange_rate: seen.exchange_rate,
        created: seen.created,
        available_on: seen.available_on,
        available: seen.available,
    };
    let paid_out = seen.payout.clone();
    let paid_out = paid_out.map(|payout| SettlementEvent::BalanceTransactionPaidOut { payout });
    let first = SettlementEvent::BalanceTransactionObserved(Box::new(booked));
    [first].into_iter().chain(paid_out).collect()
}

impl Transaction {
    /// Why the snapshot cannot be of this transaction: what was booked stays as it was.
    fn contradiction(&self, seen: &TransactionSnapshot) -> Option<String> {
        let known = &self.booked;
        if (seen.amount, seen.fee) != (known.amount, known.fee) {
            return Some(format!("{} less {} is known here", known.amount, known.fee));
        }
        if (&seen.category, &seen.source) != (&known.category, &known.source) {
            let source = known.source.as_deref().unwrap_or("nothing");
            return Some(format!("{} for {source} is known here", known.category));
        }
        match (&self.payout, &seen.payout) {
            (Some(known), Some(told)) if known != told => Some(format!("it went into {known}")),
            _ => None,
        }
    }

    fn see(&self, seen: &TransactionSnapshot) -> Vec<SettlementEvent> {
        let available = (seen.available && !self.available).then_some(
            SettlementEvent::BalanceTransactionAvailable {
                available_on: seen.available_on,
            },
        );
        let payout = seen.payout.clone().filter(|_| self.payout.is_none());
        let paid_out = payout.map(|payout| SettlementEvent::BalanceTransactionPaidOut { payout });
        available.into_iter().chain(paid_out).collect()
    }
}
