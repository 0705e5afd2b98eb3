//! Months of the books: what each account opened with, what moved on it, and up to which month nothing moves any more.

use crate::books::{AsOf, BooksError, Scope, known, scope};
use aggregates::books::{Books, BooksEvent, Month};
use aggregates::ids::{MerchantId, books_aggregate_id};
use aggregates::ledger::Account;
use aggregates::money::Currency;
use chrono::{DateTime, Utc};
use cqrs_es::Aggregate;
use sqlx::PgConnection;
use std::collections::BTreeMap;

/// What a month came to on one account, in minor units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Total {
    pub account: Account,
    pub currency: Currency,
    /// Debits less credits of all months before.
    pub opening_minor: i64,
    pub debit_minor: i64,
    pub credit_minor: i64,
}

impl Total {
    /// Debits less credits, this month included.
    pub fn closing_minor(&self) -> i64 {
        let moved = self.debit_minor.saturating_sub(self.credit_minor);
        self.opening_minor.saturating_add(moved)
    }
}

/// A month of the books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Period {
    pub month: Month,
    /// The last position of the ledger that is in it.
    pub ledger_position: i64,
    /// The closing that it is covered by, as of then.
    pub closed: Option<Closing>,
    pub totals: Vec<Total>,
}

/// A closing of the books: who, when, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closing {
    pub through: Month,
    pub ledger_position: i64,
    pub recorded_at: DateTime<Utc>,
    pub by: Option<String>,
    pub because: Option<String>,
}

/// The closings of a merchant's books, oldest first.
///
/// # Errors
/// When the database cannot be read.
pub async fn closings(
    connection: &mut PgConnection,
    merchant: &MerchantId,
) -> Result<Vec<Closing>, sqlx::Error> {
    let rows: Vec<(i64, DateTime<Utc>, String, String)> = sqlx::query_as(
        "select ledger_position, recorded_at, payload::text, metadata::text from events
         where aggregate_type = $1 and aggregate_id = $2 order by sequence",
    )
    .bind(Books::TYPE)
    .bind(books_aggregate_id(merchant))
    .fetch_all(connection)
    .await?;
    let unreadable = |error: serde_json::Error| sqlx::Error::Decode(Box::new(error));
    let mut closings = Vec::new();
    for (ledger_position, recorded_at, payload, metadata) in rows {
        let fact: BooksEvent = serde_json::from_str(&payload).map_err(unreadable)?;
        let BooksEvent::PeriodClosed { through, .. } = fact else {
            continue;
        };
        let mut metadata: BTreeMap<String, String> =
            serde_json::from_str(&metadata).map_err(unreadable)?;
        closings.push(Closing {
            through,
            ledger_position,
            recorded_at,
            by: metadata.remove("actor"),
            because: metadata.remove("reason"),
        });
    }
    Ok(closings)
}

/// What a month came to, on every account that was touched in it or before.
///
/// # Errors
/// [`BooksError`].
pub async fn period(
    connection: &mut PgConnection,
    merchant: &MerchantId,
    month: Month,
    as_of: AsOf,
) -> Result<Period, BooksError> {
    let scope = scope(connection, merchant, as_of).await?;
    scope.has_begun(Some(month))?;
    let totals = totals(connection, merchant, Some(month), &scope).await?;
    // What is told of now is told of a closing that the journal has not come to yet.
    let until = match as_of {
        AsOf::Now | AsOf::Effective(_) => i64::MAX,
        AsOf::Position(_) | AsOf::Recorded(_) => scope.ledger_position,
    };
    let covers = |it: &Closing| it.through >= month && it.ledger_position <= until;
    let closings = closings(connection, merchant).await?;
    Ok(Period {
        month,
        ledger_position: scope.ledger_position,
        closed: closings.into_iter().find(covers),
        totals,
    })
}

/// What every account came to that was touched in a month or before; of all time where no month is named.
pub(crate) async fn totals(
    connection: &mut PgConnection,
    merchant: &MerchantId,
    month: Option<Month>,
    scope: &Scope,
) -> Result<Vec<Total>, sqlx::Error> {
    let rows: Vec<(String, String, i64, i64, i64)> = sqlx::query_as(
        "select account, currency, coalesce(sum(debit_minor - credit_minor) filter (where period < $2), 0)::bigint,
                coalesce(sum(debit_minor) filter (where $2::text is null or period = $2), 0)::bigint,
                coalesce(sum(credit_minor) filter (where $2::text is null or period = $2), 0)::bigint
         from journal where merchant = $1 and ($2::text is null or period <= $2) and ledger_position <= $3
           and ($4::timestamptz is null or effective_at <= $4)
         group by account, currency order by account, currency",
    )
    .bind(merchant.as_str())
    .bind(month.map(|it| it.to_string()))
    .bind(scope.ledger_position)
    .bind(scope.effective)
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(
            |(account, currency, opening_minor, debit_minor, credit_minor)| {
                Ok(Total {
                    account: known(&account)?,
                    currency: known(&currency)?,
                    opening_minor,
                    debit_minor,
                    credit_minor,
                })
            },
        )
        .collect()
}
