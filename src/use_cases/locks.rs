//! One at a time, within this process. What other instances do is seen by versions, and by Stripe's keys.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use uuid::Uuid;

/// One lock per thing that is being driven in this process.
#[derive(Default)]
pub(super) struct Locks {
    held: Mutex<HashMap<Uuid, Weak<tokio::sync::Mutex<()>>>>,
}

impl Locks {
    pub(super) fn of(&self, id: Uuid) -> Arc<tokio::sync::Mutex<()>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = held.get(&id).and_then(Weak::upgrade) {
            return lock;
        }
        held.retain(|_, lock| lock.strong_count() > 0);
        let lock = Arc::new(tokio::sync::Mutex::new(()));
        held.insert(id, Arc::downgrade(&lock));
        lock
    }
}
