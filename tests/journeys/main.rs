//! Journeys: a payment from end to end, over HTTP, a real database and a real HTTP conversation with the simulator.

#[path = "../support/mod.rs"]
mod support;

mod audit;
mod checkout;
mod crash;
mod doors;
mod keys;
mod once;
mod order;
mod outbound;
mod payment;
mod receiver;
mod recovery;
mod recovery_parked;
mod replay;
mod settlement;
mod webhooks;
