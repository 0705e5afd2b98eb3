//! Exports: the whole of it, the same for ever as of a position, in forms that other programs read, and nobody else's.

use super::*;
use crate::command_line::well;
use crate::finance::{Business, acme, business, caught_up, lines_of, sums};
use crate::support::until;
use counterfoil::use_cases::Person;
use std::collections::BTreeMap;

const LINES: &str = "application/x-ndjson";
const CSV: &str = "text/csv";

async fn export(world: &World, key: &str, path: &str, form: &str) -> Answer {
    let request = world.get(&format!("/ledger/v1/exports{path}"));
    ask(request.bearer_auth(key).header("Accept", form)).await
}

/// The rows of an export as lines, held to its head and its end.
async fn rows(world: &World, path: &str) -> Vec<Value> {
    let answer = export(world, FINANCE, path, LINES).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    let mut lines = lines_of(&answer.text);
    let (head, end) = (lines.remove(0), lines.pop().unwrap());
    assert_eq!(
        (&head["object"], &end["object"]),
        (&json!("export"), &json!("export_end")),
        "{path}"
    );
    assert_eq!(
        (&head["rows"], &end["rows"]),
        (&json!(lines.len()), &json!(lines.len()))
    );
    assert_eq!(head["position"], end["position"]);
    assert_eq!(
        answer.header("ledger-position"),
        Some(head["position"].to_string().as_str())
    );
    assert_eq!(
        answer.header("row-count"),
        Some(lines.len().to_string().as_str())
    );
    lines
}

fn positions(rows: &[Value]) -> Vec<i64> {
    rows.iter()
        .map(|it| it["position"].as_i64().unwrap())
        .collect()
}

/// Planted bugs, each seen red here: leaving the bound of the position out of the journal's lines, or of what accounts came to; leaving
/// out the first page of lines.
#[tokio::test(flavor = "multi_thread")]
async fn the_journal_sums_to_the_balances_as_of_every_position() {
    let world = World::start().await;
    business(&world).await;
    let head = get(&world, FINANCE, "/balances").await.expect(200);
    let head = head["position"].as_i64().unwrap();
    for at in 1..=head {
        let journal = rows(&world, &format!("/journal?as_of={at}")).await;
        let balances = get(&world, FINANCE, &format!("/balances?as_of={at}")).await;
        let known: BTreeMap<(String, String), i64> = balances.expect(200)["balances"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| {
                let text = |name: &str| it[name].as_str().unwrap().to_owned();
                let key = (text("account"), text("currency"));
                (key, it["balance_minor"].as_i64().unwrap())
            })
            .collect();
        assert_eq!(sums(&journal), known, "as of {at}");
        let exported = rows(&world, &format!("/balances?as_of={at}")).await;
        assert_eq!(exported.len(), known.len());
        for it in &exported {
            let text = |name: &str| it[name].as_str().unwrap().to_owned();
            let key = (text("account"), text("currency"));
            assert_eq!(it["balance_minor"], known[&key]);
        }
    }
    assert!(rows(&world, "/journal").await.len() > 12);
    world.stop_audited().await;
}

