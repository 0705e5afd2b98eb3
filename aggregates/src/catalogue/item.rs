//! Something that is sold at a price of its own, and was sold at others before.

use crate::money::Money;
use serde::{Deserialize, Serialize};

/// A thing with a price and the history of that price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// What programs call it.
    pub code: String,
    /// What people call it.
    pub name: String,
    /// For one of it, now.
    pub price: Money,
    /// The prices it had before, oldest first.
    pub earlier: Vec<Money>,
}

impl Item {
    /// A thing that has had no other price yet.
    pub fn new(code: String, name: String, price: Money) -> Self {
        Self {
            code,
            name,
            price,
            earlier: vec![],
        }
    }

    /// From now on it costs `price`.
    pub fn reprice(&mut self, price: Money) {
        self.earlier.push(self.price);
        self.price = price;
    }
}
