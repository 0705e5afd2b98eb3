//! Everything that is kept: aggregates in the event log with the rows that follow from them, keys, the inbox, the vault.
//!
//! Use cases load an aggregate, let it decide, and [`commit`](Store::commit) what it decided on the version they saw.
//! A conflict means that somebody else was first: load and decide again.

mod books;
mod catalogue;
mod claims;
mod endpoints;
mod exports;
mod hot;
mod inbox;
mod inbox_shown;
mod keys;
mod leases;
mod listed;
mod lists;
mod outgoing;
mod past;
mod places;
mod polls;
mod presence;
mod rebuilds;
mod reconciliations;
mod recovery;
mod register;
mod rows;
mod run_leases;
mod settlements;
mod told;
mod vault;

pub use books::BooksReader;
pub use claims::{Claims, OpenClaim};
pub use endpoints::{CreationKey, Endpoint, Endpoints, Made};
pub use exports::{Export, ExportHead, ExportRows, Exports, NoExport, What as WhatToExport};
pub use inbox::{Applied, CameBy, Delivery, Inbox, InboxCounts, Kept, LeasedEvent, Next};
pub use inbox_shown::{InboxFilter, InboxRow};
pub use keys::{Caller, KeyKind, Keys, Merchant, NewKey, Scope};
pub use listed::Told;
pub use lists::{
    ArticleRow, Found, OfferFilter, OfferRow, OrderFilter, OrderRow, PaymentFilter, PaymentRow,
    Span,
};
pub use outgoing::{
    Attempt, Ending, Leased as LeasedDelivery, Logged as LoggedDelivery, Outgoing, Page,
};
pub use past::Past;
pub use polls::{Gap, LeasedPoll, PollRow, Polls};
pub use presence::Presence;
pub use rebuilds::{
    Certificate, ComparedRow, DifferenceRow, NoReplay, RebuildRow, Rebuilds, projections_named,
};
pub use reconciliations::{BreakRow, Numbered, Place, Reconciliations, RunRow, Step as RunStep};
pub use recovery::{Fresh, LeasedWork, ParkedRow, Work, WorkKind, WorkStanding};
pub use register::{KeyFilter, KeyRecord, MadeMerchant, NewSecret, Revoked, Rolled};
pub use settlements::Reading;
pub use told::{Gathered, Told as ToldEvent};
pub use vault::{Vault, VaultError};

use aggregates::books::{Books, BooksEvent};
use aggregates::catalogue::{Article, ArticleEvent, Offer, OfferEvent};
use aggregates::ids::{
    ArticleId, CommandId, IntentionId, MerchantId, OfferId, OrderId, PaymentId, ReconciliationId,
    RefundId, SettlementId, books_aggregate_id,
};
use aggregates::metadata::{Actor, EventMetadata};
use aggregates::order::{Order, OrderEvent};
use aggregates::payment::{Payment, PaymentEvent};
use aggregates::reconciliation::{Reconciliation, ReconciliationEvent};
use aggregates::settlement::{Settlement, SettlementEvent};
use aggregates::stripe_request::{StripeRequest, StripeRequestEvent};
use chrono::{DateTime, Utc};
use cqrs_es::{Aggregate, DomainEvent};
use eventstore::{
    Append, AppendError, BoxError, Claim, Completion, CqrsStore, ExistingClaim, Log, LogOptions,
    NewEvent, Reader, Role, RowChange, StoreError, StreamAppend, StreamReads,
};
use projections::fold::{self, Versioned};
use sqlx::PgPool;
use std::sync::Arc;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::crash_point;
use crate::ids::Ids;
use hot::Hot;

/// The store of the service.
pub struct Store {
    pub claims: Claims,
    pub keys: Keys,
    pub inbox: Inbox,
    pub polls: Polls,
    pub rebuilds: Rebuilds,
    pub endpoints: Endpoints,
    pub outgoing: Outgoing,
    pub reconciliations: Reconciliations,
    pub work: Work,
    pub vault: Vault,
    pub ids: Ids,
    log: Log,
    reader: Reader,
    payments: Hot<Payment>,
    orders: Hot<Order>,
    stripe_requests: CqrsStore<StripeRequest>,
    settlements: CqrsStore<Settlement>,
    books: CqrsStore<Books>,
    /// Reads the books.
    pub ledger: BooksReader,
    pub exports: Exports,
    reconciled: CqrsStore<Reconciliation>,
    offers: CqrsStore<Offer>,
    articles: CqrsStore<Article>,
    /// Intentions that this process has recorded within the last minutes.
    pub fresh: Fresh,
}

