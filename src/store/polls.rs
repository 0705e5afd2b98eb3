//! How far Stripe's list of events has been read, for each merchant; read by one instance at a time. All times but `read_until`
//! are the database's.

use aggregates::ids::MerchantId;
use chrono::{DateTime, Utc};
use sqlx::PgPool;
use std::time::Duration;
use uuid::Uuid;

/// The polls of all merchants.
pub struct Polls {
    pool: PgPool,
}

/// A merchant whose events are this instance's to read, for as long as its lease lasts.
#[derive(Debug, Clone)]
pub struct LeasedPoll {
    pub merchant: MerchantId,
    pub begun_at: DateTime<Utc>,
    /// All that Stripe made before this has been read.
    pub read_until: DateTime<Utc>,
    /// Polls in a row, before this one, that did not come to their end.
    pub failures: u32,
    /// The database's time.
    pub now: DateTime<Utc>,
    lease: Uuid,
}

/// How far a merchant's events have been read.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct PollRow {
    pub merchant: String,
    /// The configuration name of its Stripe account.
    pub account: String,
    pub read_until: DateTime<Utc>,
    /// Since then, in seconds.
    pub unread_s: i64,
    pub next_at: DateTime<Utc>,
    pub failures: i32,
    pub last_error: Option<String>,
    /// Events that the polls brought and no webhook had.
    pub missed: i64,
}

/// A time that was not read before Stripe forgot it: what happened in it may be missing here.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Gap {
    pub merchant: String,
    pub gap_from: DateTime<Utc>,
    pub gap_until: DateTime<Utc>,
    pub found_at: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct LeasedRow {
    merchant: String,
    begun_at: DateTime<Utc>,
    read_until: DateTime<Utc>,
    failures: i32,
    now: DateTime<Utc>,
    lease: Uuid,
}

impl Polls {
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// Takes up every merchant of these accounts that is not polled yet: from when it was made, but no longer than `reach` ago.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn begin(&self, accounts: &[String], reach: Duration) -> Result<(), sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query(
            "insert into event_polls (merchant, begun_at, read_until)
             select id, since, since from merchants
             cross join lateral (
                 select greatest(created_at, statement_timestamp() - make_interval(secs => $2)) as since) it
             where stripe_account = any($1) and not exists (select from event_polls where merchant = id)
             on conflict do nothing",
        )
        .bind(accounts)
        .bind(reach.as_secs_f64())
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await
    }

    /// Takes a merchant that is due, of these accounts. Nobody else gets it until it is ended, or `lease_for` is over.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn lease(
        &self,
        accounts: &[String],
        lease: Uuid,
        lease_for: Duration,
    ) -> Result<Option<LeasedPoll>, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        let leased: Option<LeasedRow> = sqlx::query_as(
            "with due as materialized (
                 select p.merchant from event_polls p join merchants m on m.id = p.merchant
                 where m.stripe_account = any($1) and p.next_at <= statement_timestamp()
                   and (p.lease is null or p.leased_until <= statement_timestamp())
                 order by p.next_at limit 1 for update of p skip locked
             )
             update event_polls it
             set lease = $2, leased_until = statement_timestamp() + make_interval(secs => $3)
             from due where it.merchant = due.merchant
             returning it.merchant, it.begun_at, it.read_until, it.failures, it.lease, statement_timestamp() as now",
        )
        .bind(accounts)
        .bind(lease)
        .bind(lease_for.as_secs_f64())
        .fetch_optional(&mut *transaction)
        .await?;
        transaction.commit().await?;
        leased.map(LeasedPoll::try_from).transpose()
    }

    /// Some was read: the lease lasts for `lease_for` from now on, all that Stripe made before `read_until` has been read, and
    /// `missed` of it had come by no webhook. False where the lease is another's now.
    ///
    /// # Errors
    /// When the database cannot be written: then it is read again, which changes nothing.
    pub async fn read_until(
        &self,
        it: &LeasedPoll,
        read_until: DateTime<Utc>,
        missed: i64,
        lease_for: Duration,
    ) -> Result<bool, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        let ours = sqlx::query(
            "update event_polls set read_until = greatest(read_until, $3), missed = missed + $4,
                 leased_until = statement_timestamp() + make_interval(secs => $5)
             where merchant = $1 and lease = $2",
        )
        .bind(it.merchant.as_str())
        .bind(it.lease)
        .bind(read_until)
        .bind(missed)
        .bind(lease_for.as_secs_f64())
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(ours.rows_affected() > 0)
    }

    /// The poll is over, and the next one is due after a pause. `error`: why it did not come to its end.
    ///
    /// # Errors
    /// When the database cannot be written: then the next one is due when the lease is over.
    pub async fn end(
        &self,
        it: &LeasedPoll,
        pause: Duration,
        error: Option<&str>,
    ) -> Result<(), sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query(
            "update event_polls set lease = null, leased_until = null, next_at = clock_timestamp() + make_interval(secs => $3),
                 failures = case when $4::text is null then 0 else failures + 1 end, last_error = $4
             where merchant = $1 and lease = $2",
        )
        .bind(it.merchant.as_str())
        .bind(it.lease)
        .bind(pause.as_secs_f64())
        .bind(error)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await
    }

    /// What Stripe made from `from` on has been forgotten there up to `until`, unread. Reading goes on after it.
    ///
    /// # Errors
    /// When the database cannot be written: then it is found again.
    pub async fn gap(
        &self,
        it: &LeasedPoll,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<(), sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query(
            "insert into event_gaps as gap (merchant, gap_from, gap_until) values ($1, $2, $3)
             on conflict (merchant, gap_from) do update set gap_until = greatest(gap.gap_until, excluded.gap_until)",
        )
        .bind(it.merchant.as_str())
        .bind(from)
        .bind(until)
        .execute(&mut *transaction)
        .await?;
        sqlx::query("update event_polls set read_until = greatest(read_until, $3) where merchant = $1 and lease = $2")
            .bind(it.merchant.as_str())
            .bind(it.lease)
            .bind(until)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await
    }

    /// How far every merchant's events have been read.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn all(&self) -> Result<Vec<PollRow>, sqlx::Error> {
        sqlx::query_as(
            "select p.merchant, m.stripe_account as account, p.read_until, p.next_at, p.failures, p.last_error, p.missed,
                 extract(epoch from statement_timestamp() - p.read_until)::bigint as unread_s
             from event_polls p join merchants m on m.id = p.merchant order by p.merchant",
        )
        .fetch_all(&self.pool)
        .await
    }

    /// All gaps, the latest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn gaps(&self) -> Result<Vec<Gap>, sqlx::Error> {
        sqlx::query_as(
            "select merchant, gap_from, gap_until, found_at from event_gaps order by found_at desc",
        )
        .fetch_all(&self.pool)
        .await
    }
}

impl TryFrom<LeasedRow> for LeasedPoll {
    type Error = sqlx::Error;

    fn try_from(it: LeasedRow) -> Result<Self, sqlx::Error> {
        let merchant = it
            .merchant
            .parse()
            .map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        Ok(Self {
            merchant,
            begun_at: it.begun_at,
            read_until: it.read_until,
            failures: u32::try_from(it.failures).unwrap_or(0),
            now: it.now,
            lease: it.lease,
        })
    }
}
