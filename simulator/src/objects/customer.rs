use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Entity, Metadata};
use crate::wire::words;

words! {
    /// Whether somebody pays taxes; shown as it is.
    #[derive(Default)]
    TaxExempt {
        Exempt => "exempt",
        #[default]
        None => "none",
        Reverse => "reverse",
    }
}

/// Somebody who pays, and whose methods are kept.
#[derive(Clone, Serialize, Deserialize)]
pub struct Customer {
    pub id: String,
    pub created: i64,
    pub address: Option<Value>,
    pub description: Option<String>,
    pub email: Option<String>,
    pub name: Option<String>,
    pub phone: Option<String>,
    pub preferred_locales: Vec<String>,
    pub shipping: Option<Value>,
    /// Of `invoice_settings`.
    pub default_payment_method: Option<String>,
    #[serde(default)]
    pub tax_exempt: TaxExempt,
    pub metadata: Metadata,
    /// A deleted one stays readable by its id, as a note that it is gone.
    pub deleted: bool,
}

impl Entity for Customer {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Customer {
    /// A customer of whom nothing is known.
    pub fn new(id: String, created: i64) -> Self {
        Self {
            id,
            created,
            address: None,
            description: None,
            email: None,
            name: None,
            phone: None,
            preferred_locales: Vec::new(),
            shipping: None,
            default_payment_method: None,
            tax_exempt: TaxExempt::default(),
            metadata: Metadata::new(),
            deleted: false,
        }
    }

    /// The customer as Stripe shows it.
    pub fn render(&self) -> Value {
        if self.deleted {
            return json!({ "id": self.id, "object": "customer", "deleted": true });
        }
        let digits = self.id.trim_start_matches("cus_");
        let prefix: String = digits.chars().take(8).collect();
        json!({
            "id": self.id,
            "object": "customer",
            "address": self.address,
            "balance": 0,
            "created": self.created,
            "currency": null,
            "default_source": null,
            "delinquent": false,
            "description": self.description,
            "discount": null,
            "email": self.email,
            "invoice_prefix": prefix.to_uppercase(),
            "invoice_settings": {
                "custom_fields": null,
                "default_payment_method": self.default_payment_method,
                "footer": null,
                "rendering_options": null,
            },
            "livemode": false,
            "metadata": self.metadata,
            "name": self.name,
            "next_invoice_sequence": 1,
            "phone": self.phone,
            "preferred_locales": self.preferred_locales,
            "shipping": self.shipping,
            "tax_exempt": self.tax_exempt,
            "test_clock": null,
        })
    }
}
