use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Entity, Later, Metadata};
use crate::wire::words;

words! {
    /// Where a refund stands.
    RefundStatus {
        Pending => "pending",
        RequiresAction => "requires_action",
        Succeeded => "succeeded",
        Failed => "failed",
        Canceled => "canceled",
    }
}

words! {
    /// Why money goes back.
    RefundReason {
        Duplicate => "duplicate",
        Fraudulent => "fraudulent",
        RequestedByCustomer => "requested_by_customer",
    }
}

/// Money that goes back to a card.
#[derive(Clone, Serialize, Deserialize)]
pub struct Refund {
    pub id: String,
    pub created: i64,
    /// In minor units.
    pub amount: i64,
    pub currency: String,
    pub charge: String,
    pub payment_intent: String,
    pub reason: Option<RefundReason>,
    pub status: RefundStatus,
    pub metadata: Metadata,
    pub balance_transaction: String,
    pub failure_balance_transaction: Option<String>,
    pub failure_reason: Option<String>,
    /// When it turns: a pending one succeeds, as does one that the payer has to do something for; a succeeded one fails.
    pub turns_at: Option<i64>,
}

impl Entity for Refund {
    fn id(&self) -> &str {
        &self.id
    }

    fn later(&self) -> Option<(i64, Later)> {
        self.turns_at.map(|at| (at, Later::TurnRefund))
    }
}

impl Refund {
    /// The refund as Stripe shows it; what only failed refunds have is absent from others.
    pub fn render(&self) -> Value {
        let mut refund = json!({
            "id": self.id,
            "object": "refund",
            "amount": self.amount,
            "balance_transaction": self.balance_transaction,
            "charge": self.charge,
            "created": self.created,
            "currency": self.currency,
            "destination_details": {
                "card": { "reference_status": "pending", "reference_type": "acquirer_reference_number", "type": "refund" },
                "type": "card",
            },
            "metadata": self.metadata,
            "payment_intent": self.payment_intent,
            "reason": self.reason,
            "receipt_number": null,
            "source_transfer_reversal": null,
            "status": self.status,
            "transfer_reversal": null,
        });
        let mut add = |key: &str, value: &Option<String>| {
            if let Some(value) = value {
                refund[key] = json!(value);
            }
        };
        add(
            "failure_balance_transaction",
            &self.failure_balance_transaction,
        );
        add("failure_reason", &self.failure_reason);
        if self.status == RefundStatus::Pending {
            refund["pending_reason"] = json!("processing");
        }
        refund
    }
}
