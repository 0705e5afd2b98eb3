//! What recovery works on: every intention that stands open in the read models, leased to one instance at a time; and what is
//! parked. All times are the database's.

use aggregates::ids::{IntentionId, MerchantId};
use aggregates::parking::ParkedState;
use aggregates::payment::{Payment, PaymentEvent};
use aggregates::stripe_request::{StripeRequest, StripeRequestEvent};
use chrono::{DateTime, Utc};
use cqrs_es::Aggregate;
use moka::sync::Cache;
use sqlx::PgPool;
use std::time::{Duration, SystemTime};
use uuid::Uuid;

use super::Commit;
use super::lists::Found;

/// How many open intentions one look takes up.
const FOUND_AT_ONCE: i64 = 1000;

/// Every open intention, where it stands in the read models: `merchant`, `intention`, `kind`, `subject`.
const OPEN: &str = "
    select merchant, refund_id as intention, 'refund' as kind, payment_id as subject
    from refunds where status = 'requested'
    union all
    select merchant, pending_intention, 'step', payment_id
    from payments where pending_intention is not null and not exists (
        select from refunds r where r.merchant = payments.merchant and r.refund_id = pending_intention)
    union all
    select merchant, request_id, 'change', request_id
    from stripe_requests where pending_intention is not null";

/// The work of recovery.
pub struct Work {
    pool: PgPool,
}

/// What an intention is a part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display, strum::EnumString)]
#[strum(serialize_all = "snake_case")]
pub enum WorkKind {
    /// A step of a payment.
    Step,
    /// A refund of a payment.
    Refund,
    /// A change at Stripe that no payment carries.
    Change,
}

/// An intention that is this instance's to drive, for as long as its lease lasts.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct LeasedWork {
    pub merchant: String,
    pub intention: Uuid,
    kind: String,
    /// The payment, or the request.
    pub subject: Uuid,
    /// Attempts of recovery before this one.
    pub attempts: i32,
    /// Since it was intended, in milliseconds.
    pub age_ms: i64,
    lease: Uuid,
}

/// How an open intention stands.
#[derive(Debug, Clone, Copy, sqlx::FromRow)]
pub struct WorkStanding {
    pub intended_at: DateTime<Utc>,
    /// Since it was intended, in milliseconds.
    pub age_ms: i64,
    /// Stripe answers its key with an error that it keeps.
    pub key_spent: bool,
}

/// An intention that is parked, or was.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct ParkedRow {
    pub merchant: String,
    pub intention: Uuid,
    /// `payment` or `stripe_request`.
    pub kind: String,
    /// The payment, or the request.
    pub subject: Uuid,
    /// What was asked of Stripe, in a word.
    pub what: String,
    pub reason: String,
    /// `waiting`, `settled` or `answered`.
    pub state: String,
    /// `happened` or `did_not_happen`, as proposed.
    pub outcome: Option<String>,
    pub stripe_id: Option<String>,
    pub proposed_by: Option<String>,
    pub because: Option<String>,
    pub approved_by: Option<String>,
}

const PARKED: &str = "merchant, intention, kind, subject, what, reason, state, outcome, stripe_id, proposed_by, because, approved_by";

impl LeasedWork {
    pub fn kind(&self) -> WorkKind {
        self.kind
            .parse()
            .expect("the table takes no other kind than these")
    }
}

