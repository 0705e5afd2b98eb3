//! The writer's own connection: never pooled, never cancelled half-way without being thrown away.

use std::collections::HashMap;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use futures::TryFutureExt;
use futures::future::poll_immediate;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgRow};
use sqlx::{ConnectOptions, Executor, PgConnection, Row};
use tokio::time::{Instant, timeout};

use super::statement::{Evidence, Said};
use crate::append::ExistingClaim;
use crate::plans::BY_INDEX;
use crate::read::{CLAIM_COLUMNS, Head, existing_claim, sequence};
use crate::{StoreError, Table, crash_point};

/// A process that is paused while it holds the head is cut off after seconds, so that the others go on; when it wakes, it settles
/// what it sent.
const SET_UP: &str = "SET ROLE counterfoil_writer; \
     SET statement_timeout = 0; SET idle_in_transaction_session_timeout = '3s'; \
     SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";

/// What the database made of a statement.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It was carried out.
    Said(Said),
    /// It was refused: nothing is written. Holds the SQLSTATE and what it is about, never a value.
    Refused(Refusal),
    /// Nobody knows: the connection is gone, or as good as gone.
    Lost(StoreError),
}

/// The database's no.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: String,
    pub(super) about: String,
}

impl Refusal {
    pub(super) fn is_unique_violation(&self) -> bool {
        self.code == "23505"
    }

    /// Whether the same append may be taken at another time: deadlocks, disk full, too many connections.
    pub(super) fn may_pass(&self) -> bool {
        self.code.starts_with("40") || self.code.starts_with("53")
    }
}

/// A connection with the writer's rights, and the database's clock as read through it.
#[derive(Debug)]
pub(super) struct Session {
    conn: PgConnection,
    limit: Duration,
    clock: (DateTime<Utc>, Instant),
    /// The head's row is locked by an open transaction.
    pub(super) locked: bool,
}

impl Session {
    /// Connects and takes the writer's role.
    pub(super) async fn connect(url: &str, limit: Duration) -> Result<Self, StoreError> {
        let options = PgConnectOptions::from_str(url)?.application_name("counterfoil-writer");
        let conn = within(limit, options.connect().map_err(StoreError::from)).await?;
        let clock = (DateTime::UNIX_EPOCH, Instant::now());
        let mut session = Self {
            conn,
            limit,
            clock,
            locked: false,
        };
        let set_up = format!("{SET_UP}; {BY_INDEX}");
        within(
            limit,
            session.conn.execute(&*set_up).map_err(StoreError::from),
        )
        .await?;
        Ok(session)
    }

    /// Where the log ends. `settling` increments the epoch: whatever statement of an earlier connection has not
    /// committed by now never will. The update waits for the head's lock, so one that is committing is waited for.
    pub(super) async fn head(&mut self, settling: bool) -> Result<Head, StoreError> {
        let columns = Head::COLUMNS;
        let sql = if settling {
            format!(
                "UPDATE log_head SET epoch = epoch + 1 RETURNING {columns}, clock_timestamp() AS now"
            )
        } else {
            format!("SELECT {columns}, clock_timestamp() AS now FROM log_head")
        };
        let row = within(
            self.limit,
            sqlx::query(&sql)
                .fetch_one(&mut self.conn)
                .map_err(StoreError::from),
        )
        .await?;
        self.head_of(&row)
    }

    /// Begins a transaction that holds the head: nobody else appends until it ends.
    pub(super) async fn lock(&mut self) -> Result<Head, StoreError> {
        let columns = Head::COLUMNS;
        within(
            self.limit,
            self.conn.execute("BEGIN").map_err(StoreError::from),
        )
        .await?;
        self.locked = true;
        let sql = format!("SELECT {columns}, clock_timestamp() AS now FROM log_head FOR UPDATE");
        let row = within(
            self.limit,
            sqlx::query(&sql)
                .fetch_one(&mut self.conn)
                .map_err(StoreError::from),
        )
        .await?;
        self.head_of(&row)
    }

