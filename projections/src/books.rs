//! The books as they stood: balances, the trial balance and an account's statement, at any recorded position or time, or by
//! when things happened. All of it is read from the [`journal`], in the caller's one transaction.

use crate::{journal, moments};
use aggregates::books::Month;
use aggregates::ids::MerchantId;
use aggregates::ledger::Account;
use aggregates::money::Currency;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// From where the books are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// As far as the journal has come.
    Now,
    /// After the event at this position of the merchant's ledger.
    Position(i64),
    /// With all that was recorded by then.
    Recorded(DateTime<Utc>),
    /// With all that had happened by then, by what is known now.
    Effective(DateTime<Utc>),
}

/// Why the books cannot be shown as of then: never an empty list where history is missing.
#[derive(Debug, thiserror::Error)]
pub enum BooksError {
    #[error("the ledger ends at position {head}")]
    AheadOfLedger { head: i64 },
    #[error("that is still to come: it is {now} now")]
    InTheFuture { now: DateTime<Utc> },
    #[error("the ledger begins after that")]
    BeforeTheBeginning,
    #[error("{month} has not begun: it is {now} now")]
    MonthToCome { month: Month, now: DateTime<Utc> },
    #[error("the time from which is not before the time until which")]
    Reversed,
    #[error("events have a time of record alone")]
    NoEffectiveTime,
    /// The event is recorded and its entries are not in the journal yet; they will be in a moment.
    #[error("the journal has come to position {position} only")]
    CatchingUp { position: i64 },
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// The text says neither where nor when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "neither a position of the ledger nor a time such as 2026-11-21T08:00:00Z (effective times are times)"
)]
pub struct NotAPoint;

/// What an account was debited and credited in all, in one currency, in minor units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balance {
    pub account: Account,
    pub currency: Currency,
    pub debit_minor: i64,
    pub credit_minor: i64,
}

impl Balance {
    /// Debits less credits, in minor units.
    pub fn minor(&self) -> i64 {
        self.debit_minor.saturating_sub(self.credit_minor)
    }
}

/// All accounts, as they stood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balances {
    /// The last position of the ledger that is in it.
    pub ledger_position: i64,
    pub balances: Vec<Balance>,
}

/// The sums of one currency over all accounts. They are equal, or the books are broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrialBalance {
    pub currency: Currency,
    pub debit_minor: i128,
    pub credit_minor: i128,
}

/// A line's place in the journal: where the next page of a statement begins after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    ledger_position: i64,
    entry: i32,
    line: i32,
}

/// The text is no place in a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of a statement")]
pub struct BadCursor;

/// A line of an account's statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementLine {
    pub at: Cursor,
    pub debit_minor: i64,
    pub credit_minor: i64,
    /// Debits less credits, this line included.
    pub balance_minor: i64,
    pub recorded_at: DateTime<Utc>,
    pub effective_at: DateTime<Utc>,
}

/// A page of an account's statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The last position of the ledger that the whole statement goes up to.
    pub ledger_position: i64,
    /// Debits less credits before the first line of the page.
    pub opening_minor: i64,
    pub lines: Vec<StatementLine>,
    /// Where the next page begins after; none at the end.
    pub next: Option<Cursor>,
}

/// What of the journal is looked at.
pub(crate) struct Scope {
    pub ledger_position: i64,
    pub effective: Option<DateTime<Utc>>,
    pub now: DateTime<Utc>,
}

impl Scope {
    /// Of a month to come there is nothing to be told, not even that it is empty.
    pub(crate) fn has_begun(&self, month: Option<Month>) -> Result<(), BooksError> {
        match month {
            Some(month) if month > Month::of(self.now) => Err(BooksError::MonthToCome {
                month,
                now: self.now,
            }),
            _ => Ok(()),
        }
    }
}

