//! Rows folded with the append are the rows that a rebuild folds from the events.

use eventstore::{
    Append, AppendError, Column, Kind, Log, LogOptions, Merge, Recorded, RowChange, RowFold, Table,
    Tables, Value,
};
use futures::future::join_all;
use serde_json::json;

use crate::support::{Database, append, event, id, raw, stream};

/// One row per order, one per customer with what all orders come to.
const ORDERS: Table = Table {
    name: "orders",
    key: &["order_id"],
    columns: &[
        Column::replace("order_id", Kind::Text),
        Column::keep("opened_by", Kind::Uuid),
        Column::replace("last", Kind::Json),
        Column::replace("note", Kind::Text),
        Column::replace("paid", Kind::Bool),
        Column::replace("at", Kind::Timestamptz),
        Column::keep("opened_at", Kind::Timestamptz),
        Column::replace("changed_at", Kind::Timestamptz),
        Column::replace("digest", Kind::Bytea),
    ],
};
const TOTALS: Table = Table {
    name: "totals",
    key: &["ledger", "customer"],
    columns: &[
        Column::replace("ledger", Kind::Text),
        Column::replace("customer", Kind::Int8),
        Column::add("amount_minor"),
        Column::replace("seen", Kind::Jsonb),
    ],
};
const SCHEMA: &str = "
    CREATE TABLE orders (order_id text PRIMARY KEY, opened_by uuid NOT NULL, last json NOT NULL, note text,
        paid boolean NOT NULL, at timestamptz NOT NULL, opened_at timestamptz NOT NULL, changed_at timestamptz NOT NULL,
        digest bytea NOT NULL, position bigint NOT NULL);
    CREATE TABLE totals (ledger text, customer bigint, amount_minor bigint NOT NULL, seen jsonb NOT NULL,
        position bigint NOT NULL, PRIMARY KEY (ledger, customer));
    CREATE TABLE orders_shadow (LIKE orders INCLUDING ALL);
    CREATE TABLE totals_shadow (LIKE totals INCLUDING ALL);";

async fn open(db: &Database) -> Log {
    sqlx::raw_sql(SCHEMA)
        .execute(&mut db.owner().await)
        .await
        .unwrap();
    Log::open(LogOptions::new(&db.url).tables(vec![ORDERS, TOTALS]))
        .await
        .unwrap()
}

/// The fold, the same for an event that is about to be recorded and for one that is.
fn rows(index: usize, aggregate_id: &str, event_id: uuid::Uuid, payload: &str) -> Vec<RowChange> {
    let event: serde_json::Value = serde_json::from_str(payload).unwrap();
    let amount_minor = event["amount_minor"].as_i64().unwrap();
    let ledger = aggregate_id.split('/').next().unwrap();
    let mut changes = vec![RowChange {
        table: "orders",
        event: index,
        values: vec![
            aggregate_id.into(),
            event_id.into(),
            Value::Json(payload.into()),
            (amount_minor % 2 == 0).then_some("even").into(),
            (amount_minor > 0).into(),
            chrono::DateTime::UNIX_EPOCH.into(),
            Value::RecordedAt,
            Value::RecordedAt,
            event_id.as_bytes().to_vec().into(),
        ],
    }];
    if amount_minor != 0 {
        changes.push(RowChange {
            table: "totals",
            event: index,
            values: vec![
                ledger.into(),
                (amount_minor % 3).into(),
                amount_minor.into(),
                Value::Json(payload.into()),
            ],
        });
    }
    changes
}

fn order(aggregate_id: &str, expected_version: u64, amounts: &[i64]) -> Append {
    let mut stream = stream(aggregate_id, expected_version, 0);
    for amount_minor in amounts {
        let mut event = event("Changed");
        event.payload = raw(json!({ "amount_minor": amount_minor }));
        stream.events.push(event);
    }
    let mut append = Append::new(aggregate_id.split('/').next().unwrap(), id()).stream(stream);
    let changes = append.events().flat_map(|(index, stream, event)| {
        rows(
            index,
            &stream.aggregate_id,
            event.event_id,
            event.payload.get(),
        )
    });
    append.rows = changes.collect();
    append
}

