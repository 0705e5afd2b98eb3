//! Keeps the journal caught up: the subscription that posts every event's entries behind the log.

use eventstore::{SubscribeOptions, Subscription, subscribe};

use crate::store::Store;

/// Starts to follow the log for the journal.
pub fn follow(store: &Store) -> Subscription {
    let options = SubscribeOptions::new(
        store.pool().clone(),
        projections::journal::NAME,
        store.log().watch(),
    );
    subscribe(options, projections::journal::Journal::default())
}
