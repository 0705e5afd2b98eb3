//! The pages that payers see: served as they are, without a script, and usable with the keyboard alone.

pub mod checkout;
mod form;
mod shell;
pub mod three_d_secure;
