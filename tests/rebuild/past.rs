//! Read models as they were: a merchant's events replayed up to a moment, and what the live side tells of it.

use crate::support::process;
use crate::support::{World, send};
use crate::{busy_world, owner, pay, replay, replay_output, settled};
use serde_json::{Value, json};
use sqlx::Executor;
use std::process::{Output, Stdio};

/// Replays all of acme's, as of then.
pub async fn past(world: &World, as_of: &str) -> (i32, Value) {
    let of = ["--all", "--merchant", "acme", "--as-of", as_of, "--json"];
    replay(world, &of).await
}

async fn number(world: &World, sql: &str) -> i64 {
    sqlx::query_scalar(sql)
        .fetch_one(&mut owner(world).await)
        .await
        .unwrap()
}

async fn head(world: &World) -> i64 {
    let head = "select ledger_position from ledger_heads where ledger = 'acme'";
    number(world, head).await
}

fn table<'a>(told: &'a Value, name: &str) -> &'a Value {
    let mut tables = told["tables"].as_array().unwrap().iter();
    tables.find(|it| it["table"] == name).unwrap()
}

/// Planted bug, seen red here: live rows that were changed since are compared as well.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_read_models_were_at_any_position_is_told_and_is_what_is_live_of_then() {
    let world = busy_world().await;
    let head = head(&world).await;
    // Nothing is exchanged, so it need not wait for a rebuild that runs.
    let mut rebuilds = owner(&world).await;
    let lock = "select pg_advisory_lock(hashtextextended('counterfoil rebuild', 0))";
    rebuilds.execute(lock).await.unwrap();
    let mut changed = 0;
    for at in [1, head / 3, head / 2, head - 1] {
        let (code, told) = past(&world, &at.to_string()).await;
        assert_eq!((code, &told["state"]), (0, &json!("identical")), "{told:#}");
        assert_eq!(told["ledger_position"], at);
        let lines = format!(
            "select count(*) from journal where merchant = 'acme' and ledger_position <= {at}"
        );
        let journal = table(&told, "journal");
        assert_eq!(journal["rebuilt_rows"], number(&world, &lines).await);
        assert_eq!(journal["live_checksum"], journal["rebuilt_checksum"]);
        let tables = told["tables"].as_array().unwrap().iter();
        changed += tables
            .map(|it| it["changed_since"].as_i64().unwrap())
            .sum::<i64>();
        let ledger = ["--merchant", "acme", "--as-of", &at.to_string(), "--json"];
        let shown = command(&world, &["ledger", "balances"], &ledger).await;
        let shown = String::from_utf8(shown.stdout).unwrap();
        let shown: Vec<Value> = shown
            .lines()
            .map(|it| serde_json::from_str(it).unwrap())
            .collect();
        let balances = told["balances"].as_array().unwrap();
        assert_eq!(balances.len(), shown.len(), "{told:#}");
        for (it, shown) in balances.iter().zip(&shown) {
            assert_eq!(
                (&it["account"], &it["currency"]),
                (&shown["account"], &shown["currency"])
            );
            assert_eq!(it["replayed"]["balance_minor"], shown["balance_minor"]);
            assert_eq!(it["live"], it["replayed"]);
        }
    }
    assert!(changed > 0, "rows have changed between then and now");
    drop(rebuilds);

    // At the end of the ledger all rows are those of now, with the checksums of a rebuild's certificate.
    let (_, now) = replay(&world, &["--all", "--dry-run", "--json"]).await;
    let (_, told) = past(&world, &head.to_string()).await;
    for it in told["tables"].as_array().unwrap() {
        let tables = now["tables"].as_array().unwrap().iter();
        let mut own = tables.filter(|now| now["table"] == it["table"] && now["merchant"] == "acme");
        let Some(now) = own.next() else {
            assert_eq!(it["rebuilt_rows"], 0, "{it}");
            continue;
        };
        for what in [
            "rebuilt_rows",
            "rebuilt_checksum",
            "live_rows",
            "live_checksum",
        ] {
            assert_eq!(it[what], now[what], "{what} of {it}");
        }
        assert_eq!(it["changed_since"], 0);
    }
    let kept = "select count(*) from rebuilds where started_by = 'operator'";
    assert_eq!(number(&world, kept).await, 1, "only the rebuild is kept");
    world.stop_audited().await;
}

