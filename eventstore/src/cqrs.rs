//! The log as a cqrs-es event store.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::Arc;

use cqrs_es::persist::{EventUpcaster, SerializedEvent};
use cqrs_es::{Aggregate, AggregateContext, AggregateError, EventEnvelope};
use uuid::Uuid;

use crate::append::{Append, AppendError, NewEvent, StreamAppend};
use crate::{BoxError, Log, Reader, Recorded};

/// Where event and command ids come from: random in service, seeded in tests.
pub type NewId = Arc<dyn Fn() -> Uuid + Send + Sync>;

/// Loads aggregates from the log and commits their events to it. The ledger is what stands before the first `/` of
/// the aggregate's id.
///
/// cqrs-es sees one stream at a time; an append over several streams, or with a claim, goes to [`Log`] itself.
pub struct CqrsStore<A> {
    log: Log,
    reader: Reader,
    upcasters: Arc<[Box<dyn EventUpcaster>]>,
    new_id: NewId,
    aggregate: PhantomData<fn() -> A>,
}

impl<A> Clone for CqrsStore<A> {
    fn clone(&self) -> Self {
        Self {
            log: self.log.clone(),
            reader: self.reader.clone(),
            upcasters: Arc::clone(&self.upcasters),
            new_id: Arc::clone(&self.new_id),
            aggregate: PhantomData,
        }
    }
}

/// An aggregate that was loaded, and the version it was loaded at.
#[derive(Debug, Clone)]
pub struct Loaded<A> {
    /// The aggregate's id.
    pub aggregate_id: String,
    /// Its state.
    pub aggregate: A,
    /// The sequence of the last event in it; 0 when there is none.
    pub version: u64,
}

impl<A: Aggregate> AggregateContext<A> for Loaded<A> {
    fn aggregate(&mut self) -> &mut A {
        &mut self.aggregate
    }
}

impl<A: Aggregate> CqrsStore<A> {
    /// A store whose ids are UUIDv7, without upcasters.
    pub fn new(log: Log, reader: Reader) -> Self {
        Self {
            log,
            reader,
            upcasters: Arc::from(Vec::new()),
            new_id: Arc::new(Uuid::now_v7),
            aggregate: PhantomData,
        }
    }

    /// Applies these, in order, to every event that is loaded.
    #[must_use]
    pub fn with_upcasters(mut self, upcasters: Vec<Box<dyn EventUpcaster>>) -> Self {
        self.upcasters = Arc::from(upcasters);
        self
    }

    /// Takes ids from here.
    #[must_use]
    pub fn with_ids(mut self, new_id: NewId) -> Self {
        self.new_id = new_id;
        self
    }

    /// An aggregate and its version; the default one at version 0 when it has no events.
    ///
    /// # Errors
    /// When the database cannot be read or an event does not have the aggregate's shape.
    pub async fn load(&self, aggregate_id: &str) -> Result<(A, u64), BoxError> {
        let mut aggregate = A::default();
        let mut version = 0;
        for event in self.reader.read_stream(A::TYPE, aggregate_id, 0).await? {
            version = event.sequence;
            aggregate.apply(self.domain_event(&event)?);
        }
        Ok((aggregate, version))
    }

    /// The domain event that was recorded, upcast.
    ///
    /// # Errors
    /// When it does not have the aggregate's shape.
    pub fn domain_event(&self, event: &Recorded) -> Result<A::Event, serde_json::Error> {
        let applies = self
            .upcasters
            .iter()
            .any(|it| it.can_upcast(&event.event_type, &event.event_version));
        if !applies {
            return event.payload_as();
        }
        let serialized = SerializedEvent::new(
            event.aggregate_id.clone(),
            usize::try_from(event.sequence).unwrap_or(usize::MAX),
            event.aggregate_type.clone(),
            event.event_type.clone(),
            event.event_version.clone(),
            event.payload_as()?,
            event.metadata_as()?,
        );
        let upcast = self.upcasters.iter().fold(serialized, |event, upcaster| {
            if upcaster.can_upcast(&event.event_type, &event.event_version) {
                upcaster.upcast(event)
            } else {
                event
            }
        });
        serde_json::from_value(upcast.payload)
    }