/// Planted bug: leaving what Stripe booked out of an order's life.
#[tokio::test(flavor = "multi_thread")]
async fn every_filter_takes_its_part_and_the_parts_are_the_whole() {
    let world = World::start().await;
    let Business { order, .. } = business(&world).await;
    let all = rows(&world, "/journal").await;
    for (name, values) in [
        ("account", ["assets:stripe:balance", "income:sales"]),
        ("currency", ["usd", "eur"]),
    ] {
        for value in values {
            let part = rows(&world, &format!("/journal?{name}={value}")).await;
            let expected: Vec<Value> = all.iter().filter(|it| it[name] == value).cloned().collect();
            assert!(!part.is_empty(), "{name}={value}");
            assert_eq!(part, expected, "{name}={value}");
        }
    }
    let months: std::collections::BTreeSet<String> = all
        .iter()
        .map(|it| it["period"].as_str().unwrap().to_owned())
        .collect();
    let mut of_months = 0;
    for month in months {
        of_months += rows(&world, &format!("/journal?period={month}"))
            .await
            .len();
    }
    assert_eq!(of_months, all.len());
    for (what, from, before) in [
        ("recorded_at", "recorded_from", "recorded_before"),
        ("effective_at", "effective_from", "effective_before"),
    ] {
        let mut times: Vec<&str> = all.iter().map(|it| it[what].as_str().unwrap()).collect();
        times.sort_unstable();
        times.dedup();
        // Stripe's clock may be ahead of ours: the second of them is in the past by any.
        let middle = times[1];
        let earlier = rows(&world, &format!("/journal?{before}={middle}")).await;
        let later = rows(&world, &format!("/journal?{from}={middle}")).await;
        assert!(!earlier.is_empty() && !later.is_empty(), "{what}");
        assert_eq!(earlier.len() + later.len(), all.len(), "{what}");
        assert!(earlier.iter().all(|it| it[what].as_str().unwrap() < middle));
    }
    // What was told of the order, its payment, and what Stripe booked for that.
    let of_order = rows(&world, &format!("/journal?order={order}")).await;
    let types: std::collections::BTreeSet<&str> = of_order
        .iter()
        .map(|it| it["event_type"].as_str().unwrap())
        .collect();
    for told in ["Captured", "OrderPaid", "BalanceTransactionObserved"] {
        assert!(types.contains(told), "{told}: {types:?}");
    }
    assert!(of_order.iter().all(|it| it["currency"] == "usd"));
    let events = rows(&world, &format!("/events?order={order}")).await;
    let life = get(&world, FINANCE, &format!("/orders/{order}/events")).await;
    let life = positions(life.expect(200)["data"].as_array().unwrap());
    let told = positions(&events);
    assert!(life.iter().all(|it| told.contains(it)), "{life:?} {told:?}");
    assert!(told.len() > life.len(), "what Stripe booked is among them");
    assert!(positions(&of_order).iter().all(|it| told.contains(it)));
    // All events are the whole feed.
    let everything = positions(&rows(&world, "/events").await);
    let last = i64::try_from(everything.len()).unwrap();
    assert_eq!(everything, (1..=last).collect::<Vec<_>>());
    let middle = &rows(&world, "/events").await[everything.len() / 2]["recorded_at"];
    let middle = middle.as_str().unwrap();
    let later = rows(&world, &format!("/events?recorded_from={middle}")).await;
    let earlier = rows(&world, &format!("/events?recorded_before={middle}")).await;
    assert_eq!(
        [positions(&earlier), positions(&later)].concat(),
        everything
    );
    world.stop_audited().await;
}

/// The rows of a CSV as another program reads them.
fn read_by_another(csv: &str) -> Vec<BTreeMap<String, String>> {
    const PROGRAM: &str = "import csv,json,sys,io\nsys.stdin.reconfigure(encoding='utf-8',newline='')\nprint(json.dumps(list(csv.DictReader(sys.stdin))))";
    let mut child = std::process::Command::new("python3")
        .args(["-c", PROGRAM])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn();
    if let Ok(child) = &mut child {
        let mut stdin = child.stdin.take().unwrap();
        std::io::Write::write_all(&mut stdin, csv.as_bytes()).unwrap();
    }
    match child.and_then(std::process::Child::wait_with_output) {
        Ok(output) if output.status.success() => serde_json::from_slice(&output.stdout).unwrap(),
        // Where there is no Python, the rows are read by the library.
        _ => csv::Reader::from_reader(csv.as_bytes())
            .deserialize()
            .map(Result::unwrap)
            .collect(),
    }
}

