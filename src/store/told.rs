//! What the log tells of whole kinds of aggregates, as far as a position of the ledger: for whoever compares what was known then.

use aggregates::ids::{MerchantId, OrderId, PaymentId, ReconciliationId, SettlementId};
use aggregates::order::OrderEvent;
use aggregates::payment::PaymentEvent;
use aggregates::reconciliation::{Reconciliation, ReconciliationEvent};
use aggregates::settlement::SettlementEvent;
use cqrs_es::Aggregate;
use eventstore::{CqrsStore, Recorded};
use projections::fold::Versioned;
use std::collections::HashMap;
use std::sync::Arc;
use uuid::Uuid;

use super::{Store, Trouble};

/// An event, and of which stream and when it is.
#[derive(Debug)]
pub struct Told<E> {
    pub recorded: Recorded,
    pub event: E,
}

impl Store {
    /// A run or a break as it stands, from the log; an empty one where there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn reconciliation(
        &self,
        merchant: &MerchantId,
        id: ReconciliationId,
    ) -> Result<Arc<Versioned<Reconciliation>>, Trouble> {
        let loaded = self.reconciled.load(&id.aggregate_id(merchant)).await;
        let (state, version) = loaded.map_err(Trouble::Broken)?;
        Ok(Arc::new(Versioned { state, version }))
    }

    /// A run or a break as its first `version` events left it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn reconciliation_at(
        &self,
        merchant: &MerchantId,
        id: ReconciliationId,
        version: u64,
    ) -> Result<Reconciliation, Trouble> {
        let life = self
            .life(Reconciliation::TYPE, &id.aggregate_id(merchant))
            .await?;
        let mut state = Reconciliation::default();
        for recorded in life.iter().filter(|it| it.sequence <= version) {
            let event = self.reconciled.domain_event(recorded);
            state.apply(&event.map_err(|error| Trouble::Broken(error.into()))?);
        }
        Ok(state)
    }

    /// Breaks and runs as they stood at a ledger position, by their ids; those that had not begun are left out.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn past_reconciliations(
        &self,
        merchant: &MerchantId,
        ids: &[ReconciliationId],
        upto: i64,
    ) -> Result<HashMap<ReconciliationId, Reconciliation>, Trouble> {
        let streams: Vec<String> = ids.iter().map(|it| it.aggregate_id(merchant)).collect();
        let told: Vec<Told<ReconciliationEvent>> = self
            .told_of(&self.reconciled, Reconciliation::TYPE, &streams, upto)
            .await?;
        let mut stood: HashMap<ReconciliationId, Reconciliation> = HashMap::new();
        for it in told {
            let id = id_of(&it.recorded.aggregate_id).map(ReconciliationId::from_uuid)?;
            stood.entry(id).or_default().apply(&it.event);
        }
        Ok(stood)
    }

    /// The payments that began after `after` and not after `upto`, each with all of its events up to there, and where to go on.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn payments_told(
        &self,
        merchant: &MerchantId,
        between: (i64, i64),
        limit: i64,
    ) -> Result<Gathered<PaymentId, PaymentEvent>, Trouble> {
        self.gathered(
            self.payments.store(),
            merchant,
            between,
            limit,
            PaymentId::from_uuid,
        )
        .await
    }

    /// The orders; see [`payments_told`](Self::payments_told).
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn orders_told(
        &self,
        merchant: &MerchantId,
        between: (i64, i64),
        limit: i64,
    ) -> Result<Gathered<OrderId, OrderEvent>, Trouble> {
        self.gathered(
            self.orders.store(),
            merchant,
            between,
            limit,
            OrderId::from_uuid,
        )
        .await
    }

    /// What is settled; see [`payments_told`](Self::payments_told).
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn settlements_told(
        &self,
        merchant: &MerchantId,
        between: (i64, i64),
        limit: i64,
    ) -> Result<Gathered<SettlementId, SettlementEvent>, Trouble> {
        self.gathered(
            &self.settlements,
            merchant,
            between,
            limit,
            SettlementId::from_uuid,
        )
        .await
    }

    async fn gathered<A: Aggregate, Id>(
        &self,
        store: &CqrsStore<A>,
        merchant: &MerchantId,
        (after, upto): (i64, i64),
        limit: i64,
        id: fn(Uuid) -> Id,
    ) -> Result<Gathered<Id, A::Event>, Trouble> {
        let begun = self
            .reader
            .streams_begun(merchant.as_str(), A::TYPE, after, upto, limit)
            .await?;
        let next = begun.last().map(|(position, _)| *position);
        let ids: Vec<String> = begun.into_iter().map(|(_, id)| id).collect();
        let told = self.told_of(store, A::TYPE, &ids, upto).await?;
        let mut lives: Vec<(Id, Vec<Told<A::Event>>)> = Vec::new();
        let mut of = String::new();
        for it in told {
            if lives.is_empty() || it.recorded.aggregate_id != of {
                of.clone_from(&it.recorded.aggregate_id);
                lives.push((id(id_of(&of)?), Vec::new()));
            }
            if let Some((_, life)) = lives.last_mut() {
                life.push(it);
            }
        }
        Ok(Gathered { lives, next })
    }

    async fn told_of<A: Aggregate>(
        &self,
        store: &CqrsStore<A>,
        kind: &str,
        ids: &[String],
        upto: i64,
    ) -> Result<Vec<Told<A::Event>>, Trouble> {
        let recorded = self.reader.read_streams(kind, ids, upto).await?;
        recorded
            .into_iter()
            .map(|recorded| {
                let event = store.domain_event(&recorded);
                let event = event.map_err(|error| Trouble::Broken(error.into()))?;
                Ok(Told { recorded, event })
            })
            .collect()
    }
}

/// Lives of aggregates, and the ledger position to go on after; none at the end.
pub struct Gathered<Id, E> {
    pub lives: Vec<(Id, Vec<Told<E>>)>,
    pub next: Option<i64>,
}

/// The id behind the merchant's name.
fn id_of(aggregate_id: &str) -> Result<Uuid, Trouble> {
    let id = aggregate_id
        .rsplit_once('/')
        .map_or(aggregate_id, |it| it.1);
    Uuid::parse_str(id).map_err(|error| Trouble::Broken(error.into()))
}
