//! Followers: every event has its effect once, in order, whatever happens to them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use eventstore::{
    BoxError, Handler, Log, Recorded, SubscribeOptions, Subscription, subscribe, wait_for,
};
use futures::future::join_all;
use sqlx::PgConnection;

use crate::support::{Database, append};

const LONG: Duration = Duration::from_secs(60);

/// Notes each event, so that one handled twice is there twice. Fails after its effect on every page that contains a
/// position divisible by `fails_at`, the first time it sees it.
struct Notes {
    fails_at: i64,
    failed: Arc<AtomicUsize>,
    seen: std::collections::HashSet<i64>,
}

impl Notes {
    fn failing_at(fails_at: i64, failed: &Arc<AtomicUsize>) -> Self {
        Self {
            fails_at,
            failed: Arc::clone(failed),
            seen: Default::default(),
        }
    }
}

impl Handler for Notes {
    async fn handle(&mut self, tx: &mut PgConnection, events: &[Recorded]) -> Result<(), BoxError> {
        for event in events {
            sqlx::query("INSERT INTO notes (position) VALUES ($1)")
                .bind(event.position)
                .execute(&mut *tx)
                .await?;
            if event.position % self.fails_at == 0 && self.seen.insert(event.position) {
                self.failed.fetch_add(1, Ordering::Relaxed);
                return Err("planned".into());
            }
        }
        Ok(())
    }
}

async fn prepare(db: &Database) {
    let table = "CREATE TABLE notes (number bigserial, position bigint)";
    sqlx::raw_sql(table)
        .execute(&mut db.owner().await)
        .await
        .unwrap();
}

async fn follow(db: &Database, log: &Log, handler: impl Handler) -> Subscription {
    let options = SubscribeOptions {
        page: 7,
        ..SubscribeOptions::new(db.pool().await, "notes", log.watch())
    };
    subscribe(options, handler)
}

async fn noted(db: &Database) -> Vec<i64> {
    let sql = "SELECT position FROM notes ORDER BY number";
    sqlx::query_scalar(sql)
        .fetch_all(&mut db.owner().await)
        .await
        .unwrap()
}

/// Red when the checkpoint moves outside the handler's transaction, or without its row being locked.
#[tokio::test(flavor = "multi_thread")]
async fn effects_happen_once_and_in_order_across_two_instances_failures_and_restarts() {
    let db = Database::fresh().await;
    prepare(&db).await;
    let log = db.log().await;
    let failed = Arc::new(AtomicUsize::new(0));
    let writer = tokio::spawn({
        let log = log.clone();
        async move {
            for version in 0..50 {
                let appends = (0..4).map(|n| log.append(append(&format!("acme/{n}"), version)));
                for answer in join_all(appends).await {
                    answer.unwrap();
                }
            }
        }
    });
    for stop_at in [30, 90, 150] {
        let one = follow(&db, &log, Notes::failing_at(31, &failed)).await;
        let other = follow(&db, &log, Notes::failing_at(53, &failed)).await;
        assert!(one.wait_for(stop_at, LONG).await >= stop_at);
        one.stop().await;
        other.stop().await;
    }
    writer.await.unwrap();
    let last = follow(&db, &log, Notes::failing_at(1000, &failed)).await;
    assert_eq!(last.wait_for(200, LONG).await, 200);
    last.stop().await;
    assert!(failed.load(Ordering::Relaxed) > 0, "some pages did fail");
    assert_eq!(noted(&db).await, (1..=200).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_waits_for_a_checkpoint_but_not_for_ever() {
    let db = Database::fresh().await;
    prepare(&db).await;
    let (log, pool) = (db.log().await, db.pool().await);
    assert_eq!(
        wait_for(&pool, "notes", 1, Duration::from_millis(20))
            .await
            .unwrap(),
        0
    );
    let notes = follow(&db, &log, Notes::failing_at(1000, &Arc::default())).await;
    let appended = log.append(append("acme/1", 0)).await.unwrap();
    assert_eq!(notes.wait_for(appended.position, LONG).await, 1);
    assert_eq!(
        wait_for(&pool, "notes", appended.position, LONG)
            .await
            .unwrap(),
        1
    );
    assert_eq!(
        wait_for(&pool, "notes", 2, Duration::from_millis(20))
            .await
            .unwrap(),
        1
    );
    assert_eq!(notes.wait_for(2, Duration::from_millis(20)).await, 1);
    notes.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_hears_of_what_other_logs_append() {
    let db = Database::fresh().await;
    prepare(&db).await;
    let (log, other) = (db.log().await, db.log().await);
    let notes = follow(&db, &log, Notes::failing_at(1000, &Arc::default())).await;
    for version in 0..3 {
        other.append(append("acme/1", version)).await.unwrap();
    }
    assert_eq!(notes.wait_for(3, LONG).await, 3);
    notes.stop().await;
    assert_eq!(noted(&db).await, [1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_is_dropped_stops() {
    let db = Database::fresh().await;
    prepare(&db).await;
    let log = db.log().await;
    let notes = follow(&db, &log, Notes::failing_at(1000, &Arc::default())).await;
    log.append(append("acme/1", 0)).await.unwrap();
    notes.wait_for(1, LONG).await;
    let mut reached = notes.reached();
    drop(notes);
    let ended = async { while reached.changed().await.is_ok() {} };
    tokio::time::timeout(LONG, ended)
        .await
        .expect("its task ends");
}
