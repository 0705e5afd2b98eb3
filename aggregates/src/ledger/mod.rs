//! Double entry: what each event posts, from the event and the state before it alone.
//!
//! What a payment tells is posted against `assets:stripe:clearing`; what Stripe books, which its balance transactions tell, is
//! taken off there. So each movement is posted from both sides once, whichever of the two is heard of first, `clearing` is zero
//! when all is settled, and `assets:stripe:balance` is what `/v1/balance` says: nothing else touches it.

mod entry;
mod postings;
#[cfg(test)]
mod tests;

pub use entry::{Account, Entry, Line, Side, Unbalanced};
pub use postings::{order_entries, payment_entries, settlement_entries};
