//! Events to row changes, a page at a time: the folds of the append, and the journal's lines, for a shadow to be filled with.

use crate::TABLES;
use crate::fold::{self, Versioned};
use crate::journal::{self, Closings};
use aggregates::books::Books;
use aggregates::catalogue::{Article, Offer};
use aggregates::ids::{ArticleId, OfferId, OrderId, PaymentId, ReconciliationId, SettlementId};
use aggregates::ledger::Entry;
use aggregates::order::Order;
use aggregates::payment::Payment;
use aggregates::reconciliation::Reconciliation;
use aggregates::settlement::Settlement;
use aggregates::stripe_request::StripeRequest;
use chrono::{DateTime, Utc};
use cqrs_es::Aggregate;
use eventstore::{BoxError, Kind, Merge, Reader, Recorded, RowChange};
use std::collections::HashMap;
use std::future::Future;
use tokio::task::yield_now;
use uuid::Uuid;

/// A row change, and the event that makes it.
#[derive(Debug, Clone)]
pub struct Change {
    pub row: RowChange,
    /// Position of the event, and when it was recorded.
    pub position: i64,
    pub recorded_at: DateTime<Utc>,
}

/// What turns events into row changes.
pub trait Refolds: Send {
    /// The changes that a page of events makes; pages of the log, or of one ledger, come in order and without a gap. The changes of
    /// one row come in the order of their events.
    fn changes(
        &mut self,
        reader: &Reader,
        events: &[Recorded],
    ) -> impl Future<Output = Result<Vec<Change>, BoxError>> + Send;
}

/// The folds of this program. What it keeps in memory is bounded, and only a shortcut: what is missing is read from the log.
pub struct Refold {
    orders: Streams<Order>,
    payments: Streams<Payment>,
    requests: Streams<StripeRequest>,
    settlements: Streams<Settlement>,
    offers: Streams<Offer>,
    articles: Streams<Article>,
    reconciliations: Streams<Reconciliation>,
    /// Of all ledgers that it sees: it sees each from its start.
    closings: Closings,
}

impl Default for Refold {
    fn default() -> Self {
        Self::keeping(KEPT)
    }
}

impl Refold {
    /// Keeps so many aggregates of each type between pages: memory against reading again.
    pub fn keeping(aggregates: usize) -> Self {
        Self {
            orders: Streams::keeping(aggregates),
            payments: Streams::keeping(aggregates),
            requests: Streams::keeping(aggregates),
            settlements: Streams::keeping(aggregates),
            offers: Streams::keeping(aggregates),
            articles: Streams::keeping(aggregates),
            reconciliations: Streams::keeping(aggregates),
            closings: Closings::default(),
        }
    }
}

impl Refolds for Refold {
    async fn changes(
        &mut self,
        reader: &Reader,
        events: &[Recorded],
    ) -> Result<Vec<Change>, BoxError> {
        let mut of_type: HashMap<&str, Vec<&Recorded>> = HashMap::new();
        for event in events {
            self.closings.note(event)?;
            let same = of_type.entry(&event.aggregate_type).or_default();
            same.push(event);
        }
        let mut changes = Vec::with_capacity(events.len());
        for (aggregate_type, events) in of_type {
            let to = &mut To {
                changes: &mut changes,
                closings: &self.closings,
            };
            match aggregate_type {
                Order::TYPE => self.orders.fold(reader, &events, to).await?,
                Payment::TYPE => self.payments.fold(reader, &events, to).await?,
                StripeRequest::TYPE => self.requests.fold(reader, &events, to).await?,
                Settlement::TYPE => self.settlements.fold(reader, &events, to).await?,
                Offer::TYPE => self.offers.fold(reader, &events, to).await?,
                Article::TYPE => self.articles.fold(reader, &events, to).await?,
                Reconciliation::TYPE => self.reconciliations.fold(reader, &events, to).await?,
                // Its closings are noted already, and leave no rows.
                Books::TYPE => {}
                // Rows of theirs that are live would be lost by a swap.
                other => return Err(format!("this program folds no events of a {other}").into()),
            }
        }
        Ok(changes)
    }
}