impl Work {
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// Takes up every intention that has been open for `older_than` and is not taken up yet, and forgets those that have ended.
    /// Answers how many are open and older than that, taken up or not.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn find(&self, older_than: Duration) -> Result<i64, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        let found = format!(
            "with open as ({OPEN})
             insert into recovery_work (merchant, intention, kind, subject, intended_at, next_at)
             select open.merchant, open.intention, open.kind, open.subject, intended.at, intended.at
             from open cross join lateral (
                 -- An intention is recorded by the event of its own id, in the stream of what it is a part of.
                 select coalesce((
                     select recorded_at from events
                     where aggregate_type = case open.kind when 'change' then $1 else $2 end
                       and aggregate_id = open.merchant || '/' || open.subject::text and event_id = open.intention
                 ), statement_timestamp()) as at
             ) intended
             where intended.at <= statement_timestamp() - make_interval(secs => $3)
               and not exists (select from recovery_work w where w.merchant = open.merchant and w.intention = open.intention)
             order by intended.at limit $4
             on conflict do nothing"
        );
        sqlx::query(&found)
            .bind(StripeRequest::TYPE)
            .bind(Payment::TYPE)
            .bind(older_than.as_secs_f64())
            .bind(FOUND_AT_ONCE)
            .execute(&mut *transaction)
            .await?;
        let ended = format!(
            "delete from recovery_work where (merchant, intention) in (
                 select merchant, intention from recovery_work w
                 where (lease is null or leased_until <= statement_timestamp())
                   and not exists (select from ({OPEN}) open where open.merchant = w.merchant and open.intention = w.intention)
                 for update skip locked)"
        );
        sqlx::query(&ended).execute(&mut *transaction).await?;
        let waiting = sqlx::query_scalar("select count(*) from recovery_work")
            .fetch_one(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(waiting)
    }

    /// Takes up to `limit` intentions that are due. Nobody else gets them until they are put back, or `lease_for` is over.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn lease(
        &self,
        limit: u32,
        lease: Uuid,
        lease_for: Duration,
    ) -> Result<Vec<LeasedWork>, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        let leased = sqlx::query_as(
            "with due as materialized (
                 select merchant, intention from recovery_work
                 where next_at <= statement_timestamp() and (lease is null or leased_until <= statement_timestamp())
                 order by next_at limit $1 for update skip locked
             )
             update recovery_work it
             set lease = $2, leased_until = statement_timestamp() + make_interval(secs => $3)
             from due where it.merchant = due.merchant and it.intention = due.intention
             returning it.merchant, it.intention, it.kind, it.subject, it.attempts, it.lease,
                 (extract(epoch from statement_timestamp() - it.intended_at) * 1000)::bigint as age_ms",
        )
        .bind(i64::from(limit))
        .bind(lease)
        .bind(lease_for.as_secs_f64())
        .fetch_all(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(leased)
    }

    /// Makes the lease last for `lease_for` from now on. False where it ran out and is another's.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn renew(&self, it: &LeasedWork, lease_for: Duration) -> Result<bool, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        let renewed = sqlx::query(
            "update recovery_work set leased_until = statement_timestamp() + make_interval(secs => $4)
             where merchant = $1 and intention = $2 and lease = $3",
        )
        .bind(&it.merchant)
        .bind(it.intention)
        .bind(it.lease)
        .bind(lease_for.as_secs_f64())
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(renewed.rows_affected() > 0)
    }

    /// The intention has ended.
    ///
    /// # Errors
    /// When the database cannot be written: then it is leased again, and found ended.
    pub async fn ended(&self, it: &LeasedWork) -> Result<(), sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query(
            "delete from recovery_work where merchant = $1 and intention = $2 and lease = $3",
        )
        .bind(&it.merchant)
        .bind(it.intention)
        .bind(it.lease)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await
    }

    /// The intention is still open, and due again after a pause. `error`: why, where it was attempted; none where it was only
    /// held back, which counts as no attempt.
    ///
    /// # Errors
    /// When the database cannot be written: then it is due once its lease is over.
    pub async fn again(
        &self,
        it: &LeasedWork,
        pause: Duration,
        error: Option<&str>,
    ) -> Result<(), sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query(
            "update recovery_work
             set lease = null, leased_until = null, next_at = clock_timestamp() + make_interval(secs => $4),
                 last_error = coalesce($5, last_error), attempts = attempts + case when $5 is null then 0 else 1 end
             where merchant = $1 and intention = $2 and lease = $3",
        )
        .bind(&it.merchant)
        .bind(it.intention)
        .bind(it.lease)
        .bind(pause.as_secs_f64())
        .bind(error)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await
    }

    /// How an open intention stands, whether it is taken up or not; none where the log has no such intention.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn standing(
        &self,
        merchant: &MerchantId,
        kind: WorkKind,
        subject: Uuid,
        intention: IntentionId,
    ) -> Result<Option<WorkStanding>, sqlx::Error> {
        sqlx::query_as(
            "select recorded_at as intended_at,
                 (extract(epoch from clock_timestamp() - recorded_at) * 1000)::bigint as age_ms,
                 coalesce((select key_spent from recovery_work where merchant = $4 and intention = $3), false) as key_spent
             from events where aggregate_type = $1 and aggregate_id = $2 and event_id = $3",
        )
        .bind(kind.stream())
        .bind(format!("{merchant}/{subject}"))
        .bind(intention.uuid())
        .bind(merchant.as_str())
        .fetch_optional(&self.pool)
        .await
    }

    /// Stripe keeps an error under the intention's key: from now on it is only looked up.
    ///
    /// # Errors
    /// When the database cannot be written: then Stripe will say so again.
    pub async fn key_is_spent(
        &self,
        merchant: &MerchantId,
        intention: IntentionId,
    ) -> Result<(), sqlx::Error> {
        self.note(merchant, intention, "key_spent = true")
            .await
            .map(drop)
    }

    /// Looking the intention up has shown that it was not done. Answers for how long it has been shown so, in milliseconds.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn is_absent(
        &self,
        merchant: &MerchantId,
        intention: IntentionId,
    ) -> Result<i64, sqlx::Error> {
        self.note(
            merchant,
            intention,
            "absent_since = coalesce(absent_since, statement_timestamp())",
        )
        .await
    }

    /// Notes something of an open intention, which is taken up for it. Answers for how long it has been absent.
    async fn note(
        &self,
        merchant: &MerchantId,
        intention: IntentionId,
        what: &str,
    ) -> Result<i64, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        let taken_up = format!(
            "insert into recovery_work (merchant, intention, kind, subject, intended_at, next_at)
             select merchant, intention, kind, subject, coalesce((
                 select recorded_at from events
                 where aggregate_type = case kind when 'change' then $3 else $4 end
                   and aggregate_id = merchant || '/' || subject::text and event_id = intention
             ), statement_timestamp()), statement_timestamp()
             from ({OPEN}) open where merchant = $1 and intention = $2
             on conflict do nothing"
        );
        sqlx::query(&taken_up)
            .bind(merchant.as_str())
            .bind(intention.uuid())
            .bind(StripeRequest::TYPE)
            .bind(Payment::TYPE)
            .execute(&mut *transaction)
            .await?;
        let noted = format!(
            "update recovery_work set {what} where merchant = $1 and intention = $2
             returning (extract(epoch from statement_timestamp() - coalesce(absent_since, statement_timestamp())) * 1000)::bigint"
        );
        let absent_ms: Option<i64> = sqlx::query_scalar(&noted)
            .bind(merchant.as_str())
            .bind(intention.uuid())
            .fetch_optional(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(absent_ms.unwrap_or(0))
    }

    /// What is parked, oldest first: of one merchant or of all, those that wait or all that ever did.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn parked(
        &self,
        merchant: Option<&MerchantId>,
        settled_too: bool,
    ) -> Result<Vec<ParkedRow>, sqlx::Error> {
        let sql = format!(
            "select {PARKED} from parked
             where ($1::text is null or merchant = $1) and ($2 or state = 'waiting') order by position, intention"
        );
        sqlx::query_as(&sql)
            .bind(merchant.map(MerchantId::as_str))
            .bind(settled_too)
            .fetch_all(&self.pool)
            .await
    }

    /// At most `limit` of a merchant's, by intention, after one; in one state or in any.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn parked_page(
        &self,
        merchant: &MerchantId,
        state: Option<ParkedState>,
        after: Option<IntentionId>,
        limit: i64,
    ) -> Result<Found<ParkedRow>, sqlx::Error> {
        let sql = format!(
            "select {PARKED} from parked
             where merchant = $1 and ($2::text is null or state = $2) and ($3::uuid is null or intention > $3)
             order by intention limit $4"
        );
        let mut items: Vec<ParkedRow> = sqlx::query_as(&sql)
            .bind(merchant.as_str())
            .bind(state.map(|it| it.to_string()))
            .bind(after.map(IntentionId::uuid))
            .bind(limit.saturating_add(1))
            .fetch_all(&self.pool)
            .await?;
        let limit = usize::try_from(limit).unwrap_or(0);
        let has_more = items.len() > limit;
        items.truncate(limit);
        Ok(Found { items, has_more })
    }

    /// One parked intention, of whoever's; none where nothing of this id is parked.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn parked_one(
        &self,
        intention: IntentionId,
    ) -> Result<Option<ParkedRow>, sqlx::Error> {
        let sql = format!("select {PARKED} from parked where intention = $1");
        sqlx::query_as(&sql)
            .bind(intention.uuid())
            .fetch_optional(&self.pool)
            .await
    }

    /// How many intentions wait for people.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn parked_count(&self) -> Result<i64, sqlx::Error> {
        sqlx::query_scalar("select count(*) from parked where state = 'waiting'")
            .fetch_one(&self.pool)
            .await
    }
}

