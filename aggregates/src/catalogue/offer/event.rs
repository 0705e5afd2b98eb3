//! What has happened to an offer. Past tense, for ever.

use crate::ids::MerchantId;
use crate::money::{Currency, Money};
use chrono::{DateTime, Utc};
use cqrs_es::DomainEvent;
use serde::{Deserialize, Serialize};

/// Every fact of an offer.
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
#[strum_discriminants(derive(strum::EnumIter, strum::IntoStaticStr), name(OfferEventKind))]
pub enum OfferEvent {
    OfferPublished(Box<Published>),
    /// These products cost something else since then.
    OfferRepriced {
        prices: Vec<NewPrice>,
    },
    /// What is paid for where nothing else is asked for, in the order of the offer.
    SelectionChanged {
        selection: Vec<Choice>,
    },
    OfferWithdrawn {
        reason: String,
    },
}

/// An offer as it was published. Its prices are the same for every customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    pub merchant: MerchantId,
    /// What it is called (`10311080`).
    pub number: String,
    pub currency: Currency,
    pub groups: Vec<Group>,
    /// What is paid for where nothing else is asked for.
    pub selection: Vec<Choice>,
    /// From this moment on it can no longer be taken up; none where it holds for good.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Products that are offered together under a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    pub name: String,
    pub products: Vec<Product>,
}

/// What can be selected, and for how much.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Product {
    pub code: String,
    pub name: String,
    pub price: Money,
}

/// One product of one group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    pub group: String,
    pub code: String,
}

/// What a product costs from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewPrice {
    pub group: String,
    pub code: String,
    pub price: Money,
}

impl Published {
    /// The longest number, name of a group or a product, and code; in characters.
    pub const NAME_LENGTH_MAX: usize = 100;
}

impl DomainEvent for OfferEvent {
    fn event_type(&self) -> String {
        <&'static str>::from(self).to_owned()
    }

    fn event_version(&self) -> String {
        "1.0".to_owned()
    }
}
