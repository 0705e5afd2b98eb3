use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Entity, Later, Metadata, PaymentIntent};
use crate::wire::words;

words! {
    /// Whether a checkout can still be paid.
    SessionStatus {
        Open => "open",
        Complete => "complete",
        Expired => "expired",
    }
}

words! {
    /// Whether the money is there.
    PaymentStatus {
        Unpaid => "unpaid",
        Paid => "paid",
    }
}

words! {
    /// Where the form is shown; newer versions of the API say `_page`.
    UiMode {
        Hosted => "hosted",
        Embedded => "embedded",
        HostedPage => "hosted_page",
        EmbeddedPage => "embedded_page",
    }
}

impl UiMode {
    /// Whether the form is part of the merchant's own page.
    pub fn is_embedded(self) -> bool {
        matches!(self, Self::Embedded | Self::EmbeddedPage)
    }
}

words! {
    /// Whether an embedded form leads to `return_url`.
    RedirectOnCompletion {
        Always => "always",
        IfRequired => "if_required",
        Never => "never",
    }
}

words! {
    /// Whether a payer becomes a customer.
    CustomerCreation {
        Always => "always",
        IfRequired => "if_required",
    }
}

/// Something that is sold.
#[derive(Clone, Serialize, Deserialize)]
pub struct LineItem {
    pub id: String,
    pub price: String,
    pub product: String,
    pub name: String,
    /// In minor units.
    pub unit_amount: i64,
    pub quantity: i64,
    /// In minor units: all of them.
    pub amount: i64,
}

/// A form on which an order is paid once, within a day.
#[derive(Clone, Serialize, Deserialize)]
pub struct CheckoutSession {
    pub id: String,
    pub created: i64,
    pub status: SessionStatus,
    pub payment_status: PaymentStatus,
    pub ui_mode: UiMode,
    /// In minor units: the sum of the items.
    pub amount_total: i64,
    pub currency: String,
    pub line_items: Vec<LineItem>,
    pub success_url: Option<String>,
    pub cancel_url: Option<String>,
    pub return_url: Option<String>,
    pub redirect_on_completion: Option<RedirectOnCompletion>,
    pub client_reference_id: Option<String>,
    pub customer: Option<String>,
    pub customer_creation: Option<CustomerCreation>,
    /// As the merchant gave it.
    pub customer_email: Option<String>,
    /// As the payer gave it, or the merchant.
    pub payer_email: Option<String>,
    pub locale: Option<String>,
    pub submit_type: Option<String>,
    pub billing_address_collection: Option<String>,
    pub metadata: Metadata,
    pub expires_at: i64,
    /// The intent as it will be when somebody tries to pay; its id is empty.
    pub plan: Box<PaymentIntent>,
    /// The intent, from the first attempt on.
    pub payment_intent: Option<String>,
}

impl Entity for CheckoutSession {
    fn id(&self) -> &str {
        &self.id
    }

    fn later(&self) -> Option<(i64, Later)> {
        (self.status == SessionStatus::Open).then_some((self.expires_at, Later::ExpireSession))
    }
}

impl CheckoutSession {
    /// Where the payer goes once it is paid.
    pub fn after_payment(&self) -> Option<String> {
        let url = self.success_url.as_ref().or(self.return_url.as_ref())?;
        Some(url.replace("{CHECKOUT_SESSION_ID}", &self.id))
    }

    /// Where the form is, on the simulator at `base_url`.
    pub fn page(&self, base_url: &str) -> String {
        format!("{base_url}_sim/checkout/{}", self.id)
    }

    /// The session as Stripe shows it, without its client secret. `return_url` and `redirect_on_completion` are members of embedded ones only.
    pub fn render(&self, base_url: &str) -> Value {
        let is_offered = self.status == SessionStatus::Open && !self.ui_mode.is_embedded();
        let mut session = json!({
            "id": self.id,
            "object": "checkout.session",
            "adaptive_pricing": { "enabled": false },
            "after_expiration": null,
            "allow_promotion_codes": null,
            "amount_subtotal": self.amount_total,
            "amount_total": self.amount_total,
            "automatic_tax": { "enabled": false, "liability": null, "provider": null, "status": null },
            "billing_address_collection": self.billing_address_collection,
            "cancel_url": self.cancel_url,
            "client_reference_id": self.client_reference_id,
            "client_secret": null,
            "consent": null,
            "consent_collection": null,
            "created": self.created,
            "currency": self.currency,
            "currency_conversion": null,
            "custom_fields": [],
            "custom_text": { "after_submit": null, "shipping_address": null, "submit": null, "terms_of_service_acceptance": null },
            "customer": self.customer,
            "customer_creation": self.customer_creation,
            "customer_details": self.render_payer(),
            "customer_email": self.customer_email,
            "expires_at": self.expires_at,
            "invoice": null,
            "invoice_creation": null,
            "livemode": false,
            "locale": self.locale,
            "metadata": self.metadata,
            "mode": "payment",
            "payment_intent": self.payment_intent,
            "payment_link": null,
            "payment_method_collection": "if_required",
            "payment_method_configuration_details": null,
            "payment_method_options": {},
            "payment_method_types": self.plan.payment_method_types,
            "payment_status": self.payment_status,
            "phone_number_collection": { "enabled": false },
            "recovered_from": null,
            "setup_intent": null,
            "shipping_address_collection": null,
            "shipping_cost": null,
            "shipping_details": null,
            "shipping_options": [],
            "status": self.status,
            "submit_type": self.submit_type,
            "subscription": null,
            "success_url": self.success_url,
            "total_details": { "amount_discount": 0, "amount_shipping": 0, "amount_tax": 0 },
            "ui_mode": self.ui_mode,
            "url": is_offered.then(|| self.page(base_url)),
        });
        if let Some(url) = &self.return_url {
            session["return_url"] = json!(url);
        }
        if let Some(redirect) = &self.redirect_on_completion {
            session["redirect_on_completion"] = json!(redirect);
        }
        session
    }

    fn render_payer(&self) -> Value {
        let Some(email) = &self.payer_email else {
            return Value::Null;
        };
        json!({
            "address": null,
            "email": email,
            "name": null,
            "phone": null,
            "tax_exempt": "none",
            "tax_ids": [],
        })
    }

    /// An item as Stripe shows it.
    pub fn render_item(&self, item: &LineItem) -> Value {
        json!({
            "id": item.id,
            "object": "item",
            "adjustable_quantity": null,
            "amount_discount": 0,
            "amount_subtotal": item.amount,
            "amount_tax": 0,
            "amount_total": item.amount,
            "currency": self.currency,
            "description": item.name,
            "metadata": null,
            "price": {
                "id": item.price,
                "object": "price",
                "active": false,
                "billing_scheme": "per_unit",
                "created": self.created,
                "currency": self.currency,
                "custom_unit_amount": null,
                "livemode": false,
                "lookup_key": null,
                "metadata": {},
                "nickname": null,
                "product": item.product,
                "recurring": null,
                "tax_behavior": "unspecified",
                "tiers_mode": null,
                "transform_quantity": null,
                "type": "one_time",
                "unit_amount": item.unit_amount,
                "unit_amount_decimal": item.unit_amount.to_string(),
            },
            "quantity": item.quantity,
        })
    }
}
