//! Runs: clean, repeated, stopped, and beside each other.

use crate::support::{Setup, World, serve, until};
use crate::{acme, operator, pay, quiet, read, reconcile, refund, try_reconcile};
use counterfoil::ops::report::{self, Form};
use counterfoil::store::RunStep;
use counterfoil::use_cases::ReconcileError;
use reqwest::Method;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::block_in_place;
use tokio_util::sync::CancellationToken;

async fn business(world: &World) {
    let first = pay(world, 2_000).await;
    pay(world, 5_000).await;
    refund(world, &first, 500).await;
    let declined = crate::support::card_payment(700, "usd", "4000000000000002");
    crate::support::send(world.pay("/v1/payment_intents", declined)).await;
    quiet(world).await;
}

/// Planted bug: counting an account's pending money as not held (the whole would differ by it).
#[tokio::test(flavor = "multi_thread")]
async fn what_went_through_us_has_no_break() {
    let world = World::start().await;
    business(&world).await;
    let read = reconcile(&world).await;
    assert_eq!(read.breaks(), vec![]);
    let totals = &read.tail.totals;
    assert!(totals.payments >= 3 && totals.bookings == 3, "{totals:?}");
    let whole = totals.whole.values().next().unwrap();
    assert!(whole.journal_minor > 0);
    assert_eq!(
        (whole.journal_minor, whole.explained_minor),
        (whole.balance_minor, 0)
    );
    world.stop_audited().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payout_is_tied_to_what_it_is_made_of() {
    let world = World::start().await;
    business(&world).await;
    let days = json!({"advance_s": 9 * 24 * 3600});
    world.sim(Method::POST, "clock", Some(days)).await;
    let payout = json!({"account": "acct_acme", "automatic": true});
    world.sim(Method::POST, "payouts", Some(payout)).await;
    let days = json!({"advance_s": 9 * 24 * 3600});
    world.sim(Method::POST, "clock", Some(days)).await;
    quiet(&world).await;
    let read = reconcile(&world).await;
    assert_eq!(read.breaks(), vec![]);
    assert!(read.tail.totals.payouts >= 1, "{:?}", read.tail.totals);
    world.stop().await;
}

/// Planted bugs, each seen red here: what the ledger shows, or how breaks stood, is read as of now; a page of Stripe's answers is left
/// out; the clock's time is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_run_writes_the_same_bytes_whatever_has_happened_since() {
    let world = World::start().await;
    business(&world).await;
    let transaction = crate::plant_another_fee(&world).await;
    let run = try_reconcile(&world).await.unwrap();
    let app = world.app();
    let written = |report| async move {
        let mut bytes = Vec::new();
        report::write(report, Form::Json, &mut bytes).await.unwrap();
        bytes
    };
    let first = written(app.report(&acme(), run).await.unwrap()).await;
    let known = read(&world, run).await.lines;
    let recorded = known.iter().find(|it| it.id.is_some()).unwrap();
    let recorded = recorded.ours.as_ref().unwrap().minor;
    pay(&world, 900).await;
    quiet(&world).await;
    // The break is gone, and comes again as a new one.
    for fee in [recorded, 2] {
        crate::forge(&world, json!({"id": transaction, "set": {"fee": fee}})).await;
        reconcile(&world).await;
    }
    let stop = CancellationToken::new();
    let repeated = app.repeat_run(&acme(), run, &stop, |_| {}).await.unwrap();
    assert!(repeated.came_to.is_the_same());
    let (report, kept) = repeated.into_parts();
    assert_eq!(written(report).await, first);
    kept.forget().await.unwrap();
    assert!(String::from_utf8(first).unwrap().contains("\"fee\""));
    world.stop().await;
}

/// Stopped before every one of its steps in turn: as much of it is in memory then as after a kill. Planted bug, seen red here: keeping
/// what was found without how far the run has come by it (it would be found twice). A step that is kept in two parts is for the
/// kills of `deaths` to show.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_stopped_at_any_step_goes_on_and_comes_to_the_same() {
    let world = World::start().await;
    business(&world).await;
    let transaction = crate::plant_another_fee(&world).await;
    let mut stops = 0;
    let run = loop {
        let stop = CancellationToken::new();
        let (seen, at) = (Arc::new(AtomicU64::new(0)), stop.clone());
        // Each time one step further, and then it is stopped.
        let watch = move |_| {
            if seen.fetch_add(1, Ordering::SeqCst) >= 1 {
                at.cancel();
            }
        };
        match world
            .app()
            .reconcile(&acme(), operator(), 0, &stop, watch)
            .await
        {
            Ok(run) => break run,
            Err(ReconcileError::Stopped) => stops += 1,
            Err(error) => panic!("{error}"),
        }
    };
    assert!(stops > 10, "{stops}");
    let stopped = read(&world, run).await;
    let whole = reconcile(&world).await;
    assert_eq!(stopped.breaks(), whole.breaks());
    assert_eq!(stopped.breaks()[0].2, transaction);
    assert_eq!(stopped.breaks().len(), 1);
    assert_eq!(stopped.tail.totals, whole.tail.totals);
    world.stop().await;
}

