//! What may be asked of an order.

use crate::ids::PaymentId;
use crate::money::Money;
use crate::order::event::{Placed, Price};

/// A wish about one order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderCommand {
    /// Placing the same order again changes nothing; another one under its name is refused.
    PlaceOrder(Box<Placed>),
    /// A paid or cancelled order keeps its price.
    Reprice {
        price: Price,
    },
    /// Make `payment` the way to pay; where one is live already, that one stays (at the present total), and nothing else comes of it.
    RequestPayment {
        payment: PaymentId,
    },
    /// Make a payment that was begun elsewhere the way to pay; `amount` is what it asks for. None may be live but itself.
    AttachPayment {
        payment: PaymentId,
        amount: Money,
    },
    /// The payment ended without money, or was never made.
    ReleasePayment {
        payment: PaymentId,
        because: String,
    },
    /// Intend a checkout of the present total. The one before must have been ended: at Stripe first, then here.
    RequestCheckout {
        checkout: PaymentId,
    },
    /// Stripe has opened the checkout that was asked for.
    OpenCheckout {
        checkout: PaymentId,
        session: String,
    },
    /// Stripe did not open the checkout that was asked for, and never will.
    RefuseCheckout {
        checkout: PaymentId,
        because: String,
    },
    /// `received` came through `payment`. Decides whether the order is paid by it.
    MarkPaid {
        payment: PaymentId,
        received: Money,
    },
    Cancel {
        reason: String,
    },
    ErasePersonalData {
        subject: String,
    },
}