/// Who sets a step in motion, and as part of what.
#[derive(Debug, Clone)]
pub struct Context {
    pub actor: Actor,
    pub command_id: CommandId,
    pub correlation_id: Uuid,
    pub causation_id: Option<Uuid>,
    pub reason: Option<String>,
    pub claimed_at: Option<DateTime<Utc>>,
}

/// New events of one aggregate, on the state they were decided on.
pub struct Decided<Id, A, E> {
    pub id: Id,
    pub before: Arc<Versioned<A>>,
    pub events: Vec<E>,
}

/// What is to be recorded together, or not at all.
#[derive(Default)]
pub struct Commit {
    pub payment: Option<Decided<PaymentId, Payment, PaymentEvent>>,
    pub order: Option<Decided<OrderId, Order, OrderEvent>>,
    /// By the intention that it is named by.
    pub stripe_request: Option<Decided<IntentionId, StripeRequest, StripeRequestEvent>>,
    pub settlements: Vec<Decided<SettlementId, Settlement, SettlementEvent>>,
    pub books: Option<Decided<(), Books, BooksEvent>>,
    pub reconciliations: Vec<Decided<ReconciliationId, Reconciliation, ReconciliationEvent>>,
    pub offer: Option<Decided<OfferId, Offer, OfferEvent>>,
    pub article: Option<Decided<ArticleId, Article, ArticleEvent>>,
    pub claim: Option<Claim>,
    pub completes: Option<Completion>,
}

/// The states after a commit.
#[derive(Debug, Default)]
pub struct Committed {
    /// None where there was nothing to record.
    pub recorded_at: Option<DateTime<Utc>>,
    pub payment: Option<Arc<Versioned<Payment>>>,
    pub order: Option<Arc<Versioned<Order>>>,
}

/// Something could not be read or recorded.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// Somebody else was first: load and decide again. Nothing was recorded.
    #[error("somebody else was first")]
    Conflict,
    /// The idempotency key is taken, or answered already. Nothing was recorded.
    #[error("the idempotency key is taken")]
    Claimed(Box<ExistingClaim>),
    /// The database did not say whether it was recorded; a later read will show.
    #[error("it is not known yet whether this was recorded")]
    Unknown,
    /// Nothing was recorded.
    #[error("the store cannot be used: {0}")]
    Broken(BoxError),
}