/// Every account that was ever touched, in each of its currencies, as it stood.
///
/// # Errors
/// [`BooksError`].
pub async fn balances(
    connection: &mut PgConnection,
    merchant: &MerchantId,
    as_of: AsOf,
) -> Result<Balances, BooksError> {
    let scope = scope(connection, merchant, as_of).await?;
    let rows: Vec<(String, String, i64, i64)> = sqlx::query_as(
        "select account, currency, sum(debit_minor)::bigint, sum(credit_minor)::bigint from journal
         where merchant = $1 and ledger_position <= $2 and ($3::timestamptz is null or effective_at <= $3)
         group by account, currency order by account, currency",
    )
    .bind(merchant.as_str())
    .bind(scope.ledger_position)
    .bind(scope.effective)
    .fetch_all(connection)
    .await?;
    let balances: Result<Vec<Balance>, sqlx::Error> = rows
        .into_iter()
        .map(|(account, currency, debit_minor, credit_minor)| {
            Ok(Balance {
                account: known(&account)?,
                currency: known(&currency)?,
                debit_minor,
                credit_minor,
            })
        })
        .collect();
    Ok(Balances {
        ledger_position: scope.ledger_position,
        balances: balances?,
    })
}

impl Balances {
    /// The sums over all accounts, by currency.
    pub fn trial_balance(&self) -> Vec<TrialBalance> {
        let mut sums: BTreeMap<Currency, (i128, i128)> = BTreeMap::new();
        for it in &self.balances {
            let (debit, credit) = sums.entry(it.currency).or_default();
            *debit += i128::from(it.debit_minor);
            *credit += i128::from(it.credit_minor);
        }
        let of_currency = |(currency, (debit_minor, credit_minor))| TrialBalance {
            currency,
            debit_minor,
            credit_minor,
        };
        sums.into_iter().map(of_currency).collect()
    }

    /// Debits less credits of an account in one currency; zero where it was never touched.
    pub fn of(&self, account: Account, currency: Currency) -> i64 {
        let mut balances = self.balances.iter();
        let found = balances.find(|it| it.account == account && it.currency == currency);
        found.map_or(0, Balance::minor)
    }
}

impl TrialBalance {
    pub fn is_balanced(self) -> bool {
        self.debit_minor == self.credit_minor
    }
}

/// The lines of an account in one currency, in the order in which they were recorded, at most `limit` after `after`.
///
/// # Errors
/// [`BooksError`].
pub async fn statement(
    connection: &mut PgConnection,
    merchant: &MerchantId,
    (account, currency): (Account, Currency),
    as_of: AsOf,
    after: Option<Cursor>,
    limit: u16,
) -> Result<Statement, BooksError> {
    let scope = scope(connection, merchant, as_of).await?;
    let from = after.unwrap_or(Cursor {
        ledger_position: 0,
        entry: 0,
        line: 0,
    });
    let opening_minor: i64 = sqlx::query_scalar(
        "select coalesce(sum(debit_minor - credit_minor), 0)::bigint from journal
         where merchant = $1 and account = $2 and currency = $3 and (ledger_position, entry, line) <= ($4, $5, $6)
           and ledger_position <= $7 and ($8::timestamptz is null or effective_at <= $8)",
    )
    .bind(merchant.as_str())
    .bind(account.as_str())
    .bind(currency.code())
    .bind(from.ledger_position)
    .bind(from.entry)
    .bind(from.line)
    .bind(scope.ledger_position)
    .bind(scope.effective)
    .fetch_one(&mut *connection)
    .await?;
    let rows: Vec<Row> = sqlx::query_as(
        "select ledger_position, entry, line, debit_minor, credit_minor, recorded_at, effective_at from journal
         where merchant = $1 and account = $2 and currency = $3 and (ledger_position, entry, line) > ($4, $5, $6)
           and ledger_position <= $7 and ($8::timestamptz is null or effective_at <= $8)
         order by ledger_position, entry, line limit $9",
    )
    .bind(merchant.as_str())
    .bind(account.as_str())
    .bind(currency.code())
    .bind(from.ledger_position)
    .bind(from.entry)
    .bind(from.line)
    .bind(scope.ledger_position)
    .bind(scope.effective)
    .bind(i64::from(limit) + 1)
    .fetch_all(connection)
    .await?;
    let more = rows.len() > usize::from(limit);
    let mut balance_minor = opening_minor;
    let page = rows.into_iter().take(usize::from(limit));
    let lines: Vec<StatementLine> = page.map(|row| row.after(&mut balance_minor)).collect();
    let last = lines.last().map(|it| it.at);
    Ok(Statement {
        ledger_position: scope.ledger_position,
        opening_minor,
        lines,
        next: last.filter(|_| more),
    })
}

