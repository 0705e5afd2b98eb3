//! What the command line runs, and what every command needs before it can: logs, metrics, a database.

pub mod postgres;
pub mod telemetry;
