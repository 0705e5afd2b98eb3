use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Entity;
use crate::wire::{Word, words};

words! {
    /// What moved the balance.
    BalanceType {
        Charge => "charge",
        Refund => "refund",
        RefundFailure => "refund_failure",
        Dispute => "dispute",
        DisputeReversal => "dispute_reversal",
        Payout => "payout",
        PayoutFailure => "payout_failure",
        PayoutCancel => "payout_cancel",
        StripeFee => "stripe_fee",
    }
}

impl BalanceType {
    /// Stripe's `type`.
    pub fn as_type(self) -> &'static str {
        match self {
            Self::Dispute | Self::DisputeReversal => "adjustment",
            other => other.as_str(),
        }
    }

    /// Stripe's `reporting_category`.
    pub fn as_category(self) -> &'static str {
        match self {
            Self::PayoutFailure | Self::PayoutCancel => "payout_reversal",
            Self::StripeFee => "fee",
            other => other.as_str(),
        }
    }
}

/// One movement of the account's balance.
#[derive(Clone, Serialize, Deserialize)]
pub struct BalanceTransaction {
    pub id: String,
    pub created: i64,
    /// In minor units, gross; negative where money leaves.
    pub amount: i64,
    /// In minor units; what Stripe keeps.
    pub fee: i64,
    pub currency: String,
    pub balance_type: BalanceType,
    /// The charge, refund, dispute or payout; empty where nothing but Stripe itself moved it.
    pub source: String,
    pub description: Option<String>,
    /// Pending until then.
    pub available_on: i64,
    /// Minor units of `currency` for a million of the source's, where it was exchanged.
    #[serde(default)]
    pub rate_per_million: Option<i64>,
    /// The automatic payout that it went into, which for that payout's own transaction is itself.
    #[serde(default)]
    pub payout: Option<String>,
}

impl Entity for BalanceTransaction {
    fn id(&self) -> &str {
        &self.id
    }
}

impl BalanceTransaction {
    /// What the balance changes by, in minor units.
    pub fn net(&self) -> i64 {
        self.amount - self.fee
    }

    /// Whether the money can be paid out.
    pub fn is_available(&self, now: i64) -> bool {
        self.available_on <= now
    }

    /// The transaction as Stripe shows it at `now`.
    pub fn render(&self, now: i64) -> Value {
        let fee_details: Vec<Value> = match self.fee {
            0 => Vec::new(),
            fee => vec![json!({
                "amount": fee,
                "application": null,
                "currency": self.currency,
                "description": match self.balance_type {
                    BalanceType::Dispute => "Dispute fee",
                    _ => "Stripe processing fees",
                },
                "type": "stripe_fee",
            })],
        };
        json!({
            "id": self.id,
            "object": "balance_transaction",
            "amount": self.amount,
            "available_on": self.available_on,
            "balance_type": "payments",
            "created": self.created,
            "currency": self.currency,
            "description": self.description,
            "exchange_rate": self.rate_per_million.map(exchange_rate),
            "fee": self.fee,
            "fee_details": fee_details,
            "net": self.net(),
            "reporting_category": self.balance_type.as_category(),
            "source": (!self.source.is_empty()).then_some(&self.source),
            "status": if self.is_available(now) { "available" } else { "pending" },
            "type": self.balance_type.as_type(),
        })
    }
}

/// The rate as Stripe shows it: a number.
fn exchange_rate(per_million: i64) -> Value {
    let (whole, part) = (per_million / 1_000_000, per_million % 1_000_000);
    let text = format!("{whole}.{part:06}");
    serde_json::from_str(&text).unwrap_or(Value::Null)
}
