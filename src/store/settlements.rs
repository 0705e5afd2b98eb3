//! How far each merchant's account was read at Stripe, and what is looked for among what is settled.

use aggregates::books::Books;
use aggregates::ids::{IdError, MerchantId, SettlementId, books_aggregate_id};
use aggregates::settlement::{BankLineImported, Candidate, Settlement};
use projections::balance_transactions::{self, Known};
use projections::fold::Versioned;
use projections::{bank_lines, payouts};
use std::sync::Arc;

use super::{Store, Trouble};

/// How far an account's balance transactions were read. Times are Stripe's, seconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    /// Everything that was booked up to here.
    pub read_until: i64,
    /// A reading that is under way, newest first: when its first was booked, and the id of the last that was read.
    pub under_way: Option<(i64, String)>,
}

impl Store {
    /// A payout, a balance transaction or a bank's line as it stands, from the log; an empty one where it was never seen.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn settlement(
        &self,
        merchant: &MerchantId,
        id: SettlementId,
    ) -> Result<Arc<Versioned<Settlement>>, Trouble> {
        let loaded = self.settlements.load(&id.aggregate_id(merchant)).await;
        let (state, version) = loaded.map_err(Trouble::Broken)?;
        Ok(Arc::new(Versioned { state, version }))
    }

    /// A merchant's books as they stand, from the log.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn books(&self, merchant: &MerchantId) -> Result<Arc<Versioned<Books>>, Trouble> {
        let loaded = self.books.load(&books_aggregate_id(merchant)).await;
        let (state, version) = loaded.map_err(Trouble::Broken)?;
        Ok(Arc::new(Versioned { state, version }))
    }

    /// All merchants whose accounts are read, by name.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn merchants_to_settle(&self) -> Result<Vec<MerchantId>, Trouble> {
        let mut known = Vec::new();
        let ids: Vec<String> = sqlx::query_scalar("select id from merchants order by id")
            .fetch_all(self.pool())
            .await?;
        for id in ids {
            known.push(
                id.parse()
                    .map_err(|error: IdError| Trouble::Broken(error.into()))?,
            );
        }
        Ok(known)
    }

    /// How far a merchant's account was read.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn reading(&self, merchant: &MerchantId) -> Result<Reading, Trouble> {
        let row: Option<(i64, Option<i64>, Option<String>)> = sqlx::query_as(
            "select read_until, under_way, after from settlement_cursors where merchant = $1",
        )
        .bind(merchant.as_str())
        .fetch_optional(self.pool())
        .await?;
        let (read_until, under_way, after) = row.unwrap_or_default();
        Ok(Reading {
            read_until,
            under_way: under_way.zip(after),
        })
    }

    /// Keeps how far a merchant's account was read.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn keep_reading(&self, merchant: &MerchantId, it: &Reading) -> Result<(), Trouble> {
        let mut transaction = self.pool().begin().await?;
        sqlx::query(
            "insert into settlement_cursors (merchant, read_until, under_way, after) values ($1, $2, $3, $4)
             on conflict (merchant) do update
             set read_until = excluded.read_until, under_way = excluded.under_way, after = excluded.after",
        )
        .bind(merchant.as_str())
        .bind(it.read_until)
        .bind(it.under_way.as_ref().map(|(newest, _)| *newest))
        .bind(it.under_way.as_ref().map(|(_, after)| after))
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Those of the named balance transactions that are known.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn known_transactions(
        &self,
        merchant: &MerchantId,
        transactions: &[String],
    ) -> Result<Vec<Known>, Trouble> {
        let mut connection = self.pool().acquire().await?;
        Ok(balance_transactions::known(&mut connection, merchant, transactions).await?)
    }

    /// Payouts whose balance transactions Stripe can tell and that were not counted yet: Stripe's ids, after `after`.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn payouts_to_itemise(
        &self,
        merchant: &MerchantId,
        after: &str,
        limit: i64,
    ) -> Result<Vec<String>, Trouble> {
        let mut connection = self.pool().acquire().await?;
        Ok(payouts::to_itemise(&mut connection, merchant, after, limit).await?)
    }

    /// Lines of bank statements that may be those of payouts, oldest first, after `after`.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn matchable_lines(
        &self,
        merchant: &MerchantId,
        after: Option<(&str, SettlementId)>,
        limit: i64,
    ) -> Result<Vec<(String, SettlementId)>, Trouble> {
        let mut connection = self.pool().acquire().await?;
        Ok(bank_lines::matchable(&mut connection, merchant, after, limit).await?)
    }

    /// The payouts that a bank's line may be the arrival or the return of.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn awaited_payouts(
        &self,
        merchant: &MerchantId,
        line: &BankLineImported,
    ) -> Result<Vec<Candidate>, Trouble> {
        let mut connection = self.pool().acquire().await?;
        Ok(payouts::awaited(&mut connection, merchant, line).await?)
    }
}