#[derive(sqlx::FromRow)]
struct Row {
    ledger_position: i64,
    entry: i32,
    line: i32,
    debit_minor: i64,
    credit_minor: i64,
    recorded_at: DateTime<Utc>,
    effective_at: DateTime<Utc>,
}

impl Row {
    /// The line, where the account stood at `balance_minor` before it.
    fn after(self, balance_minor: &mut i64) -> StatementLine {
        let moved = self.debit_minor.saturating_sub(self.credit_minor);
        *balance_minor = balance_minor.saturating_add(moved);
        StatementLine {
            at: Cursor {
                ledger_position: self.ledger_position,
                entry: self.entry,
                line: self.line,
            },
            debit_minor: self.debit_minor,
            credit_minor: self.credit_minor,
            balance_minor: *balance_minor,
            recorded_at: self.recorded_at,
            effective_at: self.effective_at,
        }
    }
}

/// Where a merchant's ledger stands, and the journal behind it.
#[derive(sqlx::FromRow)]
pub(crate) struct Standing {
    /// The last position of the ledger, and of it in the journal.
    head: i64,
    caught_up: i64,
    began_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
}

/// A part of history: from a moment on, and before another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    pub from: Option<DateTime<Utc>>,
    pub before: Option<DateTime<Utc>>,
}

impl Span {
    /// Whether there are moments in it.
    ///
    /// # Errors
    /// [`BooksError::Reversed`].
    pub fn checked(self) -> Result<Self, BooksError> {
        match (self.from, self.before) {
            (Some(from), Some(before)) if from >= before => Err(BooksError::Reversed),
            _ => Ok(self),
        }
    }
}

/// How far the journal is to be looked at, where it has come so far.
pub(crate) async fn scope(
    connection: &mut PgConnection,
    merchant: &MerchantId,
    as_of: AsOf,
) -> Result<Scope, BooksError> {
    let standing = standing(connection, merchant).await?;
    let (ledger_position, effective) = match as_of {
        AsOf::Now => (standing.caught_up, None),
        // What happened may be older than its record, and than the ledger's first one.
        AsOf::Effective(time) => (standing.caught_up, Some(standing.not_to_come(time)?)),
        AsOf::Position(_) | AsOf::Recorded(_) => {
            (standing.position(connection, merchant, as_of).await?, None)
        }
    };
    if ledger_position > standing.caught_up {
        return Err(BooksError::CatchingUp {
            position: standing.caught_up,
        });
    }
    Ok(Scope {
        ledger_position,
        effective,
        now: standing.now,
    })
}

/// The last position of a merchant's ledger that was recorded as of then, whether the journal has come so far or not.
///
/// # Errors
/// [`BooksError`].
pub async fn position_as_of(
    connection: &mut PgConnection,
    merchant: &MerchantId,
    as_of: AsOf,
) -> Result<i64, BooksError> {
    let standing = standing(connection, merchant).await?;
    standing.position(connection, merchant, as_of).await
}

pub(crate) async fn standing(
    connection: &mut PgConnection,
    merchant: &MerchantId,
) -> Result<Standing, BooksError> {
    let found = sqlx::query_as(
        "select coalesce((select ledger_position from ledger_heads where ledger = $1), 0) as head,
                coalesce((select max(ledger_position) from events where ledger = $1
                          and position <= coalesce((select position from checkpoints where name = $2), 0)), 0) as caught_up,
                (select recorded_at from events where ledger = $1 and ledger_position = 1) as began_at,
                clock_timestamp() as now",
    )
    .bind(merchant.as_str())
    .bind(journal::NAME)
    .fetch_one(connection)
    .await?;
    Ok(found)
}

/// How many positions of a merchant's ledger are not in the journal yet.
///
/// # Errors
/// When the database cannot be read.
pub async fn lag(connection: &mut PgConnection, merchant: &MerchantId) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(
        "select count(*) from events
         where ledger = $1 and position > coalesce((select position from checkpoints where name = $2), 0)",
    )
    .bind(merchant.as_str())
    .bind(journal::NAME)
    .fetch_one(connection)
    .await
}

