//! Rows that are not the log's are written in transactions of their own.

use sqlx::{Postgres, Transaction};

use crate::crash_point;

/// Ends a transaction.
///
/// # Errors
/// When the database does not say that it was carried out.
pub(super) async fn committed(transaction: Transaction<'_, Postgres>) -> Result<(), sqlx::Error> {
    crash_point!("rows-before-commit");
    transaction.commit().await?;
    crash_point!("rows-committed");
    Ok(())
}
