//! Connections that break at the worst moment, and backends that stop.

use std::time::Duration;

use eventstore::{Append, AppendError, Log, LogOptions, Reader};
use futures::future::join_all;
use rustix::process::{Pid, Signal, kill_process};
use sqlx::PgConnection;

use crate::proxy::Proxy;
use crate::support::{Database, append, assert_sound, claim, completion, id};

async fn open(db: &Database, proxy: &Proxy, patience: Duration) -> Log {
    let options = LogOptions {
        patience,
        ..LogOptions::new(proxy.url(&db.url))
    };
    Log::open(options).await.unwrap()
}

const PATIENT: Duration = Duration::from_secs(60);
const IMPATIENT: Duration = Duration::from_millis(50);

/// The process that serves the log's writer.
async fn writer_backend(owner: &mut PgConnection) -> Pid {
    let pid: i32 = sqlx::query_scalar(
        "SELECT pid FROM pg_stat_activity \
         WHERE datname = current_database() AND application_name = 'counterfoil-writer'",
    )
    .fetch_one(owner)
    .await
    .unwrap();
    Pid::from_raw(pid).unwrap()
}

/// Asks until the answer is yes; gives up when a person would have.
async fn until(owner: &mut PgConnection, sql: &str) {
    let ask = async {
        while !sqlx::query_scalar::<_, bool>(sql)
            .fetch_one(&mut *owner)
            .await
            .unwrap()
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), ask)
        .await
        .expect(sql);
}

/// Red when a connection is settled without incrementing the epoch: the old statement then commits after the log has
/// looked for it in vain, and its caller is told of a conflict with its own event.
#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_backend_that_wakes_up_later_writes_nothing() {
    let db = Database::fresh().await;
    let proxy = Proxy::start().await;
    let log = open(&db, &proxy, PATIENT).await;
    let mut owner = db.owner().await;
    // The second append prepares the statement that the third one will use, so that one message carries all of it.
    log.append(append("acme/1", 0)).await.unwrap();
    log.append(append("acme/1", 1)).await.unwrap();

    let stopped = writer_backend(&mut owner).await;
    kill_process(stopped, Signal::STOP).unwrap();
    let sent = proxy.client_bytes();
    let third = append("acme/1", 2);
    let event_id = third.streams[0].events[0].event_id;
    let caller = tokio::spawn({
        let log = log.clone();
        async move { log.append(third).await }
    });
    proxy.carried_more_than(sent).await;
    proxy.hold_at(Some(b"INSERT INTO events"));
    proxy.cut();
    // The log has connected again, found nothing, and is about to write once more, when the old backend wakes up.
    proxy.held().await;
    kill_process(stopped, Signal::CONT).unwrap();
    let gone = format!(
        "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = {})",
        stopped.as_raw_nonzero()
    );
    until(&mut owner, &gone).await;
    let reader = db.reader().await;
    assert_eq!(
        assert_sound(&reader).await,
        2,
        "the old statement has written nothing"
    );

    proxy.hold_at(None);
    let appended = caller.await.unwrap().unwrap();
    assert_eq!(appended.position, 3);
    assert_eq!(assert_sound(&reader).await, 3);
    assert_eq!(reader.read_from(2, 9).await.unwrap()[0].event_id, event_id);
    assert_eq!(reader.head().await.unwrap().epoch, 1);
}

