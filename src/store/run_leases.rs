//! Who works on a merchant's reconciliation: one process at a time, whatever the number of instances. All times are the database's.

use aggregates::ids::MerchantId;
use sqlx::PgConnection;
use std::time::Duration;
use uuid::Uuid;

use super::Reconciliations;
use super::rows::committed;

impl Reconciliations {
    /// Takes the merchant's runs for `holder`; false where another works on them.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn take(
        &self,
        merchant: &MerchantId,
        holder: Uuid,
        lease: Duration,
    ) -> Result<bool, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        let taken = sqlx::query(
            "insert into reconciliation_leases as l (merchant, holder, leased_until)
             values ($1, $2, clock_timestamp() + make_interval(secs => $3))
             on conflict (merchant) do update set holder = excluded.holder, leased_until = excluded.leased_until
             where l.holder = excluded.holder or l.leased_until <= clock_timestamp()",
        )
        .bind(merchant.as_str())
        .bind(holder)
        .bind(lease.as_secs_f64())
        .execute(&mut *transaction)
        .await?;
        committed(transaction).await?;
        Ok(taken.rows_affected() > 0)
    }

    /// Keeps the merchant's runs for longer; false where they were lost meanwhile, even if nobody works on them now: what the
    /// holder knows of them is old.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn still_takes(
        &self,
        merchant: &MerchantId,
        holder: Uuid,
        lease: Duration,
    ) -> Result<bool, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        let kept = sqlx::query(
            "update reconciliation_leases set leased_until = clock_timestamp() + make_interval(secs => $3)
             where merchant = $1 and holder = $2",
        )
        .bind(merchant.as_str())
        .bind(holder)
        .bind(lease.as_secs_f64())
        .execute(&mut *transaction)
        .await?;
        committed(transaction).await?;
        Ok(kept.rows_affected() > 0)
    }

    /// Gives the merchant's runs back.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn give_back(&self, merchant: &MerchantId, holder: Uuid) -> Result<(), sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query("delete from reconciliation_leases where merchant = $1 and holder = $2")
            .bind(merchant.as_str())
            .bind(holder)
            .execute(&mut *transaction)
            .await?;
        committed(transaction).await
    }
}

/// Whether nobody has taken the merchant's runs over from `holder`; nobody can, until the transaction ends.
pub(super) async fn still_held(
    transaction: &mut PgConnection,
    merchant: &MerchantId,
    holder: Uuid,
) -> Result<bool, sqlx::Error> {
    let held: Option<i32> = sqlx::query_scalar(
        "select 1 from reconciliation_leases where merchant = $1 and holder = $2 for update",
    )
    .bind(merchant.as_str())
    .bind(holder)
    .fetch_optional(transaction)
    .await?;
    Ok(held.is_some())
}
