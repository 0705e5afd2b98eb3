use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Entity, Later, Metadata};
use crate::cards::Card;
use crate::wire::words;

words! {
    /// Whether an attempt to charge worked.
    ChargeStatus {
        Succeeded => "succeeded",
        Pending => "pending",
        Failed => "failed",
    }
}

words! {
    /// What the merchant says of a charge.
    UserReport {
        Fraudulent => "fraudulent",
        Safe => "safe",
    }
}

/// Why an attempt failed.
#[derive(Clone, Serialize, Deserialize)]
pub struct Failure {
    /// Stripe's error code.
    pub code: String,
    /// The issuer's reason.
    pub decline_code: String,
    /// For the payer.
    pub message: String,
}

/// One attempt to take money from a card.
#[derive(Clone, Serialize, Deserialize)]
pub struct Charge {
    pub id: String,
    pub created: i64,
    /// In minor units, as authorised.
    pub amount: i64,
    /// In minor units.
    pub amount_captured: i64,
    /// In minor units, pending refunds included.
    pub amount_refunded: i64,
    pub currency: String,
    pub status: ChargeStatus,
    pub captured: bool,
    pub payment_intent: String,
    pub payment_method: String,
    pub card: Card,
    pub billing_details: Value,
    /// Whether the payer passed 3-D Secure.
    pub authenticated: bool,
    pub failure: Option<Failure>,
    pub balance_transaction: Option<String>,
    /// When the balance transaction will be there.
    pub settles_at: Option<i64>,
    pub description: Option<String>,
    pub metadata: Metadata,
    pub receipt_email: Option<String>,
    pub shipping: Option<Value>,
    pub statement_descriptor: Option<String>,
    pub statement_descriptor_suffix: Option<String>,
    pub transfer_group: Option<String>,
    #[serde(default)]
    pub customer: Option<String>,
    /// The dispute of it.
    #[serde(default)]
    pub dispute: Option<String>,
    #[serde(default)]
    pub user_report: Option<UserReport>,
    /// When the payer's bank will dispute it.
    #[serde(default)]
    pub disputes_at: Option<i64>,
}

impl Entity for Charge {
    fn id(&self) -> &str {
        &self.id
    }

    fn later(&self) -> Option<(i64, Later)> {
        let settles = self.settles_at.map(|at| (at, Later::SettleCharge));
        let disputes = self.disputes_at.map(|at| (at, Later::OpenDispute));
        // The sooner of the two, and at the same time the books before the dispute.
        settles.into_iter().chain(disputes).min()
    }
}

impl Charge {
    /// What can still be refunded, in minor units.
    pub fn refundable(&self) -> i64 {
        self.amount_captured - self.amount_refunded
    }

    /// The charge as Stripe shows it.
    pub fn render(&self) -> Value {
        let failure = self.failure.as_ref();
        json!({
            "id": self.id,
            "object": "charge",
            "amount": self.amount,
            "amount_captured": self.amount_captured,
            "amount_refunded": self.amount_refunded,
            "application": null,
            "application_fee": null,
            "application_fee_amount": null,
            "balance_transaction": self.balance_transaction,
            "billing_details": self.billing_details,
            "calculated_statement_descriptor": self.calculated_descriptor(),
            "captured": self.captured,
            "created": self.created,
            "currency": self.currency,
            "customer": self.customer,
            "description": self.description,
            "destination": null,
            "dispute": self.dispute,
            "disputed": self.dispute.is_some(),
            "failure_balance_transaction": null,
            "failure_code": failure.map(|it| &it.code),
            "failure_message": failure.map(|it| &it.message),
            "fraud_details": self.user_report.map_or(json!({}), |it| json!({ "user_report": it })),
            "invoice": null,
            "livemode": false,
            "metadata": self.metadata,
            "on_behalf_of": null,
            "order": null,
            "outcome": self.render_outcome(),
            "paid": self.status == ChargeStatus::Succeeded,
            "payment_intent": self.payment_intent,
            "payment_method": self.payment_method,
            "payment_method_details": {
                "card": self.card.render_details(self.authenticated),
                "type": "card",
            },
            "radar_options": {},
            "receipt_email": self.receipt_email,
            "receipt_number": null,
            "receipt_url": null,
            "refunded": self.amount_captured > 0 && self.refundable() == 0,
            "refunds": null,
            "review": null,
            "shipping": self.shipping,
            "source": null,
            "source_transfer": null,
            "statement_descriptor": self.statement_descriptor,
            "statement_descriptor_suffix": self.statement_descriptor_suffix,
            "status": self.status,
            "transfer_data": null,
            "transfer_group": self.transfer_group,
        })
    }

    /// What the payer's bank prints: the merchant's own text, or the account's with the suffix, cut to 22 characters.
    fn calculated_descriptor(&self) -> String {
        const ACCOUNT: &str = "SIMULATOR";
        match (
            &self.statement_descriptor,
            &self.statement_descriptor_suffix,
        ) {
            (_, Some(suffix)) => format!("{ACCOUNT}* {suffix}").chars().take(22).collect(),
            (Some(own), None) => own.clone(),
            (None, None) => ACCOUNT.to_owned(),
        }
    }

    fn render_outcome(&self) -> Value {
        match &self.failure {
            None => json!({
                "network_status": "approved_by_network",
                "reason": null,
                "risk_level": "normal",
                "risk_score": 20,
                "seller_message": "Payment complete.",
                "type": "authorized",
            }),
            Some(failure) => json!({
                "network_status": "declined_by_network",
                "reason": failure.decline_code,
                "risk_level": "normal",
                "risk_score": 20,
                "seller_message": "The bank did not return any further details with this decline.",
                "type": "issuer_declined",
            }),
        }
    }
}
