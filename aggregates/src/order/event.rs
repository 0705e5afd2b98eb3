//! What has happened to an order.

use crate::ids::{MerchantId, PaymentId};
use crate::money::Money;
use crate::sealed::Sealed;
use cqrs_es::DomainEvent;
use serde::{Deserialize, Serialize};

/// Every fact of an order.
#[derive(
    Debug,
    Clone,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    strum::IntoStaticStr,
    strum::EnumDiscriminants,
)]
#[strum_discriminants(derive(strum::EnumIter, strum::IntoStaticStr), name(OrderEventKind))]
pub enum OrderEvent {
    OrderPlaced(Box<Placed>),
    OrderRepriced {
        price: Price,
    },
    /// This payment is now the order's one live way to be paid, for `amount`.
    PaymentAttached {
        payment: PaymentId,
        amount: Money,
    },
    /// The live payment is to take the order's new amount.
    PaymentRetargeted {
        payment: PaymentId,
        amount: Money,
    },
    /// The payment is no longer a way to pay this order (cancelled, or never made).
    PaymentReleased {
        payment: PaymentId,
        because: String,
    },
    /// Intention: Stripe is to be asked for a checkout of `amount`. It is the one live way to pay from here on, so that nothing
    /// else can become one while Stripe has not answered.
    CheckoutRequested {
        checkout: PaymentId,
        amount: Money,
    },
    /// Stripe did not open it: the order is free for another way to pay.
    CheckoutRefused {
        checkout: PaymentId,
        because: String,
    },
    /// A checkout is open as the one live way to pay; `session` is its id at Stripe.
    CheckoutOpened {
        checkout: PaymentId,
        session: String,
        amount: Money,
    },
    CheckoutInvalidated {
        checkout: PaymentId,
        session: String,
        because: String,
    },
    OrderPaid {
        payment: PaymentId,
        amount: Money,
    },
    /// Money came that does not pay this order: it stays unapplied and the order unpaid (or paid as it was).
    OrderMispaid {
        payment: PaymentId,
        received: Money,
        expected: Money,
        because: Mispayment,
    },
    OrderCancelled {
        reason: String,
    },
    /// The key of this order's personal data was deleted.
    PersonalDataErased {
        subject: String,
    },
}

impl DomainEvent for OrderEvent {
    fn event_type(&self) -> String {
        <&'static str>::from(self).to_owned()
    }

    fn event_version(&self) -> String {
        "1.0".to_owned()
    }
}

/// An order as it was placed. `source` names who keeps it (`shop`, `offers`, `checkout`, `commerce_layer`, `native`), and
/// `reference` is its name there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    pub merchant: MerchantId,
    pub source: String,
    pub reference: String,
    /// What people call it (`ORD-20250331-5XZF`).
    pub number: Option<String>,
    /// The merchant's own id of the customer who may pay it.
    pub customer: Option<String>,
    pub price: Price,
    /// The customer's e-mail and the like: sealed.
    pub personal: Option<Sealed>,
}

/// What an order costs. The total is the sum of its lines; `tax` is the part of it that is tax.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    pub total: Money,
    pub tax: Money,
    pub lines: Vec<Line>,
}

/// One line of an order. `unit` may be negative (a rebate).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub name: String,
    pub unit: Money,
    pub quantity: u32,
    pub description: String,
}

/// Why money that came does not pay the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Mispayment {
    Underpaid,
    Overpaid,
    /// It was asked for at a price that the order no longer has.
    StalePrice,
    WrongCurrency,
    /// Another payment paid the order first.
    AlreadyPaid,
    /// The order was cancelled meanwhile.
    OrderCancelled,
    /// The payment had been taken off the order before the money came.
    NoLongerAttached,
}
