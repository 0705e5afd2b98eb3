//! What the command line runs, and what every command needs before it can: logs, metrics, a database.

pub mod audit;
pub mod events;
pub mod fixtures;
pub mod inbox;
pub mod keys;
pub mod parked;
pub mod postgres;
pub mod replay;
pub mod sandbox;
pub mod serve;
pub mod telemetry;
pub mod words;
