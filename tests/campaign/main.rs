//! Campaigns: callers at work while something is killed, stopped, cut off or filled up, again and again. Nothing that was
//! acknowledged is lost, nothing happens twice. `make test` runs a slice of each, `make campaign` the whole (docs/campaigns.md).

#[path = "../support/mod.rs"]
mod support;

mod book;
mod cuts;
mod database;
mod database_kills;
mod disks;
mod door;
mod figures;
mod load;
mod pauses;
mod service_kills;
mod stories;
mod stripe;