/// A time is the last position that was recorded by then.
#[tokio::test(flavor = "multi_thread")]
async fn a_time_is_as_good_as_a_position_and_one_projection_as_good_as_all() {
    let world = busy_world().await;
    let at = head(&world).await / 2;
    let time: chrono::DateTime<chrono::Utc> = sqlx::query_scalar(
        "select recorded_at from events where ledger = 'acme' and ledger_position = $1",
    )
    .bind(at)
    .fetch_one(&mut owner(&world).await)
    .await
    .unwrap();
    let last: i64 = sqlx::query_scalar(
        "select max(ledger_position) from events where ledger = 'acme' and recorded_at = $1",
    )
    .bind(time)
    .fetch_one(&mut owner(&world).await)
    .await
    .unwrap();
    let (code, told) = past(&world, &time.to_rfc3339()).await;
    assert_eq!((code, &told["ledger_position"]), (0, &json!(last)));
    assert_eq!(past(&world, &last.to_string()).await.1, told);

    let of = ["--merchant", "acme", "--as-of", &last.to_string()];
    let (code, one) = replay(&world, &[&["payments", "--json"], &of[..]].concat()).await;
    assert_eq!((code, one["tables"].as_array().unwrap().len()), (0, 1));
    assert_eq!(table(&one, "payments"), table(&told, "payments"));
    assert_eq!(one["balances"], json!([]));

    let words = replay_output(&world, &[&["--all", "--dry-run"], &of[..]].concat()).await;
    assert!(words.status.success() && words.stderr.is_empty());
    let words = String::from_utf8(words.stdout).unwrap();
    let checksum = table(&told, "journal")["rebuilt_checksum"]
        .as_str()
        .unwrap();
    assert!(words.contains(&format!("acme as of ledger position {last}, recorded ")));
    assert!(words.contains(checksum), "{words}");
    assert!(
        words.ends_with("what is live tells the same of then\n"),
        "{words}"
    );
    world.stop().await;
}

