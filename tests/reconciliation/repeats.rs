//! `/ledger/v1/reconciliations/{id}/repeat`.

use crate::deaths::{self, command};
use crate::support::{World, described, send, until};
use crate::{acme, operator, pay, plant_another_fee, quiet, reconcile, try_reconcile};
use aggregates::ids::ReconciliationId;
use counterfoil::use_cases::ReconcileError;
use http::HeaderMap;
use serde_json::{Value, json};
use sqlx::{Executor, PgConnection, PgPool};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const FINANCE: &str = "finance-acme";

fn path(run: ReconciliationId) -> String {
    format!("/ledger/v1/reconciliations/{run}/repeat")
}

async fn get(world: &World, key: &str, run: ReconciliationId) -> (u16, Value) {
    send(world.get(&path(run)).bearer_auth(key)).await
}

fn begun(world: &World, key: &str, run: ReconciliationId) -> JoinHandle<(u16, HeaderMap, Value)> {
    let asked = world.get(&path(run)).bearer_auth(key);
    tokio::spawn(async move {
        let (status, headers, text) = described(asked).await;
        (status, headers, serde_json::from_str(&text).unwrap())
    })
}

async fn owner(world: &World) -> PgPool {
    let role = eventstore::Role::Owner;
    eventstore::pool(&world.database_url, role, 2)
        .await
        .unwrap()
}

/// A world with a run in which something does not agree, and what has happened since.
async fn reconciled() -> (World, ReconciliationId) {
    let world = World::start().await;
    pay(&world, 2_000).await;
    quiet(&world).await;
    plant_another_fee(&world).await;
    let run = try_reconcile(&world).await.unwrap();
    pay(&world, 900).await;
    quiet(&world).await;
    (world, run)
}

/// Whether anything is left of what a repetition worked with.
async fn left(world: &World) -> i64 {
    let left = ["items", "work", "findings", "pages"].map(|table| {
        format!("(select count(*) from reconciliation_{table} where run_id not in (select run_id from reconciliation_runs))")
    });
    sqlx::query_scalar(&format!("select {}", left.join(" + ")))
        .fetch_one(world.app().store().pool())
        .await
        .unwrap()
}

/// Changes what nobody may change; how many rows.
async fn forced(pool: &PgPool, change: &str) -> u64 {
    let mut transaction = pool.begin().await.unwrap();
    let off = "alter table events disable trigger all";
    transaction.execute(off).await.unwrap();
    let changed = transaction.execute(change).await.unwrap();
    transaction.commit().await.unwrap();
    changed.rows_affected()
}

/// Planted bugs, each seen red here: what was closed is told as what came out now; what the repetition worked with stays; a page is not
/// compared with its own hash, or all of them not with what the run was pinned to.
#[tokio::test(flavor = "multi_thread")]
async fn a_finance_person_is_told_whether_a_run_comes_to_the_same() {
    let (world, run) = reconciled().await;
    let shown = format!("/ledger/v1/reconciliations/{run}");
    let (_, known) = send(world.get(&shown).bearer_auth(FINANCE)).await;
    let (status, told) = get(&world, FINANCE, run).await;
    let same = json!({
        "object": "reconciliation_repeat", "run": run.to_string(), "state": "identical",
        "report_hash": known["report_hash"], "expected_report_hash": known["report_hash"],
        "payments": known["payments"], "breaks": 1,
    });
    assert_eq!((status, &told), (200, &same), "{told:#}");
    assert_eq!(left(&world).await, 0);

    let pool = owner(&world).await;
    let captured = |from: i64, to: i64| {
        format!(
            "update events set payload = jsonb_set(payload::jsonb, '{{Captured,amount,minor}}', '{to}')::json
             where event_type = 'Captured' and payload #>> '{{Captured,amount,minor}}' = '{from}'"
        )
    };
    assert_eq!(forced(&pool, &captured(2_000, 2_001)).await, 1);
    let (_, told) = get(&world, FINANCE, run).await;
    assert_eq!(told["state"], "different", "{told:#}");
    assert_ne!(told["report_hash"], told["expected_report_hash"]);
    assert_eq!(told["expected_report_hash"], same["report_hash"]);
    let (_, known) = send(world.get(&shown).bearer_auth(FINANCE)).await;
    assert_eq!(known["report_hash"], same["report_hash"]);
    assert_eq!(forced(&pool, &captured(2_001, 2_000)).await, 1);
    assert_eq!(get(&world, FINANCE, run).await.1, same);

    let pages = "update reconciliation_pages set body = overlay(body placing '7' from position('\"fee\":' in body) + 6 for 1)";
    let whole = ", sha256 = sha256(convert_to(overlay(body placing '7' from position('\"fee\":' in body) + 6 for 1), 'utf8'))";
    let those = " where position('\"fee\":' in body) > 0";
    for changed in [format!("{pages}{those}"), format!("{pages}{whole}{those}")] {
        assert!(forced(&pool, &changed).await > 0);
        let (status, told) = get(&world, FINANCE, run).await;
        assert_eq!(
            (status, &told["state"]),
            (200, &json!("altered")),
            "{told:#}"
        );
        assert_eq!(
            (&told["report_hash"], &told["expected_report_hash"]),
            (&Value::Null, &same["report_hash"])
        );
        let repeated = command(&world, &["--json", "--repeat", &run.to_string()]);
        let repeated = deaths::run(repeated).await;
        assert_eq!(repeated.status.code(), Some(2), "{repeated:?}");
        let said = String::from_utf8_lossy(&repeated.stderr).into_owned();
        assert!(said.contains("somebody has changed it"), "{said}");
        assert!(repeated.stdout.is_empty(), "{repeated:?}");
        assert_eq!(left(&world).await, 0);
    }
    world.stop().await;
}