/// Planted bug: a cell that is written as it came.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_csv_finds_what_a_reader_of_json_finds_and_no_formula_runs() {
    let world = World::start().await;
    business(&world).await;
    let open = placed(&world, "E-2", 900).await;
    let reason = json!({"reason": "=HYPERLINK(\"http://evil.example\"), \"so\"\nit goes"});
    post(&world, ADMIN, &format!("/orders/{open}/cancel"), &reason)
        .await
        .expect(200);
    let name = json!({"code": "+1360", "name": "@SUM(A1), Verrechnung für \"Stripe\""});
    post(&world, ADMIN, "/chart/assets:stripe:clearing", &name)
        .await
        .expect(200);
    caught_up(&world).await;
    let mut formulas = 0;
    for path in [
        "/journal",
        "/journal?chart=true",
        "/balances?chart=true",
        "/events",
    ] {
        let csv = export(&world, FINANCE, path, CSV).await;
        assert_eq!(csv.status, 200, "{}", csv.text);
        assert!(csv.text.ends_with("\r\n"));
        let read = read_by_another(&csv.text);
        let lines = rows(&world, path).await;
        assert_eq!(read.len(), lines.len(), "{path}");
        for (cells, line) in read.iter().zip(&lines) {
            for (name, cell) in cells {
                let told = match &line[name] {
                    Value::Null => String::new(),
                    Value::String(it) => it.clone(),
                    Value::Object(_) => {
                        let payload: Value = serde_json::from_str(cell).unwrap();
                        assert_eq!(payload, line[name]);
                        continue;
                    }
                    it => it.to_string(),
                };
                let number = ["opening", "debit", "credit", "balance"].contains(&name.as_str())
                    || line[name].is_number();
                if told.starts_with(['=', '+', '-', '@']) && !number {
                    formulas += 1;
                    assert_eq!(*cell, format!("'{told}"), "{name} of {path}");
                } else {
                    assert_eq!(*cell, told, "{name} of {path}");
                }
            }
        }
    }
    assert!(formulas >= 4, "only {formulas} were seen");
    world.stop_audited().await;
}

/// Planted bugs: the position is no bound of the journal, or none of the chart's.
#[tokio::test(flavor = "multi_thread")]
async fn an_export_as_of_a_position_is_the_same_to_the_byte_whatever_has_happened_since() {
    let world = World::start().await;
    business(&world).await;
    let bank = json!({"code": "1200", "name": "Bank"});
    let set = post(&world, ADMIN, "/chart/income:sales", &bank)
        .await
        .expect(200);
    let at = set["position"].as_i64().unwrap();
    caught_up(&world).await;
    let mut before = Vec::new();
    let paths = [
        format!("/journal?chart=true&as_of={at}"),
        format!("/balances?chart=true&as_of={at}"),
        format!("/events?as_of={at}"),
    ];
    for path in &paths {
        for form in [LINES, CSV] {
            before.push(export(&world, FINANCE, path, form).await.text);
        }
    }
    let cleared = delete(&world, ADMIN, "/chart/income:sales")
        .await
        .expect(200);
    assert!(cleared["position"].as_i64() > Some(at));
    let again = json!({"code": "8400", "name": "Sales", "because": "the new chart"});
    post(&world, ADMIN, "/chart/income:sales", &again)
        .await
        .expect(200);
    let card = support::card_payment(800, "usd", "4242424242424242");
    ask(world.pay("/v1/payment_intents", card))
        .await
        .expect(200);
    caught_up(&world).await;
    let mut after = Vec::new();
    for path in &paths {
        for form in [LINES, CSV] {
            after.push(export(&world, FINANCE, path, form).await.text);
        }
    }
    assert_eq!(before, after);
    let chart = get(&world, FINANCE, "/chart").await.expect(200);
    let of = |chart: &Value| {
        let accounts = chart["accounts"].as_array().unwrap().iter();
        let mut mapped = accounts.filter(|it| it["code"].is_string()).cloned();
        (mapped.next().unwrap(), mapped.next())
    };
    assert_eq!(
        of(&chart),
        (
            json!({"account": "income:sales", "code": "8400", "name": "Sales"}),
            None
        )
    );
    let then = get(&world, FINANCE, &format!("/chart?as_of={at}")).await;
    assert_eq!(of(&then.expect(200)).0["code"], "1200");
    let now = rows(&world, "/journal?chart=true").await;
    for it in &now {
        let is_sales = it["account"] == "income:sales";
        assert_eq!(it["mapped"], is_sales);
        let code = if is_sales {
            json!("8400")
        } else {
            it["account"].clone()
        };
        assert_eq!(it["chart_code"], code);
    }
    let whole = export(&world, FINANCE, "/journal?chart=true", LINES).await;
    let end = lines_of(&whole.text).pop().unwrap();
    let unmapped = end["unmapped"].as_array().unwrap();
    assert!(unmapped.contains(&json!("assets:stripe:clearing")));
    assert!(!unmapped.contains(&json!("income:sales")));
    // Who said it, and why.
    let told = get(&world, FINANCE, "/events?limit=100").await.expect(200);
    let told = told["data"].as_array().unwrap().iter();
    let mapped: Vec<&Value> = told.filter(|it| it["type"] == "AccountMapped").collect();
    assert_eq!(mapped.last().unwrap()["reason"], "the new chart");
    assert!(mapped.last().unwrap()["key_id"].is_string());
    world.stop_audited().await;
}

