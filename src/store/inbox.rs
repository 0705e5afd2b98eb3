//! The webhook inbox: what Stripe sent is kept first, acknowledged second, applied third.

use aggregates::ids::MerchantId;
use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgPool;
use std::sync::Arc;
use tokio::sync::Notify;

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
    /// `due` is rung when something is to be delivered on.
    pub fn new(pool: PgPool, due: Arc<Notify>) -> Self {
        Self { pool, due }
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
        rows.into_iter().map(Delivery::try_from).collect()
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
            "select merchant, event_id, type as event_type, body, sealed, stripe_created from webhook_inbox
             where merchant = $1 and event_id = $2",
        )
        .bind(merchant.as_str())
        .bind(event_id)
        .fetch_optional(&self.pool)
        .await?;
        row.map(Delivery::try_from).transpose()
    }

    /// The delivery is dealt with, and is delivered on to the merchant's endpoints that want its type: both or neither.
    ///
    /// # Errors
    /// When the database cannot be written: it will be applied again, which changes nothing.
    pub async fn done(&self, it: &Delivery, result: Applied) -> Result<(), sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        let first = sqlx::query(
            "update webhook_inbox set applied_at = clock_timestamp(), result = $3
             where merchant = $1 and event_id = $2 and applied_at is null",
        )
        .bind(it.merchant.as_str())
        .bind(&it.event_id)
        .bind(result.to_string())
        .execute(&mut *transaction)
        .await?
        .rows_affected()
            > 0;
        let made = if first {
            outgoing::fan_out(&mut transaction, &it.merchant, &it.event_id, &it.event_type).await?
        } else {
            0
        };
        transaction.commit().await?;
        if made > 0 {
            self.due.notify_one();
        }
        Ok(())
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
        })
    }
}
