//! What a checkout's session and its intent say at Stripe of where they come from.

use aggregates::ids::{OrderId, PaymentId};
use serde_json::Value;
use std::fmt;

/// The key in the metadata of a checkout's session and of its intent that holds the [`CheckoutMark`].
pub const CHECKOUT_KEY: &str = "counterfoil_checkout";

/// Our order and our checkout, written `order/checkout`. The payment of a checkout has the checkout's own id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckoutMark {
    pub order: OrderId,
    pub checkout: PaymentId,
}

impl CheckoutMark {
    /// What Stripe's object is marked with; none where it has no mark, or one that nobody here made.
    pub fn of(object: &Value) -> Option<Self> {
        Self::read(object.get("metadata")?.get(CHECKOUT_KEY)?.as_str()?)
    }

    pub(super) fn read(mark: &str) -> Option<Self> {
        let (order, checkout) = mark.split_once('/')?;
        Some(Self {
            order: order.parse().ok()?,
            checkout: checkout.parse().ok()?,
        })
    }
}

impl fmt::Display for CheckoutMark {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}/{}", self.order, self.checkout)
    }
}
