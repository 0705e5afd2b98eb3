//! The independent checker finds nothing where nothing is wrong, and says so in three ways.

mod decided;
mod planted;
mod plants;

use crate::replay::busy_world;
use crate::support::{World, audit, seal_key, until};
use auditor::Invariant;
use serde_json::{Value, json};
use std::process::{Command, Output};

/// Waits until the journal has followed the log to its end.
pub async fn until_followed(world: &World) {
    until("the journal has followed the log", async || {
        let behind: bool = sqlx::query_scalar(
            "select coalesce((select position from checkpoints where name = 'journal.v2'), 0) < position from log_head",
        )
        .fetch_one(world.app().store().pool())
        .await
        .unwrap();
        !behind
    })
    .await;
}

/// Red when any promise is broken, or when the auditor takes something for broken that is not: this world has some of everything.
#[tokio::test(flavor = "multi_thread")]
async fn a_busy_world_at_rest_breaks_no_promise() {
    let world = busy_world().await;
    until_followed(&world).await;
    audit::verify_settled(&world).await;

    let report = audit::report(&world, |_| {}).await;
    let counted = |invariant: Invariant, what: &str| report.checked[&invariant].counted[what];
    assert_eq!(i64::try_from(report.events).unwrap(), world.events().await);
    assert!(counted(Invariant::I2, "claims") > 0, "{report:?}");
    assert!(
        counted(Invariant::I3, "calls seen at Stripe") > 10,
        "{report:?}"
    );
    assert!(counted(Invariant::I4, "objects") > 10, "{report:?}");
    assert!(counted(Invariant::I5, "lines") > 5, "{report:?}");
    assert!(counted(Invariant::I8, "payouts") > 0, "{report:?}");
    world.stop().await;
}

fn command(world: &World, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_counterfoil"))
        .args(["audit", "verify"])
        .args(arguments)
        .env_clear()
        .env("DATABASE_URL", &world.database_url)
        .env("COUNTERFOIL_SEAL_KEY", hex::encode(seal_key().expose()))
        .output()
        .unwrap()
}

/// Red when a violation ends with 0, or an audit that could not be finished with anything but 2.
#[tokio::test(flavor = "multi_thread")]
async fn the_command_says_nothing_found_violations_and_not_finished_by_its_exit_code() {
    let world = World::start().await;
    let simulator = world.simulator.url();
    let clean = command(&world, &["--simulator", &simulator]);
    let words = String::from_utf8(clean.stdout).unwrap();
    assert_eq!(clean.status.code(), Some(0), "{words}");
    assert!(words.contains("I7   ok"), "{words}");
    assert!(words.contains("I1   not checked"), "{words}");

    let acknowledged = tempfile::NamedTempFile::new().unwrap();
    let line = json!({"merchant": "acme", "stripe_id": "pi_lost"}).to_string();
    std::fs::write(acknowledged.path(), line).unwrap();
    let path = acknowledged.path().to_str().unwrap();
    let lost = command(&world, &["--json", "--acknowledged", path]);
    assert_eq!(lost.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&lost.stdout).unwrap();
    assert_eq!(report["clean"], false);
    assert_eq!(report["violations"][0]["invariant"], "I1");
    assert_eq!(report["violations"][0]["merchant"], "acme");

    std::fs::write(acknowledged.path(), "{\"merchant\": \"acme\"}").unwrap();
    let unreadable = command(&world, &["--acknowledged", path]);
    assert_eq!(unreadable.status.code(), Some(2));
    let nowhere = command(&world, &["--simulator", "http://127.0.0.1:9/"]);
    assert_eq!(nowhere.status.code(), Some(2));
    world.stop().await;
}