impl AsOf {
    /// A position of the ledger, or a time such as `2026-11-21T08:00:00Z`: when it was recorded, or when it happened.
    ///
    /// # Errors
    /// [`NotAPoint`], also for a position by effective time.
    pub fn read(text: &str, effective: bool) -> Result<Self, NotAPoint> {
        if let Ok(position) = text.parse() {
            return match effective {
                false => Ok(Self::Position(position)),
                true => Err(NotAPoint),
            };
        }
        let time = DateTime::parse_from_rfc3339(text).map_err(|_| NotAPoint)?;
        Ok(match effective {
            false => Self::Recorded(time.to_utc()),
            true => Self::Effective(time.to_utc()),
        })
    }
}

impl Standing {
    pub(crate) async fn position(
        &self,
        connection: &mut PgConnection,
        merchant: &MerchantId,
        as_of: AsOf,
    ) -> Result<i64, BooksError> {
        let time = match as_of {
            AsOf::Now => return Ok(self.head),
            AsOf::Position(position) if position > self.head => {
                return Err(BooksError::AheadOfLedger { head: self.head });
            }
            AsOf::Position(position) if position < 1 => return Err(BooksError::BeforeTheBeginning),
            AsOf::Position(position) => return Ok(position),
            AsOf::Recorded(time) | AsOf::Effective(time) => time,
        };
        self.covers(time)?;
        Ok(moments::last_by(connection, merchant, self.head, time).await?)
    }

    /// Whether the ledger has a history of what was recorded in that span, which may end later than now.
    pub(crate) fn covers_span(&self, recorded: Span) -> Result<(), BooksError> {
        recorded.checked()?;
        if let Some(from) = recorded.from {
            self.not_to_come(from)?;
        }
        match recorded.before {
            Some(before) if self.began_at.is_none_or(|began| before <= began) => {
                Err(BooksError::BeforeTheBeginning)
            }
            _ => Ok(()),
        }
    }

    /// Whether what happened in that span can be known.
    pub(crate) fn has_come_to(&self, effective: Span) -> Result<(), BooksError> {
        effective.checked()?;
        match effective.from {
            Some(from) => self.not_to_come(from).map(drop),
            None => Ok(()),
        }
    }

    fn not_to_come(&self, time: DateTime<Utc>) -> Result<DateTime<Utc>, BooksError> {
        if time > self.now {
            return Err(BooksError::InTheFuture { now: self.now });
        }
        Ok(time)
    }

    /// Whether the ledger has a history of that time.
    fn covers(&self, time: DateTime<Utc>) -> Result<(), BooksError> {
        self.not_to_come(time)?;
        if self.began_at.is_none_or(|began| time < began) {
            return Err(BooksError::BeforeTheBeginning);
        }
        Ok(())
    }
}

/// What the journal was written with can be read.
pub(crate) fn known<T: FromStr>(text: &str) -> Result<T, sqlx::Error>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    text.parse()
        .map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

impl fmt::Display for Cursor {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}-{}-{}", self.ledger_position, self.entry, self.line)
    }
}

impl FromStr for Cursor {
    type Err = BadCursor;

    fn from_str(text: &str) -> Result<Self, BadCursor> {
        let parts: Vec<&str> = text.split('-').collect();
        let [ledger_position, entry, line] = parts.as_slice() else {
            return Err(BadCursor);
        };
        let read = Self {
            ledger_position: ledger_position.parse().map_err(|_| BadCursor)?,
            entry: entry.parse().map_err(|_| BadCursor)?,
            line: line.parse().map_err(|_| BadCursor)?,
        };
        // One spelling for each place: no plus signs, no leading zeros.
        if read.to_string() == text {
            Ok(read)
        } else {
            Err(BadCursor)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_and_nothing_else_is() {
        let cursor = Cursor {
            ledger_position: 12,
            entry: 0,
            line: 3,
        };
        assert_eq!(cursor.to_string(), "12-0-3");
        assert_eq!("12-0-3".parse(), Ok(cursor));
        for broken in [
            "", "12", "12-0", "12-0-3-4", "+12-0-3", "012-0-3", "a-0-3", "12--1-3", " 12-0-3",
        ] {
            assert_eq!(broken.parse::<Cursor>(), Err(BadCursor), "{broken}");
        }
    }
}