    /// Gives the head back, with nothing written.
    pub(super) async fn unlock(&mut self) -> Result<(), StoreError> {
        if self.locked {
            within(
                self.limit,
                self.conn.execute("ROLLBACK").map_err(StoreError::from),
            )
            .await?;
            self.locked = false;
        }
        Ok(())
    }

    fn head_of(&mut self, row: &PgRow) -> Result<Head, StoreError> {
        self.set_clock(row.try_get("now")?);
        Ok(Head::from_row(row)?)
    }

    fn set_clock(&mut self, now: DateTime<Utc>) {
        self.clock = (now, Instant::now());
    }

    /// The database's clock, in whole microseconds.
    pub(super) fn now(&self) -> DateTime<Utc> {
        let (then, at) = self.clock;
        let elapsed = TimeDelta::from_std(at.elapsed()).unwrap_or(TimeDelta::zero());
        (then + elapsed).trunc_subsecs(6)
    }

    /// Carries out a batch's statement, and commits it where a transaction is open.
    pub(super) async fn execute(&mut self, sql: &str, arguments: PgArguments) -> Outcome {
        crash_point!("append-before-send");
        let query = sqlx::query_with(sql, arguments).fetch_one(&mut self.conn);
        let said = match timeout(self.limit, sent(query)).await {
            Err(_) => return Outcome::Lost(too_slow()),
            Ok(Err(error)) => return refused_or_lost(error),
            Ok(Ok(row)) => match Said::from_row(&row) {
                Ok(said) => said,
                Err(error) => return Outcome::Lost(error.into()),
            },
        };
        self.set_clock(said.now);
        if said.written && self.locked {
            crash_point!("append-before-commit");
            match timeout(self.limit, self.conn.execute("COMMIT")).await {
                Err(_) => return Outcome::Lost(too_slow()),
                Ok(Err(error)) => return Outcome::Lost(error.into()),
                Ok(Ok(_)) => self.locked = false,
            }
        }
        Outcome::Said(said)
    }

    /// Whether a batch is stored of which this would be.
    pub(super) async fn find(&mut self, evidence: &Evidence) -> Result<bool, StoreError> {
        let query = match evidence {
            Evidence::Event { position, event_id } => {
                sqlx::query("SELECT FROM events WHERE position = $1 AND event_id = $2")
                    .bind(position)
                    .bind(event_id)
            }
            Evidence::Claim {
                key: [ledger, scope, key],
                command_id,
                created_at,
            } => sqlx::query(
                "SELECT FROM claims WHERE ledger = $1 AND scope = $2 AND key = $3 \
                 AND command_id = $4 AND created_at = $5",
            )
            .bind(ledger)
            .bind(scope)
            .bind(key)
            .bind(command_id)
            .bind(created_at),
            Evidence::Answer {
                key: [ledger, scope, key],
                answer,
                completed_at,
            } => sqlx::query(
                "SELECT FROM claims WHERE ledger = $1 AND scope = $2 AND key = $3 \
                 AND answer::text = $4 AND completed_at = $5",
            )
            .bind(ledger)
            .bind(scope)
            .bind(key)
            .bind(answer)
            .bind(completed_at),
        };
        let found = query
            .fetch_optional(&mut self.conn)
            .map_err(StoreError::from);
        Ok(within(self.limit, found).await?.is_some())
    }

    /// Where these ledgers end; those that are not there have no events.
    pub(super) async fn ledgers(
        &mut self,
        names: &[&str],
    ) -> Result<HashMap<String, i64>, StoreError> {
        let rows = sqlx::query_as(
            "SELECT ledger, ledger_position FROM ledger_heads WHERE ledger = ANY($1)",
        )
        .bind(names)
        .fetch_all(&mut self.conn);
        let rows: Vec<(String, i64)> = within(self.limit, rows.map_err(StoreError::from)).await?;
        Ok(rows.into_iter().collect())
    }

