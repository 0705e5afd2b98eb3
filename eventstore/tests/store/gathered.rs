//! Reads of streams that are gathered into one query.

use eventstore::{Append, Log, Recorded, StreamReads};
use futures::future::join_all;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::support::{Database, id, stream};

/// Streams of 0 to 9 events, and the number of each is its length.
async fn streams(log: &Log) {
    for length in 1..10 {
        let it = Append::new("acme", id()).stream(stream(&format!("acme/{length}"), 0, length));
        log.append(it).await.unwrap();
    }
}

/// Planted bugs: leaving out the sequence that is asked after; telling the answers by their order among those that have one.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_gets_what_a_read_of_that_stream_alone_would_give() {
    let db = Database::fresh().await;
    let (log, reader) = (db.log().await, db.reader().await);
    streams(&log).await;
    let reads = StreamReads::begin(reader.clone());
    let asked = proptest::collection::vec((0_usize..11, 0_u64..11), 0..40);
    TestRunner::new_with_rng(
        Config::with_cases(48),
        TestRng::deterministic_rng(RngAlgorithm::ChaCha),
    )
    .run(&asked, |asked| {
        let asked: Vec<_> = asked
            .into_iter()
            .map(|(length, after)| (format!("acme/{length}"), after))
            .collect();
        let (together, apart) = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                let read = |(id, after): &(String, u64)| {
                    let (reads, id, after) = (reads.clone(), id.clone(), *after);
                    async move { reads.read_stream("order", &id, after).await.unwrap() }
                };
                let together = join_all(asked.iter().map(read)).await;
                let mut apart: Vec<Vec<Recorded>> = Vec::new();
                for (id, after) in &asked {
                    apart.push(reader.read_stream("order", id, *after).await.unwrap());
                }
                (together, apart)
            })
        });
        prop_assert_eq!(together, apart);
        Ok(())
    })
    .unwrap();
}

/// Planted bug: reading each through the pool.
#[tokio::test]
async fn they_need_no_connection_of_the_pool_once_they_have_theirs() {
    let db = Database::fresh().await;
    let (log, reader) = (db.log().await, db.reader().await);
    streams(&log).await;
    let reads = StreamReads::begin(reader.clone());
    reads.read_stream("order", "acme/1", 0).await.unwrap();
    let most = reader.pool().options().get_max_connections();
    let lent = join_all((0..most).map(|_| reader.pool().acquire())).await;
    assert!(lent.iter().all(Result::is_ok));
    let read = join_all((0..300).map(|_| reads.read_stream("order", "acme/9", 4))).await;
    for events in read {
        let sequences: Vec<u64> = events.unwrap().iter().map(|it| it.sequence).collect();
        assert_eq!(sequences, [5, 6, 7, 8, 9]);
    }
}

/// Planted bug: answering all of a query that failed with its error.
#[tokio::test]
async fn one_that_cannot_be_read_keeps_nobody_else_from_its_answer() {
    let db = Database::fresh().await;
    let (log, reader) = (db.log().await, db.reader().await);
    streams(&log).await;
    let reads = StreamReads::begin(reader);
    // One thread: all three are asked before the first is read.
    let (before, bad, after) = tokio::join!(
        reads.read_stream("order", "acme/3", 0),
        reads.read_stream("order", "acme/\0", 0),
        reads.read_stream("order", "acme/4", 0),
    );
    assert_eq!((before.unwrap().len(), after.unwrap().len()), (3, 4));
    assert!(bad.is_err());
    let next = reads.read_stream("order", "acme/5", 0).await.unwrap();
    assert_eq!(next.len(), 5);
}

/// Planted bug: answering those whose connection was lost with its error.
#[tokio::test]
async fn a_connection_that_is_lost_is_made_again_and_nobody_is_told() {
    let db = Database::fresh().await;
    let (log, reader) = (db.log().await, db.reader().await);
    streams(&log).await;
    let reads = StreamReads::begin(reader);
    for _ in 0..3 {
        let events = reads.read_stream("order", "acme/2", 0).await.unwrap();
        assert_eq!(events.len(), 2);
        let mut owner = db.owner().await;
        let ended: Vec<bool> = sqlx::query_scalar(
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity \
             WHERE datname = current_database() AND application_name = 'counterfoil'",
        )
        .fetch_all(&mut owner)
        .await
        .unwrap();
        assert!(!ended.is_empty() && ended.iter().all(|it| *it));
    }
    assert_eq!(
        reads.read_stream("order", "acme/2", 1).await.unwrap().len(),
        1
    );
}
