//! What is read is what was appended.

use eventstore::{Leaf, StoreError, leaf_hash};

use crate::support::{Database, append, assert_sound, id, raw, stream};
use eventstore::Append;
use uuid::Uuid;

/// Computed by hand from the table in the documentation, in another language.
#[test]
fn the_leaf_hash_is_the_documented_one() {
    let leaf = Leaf {
        ledger: "acme",
        ledger_position: 7,
        aggregate_type: "order",
        aggregate_id: "acme/9",
        sequence: 2,
        event_type: "OrderPaid",
        event_version: "1.0",
        event_id: Uuid::from_u128(0x0000_0000_0000_7000_8000_0000_0000_0001),
        recorded_at_us: 1_700_000_000_123_456,
        payload: r#"{"amount_minor":11200}"#,
        metadata: r#"{"actor":"é"}"#,
    };
    let hex = hex::encode(leaf_hash(&leaf));
    assert_eq!(
        hex,
        "87032878fccb6ff7d8854ea6f3f2dd41b3ee4b406637fbe4cc008be06c29aa63"
    );
    let moved = Leaf {
        ledger: "acm",
        aggregate_type: "eorder",
        ..leaf
    };
    assert_ne!(
        leaf_hash(&moved),
        leaf_hash(&leaf),
        "lengths keep the fields apart"
    );
}

#[tokio::test]
async fn every_reader_gives_the_bytes_that_were_appended() {
    let db = Database::fresh().await;
    let (log, reader) = (db.log().await, db.reader().await);
    let mut odd = append("acme/é", 0);
    // Spacing, the order of keys, duplicates, long numbers and escapes all stay.
    let json =
        "{\"b\": 1.10,\"a\" :[ ],\"b\":12345678901234567890.5, \"c\":\"\\u0000é\"}".to_owned();
    odd.streams[0].events[0].payload =
        serde_json::value::RawValue::from_string(json.clone()).unwrap();
    odd.streams[0].events[0].metadata = raw(serde_json::json!({}));
    let event = odd.streams[0].events[0].clone();
    let appended = log.append(odd).await.unwrap();
    let [from_log] = &reader.read_from(0, 9).await.unwrap()[..] else {
        panic!()
    };
    assert_eq!(from_log.payload, json);
    assert_eq!(
        (from_log.event_id, &*from_log.metadata),
        (event.event_id, "{}")
    );
    assert_eq!((from_log.position, from_log.ledger_position), (1, 1));
    assert_eq!(
        (&*from_log.aggregate_type, &*from_log.aggregate_id),
        ("order", "acme/é")
    );
    assert_eq!(
        (&*from_log.event_type, &*from_log.event_version),
        ("Happened", "1.0")
    );
    assert_eq!(
        (from_log.sequence, from_log.recorded_at),
        (1, appended.recorded_at)
    );
    assert_eq!(
        &reader.read_stream("order", "acme/é", 0).await.unwrap()[0],
        from_log
    );
    assert_eq!(
        &reader.read_ledger("acme", 0, 9).await.unwrap()[0],
        from_log
    );
    let mut replayed = Vec::new();
    reader
        .replay(0, 1, |event| -> Result<(), StoreError> {
            replayed.push(event.clone());
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!(&replayed[0], from_log);
    assert_eq!(from_log.computed_leaf_hash(), from_log.leaf_hash);
}

#[tokio::test]
async fn pages_streams_and_replays_begin_and_end_where_they_are_asked_to() {
    let db = Database::fresh().await;
    let (log, reader) = (db.log().await, db.reader().await);
    for n in 0..10 {
        let ledger = ["acme", "rival"][n % 2];
        let it = Append::new(ledger, id()).stream(stream(&format!("{ledger}/{n}"), 0, 10));
        log.append(it).await.unwrap();
    }
    let page = reader.read_from(17, 5).await.unwrap();
    assert_eq!(
        page.iter().map(|event| event.position).collect::<Vec<_>>(),
        [18, 19, 20, 21, 22]
    );
    let page = reader.read_ledger("rival", 8, 3).await.unwrap();
    assert_eq!(
        page.iter().map(|event| event.position).collect::<Vec<_>>(),
        [19, 20, 31]
    );
    let rest = reader.read_stream("order", "acme/2", 7).await.unwrap();
    assert_eq!(
        rest.iter().map(|event| event.sequence).collect::<Vec<_>>(),
        [8, 9, 10]
    );
    assert_eq!(
        (
            reader.ledger_head("rival").await.unwrap(),
            reader.ledger_head("none").await.unwrap()
        ),
        (50, 0)
    );
    let mut replayed = Vec::new();
    let count = reader
        .replay(17, 63, |event| -> Result<(), StoreError> {
            replayed.push(event.position);
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!((count, replayed), (46, (18..=63).collect()));
    let nothing = reader
        .replay(100, 200, |_| -> Result<(), StoreError> { panic!() })
        .await
        .unwrap();
    assert_eq!(nothing, 0);
    let stopped = reader.replay(0, 100, |event| match event.position {
        5 => Err(StoreError::Invalid("enough".into())),
        _ => Ok(()),
    });
    assert!(matches!(stopped.await, Err(StoreError::Invalid(_))));
    assert_eq!(assert_sound(&reader).await, 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn watchers_hear_of_what_other_logs_append() {
    let db = Database::fresh().await;
    let (one, other) = (db.log().await, db.log().await);
    let mut head = other.watch();
    for version in 0..3 {
        let appended = one.append(append("acme/1", version)).await.unwrap();
        head.wait_for(|head| *head == appended.position)
            .await
            .unwrap();
    }
    // Also after the listener's connection was lost.
    let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                WHERE datname = current_database() AND pid <> pg_backend_pid()";
    sqlx::query(kill)
        .execute(&mut db.owner().await)
        .await
        .unwrap();
    let appended = one.append(append("acme/1", 3)).await.unwrap();
    head.wait_for(|head| *head == appended.position)
        .await
        .unwrap();
}
