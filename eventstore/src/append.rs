//! What is appended, and what may be said about it afterwards.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::rows::RowChange;

/// One atomic unit: events of one or several streams of one ledger, an idempotency claim, an answer to one, and
/// the read-model rows that follow from the events. All of it commits, or none.
#[derive(Debug, Clone)]
pub struct Append {
    /// The ledger (merchant) all of it belongs to: not empty, without `/`.
    pub ledger: String,
    /// The command this is the work of; stored with the claim.
    pub command_id: Uuid,
    /// At most one entry per stream. May be empty where only a claim is made or answered.
    pub streams: Vec<StreamAppend>,
    /// An idempotency claim to make; [`AppendError::Claimed`] when it is taken.
    pub claim: Option<Claim>,
    /// An answer to a claim made earlier, or by this very append.
    pub completes: Option<Completion>,
    /// Read-model rows, in the order in which they are folded.
    pub rows: Vec<RowChange>,
}

impl Append {
    /// An append of nothing yet, to be filled with struct update syntax or the methods below.
    pub fn new(ledger: impl Into<String>, command_id: Uuid) -> Self {
        Self {
            ledger: ledger.into(),
            command_id,
            streams: Vec::new(),
            claim: None,
            completes: None,
            rows: Vec::new(),
        }
    }

    /// Adds the events of one stream.
    #[must_use]
    pub fn stream(mut self, stream: StreamAppend) -> Self {
        self.streams.push(stream);
        self
    }

    /// Makes an idempotency claim with it.
    #[must_use]
    pub fn claim(mut self, claim: Claim) -> Self {
        self.claim = Some(claim);
        self
    }

    /// Answers an idempotency claim with it.
    #[must_use]
    pub fn completes(mut self, completion: Completion) -> Self {
        self.completes = Some(completion);
        self
    }

    /// How many events it holds, over all streams.
    pub fn event_count(&self) -> usize {
        self.streams.iter().map(|s| s.events.len()).sum()
    }

    /// Its events in the order in which they will be recorded, with the index that [`RowChange::event`] speaks of.
    pub fn events(&self) -> impl Iterator<Item = (usize, &StreamAppend, &NewEvent)> {
        self.streams
            .iter()
            .flat_map(|s| s.events.iter().map(move |e| (s, e)))
            .enumerate()
            .map(|(index, (stream, event))| (index, stream, event))
    }
}

/// The new events of one stream, and the version they were decided on.
#[derive(Debug, Clone)]
pub struct StreamAppend {
    /// The aggregate's type, as in `cqrs_es::Aggregate::TYPE`.
    pub aggregate_type: &'static str,
    /// `ledger/…`: begins with the append's ledger and a slash.
    pub aggregate_id: String,
    /// The sequence of the last event the decision has seen; 0 when the stream must not exist yet.
    pub expected_version: u64,
    /// At least one.
    pub events: Vec<NewEvent>,
}

/// An event that is not recorded yet.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// Unique; made by the caller, before the effect it announces (Stripe's idempotency key derives from it).
    pub event_id: Uuid,
    /// The event's name.
    pub event_type: String,
    /// The version of its shape, for upcasters.
    pub event_version: String,
    /// The fact; its bytes are stored as they are.
    pub payload: Box<RawValue>,
    /// Who, why, caused by what; its bytes are stored as they are.
    pub metadata: Box<RawValue>,
}

impl NewEvent {
    /// Serialises a domain event: type and version are the event's own, the payload is its serde form.
    ///
    /// # Errors
    /// When the event or its metadata do not serialise to JSON.
    pub fn from_domain<E: cqrs_es::DomainEvent>(
        event_id: Uuid,
        event: &E,
        metadata: &impl Serialize,
    ) -> Result<Self, serde_json::Error> {
        Ok(Self {
            event_id,
            event_type: event.event_type(),
            event_version: event.event_version(),
            payload: serde_json::value::to_raw_value(event)?,
            metadata: serde_json::value::to_raw_value(metadata)?,
        })
    }
}

/// An idempotency claim to be made: ledger, scope and key together are unique.
#[derive(Debug, Clone)]
pub struct Claim {
    /// What the key is unique within, such as a door.
    pub scope: String,
    /// The caller's idempotency key.
    pub key: String,
    /// Keyed hash of the request; never covers a CVC.
    pub fingerprint: [u8; 32],
    /// JSON for whoever joins the running command. Opaque to the store.
    pub context: Box<RawValue>,
}

/// The answer to a claim.
#[derive(Debug, Clone)]
pub struct Completion {
    /// The claim's scope.
    pub scope: String,
    /// The claim's key.
    pub key: String,
    /// JSON to answer a retry from. Opaque to the store; holds no client secret.
    pub answer: Box<RawValue>,
}

/// A claim that stands in the database.
#[derive(Debug, Clone)]
pub struct ExistingClaim {
    /// The ledger it was made in.
    pub ledger: String,
    /// What the key is unique within.
    pub scope: String,
    /// The caller's idempotency key.
    pub key: String,
    /// Keyed hash of the request that made it.
    pub fingerprint: [u8; 32],
    /// The command that made it.
    pub command_id: Uuid,
    /// JSON kept with the claim.
    pub context: Box<RawValue>,
    /// The answer; none while the command runs or its outcome is unknown.
    pub answer: Option<Box<RawValue>>,
    /// When it was made, by the database's clock.
    pub created_at: DateTime<Utc>,
    /// When it was answered, by the database's clock.
    pub completed_at: Option<DateTime<Utc>>,
}

/// An append is durable: where its events stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Position of the last event; where there were none, that of the log's last event.
    pub position: i64,
    /// Position of the first event; `position + 1` where there were none.
    pub first_position: i64,
    /// Position of the last event within its ledger; where there were none, that of the ledger's last event.
    pub ledger_position: i64,
    /// Position of the first event within its ledger; `ledger_position + 1` where there were none.
    pub first_ledger_position: i64,
    /// When it was recorded, by the database's clock.
    pub recorded_at: DateTime<Utc>,
}

/// Why an append was not made. Every variant but [`Unknown`](Self::Unknown) means that nothing of it is stored and
/// that nothing of it will be.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// The stream has moved on since the caller read it (or never was where the caller thinks): load and decide
    /// again. Nothing was written.
    #[error(
        "{aggregate_type} {aggregate_id} is at version {actual}, not {expected}; nothing was written"
    )]
    Conflict {
        /// The stream's type.
        aggregate_type: &'static str,
        /// The stream's id.
        aggregate_id: String,
        /// The version the caller decided on.
        expected: u64,
        /// The version the stream has, at least.
        actual: u64,
    },
    /// The claim is already made, or the claim to be answered already has its answer. Nothing was written.
    #[error("the idempotency key is already claimed; nothing was written")]
    Claimed(Box<ExistingClaim>),
    /// The append contradicts itself or the schema; trying again will not help. Nothing was written.
    #[error("invalid append: {0}; nothing was written")]
    Invalid(String),
    /// The database cannot be reached or is out of resources. Nothing was written; trying again may help.
    #[error("the database is unavailable; nothing was written")]
    Unavailable,
    /// The log is closed. Nothing was written.
    #[error("the log is closed; nothing was written")]
    Closed,
    /// The connection was lost at commit and the database has been out of reach since, so the log cannot tell yet.
    /// The append may be stored. Ask for the claim, or load the stream, once the database is back.
    #[error("the connection was lost at commit; whether it was written is not known yet")]
    Unknown,
}
