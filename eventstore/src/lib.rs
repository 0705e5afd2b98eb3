//! The append-only log on PostgreSQL. It knows nothing of payments.
//!
//! [`Log`] appends, [`Reader`] reads, [`subscribe`] follows, [`CqrsStore`] serves cqrs-es.
//! Only this crate writes the `events` table.

mod append;
mod rows;

pub use append::{
    Append, AppendError, Appended, Claim, Completion, ExistingClaim, NewEvent, StreamAppend,
};
pub use rows::{Column, Kind, Merge, RowChange, Table, Value};