/// Planted bugs, each seen red here: rows that are not live are passed over; balances are shown and not counted; the rows of other
/// merchants are compared too.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_live_and_was_not_so_is_named_from_the_moment_that_it_is_of() {
    let world = busy_world().await;
    let at = number(
        &world,
        "select max(ledger_position) from events where ledger = 'acme' and event_type = 'Refunded'",
    )
    .await;
    let before = (at - 1).to_string();
    pay(&world, "sk_test_acme", "4242424242424242").await;
    settled(&world).await;
    let mut owner = owner(&world).await;
    for bug in [
        // A refund is more by a cent than it was.
        format!("update journal set debit_minor = debit_minor + 1
                 where merchant = 'acme' and ledger_position = {at} and debit_minor > 0"),
        // It is booked twice.
        format!("insert into journal select merchant, ledger_position, entry + 9, line, account, currency, debit_minor, credit_minor,
                        recorded_at, effective_at, period, position
                 from journal where merchant = 'acme' and ledger_position = {at} and credit_minor > 0"),
        format!("delete from refunds where position = (select position from events where ledger = 'acme' and ledger_position = {at})"),
    ] {
        let changed = owner.execute(&*bug).await.unwrap();
        assert_eq!(changed.rows_affected(), 1, "{bug}");
    }
    let (code, told) = past(&world, &before).await;
    let listed = told["listed"].as_array().unwrap();
    let early: Vec<&Value> = listed
        .iter()
        .filter(|it| it["table"] != "refunds")
        .collect();
    assert!(
        early.is_empty(),
        "nothing is wrong with what was before: {told:#}"
    );
    assert_eq!(code, i32::from(!listed.is_empty()));

    let (code, told) = past(&world, &at.to_string()).await;
    assert_eq!((code, &told["state"]), (1, &json!("different")), "{told:#}");
    let found = |table: &str, what: &str| {
        let listed = told["listed"].as_array().unwrap().iter();
        listed
            .filter(|it| it["table"] == table && it["what"] == what)
            .count()
    };
    assert_eq!(found("journal", "differs"), 1, "{told:#}");
    assert_eq!(found("journal", "surplus"), 1);
    assert_eq!(found("refunds", "missing"), 1);
    let balances = told["balances"].as_array().unwrap().iter();
    let wrong = balances.filter(|it| it["live"] != it["replayed"]).count();
    assert_eq!(wrong, 2, "{told:#}");
    assert_eq!(told["differences"], 5);
    let words = replay_output(
        &world,
        &["--all", "--merchant", "acme", "--as-of", &at.to_string()],
    )
    .await;
    assert_eq!(words.status.code(), Some(1));
    let words = String::from_utf8(words.stdout).unwrap();
    assert!(words.contains("DIFFERS: live"), "{words}");
    assert!(
        words.contains("5 of what is live tell otherwise"),
        "{words}"
    );
    world.stop().await;
}

async fn command(world: &World, of: &[&str], arguments: &[&str]) -> Output {
    let mut command = process::program(world);
    command.args(of).args(arguments);
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_is_no_history_it_says_what_the_ledger_says() {
    let world = World::start().await;
    assert_eq!(send(world.shop_create()).await.0, 200);
    settled(&world).await;
    for (merchant, as_of) in [
        ("acme", "999999"),
        ("acme", "0"),
        ("acme", "-4"),
        ("acme", "2999-01-01T00:00:00Z"),
        ("acme", "2001-01-01T00:00:00Z"),
        ("acme", "yesterday"),
        ("nobody", "1"),
    ] {
        let merchant = format!("--merchant={merchant}");
        let as_of = format!("--as-of={as_of}");
        let asked = [merchant.as_str(), as_of.as_str(), "--json"];
        let ours = command(&world, &["replay", "--all"], &asked).await;
        let ledgers = command(&world, &["ledger", "balances"], &asked).await;
        let said = |it: &Output| {
            let text = String::from_utf8_lossy(&it.stderr).into_owned();
            // The moment that is now is another each time.
            text.split("it is ").next().unwrap_or_default().to_owned()
        };
        assert_eq!((ours.status.code(), said(&ours)), (Some(2), said(&ledgers)));
        assert!(ours.stdout.is_empty() && !ours.stderr.is_empty());
    }
    for alone in [["--merchant", "acme"], ["--as-of", "1"]] {
        let ended = command(&world, &["replay", "--all"], &alone).await;
        assert_eq!(ended.status.code(), Some(2), "{alone:?}");
    }
    world.stop().await;
}

/// Planted bug, seen red here: `print!`, which panics.
#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_reads_any_more_it_is_quiet() {
    let world = World::start().await;
    assert_eq!(send(world.shop_create()).await.0, 200);
    settled(&world).await;
    let as_of = ["--merchant", "acme", "--as-of", "1"];
    for arguments in [
        &["--all", "--dry-run"][..],
        &[&["--all"], &as_of[..]].concat(),
    ] {
        let mut command = process::program(&world);
        command.arg("replay").args(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let ended = tokio::task::spawn_blocking(move || {
            let mut child = command.spawn().unwrap();
            drop(child.stdout.take());
            child.wait_with_output().unwrap()
        });
        let ended = ended.await.unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(
            (ended.status.code(), &*said),
            (Some(0), ""),
            "{arguments:?}"
        );
    }
    world.stop().await;
}
