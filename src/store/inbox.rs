//! The webhook inbox: what Stripe sent is kept first, acknowledged second, applied third. Any number of instances apply; a
//! lease gives each delivery to one at a time. All times are the database's.

use aggregates::ids::MerchantId;
use chrono::{DateTime, Utc};
use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use uuid::Uuid;

use super::outgoing;

/// The inbox of all merchants.
pub struct Inbox {
    pool: PgPool,
    due: Arc<Notify>,
}

/// One event of Stripe's, cleaned of secrets, its personal data sealed.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub merchant: MerchantId,
    /// Stripe's id (`evt_…`): the same event is applied once, however often it comes.
    pub event_id: String,
    pub event_type: String,
    pub body: Value,
    pub sealed: Option<Value>,
    pub stripe_created: DateTime<Utc>,
    /// Stripe's intent that it speaks of, where it names one.
    pub about: Option<String>,
}

/// How an event came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CameBy {
    Webhook,
    /// Stripe's list of events was read.
    Poll,
}

/// What became of an event that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    New,
    /// It is here already, and is only counted.
    Repeat,
    /// Another event is here under its id: that one stands, and this one is only counted.
    Contradicts,
}

/// A delivery that is this instance's to apply, for as long as its lease lasts.
#[derive(Debug, Clone)]
pub struct LeasedEvent {
    pub delivery: Delivery,
    pub received_at: DateTime<Utc>,
    /// Attempts since it was last applied without an error, this one among them.
    pub attempts: u32,
    /// Since it was kept.
    pub age: Duration,
    lease: Uuid,
}

/// What came of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display)]
#[strum(serialize_all = "snake_case")]
pub enum Applied {
    /// It went through the payment it speaks of.
    Applied,
    /// It speaks of nothing that is known here, yet.
    Unmatched,
    /// It says nothing that we record.
    Skipped,
}

/// What is done next about a delivery that could not be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It is tried again after a pause.
    Again(Duration),
    /// Trying again is of no use: it waits for people.
    SetAside,
}

/// How many events stand how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct InboxCounts {
    /// To be applied (again).
    pub waiting: i64,
    /// Since the one that has waited longest came, in seconds; 0 where none waits.
    pub oldest_s: i64,
    pub set_aside: i64,
}

#[derive(sqlx::FromRow)]
struct Row {
    merchant: String,
    event_id: String,
    event_type: String,
    body: Value,
    sealed: Option<Value>,
    stripe_created: DateTime<Utc>,
    about: Option<String>,
}

#[derive(sqlx::FromRow)]
struct LeasedRow {
    #[sqlx(flatten)]
    row: Row,
    received_at: DateTime<Utc>,
    attempts: i32,
    age_ms: i64,
    lease: Uuid,
}

impl Inbox {
    /// `due` is rung when something is to be delivered on.
    pub fn new(pool: PgPool, due: Arc<Notify>) -> Self {
        Self { pool, due }
    }

    pub(super) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Keeps the delivery durably. A repeat is only counted.
    ///
    /// # Errors
    /// When the database cannot be written: the delivery must not be acknowledged.
    pub async fn keep(&self, it: &Delivery, came_by: CameBy) -> Result<Kept, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        let (new, differs): (bool, bool) = sqlx::query_as(
            "insert into webhook_inbox as inbox (merchant, event_id, type, body, sealed, stripe_created, about, polled, fingerprint)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
             on conflict (merchant, event_id) do update
             set repeats = inbox.repeats + case when excluded.polled then 0 else 1 end,
                 contradictions = inbox.contradictions + case when inbox.fingerprint <> excluded.fingerprint then 1 else 0 end
             returning xmax::text = '0', fingerprint is distinct from $9 and fingerprint is not null",
        )
        .bind(it.merchant.as_str())
        .bind(&it.event_id)
        .bind(&it.event_type)
        .bind(&it.body)
        .bind(&it.sealed)
        .bind(it.stripe_created)
        .bind(&it.about)
        .bind(came_by == CameBy::Poll)
        .bind(fingerprint(&it.body))
        .fetch_one(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(match (new, differs) {
            (true, _) => Kept::New,
            (false, false) => Kept::Repeat,
            (false, true) => Kept::Contradicts,
        })
    }

