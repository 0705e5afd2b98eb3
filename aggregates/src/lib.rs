//! The rules of Counterfoil: what may happen to an order or a payment, decided from events alone.
//!
//! This crate is pure: no I/O, no clock, no randomness, no SQL and no HTTP. Ids and times come in with the commands;
//! `decide` reads the state and answers events or an error; `apply` takes a fact and never fails.
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(
        clippy::inconsistent_digit_grouping,
        reason = "usd(112_00) reads as 112.00"
    )
)]

pub mod books;
pub mod catalogue;
pub mod figures;
pub mod ids;
pub mod ledger;
pub mod metadata;
pub mod money;
pub mod order;
pub mod parking;
pub mod payment;
pub mod reconciliation;
pub mod refused;
pub mod sealed;
pub mod settlement;
pub mod stripe_request;

#[cfg(test)]
mod testing;
