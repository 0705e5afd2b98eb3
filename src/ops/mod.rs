//! What the command line runs, and what every command needs before it can: logs, metrics, a database.

pub mod audit;
pub mod bank;
pub mod chart;
pub mod events;
pub mod export;
pub mod figures;
pub mod fixtures;
pub mod inbox;
pub mod keys;
pub mod ledger;
pub mod parked;
pub mod postgres;
pub mod reconcile;
pub mod replay;
mod replay_past;
pub mod sandbox;
pub mod serve;
pub mod telemetry;
pub mod words;

pub use crate::exports::report;

use crate::exports::is_read;
use aggregates::ids::MerchantId;
use anyhow::{Context as _, ensure};
use eventstore::Role;
use projections::books::AsOf;
use sqlx::PgPool;
use std::fmt::Arguments;
use std::io::{self, Write};
use std::process;

/// Prints a line, as `println!` does; where nobody reads any more, the command has done its work.
macro_rules! say {
    ($($line:tt)*) => { $crate::ops::said(format_args!($($line)*)) };
}
pub(crate) use say;

pub(crate) fn said(line: Arguments<'_>) {
    match is_read(writeln!(io::stdout(), "{line}")) {
        Ok(true) => {}
        Ok(false) => process::exit(0),
        Err(error) => {
            eprintln!("counterfoil: {error}");
            process::exit(2);
        }
    }
}

/// What `--as-of` says; now where it is not given.
fn as_of(text: Option<&str>, effective: bool) -> anyhow::Result<AsOf> {
    text.map_or(Ok(AsOf::Now), |it| AsOf::read(it, effective))
        .context("--as-of")
}

/// Prints a text to its end. Nobody may read it any more, as after `head`: how the command ends says what it came to all the same.
fn print(text: &str) -> io::Result<()> {
    is_read(io::stdout().write_all(text.as_bytes())).map(drop)
}

/// The database, for a command that shows something of a merchant's: of one that there is none of, nothing is shown.
async fn database_of(url: &str, merchant: &MerchantId, connections: u32) -> anyhow::Result<PgPool> {
    let pool = eventstore::pool(url, Role::Writer, connections)
        .await
        .context("the database (is the service running?)")?;
    let known: bool = sqlx::query_scalar("select exists (select from merchants where id = $1)")
        .bind(merchant.as_str())
        .fetch_one(&pool)
        .await?;
    ensure!(known, "there is no merchant {merchant}");
    Ok(pool)
}
