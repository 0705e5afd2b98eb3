//! The event store against a real PostgreSQL. One binary, so that it links once.

mod append;
mod concurrency;
mod cqrs;
mod faults;
mod gathered;
#[path = "../../../tests/support/proxy.rs"]
mod proxy;
mod reading;
mod roles;
mod rows;
mod subscriptions;
mod support;
