//! The log as it is stored, stream by stream: one aggregate's whole history lies together, so that one at a time is in memory.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;
use uuid::Uuid;

/// How many events are in memory at a time.
const PAGE: i64 = 1000;

/// One stored event.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct Event {
    #[sqlx(rename = "aggregate_type")]
    pub kind: String,
    pub aggregate_id: String,
    pub sequence: i64,
    pub event_type: String,
    pub event_version: String,
    pub payload: String,
    pub metadata: String,
    pub ledger: String,
    pub position: i64,
    pub ledger_position: i64,
    pub event_id: Uuid,
    pub recorded_at: DateTime<Utc>,
    pub leaf_hash: Vec<u8>,
}

/// What an event says.
pub(crate) struct Said {
    /// The event's name, as its payload has it.
    pub name: String,
    pub body: Value,
    pub metadata: Value,
}

/// Reads the log in the order of its primary key.
#[derive(Default)]
pub(crate) struct Pages {
    last: Option<(String, String, i64)>,
}

impl Pages {
    /// The next events; none at the end.
    pub async fn next(&mut self, connection: &mut PgConnection) -> Result<Vec<Event>, sqlx::Error> {
        let (kind, id, sequence) = self.last.clone().unwrap_or_default();
        let page: Vec<Event> = sqlx::query_as(
            "select aggregate_type, aggregate_id, sequence, event_type, event_version, payload::text as payload,
                    metadata::text as metadata, ledger, position, ledger_position, event_id, recorded_at, leaf_hash
             from events where (aggregate_type, aggregate_id, sequence) > ($1, $2, $3)
             order by aggregate_type, aggregate_id, sequence limit $4",
        )
        .bind(kind)
        .bind(id)
        .bind(sequence)
        .bind(PAGE)
        .fetch_all(connection)
        .await?;
        if let Some(last) = page.last() {
            self.last = Some((last.kind.clone(), last.aggregate_id.clone(), last.sequence));
        }
        Ok(page)
    }
}

impl Event {
    /// What it says: the payload names the event, with what belongs to it, or is but the name.
    pub fn said(&self) -> Result<Said, String> {
        let unreadable = |error: serde_json::Error| format!("its JSON cannot be read: {error}");
        let payload: Value = serde_json::from_str(&self.payload).map_err(unreadable)?;
        let metadata: Value = serde_json::from_str(&self.metadata).map_err(unreadable)?;
        let (name, body) = match payload {
            Value::String(name) => (name, Value::Null),
            Value::Object(fields) if fields.len() == 1 => {
                let one = fields.into_iter().next();
                one.ok_or_else(|| "its payload names no event".to_owned())?
            }
            _ => return Err("its payload names no event".to_owned()),
        };
        Ok(Said {
            name,
            body,
            metadata,
        })
    }

    /// The stream, as people are told of it.
    pub fn stream(&self) -> String {
        format!("{} {}", self.kind, self.aggregate_id)
    }

    /// Whether the hash beside it is that of what is stored, computed as the schema documents it: SHA-256 of the bytes 0 and 1 and
    /// every column but `position`, big-endian, texts after their length in 32 bits.
    pub fn is_as_hashed(&self) -> bool {
        let mut hash = Sha256::new_with_prefix([0, 1]);
        text(&mut hash, &self.ledger);
        hash.update(self.ledger_position.to_be_bytes());
        text(&mut hash, &self.kind);
        text(&mut hash, &self.aggregate_id);
        hash.update(self.sequence.to_be_bytes());
        text(&mut hash, &self.event_type);
        text(&mut hash, &self.event_version);
        hash.update(self.event_id.as_bytes());
        hash.update(self.recorded_at.timestamp_micros().to_be_bytes());
        text(&mut hash, &self.payload);
        text(&mut hash, &self.metadata);
        self.leaf_hash == hash.finalize().as_slice()
    }
}

fn text(hash: &mut Sha256, it: &str) {
    let length = u32::try_from(it.len()).expect("PostgreSQL holds no text of 4 GiB");
    hash.update(length.to_be_bytes());
    hash.update(it);
}