impl WorkKind {
    /// The type of the stream that holds the intention.
    fn stream(self) -> &'static str {
        match self {
            Self::Step | Self::Refund => Payment::TYPE,
            Self::Change => StripeRequest::TYPE,
        }
    }
}

/// Intentions that this process has recorded within the last minutes: they are younger than any limit that matters, without
/// the database being asked.
pub struct Fresh(Cache<IntentionId, SystemTime>);

/// For so long an intention counts as fresh.
const FRESH_FOR: Duration = Duration::from_secs(600);
/// How many intentions are remembered as fresh.
const FRESH_MAX: u64 = 100_000;

impl Default for Fresh {
    fn default() -> Self {
        Self(
            Cache::builder()
                .max_capacity(FRESH_MAX)
                .time_to_live(FRESH_FOR)
                .build(),
        )
    }
}

impl Fresh {
    pub(super) fn recorded(&self, intentions: Vec<IntentionId>) {
        for intention in intentions {
            self.0.insert(intention, SystemTime::now());
        }
    }

    /// Whether the intention was recorded here so lately that it is certainly younger than `certain_for`.
    pub fn holds(&self, intention: IntentionId, certain_for: Duration) -> bool {
        // The cache's own clock stands still while the machine sleeps; the wall's does not.
        let age = self.0.get(&intention).and_then(|at| at.elapsed().ok());
        certain_for > FRESH_FOR && age.is_some_and(|age| age < FRESH_FOR)
    }

    /// From now on the intention's standing is asked of the database.
    pub fn forget(&self, intention: IntentionId) {
        self.0.invalidate(&intention);
    }
}

/// The intentions among what is to be recorded.
pub(super) fn intentions(it: &Commit) -> Vec<IntentionId> {
    let payment = it.payment.iter().flat_map(|it| &it.events);
    let request = it.stripe_request.iter().flat_map(|it| &it.events);
    payment
        .filter_map(PaymentEvent::intention)
        .chain(request.filter_map(StripeRequestEvent::intention))
        .collect()
}
