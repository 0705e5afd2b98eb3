//! What one append does, and what it refuses.

use eventstore::{Append, AppendError, Log, LogOptions, StreamAppend};

use crate::support::{Database, append, assert_sound, claim, completion, event, id, stream};

#[tokio::test]
async fn an_append_says_where_its_events_stand() {
    let db = Database::fresh().await;
    let (log, reader) = (db.log().await, db.reader().await);
    let first = log.append(append("acme/1", 0)).await.unwrap();
    assert_eq!((first.first_position, first.position), (1, 1));
    assert_eq!((first.first_ledger_position, first.ledger_position), (1, 1));
    log.append(append("rival/1", 0)).await.unwrap();
    let both = Append::new("acme", id())
        .stream(stream("acme/1", 1, 2))
        .stream(stream("acme/2", 0, 1));
    let both = log.append(both).await.unwrap();
    assert_eq!((both.first_position, both.position), (3, 5));
    assert_eq!((both.first_ledger_position, both.ledger_position), (2, 4));
    assert_eq!(
        *log.watch().borrow(),
        5,
        "own appends are announced before they are answered"
    );
    assert_eq!(assert_sound(&reader).await, 5);
}

#[tokio::test]
async fn a_decision_on_an_old_version_is_refused_and_says_which_version_there_is() {
    let db = Database::fresh().await;
    let log = db.log().await;
    log.append(append("acme/1", 0)).await.unwrap();
    log.append(append("acme/1", 1)).await.unwrap();
    let fresh = db.log().await;
    for log in [log, fresh] {
        for expected in [0, 1, 3] {
            let refused = log.append(append("acme/1", expected)).await.unwrap_err();
            let AppendError::Conflict {
                aggregate_id,
                expected: said,
                actual,
                ..
            } = refused
            else {
                panic!("{refused}");
            };
            assert_eq!((&*aggregate_id, said, actual), ("acme/1", expected, 2));
        }
    }
    assert_eq!(assert_sound(&db.reader().await).await, 2);
}