/// Planted bug: taking the lease without looking whose it is.
#[tokio::test(flavor = "multi_thread")]
async fn two_instances_never_work_on_one_account_at_once() {
    let world = World::start().await;
    business(&world).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let setup = Setup {
        seed: 2,
        ..Setup::default()
    };
    let other = serve(listener, &world.database_url, &world.simulator, setup).await;
    let (held, release) = (CancellationToken::new(), CancellationToken::new());
    // Where this test fails, it is not held up for ever.
    let _released = release.clone().drop_guard();
    let (tell, wait) = (held.clone(), release.clone());
    let app = world.app().clone();
    let first = tokio::spawn(async move {
        let watch = move |_| {
            tell.cancel();
            // Whatever else waits for this thread goes on with another.
            block_in_place(|| Handle::current().block_on(wait.cancelled()));
        };
        app.reconcile(&acme(), operator(), 0, &CancellationToken::new(), watch)
            .await
    });
    held.cancelled().await;
    let stop = CancellationToken::new();
    let second = other
        .app
        .reconcile(&acme(), operator(), 0, &stop, |_| {})
        .await;
    assert!(matches!(second, Err(ReconcileError::Busy)), "{second:?}");
    release.cancel();
    let first = first.await.unwrap().unwrap();
    let second = other
        .app
        .reconcile(&acme(), operator(), 0, &stop, |_| {})
        .await
        .unwrap();
    assert_ne!(first, second);
    other.stop().await;
    world.stop().await;
}

/// Stopped in front of its first step, for longer than its lease: another has done the whole run meanwhile. Seen red for: taking a
/// lost lease again as if it had never been lost; keeping a step without looking who holds the lease.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_stood_still_for_longer_than_its_lease_keeps_nothing_more() {
    let world = World::start().await;
    business(&world).await;
    let (held, release) = (CancellationToken::new(), CancellationToken::new());
    // Where this test fails, it is not held up for ever.
    let _released = release.clone().drop_guard();
    let (tell, wait) = (held.clone(), release.clone());
    let app = world.app().clone();
    let paused = tokio::spawn(async move {
        let watch = move |_| {
            tell.cancel();
            // Whatever else waits for this thread goes on with another.
            block_in_place(|| Handle::current().block_on(wait.cancelled()));
        };
        app.reconcile(&acme(), operator(), 0, &CancellationToken::new(), watch)
            .await
    });
    held.cancelled().await;
    let pool = world.app().store().pool();
    let ended = "update reconciliation_leases set leased_until = clock_timestamp()";
    sqlx::query(ended).execute(pool).await.unwrap();
    let stop = CancellationToken::new();
    let run = world
        .app()
        .reconcile(&acme(), operator(), 0, &stop, |_| {})
        .await
        .unwrap();
    let events = world.events().await;
    release.cancel();
    let paused = paused.await.unwrap();
    assert!(matches!(paused, Err(ReconcileError::Busy)), "{paused:?}");
    assert_eq!(world.events().await, events);
    let runs = &world.app().store().reconciliations;
    assert_eq!(runs.progress(run).await.unwrap(), None, "the run has ended");

    let (one, other) = (uuid::Uuid::from_u128(1), uuid::Uuid::from_u128(2));
    let step = RunStep {
        progress: "{}",
        ..RunStep::default()
    };
    let day = std::time::Duration::from_secs(86_400);
    assert!(
        runs.take(&acme(), one, std::time::Duration::ZERO)
            .await
            .unwrap()
    );
    assert!(runs.take(&acme(), other, day).await.unwrap());
    assert!(!runs.step(&acme(), run, Some(one), &step).await.unwrap());
    assert_eq!(runs.progress(run).await.unwrap(), None);
    assert!(runs.step(&acme(), run, Some(other), &step).await.unwrap());
    world.stop().await;
}

/// Planted bug: looking for a run that is due among the rows of all merchants.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_begins_by_itself_when_it_is_due() {
    let world = World::start().await;
    business(&world).await;
    let stop = CancellationToken::new();
    let (app, told) = (world.app().clone(), stop.clone());
    let day = std::time::Duration::from_secs(86_400);
    let worker = tokio::spawn(async move { app.run_reconciling(day, told).await });
    let closed = async || {
        let rows: Vec<(String, i64)> = sqlx::query_as(
            "select merchant, count(*) from reconciliation_runs where status = 'closed' group by merchant order by merchant",
        )
        .fetch_all(world.app().store().pool())
        .await
        .unwrap();
        rows
    };
    until("every account is compared", async || {
        closed().await.len() == 3
    })
    .await;
    stop.cancel();
    worker.await.unwrap();
    assert!(closed().await.iter().all(|(_, runs)| *runs == 1));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_of_a_report_tells_of_the_same_break() {
    let world = World::start().await;
    business(&world).await;
    let transaction = crate::plant_another_fee(&world).await;
    let run = try_reconcile(&world).await.unwrap();
    for form in [Form::Words, Form::Json, Form::Csv, Form::Html] {
        let report = world.app().report(&acme(), run).await.unwrap();
        let mut bytes = Vec::new();
        let open = report::write(report, form, &mut bytes).await.unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(open, 1);
        assert!(text.contains(&transaction), "{form:?}: {text}");
        if form == Form::Json {
            let report: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(report["tail"]["open"], 1);
        }
    }
    world.stop().await;
}
