//! Goes on with what was cut off: intentions that Stripe has not answered.

use aggregates::ids::{IntentionId, MerchantId, PaymentId};
use aggregates::metadata::Actor;
use chrono::{DateTime, Utc};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::App;
use crate::store::Context;

/// How recovery looks for work.
#[derive(Debug, Clone, Copy)]
pub struct Recovery {
    /// How long to wait between two looks.
    pub every: Duration,
    /// How old an open intention is before it counts as cut off: longer than callers wait.
    pub older_than: Duration,
}

/// How many payments one look takes on.
const PAGE: i64 = 100;

impl Default for Recovery {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(5),
            older_than: Duration::from_secs(60),
        }
    }
}

impl App {
    /// Looks for open intentions until it is stopped; once at the start, when every open one was cut off.
    pub async fn run_recovery(&self, recovery: Recovery, stop: CancellationToken) {
        let mut older_than = Duration::ZERO;
        loop {
            self.recover(older_than).await;
            older_than = recovery.older_than;
            tokio::select! {
                () = tokio::time::sleep(recovery.every) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Drives every payment whose intention has been open for so long.
    pub async fn recover(&self, older_than: Duration) {
        let Some(before) = id_before(Utc::now(), older_than) else {
            return;
        };
        match self.inner.store.payments_waiting_since(before, PAGE).await {
            Ok(waiting) => {
                metrics::gauge!("counterfoil_payments_waiting")
                    .set(u32::try_from(waiting.len()).map_or(f64::INFINITY, f64::from));
                for (merchant, payment) in waiting {
                    self.recover_one(&merchant, payment).await;
                }
            }
            Err(error) => tracing::error!(%error, "recovery cannot look for its work"),
        }
        match self
            .inner
            .store
            .stripe_requests_waiting_since(before, PAGE)
            .await
        {
            Ok(waiting) => {
                for (merchant, request) in waiting {
                    self.recover_request(&merchant, request).await;
                }
            }
            Err(error) => tracing::error!(%error, "recovery cannot look for its work"),
        }
    }

    async fn recover_request(&self, merchant: &MerchantId, request: IntentionId) {
        let context = self.recovery();
        let outcome = async {
            let merchant = self.merchant(merchant).await?;
            self.drive_change(&merchant, &context, request, None).await
        };
        match outcome.await {
            Ok(_) => tracing::info!(%merchant, %request, "went on with a request that was cut off"),
            Err(error) => {
                tracing::warn!(%merchant, %request, %error, "a request still waits for Stripe")
            }
        }
    }

    /// The circumstances of what recovery does.
    fn recovery(&self) -> Context {
        self.context_of(Actor {
            name: "recovery".to_owned(),
            key_id: None,
            door: "recovery".to_owned(),
        })
    }

    async fn recover_one(&self, merchant: &MerchantId, payment: PaymentId) {
        let context = self.recovery();
        let outcome = async {
            let merchant = self.merchant(merchant).await?;
            self.drive(&merchant, payment, &context, None).await?;
            self.drive_refunds(&merchant, payment, &context).await
        };
        match outcome.await {
            Ok(()) => {
                tracing::info!(%merchant, %payment, "went on with a payment that was cut off")
            }
            Err(error) => {
                tracing::warn!(%merchant, %payment, %error, "a payment still waits for Stripe")
            }
        }
    }
}

/// The least UUIDv7 of that moment: ids of intentions are ordered by time.
fn id_before(now: DateTime<Utc>, older_than: Duration) -> Option<Uuid> {
    let moment = now - chrono::TimeDelta::from_std(older_than).ok()?;
    let millis = u64::try_from(moment.timestamp_millis()).ok()?;
    Some(uuid::Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid())
}