#[tokio::test]
async fn several_streams_and_a_claim_are_appended_as_a_whole_or_not_at_all() {
    let db = Database::fresh().await;
    let (log, reader) = (db.log().await, db.reader().await);
    log.append(append("acme/taken", 0)).await.unwrap();
    let half = Append::new("acme", id())
        .stream(stream("acme/free", 0, 1))
        .stream(stream("acme/taken", 0, 1))
        .claim(claim("k"));
    let refused = log.append(half).await.unwrap_err();
    assert!(matches!(refused, AppendError::Conflict { .. }), "{refused}");
    assert!(
        reader
            .read_stream("order", "acme/free", 0)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(reader.claim("acme", "door", "k").await.unwrap().is_none());
    let whole = append("acme/free", 0).claim(claim("k"));
    let command_id = whole.command_id;
    log.append(whole).await.unwrap();
    let made = reader.claim("acme", "door", "k").await.unwrap().unwrap();
    assert_eq!((made.command_id, made.fingerprint), (command_id, [7; 32]));
    assert!(made.answer.is_none());
    assert_eq!(
        reader
            .open_claims(chrono::Utc::now(), 9)
            .await
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn a_claim_is_made_once_and_answered_once() {
    let db = Database::fresh().await;
    let (log, reader) = (db.log().await, db.reader().await);
    log.append(append("acme/1", 0).claim(claim("k")))
        .await
        .unwrap();
    let refused = log
        .append(append("acme/2", 0).claim(claim("k")))
        .await
        .unwrap_err();
    let AppendError::Claimed(existing) = refused else {
        panic!("{refused}")
    };
    assert_eq!(existing.context.get(), r#"{"payment":"k"}"#);
    assert!(existing.answer.is_none());

    log.append(Append::new("acme", id()).completes(completion("k", "one")))
        .await
        .unwrap();
    let late = append("acme/1", 1).completes(completion("k", "two"));
    let refused = log.append(late).await.unwrap_err();
    let AppendError::Claimed(existing) = refused else {
        panic!("{refused}")
    };
    assert_eq!(existing.answer.unwrap().get(), r#"{"said":"one"}"#);
    assert!(existing.completed_at >= Some(existing.created_at));
    assert_eq!(
        assert_sound(&reader).await,
        1,
        "the late answer's event is not there either"
    );

    let other_ledger = append("rival/1", 0).claim(claim("k"));
    log.append(other_ledger).await.unwrap();
    let at_once = append("acme/3", 0)
        .claim(claim("l"))
        .completes(completion("l", "three"));
    log.append(at_once).await.unwrap();
    let claim = reader.claim("acme", "door", "l").await.unwrap().unwrap();
    assert_eq!(claim.answer.unwrap().get(), r#"{"said":"three"}"#);
    let unknown = log
        .append(Append::new("acme", id()).completes(completion("m", "four")))
        .await;
    assert!(matches!(unknown, Err(AppendError::Invalid(_))));
}

#[tokio::test]
async fn an_append_that_contradicts_itself_is_refused_before_it_is_queued() {
    let db = Database::fresh().await;
    let log = db.log().await;
    let of = |aggregate_id: &str, events| StreamAppend {
        aggregate_type: "order",
        aggregate_id: aggregate_id.into(),
        expected_version: 0,
        events,
    };
    let acme = || Append::new("acme", id());
    let contradictions = [
        acme(),
        acme().stream(of("acme/1", vec![])),
        acme().stream(of("rival/1", vec![event("A")])),
        acme().stream(of("acme", vec![event("A")])),
        acme().stream(of("acme/", vec![event("A")])),
        acme().stream(of("acme/\0", vec![event("A")])),
        acme()
            .stream(stream("acme/1", 0, 1))
            .stream(stream("acme/1", 1, 1)),
        acme().stream(stream("acme/1", u64::MAX, 1)),
        Append::new("", id()).stream(of("/1", vec![event("A")])),
        Append::new("a/b", id()).stream(of("a/b/1", vec![event("A")])),
        acme().claim(claim("\0")),
    ];
    for contradiction in contradictions {
        let said = format!("{contradiction:?}");
        let refused = log.append(contradiction).await;
        assert!(matches!(refused, Err(AppendError::Invalid(_))), "{said}");
    }
    assert_eq!(assert_sound(&db.reader().await).await, 0);
}

#[tokio::test]
async fn a_closed_log_has_written_what_it_took_and_takes_no_more() {
    let db = Database::fresh().await;
    let log = db.log().await;
    let appends = (0..50).map(|n| {
        let log = log.clone();
        tokio::spawn(async move { log.append(append(&format!("acme/{n}"), 0)).await })
    });
    let appends: Vec<_> = appends.collect();
    tokio::task::yield_now().await;
    log.close().await;
    let mut written = 0;
    for append in appends {
        match append.await.unwrap() {
            Ok(_) => written += 1,
            Err(error) => assert!(matches!(error, AppendError::Closed), "{error}"),
        }
    }
    let refused = log.append(append("acme/late", 0)).await;
    assert!(matches!(refused, Err(AppendError::Closed)));
    assert_eq!(assert_sound(&db.reader().await).await, written);
}

#[tokio::test]
async fn a_log_without_its_tables_does_not_open() {
    let db = Database::fresh().await;
    sqlx::raw_sql("DROP TABLE log_head")
        .execute(&mut db.owner().await)
        .await
        .unwrap();
    assert!(Log::open(LogOptions::new(&db.url)).await.is_err());
}

#[tokio::test]
async fn time_does_not_run_backwards_even_when_the_clock_does() {
    let db = Database::fresh().await;
    let (log, reader) = (db.log().await, db.reader().await);
    log.append(append("acme/1", 0)).await.unwrap();
    // As after a clock that was ahead has been set right.
    let ahead = "UPDATE log_head SET recorded_at = clock_timestamp() + interval '1 hour', batch = batch + 1";
    sqlx::raw_sql(ahead)
        .execute(&mut db.owner().await)
        .await
        .unwrap();
    let head = reader.head().await.unwrap();
    let appended = log.append(append("acme/1", 1)).await.unwrap();
    assert_eq!(appended.recorded_at, head.recorded_at);
    assert_eq!(assert_sound(&reader).await, 2);
}

/// Red where the check is an `EXISTS` beside an `OR`: planned while the log is empty, it reads every event each time.
#[tokio::test]
async fn looking_up_a_new_stream_reads_no_other_streams_however_long_the_log() {
    const STREAMS: i64 = 60;
    let database = Database::fresh().await;
    let log = database.log().await;
    for number in 0..STREAMS {
        log.append(append(&format!("shop/{number}"), 0))
            .await
            .unwrap();
    }
    log.close().await;
    let mut conn = database.owner().await;
    // A backend that is gone has reported what it read.
    let writers = "SELECT count(*) FROM pg_stat_activity \
                   WHERE datname = current_database() AND application_name = 'counterfoil-writer'";
    while sqlx::query_scalar::<_, i64>(writers)
        .fetch_one(&mut conn)
        .await
        .unwrap()
        > 0
    {
        tokio::task::yield_now().await;
    }
    let read: i64 = sqlx::query_scalar(
        "SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'events_pkey'",
    )
    .fetch_one(&mut conn)
    .await
    .unwrap();
    assert!(
        read <= STREAMS,
        "{read} entries were read for {STREAMS} streams"
    );
}
