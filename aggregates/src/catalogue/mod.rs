//! What is sold and for how much: offers, and whatever else has prices of its own.
//!
//! Every price is an [`Item`]'s, and an item never forgets what it cost before. What a customer pays is always priced from
//! here; no request brings a price along.

pub mod article;
pub mod item;
pub mod offer;

pub use article::{Article, ArticleCommand, ArticleError, ArticleEvent, ArticleEventKind};
pub use item::Item;
pub use offer::{Offer, OfferCommand, OfferError, OfferEvent, OfferEventKind};
