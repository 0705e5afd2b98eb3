use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Entity, Later, Metadata};
use crate::config::PlantedIntent;
use crate::wire::words;

words! {
    /// Where an intent stands.
    PaymentIntentStatus {
        RequiresPaymentMethod => "requires_payment_method",
        RequiresConfirmation => "requires_confirmation",
        RequiresAction => "requires_action",
        Processing => "processing",
        RequiresCapture => "requires_capture",
        Canceled => "canceled",
        Succeeded => "succeeded",
    }
}

words! {
    /// When the money is taken.
    CaptureMethod {
        /// At confirmation.
        Automatic => "automatic",
        /// At confirmation; the balance transaction follows later.
        AutomaticAsync => "automatic_async",
        /// When the merchant captures, within seven days.
        Manual => "manual",
    }
}

words! {
    /// Who confirms.
    ConfirmationMethod {
        Automatic => "automatic",
        Manual => "manual",
    }
}

words! {
    /// Why an intent was cancelled, as far as a caller may say.
    CancellationReason {
        Abandoned => "abandoned",
        Duplicate => "duplicate",
        Fraudulent => "fraudulent",
        RequestedByCustomer => "requested_by_customer",
    }
}

words! {
    /// Whether the method shall be kept for later payments.
    SetupFutureUsage {
        OffSession => "off_session",
        OnSession => "on_session",
    }
}

words! {
    /// When to ask for 3-D Secure.
    RequestThreeDSecure {
        Any => "any",
        Automatic => "automatic",
        Challenge => "challenge",
    }
}

words! {
    /// When the money is taken from a card, where that differs from the rest.
    CardCaptureMethod {
        Manual => "manual",
    }
}

words! {
    /// Whether a card shall be kept for later payments, where that differs from the rest.
    CardFutureUsage {
        None => "none",
        OffSession => "off_session",
        OnSession => "on_session",
    }
}

words! {
    /// The network that a card is charged on, where it has several.
    Network {
        Amex => "amex",
        CartesBancaires => "cartes_bancaires",
        Diners => "diners",
        Discover => "discover",
        EftposAu => "eftpos_au",
        Interac => "interac",
        Jcb => "jcb",
        Mastercard => "mastercard",
        Unionpay => "unionpay",
        Unknown => "unknown",
        Visa => "visa",
    }
}

/// What `payment_method_options[card]` says besides 3-D Secure.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct CardOptions {
    pub capture_method: Option<CardCaptureMethod>,
    pub network: Option<Network>,
    pub setup_future_usage: Option<CardFutureUsage>,
}

/// What the payer has to do.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NextAction {
    /// Go to `url` and come back to `return_url`.
    RedirectToUrl { url: String, return_url: String },
    /// Let the client-side library open `url`.
    UseStripeSdk { url: String },
}

/// A payment from its plan to its end.
#[derive(Clone, Serialize, Deserialize)]
pub struct PaymentIntent {
    pub id: String,
    pub created: i64,
    /// In minor units.
    pub amount: i64,
    /// In minor units: held and not yet captured.
    pub amount_capturable: i64,
    /// In minor units: captured.
    pub amount_received: i64,
    pub currency: String,
    pub status: PaymentIntentStatus,
    pub capture_method: CaptureMethod,
    pub confirmation_method: ConfirmationMethod,
    pub request_three_d_secure: RequestThreeDSecure,
    #[serde(default)]
    pub card_options: CardOptions,
    /// The payer has passed 3-D Secure, and the merchant is to confirm once more.
    #[serde(default)]
    pub authenticated: bool,
    /// `allow_redirects` of `automatic_payment_methods`, where those are on.
    pub automatic_payment_methods: Option<String>,
    pub payment_method_types: Vec<String>,
    pub payment_method: Option<String>,
    pub latest_charge: Option<String>,
    pub last_payment_error: Option<Value>,
    pub next_action: Option<NextAction>,
    pub canceled_at: Option<i64>,
    pub cancellation_reason: Option<String>,
    pub description: Option<String>,
    pub metadata: Metadata,
    pub receipt_email: Option<String>,
    pub setup_future_usage: Option<SetupFutureUsage>,
    pub shipping: Option<Value>,
    pub statement_descriptor: Option<String>,
    pub statement_descriptor_suffix: Option<String>,
    pub transfer_group: Option<String>,
    #[serde(default)]
    pub customer: Option<String>,
    /// The session that it pays.
    #[serde(default)]
    pub checkout_session: Option<String>,
    /// When an uncaptured authorisation lapses, or processing ends.
    pub due: Option<(i64, Due)>,
}

/// What time does to an intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Due {
    /// The authorisation lapses.
    Expiry,
    /// Processing ends.
    Outcome,
}

impl Entity for PaymentIntent {
    fn id(&self) -> &str {
        &self.id
    }

    fn later(&self) -> Option<(i64, Later)> {
        self.due.map(|(at, due)| match due {
            Due::Expiry => (at, Later::ExpireAuthorisation),
            Due::Outcome => (at, Later::FinishProcessing),
        })
    }
}