    fn envelope(&self, event: &Recorded) -> Result<EventEnvelope<A>, serde_json::Error> {
        Ok(EventEnvelope {
            aggregate_id: event.aggregate_id.clone(),
            sequence: usize::try_from(event.sequence).unwrap_or(usize::MAX),
            payload: self.domain_event(event)?,
            metadata: text_metadata(event)?,
        })
    }
}

/// cqrs-es knows metadata of texts alone; what is not a text is given as its JSON.
fn text_metadata(event: &Recorded) -> Result<HashMap<String, String>, serde_json::Error> {
    let metadata: HashMap<String, serde_json::Value> = event.metadata_as()?;
    let as_text = |value| match value {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    };
    Ok(metadata
        .into_iter()
        .map(|(key, value)| (key, as_text(value)))
        .collect())
}

impl<A: Aggregate> cqrs_es::EventStore<A> for CqrsStore<A> {
    type AC = Loaded<A>;

    async fn load_events(
        &self,
        aggregate_id: &str,
    ) -> Result<Vec<EventEnvelope<A>>, AggregateError<A::Error>> {
        let events = self
            .reader
            .read_stream(A::TYPE, aggregate_id, 0)
            .await
            .map_err(|error| AggregateError::DatabaseConnectionError(error.into()))?;
        events
            .iter()
            .map(|event| self.envelope(event))
            .collect::<Result<_, _>>()
            .map_err(|error| AggregateError::DeserializationError(error.into()))
    }

    async fn load_aggregate(
        &self,
        aggregate_id: &str,
    ) -> Result<Loaded<A>, AggregateError<A::Error>> {
        let (aggregate, version) = self
            .load(aggregate_id)
            .await
            .map_err(AggregateError::UnexpectedError)?;
        Ok(Loaded {
            aggregate_id: aggregate_id.to_owned(),
            aggregate,
            version,
        })
    }

    async fn commit(
        &self,
        events: Vec<A::Event>,
        context: Loaded<A>,
        metadata: HashMap<String, String>,
    ) -> Result<Vec<EventEnvelope<A>>, AggregateError<A::Error>> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let append = self.append_of(&events, &context, &metadata)?;
        self.log.append(append).await.map_err(aggregate_error)?;
        let envelopes = (context.version + 1..)
            .zip(events)
            .map(|(sequence, payload)| EventEnvelope {
                aggregate_id: context.aggregate_id.clone(),
                sequence: usize::try_from(sequence).unwrap_or(usize::MAX),
                payload,
                metadata: metadata.clone(),
            });
        Ok(envelopes.collect())
    }
}

impl<A: Aggregate> CqrsStore<A> {
    fn append_of(
        &self,
        events: &[A::Event],
        context: &Loaded<A>,
        metadata: &HashMap<String, String>,
    ) -> Result<Append, AggregateError<A::Error>> {
        let new_event = |event: &A::Event| NewEvent::from_domain((self.new_id)(), event, metadata);
        let events = events
            .iter()
            .map(new_event)
            .collect::<Result<_, _>>()
            .map_err(|error| AggregateError::UnexpectedError(error.into()))?;
        let ledger = context.aggregate_id.split('/').next().unwrap_or_default();
        Ok(Append::new(ledger, (self.new_id)()).stream(StreamAppend {
            aggregate_type: A::TYPE,
            aggregate_id: context.aggregate_id.clone(),
            expected_version: context.version,
            events,
        }))
    }
}

fn aggregate_error<E: std::error::Error>(error: AppendError) -> AggregateError<E> {
    match error {
        AppendError::Conflict { .. } => AggregateError::AggregateConflict,
        AppendError::Invalid(_) | AppendError::Claimed(_) => {
            AggregateError::UnexpectedError(error.into())
        }
        AppendError::Unavailable | AppendError::Closed | AppendError::Unknown => {
            AggregateError::DatabaseConnectionError(error.into())
        }
    }
}
