//! Reading what is recorded.

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use sqlx::postgres::{PgPool, PgRow};
use sqlx::{PgConnection, Postgres, Row, Transaction};
use uuid::Uuid;

use crate::StoreError;
use crate::append::ExistingClaim;
use crate::leaf::{Leaf, leaf_hash};

/// An event as it is recorded: all columns of its row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Place in the one order of the whole database, from 1, gapless. Not for eyes outside the service.
    pub position: i64,
    /// The ledger (merchant).
    pub ledger: String,
    /// Place within the ledger, from 1, gapless.
    pub ledger_position: i64,
    /// The stream's type.
    pub aggregate_type: String,
    /// The stream's id.
    pub aggregate_id: String,
    /// Place within the stream, from 1, gapless.
    pub sequence: u64,
    /// The event's name.
    pub event_type: String,
    /// The version of its shape.
    pub event_version: String,
    /// The event's id.
    pub event_id: Uuid,
    /// When it was recorded, by the database's clock; never before that of an earlier position.
    pub recorded_at: DateTime<Utc>,
    /// JSON, byte for byte as it was appended.
    pub payload: String,
    /// JSON, byte for byte as it was appended.
    pub metadata: String,
    /// The stored hash; see [`leaf_hash`].
    pub leaf_hash: [u8; 32],
}

impl Recorded {
    /// The payload as `T`.
    ///
    /// # Errors
    /// When it does not have the shape of `T`.
    pub fn payload_as<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.payload)
    }

    /// The metadata as `T`.
    ///
    /// # Errors
    /// When it does not have the shape of `T`.
    pub fn metadata_as<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.metadata)
    }

    /// The hash its columns have now; differs from `leaf_hash` when somebody changed the row.
    pub fn computed_leaf_hash(&self) -> [u8; 32] {
        leaf_hash(&Leaf {
            ledger: &self.ledger,
            ledger_position: self.ledger_position,
            aggregate_type: &self.aggregate_type,
            aggregate_id: &self.aggregate_id,
            sequence: i64::try_from(self.sequence).expect("it is read from a bigint"),
            event_type: &self.event_type,
            event_version: &self.event_version,
            event_id: self.event_id,
            recorded_at_us: self.recorded_at.timestamp_micros(),
            payload: &self.payload,
            metadata: &self.metadata,
        })
    }
}

/// Where the log ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Position of the last event; 0 when there is none.
    pub position: i64,
    /// How many batches were committed.
    pub batch: i64,
    /// How many lost connections had to be settled.
    pub epoch: i64,
    /// When the last batch was recorded.
    pub recorded_at: DateTime<Utc>,
}

impl Head {
    pub(crate) const COLUMNS: &str = "position, batch, epoch, recorded_at";

    pub(crate) fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            position: row.try_get("position")?,
            batch: row.try_get("batch")?,
            epoch: row.try_get("epoch")?,
            recorded_at: row.try_get("recorded_at")?,
        })
    }
}

/// The columns of [`Recorded`], in the order in which rows and COPY are decoded.
pub(crate) const COLUMNS: &str = "position, ledger, ledger_position, aggregate_type, aggregate_id, sequence, \
     event_type, event_version, event_id, recorded_at, payload, metadata, leaf_hash";

/// Begins a transaction that sees one ledger, the one named next.
const BEGIN_AS_READER: &str = "BEGIN READ ONLY; SET LOCAL ROLE counterfoil_reader";

/// Reads the log through a pool of the writer's role (the reader's role serves [`read_ledger`](Self::read_ledger)
/// and [`ledger_head`](Self::ledger_head) alone).
#[derive(Debug, Clone)]
pub struct Reader {
    pool: PgPool,
}

