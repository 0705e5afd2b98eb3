//! What the database itself refuses, and what the pool does for it.

use std::pin::pin;

use eventstore::{Reader, Role, pool};
use futures::future::{Either, select};
use sqlx::PgConnection;

use crate::proxy::Proxy;
use crate::support::{Database, append};

async fn refused(conn: &mut PgConnection, sql: &str) {
    let error = sqlx::raw_sql(sql).execute(&mut *conn).await.expect_err(sql);
    let code = error
        .as_database_error()
        .and_then(|it| it.code().map(|code| code.into_owned()));
    assert_eq!(code.as_deref(), Some("42501"), "{sql}: {error}");
}

#[tokio::test]
async fn nobody_changes_an_event() {
    let db = Database::fresh().await;
    db.log().await.append(append("acme/1", 0)).await.unwrap();
    let statements = [
        "UPDATE events SET event_type = 'Other'",
        "DELETE FROM events",
        "TRUNCATE events",
        "INSERT INTO events SELECT * FROM events ON CONFLICT (position) DO UPDATE SET event_type = 'Other'",
    ];
    let mut owner = db.owner().await;
    for role in [
        "RESET ROLE",
        "SET ROLE counterfoil_writer",
        "SET ROLE counterfoil_reader",
    ] {
        sqlx::raw_sql(role).execute(&mut owner).await.unwrap();
        for statement in statements {
            refused(&mut owner, statement).await;
        }
    }
    sqlx::raw_sql("RESET ROLE; SET session_replication_role = replica")
        .execute(&mut owner)
        .await
        .unwrap();
    for statement in statements {
        refused(&mut owner, statement).await;
    }
    assert_eq!(
        db.reader().await.read_from(0, 9).await.unwrap()[0].event_type,
        "Happened"
    );
}

#[tokio::test]
async fn the_reader_sees_the_ledger_of_its_transaction_and_no_other() {
    let db = Database::fresh().await;
    let log = db.log().await;
    log.append(append("acme/1", 0)).await.unwrap();
    log.append(append("rival/1", 0)).await.unwrap();
    let readers = pool(&db.url, Role::Reader, 2).await.unwrap();
    let count = "SELECT count(*) FROM events";
    let unnamed: i64 = sqlx::query_scalar(count).fetch_one(&readers).await.unwrap();
    assert_eq!(unnamed, 0, "no ledger is named, none is seen");
    let reader = Reader::new(readers.clone());
    let mut tx = reader.begin_for("rival").await.unwrap();
    let ids: Vec<String> = sqlx::query_scalar("SELECT aggregate_id FROM events")
        .fetch_all(&mut *tx)
        .await
        .unwrap();
    assert_eq!(ids, ["rival/1"]);
    tx.commit().await.unwrap();
    assert_eq!(
        reader.read_ledger("acme", 0, 9).await.unwrap()[0].aggregate_id,
        "acme/1"
    );
    let unnamed: i64 = sqlx::query_scalar(count).fetch_one(&readers).await.unwrap();
    assert_eq!(unnamed, 0, "the name ends with its transaction");
    let mut conn = readers.acquire().await.unwrap();
    for statement in [
        "INSERT INTO events SELECT * FROM events",
        "SELECT * FROM claims",
        "SELECT * FROM checkpoints",
        "UPDATE log_head SET position = 0",
    ] {
        refused(&mut conn, statement).await;
    }
}

/// Red when the pool does not roll back what comes back to it: the insert is then part of a transaction that nobody ever
/// commits.
#[tokio::test]
async fn a_write_after_a_cancelled_begin_is_not_lost() {
    let db = Database::fresh().await;
    let proxy = Proxy::start().await;
    let one = pool(&proxy.url(&db.url), Role::Writer, 1).await.unwrap();
    let other = db.pool().await;
    proxy.hold_at(Some(b"BEGIN"));
    {
        let begin = pin!(one.begin());
        let held = pin!(proxy.held());
        let first = select(begin, held).await;
        assert!(
            matches!(first, Either::Right(_)),
            "BEGIN is on the wire, and its caller goes away"
        );
    }
    proxy.hold_at(None);
    sqlx::query("INSERT INTO checkpoints (name, position) VALUES ('kept', 0)")
        .execute(&one)
        .await
        .unwrap();
    let there: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM checkpoints WHERE name = 'kept')")
            .fetch_one(&other)
            .await
            .unwrap();
    assert!(there, "the insert answered Ok and is lost");
}

#[tokio::test]
async fn the_owner_of_a_database_need_not_be_a_superuser() {
    let db = Database::empty().await;
    let (base, host) = db.url.split_once('?').unwrap();
    let (_, name) = base.rsplit_once('/').unwrap();
    let owner = format!("owner_of_{name}");
    let make =
        format!("CREATE ROLE {owner} LOGIN CREATEROLE; ALTER DATABASE {name} OWNER TO {owner}");
    sqlx::raw_sql(&make)
        .execute(&mut db.owner().await)
        .await
        .unwrap();
    let theirs = Database {
        url: format!("postgres://{owner}@localhost/{name}?{host}"),
    };
    theirs.migrate().await;
    theirs
        .log()
        .await
        .append(append("acme/1", 0))
        .await
        .unwrap();
    assert_eq!(
        theirs
            .reader()
            .await
            .read_ledger("acme", 0, 9)
            .await
            .unwrap()
            .len(),
        1
    );
    refused(&mut theirs.owner().await, "DELETE FROM events").await;
    let mut writer = theirs.owner().await;
    sqlx::raw_sql("SET ROLE counterfoil_writer")
        .execute(&mut writer)
        .await
        .unwrap();
    refused(&mut writer, "ALTER TABLE events DISABLE TRIGGER ALL").await;
}