/// Red when a batch whose answer was lost counts as not written: its callers then get a conflict with themselves.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_was_lost_is_found() {
    let db = Database::fresh().await;
    let proxy = Proxy::start().await;
    let log = open(&db, &proxy, PATIENT).await;
    let (reader, mut owner) = (db.reader().await, db.owner().await);
    log.append(append("acme/1", 0)).await.unwrap();
    log.append(append("acme/1", 1).claim(claim("a")))
        .await
        .unwrap();
    log.append(Append::new("acme", id()).completes(completion("a", "one")))
        .await
        .unwrap();
    log.append(Append::new("acme", id()).claim(claim("b")))
        .await
        .unwrap();
    log.append(append("acme/1", 2)).await.unwrap();

    // Each is of a shape that was prepared above, so that the statement is sent as one message. What proves it to be
    // stored is an event, an answer, a claim.
    let appends = [
        append("acme/1", 3),
        Append::new("acme", id()).completes(completion("b", "two")),
        Append::new("acme", id()).claim(claim("c")),
    ];
    for (epoch, append) in (1..).zip(appends) {
        let batch = reader.head().await.unwrap().batch;
        if epoch > 1 {
            prepare_again(&log, epoch).await;
        }
        let batch = batch + if epoch > 1 { 3 } else { 0 };
        proxy.deaf(true);
        let caller = tokio::spawn({
            let log = log.clone();
            async move { log.append(append).await }
        });
        until(
            &mut owner,
            &format!("SELECT batch = {} FROM log_head", batch + 1),
        )
        .await;
        proxy.deaf(false);
        proxy.cut();
        caller
            .await
            .unwrap()
            .expect("it is stored, and that is what its caller hears");
        let head = reader.head().await.unwrap();
        assert_eq!(
            (head.batch, head.epoch),
            (batch + 1, epoch),
            "it is stored once"
        );
    }
    assert_eq!(assert_sound(&reader).await, 4);
}

