use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{BalanceTransaction, Entity, Later, Metadata};
use crate::wire::words;

words! {
    /// Where a dispute stands; an inquiry's words begin with `warning_`.
    DisputeStatus {
        WarningNeedsResponse => "warning_needs_response",
        WarningUnderReview => "warning_under_review",
        WarningClosed => "warning_closed",
        NeedsResponse => "needs_response",
        UnderReview => "under_review",
        Won => "won",
        Lost => "lost",
    }
}

impl DisputeStatus {
    /// Whether the bank only asks, and has taken nothing yet.
    pub fn is_inquiry(self) -> bool {
        matches!(
            self,
            Self::WarningNeedsResponse | Self::WarningUnderReview | Self::WarningClosed
        )
    }

    /// Whether evidence can still be given.
    pub fn needs_response(self) -> bool {
        matches!(self, Self::WarningNeedsResponse | Self::NeedsResponse)
    }

    /// Whether it is over.
    pub fn is_closed(self) -> bool {
        matches!(self, Self::WarningClosed | Self::Won | Self::Lost)
    }
}

/// The members of `evidence` that are text.
pub const EVIDENCE_TEXTS: &[&str] = &[
    "access_activity_log",
    "billing_address",
    "cancellation_policy_disclosure",
    "cancellation_rebuttal",
    "customer_email_address",
    "customer_name",
    "customer_purchase_ip",
    "duplicate_charge_explanation",
    "duplicate_charge_id",
    "product_description",
    "refund_policy_disclosure",
    "refund_refusal_explanation",
    "service_date",
    "shipping_address",
    "shipping_carrier",
    "shipping_date",
    "shipping_tracking_number",
    "uncategorized_text",
];

/// The members of `evidence` that name an uploaded file.
pub const EVIDENCE_FILES: &[&str] = &[
    "cancellation_policy",
    "customer_communication",
    "customer_signature",
    "duplicate_charge_documentation",
    "receipt",
    "refund_policy",
    "service_documentation",
    "shipping_documentation",
    "uncategorized_file",
];

/// A payer's bank asks for a charge's money back, or asks about it.
#[derive(Clone, Serialize, Deserialize)]
pub struct Dispute {
    pub id: String,
    pub created: i64,
    /// In minor units.
    pub amount: i64,
    pub currency: String,
    pub charge: String,
    pub payment_intent: String,
    pub reason: String,
    pub network_reason_code: String,
    pub brand: String,
    pub status: DisputeStatus,
    /// By name; see [`EVIDENCE_TEXTS`].
    pub evidence: BTreeMap<String, String>,
    pub submission_count: u32,
    pub metadata: Metadata,
    /// What was withdrawn, and what was reinstated.
    pub balance_transactions: Vec<String>,
    /// Until when the merchant can answer.
    pub due_by: i64,
    /// When the bank decides, once it has evidence that settles the matter.
    pub decides_at: Option<i64>,
}

impl Entity for Dispute {
    fn id(&self) -> &str {
        &self.id
    }

    fn later(&self) -> Option<(i64, Later)> {
        match self.decides_at {
            Some(at) => Some((at, Later::DecideDispute)),
            None if self.status.needs_response() => Some((self.due_by + 1, Later::LapseDispute)),
            None => None,
        }
    }
}

impl Dispute {
    /// Whether the merchant may still refund the charge.
    pub fn is_charge_refundable(&self) -> bool {
        self.status.is_inquiry() || self.status == DisputeStatus::Won
    }

    /// The dispute as Stripe shows it at `now`; `find` looks up its balance transactions.
    pub fn render(&self, now: i64, find: impl Fn(&str) -> Option<BalanceTransaction>) -> Value {
        let transactions: Vec<Value> = self
            .balance_transactions
            .iter()
            .filter_map(|id| Some(find(id)?.render(now)))
            .collect();
        json!({
            "id": self.id,
            "object": "dispute",
            "amount": self.amount,
            "balance_transactions": transactions,
            "charge": self.charge,
            "created": self.created,
            "currency": self.currency,
            "enhanced_eligibility_types": [],
            "evidence": self.render_evidence(),
            "evidence_details": {
                "due_by": self.due_by,
                "enhanced_eligibility": {},
                "has_evidence": !self.evidence.is_empty(),
                "past_due": self.status.needs_response() && now > self.due_by,
                "submission_count": self.submission_count,
            },
            "is_charge_refundable": self.is_charge_refundable(),
            "livemode": false,
            "metadata": self.metadata,
            "network_reason_code": self.network_reason_code,
            "payment_intent": self.payment_intent,
            "payment_method_details": {
                "card": {
                    "brand": self.brand,
                    "case_type": if self.status.is_inquiry() { "inquiry" } else { "chargeback" },
                    "network": self.brand,
                    "network_reason_code": self.network_reason_code,
                },
                "type": "card",
            },
            "reason": self.reason,
            "status": self.status,
        })
    }

    fn render_evidence(&self) -> Value {
        let names = EVIDENCE_TEXTS.iter().chain(EVIDENCE_FILES);
        let mut evidence: Map<String, Value> = names
            .map(|name| ((*name).to_owned(), json!(self.evidence.get(*name))))
            .collect();
        evidence.insert("enhanced_evidence".to_owned(), json!({}));
        Value::Object(evidence)
    }
}
