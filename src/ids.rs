//! Where fresh ids and random bytes come from: the system in service, a seed in tests.

use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use std::sync::{Arc, Mutex, PoisonError};
use uuid::{ContextV7, Timestamp, Uuid};

/// A source of ids and random bytes. Clones share it.
#[derive(Clone)]
pub struct Ids {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    random: StdRng,
    order: ContextV7,
}

impl Ids {
    /// From the system's randomness.
    pub fn system() -> Self {
        Self::new(StdRng::from_os_rng())
    }

    /// The same ids (but for the time in them) whenever the seed is the same.
    pub fn seeded(seed: u64) -> Self {
        Self::new(StdRng::seed_from_u64(seed))
    }

    fn new(random: StdRng) -> Self {
        Self {
            inner: Arc::new(Mutex::new(Inner {
                random,
                order: ContextV7::new(),
            })),
        }
    }

    /// A UUIDv7: ordered by the time it was made.
    pub fn uuid(&self) -> Uuid {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let made = Timestamp::now(&inner.order);
        let (seconds, nanos) = made.to_unix();
        let millis = seconds
            .saturating_mul(1000)
            .saturating_add(u64::from(nanos) / 1_000_000);
        let mut random = [0; 10];
        inner.random.fill_bytes(&mut random);
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.inner
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .random
            .fill_bytes(&mut bytes);
        bytes
    }
}