    /// Which of these events of a merchant's are not here.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn unknown(
        &self,
        merchant: &MerchantId,
        events: &[String],
    ) -> Result<Vec<String>, sqlx::Error> {
        sqlx::query_scalar(
            "select it from unnest($2::text[]) it
             where not exists (select from webhook_inbox where merchant = $1 and event_id = it)",
        )
        .bind(merchant.as_str())
        .bind(events)
        .fetch_all(&self.pool)
        .await
    }

    /// Takes up to `limit` deliveries that are due, oldest first, but none of the merchants that are `busy`. Nobody else gets them
    /// until it is said what came of them, or `lease_for` is over.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn lease(
        &self,
        limit: u32,
        busy: &[String],
        lease: Uuid,
        lease_for: Duration,
    ) -> Result<Vec<LeasedEvent>, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        let rows: Vec<LeasedRow> = sqlx::query_as(
            "with due as materialized (
                 select merchant, event_id from webhook_inbox
                 where next_at <= statement_timestamp() and (lease is null or leased_until <= statement_timestamp())
                   and merchant <> all($4)
                 order by next_at limit $1 for update skip locked
             )
             update webhook_inbox it
             set lease = $2, leased_until = statement_timestamp() + make_interval(secs => $3), attempts = it.attempts + 1
             from due where it.merchant = due.merchant and it.event_id = due.event_id
             returning it.merchant, it.event_id, it.type as event_type, it.body, it.sealed, it.stripe_created, it.about,
                 it.received_at, it.attempts, it.lease,
                 (extract(epoch from statement_timestamp() - it.received_at) * 1000)::bigint as age_ms",
        )
        .bind(i64::from(limit))
        .bind(lease)
        .bind(lease_for.as_secs_f64())
        .bind(busy)
        .fetch_all(&mut *transaction)
        .await?;
        transaction.commit().await?;
        let mut leased: Vec<LeasedEvent> = rows
            .into_iter()
            .map(LeasedEvent::try_from)
            .collect::<Result<_, _>>()?;
        // As Stripe made them: then most of them tell news, and few have to be asked about.
        leased.sort_by_key(|it| (it.delivery.stripe_created, it.received_at));
        Ok(leased)
    }

    /// Makes the leases last for `lease_for` from now on.
    ///
    /// # Errors
    /// When the database cannot be written: another instance may apply them as well then, which changes nothing.
    pub async fn renew(
        &self,
        leased: &[LeasedEvent],
        lease_for: Duration,
    ) -> Result<(), sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        for it in leased {
            sqlx::query(
                "update webhook_inbox set leased_until = statement_timestamp() + make_interval(secs => $4)
                 where merchant = $1 and event_id = $2 and lease = $3",
            )
            .bind(it.delivery.merchant.as_str())
            .bind(&it.delivery.event_id)
            .bind(it.lease)
            .bind(lease_for.as_secs_f64())
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await
    }

    /// The event of that id, whatever came of it; none where it is not kept.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn event(
        &self,
        merchant: &MerchantId,
        event_id: &str,
    ) -> Result<Option<Delivery>, sqlx::Error> {
        let row: Option<Row> = sqlx::query_as(
            "select merchant, event_id, type as event_type, body, sealed, stripe_created, about from webhook_inbox
             where merchant = $1 and event_id = $2",
        )
        .bind(merchant.as_str())
        .bind(event_id)
        .fetch_optional(&self.pool)
        .await?;
        row.map(Delivery::try_from).transpose()
    }

    /// The delivery is dealt with; the first time it is also delivered on to the merchant's endpoints that want its type: both or
    /// neither. It is looked at again after a pause where one is given. False where it is no longer this instance's.
    ///
    /// # Errors
    /// When the database cannot be written: it will be applied again, which changes nothing.
    pub async fn done(
        &self,
        it: &LeasedEvent,
        result: Applied,
        again: Option<Duration>,
    ) -> Result<bool, sqlx::Error> {
        let delivery = &it.delivery;
        let mut transaction = self.pool.begin().await?;
        let first: Option<bool> = sqlx::query_scalar(
            "update webhook_inbox it
             set applied_at = clock_timestamp(), result = $4, attempts = 0, lease = null, leased_until = null,
                 next_at = clock_timestamp() + make_interval(secs => $5)
             from (select applied_at from webhook_inbox where merchant = $1 and event_id = $2 and lease = $3 for update) before
             where merchant = $1 and event_id = $2
             returning before.applied_at is null",
        )
        .bind(delivery.merchant.as_str())
        .bind(&delivery.event_id)
        .bind(it.lease)
        .bind(result.to_string())
        .bind(again.map(|pause| pause.as_secs_f64()))
        .fetch_optional(&mut *transaction)
        .await?;
        let made = if first == Some(true) {
            let (merchant, event_id) = (&delivery.merchant, &delivery.event_id);
            outgoing::fan_out(&mut transaction, merchant, event_id, &delivery.event_type).await?
        } else {
            0
        };
        transaction.commit().await?;
        if made > 0 {
            self.due.notify_one();
        }
        Ok(first.is_some())
    }

    /// The delivery could not be applied. False where it is no longer this instance's.
    ///
    /// # Errors
    /// When the database cannot be written: then it is tried again once its lease is over.
    pub async fn failed(
        &self,
        it: &LeasedEvent,
        why: &str,
        next: Next,
    ) -> Result<bool, sqlx::Error> {
        let pause = match next {
            Next::Again(pause) => Some(pause.as_secs_f64()),
            Next::SetAside => None,
        };
        let mut transaction = self.pool.begin().await?;
        let ours = sqlx::query(
            "update webhook_inbox
             set last_error = $4, lease = null, leased_until = null, next_at = clock_timestamp() + make_interval(secs => $5),
                 set_aside_at = case when $5::double precision is null then clock_timestamp() end
             where merchant = $1 and event_id = $2 and lease = $3",
        )
        .bind(it.delivery.merchant.as_str())
        .bind(&it.delivery.event_id)
        .bind(it.lease)
        .bind(why)
        .bind(pause)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(ours.rows_affected() > 0)
    }

    /// What speaks of this intent and was not known is looked at again now.
    ///
    /// # Errors
    /// When the database cannot be written: then it is looked at when its pause is over, if it has one.
    pub async fn look_again(
        &self,
        merchant: &MerchantId,
        intent: &str,
    ) -> Result<u64, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        let due = sqlx::query(
            "update webhook_inbox set next_at = clock_timestamp()
             where merchant = $1 and about = $2 and result = 'unmatched' and set_aside_at is null",
        )
        .bind(merchant.as_str())
        .bind(intent)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(due.rows_affected())
    }

    /// How many events stand how.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn counts(&self) -> Result<InboxCounts, sqlx::Error> {
        sqlx::query_as(
            "select count(*) filter (where applied_at is null and set_aside_at is null) as waiting,
                 coalesce(extract(epoch from statement_timestamp()
                     - min(received_at) filter (where applied_at is null and set_aside_at is null)), 0)::bigint as oldest_s,
                 count(*) filter (where set_aside_at is not null) as set_aside
             from webhook_inbox where next_at is not null or set_aside_at is not null",
        )
        .fetch_one(&self.pool)
        .await
    }
}

