//! An order as its events leave it.

use crate::ids::{MerchantId, OrderId, PaymentId};
use crate::money::Money;
use crate::order::event::Price;
use crate::sealed::Sealed;
use litemap::LiteMap;
use serde::{Deserialize, Serialize};

/// The source of orders whose payment sources are asked for by their own names.
pub const COMMERCE_LAYER: &str = "commerce_layer";

/// An order: not placed yet, or what is known of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    pub(crate) facts: Option<Box<Facts>>,
}

/// What is known of an order. A replay keeps very many: its maps, of an entry or two, are lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    pub merchant: MerchantId,
    pub source: String,
    pub reference: String,
    pub number: Option<String>,
    pub customer: Option<String>,
    pub price: Price,
    pub personal: Option<Box<Sealed>>,
    pub status: Status,
    /// The one live way to pay, while the order is open.
    pub live: Option<WayToPay>,
    /// Every payment that was ever attached, with the amount it was last asked for.
    pub payments: LiteMap<PaymentId, Money>,
    /// Money that came and does not pay it, by payment.
    pub mispaid: LiteMap<PaymentId, Money>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Open,
    Paid { payment: PaymentId },
    Cancelled { reason: String },
}

/// How the order can be paid right now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WayToPay {
    Payment {
        payment: PaymentId,
        amount: Money,
    },
    /// A checkout that Stripe was asked for, and has not told of yet.
    Opening {
        checkout: PaymentId,
        amount: Money,
    },
    Checkout {
        checkout: PaymentId,
        session: String,
        amount: Money,
    },
}

impl Order {
    /// What is known of it; none before it was placed.
    pub fn facts(&self) -> Option<&Facts> {
        self.facts.as_deref()
    }
}

impl Facts {
    /// What it costs now.
    pub fn total(&self) -> Money {
        self.price.total
    }

    /// What it is called where payment sources are: its own reference where that system keeps it, and that makes a name.
    pub fn short_id(&self, id: OrderId) -> String {
        let plain = |it: u8| it.is_ascii_alphanumeric() || it == b'_' || it == b'-';
        let name = &self.reference;
        if self.source == COMMERCE_LAYER
            && (1..=64).contains(&name.len())
            && name.bytes().all(plain)
        {
            name.clone()
        } else {
            id.short()
        }
    }

    /// The payment that paid it.
    pub fn paid_by(&self) -> Option<PaymentId> {
        match &self.status {
            Status::Paid { payment } => Some(*payment),
            Status::Open | Status::Cancelled { .. } => None,
        }
    }

    /// Whether a payment has paid it.
    pub fn is_paid(&self) -> bool {
        matches!(self.status, Status::Paid { .. })
    }

    /// The payment by which it can be paid right now; none where that is a checkout.
    pub fn live_payment(&self) -> Option<PaymentId> {
        match &self.live {
            Some(WayToPay::Payment { payment, .. }) => Some(*payment),
            Some(WayToPay::Opening { .. } | WayToPay::Checkout { .. }) | None => None,
        }
    }
}

impl WayToPay {
    /// The payment, or the checkout.
    pub fn id(&self) -> PaymentId {
        match self {
            Self::Payment { payment, .. } => *payment,
            Self::Opening { checkout, .. } | Self::Checkout { checkout, .. } => *checkout,
        }
    }

    /// What it asks for.
    pub fn amount(&self) -> Money {
        match self {
            Self::Payment { amount, .. }
            | Self::Opening { amount, .. }
            | Self::Checkout { amount, .. } => *amount,
        }
    }
}