impl Reader {
    /// A reader over a pool made by [`pool`](crate::pool()).
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// The pool it reads through.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// The events of one stream after a sequence (0: from the start), oldest first. Empty when there are none.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn read_stream(
        &self,
        aggregate_type: &str,
        aggregate_id: &str,
        after_sequence: u64,
    ) -> Result<Vec<Recorded>, StoreError> {
        let after = i64::try_from(after_sequence)
            .map_err(|_| StoreError::Invalid(format!("no sequence {after_sequence}")))?;
        let sql = format!(
            "SELECT {COLUMNS} FROM events WHERE aggregate_type = $1 AND aggregate_id = $2 AND sequence > $3 \
             ORDER BY sequence"
        );
        let rows = sqlx::query(&sql)
            .bind(aggregate_type)
            .bind(aggregate_id)
            .bind(after)
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(recorded).collect()
    }

    /// The streams of a kind that began in a ledger after a ledger position (0: from the start) and not after `upto`, in the
    /// order in which they began: where each began, and its id; at most `limit`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn streams_begun(
        &self,
        ledger: &str,
        aggregate_type: &str,
        after: i64,
        upto: i64,
        limit: i64,
    ) -> Result<Vec<(i64, String)>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT ledger_position, aggregate_id FROM events \
             WHERE ledger = $1 AND ledger_position > $3 AND ledger_position <= $4 \
             AND aggregate_type = $2 AND sequence = 1 ORDER BY ledger_position LIMIT $5",
        )
        .bind(ledger)
        .bind(aggregate_type)
        .bind(after)
        .bind(upto)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?)
    }

    /// The events of several streams of one ledger, as far as a ledger position: stream by stream, each oldest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn read_streams(
        &self,
        aggregate_type: &str,
        aggregate_ids: &[String],
        upto: i64,
    ) -> Result<Vec<Recorded>, StoreError> {
        let mut conn = self.pool.acquire().await?;
        read_streams(&mut conn, aggregate_type, aggregate_ids, upto).await
    }

    /// The events of several streams of one type, each before a sequence: stream by stream, oldest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn read_streams_before(
        &self,
        aggregate_type: &str,
        streams: &[(String, u64)],
    ) -> Result<Vec<Recorded>, StoreError> {
        let ids: Vec<&str> = streams.iter().map(|(id, _)| id.as_str()).collect();
        let before = streams
            .iter()
            .map(|(_, sequence)| i64::try_from(*sequence))
            .collect::<Result<Vec<i64>, _>>()
            .map_err(|error| StoreError::Invalid(error.to_string()))?;
        // Each stream is one range of the primary key, whatever the planner thinks of the others.
        let sql = format!(
            "SELECT e.* FROM UNNEST($2::text[], $3::bigint[]) AS s(id, before), \
             LATERAL (SELECT {COLUMNS} FROM events WHERE aggregate_type = $1 AND aggregate_id = s.id \
             AND sequence < s.before ORDER BY sequence OFFSET 0) AS e ORDER BY e.aggregate_id, e.sequence"
        );
        let rows = sqlx::query(&sql)
            .bind(aggregate_type)
            .bind(ids)
            .bind(before)
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(recorded).collect()
    }

    /// At most `limit` events after a position (0: from the start), in commit order. No event ever appears before
    /// one already read.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn read_from(
        &self,
        after_position: i64,
        limit: i64,
    ) -> Result<Vec<Recorded>, StoreError> {
        let mut conn = self.pool.acquire().await?;
        read_from(&mut conn, after_position, limit).await
    }

    /// At most `limit` events of one ledger after a ledger position (0: from the start), through the reader's role:
    /// the database itself shows no other ledger.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn read_ledger(
        &self,
        ledger: &str,
        after_ledger_position: i64,
        limit: i64,
    ) -> Result<Vec<Recorded>, StoreError> {
        let mut tx = self.begin_for(ledger).await?;
        let sql = format!(
            "SELECT {COLUMNS} FROM events WHERE ledger = $1 AND ledger_position > $2 \
             ORDER BY ledger_position LIMIT $3"
        );
        let rows = sqlx::query(&sql)
            .bind(ledger)
            .bind(after_ledger_position)
            .bind(limit)
            .fetch_all(&mut *tx)
            .await?;
        tx.commit().await?;
        rows.iter().map(recorded).collect()
    }

    /// A read-only transaction in the reader's role that sees one ledger and nothing else.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn begin_for(
        &self,
        ledger: &str,
    ) -> Result<Transaction<'static, Postgres>, StoreError> {
        let mut tx = self.pool.begin_with(BEGIN_AS_READER).await?;
        sqlx::query("SELECT set_config('counterfoil.ledger', $1, true)")
            .bind(ledger)
            .execute(&mut *tx)
            .await?;
        Ok(tx)
    }

    /// Where the log ends.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn head(&self) -> Result<Head, StoreError> {
        let sql = format!("SELECT {} FROM log_head", Head::COLUMNS);
        let row = sqlx::query(&sql).fetch_one(&self.pool).await?;
        Ok(Head::from_row(&row)?)
    }

    /// Where a ledger ends; 0 when it has no events.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn ledger_head(&self, ledger: &str) -> Result<i64, StoreError> {
        let mut tx = self.begin_for(ledger).await?;
        let found =
            sqlx::query_scalar("SELECT ledger_position FROM ledger_heads WHERE ledger = $1")
                .bind(ledger)
                .fetch_optional(&mut *tx)
                .await?;
        tx.commit().await?;
        Ok(found.unwrap_or(0))
    }

    /// An idempotency claim, answered or not; none when the key is free.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn claim(
        &self,
        ledger: &str,
        scope: &str,
        key: &str,
    ) -> Result<Option<ExistingClaim>, StoreError> {
        let sql = format!(
            "SELECT {CLAIM_COLUMNS} FROM claims WHERE ledger = $1 AND scope = $2 AND key = $3"
        );
        let row = sqlx::query(&sql)
            .bind(ledger)
            .bind(scope)
            .bind(key)
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(existing_claim).transpose()
    }

    /// At most `limit` claims without an answer that were made before a moment, oldest first: commands that run, or
    /// whose outcome is unknown.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn open_claims(
        &self,
        made_before: DateTime<Utc>,
        limit: i64,
    ) -> Result<Vec<ExistingClaim>, StoreError> {
        let sql = format!(
            "SELECT {CLAIM_COLUMNS} FROM claims WHERE answer IS NULL AND created_at < $1 \
             ORDER BY created_at LIMIT $2"
        );
        let rows = sqlx::query(&sql)
            .bind(made_before)
            .bind(limit)
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(existing_claim).collect()
    }
}

