//! What waits for Stripe: the work of recovery.

use aggregates::ids::{IntentionId, MerchantId, PaymentId};
use uuid::Uuid;

use super::{Store, Trouble};

impl Store {
    /// Payments that have waited for Stripe since before `before` (a UUIDv7), oldest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn payments_waiting_since(
        &self,
        before: Uuid,
        limit: i64,
    ) -> Result<Vec<(MerchantId, PaymentId)>, Trouble> {
        let mut connection = self.pool().acquire().await?;
        Ok(projections::payments::waiting_since(&mut connection, before, limit).await?)
    }

    /// Requests that have waited for Stripe since before `before` (a UUIDv7), oldest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn stripe_requests_waiting_since(
        &self,
        before: Uuid,
        limit: i64,
    ) -> Result<Vec<(MerchantId, IntentionId)>, Trouble> {
        let mut connection = self.pool().acquire().await?;
        Ok(projections::stripe_requests::waiting_since(&mut connection, before, limit).await?)
    }
}
