//! What an order's system says of a payment beside its money: its own names for it, its options, where the payer returns to.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A description, as a whole. Stripe hears nothing of it but what the options ask for when they are given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Description {
    /// The caller's own id of it, and which of the caller's systems that is of.
    pub reference: Option<String>,
    pub reference_origin: Option<String>,
    /// Stripe's parameters, as the caller gave them.
    pub options: Map<String, Value>,
    pub return_url: Option<String>,
    /// An object, nested as the caller likes.
    pub metadata: Map<String, Value>,
}
