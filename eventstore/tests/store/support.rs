//! A database per test, and appends that are quick to write down.

use std::sync::atomic::{AtomicU64, Ordering};

use cluster::Cluster;
use eventstore::{
    Append, Claim, Completion, Log, LogOptions, NewEvent, Reader, Role, StreamAppend, pool,
};
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};
use sqlx::postgres::PgPool;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

const MIGRATIONS: [&str; 3] = [
    include_str!("../../../migrations/0001_event_log.sql"),
    include_str!("../../../migrations/0002_idempotency.sql"),
    include_str!("../../../migrations/0003_subscriptions.sql"),
];

/// A migrated database of its own.
pub struct Database {
    pub url: String,
}

impl Database {
    pub async fn fresh() -> Self {
        let database = Self::empty().await;
        database.migrate().await;
        database
    }

    pub async fn empty() -> Self {
        let create = || Cluster::shared_for_tests().fresh_database("eventstore");
        Self {
            url: tokio::task::spawn_blocking(create).await.unwrap(),
        }
    }

    pub async fn migrate(&self) {
        let mut conn = self.owner().await;
        for migration in MIGRATIONS {
            let mut tx = conn.begin().await.unwrap();
            sqlx::raw_sql(migration).execute(&mut *tx).await.unwrap();
            tx.commit().await.unwrap();
        }
    }

    pub async fn log(&self) -> Log {
        Log::open(LogOptions::new(&self.url)).await.unwrap()
    }

    pub async fn reader(&self) -> Reader {
        Reader::new(self.pool().await)
    }

    pub async fn pool(&self) -> PgPool {
        pool(&self.url, Role::Writer, 8).await.unwrap()
    }

    /// As the owner: what only a test may do.
    pub async fn owner(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
    }
}

/// Ids that are the same in every run of a test.
pub fn id() -> Uuid {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    Uuid::from_u64_pair(0x7000, 1 << 63 | NEXT.fetch_add(1, Ordering::Relaxed))
}

pub fn raw(json: serde_json::Value) -> Box<RawValue> {
    to_raw_value(&json).unwrap()
}

pub fn event(name: &str) -> NewEvent {
    NewEvent {
        event_id: id(),
        event_type: name.into(),
        event_version: "1.0".into(),
        payload: raw(json!({ "name": name })),
        metadata: raw(json!({ "actor": "test" })),
    }
}

/// `count` events for a stream that is expected at a version.
pub fn stream(aggregate_id: &str, expected_version: u64, count: usize) -> StreamAppend {
    StreamAppend {
        aggregate_type: "order",
        aggregate_id: aggregate_id.into(),
        expected_version,
        events: (0..count).map(|_| event("Happened")).collect(),
    }
}

/// One event for one stream; the ledger is the first part of the id.
pub fn append(aggregate_id: &str, expected_version: u64) -> Append {
    let ledger = aggregate_id.split('/').next().unwrap();
    Append::new(ledger, id()).stream(stream(aggregate_id, expected_version, 1))
}

pub fn claim(key: &str) -> Claim {
    Claim {
        scope: "door".into(),
        key: key.into(),
        fingerprint: [7; 32],
        context: raw(json!({ "payment": key })),
    }
}

pub fn completion(key: &str, answer: &str) -> Completion {
    Completion {
        scope: "door".into(),
        key: key.into(),
        answer: raw(json!({ "said": answer })),
    }
}

/// What must hold of every log at any time: positions, ledger positions and sequences are gapless, time does not run
/// backwards, the heads tell the truth, and every hash is that of its row. Gives the number of events.
pub async fn assert_sound(reader: &Reader) -> i64 {
    use std::collections::HashMap;
    let mut position = 0;
    let mut recorded_at = None;
    let mut ledgers: HashMap<String, i64> = HashMap::new();
    let mut streams: HashMap<(String, String), u64> = HashMap::new();
    for event in reader.read_from(0, i64::MAX).await.unwrap() {
        position += 1;
        assert_eq!(event.position, position, "positions are gapless");
        assert!(
            recorded_at <= Some(event.recorded_at),
            "time does not run backwards"
        );
        recorded_at = Some(event.recorded_at);
        let ledger = ledgers.entry(event.ledger.clone()).or_default();
        *ledger += 1;
        assert_eq!(
            event.ledger_position, *ledger,
            "ledger positions are gapless"
        );
        let key = (event.aggregate_type.clone(), event.aggregate_id.clone());
        let version = streams.entry(key).or_default();
        *version += 1;
        assert_eq!(event.sequence, *version, "sequences are gapless");
        assert_eq!(
            event.leaf_hash,
            event.computed_leaf_hash(),
            "hashes are those of their rows"
        );
    }
    assert_eq!(
        reader.head().await.unwrap().position,
        position,
        "the head is the last position"
    );
    for (ledger, at) in ledgers {
        assert_eq!(
            reader.ledger_head(&ledger).await.unwrap(),
            at,
            "so is a ledger's"
        );
    }
    position
}
