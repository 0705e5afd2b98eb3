//! The log under cqrs-es, and under postgres-es.

use cqrs_es::event_sink::EventSink;
use cqrs_es::persist::{PersistedEventRepository, SemanticVersionEventUpcaster};
use cqrs_es::{Aggregate, AggregateError, CqrsFramework, DomainEvent, EventStore};
use eventstore::CqrsStore;
use futures::future::join_all;
use postgres_es::PostgresEventRepository;
use serde::{Deserialize, Serialize};

use crate::support::{Database, assert_sound};

#[derive(Debug, Default, Serialize, Deserialize)]
struct Counter {
    sum: i64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Counted {
    Added { amount: i64 },
}

impl DomainEvent for Counted {
    fn event_type(&self) -> String {
        "Added".into()
    }
    fn event_version(&self) -> String {
        "1.0".into()
    }
}

#[derive(Debug, thiserror::Error)]
#[error("refused")]
struct Refused;

impl Aggregate for Counter {
    const TYPE: &'static str = "counter";
    type Command = i64;
    type Event = Counted;
    type Error = Refused;
    type Services = ();

    async fn handle(
        &mut self,
        amount: i64,
        (): &(),
        sink: &EventSink<Self>,
    ) -> Result<(), Refused> {
        if amount < 0 {
            return Err(Refused);
        }
        if amount > 0 {
            sink.write(Counted::Added { amount }, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, Counted::Added { amount }: Counted) {
        self.sum += amount;
    }
}

async fn store(db: &Database) -> CqrsStore<Counter> {
    CqrsStore::new(db.log().await, db.reader().await)
}

#[tokio::test]
async fn cqrs_es_executes_commands_over_the_log() {
    let db = Database::fresh().await;
    let store = store(&db).await;
    let cqrs = CqrsFramework::new(store.clone(), vec![], ());
    for amount in [1, 0, 2] {
        cqrs.execute("acme/1", amount).await.unwrap();
    }
    assert!(matches!(
        cqrs.execute("acme/1", -1).await,
        Err(AggregateError::UserError(Refused))
    ));
    let (counter, version) = store.load("acme/1").await.unwrap();
    assert_eq!((counter.sum, version), (3, 2));
    let (nobody, version) = store.load("acme/none").await.unwrap();
    assert_eq!((nobody.sum, version), (0, 0));
    let envelopes = store.load_events("acme/1").await.unwrap();
    assert_eq!(envelopes[1].payload, Counted::Added { amount: 2 });
    assert_eq!(
        (envelopes[1].sequence, &*envelopes[1].aggregate_id),
        (2, "acme/1")
    );
    assert_eq!(
        db.reader()
            .await
            .read_ledger("acme", 0, 9)
            .await
            .unwrap()
            .len(),
        2
    );
    let homeless = cqrs.execute("/1", 1).await;
    assert!(matches!(homeless, Err(AggregateError::UnexpectedError(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_commands_conflict_as_cqrs_es_expects() {
    let db = Database::fresh().await;
    let cqrs = CqrsFramework::new(store(&db).await, vec![], ());
    let answers = join_all((0..20).map(|_| cqrs.execute("acme/1", 1))).await;
    let mut taken = 0;
    for answer in answers {
        match answer {
            Ok(()) => taken += 1,
            Err(AggregateError::AggregateConflict) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert!((1..20).contains(&taken), "{taken} of 20");
    assert_eq!(store(&db).await.load("acme/1").await.unwrap().0.sum, taken);
    assert_eq!(assert_sound(&db.reader().await).await, taken);
}

#[tokio::test]
async fn old_events_are_upcast_when_they_are_loaded() {
    let db = Database::fresh().await;
    CqrsFramework::new(store(&db).await, vec![], ())
        .execute("acme/1", 4)
        .await
        .unwrap();
    let double = SemanticVersionEventUpcaster::new(
        "Added",
        "2.0",
        Box::new(|mut payload| {
            payload["Added"]["amount"] = (payload["Added"]["amount"].as_i64().unwrap() * 2).into();
            payload
        }),
    );
    let store = store(&db).await.with_upcasters(vec![Box::new(double)]);
    assert_eq!(store.load("acme/1").await.unwrap().0.sum, 8);
}

#[tokio::test]
async fn postgres_es_reads_the_table() {
    let db = Database::fresh().await;
    let cqrs = CqrsFramework::new(store(&db).await, vec![], ());
    for amount in 1..=3 {
        cqrs.execute("acme/1", amount).await.unwrap();
    }
    cqrs.execute("rival/1", 9).await.unwrap();
    let repository = PostgresEventRepository::new(db.pool().await);
    let events = repository.get_events::<Counter>("acme/1").await.unwrap();
    assert_eq!(
        events
            .iter()
            .map(|event| event.sequence)
            .collect::<Vec<_>>(),
        [1, 2, 3]
    );
    let payload: Counted = serde_json::from_value(events[2].payload.clone()).unwrap();
    assert_eq!(payload, Counted::Added { amount: 3 });
    let last = repository
        .get_last_events::<Counter>("acme/1", 2)
        .await
        .unwrap();
    assert_eq!(last.len(), 1);
    let mut all = repository.stream_all_events::<Counter>().await.unwrap();
    let mut sum = 0;
    while let Some(event) = all.next::<Counter>(&[]).await {
        let Counted::Added { amount } = event.unwrap().payload;
        sum += amount;
    }
    assert_eq!(sum, 1 + 2 + 3 + 9);
}
