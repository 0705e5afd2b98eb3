//! Programs from outside, unmodified and at pinned versions, against what is served here: what they take for granted is
//! what "speaks it" means. One folder of `tests/sdk` and one test each; `harness.rs` says how they run.

#[path = "../support/mod.rs"]
mod support;

mod browser;
mod checkout;
mod commercelayer;
mod description;
mod harness;
mod stripes;
