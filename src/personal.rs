//! Personal data in the clear: only ever in memory, on its way into the vault, to Stripe, or to the caller it belongs to.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What a payment or an order knows of a person. Its `Debug` says nothing.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Personal {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shipping: Option<Shipping>,
}

/// Where and to whom goods go.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Shipping {
    pub name: String,
    pub phone: Option<String>,
    pub carrier: Option<String>,
    pub tracking_number: Option<String>,
    pub address: Address,
}

/// A postal address, as callers give it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Address {
    pub city: Option<String>,
    pub country: Option<String>,
    pub line1: Option<String>,
    pub line2: Option<String>,
    pub postal_code: Option<String>,
    pub state: Option<String>,
}

impl Personal {
    /// Nothing is known of the person.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

macro_rules! silent_debug {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    )*};
}
silent_debug!(Personal, Shipping, Address);
