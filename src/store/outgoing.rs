//! What is to be delivered to merchants' webhook endpoints: made with the event, leased to one sender at a time, ended once,
//! and kept with every attempt for people to look at.

use aggregates::ids::MerchantId;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgPool};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use uuid::Uuid;

/// How many old deliveries go at once.
const PRUNED_AT_ONCE: i64 = 1000;
/// How many attempts of a delivery are shown, the latest.
const ATTEMPTS_SHOWN: i64 = 50;

/// The deliveries of all merchants.
pub struct Outgoing {
    pool: PgPool,
    due: Arc<Notify>,
}

/// A delivery that is this sender's, for as long as its lease lasts.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Leased {
    pub merchant: String,
    pub endpoint_id: String,
    pub event_id: String,
    pub delivery_id: String,
    pub event_type: String,
    pub ledger_position: i64,
    pub url: String,
    /// Which secret signs.
    pub generation: i32,
    /// The one before signs too: it was rolled less than a day ago.
    pub both_sign: bool,
    /// Failures in a row before this attempt.
    pub failures: i32,
    /// How long it has been tried, in milliseconds.
    pub age_ms: i64,
    /// The database's time.
    pub leased_at: DateTime<Utc>,
    lease: Uuid,
}

/// One attempt to deliver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
pub struct Attempt {
    pub started_at: DateTime<Utc>,
    pub duration_ms: i64,
    /// The HTTP status; none where no answer came.
    pub status: Option<i32>,
    /// Why it was no success, in a word.
    pub error: Option<String>,
    pub response_bytes: i64,
}

/// What becomes of a delivery after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Delivered,
    /// It is tried again after a pause.
    Again(Duration),
    /// It is given up.
    Failed,
}

/// A delivery as the log shows it.
#[derive(Debug, Clone, Serialize, Deserialize, sqlx::FromRow)]
pub struct Logged {
    /// `whd_…`.
    pub delivery_id: String,
    pub endpoint_id: String,
    pub event_id: String,
    pub event_type: String,
    pub ledger_position: i64,
    /// `pending`, `delivered`, `failed` or `canceled`.
    pub state: String,
    pub created_at: DateTime<Utc>,
    /// When it is tried (again); of no meaning unless it is pending.
    pub next_at: DateTime<Utc>,
    pub ended_at: Option<DateTime<Utc>>,
    /// How often it was tried.
    #[sqlx(rename = "attempts")]
    pub attempt_count: i32,
    /// The latest attempts, oldest first.
    #[sqlx(skip)]
    pub attempts: Vec<Attempt>,
}

/// Which page of a list: from its newest on, after one, or before one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    pub limit: i64,
    pub starting_after: Option<String>,
    pub ending_before: Option<String>,
}

const LOGGED: &str = "delivery_id, endpoint_id, event_id, event_type, ledger_position, state, created_at, next_at, ended_at, attempts";

/// Makes a delivery of the event for every endpoint of the merchant that wants its type, in the caller's transaction.
///
/// # Errors
/// When the database cannot be written.
pub(super) async fn fan_out(
    transaction: &mut PgConnection,
    merchant: &MerchantId,
    event_id: &str,
    event_type: &str,
) -> Result<u64, sqlx::Error> {
    let made = sqlx::query(
        "insert into webhook_deliveries (merchant, endpoint_id, event_id, delivery_id, event_type, ledger_position)
         select merchant, endpoint_id, $2,
                'whd_' || left(encode(sha256(convert_to(endpoint_id || '/' || $2, 'UTF8')), 'hex'), 32), $3,
                coalesce((select ledger_position from ledger_heads where ledger = $1), 0)
         from webhook_endpoints
         where merchant = $1 and enabled and deleted_at is null and enabled_events && array[$3, '*']
         on conflict do nothing",
    )
    .bind(merchant.as_str())
    .bind(event_id)
    .bind(event_type)
    .execute(transaction)
    .await?;
    Ok(made.rows_affected())
}

impl Outgoing {
    /// `due` is rung when something may be due.
    pub fn new(pool: PgPool, due: Arc<Notify>) -> Self {
        Self { pool, due }
    }

    /// Waits until something may be due.
    pub async fn may_be_due(&self) {
        self.due.notified().await;
    }