async fn rebuild(db: &Database, tables: &Tables, page: i64) {
    let (reader, pool) = (db.reader().await, db.pool().await);
    let clear = "DELETE FROM orders_shadow; DELETE FROM totals_shadow";
    sqlx::raw_sql(clear)
        .execute(&mut db.owner().await)
        .await
        .unwrap();
    let mut after = 0;
    loop {
        let events: Vec<Recorded> = reader.read_from(after, page).await.unwrap();
        let Some(last) = events.last() else { return };
        after = last.position;
        let changes = events
            .iter()
            .map(|it| (it, rows(0, &it.aggregate_id, it.event_id, &it.payload)));
        let changes: Vec<_> = changes.collect();
        let mut fold = RowFold::new(tables);
        for (event, changes) in &changes {
            for change in changes {
                fold.push(change, event.position, event.recorded_at)
                    .unwrap();
            }
        }
        let mut conn = pool.acquire().await.unwrap();
        fold.write(&mut conn, |table| format!("{table}_shadow"))
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_folded_with_the_append_equal_those_folded_from_the_events() {
    let db = Database::fresh().await;
    let log = open(&db).await;
    let callers = (0..16_i64).map(|n| {
        let log = log.clone();
        async move {
            let order_id = format!("{}/{n}", ["acme", "rival"][usize::try_from(n % 2).unwrap()]);
            let mut version = 0;
            for round in 0..8 {
                let amounts: Vec<i64> = (0..=round % 3).map(|k| n * 7 - round * 5 - k).collect();
                log.append(order(&order_id, version, &amounts))
                    .await
                    .unwrap();
                version += u64::try_from(amounts.len()).unwrap();
            }
        }
    });
    join_all(callers).await;
    let mut owner = db.owner().await;
    for page in [1, 7, 1000] {
        rebuild(&db, log.tables(), page).await;
        for table in ["orders", "totals"] {
            // As text, since json has no equality: to the byte.
            let differences: i64 = sqlx::query_scalar(&format!(
                "SELECT count(*) FROM (SELECT t::text AS r FROM {table} t) a \
                 FULL JOIN (SELECT t::text AS r FROM {table}_shadow t) b USING (r) WHERE a.r IS NULL OR b.r IS NULL"
            ))
            .fetch_one(&mut owner)
            .await
            .unwrap();
            assert_eq!(differences, 0, "{table}, rebuilt in pages of {page}");
        }
    }
    let counts =
        "SELECT (SELECT count(*) FROM orders), (SELECT sum(amount_minor)::bigint FROM totals)";
    let (orders, sum): (i64, i64) = sqlx::query_as(counts).fetch_one(&mut owner).await.unwrap();
    let events = db.reader().await.read_from(0, 9999).await.unwrap();
    let amount = |event: &Recorded| {
        event.payload_as::<serde_json::Value>().unwrap()["amount_minor"]
            .as_i64()
            .unwrap()
    };
    assert_eq!((orders, sum), (16, events.iter().map(amount).sum()));
}

#[tokio::test]
async fn a_row_stands_at_the_last_event_that_touched_it() {
    let db = Database::fresh().await;
    let log = open(&db).await;
    log.append(order("acme/1", 0, &[3, 3, 0, 0])).await.unwrap();
    let sql = "SELECT (SELECT position FROM orders), (SELECT position FROM totals), (SELECT amount_minor FROM totals)";
    let at: (i64, i64, i64) = sqlx::query_as(sql)
        .fetch_one(&mut db.owner().await)
        .await
        .unwrap();
    assert_eq!(at, (4, 2, 6));
}

/// Planted bug: letting a column that keeps take the later time.
#[tokio::test]
async fn a_row_knows_when_its_first_and_its_last_event_were_recorded() {
    let db = Database::fresh().await;
    let log = open(&db).await;
    log.append(order("acme/1", 0, &[1])).await.unwrap();
    log.append(order("acme/1", 1, &[2, 3])).await.unwrap();
    let sql = "SELECT opened_at = (SELECT recorded_at FROM events WHERE sequence = 1) \
               AND changed_at = (SELECT recorded_at FROM events WHERE sequence = 3) FROM orders";
    let so: bool = sqlx::query_scalar(sql)
        .fetch_one(&mut db.owner().await)
        .await
        .unwrap();
    assert!(so);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sum_out_of_range_is_refused_to_its_own_caller_alone() {
    let db = Database::fresh().await;
    let log = open(&db).await;
    log.append(order("acme/0", 0, &[i64::MAX - 1]))
        .await
        .unwrap();
    let customer = (i64::MAX - 1) % 3;
    let appends = (1..7_i64).map(|n| {
        let amount = if n == 3 {
            i64::MAX - 1
        } else {
            (n % 2) * 30 - 30 + customer - 3
        };
        log.append(order(&format!("acme/{n}"), 0, &[amount]))
    });
    let refused: Vec<_> = join_all(appends)
        .await
        .into_iter()
        .enumerate()
        .filter(|(_, it)| it.is_err())
        .collect();
    let [(2, Err(AppendError::Invalid(what)))] = &refused[..] else {
        panic!("{refused:?}")
    };
    assert!(what.contains("22003"), "{what}");
}

#[tokio::test]
async fn a_row_that_does_not_fit_its_table_is_refused() {
    let db = Database::fresh().await;
    let log = open(&db).await;
    let total = |values| RowChange {
        table: "totals",
        event: 0,
        values,
    };
    let json = || Value::Json("{}".into());
    let misfits = [
        RowChange {
            table: "unknown",
            event: 0,
            values: vec![],
        },
        RowChange {
            event: 1,
            ..total(vec!["acme".into(), 1.into(), 1.into(), json()])
        },
        total(vec!["acme".into(), 1.into(), 1.into()]),
        total(vec!["acme".into(), "1".into(), 1.into(), json()]),
        total(vec!["acme".into(), Value::Null, 1.into(), json()]),
        total(vec!["acme".into(), 1.into(), Value::Null, json()]),
        total(vec!["ac\0me".into(), 1.into(), 1.into(), json()]),
        total(vec![
            "acme".into(),
            1.into(),
            1.into(),
            Value::Json("{".into()),
        ]),
    ];
    for misfit in misfits {
        let said = format!("{misfit:?}");
        let mut append = append("acme/1", 0);
        append.rows = vec![misfit];
        assert!(
            matches!(log.append(append).await, Err(AppendError::Invalid(_))),
            "{said}"
        );
    }
    assert_eq!(db.reader().await.head().await.unwrap().position, 0);
}

#[test]
fn a_table_is_declared_plainly_or_not_at_all() {
    let with = |name, key, columns| Tables::new(vec![Table { name, key, columns }]);
    const ID: Column = Column::replace("id", Kind::Text);
    assert!(with("orders", &["id"], &[ID]).is_ok());
    assert!(with("orders; DROP TABLE events", &["id"], &[ID]).is_err());
    assert!(with("orders", &[], &[ID]).is_err());
    assert!(with("orders", &["other"], &[ID]).is_err());
    assert!(with("orders", &["id"], &[ID, ID]).is_err());
    const POSITION: Column = Column::replace("position", Kind::Int8);
    assert!(with("orders", &["id"], &[ID, POSITION]).is_err());
    const SUM: Column = Column {
        name: "sum",
        kind: Kind::Text,
        merge: Merge::Add,
    };
    assert!(with("orders", &["id"], &[ID, SUM]).is_err());
    assert!(Tables::new(vec![ORDERS, ORDERS]).is_err());
}
