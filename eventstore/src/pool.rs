//! The one way to build a pool.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Executor, PgConnection};

use crate::StoreError;

/// Whose rights a connection has (`SET ROLE`; the roles are made by the migrations).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Appends and reads everything; can change no event.
    Writer,
    /// Reads the one ledger that its transaction names.
    Reader,
    /// The login user itself: migrations only.
    Owner,
}

impl Role {
    /// The statements that take the role.
    const fn set_role(self) -> &'static str {
        match self {
            // A process that is paused inside a transaction does not hold its locks for ever.
            Self::Writer => {
                "SET ROLE counterfoil_writer; SET idle_in_transaction_session_timeout = '5s'"
            }
            Self::Reader => {
                "SET ROLE counterfoil_reader; SET idle_in_transaction_session_timeout = '5s'"
            }
            Self::Owner => "RESET ROLE",
        }
    }
}

/// Ends a transaction that nobody knows of, without a warning in the server's log where there is none: inside one,
/// `BEGIN` is but a warning (or, in a failed one, an error, upon which the pool drops the connection).
const END_ANY_TRANSACTION: &str = "BEGIN; ROLLBACK";

/// How long somebody waits for a connection before being told that there is none. While the database is away, the pool tries
/// again after pauses that grow to a fifth of this: so soon is it back once the database is.
const ACQUIRE_WITHIN: Duration = Duration::from_secs(5);

/// A pool of at most `max` connections with the rights of `role`.
///
/// A `begin()` whose future is dropped half-way returns its connection inside an open transaction (sqlx 0.8.6 rolls
/// back only what it counted); the next write on it would answer Ok and be lost. Here every connection that has been
/// used is rolled back before anybody else gets it; until then such a transaction has done nothing, and its role's time for being idle
/// ends it.
///
/// # Errors
/// When the URL does not parse or the database cannot be reached.
pub async fn pool(url: &str, role: Role, max: u32) -> Result<PgPool, StoreError> {
    let options = PgConnectOptions::from_str(url)?.application_name("counterfoil");
    let pool = PgPoolOptions::new()
        .max_connections(max)
        .acquire_timeout(ACQUIRE_WITHIN)
        .after_connect(move |conn, _| {
            Box::pin(async move { conn.execute(role.set_role()).await.map(drop) })
        })
        // Which tells too whether the connection lives, as the pool's own ping would.
        .test_before_acquire(false)
        .before_acquire(|conn, _| Box::pin(end_any_transaction(conn)))
        .connect_with(options)
        .await?;
    Ok(pool)
}

async fn end_any_transaction(conn: &mut PgConnection) -> Result<bool, sqlx::Error> {
    conn.execute(END_ANY_TRANSACTION).await?;
    Ok(true)
}
