//! A reconciliation whose process is killed, which another process goes on with; and what was said at some point of the past.

use crate::support::{World, process, send, until};
use crate::{
    at_stripe, forge, pay, plant_another_fee, quiet, read, reconcile, refund, try_reconcile,
};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output, Stdio};
use tokio::net::unix::pipe;

const ABORTED: i32 = 6;

/// `counterfoil reconcile` for acme, in a process of its own.
pub fn command(world: &World, args: &[&str]) -> Command {
    let mut command = process::program(world);
    command.args(["reconcile", "--merchant", "acme"]).args(args);
    command
}

pub async fn run(mut command: Command) -> Output {
    let ran = tokio::task::spawn_blocking(move || command.output());
    ran.await.unwrap().unwrap()
}

async fn owner(world: &World) -> PgConnection {
    PgConnection::connect(&world.database_url).await.unwrap()
}

/// Who died holds its lease for a while; here nobody waits for that.
async fn leases_run_out(world: &World) {
    let ran_out = "update reconciliation_leases set leased_until = now() - interval '1 second'";
    owner(world).await.execute(ran_out).await.unwrap();
}

/// How many rows there are that only a run under way needs.
async fn worked_with(world: &World) -> i64 {
    let rows = "select (select count(*) from reconciliation_items) + (select count(*) from reconciliation_work)";
    let mut owner = owner(world).await;
    sqlx::query_scalar(rows)
        .fetch_one(&mut owner)
        .await
        .unwrap()
}

/// Killed after its first and its third step, and then in every step that is left: at the commit after the one that keeps the step,
/// which is the next step's, and at the last between the event that closes the run and the removal of what it worked with.
///
/// Planted bugs: keeping how far the run has come before what the step read, or what it found before that, in a transaction of
/// its own; leaving what a closed run worked with.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_process_is_killed_is_gone_on_with_and_comes_to_the_same() {
    let world = World::start().await;
    let first = pay(&world, 2_000).await;
    pay(&world, 5_000).await;
    refund(&world, &first, 500).await;
    quiet(&world).await;
    let transaction = plant_another_fee(&world).await;
    for steps in [0, 2] {
        dies_of(&world, &format!("run-stepped={steps}*off->return")).await;
    }
    // Its lease is taken and kept, one step is kept: what is committed then must not be missed.
    let in_a_step = "rows-before-commit=3*off->return;run-closed=return";
    let mut deaths = 2;
    while !world
        .history("acme")
        .await
        .contains(&"RunClosed".to_owned())
    {
        dies_of(&world, in_a_step).await;
        deaths += 1;
    }
    assert!(deaths > 10, "{deaths}");
    assert!(worked_with(&world).await > 0, "it died before it tidied up");
    let opened = "select count(*) from reconciliation_runs where merchant = 'acme'";
    let mut connection = owner(&world).await;
    let opened: i64 = sqlx::query_scalar(opened)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(opened, 1, "{deaths} deaths later it is the same run");

    let closed = as_of(&world, &head(&world).await.to_string()).await;
    assert_eq!(breaks(&closed), [transaction]);
    let id = closed["head"]["run"].as_str().unwrap().to_owned();
    let killed = read(&world, id.parse().unwrap()).await;
    let whole = reconcile(&world).await;
    assert_eq!(killed.breaks(), whole.breaks());
    assert_eq!(killed.tail.totals, whole.tail.totals);
    let repeated = run(command(&world, &["--json", "--repeat", &id])).await;
    assert_eq!(repeated.status.code(), Some(1), "{repeated:?}");
    let repeated: Value = serde_json::from_slice(&repeated.stdout).unwrap();
    assert_eq!(repeated, closed);
    assert_eq!(worked_with(&world).await, 0);
    world.stop().await;
}

/// A process goes on with the run and dies at that point of it; whoever comes after it need not wait for its lease.
async fn dies_of(world: &World, point: &str) {
    let mut dying = command(world, &["--json"]);
    dying.env("FAILPOINTS", point);
    let died = run(dying).await;
    assert_eq!(died.status.signal(), Some(ABORTED), "{point}: {died:?}");
    leases_run_out(world).await;
}

