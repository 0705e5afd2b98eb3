//! `/ledger/v1/replay`.

use crate::past::past;
use crate::support::{World, described, send, until};
use crate::{busy_world, owner};
use http::HeaderMap;
use serde_json::{Value, json};
use sqlx::{Executor, PgConnection};
use tokio::task::JoinHandle;

const FINANCE: &str = "finance-acme";

async fn get(world: &World, key: &str, query: &str) -> (u16, Value) {
    let path = format!("/ledger/v1/replay?{query}");
    send(world.get(&path).bearer_auth(key)).await
}

/// Begins one as of the first event.
fn begun(world: &World, key: &str) -> JoinHandle<(u16, HeaderMap, Value)> {
    let asked = world.get("/ledger/v1/replay?as_of=1").bearer_auth(key);
    tokio::spawn(async move {
        let (status, headers, text) = described(asked).await;
        (status, headers, serde_json::from_str(&text).unwrap())
    })
}

/// Keeps everybody from reading the live tables, as the exchange of a rebuild does.
async fn tables_held(world: &World) -> PgConnection {
    let mut holder = owner(world).await;
    let hold = "begin; lock table payments";
    holder.execute(hold).await.unwrap();
    holder
}

/// How many replays wait for the tables.
async fn waiting(world: &World) -> i64 {
    sqlx::query_scalar(
        "select count(*) from pg_stat_activity where datname = current_database()
         and application_name = 'counterfoil-replay' and wait_event_type = 'Lock'",
    )
    .fetch_one(&mut owner(world).await)
    .await
    .unwrap()
}

/// What both the command and the API tell of a table, under the command's names.
fn of_table(it: &Value) -> Value {
    let names = [
        "table",
        "rebuilt_rows",
        "rebuilt_checksum",
        "changed_since",
        "live_rows",
        "live_checksum",
        "differences",
    ];
    names.map(|name| it[name].clone()).into_iter().collect()
}

/// Planted bugs, each seen red here: the rows of all merchants are compared; the place in the whole log is shown.
#[tokio::test(flavor = "multi_thread")]
async fn a_finance_person_is_told_what_the_command_tells_and_of_the_own_rows_alone() {
    let world = busy_world().await;
    let refund =
        "select max(position) from events where ledger = 'acme' and event_type = 'Refunded'";
    let at = format!("select ledger_position from events where position = ({refund})");
    let at: i64 = sqlx::query_scalar(&at)
        .fetch_one(&mut owner(&world).await)
        .await
        .unwrap();
    let (status, told) = get(&world, FINANCE, &format!("as_of={at}")).await;
    assert_eq!(
        (status, &told["state"]),
        (200, &json!("identical")),
        "{told:#}"
    );

    for bug in [
        format!("update journal set debit_minor = debit_minor + 1 where position = ({refund}) and debit_minor > 0"),
        // One that is nowhere among the events, and would be Acme's.
        format!("insert into journal select 'acme', ledger_position, 9, line, account, currency, debit_minor, credit_minor,
                         recorded_at, effective_at, period, position
                  from journal where position = ({refund}) and credit_minor > 0"),
        "update journal set debit_minor = debit_minor + 1 where merchant = 'rival' and ledger_position =
            (select min(ledger_position) from journal where merchant = 'rival') and debit_minor > 0".to_owned(),
    ] {
        let changed = owner(&world).await.execute(&*bug).await.unwrap();
        assert_eq!(changed.rows_affected(), 1, "{bug}");
    }
    let (code, printed) = past(&world, &at.to_string()).await;
    let (status, told) = get(&world, FINANCE, &format!("as_of={at}")).await;
    assert_eq!((code, status), (1, 200), "{told:#}");
    assert_eq!(told["state"], "different");
    for (ours, commands) in [
        ("position", "ledger_position"),
        ("recorded_at", "recorded_at"),
        ("projections", "projections"),
    ] {
        assert_eq!(told[ours], printed[commands], "{ours}");
    }
    let tables = |it: &Value| {
        it.as_array()
            .unwrap()
            .iter()
            .map(of_table)
            .collect::<Vec<_>>()
    };
    assert_eq!(tables(&told["certificate"]), tables(&printed["tables"]));
    let balances = told["balances"].as_array().unwrap();
    assert_eq!(
        balances.len(),
        printed["balances"].as_array().unwrap().len()
    );
    for (it, printed) in balances.iter().zip(printed["balances"].as_array().unwrap()) {
        assert_eq!(
            (&it["account"], &it["rebuilt"]),
            (&printed["account"], &printed["replayed"])
        );
        assert_eq!(
            (&it["currency"], &it["live"]),
            (&printed["currency"], &printed["live"])
        );
        assert_eq!(it["identical"], it["live"] == it["rebuilt"]);
    }
    assert_eq!(
        balances
            .iter()
            .filter(|it| it["identical"] == false)
            .count(),
        2
    );
    let listed = told["differences"].as_array().unwrap();
    let found = |what: &str| listed.iter().find(|it| it["what"] == what).unwrap();
    assert_eq!(listed.len(), 2, "{told:#}");
    assert_eq!(found("differs")["column"], "debit_minor");
    let surplus = found("surplus")["live"].as_object().unwrap();
    assert!(surplus.contains_key("ledger_position"), "{surplus:?}");
    assert!(!surplus.contains_key("position"), "{surplus:?}");

    let (_, one) = get(
        &world,
        FINANCE,
        &format!("as_of={at}&projections=payments,orders"),
    )
    .await;
    assert_eq!(
        one["projections"],
        json!(["orders.v1", "payments.v1"]),
        "{one:#}"
    );
    assert_eq!(
        (&one["state"], &one["balances"]),
        (&json!("identical"), &json!([]))
    );
    let (status, of_rival) = get(&world, "admin-rival", "as_of=1").await;
    assert_eq!((status, &of_rival["position"]), (200, &json!(1)));
    world.stop().await;
}

/// Planted bugs, each seen red here: a place that is never given back; one that is never asked for; a database that reads on for
/// whoever has gone.
#[tokio::test(flavor = "multi_thread")]
async fn one_at_a_time_and_whoever_goes_away_ends_it() {
    let world = busy_world().await;
    let mut holder = tables_held(&world).await;
    let first = begun(&world, FINANCE);
    until("the first waits", async || waiting(&world).await == 1).await;
    let second = begun(&world, "admin-acme");
    until("the second waits, or does not", async || {
        second.is_finished() || waiting(&world).await == 2
    })
    .await;
    assert_eq!(waiting(&world).await, 1, "the second waits as well");
    let (status, headers, problem) = second.await.unwrap();
    assert_eq!(
        (status, &problem["code"]),
        (429, &json!("too_many_replays"))
    );
    assert_eq!(headers["retry-after"], "5");
    first.abort();
    until("nobody waits any more", async || waiting(&world).await == 0).await;
    holder.execute("rollback").await.unwrap();
    let (status, told) = get(&world, FINANCE, "as_of=1").await;
    assert_eq!(
        (status, &told["state"]),
        (200, &json!("identical")),
        "{told:#}"
    );
    world.stop_audited().await;
}

/// Planted bug, seen red here: it is not called off.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_service_does_not_wait_for_it() {
    let world = busy_world().await;
    let _holder = tables_held(&world).await;
    let waits = begun(&world, FINANCE);
    until("it waits", async || waiting(&world).await == 1).await;
    world.stop().await;
    let (status, _, problem) = waits.await.unwrap();
    assert_eq!((status, &problem["code"]), (503, &json!("unavailable")));
}
