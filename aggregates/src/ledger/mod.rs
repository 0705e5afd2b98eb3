//! Double entry: what each event posts, from the event and the state before it alone.

mod entry;
mod postings;
#[cfg(test)]
mod tests;

pub use entry::{Account, Entry, Line, Side, Unbalanced};
pub use postings::{order_entries, payment_entries};
