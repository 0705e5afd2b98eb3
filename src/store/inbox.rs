//! The webhook inbox: what Stripe sent is kept first, acknowledged second, applied third.

use aggregates::ids::MerchantId;
use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgPool;

/// The inbox of all merchants.
pub struct Inbox {
    pool: PgPool,
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
}

#[derive(sqlx::FromRow)]
struct Row {
    merchant: String,
    event_id: String,
    event_type: String,
    body: Value,
    sealed: Option<Value>,
    stripe_created: DateTime<Utc>,
}

/// What came of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display)]
#[strum(serialize_all = "snake_case")]
pub enum Applied {
    /// It went through the payment it speaks of.
    Applied,
    /// It speaks of no payment of ours.
    Unmatched,
    /// Its type says nothing that we record.
    Skipped,
}

impl Inbox {
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// Keeps the delivery durably. True when it is new; a repeat is only counted.
    ///
    /// # Errors
    /// When the database cannot be written: the delivery must not be acknowledged.
    pub async fn keep(&self, it: &Delivery) -> Result<bool, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        let new: bool = sqlx::query_scalar(
            "insert into webhook_inbox as inbox (merchant, event_id, type, body, sealed, stripe_created)
             values ($1, $2, $3, $4, $5, $6)
             on conflict (merchant, event_id) do update set repeats = inbox.repeats + 1
             returning repeats = 0",
        )
        .bind(it.merchant.as_str())
        .bind(&it.event_id)
        .bind(&it.event_type)
        .bind(&it.body)
        .bind(&it.sealed)
        .bind(it.stripe_created)
        .fetch_one(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(new)
    }

    /// Deliveries that wait to be applied, oldest first; those that failed often wait longer.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn waiting(&self, limit: i64) -> Result<Vec<Delivery>, sqlx::Error> {
        let rows: Vec<Row> = sqlx::query_as(
            "select merchant, event_id, type as event_type, body, sealed, stripe_created from webhook_inbox
             where applied_at is null
               and received_at + make_interval(secs => least(3600, power(2, least(attempts, 12)) - 1)) <= clock_timestamp()
             order by received_at limit $1",
        )
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                let merchant = row
                    .merchant
                    .parse()
                    .map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
                let Row {
                    event_id,
                    event_type,
                    body,
                    sealed,
                    stripe_created,
                    ..
                } = row;
                Ok(Delivery {
                    merchant,
                    event_id,
                    event_type,
                    body,
                    sealed,
                    stripe_created,
                })
            })
            .collect()
    }

    /// The delivery is dealt with.
    ///
    /// # Errors
    /// When the database cannot be written: it will be applied again, which changes nothing.
    pub async fn done(&self, it: &Delivery, result: Applied) -> Result<(), sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query(
            "update webhook_inbox set applied_at = clock_timestamp(), result = $3
             where merchant = $1 and event_id = $2 and applied_at is null",
        )
        .bind(it.merchant.as_str())
        .bind(&it.event_id)
        .bind(result.to_string())
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await
    }

    /// The delivery could not be applied; it waits for its next turn.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn failed(&self, it: &Delivery, why: &str) -> Result<(), sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query(
            "update webhook_inbox set attempts = attempts + 1, last_error = $3 where merchant = $1 and event_id = $2",
        )
        .bind(it.merchant.as_str())
        .bind(&it.event_id)
        .bind(why)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await
    }
}
