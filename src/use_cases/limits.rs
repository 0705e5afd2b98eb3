//! How often one key may ask.

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::num::NonZeroU32;
use std::time::Duration;

use super::{App, AppError};
use crate::store::Caller;

/// How many keys are remembered before those that have rested are forgotten.
const KEYS_REMEMBERED: usize = 10_000;

/// So many requests at once, and one more each time `every` has passed: for each key of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    pub burst: NonZeroU32,
    pub every: Duration,
}

impl RateLimit {
    /// So many requests a second, and twice as many at once.
    pub fn per_second(requests: NonZeroU32) -> Self {
        Self {
            burst: requests.saturating_mul(NonZeroU32::MIN.saturating_add(1)),
            every: Duration::from_secs(1) / requests.get(),
        }
    }
}

/// What each key has left.
pub(super) struct Allowances {
    left: DefaultKeyedRateLimiter<String>,
    clock: DefaultClock,
}

impl Allowances {
    /// None where the limit makes no sense (no time between requests): then there is none.
    pub fn new(limit: RateLimit) -> Option<Self> {
        let quota = Quota::with_period(limit.every)?.allow_burst(limit.burst);
        Some(Self {
            left: RateLimiter::keyed(quota),
            clock: DefaultClock::default(),
        })
    }

    /// How long to wait before the next request, where the key has none left.
    fn take(&self, key: &str) -> Result<(), Duration> {
        if self.left.len() > KEYS_REMEMBERED {
            self.left.retain_recent();
        }
        self.left
            .check_key(&key.to_owned())
            .map_err(|until| until.wait_time_from(self.clock.now()))
    }
}

impl App {
    /// Lets the caller's request in.
    ///
    /// # Errors
    /// [`AppError::TooManyRequests`] where its key has used up what it may ask for just now.
    pub fn admit(&self, caller: &Caller) -> Result<(), AppError> {
        let Some(allowances) = &self.inner.allowances else {
            return Ok(());
        };
        allowances.take(&caller.key_id).map_err(|wait| {
            metrics::counter!("counterfoil_rate_limited_total").increment(1);
            // Told in whole seconds, rounded up.
            let wait_s = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            AppError::TooManyRequests { wait_s }
        })
    }
}