impl Store {
    /// Opens the log and its readers.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn open(
        database_url: &str,
        seal_key: &[u8; 32],
        ids: Ids,
    ) -> Result<Self, StoreError> {
        let pool = eventstore::pool(database_url, Role::Writer, 16).await?;
        let log =
            Log::open(LogOptions::new(database_url).tables(projections::TABLES.to_vec())).await?;
        let reader = Reader::new(pool.clone());
        let reads = StreamReads::begin(reader.clone());
        let fresh = || {
            let ids = ids.clone();
            Arc::new(move || ids.uuid()) as eventstore::NewId
        };
        let due = Arc::new(Notify::new());
        Ok(Self {
            claims: Claims::new(pool.clone()),
            keys: Keys::new(pool.clone(), seal_key),
            inbox: Inbox::new(pool.clone(), Arc::clone(&due)),
            polls: Polls::new(pool.clone()),
            rebuilds: Rebuilds::new(database_url, reader.clone()),
            endpoints: Endpoints::new(pool.clone(), seal_key),
            outgoing: Outgoing::new(pool.clone(), due),
            reconciliations: Reconciliations::new(pool.clone()),
            work: Work::new(pool.clone()),
            vault: Vault::new(pool.clone(), seal_key, ids.clone()),
            payments: Hot::new(
                CqrsStore::new(log.clone(), reader.clone()).with_ids(fresh()),
                reads.clone(),
            ),
            orders: Hot::new(
                CqrsStore::new(log.clone(), reader.clone()).with_ids(fresh()),
                reads,
            ),
            stripe_requests: CqrsStore::new(log.clone(), reader.clone()).with_ids(fresh()),
            settlements: CqrsStore::new(log.clone(), reader.clone()).with_ids(fresh()),
            books: CqrsStore::new(log.clone(), reader.clone()).with_ids(fresh()),
            ledger: BooksReader::new(pool.clone()),
            exports: Exports::new(pool.clone()),
            reconciled: CqrsStore::new(log.clone(), reader.clone()).with_ids(fresh()),
            offers: CqrsStore::new(log.clone(), reader.clone()).with_ids(fresh()),
            articles: CqrsStore::new(log.clone(), reader.clone()).with_ids(fresh()),
            fresh: Fresh::default(),
            ids,
            log,
            reader,
        })
    }

    /// Writes what is queued, and closes the connections.
    pub async fn close(&self) {
        self.log.close().await;
        self.pool().close().await;
    }

    /// The log behind it.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The reader of the log, and the pool for reading rows.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// The pool that rows are read through.
    pub fn pool(&self) -> &PgPool {
        self.reader.pool()
    }

    /// A payment as it stands; an empty one where there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn payment(
        &self,
        merchant: &MerchantId,
        id: PaymentId,
    ) -> Result<Arc<Versioned<Payment>>, Trouble> {
        self.payments.load(&id.aggregate_id(merchant)).await
    }

    /// An order as it stands; an empty one where there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn order(
        &self,
        merchant: &MerchantId,
        id: OrderId,
    ) -> Result<Arc<Versioned<Order>>, Trouble> {
        self.orders.load(&id.aggregate_id(merchant)).await
    }

    /// The events of a payment, oldest first, each with the command that it was a step of.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn payment_history(
        &self,
        merchant: &MerchantId,
        id: PaymentId,
    ) -> Result<Vec<(Option<CommandId>, PaymentEvent)>, Trouble> {
        let recorded = self
            .reader
            .read_stream(Payment::TYPE, &id.aggregate_id(merchant), 0)
            .await?;
        recorded
            .iter()
            .map(|event| {
                let metadata: std::collections::HashMap<String, String> = event.metadata_as()?;
                let command = metadata.get("command_id").and_then(|id| id.parse().ok());
                Ok((command, self.payments.store().domain_event(event)?))
            })
            .collect::<Result<_, serde_json::Error>>()
            .map_err(|error| Trouble::Broken(error.into()))
    }

    /// The payment that Stripe's intent belongs to.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn payment_by_intent(
        &self,
        merchant: &MerchantId,
        intent: &str,
    ) -> Result<Option<PaymentId>, Trouble> {
        let mut connection = self.pool().acquire().await?;
        Ok(projections::payments::by_intent(&mut connection, merchant, intent).await?)
    }

    /// The payment and the refund that Stripe's refund belongs to.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn refund_by_stripe_id(
        &self,
        merchant: &MerchantId,
        stripe_refund: &str,
    ) -> Result<Option<(PaymentId, RefundId)>, Trouble> {
        let mut connection = self.pool().acquire().await?;
        Ok(
            projections::refunds::by_stripe_refund(&mut connection, merchant, stripe_refund)
                .await?,
        )
    }

    /// A request to Stripe as it stands, from the log; an empty one where there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn stripe_request(
        &self,
        merchant: &MerchantId,
        id: IntentionId,
    ) -> Result<Arc<Versioned<StripeRequest>>, Trouble> {
        let loaded = self.stripe_requests.load(&id.aggregate_id(merchant)).await;
        let (state, version) = loaded.map_err(Trouble::Broken)?;
        Ok(Arc::new(Versioned { state, version }))
    }

    /// The database's time, by which what expires has expired.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn now(&self) -> Result<DateTime<Utc>, Trouble> {
        Ok(sqlx::query_scalar("select clock_timestamp()")
            .fetch_one(self.pool())
            .await?)
    }

    /// The idempotency claim that stands under a key.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn claim(
        &self,
        merchant: &MerchantId,
        scope: &str,
        key: &str,
    ) -> Result<Option<ExistingClaim>, Trouble> {
        Ok(self.reader.claim(merchant.as_str(), scope, key).await?)
    }

    /// Records all of it in one append, with the rows that follow, and answers the states after it.
    ///
    /// # Errors
    /// [`Trouble`]; only [`Trouble::Unknown`] leaves open whether it was recorded.
    pub async fn commit(
        &self,
        merchant: &MerchantId,
        context: &Context,
        it: Commit,
    ) -> Result<Committed, Trouble> {
        let intended = recovery::intentions(&it);
        let mut append = Append::new(merchant.as_str(), context.command_id.uuid());
        append.claim = it.claim;
        append.completes = it.completes;
        let mut committed = Committed::default();
        let ids = || self.ids.uuid();
        if let Some(decided) = it.payment {
            let id = (decided.id, decided.id.aggregate_id(merchant));
            let event_id = |event: &PaymentEvent| event.intention().map(IntentionId::uuid);
            committed.payment = add(&mut append, context, id, decided, fold::payment, |event| {
                event_id(event).unwrap_or_else(ids)
            })?;
        }
        if let Some(decided) = it.order {
            let id = (decided.id, decided.id.aggregate_id(merchant));
            committed.order = add(&mut append, context, id, decided, fold::order, |_| ids())?;
        }
        if let Some(decided) = it.stripe_request {
            let id = (decided.id, decided.id.aggregate_id(merchant));
            let event_id = |event: &StripeRequestEvent| event.intention().map(IntentionId::uuid);
            add(
                &mut append,
                context,
                id,
                decided,
                |_, state, events, first| fold::stripe_request(state, events, first),
                |event| event_id(event).unwrap_or_else(ids),
            )?;
        }
        for decided in it.settlements {
            let id = (decided.id, decided.id.aggregate_id(merchant));
            add(&mut append, context, id, decided, fold::settlement, |_| {
                ids()
            })?;
        }
        if let Some(decided) = it.books {
            let id = ((), books_aggregate_id(merchant));
            add(&mut append, context, id, decided, fold::books, |_| ids())?;
        }
        for decided in it.reconciliations {
            let id = (decided.id, decided.id.aggregate_id(merchant));
            let folded = fold::reconciliation;
            add(&mut append, context, id, decided, folded, |_| ids())?;
        }
        if let Some(decided) = it.offer {
            let id = (decided.id, decided.id.aggregate_id(merchant));
            add(&mut append, context, id, decided, fold::offer, |_| ids())?;
        }
        if let Some(decided) = it.article {
            let id = (decided.id, decided.id.aggregate_id(merchant));
            add(&mut append, context, id, decided, fold::article, |_| ids())?;
        }
        let ids: Vec<(&str, String)> = append
            .streams
            .iter()
            .map(|stream| (stream.aggregate_type, stream.aggregate_id.clone()))
            .collect();
        let nothing =
            append.streams.is_empty() && append.claim.is_none() && append.completes.is_none();
        if !nothing {
            crash_point!("commit-before");
            match self.log.append(append).await {
                Ok(appended) => {
                    crash_point!("commit-after");
                    committed.recorded_at = Some(appended.recorded_at);
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.remember(ids, &committed);
        self.fresh.recorded(intended);
        Ok(committed)
    }

    fn remember(&self, ids: Vec<(&str, String)>, committed: &Committed) {
        for (kind, id) in ids {
            match (kind, &committed.payment, &committed.order) {
                (Payment::TYPE, Some(payment), _) => self.payments.keep(id, payment),
                (Order::TYPE, _, Some(order)) => self.orders.keep(id, order),
                _ => {}
            }
        }
    }
}

/// Adds an aggregate's new events and the rows that follow from them to the append; answers the state after them, none where
/// there are none.
fn add<Id, A: Aggregate + Clone>(
    append: &mut Append,
    context: &Context,
    (id, aggregate_id): (Id, String),
    decided: Decided<Id, A, A::Event>,
    fold: impl FnOnce(Id, &mut Versioned<A>, &[A::Event], usize) -> Vec<RowChange>,
    event_id: impl Fn(&A::Event) -> Uuid,
) -> Result<Option<Arc<Versioned<A>>>, Trouble> {
    if decided.events.is_empty() {
        return Ok(None);
    }
    let mut after = Versioned::clone(&decided.before);
    let rows = fold(id, &mut after, &decided.events, append.event_count());
    append.rows.extend(rows);
    let ids = decided.events.iter().map(event_id);
    append.streams.push(stream::<A>(
        aggregate_id,
        decided.before.version,
        &decided.events,
        ids,
        context,
    )?);
    Ok(Some(Arc::new(after)))
}

fn stream<A: Aggregate>(
    aggregate_id: String,
    expected_version: u64,
    events: &[A::Event],
    ids: impl Iterator<Item = Uuid>,
    context: &Context,
) -> Result<StreamAppend, Trouble> {
    let events: Result<Vec<NewEvent>, serde_json::Error> = events
        .iter()
        .zip(ids)
        .map(|(event, id)| recordable(event, id, context))
        .collect();
    Ok(StreamAppend {
        aggregate_type: A::TYPE,
        aggregate_id,
        expected_version,
        events: events.map_err(|error| Trouble::Broken(error.into()))?,
    })
}

fn recordable<E: DomainEvent>(
    event: &E,
    event_id: Uuid,
    context: &Context,
) -> Result<NewEvent, serde_json::Error> {
    let metadata = EventMetadata {
        event_id,
        claimed_at: context.claimed_at,
        actor: context.actor.clone(),
        command_id: context.command_id,
        correlation_id: context.correlation_id,
        causation_id: context.causation_id,
        reason: context.reason.clone(),
    };
    NewEvent::from_domain(event_id, event, &metadata.to_map())
}

impl From<AppendError> for Trouble {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Conflict { .. } => Self::Conflict,
            AppendError::Claimed(claim) => Self::Claimed(claim),
            AppendError::Unknown => Self::Unknown,
            error @ (AppendError::Invalid(_) | AppendError::Unavailable | AppendError::Closed) => {
                Self::Broken(error.into())
            }
        }
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Broken(error.into())
    }
}

impl From<sqlx::Error> for Trouble {
    fn from(error: sqlx::Error) -> Self {
        Self::Broken(error.into())
    }
}
