//! What the command line runs, and what every command needs before it can: logs, metrics, a database.

pub mod audit;
pub mod bank;
pub mod events;
pub mod fixtures;
pub mod inbox;
pub mod keys;
pub mod ledger;
pub mod parked;
pub mod postgres;
pub mod reconcile;
pub mod replay;
pub mod report;
pub mod sandbox;
pub mod serve;
pub mod telemetry;
pub mod words;
