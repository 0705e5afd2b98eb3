//! JSON:API 1.1, as far as it knows nothing of what it speaks of: media types, query parameters, documents, errors.

pub mod document;
pub mod error;
pub mod media;
pub mod query;

pub use document::{Document, Identifier, Related, Relationship, Resource};
pub use error::ErrorObject;
pub use query::Query;

/// The media type of every body, both ways.
pub const MEDIA_TYPE: &str = "application/vnd.api+json";
