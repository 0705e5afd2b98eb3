//! What every worker of the service does alike: it keeps alive the leases of what it works on, pauses where it has nothing to do,
//! stops when it is told to, and does some things only now and then.

use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

use super::App;
use crate::pauses;

impl App {
    /// Drawn from the upper half, so that what failed together does not come together.
    pub(super) fn jittered(&self, full: Duration) -> Duration {
        pauses::jittered(full, u32::from_be_bytes(self.inner.store.ids.bytes()))
    }
}

/// Does the work, and renews the leases of what it works on meanwhile, long before they run out.
///
/// Where renewing fails the work goes on: once the leases have run out another instance may do the same, and whatever is leased
/// bears that.
pub(super) async fn under_lease<T, R>(
    lease_for: Duration,
    work: impl Future<Output = T>,
    renew: impl Fn() -> R,
) -> T
where
    R: Future<Output = Result<(), sqlx::Error>>,
{
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(lease_for / 3) => {
                if let Err(error) = renew().await {
                    tracing::warn!(%error, "a lease could not be renewed");
                }
            }
        }
    }
}

/// Pauses. False where the worker is told to stop meanwhile.
pub(super) async fn goes_on_after(pause: Duration, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = tokio::time::sleep(pause) => true,
        () = stop.cancelled() => false,
    }
}

/// What is done now and then: the first time at once, then after a pause.
pub(super) struct NowAndThen {
    every: Duration,
    last: Option<Instant>,
}

impl NowAndThen {
    pub(super) fn every(every: Duration) -> Self {
        Self { every, last: None }
    }

    pub(super) fn is_due(&self) -> bool {
        self.last.is_none_or(|at| at.elapsed() >= self.every)
    }

    /// It is done now.
    pub(super) fn done(&mut self) {
        self.last = Some(Instant::now());
    }
}

/// Shows a count; one that is not to be had as infinite.
pub(super) fn gauge(name: &'static str, count: i64) {
    let count = u32::try_from(count).map_or(f64::INFINITY, f64::from);
    metrics::gauge!(name).set(count);
}