impl PaymentIntent {
    /// A plan that has neither method nor attributes yet.
    pub fn new(id: String, created: i64, amount: i64, currency: String) -> Self {
        Self {
            id,
            created,
            amount,
            amount_capturable: 0,
            amount_received: 0,
            currency,
            status: PaymentIntentStatus::RequiresPaymentMethod,
            capture_method: CaptureMethod::Automatic,
            confirmation_method: ConfirmationMethod::Automatic,
            request_three_d_secure: RequestThreeDSecure::Automatic,
            card_options: CardOptions::default(),
            authenticated: false,
            automatic_payment_methods: None,
            payment_method_types: vec!["card".to_owned()],
            payment_method: None,
            latest_charge: None,
            last_payment_error: None,
            next_action: None,
            canceled_at: None,
            cancellation_reason: None,
            description: None,
            metadata: Metadata::new(),
            receipt_email: None,
            setup_future_usage: None,
            shipping: None,
            statement_descriptor: None,
            statement_descriptor_suffix: None,
            transfer_group: None,
            customer: None,
            checkout_session: None,
            due: None,
        }
    }

    /// An intent that was not created through the API.
    pub fn planted(planted: &PlantedIntent, created: i64) -> Self {
        let (id, currency) = (planted.id.clone(), planted.currency.clone());
        let mut intent = Self::new(id, created, planted.amount, currency);
        intent.description.clone_from(&planted.description);
        intent
    }

    /// Whether the money is only held when a card is charged.
    pub fn is_captured_by_hand(&self) -> bool {
        self.capture_method == CaptureMethod::Manual || self.card_options.capture_method.is_some()
    }

    /// Whether the method is meant for later payments; what is said of cards goes before what is said of all methods.
    pub fn keeps_method(&self) -> bool {
        match self.card_options.setup_future_usage {
            Some(usage) => usage != CardFutureUsage::None,
            None => self.setup_future_usage.is_some(),
        }
    }

    fn render_card_options(&self) -> Value {
        let mut card = json!({
            "installments": null,
            "mandate_options": null,
            "network": self.card_options.network,
            "request_three_d_secure": self.request_three_d_secure,
        });
        if let Some(method) = self.card_options.capture_method {
            card["capture_method"] = json!(method);
        }
        if let Some(usage) = self.card_options.setup_future_usage {
            card["setup_future_usage"] = json!(usage);
        }
        card
    }

    /// The intent as Stripe shows it, without its client secret.
    pub fn render(&self) -> Value {
        json!({
            "id": self.id,
            "object": "payment_intent",
            "amount": self.amount,
            "amount_capturable": self.amount_capturable,
            "amount_details": { "tip": {} },
            "amount_received": self.amount_received,
            "application": null,
            "application_fee_amount": null,
            "automatic_payment_methods": self.automatic_payment_methods.as_ref().map(|allow_redirects| {
                json!({ "allow_redirects": allow_redirects, "enabled": true })
            }),
            "canceled_at": self.canceled_at,
            "cancellation_reason": self.cancellation_reason,
            "capture_method": self.capture_method,
            "client_secret": null,
            "confirmation_method": self.confirmation_method,
            "created": self.created,
            "currency": self.currency,
            "customer": self.customer,
            "description": self.description,
            "invoice": null,
            "last_payment_error": self.last_payment_error,
            "latest_charge": self.latest_charge,
            "livemode": false,
            "metadata": self.metadata,
            "next_action": self.next_action.as_ref().map(NextAction::render),
            "on_behalf_of": null,
            "payment_method": self.payment_method,
            "payment_method_configuration_details": null,
            "payment_method_options": { "card": self.render_card_options() },
            "payment_method_types": self.payment_method_types,
            "processing": null,
            "receipt_email": self.receipt_email,
            "review": null,
            "setup_future_usage": self.setup_future_usage,
            "shipping": self.shipping,
            "source": null,
            "statement_descriptor": self.statement_descriptor,
            "statement_descriptor_suffix": self.statement_descriptor_suffix,
            "status": self.status,
            "transfer_data": null,
            "transfer_group": self.transfer_group,
        })
    }

    /// What a caller who holds only the publishable key and the client secret may see.
    pub fn render_publicly(&self) -> Value {
        const PUBLIC: &[&str] = &[
            "id",
            "object",
            "amount",
            "amount_details",
            "automatic_payment_methods",
            "canceled_at",
            "cancellation_reason",
            "capture_method",
            "client_secret",
            "confirmation_method",
            "created",
            "currency",
            "description",
            "last_payment_error",
            "livemode",
            "next_action",
            "payment_method",
            "payment_method_configuration_details",
            "payment_method_types",
            "processing",
            "receipt_email",
            "setup_future_usage",
            "shipping",
            "source",
            "status",
        ];
        let mut whole = self.render();
        if let Value::Object(members) = &mut whole {
            members.retain(|key, _| PUBLIC.contains(&key.as_str()));
        }
        whole
    }
}

impl NextAction {
    fn render(&self) -> Value {
        match self {
            Self::RedirectToUrl { url, return_url } => json!({
                "type": "redirect_to_url",
                "redirect_to_url": { "return_url": return_url, "url": url },
            }),
            Self::UseStripeSdk { url } => json!({
                "type": "use_stripe_sdk",
                "use_stripe_sdk": { "type": "three_d_secure_redirect", "stripe_js": url },
            }),
        }
    }
}
