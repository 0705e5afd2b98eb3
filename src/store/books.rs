//! The books, read: balances, statements, entries and months, as of any point of a merchant's ledger.

use aggregates::books::Month;
use aggregates::ids::{MerchantId, SettlementId};
use aggregates::ledger::Account;
use aggregates::money::Currency;
use projections::bank_lines;
use projections::books::{self, AsOf, Balances, BooksError, Cursor, Statement};
use projections::entries::{self, Entries, EntryCursor, EntryFilter, Explained};
use projections::periods::{self, Closing, Period};
use sqlx::PgPool;
use sqlx::pool::PoolConnection;
use std::time::{Duration, Instant};

/// How long a reader waits for the journal to come to the ledger's end.
const CATCHES_UP_WITHIN: Duration = Duration::from_millis(250);
/// How often it looks.
const LOOKS_EVERY: Duration = Duration::from_millis(10);

/// Reads the books.
#[derive(Debug, Clone)]
pub struct BooksReader {
    pool: PgPool,
}

impl BooksReader {
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// See [`books::balances`].
    ///
    /// # Errors
    /// [`BooksError`].
    pub async fn balances(
        &self,
        merchant: &MerchantId,
        as_of: AsOf,
    ) -> Result<Balances, BooksError> {
        let mut connection = self.caught_up(merchant).await?;
        books::balances(&mut connection, merchant, as_of).await
    }

    /// See [`books::statement`].
    ///
    /// # Errors
    /// [`BooksError`].
    pub async fn statement(
        &self,
        merchant: &MerchantId,
        of: (Account, Currency),
        as_of: AsOf,
        after: Option<Cursor>,
        limit: u16,
    ) -> Result<Statement, BooksError> {
        let mut connection = self.caught_up(merchant).await?;
        books::statement(&mut connection, merchant, of, as_of, after, limit).await
    }

    /// See [`entries::entries`].
    ///
    /// # Errors
    /// [`BooksError`].
    pub async fn entries(
        &self,
        merchant: &MerchantId,
        filter: EntryFilter,
        as_of: AsOf,
        after: Option<EntryCursor>,
        limit: u16,
    ) -> Result<Entries, BooksError> {
        let mut connection = self.caught_up(merchant).await?;
        entries::entries(&mut connection, merchant, filter, as_of, after, limit).await
    }

    /// See [`entries::explain`].
    ///
    /// # Errors
    /// [`BooksError`].
    pub async fn explain(
        &self,
        merchant: &MerchantId,
        figure: (Account, Currency, Option<Month>),
        as_of: AsOf,
        after: Option<EntryCursor>,
        limit: u16,
    ) -> Result<Explained, BooksError> {
        let mut connection = self.caught_up(merchant).await?;
        entries::explain(&mut connection, merchant, figure, as_of, after, limit).await
    }

    /// See [`periods::period`].
    ///
    /// # Errors
    /// [`BooksError`].
    pub async fn period(
        &self,
        merchant: &MerchantId,
        month: Month,
        as_of: AsOf,
    ) -> Result<Period, BooksError> {
        let mut connection = self.caught_up(merchant).await?;
        periods::period(&mut connection, merchant, month, as_of).await
    }

    /// See [`books::position_as_of`].
    ///
    /// # Errors
    /// [`BooksError`].
    pub async fn position_as_of(
        &self,
        merchant: &MerchantId,
        as_of: AsOf,
    ) -> Result<i64, BooksError> {
        let mut connection = self.pool.acquire().await?;
        books::position_as_of(&mut connection, merchant, as_of).await
    }

    /// See [`periods::closings`].
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn closings(&self, merchant: &MerchantId) -> Result<Vec<Closing>, BooksError> {
        let mut connection = self.pool.acquire().await?;
        Ok(periods::closings(&mut connection, merchant).await?)
    }

    /// See [`bank_lines::page`].
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn bank_lines(
        &self,
        merchant: &MerchantId,
        matched: Option<bool>,
        after: Option<SettlementId>,
        limit: i64,
    ) -> Result<Vec<bank_lines::Row>, BooksError> {
        let mut connection = self.pool.acquire().await?;
        Ok(bank_lines::page(&mut connection, merchant, matched, after, limit).await?)
    }

    /// A connection, once the journal has come to the ledger's end, or after a while in any case: what is read says how far it
    /// goes.
    pub(super) async fn caught_up(
        &self,
        merchant: &MerchantId,
    ) -> Result<PoolConnection<sqlx::Postgres>, BooksError> {
        let mut connection = self.pool.acquire().await?;
        let begun = Instant::now();
        while books::lag(&mut connection, merchant).await? > 0
            && begun.elapsed() < CATCHES_UP_WITHIN
        {
            tokio::time::sleep(LOOKS_EVERY).await;
        }
        Ok(connection)
    }
}
