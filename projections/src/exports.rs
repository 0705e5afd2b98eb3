//! The books as they leave the house: every line of the journal, or what each account came to, of one snapshot of the database and
//! in constant memory, whatever their size.

use crate::books::{AsOf, BooksError, Scope, Span, known, scope, standing};
use crate::entries::PostedBy;
use crate::lives::{Subject, life};
use crate::moments;
use crate::periods::{self, Total};
use aggregates::books::{Books, Chart, Month};
use aggregates::ids::{MerchantId, OrderId, books_aggregate_id};
use aggregates::ledger::Account;
use aggregates::money::Currency;
use chrono::{DateTime, TimeDelta, Utc};
use cqrs_es::Aggregate;
use eventstore::{BoxError, Recorded, read_streams};
use sqlx::postgres::{PgArguments, PgPool};
use sqlx::query::QueryScalar;
use sqlx::{PgConnection, Postgres, Transaction};
use std::sync::Arc;
use uuid::Uuid;

/// How many lines are held in memory.
const AT_ONCE: usize = 1000;

/// The whole of it shows the database at one moment. Who takes the lines slower than that keeps the database from tidying up, and
/// is cut off.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
                     SET LOCAL idle_in_transaction_session_timeout = '60s'; SET LOCAL statement_timeout = '120s'";

/// Which lines of the journal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JournalFilter {
    pub account: Option<Account>,
    pub currency: Option<Currency>,
    /// The month that they are posted in.
    pub period: Option<Month>,
    /// What was told of this order, its payments, and what Stripe booked for them.
    pub order: Option<OrderId>,
    pub recorded: Span,
    pub effective: Span,
}

/// Which events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// What was told of this order, its payments, and what Stripe booked for them.
    pub order: Option<OrderId>,
    pub recorded: Span,
}

/// Which accounts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TotalsFilter {
    pub account: Option<Account>,
    pub currency: Option<Currency>,
    /// What moved in this month, after what all months before came to; of all time unless named.
    pub period: Option<Month>,
}

/// Why nothing is exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error(transparent)]
    Books(#[from] BooksError),
    /// There is no such order, or there was none by then.
    #[error("no such order")]
    NoSuchOrder,
    /// What is recorded cannot be read.
    #[error(transparent)]
    Unreadable(BoxError),
}

/// A line of the journal with the event that posted it, in minor units.
#[derive(Debug, Clone, PartialEq)]
pub struct JournalLine {
    pub ledger_position: i64,
    pub entry: i32,
    pub line: i32,
    pub recorded_at: DateTime<Utc>,
    pub effective_at: DateTime<Utc>,
    pub period: String,
    pub account: Account,
    pub currency: Currency,
    pub debit_minor: i64,
    pub credit_minor: i64,
    pub event: Arc<PostedBy>,
}

#[derive(sqlx::FromRow)]
struct Row {
    ledger_position: i64,
    entry: i32,
    line: i32,
    recorded_at: DateTime<Utc>,
    effective_at: DateTime<Utc>,
    period: String,
    account: String,
    currency: String,
    debit_minor: i64,
    credit_minor: i64,
    event_id: Uuid,
    event_type: String,
    aggregate_type: String,
    aggregate_id: String,
    payload: String,
    metadata: String,
}

/// What is asked of the journal, by the numbers of its parameters.
const ASKED: &str = "j.merchant = $1 AND j.ledger_position <= $2 AND ($3::timestamptz IS NULL OR j.effective_at <= $3) \
     AND ($4::text IS NULL OR j.account = $4) AND ($5::text IS NULL OR j.currency = $5) AND ($6::text IS NULL OR j.period = $6) \
     AND ($7::timestamptz IS NULL OR j.recorded_at >= $7) AND ($8::timestamptz IS NULL OR j.recorded_at < $8) \
     AND ($9::timestamptz IS NULL OR j.effective_at >= $9) AND ($10::timestamptz IS NULL OR j.effective_at < $10) \
     AND ($11::bigint[] IS NULL OR j.ledger_position = ANY($11))";

/// The parameters of [`ASKED`].
struct Asked<'a> {
    merchant: &'a MerchantId,
    scope: &'a Scope,
    filter: JournalFilter,
    positions: Option<Vec<i64>>,
}