    /// The versions of these streams (type, id), in the same order.
    pub(super) async fn versions(
        &mut self,
        streams: &[(&str, &str)],
    ) -> Result<Vec<u64>, StoreError> {
        let (types, ids): (Vec<&str>, Vec<&str>) = streams.iter().copied().unzip();
        let rows = sqlx::query_scalar(
            "SELECT coalesce((SELECT max(sequence) FROM events e \
             WHERE e.aggregate_type = c.aggregate_type AND e.aggregate_id = c.aggregate_id), 0) \
             FROM UNNEST($1::text[], $2::text[]) WITH ORDINALITY AS c(aggregate_type, aggregate_id, i) ORDER BY i",
        )
        .bind(types)
        .bind(ids)
        .fetch_all(&mut self.conn);
        let rows: Vec<i64> = within(self.limit, rows.map_err(StoreError::from)).await?;
        rows.into_iter().map(sequence).collect()
    }

    /// The claims among these that are there.
    pub(super) async fn claims(
        &mut self,
        keys: &[[&str; 3]],
    ) -> Result<Vec<ExistingClaim>, StoreError> {
        let column = |index: usize| keys.iter().map(|key| key[index]).collect::<Vec<_>>();
        let sql = format!(
            "SELECT {CLAIM_COLUMNS} FROM claims JOIN UNNEST($1::text[], $2::text[], $3::text[]) \
             AS c(ledger, scope, key) USING (ledger, scope, key)"
        );
        let rows = sqlx::query(&sql)
            .bind(column(0))
            .bind(column(1))
            .bind(column(2))
            .fetch_all(&mut self.conn);
        let rows = within(self.limit, rows.map_err(StoreError::from)).await?;
        rows.iter().map(existing_claim).collect()
    }

    /// What others appended after a position up to another: streams and ledgers with where they end.
    pub(super) async fn moved(&mut self, after: i64, to: i64) -> Result<Vec<Moved>, StoreError> {
        let rows = sqlx::query_as(
            "SELECT aggregate_type, aggregate_id, max(sequence), ledger, max(ledger_position) \
             FROM events WHERE position > $1 AND position <= $2 GROUP BY aggregate_type, aggregate_id, ledger",
        )
        .bind(after)
        .bind(to)
        .fetch_all(&mut self.conn);
        within(self.limit, rows.map_err(StoreError::from)).await
    }

    /// Whether the read-model tables are as declared.
    pub(super) async fn check_tables(&mut self, tables: &[Table]) -> Result<(), StoreError> {
        for table in tables {
            let columns: Vec<&str> = table.columns.iter().map(|column| column.name).collect();
            let sql = format!(
                "SELECT {}, position FROM {} LIMIT 0",
                columns.join(", "),
                table.name
            );
            within(
                self.limit,
                self.conn.execute(&*sql).map_err(StoreError::from),
            )
            .await?;
        }
        Ok(())
    }
}

/// Type, id and version of a stream, and the ledger it is of with where that ends.
pub(super) type Moved = (String, String, i64, String, i64);

/// What is asked of the database is on its way from the first poll on.
async fn sent<T>(query: impl Future<Output = T>) -> T {
    let mut query = std::pin::pin!(query);
    let at_once = poll_immediate(&mut query).await;
    crash_point!("append-sent");
    match at_once {
        Some(answer) => answer,
        None => query.await,
    }
}

/// Waits no longer than `limit`; the connection is of no use after that.
async fn within<T>(
    limit: Duration,
    it: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    timeout(limit, it).await.unwrap_or_else(|_| Err(too_slow()))
}

fn too_slow() -> StoreError {
    StoreError::Database(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))
}

/// An error in these classes ended the statement before it could commit: data, constraints, conflicts between
/// transactions, names and rights, resources. Of all others nothing is sure (a cancel or a shutdown may come while a
/// commit waits for its replica).
fn refused_or_lost(error: sqlx::Error) -> Outcome {
    if let sqlx::Error::Database(database) = &error {
        let code = database.code().unwrap_or_default().into_owned();
        let certain = ["22", "23", "40", "42", "53"];
        if certain.iter().any(|class| code.starts_with(class)) {
            let about = database
                .constraint()
                .or(database.table())
                .unwrap_or_default()
                .to_owned();
            return Outcome::Refused(Refusal { code, about });
        }
    }
    Outcome::Lost(error.into())
}
