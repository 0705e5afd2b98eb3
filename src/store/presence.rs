//! Which instances share the database: each holds a lock for as long as it lives, and nobody waits for it.

use sqlx::{Connection, PgConnection};

use super::{Store, Trouble};

/// The name of the lock that every instance shares.
const NAME: &str = "counterfoil instance";

/// This instance, as the others see it: gone when its connection is.
pub struct Presence {
    connection: PgConnection,
}

impl Store {
    /// Shows the others that this instance is there, on a connection of its own.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn present(&self) -> Result<Presence, Trouble> {
        let mut connection = self.pool().acquire().await?.detach();
        sqlx::query("select pg_advisory_lock_shared(hashtextextended($1, 0))")
            .bind(NAME)
            .execute(&mut connection)
            .await?;
        Ok(Presence { connection })
    }
}

impl Presence {
    /// How many instances share the database, this one among them.
    ///
    /// # Errors
    /// When the connection is lost, and the presence with it.
    pub async fn count(&mut self) -> Result<i64, Trouble> {
        let counted = sqlx::query_scalar(
            "select count(*) from pg_locks
             where locktype = 'advisory' and objsubid = 1 and granted
               and database = (select oid from pg_database where datname = current_database())
               and (classid::bigint << 32 | objid::bigint) = hashtextextended($1, 0)",
        );
        Ok(counted.bind(NAME).fetch_one(&mut self.connection).await?)
    }

    /// Leaves.
    pub async fn close(self) {
        if let Err(error) = self.connection.close().await {
            tracing::debug!(%error, "the connection of this instance's presence was gone already");
        }
    }
}