/// At most `limit` events after a position, on a connection of the caller's.
pub(crate) async fn read_from(
    conn: &mut PgConnection,
    after_position: i64,
    limit: i64,
) -> Result<Vec<Recorded>, StoreError> {
    let sql =
        format!("SELECT {COLUMNS} FROM events WHERE position > $1 ORDER BY position LIMIT $2");
    let rows = sqlx::query(&sql)
        .bind(after_position)
        .bind(limit)
        .fetch_all(conn)
        .await?;
    rows.iter().map(recorded).collect()
}

/// The events of several streams of one ledger, as far as a ledger position, on a connection of the caller's: stream by stream,
/// each oldest first.
///
/// # Errors
/// When the database cannot be read.
pub async fn read_streams(
    conn: &mut PgConnection,
    aggregate_type: &str,
    aggregate_ids: &[String],
    upto: i64,
) -> Result<Vec<Recorded>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM events WHERE aggregate_type = $1 AND aggregate_id = ANY($2) \
         AND ledger_position <= $3 ORDER BY aggregate_id, sequence"
    );
    let rows = sqlx::query(&sql)
        .bind(aggregate_type)
        .bind(aggregate_ids)
        .bind(upto)
        .fetch_all(conn)
        .await?;
    rows.iter().map(recorded).collect()
}

/// The columns of [`ExistingClaim`].
pub(crate) const CLAIM_COLUMNS: &str = "ledger, scope, key, fingerprint, command_id, context::text, answer::text, \
     created_at, completed_at";

pub(crate) fn existing_claim(row: &PgRow) -> Result<ExistingClaim, StoreError> {
    let fingerprint: &[u8] = row.try_get("fingerprint")?;
    Ok(ExistingClaim {
        ledger: row.try_get("ledger")?,
        scope: row.try_get("scope")?,
        key: row.try_get("key")?,
        fingerprint: hash(fingerprint)?,
        command_id: row.try_get("command_id")?,
        context: raw(row.try_get("context")?)?,
        answer: row
            .try_get::<Option<String>, _>("answer")?
            .map(raw)
            .transpose()?,
        created_at: row.try_get("created_at")?,
        completed_at: row.try_get("completed_at")?,
    })
}

pub(crate) fn recorded(row: &PgRow) -> Result<Recorded, StoreError> {
    Ok(Recorded {
        position: row.try_get(0)?,
        ledger: row.try_get(1)?,
        ledger_position: row.try_get(2)?,
        aggregate_type: row.try_get(3)?,
        aggregate_id: row.try_get(4)?,
        sequence: sequence(row.try_get(5)?)?,
        event_type: row.try_get(6)?,
        event_version: row.try_get(7)?,
        event_id: row.try_get(8)?,
        recorded_at: row.try_get(9)?,
        // `json` travels as its text, so it decodes as text without a cast at the server.
        payload: row.try_get_unchecked(10)?,
        metadata: row.try_get_unchecked(11)?,
        leaf_hash: hash(row.try_get(12)?)?,
    })
}

pub(crate) fn sequence(it: i64) -> Result<u64, StoreError> {
    u64::try_from(it).map_err(|_| StoreError::Corrupt(format!("sequence {it}")))
}

pub(crate) fn hash(bytes: &[u8]) -> Result<[u8; 32], StoreError> {
    bytes
        .try_into()
        .map_err(|_| StoreError::Corrupt(format!("a hash of {} bytes", bytes.len())))
}

fn raw(json: String) -> Result<Box<RawValue>, StoreError> {
    RawValue::from_string(json).map_err(|e| StoreError::Corrupt(e.to_string()))
}