/// Where the changes go, and what decides in which month they are posted.
struct To<'a> {
    changes: &'a mut Vec<Change>,
    closings: &'a Closings,
}

/// How many aggregates of a type are kept between pages unless told, at most twice as many and those of a page.
const KEPT: usize = 20_000;

/// After so many streams, others may go on.
const YIELDS: usize = 64;

/// Aggregates as their events have left them: those of the latest pages, and of the ones before.
struct Streams<A> {
    young: HashMap<String, Versioned<A>>,
    old: HashMap<String, Versioned<A>>,
    kept: usize,
}

impl<A> Streams<A> {
    fn keeping(kept: usize) -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            kept,
        }
    }
}

impl<A: Folded> Streams<A> {
    async fn fold(
        &mut self,
        reader: &Reader,
        events: &[&Recorded],
        to: &mut To<'_>,
    ) -> Result<(), BoxError> {
        let mut streams: HashMap<&str, Vec<&Recorded>> = HashMap::new();
        for event in events {
            let stream = streams.entry(&event.aggregate_id).or_default();
            stream.push(event);
        }
        let missing = self.missing(&streams);
        self.read(reader, &missing).await?;
        for (number, (id, events)) in streams.into_iter().enumerate() {
            // The page before is being written meanwhile, by the same task.
            if number % YIELDS == 0 {
                yield_now().await;
            }
            let mut state = self.take(id);
            fold_stream(id, &mut state, &events, to)?;
            self.young.insert(id.to_owned(), state);
        }
        if self.young.len() > self.kept {
            self.old = std::mem::take(&mut self.young);
        }
        Ok(())
    }

    /// The streams whose state before their first event of the page is not known, with that event's sequence.
    fn missing(&self, streams: &HashMap<&str, Vec<&Recorded>>) -> Vec<(String, u64)> {
        let mut missing = Vec::new();
        for (id, events) in streams {
            let kept = self.young.get(*id).or_else(|| self.old.get(*id));
            let next = kept.map_or(0, |it| it.version) + 1;
            let first = events.first().map(|it| it.sequence);
            missing.extend(
                first
                    .filter(|it| *it != next)
                    .map(|it| ((*id).to_owned(), it)),
            );
        }
        missing
    }

    async fn read(&mut self, reader: &Reader, missing: &[(String, u64)]) -> Result<(), BoxError> {
        if missing.is_empty() {
            return Ok(());
        }
        for (id, _) in missing {
            self.old.remove(id);
            self.young.insert(id.clone(), Versioned::default());
        }
        for event in reader.read_streams_before(A::TYPE, missing).await? {
            let state = self.young.entry(event.aggregate_id.clone()).or_default();
            state.state.apply(event.payload_as()?);
            state.version = event.sequence;
        }
        Ok(())
    }

    fn take(&mut self, id: &str) -> Versioned<A> {
        let kept = self.young.remove(id);
        kept.or_else(|| self.old.remove(id)).unwrap_or_default()
    }
}

/// Folds what a page holds of one stream, at once: the same rows as event by event, but fewer.
fn fold_stream<A: Folded>(
    id: &str,
    state: &mut Versioned<A>,
    events: &[&Recorded],
    to: &mut To<'_>,
) -> Result<(), BoxError> {
    let uuid: Uuid = id.rsplit('/').next().unwrap_or_default().parse()?;
    let is_new = state.version == 0;
    let mut facts = Vec::with_capacity(events.len());
    for (event, sequence) in events.iter().zip(state.version + 1..) {
        if event.sequence != sequence {
            return Err(format!("{id}: event {sequence} is missing").into());
        }
        facts.push(event.payload_as::<A::Event>()?);
    }
    let mut posted = Vec::new();
    let rows = A::rows(uuid, state, &facts, &mut |event, entries| {
        posted.push((event, entries.to_vec()));
    });
    for row in rows {
        let event = events[row.event];
        let change = |of: &Recorded, row| Change {
            row,
            position: of.position,
            recorded_at: of.recorded_at,
        };
        if is_new && row.event > 0 && keeps_a_time(row.table) {
            to.changes.push(change(events[0], row.clone()));
        }
        to.changes.push(change(event, row));
    }
    for (index, entries) in posted {
        let event = events[index];
        let happened_at = A::happened_at(event, &facts[index])?;
        let closed = to.closings.before(event);
        for row in journal::lines(event, &entries, happened_at, closed)? {
            to.changes.push(Change {
                row,
                position: event.position,
                recorded_at: event.recorded_at,
            });
        }
    }
    Ok(())
}