/// Planted bug: an order that nobody has, read as one to which nothing happened.
#[tokio::test(flavor = "multi_thread")]
async fn another_merchant_takes_nothing_of_it_away() {
    let world = World::start().await;
    let Business { order, intent } = business(&world).await;
    for path in ["/journal", "/balances", "/events"] {
        let rival = export(&world, RIVAL, path, LINES).await;
        assert_eq!(rival.status, 200);
        assert!(!rival.text.contains(&intent), "{}", rival.text);
        let own = lines_of(&rival.text);
        assert_eq!(own[0]["merchant"], "rival");
    }
    for path in ["/journal", "/events"] {
        let path = format!("{path}?order={order}");
        let rival = export(&world, RIVAL, &path, LINES).await;
        assert_eq!((rival.status, rival.problem()), (404, "not_found"));
    }
    world.stop().await;
}

/// Planted bug: an end of the report that is not among the pieces.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_taken_away_in_every_form_and_as_json_it_is_what_its_hash_is_of() {
    use sha2::Digest;
    let world = World::start().await;
    business(&world).await;
    let stop = tokio_util::sync::CancellationToken::new();
    let app = world.app();
    let actor = by("for the report").actor;
    let run = app
        .reconcile(&acme(), actor, 0, &stop, |_| {})
        .await
        .unwrap();
    let known = get(&world, FINANCE, &format!("/reconciliations/{run}")).await;
    let known = known.expect(200);
    let path = format!("/reconciliations/{run}");
    let json = export(&world, FINANCE, &path, "application/json").await;
    assert_eq!(
        hex::encode(sha2::Sha256::digest(json.text.as_bytes())),
        known["report_hash"].as_str().unwrap()
    );
    let position = known["ledger_position"].to_string();
    assert_eq!(json.header("ledger-position"), Some(position.as_str()));
    let told = json.json["lines"].as_array().unwrap().len();
    let csv = export(&world, FINANCE, &path, CSV).await;
    assert_eq!(
        csv::Reader::from_reader(csv.text.as_bytes())
            .records()
            .count(),
        told
    );
    let lines = lines_of(&export(&world, FINANCE, &path, LINES).await.text);
    assert_eq!(lines.len(), told + 2);
    assert_eq!(lines[0]["object"], "report");
    assert_eq!(lines[told + 1]["object"], "report_end");
    let html = export(&world, FINANCE, &path, "text/html").await;
    assert!(html.text.starts_with("<!doctype html>") && html.text.ends_with("</html>\n"));
    let rival = export(&world, RIVAL, &path, CSV).await;
    assert_eq!((rival.status, rival.problem()), (404, "not_found"));
    let run = run.to_string();
    let typed = ["export", "report", &run, "--merchant", "acme", "--json"];
    assert_eq!(well(&world, &typed), json.text);
    world.stop().await;
}

fn by(because: &str) -> Person {
    Person {
        merchant: acme(),
        actor: aggregates::metadata::Actor {
            name: "operator:test".to_owned(),
            key_id: None,
            door: "cli".to_owned(),
        },
        because: because.to_owned(),
    }
}

