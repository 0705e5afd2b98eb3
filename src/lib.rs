//! Counterfoil: an event-sourced payments ledger service. `ARCHITECTURE.md` has the map.

pub mod bank;
pub mod config;
pub mod doors;
pub mod gateway;
pub mod http;
pub mod ids;
pub mod journal;
pub mod ledger_api;
pub mod ops;
pub mod outbound;
pub mod personal;
pub mod service;
pub mod store;
pub mod use_cases;
pub mod webhooks;
