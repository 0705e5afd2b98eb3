//! Rebuilds that are killed, that are in each other's way, and that find no moment to swap.

use crate::support::{World, process, until};
use crate::{
    assert_identical, busy_world, of_everything, owner, pool, rebuild_with, replay, replay_output,
    step_of_running,
};
use eventstore::Reader;
use projections::rebuild::{Rebuild, RebuildError, Refold};
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};
use std::process::{Child, Stdio};
use std::time::Duration;

/// A rebuild of everything in a process of its own, silently.
fn spawned(world: &World) -> Child {
    let mut command = process::program(world);
    command.args(["replay", "--all"]);
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

async fn in_step(world: &World, step: &str) {
    until("the rebuild has come to the step", async || {
        step_of_running(world).await.as_deref() == Some(step)
    })
    .await;
}

/// One balance is wrong from here on.
async fn wrong(world: &World) -> Vec<Value> {
    let wrong = "update balances set credit_minor = credit_minor + 1 where merchant = 'acme'";
    owner(world).await.execute(wrong).await.unwrap();
    balances(world).await
}

async fn balances(world: &World) -> Vec<Value> {
    sqlx::query_scalar("select to_jsonb(t) from balances t order by t::text")
        .fetch_all(&mut owner(world).await)
        .await
        .unwrap()
}

/// Somebody who holds a table, so that a rebuild stands still at a known place.
async fn holder(world: &World, lock: &str) -> PgConnection {
    let mut holder = owner(world).await;
    holder.execute("begin").await.unwrap();
    holder.execute(lock).await.unwrap();
    holder
}

async fn sessions(world: &World) -> i64 {
    sqlx::query_scalar(
        "select count(*) from pg_stat_activity
         where application_name = 'counterfoil-rebuild' and datname = current_database()",
    )
    .fetch_one(&mut owner(world).await)
    .await
    .unwrap()
}

async fn shadows(world: &World) -> i64 {
    sqlx::query_scalar("select count(*) from pg_class where relnamespace = 'rebuild'::regnamespace and relkind = 'r'")
        .fetch_one(&mut owner(world).await)
        .await
        .unwrap()
}

/// Kills a rebuild that somebody holds up in that step: the live rows are as they were, and its shadow lies there.
async fn killed_in(
    world: &World,
    step: &str,
    (mut killed, holder): (Child, PgConnection),
    live: &[Value],
) {
    in_step(world, step).await;
    killed.kill().unwrap();
    killed.wait().unwrap();
    holder.close().await.unwrap();
    // The lock goes with its session, as soon as the server has noticed.
    until("its session has ended", async || sessions(world).await == 0).await;
    assert_eq!(balances(world).await, live, "killed while {step}");
    assert!(shadows(world).await > 0, "its shadow is there");
}

/// Planted bugs, each seen red here: shadows that are left where a rebuild begins; records of the killed that nobody ends.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_killed_leaves_the_live_rows_and_the_next_one_tidies_up() {
    let world = busy_world().await;
    let planted = wrong(&world).await;
    let certificate = "lock table rebuild_tables in access exclusive mode";
    // What the dead one was at stays written until the next begins: each is killed in another step than the one before.
    // Compared, and about to be indexed.
    let held = holder(&world, certificate).await;
    let it = spawned(&world);
    in_step(&world, "comparing").await;
    let written = holder(&world, "lock table rebuild.balances in row exclusive mode").await;
    held.close().await.unwrap();
    killed_in(&world, "indexing", (it, written), &planted).await;
    // Full, and about to keep its certificate.
    let held = holder(&world, certificate).await;
    killed_in(&world, "comparing", (spawned(&world), held), &planted).await;
    // Indexed, and waiting for the tables.
    let held = holder(&world, "lock table balances in access share mode").await;
    killed_in(&world, "swapping", (spawned(&world), held), &planted).await;
    let (code, told) = replay(&world, &["--all", "--json"]).await;
    assert_eq!((code, &told["state"]), (0, &json!("swapped")), "{told:#}");
    assert_ne!(balances(&world).await, planted);
    assert_eq!(shadows(&world).await, 0);
    let states: Vec<String> = sqlx::query_scalar("select state from rebuilds order by id")
        .fetch_all(&mut owner(&world).await)
        .await
        .unwrap();
    assert_eq!(states, ["abandoned", "abandoned", "abandoned", "swapped"]);
    assert_identical(&world).await;
    world.stop_audited().await;
}

/// Planted bug, seen red here: a rebuild that begins without the lock.
#[tokio::test(flavor = "multi_thread")]
async fn one_runs_at_a_time_whoever_asks() {
    let world = busy_world().await;
    wrong(&world).await;
    let holder = holder(&world, "lock table balances in access share mode").await;
    let mut first = spawned(&world);
    in_step(&world, "swapping").await;
    let second = replay_output(&world, &["--all"]).await;
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(2), "{said}");
    assert!(said.contains("another rebuild is running"), "{said}");
    let asked = world.post("/ledger/v1/rebuilds").bearer_auth("admin-acme");
    let asked = asked
        .header("Idempotency-Key", "one")
        .json(&json!({"dry_run": true}));
    let (status, problem) = crate::send(asked.try_clone().unwrap()).await;
    assert_eq!(
        (status, &problem["code"]),
        (409, &json!("rebuild_running")),
        "{problem}"
    );
    holder.close().await.unwrap();
    assert!(first.wait().unwrap().success());
    // A refusal leaves the key free.
    let (status, begun) = crate::send(asked).await;
    assert_eq!(status, 201, "{begun}");
    until("it has ended", async || {
        step_of_running(&world).await.is_none()
    })
    .await;
    world.stop_audited().await;
}

/// Planted bug, seen red here: a swap that waits for its locks as long as it takes, and everybody behind it.
#[tokio::test(flavor = "multi_thread")]
async fn a_swap_that_finds_no_moment_gives_up_and_holds_nobody_up_meanwhile() {
    let world = busy_world().await;
    let planted = wrong(&world).await;
    let mut reading = holder(&world, "lock table balances in access share mode").await;
    let order = of_everything(false);
    let reader = Reader::new(pool(&world).await);
    let rebuild = Rebuild::begin(
        &world.database_url,
        reader,
        &order.projections,
        Refold::default(),
    );
    let mut rebuild = rebuild.await.unwrap().patience(Duration::from_secs(2));
    rebuild.record(&order).await.unwrap();
    let swapping = tokio::spawn(async move { rebuild.run(&order, &mut ()).await });
    in_step(&world, "swapping").await;
    // Behind a lock that is waited for, everybody waits: payments come through because it is let go of again.
    for _ in 0..3 {
        let paid = crate::pay(&world, "sk_test_acme", "4242424242424242").await;
        assert!(paid.starts_with("pi_"), "{paid}");
    }
    let ended = swapping.await.unwrap();
    assert!(matches!(ended, Err(RebuildError::InUse)), "{ended:?}");
    reading.execute("rollback").await.unwrap();
    let state: (String, Option<String>) = sqlx::query_as("select state, error from rebuilds")
        .fetch_one(&mut owner(&world).await)
        .await
        .unwrap();
    assert_eq!(state.0, "failed");
    assert!(state.1.unwrap().contains("in use"));
    let still_wrong = balances(&world).await.iter().zip(&planted).count();
    assert_eq!(still_wrong, planted.len());
    let order = of_everything(false);
    let mended = rebuild_with(&world, Refold::default(), 1000, &order).await;
    assert!(mended.is_ok(), "{mended:?}");
    crate::caught_up(&world).await;
    assert_identical(&world).await;
    world.stop_audited().await;
}