macro_rules! bound {
    ($query:expr, $it:expr) => {
        $query
            .bind($it.merchant.as_str())
            .bind($it.scope.ledger_position)
            .bind($it.scope.effective)
            .bind($it.filter.account.map(Account::as_str))
            .bind($it.filter.currency.map(|it| it.code()))
            .bind($it.filter.period.map(|it| it.to_string()))
            .bind($it.filter.recorded.from)
            .bind($it.filter.recorded.before)
            .bind($it.filter.effective.from)
            .bind($it.filter.effective.before)
            .bind($it.positions.clone())
            .persistent(false)
    };
}

/// Lines of the journal that are being read. The snapshot ends with it.
pub struct JournalLines {
    transaction: Transaction<'static, Postgres>,
    /// The last position of the ledger that is in it.
    pub ledger_position: i64,
    /// How many lines there are.
    pub rows: i64,
    /// Of the last line: most entries have several.
    last: Option<Arc<PostedBy>>,
}

impl JournalLines {
    /// Opens them, in the order in which they were recorded.
    ///
    /// # Errors
    /// [`ExportError`].
    pub async fn open(
        pool: &PgPool,
        merchant: &MerchantId,
        filter: JournalFilter,
        as_of: AsOf,
    ) -> Result<Self, ExportError> {
        let begun = pool.begin_with(BEGIN).await;
        let mut transaction = begun.map_err(BooksError::from)?;
        let scope = scope(&mut transaction, merchant, as_of).await?;
        scope.has_begun(filter.period)?;
        let standing = standing(&mut transaction, merchant).await?;
        standing.covers_span(filter.recorded)?;
        standing.has_come_to(filter.effective)?;
        let positions = match filter.order {
            Some(order) => {
                let upto = scope.ledger_position;
                let told = of_order(&mut transaction, merchant, order, upto).await?;
                Some(told.iter().map(|it| it.ledger_position).collect())
            }
            None => None,
        };
        let asked = Asked {
            merchant,
            scope: &scope,
            filter,
            positions,
        };
        let rows = asked.declared(&mut transaction).await;
        Ok(Self {
            rows: rows.map_err(BooksError::from)?,
            ledger_position: scope.ledger_position,
            transaction,
            last: None,
        })
    }

    /// The next lines; none at the end.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn next(&mut self) -> Result<Vec<JournalLine>, sqlx::Error> {
        let sql = format!("FETCH FORWARD {AT_ONCE} FROM exported");
        let rows: Vec<Row> = sqlx::query_as(&sql)
            .persistent(false)
            .fetch_all(&mut *self.transaction)
            .await?;
        rows.into_iter().map(|row| self.line(row)).collect()
    }

    /// What the merchant's own books called our accounts then.
    ///
    /// # Errors
    /// [`ExportError`].
    pub async fn chart(&mut self, merchant: &MerchantId) -> Result<Chart, ExportError> {
        chart(&mut self.transaction, merchant, self.ledger_position).await
    }

    fn line(&mut self, row: Row) -> Result<JournalLine, sqlx::Error> {
        let event = match &self.last {
            Some(last) if last.event_id == row.event_id => Arc::clone(last),
            _ => Arc::new(PostedBy::read(
                row.event_id,
                row.event_type,
                (row.aggregate_type, &row.aggregate_id),
                (&row.payload, &row.metadata),
            )?),
        };
        self.last = Some(Arc::clone(&event));
        Ok(JournalLine {
            ledger_position: row.ledger_position,
            entry: row.entry,
            line: row.line,
            recorded_at: row.recorded_at,
            effective_at: row.effective_at,
            period: row.period,
            account: known(&row.account)?,
            currency: known(&row.currency)?,
            debit_minor: row.debit_minor,
            credit_minor: row.credit_minor,
            event,
        })
    }
}