/// SHA-256 of what an event tells: its type, time and data, members in the order of their names. What may differ between two
/// deliveries of one event (how many are pending, which version renders it) is left out.
fn fingerprint(event: &Value) -> Vec<u8> {
    let mut hash = Sha256::new();
    for part in ["type", "created", "data"] {
        take(event.get(part).unwrap_or(&Value::Null), &mut hash);
    }
    hash.finalize().to_vec()
}

fn take(value: &Value, hash: &mut Sha256) {
    match value {
        Value::Object(members) => {
            hash.update(b"{");
            let mut names: Vec<&String> = members.keys().collect();
            names.sort_unstable();
            for name in names {
                hash.update(Value::from(name.as_str()).to_string());
                take(&members[name], hash);
            }
            hash.update(b"}");
        }
        Value::Array(items) => {
            hash.update(b"[");
            for item in items {
                take(item, hash);
                hash.update(b",");
            }
            hash.update(b"]");
        }
        plain => hash.update(plain.to_string()),
    }
}

impl TryFrom<Row> for Delivery {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Self, sqlx::Error> {
        let merchant = row
            .merchant
            .parse()
            .map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        Ok(Self {
            merchant,
            event_id: row.event_id,
            event_type: row.event_type,
            body: row.body,
            sealed: row.sealed,
            stripe_created: row.stripe_created,
            about: row.about,
        })
    }
}

impl TryFrom<LeasedRow> for LeasedEvent {
    type Error = sqlx::Error;

    fn try_from(it: LeasedRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            delivery: it.row.try_into()?,
            received_at: it.received_at,
            attempts: u32::try_from(it.attempts).unwrap_or(0),
            age: Duration::from_millis(u64::try_from(it.age_ms).unwrap_or(0)),
            lease: it.lease,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::fingerprint;
    use serde_json::json;

    #[test]
    fn what_an_event_tells_is_the_same_in_any_order_and_whatever_is_around_it() {
        let event = json!({"id": "evt_1", "type": "x", "created": 1, "data": {"object": {"a": 1, "b": [2, {"c": null}]}}});
        let same = json!({"pending_webhooks": 3, "data": {"object": {"b": [2, {"c": null}], "a": 1}}, "created": 1, "type": "x"});
        assert_eq!(fingerprint(&event), fingerprint(&same));
        for (path, value) in [
            ("/type", json!("y")),
            ("/created", json!(2)),
            ("/data/object/a", json!("1")),
            ("/data/object/b", json!([2])),
            ("/data/object/b/1", json!({})),
        ] {
            let mut other = event.clone();
            *other.pointer_mut(path).unwrap() = value;
            assert_ne!(fingerprint(&event), fingerprint(&other), "{path}");
        }
    }
}
