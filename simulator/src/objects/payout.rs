use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Entity, Later, Metadata};
use crate::wire::words;

words! {
    /// Where a payout stands.
    PayoutStatus {
        Pending => "pending",
        Paid => "paid",
        Failed => "failed",
        Canceled => "canceled",
    }
}

words! {
    /// How fast it shall be.
    PayoutMethod {
        Standard => "standard",
        Instant => "instant",
    }
}

/// Money on its way to the merchant's bank.
#[derive(Clone, Serialize, Deserialize)]
pub struct Payout {
    pub id: String,
    pub created: i64,
    /// In minor units.
    pub amount: i64,
    pub currency: String,
    /// Made by the clock: it holds certain balance transactions, and can be itemised.
    pub automatic: bool,
    pub method: PayoutMethod,
    pub status: PayoutStatus,
    pub arrival_date: i64,
    pub balance_transaction: String,
    /// What brought the money back.
    pub failure_balance_transaction: Option<String>,
    pub failure_code: Option<String>,
    pub failure_message: Option<String>,
    pub description: Option<String>,
    pub statement_descriptor: Option<String>,
    pub metadata: Metadata,
}

impl Entity for Payout {
    fn id(&self) -> &str {
        &self.id
    }

    fn later(&self) -> Option<(i64, Later)> {
        (self.status == PayoutStatus::Pending).then_some((self.arrival_date, Later::FinishPayout))
    }
}

impl Payout {
    /// The payout as Stripe shows it.
    pub fn render(&self) -> Value {
        let reconciliation = match (self.automatic, self.status) {
            (false, _) => "not_applicable",
            (true, PayoutStatus::Pending) => "in_progress",
            (true, _) => "completed",
        };
        json!({
            "id": self.id,
            "object": "payout",
            "amount": self.amount,
            "application_fee": null,
            "application_fee_amount": null,
            "arrival_date": self.arrival_date,
            "automatic": self.automatic,
            "balance_transaction": self.balance_transaction,
            "created": self.created,
            "currency": self.currency,
            "description": self.description,
            "destination": null,
            "failure_balance_transaction": self.failure_balance_transaction,
            "failure_code": self.failure_code,
            "failure_message": self.failure_message,
            "livemode": false,
            "metadata": self.metadata,
            "method": self.method,
            "original_payout": null,
            "payout_method": null,
            "reconciliation_status": reconciliation,
            "reversed_by": null,
            "source_type": "card",
            "statement_descriptor": self.statement_descriptor,
            "status": self.status,
            "trace_id": null,
            "type": "bank_account",
        })
    }
}

/// When an account's balance is paid out next.
#[derive(Clone, Serialize, Deserialize)]
pub struct Schedule {
    pub id: String,
    pub next_at: i64,
}

impl Entity for Schedule {
    fn id(&self) -> &str {
        &self.id
    }

    fn later(&self) -> Option<(i64, Later)> {
        Some((self.next_at, Later::PayOut))
    }
}

impl Schedule {
    /// The only one that an account has.
    pub const ID: &str = "automatic_payouts";

    /// The first Monday, at midnight UTC, after `now`.
    pub fn after(now: i64) -> Self {
        const DAY_S: i64 = 24 * 3_600;
        const WEEK_S: i64 = 7 * DAY_S;
        // 1970 began on a Thursday.
        const FIRST_MONDAY: i64 = 4 * DAY_S;
        let weeks = (now - FIRST_MONDAY).div_euclid(WEEK_S) + 1;
        Self {
            id: Self::ID.to_owned(),
            next_at: weeks * WEEK_S + FIRST_MONDAY,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Schedule;

    #[test]
    fn the_next_payout_is_on_the_monday_after_today() {
        // Monday 2 November 2026, 00:00 UTC.
        let monday = 1_793_577_600;
        assert_eq!(Schedule::after(monday - 1).next_at, monday);
        assert_eq!(Schedule::after(monday).next_at, monday + 7 * 24 * 3_600);
    }
}