/// Stopped between what it has decided and its append, for longer than its lease: meanwhile another has ended the run, and the
/// break is mended and gone. Seen red for: trying the append again without asking whose the run is, by which the break would be
/// open again.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_stood_still_before_its_append_records_nothing_more() {
    let world = World::start().await;
    pay(&world, 2_000).await;
    quiet(&world).await;
    let fee = at_stripe(&world, "balance_transactions").await[0]["fee"].clone();
    let transaction = plant_another_fee(&world).await;
    let home = tempfile::tempdir().unwrap();
    let gate = home.path().join("gate");
    mknodat(CWD, &gate, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    // The second append is that of the breaks. To leave its name in a pipe that nobody reads takes the process for ever.
    let mut stopped = command(&world, &["--json"]);
    let point = format!("run-decided=1*off->1*return({})", gate.display());
    stopped.env("FAILPOINTS", point);
    let mut stopped = tokio::process::Command::from(stopped);
    stopped.stdout(Stdio::piped()).stderr(Stdio::piped());
    let stopped = stopped.kill_on_drop(true).spawn().unwrap();
    until("it has decided on the breaks", async || {
        let mut owner = owner(&world).await;
        let asked = sqlx::query_scalar(ASKED_SINCE_IT_WAS_PINNED);
        asked.fetch_one(&mut owner).await.unwrap()
    })
    .await;
    leases_run_out(&world).await;
    let run = try_reconcile(&world).await.unwrap();
    assert_eq!(read(&world, run).await.breaks()[0].2, transaction);
    forge(&world, json!({"id": transaction, "set": {"fee": fee}})).await;
    assert_eq!(reconcile(&world).await.breaks(), []);
    let events = world.events().await;
    let mut reader = pipe::OpenOptions::new();
    let _reader = reader.read_write(true).open_receiver(&gate).unwrap();
    let stopped = stopped.wait_with_output().await.unwrap();
    assert_eq!(stopped.status.code(), Some(2), "{stopped:?}");
    assert_eq!(world.events().await, events);
    world.stop().await;
}

/// Whether the run's holder has asked whether it still is that, after the run was pinned.
const ASKED_SINCE_IT_WAS_PINNED: &str = "select exists (
    select from reconciliation_leases l join reconciliation_runs r using (merchant)
    where r.snapshot_hash is not null and l.xmin::text::bigint > r.xmin::text::bigint)";

async fn head(world: &World) -> i64 {
    let reader = world.app().store().reader();
    reader.ledger_head("acme").await.unwrap()
}

/// What `--as-of` shows.
async fn as_of(world: &World, point: &str) -> Value {
    let shown = run(command(world, &["--json", "--as-of", point])).await;
    assert!(shown.status.code().is_some_and(|it| it < 2), "{shown:?}");
    serde_json::from_slice(&shown.stdout).unwrap()
}

/// The first run that the API lists as of a position.
async fn listed_as_of(world: &World, position: i64) -> Value {
    let listed = world.get(&format!("/ledger/v1/reconciliations?as_of={position}"));
    let (status, listed) = send(listed.bearer_auth("finance-acme")).await;
    assert_eq!(status, 200, "{listed}");
    listed["data"][0]["id"].clone()
}

/// Of what the breaks of a report in JSON are.
fn breaks(report: &Value) -> Vec<String> {
    let lines = report["lines"].as_array().unwrap().iter();
    let breaks = lines.filter(|it| it["verdict"] == "break");
    breaks
        .map(|it| it["part"].as_str().unwrap().to_owned())
        .collect()
}

/// It is to be red where the last run is taken, whenever it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_as_of_a_point_is_the_last_one_of_then() {
    let world = World::start().await;
    pay(&world, 2_000).await;
    quiet(&world).await;
    let before_all = head(&world).await;
    let clean = reconcile(&world).await;
    let between = clean.head.pinned.ledger_position;
    plant_another_fee(&world).await;
    let faulty = reconcile(&world).await;
    assert_eq!(faulty.breaks().len(), 1);
    let now = head(&world).await;
    for (point, run, found) in [(between, &clean, 0), (now, &faulty, 1)] {
        let shown = as_of(&world, &point.to_string()).await;
        assert_eq!(
            shown["head"]["run"],
            run.head.run.to_string(),
            "as of {point}"
        );
        assert_eq!(breaks(&shown).len(), found);
        assert_eq!(listed_as_of(&world, point).await, shown["head"]["run"]);
    }
    assert_eq!(listed_as_of(&world, before_all - 1).await, Value::Null);
    // Nothing was compared by then, and nothing is known of what is to come.
    for point in [
        (before_all - 1).to_string(),
        (now + 1).to_string(),
        "yesterday".to_owned(),
    ] {
        let refused = run(command(&world, &["--as-of", &point])).await;
        assert_eq!(refused.status.code(), Some(2), "as of {point}: {refused:?}");
        assert!(refused.stdout.is_empty() && !refused.stderr.is_empty());
    }
    // Whoever does not read it is told by its ending that there is a break, and of no error.
    let mut unread = command(&world, &["--as-of", &now.to_string()]);
    let mut unread = unread
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(unread.stdout.take());
    let unread = unread.wait_with_output().unwrap();
    assert_eq!(unread.status.code(), Some(1), "{unread:?}");
    assert!(unread.stderr.is_empty(), "{unread:?}");
    let mut nobodys = process::program(&world);
    nobodys.args(["reconcile", "--as-of", "1"]);
    assert_eq!(
        run(nobodys).await.status.code(),
        Some(2),
        "positions are a merchant's"
    );
    // One that has not ended has nothing to say yet.
    let mut owner = PgConnection::connect(&world.database_url).await.unwrap();
    let unended = "update reconciliation_runs set status = 'comparing' where run_id = $1";
    let unended = sqlx::query(unended).bind(faulty.head.run.uuid());
    assert_eq!(
        unended.execute(&mut owner).await.unwrap().rows_affected(),
        1
    );
    assert_eq!(listed_as_of(&world, now).await, clean.head.run.to_string());
    world.stop().await;
}
