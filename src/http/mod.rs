//! What every door stands on: the accept loop, request ids, the access log, limits, health, and the parsing of
//! bodies and credentials. It knows no door, no rule of payments and no database.
//!
//! There is no error rendering for doors here: each speaks its vendor's dialect, and dresses the neutral
//! [`body::BodyError`] and [`auth::MalformedKey`] itself.

pub mod addresses;
pub mod auth;
pub mod body;
pub mod cors;
pub mod docs;
pub mod health;
pub mod json_api;
mod observe;
pub mod openapi;
pub mod problem;
pub mod routes;
pub mod server;

pub use observe::{RequestId, observed};
