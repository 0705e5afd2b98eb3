//! The inbox as people see it, and what they may do about it.

use aggregates::ids::MerchantId;
use chrono::{DateTime, Utc};
use serde_json::Value;

use super::Inbox;

/// An event in the inbox.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct InboxRow {
    pub merchant: String,
    pub event_id: String,
    pub event_type: String,
    pub about: Option<String>,
    /// `waiting`, `set_aside`, `applied`, `unmatched` or `skipped`.
    pub state: String,
    pub polled: bool,
    pub stripe_created: DateTime<Utc>,
    pub received_at: DateTime<Utc>,
    /// Webhooks that brought it again.
    pub repeats: i32,
    /// Webhooks under its id that told something else.
    pub contradictions: i32,
    /// Failures in a row.
    pub attempts: i32,
    pub last_error: Option<String>,
    /// When it is looked at next; none where nothing more is done by itself.
    pub next_at: Option<DateTime<Utc>>,
    /// The event, without secrets and personal data.
    pub body: Value,
}

/// Which events are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InboxFilter {
    /// What is set aside, and what has failed and is tried again.
    Troubled,
    /// What speaks of nothing that is known here.
    Unmatched,
    All,
}

/// How many events a list shows, the latest.
const SHOWN_MAX: i64 = 1000;

const SHOWN: &str = "merchant, event_id, type as event_type, about, polled, stripe_created, received_at, repeats, contradictions,
    attempts, last_error, next_at, body,
    case when set_aside_at is not null then 'set_aside' else coalesce(result, 'waiting') end as state";

impl Inbox {
    /// The latest events that the filter lets through, newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn list(
        &self,
        merchant: Option<&MerchantId>,
        filter: InboxFilter,
    ) -> Result<Vec<InboxRow>, sqlx::Error> {
        let which = match filter {
            InboxFilter::Troubled => {
                "(set_aside_at is not null or (next_at is not null and last_error is not null and attempts > 0))"
            }
            InboxFilter::Unmatched => "result = 'unmatched'",
            InboxFilter::All => "true",
        };
        let sql = format!(
            "select {SHOWN} from webhook_inbox where {which} and ($1::text is null or merchant = $1)
             order by received_at desc, event_id limit $2"
        );
        sqlx::query_as(&sql)
            .bind(merchant.map(MerchantId::as_str))
            .bind(SHOWN_MAX)
            .fetch_all(self.pool())
            .await
    }

    /// The events of this id: of one merchant, or of all that have one.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn shown(
        &self,
        merchant: Option<&MerchantId>,
        event_id: &str,
    ) -> Result<Vec<InboxRow>, sqlx::Error> {
        let sql = format!(
            "select {SHOWN} from webhook_inbox where event_id = $2 and ($1::text is null or merchant = $1) order by merchant"
        );
        sqlx::query_as(&sql)
            .bind(merchant.map(MerchantId::as_str))
            .bind(event_id)
            .fetch_all(self.pool())
            .await
    }

    /// Has what is set aside or unmatched tried again, now and with new patience: the events of this id, or all that are set
    /// aside. Answers how many those are.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn retry(
        &self,
        merchant: Option<&MerchantId>,
        event_id: Option<&str>,
    ) -> Result<u64, sqlx::Error> {
        let mut transaction = self.pool().begin().await?;
        let due = sqlx::query(
            "update webhook_inbox
             set set_aside_at = null, next_at = clock_timestamp(), attempts = 0
             where (set_aside_at is not null or ($2::text is not null and (result = 'unmatched' or result is null)))
               and ($1::text is null or merchant = $1) and ($2::text is null or event_id = $2)",
        )
        .bind(merchant.map(MerchantId::as_str))
        .bind(event_id)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(due.rows_affected())
    }
}
