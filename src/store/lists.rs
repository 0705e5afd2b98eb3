//! Lists of what is kept, page by page, from the rows that the append folds. Each is in the order of its ids, which never
//! change: a page that is asked for again after something was added or changed misses nothing that was there before.

use aggregates::ids::{ArticleId, MerchantId, OfferId, OrderId, PaymentId};
use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgPool, Postgres, QueryBuilder};
use uuid::Uuid;

use super::{Store, Trouble};
pub use projections::books::Span;

/// Which orders are asked for.
#[derive(Debug, Clone, Default)]
pub struct OrderFilter {
    /// Orders of these names alone.
    pub ids: Option<Vec<OrderId>>,
    pub source: Option<String>,
    pub status: Option<String>,
    pub customer: Option<String>,
}

/// An order in a list.
#[derive(Debug, Clone, FromRow)]
pub struct OrderRow {
    pub order_id: Uuid,
    pub source: String,
    pub reference: String,
    pub number: Option<String>,
    pub customer: Option<String>,
    pub status: String,
    pub currency: String,
    pub total_minor: i64,
    pub live_payment: Option<Uuid>,
    pub paid_by: Option<Uuid>,
    /// Money that came and does not pay it.
    pub mispaid_minor: i64,
    pub version: i64,
    pub created_at: DateTime<Utc>,
}

/// Which payments are asked for.
#[derive(Debug, Clone, Default)]
pub struct PaymentFilter {
    pub status: Option<String>,
    pub order: Option<OrderId>,
    /// When its first event was recorded.
    pub created: Span,
}

/// A payment in a list.
#[derive(Debug, Clone, FromRow)]
pub struct PaymentRow {
    pub payment_id: Uuid,
    pub order_id: Option<Uuid>,
    pub intent: Option<String>,
    pub status: String,
    pub currency: String,
    pub amount_minor: i64,
    pub captured_minor: i64,
    pub refunded_minor: i64,
    /// Whether Stripe has still to answer something about it.
    pub outcome_unknown: bool,
    pub version: i64,
    pub created_at: DateTime<Utc>,
}

/// Which offers are asked for.
#[derive(Debug, Clone, Default)]
pub struct OfferFilter {
    pub withdrawn: Option<bool>,
}

/// An offer in a list.
#[derive(Debug, Clone, FromRow)]
pub struct OfferRow {
    pub offer_id: Uuid,
    pub number: String,
    pub currency: String,
    pub products: i64,
    pub selected: i64,
    pub expires_at: Option<DateTime<Utc>>,
    pub withdrawn: bool,
    pub version: i64,
    pub created_at: DateTime<Utc>,
}

/// An article in a list.
#[derive(Debug, Clone, FromRow)]
pub struct ArticleRow {
    pub article_id: Uuid,
    pub company: String,
    pub number: i64,
    pub name: String,
    pub currency: String,
    pub price_minor: i64,
    pub version: i64,
    pub created_at: DateTime<Utc>,
}

/// A page of a list, and whether there are more after it.
#[derive(Debug, Clone)]
pub struct Found<T> {
    pub items: Vec<T>,
    pub has_more: bool,
}

/// When the first event of the row's aggregate was recorded.
const CREATED: &str = "select recorded_at from events where aggregate_type = ";

