//! Claims of callers' keys, where no caller asks: answered by whoever ends what they stand for, and forgotten when they are old.

use aggregates::ids::{IntentionId, PaymentId};
use aggregates::payment::PaymentEvent;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

use super::idempotency::{Claimed, Idempotency};
use super::verdict::Ended;
use super::{App, AppError};
use crate::store::{Merchant, OpenClaim};

/// For so long a key is good after it was answered: a day, as at Stripe, and one more for clocks and time zones of callers.
pub const KEYS_KEPT_FOR: Duration = Duration::from_secs(48 * 3600);
/// How many claims one transaction removes.
const REMOVED_AT_ONCE: u64 = 1000;
/// How often it is looked for old claims.
const EVERY: Duration = Duration::from_secs(600);

impl App {
    /// Removes old claims until it is stopped. Every instance does so; one at a time.
    pub async fn run_claims(&self, stop: CancellationToken) {
        loop {
            if let Err(error) = self.forget_old_keys(KEYS_KEPT_FOR).await {
                tracing::warn!(%error, "old idempotency keys could not be removed");
            }
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Forgets the idempotency keys that were answered longer than `kept_for` ago: used again, they are new. Says how many.
    ///
    /// # Errors
    /// Where the store cannot be used; what was forgotten by then stays forgotten.
    pub async fn forget_old_keys(&self, kept_for: Duration) -> Result<u64, AppError> {
        let limit = i64::try_from(REMOVED_AT_ONCE).map_err(|_| AppError::Internal)?;
        let mut forgotten = 0_u64;
        loop {
            let removed = self.inner.store.claims.remove_old(kept_for, limit).await?;
            let removed = removed.unwrap_or(0);
            forgotten = forgotten.saturating_add(removed);
            // Of a key with several uses one goes at a time.
            if removed == 0 || self.inner.stopping.is_cancelled() {
                break;
            }
        }
        metrics::counter!("counterfoil_idempotency_keys_forgotten_total").increment(forgotten);
        Ok(forgotten)
    }

    /// The key of the caller who waited for the payment's open step, and is gone.
    pub(super) async fn key_of_step(
        &self,
        merchant: &Merchant,
        payment: PaymentId,
    ) -> Result<Option<Idempotency>, AppError> {
        let open = self.open_claims(merchant, payment).await?;
        if open.is_empty() {
            return Ok(None);
        }
        let store = &self.inner.store;
        let history = store.payment_history(&merchant.id, payment).await?;
        let events: Vec<PaymentEvent> = history.into_iter().map(|(_, event)| event).collect();
        // One step is open at a time. Refunds run beside it, and have claims of their own.
        let waits = |it: IntentionId| {
            let asked = events.iter().find(|event| event.intention() == Some(it));
            asked.is_some_and(|event| !matches!(event, PaymentEvent::RefundRequested { .. }))
                && Ended::from_events(&events, it).is_none()
        };
        Ok(open
            .into_iter()
            .find(|(claimed, _)| waits(claimed.intention))
            .map(|(_, key)| key))
    }

    /// The key of the caller who waited for the refund, and is gone.
    pub(super) async fn key_of_refund(
        &self,
        merchant: &Merchant,
        payment: PaymentId,
        refund: IntentionId,
    ) -> Result<Option<Idempotency>, AppError> {
        let open = self.open_claims(merchant, payment).await?;
        Ok(open
            .into_iter()
            .find(|(claimed, _)| claimed.intention == refund)
            .map(|(_, key)| key))
    }

    /// The key of the caller who waited for the change, and is gone.
    pub(super) async fn key_of_change(
        &self,
        merchant: &Merchant,
        request: IntentionId,
    ) -> Result<Option<Idempotency>, AppError> {
        let claims = &self.inner.store.claims;
        let open = claims.open_of_request(&merchant.id, request).await?;
        Ok(open.and_then(|claim| Idempotency::found(&claim)))
    }

    async fn open_claims(
        &self,
        merchant: &Merchant,
        payment: PaymentId,
    ) -> Result<Vec<(Claimed, Idempotency)>, AppError> {
        let claims = &self.inner.store.claims;
        let open: Vec<OpenClaim> = claims.open_of_payment(&merchant.id, payment).await?;
        let read = |claim: &OpenClaim| {
            let claimed = serde_json::from_str(&claim.context).ok()?;
            Some((claimed, Idempotency::found(claim)?))
        };
        Ok(open.iter().filter_map(read).collect())
    }
}
