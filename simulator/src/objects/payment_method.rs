use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Entity, Metadata};
use crate::cards::Card;

/// A card that can be charged. Holds neither its number nor its security code.
#[derive(Clone, Serialize, Deserialize)]
pub struct PaymentMethod {
    pub id: String,
    pub created: i64,
    pub card: Card,
    /// As rendered; see [`empty_billing_details`](Self::empty_billing_details).
    pub billing_details: Value,
    pub metadata: Metadata,
    /// Whose it is.
    #[serde(default)]
    pub customer: Option<String>,
    /// Taken from its customer, and of no more use.
    #[serde(default)]
    pub detached: bool,
}

impl Entity for PaymentMethod {
    fn id(&self) -> &str {
        &self.id
    }
}

impl PaymentMethod {
    /// Billing details of which nothing is known.
    pub fn empty_billing_details() -> Value {
        json!({
            "address": {
                "city": null,
                "country": null,
                "line1": null,
                "line2": null,
                "postal_code": null,
                "state": null,
            },
            "email": null,
            "name": null,
            "phone": null,
        })
    }

    /// The method as Stripe shows it.
    pub fn render(&self) -> Value {
        json!({
            "id": self.id,
            "object": "payment_method",
            "allow_redisplay": "unspecified",
            "billing_details": self.billing_details,
            "card": self.card.render(),
            "created": self.created,
            "customer": self.customer,
            "livemode": false,
            "metadata": self.metadata,
            "radar_options": {},
            "type": "card",
        })
    }
}
