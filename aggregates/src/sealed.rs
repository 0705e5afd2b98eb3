//! Personal data as events hold it: sealed, under a key of its subject's own.

use crate::ids::{IntentionId, OrderId, PaymentId};
use serde::{Deserialize, Serialize};

/// Personal data (e-mail, name, address), encrypted and authenticated under the key of `subject`.
///
/// The log and its proofs cover the ciphertext. Deleting the subject's key makes it unreadable for ever and leaves every
/// proof valid. Sealing and opening need a key and randomness, so they happen outside this crate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// Whose data it is: `order/<uuid>`, `payment/<uuid>` where there is no order, `customer/<id>` for a customer of
    /// Stripe's, or `request/<uuid>` where nobody is named yet.
    pub subject: String,
    /// Base64, 24 bytes: never used twice under one key.
    pub nonce: String,
    /// Base64: XChaCha20-Poly1305 over the JSON text of the data, the subject as associated data.
    pub ciphertext: String,
}

/// Whose the data of an order is.
pub fn subject_of_order(order: OrderId) -> String {
    format!("order/{order}")
}

/// Whose the data of a payment is: its order's, or its own where it pays none.
pub fn subject_of_payment(payment: PaymentId, order: Option<OrderId>) -> String {
    order.map_or_else(|| format!("payment/{payment}"), subject_of_order)
}

/// Whose the data of a request to Stripe is: the customer's that it names, or its own.
pub fn subject_of_request(request: IntentionId, customer: Option<&str>) -> String {
    customer.map_or_else(
        || format!("request/{request}"),
        |id| format!("customer/{id}"),
    )
}