impl Asked<'_> {
    /// Counts the lines, and puts the cursor `exported` before the first.
    async fn declared(&self, connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
        let sql = format!("SELECT count(*) FROM journal j WHERE {ASKED}");
        let count: QueryScalar<'_, Postgres, i64, PgArguments> = sqlx::query_scalar(&sql);
        let count = bound!(count, self).fetch_one(&mut *connection).await?;
        let sql = format!(
            "DECLARE exported NO SCROLL CURSOR FOR \
             SELECT j.ledger_position, j.entry, j.line, j.recorded_at, j.effective_at, j.period, j.account, j.currency, \
                    j.debit_minor, j.credit_minor, e.event_id, e.event_type, e.aggregate_type, e.aggregate_id, \
                    e.payload::text AS payload, e.metadata::text AS metadata \
             FROM journal j JOIN events e ON e.ledger = j.merchant AND e.ledger_position = j.ledger_position \
             WHERE {ASKED} ORDER BY j.ledger_position, j.entry, j.line"
        );
        bound!(sqlx::query(&sql), self).execute(connection).await?;
        Ok(count)
    }
}

/// What each account came to, as far as it is asked for, and what the merchant's own books called it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Totals {
    /// The last position of the ledger that is in it.
    pub ledger_position: i64,
    pub totals: Vec<Total>,
    pub chart: Chart,
}

/// Reads them.
///
/// # Errors
/// [`ExportError`].
pub async fn totals(
    pool: &PgPool,
    merchant: &MerchantId,
    filter: TotalsFilter,
    as_of: AsOf,
) -> Result<Totals, ExportError> {
    let begun = pool.begin_with(BEGIN).await;
    let mut transaction = begun.map_err(BooksError::from)?;
    let scope = scope(&mut transaction, merchant, as_of).await?;
    scope.has_begun(filter.period)?;
    let mut totals = periods::totals(&mut transaction, merchant, filter.period, &scope)
        .await
        .map_err(BooksError::from)?;
    totals.retain(|it| {
        filter.account.is_none_or(|account| account == it.account)
            && filter
                .currency
                .is_none_or(|currency| currency == it.currency)
    });
    let chart = chart(&mut transaction, merchant, scope.ledger_position).await?;
    Ok(Totals {
        ledger_position: scope.ledger_position,
        totals,
        chart,
    })
}

/// Which positions of a ledger were recorded in a span of time, of those up to a point of it: after the one, up to the other.
///
/// # Errors
/// [`BooksError`]: an effective time is none of an event's.
pub async fn positions(
    connection: &mut PgConnection,
    merchant: &MerchantId,
    recorded: Span,
    as_of: AsOf,
) -> Result<(i64, i64), BooksError> {
    if matches!(as_of, AsOf::Effective(_)) {
        return Err(BooksError::NoEffectiveTime);
    }
    let standing = standing(connection, merchant).await?;
    standing.covers_span(recorded)?;
    let upto = standing.position(connection, merchant, as_of).await?;
    let mut last_before = async |moment: DateTime<Utc>| {
        let by = moment.checked_sub_signed(TimeDelta::microseconds(1));
        let by = by.unwrap_or(DateTime::<Utc>::MIN_UTC);
        moments::last_by(connection, merchant, upto, by).await
    };
    let after = match recorded.from {
        Some(from) => last_before(from).await?,
        None => 0,
    };
    let last = match recorded.before {
        Some(before) => last_before(before).await?,
        None => upto,
    };
    Ok((after, last))
}

/// What was told of an order, its payments, and what Stripe booked for them, as far as a position of the ledger.
///
/// # Errors
/// [`ExportError::NoSuchOrder`], also where it had not been placed by then.
pub async fn of_order(
    connection: &mut PgConnection,
    merchant: &MerchantId,
    order: OrderId,
    upto: i64,
) -> Result<Vec<Recorded>, ExportError> {
    let told = life(connection, merchant, Subject::Order(order), upto).await;
    let told = told.map_err(ExportError::Unreadable)?;
    if told.is_empty() {
        return Err(ExportError::NoSuchOrder);
    }
    Ok(told)
}

/// What a merchant's own books called our accounts at a position of the ledger.
///
/// # Errors
/// [`ExportError::Unreadable`].
pub async fn chart(
    connection: &mut PgConnection,
    merchant: &MerchantId,
    upto: i64,
) -> Result<Chart, ExportError> {
    let ids = [books_aggregate_id(merchant)];
    let unreadable = |error: BoxError| ExportError::Unreadable(error);
    let told = read_streams(connection, Books::TYPE, &ids, upto).await;
    let mut books = Books::default();
    for it in told.map_err(|error| unreadable(error.into()))? {
        let fact = it.payload_as().map_err(|error| unreadable(error.into()))?;
        books.apply(&fact);
    }
    Ok(books.chart().clone())
}
