//! Idempotency claims beside the log's own: found by what they were made for, and removed when they are old.

use aggregates::ids::{IntentionId, MerchantId, PaymentId};
use sqlx::PgPool;
use std::time::Duration;

/// The name of the lock under which claims are removed, by one instance at a time.
const REMOVAL: &str = "counterfoil claims";

/// The claims of callers' keys.
pub struct Claims {
    pool: PgPool,
}

/// A claim whose command has no answer yet.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct OpenClaim {
    pub scope: String,
    /// As it was claimed: with the number of the use, where the key was free again.
    pub key: String,
    pub fingerprint: Vec<u8>,
    /// JSON: what it was made for.
    pub context: String,
}

const OPEN: &str = "select scope, key, fingerprint, context::text as context from claims";

impl Claims {
    pub(super) fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// The claims that were made for something of this payment and have no answer yet.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn open_of_payment(
        &self,
        merchant: &MerchantId,
        payment: PaymentId,
    ) -> Result<Vec<OpenClaim>, sqlx::Error> {
        let sql =
            format!("{OPEN} where ledger = $1 and context ->> 'payment' = $2 and answer is null");
        let found = sqlx::query_as(&sql)
            .bind(merchant.as_str())
            .bind(payment.to_string());
        found.fetch_all(&self.pool).await
    }

    /// The claim that was made for this request and has no answer yet.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn open_of_request(
        &self,
        merchant: &MerchantId,
        request: IntentionId,
    ) -> Result<Option<OpenClaim>, sqlx::Error> {
        let sql =
            format!("{OPEN} where ledger = $1 and context ->> 'request' = $2 and answer is null");
        let found = sqlx::query_as(&sql)
            .bind(merchant.as_str())
            .bind(request.to_string());
        found.fetch_optional(&self.pool).await
    }

    /// Removes up to `limit` claims that were answered longer than `keep_for` ago, by the database's clock, and says how many. None
    /// where another instance is at it. What has no answer stays: its outcome is still to come.
    ///
    /// A key that was free again has a claim for each use; they go from the last one backwards, since whoever asks looks for them
    /// from the first one on.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn remove_old(
        &self,
        keep_for: Duration,
        limit: i64,
    ) -> Result<Option<u64>, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        let ours: bool =
            sqlx::query_scalar("select pg_try_advisory_xact_lock(hashtextextended($1, 0))")
                .bind(REMOVAL)
                .fetch_one(&mut *transaction)
                .await?;
        if !ours {
            return Ok(None);
        }
        let removed = sqlx::query(
            "delete from claims where (ledger, scope, key) in (
                 select ledger, scope, key from claims old
                 where created_at < statement_timestamp() - make_interval(secs => $1)
                   and completed_at < statement_timestamp() - make_interval(secs => $1)
                   and not exists (
                       select from claims next where next.ledger = old.ledger and next.scope = old.scope and next.key =
                           split_part(old.key, E'\\n', 1) || E'\\n' || (coalesce(nullif(split_part(old.key, E'\\n', 2), ''), '0')::bigint + 1))
                 limit $2)",
        )
        .bind(keep_for.as_secs_f64())
        .bind(limit)
        .execute(&mut *transaction)
        .await?
        .rows_affected();
        transaction.commit().await?;
        Ok(Some(removed))
    }
}
