//! Aggregates in memory. Any number of instances write to one log, so what is in memory may be old: every load asks the log for
//! what came after it, which is one look into an index, and nothing where nothing came.

use cqrs_es::Aggregate;
use eventstore::{CqrsStore, StreamReads};
use moka::sync::Cache;
use projections::fold::Versioned;
use std::sync::Arc;

use super::Trouble;

/// How many aggregates of a kind are kept in memory. One costs a few kilobytes.
const HOT_AGGREGATES: u64 = 10_000;

/// The aggregates of one kind that were met lately.
pub(super) struct Hot<A: Aggregate> {
    store: CqrsStore<A>,
    reads: StreamReads,
    /// A state is never taken out for being old, or a reader that is slower than this would put an older one in its place.
    known: Cache<String, Arc<Versioned<A>>>,
}

impl<A: Aggregate + Clone + 'static> Hot<A> {
    pub(super) fn new(store: CqrsStore<A>, reads: StreamReads) -> Self {
        Self {
            store,
            reads,
            known: Cache::new(HOT_AGGREGATES),
        }
    }

    /// How events of this kind are read.
    pub(super) fn store(&self) -> &CqrsStore<A> {
        &self.store
    }

    /// The aggregate as it stands in the log when this is asked, whoever has written it; an empty one where there is none.
    pub(super) async fn load(&self, id: &str) -> Result<Arc<Versioned<A>>, Trouble> {
        let known = self.known.get(id).unwrap_or_default();
        let news = self
            .reads
            .read_stream(A::TYPE, id, known.version)
            .await
            .map_err(Trouble::from)?;
        if news.is_empty() {
            return Ok(known);
        }
        let mut now = Versioned::clone(&known);
        for event in &news {
            let said = self.store.domain_event(event);
            now.state
                .apply(said.map_err(|error| Trouble::Broken(error.into()))?);
            now.version = event.sequence;
        }
        let now = Arc::new(now);
        self.keep(id.to_owned(), &now);
        Ok(now)
    }

    /// Keeps a state, unless a newer one is kept: a slow reader must not put an old state over it.
    pub(super) fn keep(&self, id: String, it: &Arc<Versioned<A>>) {
        self.known.entry(id).and_upsert_with(|entry| match entry {
            Some(known) if known.value().version >= it.version => known.into_value(),
            _ => Arc::clone(it),
        });
    }
}
