//! Counterfoil: an event-sourced payments ledger service. `ARCHITECTURE.md` has the map.

pub mod bank;
pub mod config;
pub mod doors;
pub mod exports;
pub mod firewall;
pub mod gateway;
pub mod http;
pub mod ids;
pub mod journal;
pub mod ledger_api;
pub mod ops;
pub mod outbound;
#[doc(hidden)]
pub mod parsers;
pub mod pauses;
pub mod personal;
pub mod service;
pub mod store;
pub mod use_cases;
pub mod webhooks;

pub(crate) use eventstore::crash_point;