/// A run that was stopped at its first step.
async fn half_a_run(world: &World) -> ReconciliationId {
    let stop = CancellationToken::new();
    stop.cancel();
    let app = world.app();
    let run = app.reconcile(&acme(), operator(), 0, &stop, |_| {}).await;
    assert!(matches!(run, Err(ReconcileError::Stopped)), "{run:?}");
    let runs = world.get("/ledger/v1/reconciliations").bearer_auth(FINANCE);
    let (_, runs) = send(runs).await;
    runs["data"][0]["id"].as_str().unwrap().parse().unwrap()
}

/// Planted bug, seen red here: not looking first whether there is such a run (it would be one that has not ended).
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_repeated_is_refused() {
    let (world, run) = reconciled().await;
    let (status, problem) = get(&world, "admin-rival", run).await;
    assert_eq!(
        (status, &problem["code"]),
        (404, &json!("not_found")),
        "{problem}"
    );
    let unknown = "/ledger/v1/reconciliations/00000000-0000-4000-8000-000000000000/repeat";
    for (path, status, code) in [
        (unknown.to_owned(), 404, "not_found"),
        (
            "/ledger/v1/reconciliations/7/repeat".to_owned(),
            404,
            "not_found",
        ),
        (format!("{}?as_of=1", path(run)), 400, "invalid_request"),
    ] {
        let (was, problem) = send(world.get(&path).bearer_auth(FINANCE)).await;
        assert_eq!(
            (was, &problem["code"]),
            (status, &json!(code)),
            "{path}: {problem}"
        );
    }
    let half = half_a_run(&world).await;
    assert_ne!(half, run);
    let report = format!("/ledger/v1/exports/reconciliations/{half}");
    for path in [path(half), report] {
        let (status, problem) = send(world.get(&path).bearer_auth(FINANCE)).await;
        assert_eq!(
            (status, &problem["code"]),
            (409, &json!("not_ended")),
            "{path}: {problem}"
        );
    }
    world.stop().await;
}

/// Keeps everybody else from a table.
async fn held(pool: &PgPool, table: &str) -> PgConnection {
    let mut holder = pool.acquire().await.unwrap().detach();
    let hold = format!("begin; lock table {table}");
    holder.execute(&*hold).await.unwrap();
    holder
}

/// How many repetitions wait for the table that is held.
async fn waiting(pool: &PgPool) -> i64 {
    sqlx::query_scalar(
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
         and query like '%reconciliation_items%'",
    )
    .fetch_one(pool)
    .await
    .unwrap()
}

/// Planted bugs, each seen red here: a place that is never given back; one that is never asked for.
#[tokio::test(flavor = "multi_thread")]
async fn one_at_a_time() {
    let (world, run) = reconciled().await;
    let pool = owner(&world).await;
    let mut holder = held(&pool, "reconciliation_items").await;
    let first = begun(&world, FINANCE, run);
    until("the first waits", async || waiting(&pool).await == 1).await;
    let second = begun(&world, "admin-acme", run);
    until("the second waits, or does not", async || {
        second.is_finished() || waiting(&pool).await == 2
    })
    .await;
    assert_eq!(waiting(&pool).await, 1, "the second waits as well");
    let (status, headers, problem) = second.await.unwrap();
    assert_eq!(
        (status, &problem["code"]),
        (429, &json!("too_many_repetitions"))
    );
    assert_eq!(headers["retry-after"], "5");
    holder.execute("rollback").await.unwrap();
    assert_eq!(first.await.unwrap().0, 200);
    assert_eq!(get(&world, FINANCE, run).await.0, 200);
    world.stop_audited().await;
}

/// Planted bugs, each seen red here: going on for whoever has gone; ending without forgetting what was kept by then.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_goes_away_ends_it() {
    let (world, run) = reconciled().await;
    let pool = owner(&world).await;
    let mut items = held(&pool, "reconciliation_items").await;
    let (app, acme) = (world.app(), acme());
    let mut asked = Box::pin(app.repeat_for(&acme, run));
    tokio::select! {
        _ = &mut asked => panic!("nothing holds it up"),
        () = until("it waits", async || waiting(&pool).await == 1) => {}
    }
    // Whoever goes on has to read them.
    let mut events = held(&pool, "events").await;
    drop(asked);
    items.execute("rollback").await.unwrap();
    until("it has kept something, and forgotten it", async || {
        waiting(&pool).await == 0 && left(&world).await == 0
    })
    .await;
    events.execute("rollback").await.unwrap();
    assert_eq!(reconcile(&world).await.breaks().len(), 1);
    world.stop_audited().await;
}