/// Whether the table keeps the time of a row's first event.
fn keeps_a_time(table: &str) -> bool {
    let mut columns = TABLES
        .iter()
        .filter(|it| it.name == table)
        .flat_map(|it| it.columns);
    columns.any(|it| it.merge == Merge::Keep && it.kind == Kind::Timestamptz)
}

/// An aggregate whose events leave rows.
trait Folded: Aggregate {
    /// The append's own fold; `posted` is told which event posts what.
    fn rows(
        id: Uuid,
        state: &mut Versioned<Self>,
        events: &[Self::Event],
        posted: &mut dyn FnMut(usize, &[Entry]),
    ) -> Vec<RowChange>;

    /// When what the event tells of happened, where somebody says so.
    fn happened_at(
        event: &Recorded,
        _fact: &Self::Event,
    ) -> Result<Option<DateTime<Utc>>, BoxError> {
        journal::claimed_at(event)
    }
}

impl Folded for Order {
    fn rows(
        id: Uuid,
        state: &mut Versioned<Self>,
        events: &[Self::Event],
        posted: &mut dyn FnMut(usize, &[Entry]),
    ) -> Vec<RowChange> {
        fold::order_posting(OrderId::from_uuid(id), state, events, 0, posted)
    }
}

impl Folded for Payment {
    fn rows(
        id: Uuid,
        state: &mut Versioned<Self>,
        events: &[Self::Event],
        posted: &mut dyn FnMut(usize, &[Entry]),
    ) -> Vec<RowChange> {
        fold::payment_posting(PaymentId::from_uuid(id), state, events, 0, posted)
    }
}

impl Folded for Settlement {
    fn rows(
        id: Uuid,
        state: &mut Versioned<Self>,
        events: &[Self::Event],
        posted: &mut dyn FnMut(usize, &[Entry]),
    ) -> Vec<RowChange> {
        fold::settlement_posting(SettlementId::from_uuid(id), state, events, 0, posted)
    }

    fn happened_at(
        _event: &Recorded,
        fact: &Self::Event,
    ) -> Result<Option<DateTime<Utc>>, BoxError> {
        Ok(journal::settled_at(fact))
    }
}

impl Folded for StripeRequest {
    fn rows(
        _id: Uuid,
        state: &mut Versioned<Self>,
        events: &[Self::Event],
        _posted: &mut dyn FnMut(usize, &[Entry]),
    ) -> Vec<RowChange> {
        fold::stripe_request(state, events, 0)
    }
}

impl Folded for Offer {
    fn rows(
        id: Uuid,
        state: &mut Versioned<Self>,
        events: &[Self::Event],
        _posted: &mut dyn FnMut(usize, &[Entry]),
    ) -> Vec<RowChange> {
        fold::offer(OfferId::from_uuid(id), state, events, 0)
    }
}

impl Folded for Article {
    fn rows(
        id: Uuid,
        state: &mut Versioned<Self>,
        events: &[Self::Event],
        _posted: &mut dyn FnMut(usize, &[Entry]),
    ) -> Vec<RowChange> {
        fold::article(ArticleId::from_uuid(id), state, events, 0)
    }
}

impl Folded for Reconciliation {
    fn rows(
        id: Uuid,
        state: &mut Versioned<Self>,
        events: &[Self::Event],
        _posted: &mut dyn FnMut(usize, &[Entry]),
    ) -> Vec<RowChange> {
        fold::reconciliation(ReconciliationId::from_uuid(id), state, events, 0)
    }
}
