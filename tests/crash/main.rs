//! The process dies at every point that it has (`crash_point!`), in every command; and the whole protocol as a state machine,
//! with Stripe at its worst. Afterwards everything has happened once, and everybody has been told the same.

#[path = "../support/mod.rs"]
mod support;

mod background;
mod commands;
mod control;
mod enumerated;
mod invariants;
mod model;
mod points;
mod protocol;
#[allow(dead_code, reason = "the journeys use more of it")]
#[path = "../journeys/receiver.rs"]
mod receiver;