/// On a new connection, statements of the shapes that the loop above sends are prepared once more.
async fn prepare_again(log: &Log, round: i64) {
    let key = format!("again-{round}");
    log.append(Append::new("acme", id()).claim(claim(&key)))
        .await
        .unwrap();
    log.append(Append::new("acme", id()).completes(completion(&key, "again")))
        .await
        .unwrap();
    log.append(Append::new("acme", id()).claim(claim(&format!("{key}-more"))))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_are_told_the_truth_however_often_the_backend_is_killed() {
    let db = Database::fresh().await;
    let proxy = Proxy::start().await;
    let log = open(&db, &proxy, PATIENT).await;
    let callers = (0..16).map(|n| {
        let log = log.clone();
        tokio::spawn(async move {
            for version in 0..20 {
                let key = format!("{n}-{version}");
                log.append(append(&format!("acme/{n}"), version).claim(claim(&key)))
                    .await
                    .unwrap();
            }
        })
    });
    let callers: Vec<_> = callers.collect();
    let mut owner = db.owner().await;
    for round in 1..=6 {
        // Cut by turns at the server and on the wire, whenever some more has been written.
        until(
            &mut owner,
            &format!("SELECT position >= {} FROM log_head", round * 40),
        )
        .await;
        let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                    WHERE datname = current_database() AND application_name = 'counterfoil-writer'";
        match round % 2 {
            0 => drop(sqlx::query(kill).execute(&mut owner).await.unwrap()),
            _ => proxy.cut(),
        }
    }
    for caller in callers {
        caller.await.unwrap();
    }
    assert_eq!(assert_sound(&db.reader().await).await, 16 * 20);
    assert!(db.reader().await.head().await.unwrap().epoch > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_is_away_nobody_waits_for_ever_and_nothing_is_claimed() {
    let db = Database::fresh().await;
    let proxy = Proxy::start().await;
    let log = open(&db, &proxy, IMPATIENT).await;
    let (reader, mut owner) = (db.reader().await, db.owner().await);
    log.append(append("acme/1", 0)).await.unwrap();
    log.append(append("acme/1", 1)).await.unwrap();

    proxy.deaf(true);
    proxy.refuse(true);
    let in_flight = tokio::spawn({
        let log = log.clone();
        async move { log.append(append("acme/1", 2)).await }
    });
    until(&mut owner, "SELECT position = 3 FROM log_head").await;
    proxy.cut();
    let unknown = in_flight.await.unwrap().unwrap_err();
    assert!(matches!(unknown, AppendError::Unknown), "{unknown}");
    let refused = log.append(append("acme/2", 0)).await.unwrap_err();
    assert!(matches!(refused, AppendError::Unavailable), "{refused}");

    proxy.deaf(false);
    proxy.refuse(false);
    log.append(append("acme/3", 0)).await.unwrap();
    assert_eq!(
        assert_sound(&reader).await,
        4,
        "what was in flight, and what came after"
    );
    assert!(
        reader
            .read_stream("order", "acme/2", 0)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        reader.head().await.unwrap().epoch,
        1,
        "what was in flight is settled first"
    );
    let conflict = log.append(append("acme/1", 2)).await.unwrap_err();
    assert!(
        matches!(conflict, AppendError::Conflict { actual: 3, .. }),
        "{conflict}"
    );
}

/// Red when positions come from a sequence, or when a batch does not depend on the head's row.
#[tokio::test(flavor = "multi_thread")]
async fn no_reader_skips_an_event_while_another_transaction_is_held_open() {
    let db = Database::fresh().await;
    let (log, reader) = (db.log().await, db.reader().await);
    let (mut slow, mut owner) = (db.owner().await, db.owner().await);
    // An older transaction that writes elsewhere holds nobody up.
    let mut older = db.owner().await;
    sqlx::raw_sql("BEGIN; INSERT INTO checkpoints (name, position) VALUES ('x', 0)")
        .execute(&mut older)
        .await
        .unwrap();
    log.append(append("acme/1", 0)).await.unwrap();
    assert_eq!(reader.read_from(0, 9).await.unwrap().len(), 1);

    // Another writer has position 2 and does not commit yet.
    sqlx::raw_sql(
        "BEGIN; UPDATE log_head SET position = 2, batch = batch + 1; \
         INSERT INTO ledger_heads VALUES ('rival', 1); \
         INSERT INTO events SELECT aggregate_type, 'rival/1', 1, event_type, event_version, payload, metadata, \
         'rival', 2, 1, event_id, recorded_at, leaf_hash FROM events",
    )
    .execute(&mut slow)
    .await
    .unwrap();
    let third = tokio::spawn({
        let log = log.clone();
        async move { log.append(append("acme/1", 1)).await }
    });
    until(
        &mut owner,
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() \
         AND application_name = 'counterfoil-writer' AND wait_event_type = 'Lock')",
    )
    .await;
    assert!(
        reader.read_from(1, 9).await.unwrap().is_empty(),
        "nothing stands beyond what is not there yet"
    );
    sqlx::raw_sql("COMMIT").execute(&mut slow).await.unwrap();
    assert_eq!(third.await.unwrap().unwrap().position, 3);
    let positions = positions_after(&reader, 1).await;
    assert_eq!(positions, [2, 3]);
}

async fn positions_after(reader: &Reader, position: i64) -> Vec<i64> {
    reader
        .read_from(position, 9)
        .await
        .unwrap()
        .iter()
        .map(|event| event.position)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_database_refuses_is_refused_to_its_own_caller_alone() {
    let db = Database::fresh().await;
    let log = db.log().await;
    sqlx::raw_sql("ALTER TABLE events ADD CHECK (event_type <> 'Unwanted')")
        .execute(&mut db.owner().await)
        .await
        .unwrap();
    let appends = (0..12).map(|n| {
        let mut it = append(&format!("acme/{n}"), 0);
        if n % 4 == 0 {
            it.streams[0].events[0].event_type = "Unwanted".into();
        }
        log.append(it)
    });
    for (n, answer) in join_all(appends).await.into_iter().enumerate() {
        match answer {
            Ok(_) => assert_ne!(n % 4, 0),
            Err(AppendError::Invalid(what)) => {
                assert!(n % 4 == 0 && what.contains("23514"), "{what}")
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(assert_sound(&db.reader().await).await, 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_that_kills_every_connection_is_given_up_and_nobody_else_is() {
    let db = Database::fresh().await;
    sqlx::raw_sql(
        "CREATE FUNCTION die() RETURNS trigger SECURITY DEFINER LANGUAGE plpgsql AS $$ BEGIN \
         IF NEW.event_type = 'Deadly' THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF; RETURN NEW; END $$; \
         CREATE TRIGGER die BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION die()",
    )
    .execute(&mut db.owner().await)
    .await
    .unwrap();
    let log = db.log().await;
    let mut deadly = append("acme/1", 0);
    deadly.streams[0].events[0].event_type = "Deadly".into();
    let refused = log.append(deadly).await.unwrap_err();
    assert!(matches!(refused, AppendError::Unavailable), "{refused}");
    log.append(append("acme/1", 0)).await.unwrap();
    assert_eq!(assert_sound(&db.reader().await).await, 1);
}