/// Makes one entry of acme's longer by so many lines, each as good as any other: what does not fit into memory twice.
async fn plant_lines(world: &World, count: i32) {
    let pool = eventstore::pool(&world.database_url, eventstore::Role::Owner, 1)
        .await
        .unwrap();
    let planted = sqlx::query(
        "insert into journal (merchant, ledger_position, entry, line, account, currency, debit_minor, credit_minor,
                              recorded_at, effective_at, period, position)
         select j.merchant, j.ledger_position, j.entry, last.line + n, j.account, j.currency, j.debit_minor, j.credit_minor,
                j.recorded_at, j.effective_at, j.period, j.position
         from (select * from journal where merchant = 'acme' order by ledger_position, entry, line limit 1) j,
              (select max(line) as line from journal where merchant = 'acme') last, generate_series(1, $1) n",
    );
    planted.bind(count).execute(&pool).await.unwrap();
    pool.close().await;
}

/// The snapshots of exports that are open in this test's database.
async fn open_exports(world: &World) -> i64 {
    // What others are doing is only the owner's to see.
    let owner = eventstore::Role::Owner;
    let pool = eventstore::pool(&world.database_url, owner, 1)
        .await
        .unwrap();
    let open = sqlx::query_scalar(
        "select count(*) from pg_stat_activity
         where datname = current_database() and pid <> pg_backend_pid() and state <> 'idle'
           and (query like 'FETCH FORWARD%' or query like 'DECLARE exported%')",
    );
    let open = open.fetch_one(&pool).await.unwrap();
    pool.close().await;
    open
}

/// A place that is never given back would leave the last wait without an end.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_goes_away_ends_the_export_and_there_is_room_for_the_next() {
    let world = World::start().await;
    business(&world).await;
    plant_lines(&world, 60_000).await;
    let begun = async || {
        let request = world.get("/ledger/v1/exports/journal").bearer_auth(FINANCE);
        let mut answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(answer.chunk().await.unwrap().is_some());
        answer
    };
    let open = [begun().await, begun().await, begun().await];
    until("three are open", async || open_exports(&world).await == 3).await;
    let more = export(&world, FINANCE, "/journal", LINES).await;
    assert_eq!((more.status, more.problem()), (429, "too_many_exports"));
    assert!(more.header("retry-after").is_some());
    // Others have their own places.
    assert_eq!(export(&world, RIVAL, "/journal", LINES).await.status, 200);
    drop(open);
    until("none is open", async || open_exports(&world).await == 0).await;
    until("there is room", async || {
        export(&world, FINANCE, "/balances", LINES).await.status == 200
    })
    .await;
    world.stop().await;
}

/// What a process has had in memory at the most, in KiB, as far as it could be seen.
fn peak_kib(child: &mut std::process::Child) -> u64 {
    let path = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let status = std::fs::read_to_string(&path).unwrap_or_default();
        let line = status.lines().find(|it| it.starts_with("VmHWM:"));
        let seen = line.and_then(|it| it.split_whitespace().nth(1)?.parse().ok());
        peak = peak.max(seen.unwrap_or(0));
        std::thread::yield_now();
    }
    peak
}

/// Planted bug: gathering the rows before they are written.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_journal_is_exported_in_little_memory() {
    let world = World::start().await;
    business(&world).await;
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("journal.csv");
    let export = || {
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_counterfoil"))
            .args(["export", "journal", "--merchant", "acme", "--output"])
            .arg(&place)
            .env_clear()
            .env("DATABASE_URL", &world.database_url)
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let peak = peak_kib(&mut child);
        assert!(child.wait().unwrap().success());
        (peak, std::fs::metadata(&place).unwrap().len())
    };
    // Enough for a page of rows, and for everything else that is held at a time.
    plant_lines(&world, 20_000).await;
    let (small, few) = tokio::task::block_in_place(export);
    plant_lines(&world, 100_000).await;
    let (large, many) = tokio::task::block_in_place(export);
    assert!(many > few + 20_000_000, "{few} and {many} bytes");
    let grown = large.saturating_sub(small);
    assert!(
        grown < 10_000,
        "{grown} KiB more for {many} bytes than for {few}"
    );
    world.stop().await;
}
