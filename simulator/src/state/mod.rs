//! The state of an account: its objects, what the clock will do to them, what is to be delivered, and the journal that survives a restart.

mod account;
mod clock;
mod endpoints;
mod journal;
mod table;
mod tx;

pub use account::{AccountCell, AccountState};
pub use clock::{Clock, real_ms};
pub use endpoints::Target;
pub use tx::{Kind, Tx};

/// How long an answer is kept under its idempotency key, in seconds.
pub const KEY_KEPT_S: i64 = 24 * 3_600;
/// How long events stay readable, in seconds.
pub const EVENT_KEPT_S: i64 = 30 * 24 * 3_600;