impl Store {
    /// At most `limit` orders, by id.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn orders(
        &self,
        merchant: &MerchantId,
        filter: &OrderFilter,
        after: Option<OrderId>,
        limit: i64,
    ) -> Result<Found<OrderRow>, Trouble> {
        let mut sql = select(
            "order_id, source, reference, number, customer, status, currency, total_minor, live_payment, paid_by, mispaid_minor, version",
            ("orders", "order", "order_id"),
            merchant,
        );
        if let Some(ids) = &filter.ids {
            let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
            sql.push(" and order_id = any(").push_bind(ids).push(")");
        }
        only(&mut sql, "source", filter.source.as_deref());
        only(&mut sql, "status", filter.status.as_deref());
        only(&mut sql, "customer", filter.customer.as_deref());
        if let Some(after) = after {
            sql.push(" and order_id > ").push_bind(after.uuid());
        }
        Ok(page(self.pool(), sql, "order_id", limit).await?)
    }

    /// At most `limit` payments, newest first; those that were taken over from Stripe, whose ids hold no time, stand anywhere
    /// among them.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn payments(
        &self,
        merchant: &MerchantId,
        filter: &PaymentFilter,
        after: Option<PaymentId>,
        limit: i64,
    ) -> Result<Found<PaymentRow>, Trouble> {
        let mut sql = QueryBuilder::new(
            "select payment_id, order_id, intent, status, currency, amount_minor, captured_minor, refunded_minor, \
             pending_intention is not null as outcome_unknown, version, created_at from payments where merchant = ",
        );
        sql.push_bind(merchant.as_str());
        only(&mut sql, "status", filter.status.as_deref());
        if let Some(order) = filter.order {
            sql.push(" and order_id = ").push_bind(order.uuid());
        }
        if let Some(from) = filter.created.from {
            sql.push(" and created_at >= ").push_bind(from);
        }
        if let Some(before) = filter.created.before {
            sql.push(" and created_at < ").push_bind(before);
        }
        if let Some(after) = after {
            sql.push(" and payment_id < ").push_bind(after.uuid());
        }
        Ok(page(self.pool(), sql, "payment_id desc", limit).await?)
    }

    /// At most `limit` offers, by id.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn offers(
        &self,
        merchant: &MerchantId,
        filter: &OfferFilter,
        after: Option<OfferId>,
        limit: i64,
    ) -> Result<Found<OfferRow>, Trouble> {
        let mut sql = select(
            "offer_id, number, currency, products, selected, expires_at, withdrawn, version",
            ("offers", "offer", "offer_id"),
            merchant,
        );
        if let Some(withdrawn) = filter.withdrawn {
            sql.push(" and withdrawn = ").push_bind(withdrawn);
        }
        if let Some(after) = after {
            sql.push(" and offer_id > ").push_bind(after.uuid());
        }
        Ok(page(self.pool(), sql, "offer_id", limit).await?)
    }

    /// At most `limit` articles, of one company or of all, by id.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn articles(
        &self,
        merchant: &MerchantId,
        company: Option<&str>,
        after: Option<ArticleId>,
        limit: i64,
    ) -> Result<Found<ArticleRow>, Trouble> {
        let mut sql = select(
            "article_id, company, number, name, currency, price_minor, version",
            ("articles", "article", "article_id"),
            merchant,
        );
        only(&mut sql, "company", company);
        if let Some(after) = after {
            sql.push(" and article_id > ").push_bind(after.uuid());
        }
        Ok(page(self.pool(), sql, "article_id", limit).await?)
    }
}

/// At most `limit` of the rows, in this order, and whether there are more.
///
/// # Errors
/// When they cannot be read.
pub(super) async fn page<T>(
    pool: &PgPool,
    mut sql: QueryBuilder<'_, Postgres>,
    order: &str,
    limit: i64,
) -> Result<Found<T>, sqlx::Error>
where
    T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    sql.push(format!(" order by {order} limit "));
    sql.push_bind(limit.saturating_add(1));
    let mut items: Vec<T> = sql.build_query_as().fetch_all(pool).await?;
    let limit = usize::try_from(limit).unwrap_or(0);
    let has_more = items.len() > limit;
    items.truncate(limit);
    Ok(Found { items, has_more })
}

/// The rows of one merchant, each with the moment it began.
fn select<'a>(
    columns: &str,
    (table, kind, id): (&str, &str, &str),
    merchant: &'a MerchantId,
) -> QueryBuilder<'a, Postgres> {
    let mut sql = QueryBuilder::new(format!(
        "select {columns}, created_at from {table} as row, lateral ({CREATED} '{kind}' \
         and aggregate_id = row.merchant || '/' || row.{id} and sequence = 1) as begun (created_at) where row.merchant = "
    ));
    sql.push_bind(merchant.as_str());
    sql
}

fn only<'a>(sql: &mut QueryBuilder<'a, Postgres>, column: &str, value: Option<&'a str>) {
    if let Some(value) = value {
        sql.push(format!(" and {column} = ")).push_bind(value);
    }
}
