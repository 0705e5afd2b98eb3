//! The append-only log on PostgreSQL. It knows nothing of payments.
//!
//! [`Log`] appends: one writer per process turns concurrent appends into one statement per batch. [`Reader`] reads
//! streams, the log and ledgers, and replays; [`StreamReads`] reads streams together. [`subscribe`] follows with a durable checkpoint. [`CqrsStore`] serves
//! cqrs-es. [`pool()`] is the one way to build a connection pool. Only this crate writes the `events` table.
//!
//! Invariants:
//! - `position` is gapless and in commit order, so whoever has read up to N has seen everything up to N.
//! - An append is stored as a whole or not at all, and its caller is told the truth, or that it is not known yet.
//! - Nothing recorded is ever changed: the database refuses.

mod append;
mod cqrs;
#[doc(hidden)]
pub mod crash;
mod error;
mod fold;
mod gathered;
mod leaf;
mod log;
mod plans;
mod pool;
mod read;
mod replay;
mod rows;
mod subscription;
mod validate;
mod writer;

pub use append::{
    Append, AppendError, Appended, Claim, Completion, ExistingClaim, NewEvent, StreamAppend,
};
pub use cqrs::{CqrsStore, Loaded, NewId};
pub use error::{BoxError, StoreError};
pub use fold::{NewRows, RowFold, SumOutOfRange, Tables};
pub use gathered::StreamReads;
pub use leaf::{Leaf, leaf_hash};
pub use log::{Log, LogOptions};
pub use pool::{Role, pool};
pub use read::{Head, Reader, Recorded, read_streams};
pub use replay::Pages;
pub use rows::{Column, Kind, Merge, RowChange, Table, Value};
pub use subscription::{Handler, SubscribeOptions, Subscription, subscribe, wait_for};