    /// Takes up to `limit` deliveries that are due, so many for one endpoint that `per_endpoint` are under way to it over all
    /// instances. Nobody else gets them until they are [`ended`](Self::end), or `lease_for` is over.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn lease(
        &self,
        limit: u32,
        per_endpoint: u32,
        lease: Uuid,
        lease_for: Duration,
    ) -> Result<Vec<Leased>, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        let leased = sqlx::query_as(
            "with due as materialized (
                 select d.* from webhook_endpoints e cross join lateral (
                     select merchant, endpoint_id, event_id from webhook_deliveries
                     where merchant = e.merchant and endpoint_id = e.endpoint_id and state = 'pending'
                       and next_at <= statement_timestamp()
                       and (lease is null or leased_until <= statement_timestamp())
                     order by next_at
                     limit greatest(0, $2 - (
                         select count(*) from webhook_deliveries under_way
                         where under_way.merchant = e.merchant and under_way.endpoint_id = e.endpoint_id
                           and under_way.lease is not null and under_way.leased_until > statement_timestamp()))
                     for update skip locked
                 ) d
                 where e.enabled and e.deleted_at is null
                 limit $1
             )
             update webhook_deliveries it
             set lease = $3, leased_until = statement_timestamp() + make_interval(secs => $4)
             from due join webhook_endpoints e using (merchant, endpoint_id)
             where it.merchant = due.merchant and it.endpoint_id = due.endpoint_id and it.event_id = due.event_id
             returning it.merchant, it.endpoint_id, it.event_id, it.delivery_id, it.event_type, it.ledger_position, e.url,
                 e.generation, it.failures, it.lease, statement_timestamp() as leased_at,
                 coalesce(e.rolled_at > statement_timestamp() - interval '24 hours', false) as both_sign,
                 (extract(epoch from statement_timestamp() - it.tried_since) * 1000)::bigint as age_ms",
        )
        .bind(i64::from(limit))
        .bind(i64::from(per_endpoint))
        .bind(lease)
        .bind(lease_for.as_secs_f64())
        .fetch_all(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(leased)
    }

    /// The attempt is over. False where the delivery is no longer this sender's: its lease ran out, or it was called off.
    ///
    /// # Errors
    /// When the database cannot be written: it will be delivered again.
    pub async fn end(
        &self,
        it: &Leased,
        attempt: &Attempt,
        ending: Ending,
    ) -> Result<bool, sqlx::Error> {
        let (state, pause) = match ending {
            Ending::Delivered => ("delivered", Duration::ZERO),
            Ending::Again(pause) => ("pending", pause),
            Ending::Failed => ("failed", Duration::ZERO),
        };
        let mut transaction = self.pool.begin().await?;
        let number: Option<i32> = sqlx::query_scalar(
            "update webhook_deliveries
             set state = $4, lease = null, leased_until = null, attempts = attempts + 1, failures = failures + 1,
                 next_at = clock_timestamp() + make_interval(secs => $5),
                 ended_at = case when $4 <> 'pending' then clock_timestamp() end
             where merchant = $1 and delivery_id = $2 and lease = $3 and state = 'pending'
             returning attempts",
        )
        .bind(&it.merchant)
        .bind(&it.delivery_id)
        .bind(it.lease)
        .bind(state)
        .bind(pause.as_secs_f64())
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(number) = number else {
            return Ok(false);
        };
        sqlx::query(
            "insert into webhook_attempts (merchant, delivery_id, number, started_at, duration_ms, status, error, response_bytes)
             values ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(&it.merchant)
        .bind(&it.delivery_id)
        .bind(number)
        .bind(attempt.started_at)
        .bind(attempt.duration_ms)
        .bind(attempt.status)
        .bind(&attempt.error)
        .bind(attempt.response_bytes)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Has a delivery made again, whatever came of it, with new days of trying. None where the endpoint has no such delivery.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn again(
        &self,
        merchant: &MerchantId,
        endpoint: &str,
        delivery: &str,
    ) -> Result<Option<Logged>, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        let sql = format!(
            "update webhook_deliveries
             set state = 'pending', ended_at = null, failures = 0, next_at = clock_timestamp(), tried_since = clock_timestamp()
             where merchant = $1 and endpoint_id = $2 and delivery_id = $3
             returning {LOGGED}"
        );
        let row: Option<Logged> = sqlx::query_as(&sql)
            .bind(merchant.as_str())
            .bind(endpoint)
            .bind(delivery)
            .fetch_optional(&mut *transaction)
            .await?;
        // Nobody ends an attempt of it while its row is ours.
        let mut rows: Vec<Logged> = row.into_iter().collect();
        add_attempts(&mut transaction, merchant, &mut rows).await?;
        transaction.commit().await?;
        self.due.notify_one();
        Ok(rows.pop())
    }

    /// A page of an endpoint's deliveries, newest first, and whether there are more that way. None where the cursor is none of
    /// its deliveries.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn log(
        &self,
        merchant: &MerchantId,
        endpoint: &str,
        page: &Page,
    ) -> Result<Option<(Vec<Logged>, bool)>, sqlx::Error> {
        let (cursor, backwards) = match (&page.starting_after, &page.ending_before) {
            (Some(after), _) => (Some(after), false),
            (None, before) => (before.as_ref(), before.is_some()),
        };
        // One snapshot: a delivery and its attempts are shown as they were at one moment.
        let mut transaction = self
            .pool
            .begin_with("begin isolation level repeatable read read only")
            .await?;
        if let Some(cursor) = cursor {
            let known: bool = sqlx::query_scalar(
                "select exists (select from webhook_deliveries where merchant = $1 and endpoint_id = $2 and delivery_id = $3)",
            )
            .bind(merchant.as_str())
            .bind(endpoint)
            .bind(cursor)
            .fetch_one(&mut *transaction)
            .await?;
            if !known {
                return Ok(None);
            }
        }
        let (than, order) = if backwards {
            (">", "asc")
        } else {
            ("<", "desc")
        };
        let sql = format!(
            "select {LOGGED} from webhook_deliveries
             where merchant = $1 and endpoint_id = $2 and ($3::text is null or (created_at, delivery_id) {than}
                 (select created_at, delivery_id from webhook_deliveries where merchant = $1 and delivery_id = $3))
             order by created_at {order}, delivery_id {order} limit $4"
        );
        let mut rows: Vec<Logged> = sqlx::query_as(&sql)
            .bind(merchant.as_str())
            .bind(endpoint)
            .bind(cursor)
            .bind(page.limit.saturating_add(1))
            .fetch_all(&mut *transaction)
            .await?;
        let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        if backwards {
            rows.reverse();
        }
        add_attempts(&mut transaction, merchant, &mut rows).await?;
        transaction.commit().await?;
        Ok(Some((rows, more)))
    }

    /// How many deliveries wait, over all merchants.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn pending(&self) -> Result<i64, sqlx::Error> {
        sqlx::query_scalar("select count(*) from webhook_deliveries where state = 'pending'")
            .fetch_one(&self.pool)
            .await
    }

    /// Gives up what waits for an endpoint that is switched off or deleted, once it has waited for `keep_trying_for`; and
    /// deletes what ended, and is older than `keep_for`. Answers how many were given up.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn tidy(
        &self,
        keep_trying_for: Duration,
        keep_for: Duration,
    ) -> Result<u64, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        let given_up = sqlx::query(
            "update webhook_deliveries it set state = 'failed', ended_at = clock_timestamp(), lease = null, leased_until = null
             from webhook_endpoints e
             where e.merchant = it.merchant and e.endpoint_id = it.endpoint_id and it.state = 'pending'
               and not (e.enabled and e.deleted_at is null)
               and it.tried_since < statement_timestamp() - make_interval(secs => $1)
               and (it.lease is null or it.leased_until <= statement_timestamp())",
        )
        .bind(keep_trying_for.as_secs_f64())
        .execute(&mut *transaction)
        .await?
        .rows_affected();
        sqlx::query(
            "delete from webhook_deliveries where (merchant, delivery_id) in (
                 select merchant, delivery_id from webhook_deliveries
                 where state <> 'pending' and created_at < statement_timestamp() - make_interval(secs => $1)
                 order by created_at limit $2)",
        )
        .bind(keep_for.as_secs_f64())
        .bind(PRUNED_AT_ONCE)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(given_up)
    }
}

async fn add_attempts(
    connection: &mut PgConnection,
    merchant: &MerchantId,
    rows: &mut [Logged],
) -> Result<(), sqlx::Error> {
    for row in rows {
        row.attempts = sqlx::query_as(
            "select * from (
                 select number, started_at, duration_ms, status, error, response_bytes from webhook_attempts
                 where merchant = $1 and delivery_id = $2 order by number desc limit $3
             ) latest order by number",
        )
        .bind(merchant.as_str())
        .bind(&row.delivery_id)
        .bind(ATTEMPTS_SHOWN)
        .fetch_all(&mut *connection)
        .await?;
    }
    Ok(())
}
