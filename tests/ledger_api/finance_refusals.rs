//! What is wrong to ask of the books, the bank, reconciliations, rebuilds and exports: each gets a problem with its status and code,
//! nothing is made of it, and nothing is lost.

use super::*;
use crate::finance::{Business, acme, business};
use std::collections::BTreeMap;

/// What is asked, by whom, and the answer that it must get.
struct Asked {
    method: Method,
    path: String,
    key: &'static str,
    body: Body,
    status: u16,
    code: &'static str,
}

enum Body {
    None,
    Json(Value),
    Text(&'static str, String),
}

/// Things of acme's that a rival names.
struct Things {
    order: String,
    intent: String,
    run: String,
    line: String,
    rebuild: String,
    head: i64,
}

fn reads(path: impl Into<String>, code: &'static str) -> Asked {
    Asked {
        method: Method::GET,
        path: path.into(),
        key: FINANCE,
        body: Body::None,
        status: if code == "not_found" { 404 } else { 400 },
        code,
    }
}

fn writes(path: impl Into<String>, body: Value, status: u16, code: &'static str) -> Asked {
    Asked {
        method: Method::POST,
        path: path.into(),
        key: ADMIN,
        body: Body::Json(body),
        status,
        code,
    }
}

impl Asked {
    fn by(self, key: &'static str) -> Self {
        Self { key, ..self }
    }
}

const CSV_FORMAT: &str = r#"{"booked_on": "date", "amount": {"signed": "amount"}, "currency": {"always": "usd"}, "text": ["text"]}"#;

fn statement(media: &'static str, query: &str, body: impl Into<String>, status: u16) -> Asked {
    let code = match status {
        413 => "body_too_large",
        _ => "invalid_request",
    };
    Asked {
        method: Method::POST,
        path: format!("/bank-statements?{query}"),
        key: ADMIN,
        body: Body::Text(media, body.into()),
        status,
        code,
    }
}

/// All that is read as of a point, with what else it must be told.
fn as_of_paths(it: &Things) -> Vec<String> {
    vec![
        "/balances?".to_owned(),
        "/trial-balance?".to_owned(),
        "/entries?".to_owned(),
        "/explain?account=assets:bank&currency=usd&".to_owned(),
        "/accounts/assets:bank/statement?currency=usd&".to_owned(),
        "/periods/2026-01?".to_owned(),
        "/exports/journal?".to_owned(),
        "/exports/balances?".to_owned(),
        "/exports/events?".to_owned(),
        "/chart?".to_owned(),
        format!("/orders/{}?", it.order),
        format!("/orders/{}/explain?", it.order),
        format!("/payments/{}?", it.intent),
        format!("/payments/{}/explain?", it.intent),
        "/replay?".to_owned(),
        "/reconciliations?".to_owned(),
    ]
}

fn points_without_history(it: &Things) -> Vec<Asked> {
    let mut asked = Vec::new();
    for path in as_of_paths(it) {
        for (as_of, code) in [
            ((it.head + 100).to_string(), "beyond_the_head"),
            (i64::MAX.to_string(), "beyond_the_head"),
            ("2999-01-01T00:00:00Z".to_owned(), "in_the_future"),
            ("9999-12-31T23:59:59Z".to_owned(), "in_the_future"),
            ("0".to_owned(), "before_the_beginning"),
            (i64::MIN.to_string(), "before_the_beginning"),
            ("2001-01-01T00:00:00Z".to_owned(), "before_the_beginning"),
            ("0000-01-01T00:00:00Z".to_owned(), "before_the_beginning"),
            ("9223372036854775808".to_owned(), "invalid_request"),
            ("yesterday".to_owned(), "invalid_request"),
            (String::new(), "invalid_request"),
            ("2026-11-31T00:00:00Z".to_owned(), "invalid_request"),
            ("9".repeat(600), "invalid_request"),
            ("%00".to_owned(), "invalid_request"),
            ("1&as_of=2".to_owned(), "invalid_request"),
        ] {
            asked.push(reads(format!("{path}as_of={as_of}"), code));
        }
    }
    for path in [
        "/balances?",
        "/entries?",
        "/exports/journal?",
        "/exports/balances?",
    ] {
        asked.push(reads(
            format!("{path}as_of=2999-01-01T00:00:00Z&effective=true"),
            "in_the_future",
        ));
        asked.push(reads(
            format!("{path}as_of=1&effective=true"),
            "invalid_request",
        ));
        asked.push(reads(format!("{path}effective=true"), "invalid_request"));
        asked.push(reads(
            format!("{path}as_of=1&effective=perhaps"),
            "invalid_request",
        ));
    }
    asked
}

fn unknown_accounts_currencies_and_months() -> Vec<Asked> {
    let mut asked = vec![
        reads("/accounts/assets:gold/statement?currency=usd", "not_found"),
        reads("/accounts/assets:bank/statement", "invalid_request"),
        reads("/explain?currency=usd", "invalid_request"),
        reads("/explain?account=assets:bank", "invalid_request"),
        reads("/periods/2026-1", "not_found"),
        reads("/periods/2999-01", "in_the_future"),
        writes(
            "/chart/assets:gold",
            json!({"code": "1", "name": "Gold"}),
            404,
            "not_found",
        ),
        writes(
            "/periods/2999-01/close",
            json!({"because": "early"}),
            409,
            "period_not_ended",
        ),
        writes(
            "/periods/2026-13/close",
            json!({"because": "early"}),
            404,
            "not_found",
        ),
    ];
    for path in ["/entries?", "/exports/journal?", "/exports/balances?"] {
        for (query, code) in [
            ("account=assets:gold", "invalid_request"),
            ("account=", "invalid_request"),
            ("currency=zzz", "invalid_request"),
            ("currency=USDX", "invalid_request"),
            ("period=2026-13", "invalid_request"),
            ("period=2999-01", "in_the_future"),
            ("merchant=rival", "invalid_request"),
        ] {
            asked.push(reads(format!("{path}{query}"), code));
        }
    }
    let figure = "/explain?account=assets:bank&currency=usd";
    asked.push(reads(format!("{figure}&period=2999-01"), "in_the_future"));
    asked
}

fn replays() -> Vec<Asked> {
    let queries = [
        "",
        "projections=orders",
        "as_of=1&projections=",
        "as_of=1&projections=events",
        "as_of=1&projections=orders,",
        "as_of=1&projections=orders%20journal",
        "as_of=1&effective=true",
        "as_of=1&merchant=rival",
        "as_of=1&dry_run=false",
    ];
    queries
        .map(|query| reads(format!("/replay?{query}"), "invalid_request"))
        .into()
}

fn ranges() -> Vec<Asked> {
    let (early, late) = ("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z");
    let mut asked = Vec::new();
    for (path, of) in [
        ("/exports/journal", "recorded"),
        ("/exports/journal", "effective"),
        ("/exports/events", "recorded"),
        ("/payments", "created"),
    ] {
        for (from, before) in [(late, early), (early, early)] {
            let query = format!("{of}_from={from}&{of}_before={before}");
            asked.push(reads(format!("{path}?{query}"), "reversed_range"));
        }
        asked.push(reads(format!("{path}?{of}_from=monday"), "invalid_request"));
    }
    for path in ["/exports/journal", "/exports/events"] {
        for (query, code) in [
            (
                "recorded_before=2001-01-01T00:00:00Z",
                "before_the_beginning",
            ),
            ("recorded_from=2999-01-01T00:00:00Z", "in_the_future"),
            ("order=7", "invalid_request"),
            ("order=00000000-0000-0000-0000-000000000007", "not_found"),
        ] {
            asked.push(reads(format!("{path}?{query}"), code));
        }
    }
    asked.push(reads(
        "/exports/journal?effective_from=2999-01-01T00:00:00Z",
        "in_the_future",
    ));
    asked.push(reads("/exports/events?effective=true", "invalid_request"));
    asked.push(reads(
        "/exports/events?account=assets:bank",
        "invalid_request",
    ));
    asked.push(reads("/exports/journal?chart=yes", "invalid_request"));
    asked
}

fn of_another_merchant(it: &Things) -> Vec<Asked> {
    let Things {
        order,
        intent,
        run,
        line,
        ..
    } = it;
    let because = || json!({"because": "mine"});
    let mut asked: Vec<Asked> = [
        format!("/orders/{order}/explain"),
        format!("/orders/{order}?as_of=1"),
        format!("/payments/{intent}/explain"),
        format!("/exports/journal?order={order}"),
        format!("/exports/events?order={order}"),
        format!("/exports/reconciliations/{run}"),
        format!("/reconciliations/{run}"),
        format!("/bank-lines/{line}"),
        "/reconciliation_breaks/00000000-0000-0000-0000-000000000007".to_owned(),
    ]
    .map(|path| reads(path, "not_found").by(RIVAL))
    .into();
    asked.extend([
        writes(
            format!("/bank-lines/{line}/unmatch"),
            because(),
            404,
            "not_found",
        )
        .by(RIVAL),
        writes(
            format!("/bank-lines/{line}/match"),
            json!({"payout": "po_1", "because": "mine"}),
            404,
            "not_found",
        )
        .by(RIVAL),
    ]);
    for what in ["assign", "resolve"] {
        let path = format!("/reconciliation_breaks/00000000-0000-0000-0000-000000000007/{what}");
        let body = match what {
            "assign" => json!({"owner": "me"}),
            _ => json!({"reason": "mine"}),
        };
        asked.push(writes(path, body, 404, "not_found").by(RIVAL));
    }
    // And who has a key that may not.
    for (path, body) in [
        ("/chart/assets:bank", json!({"code": "1", "name": "Bank"})),
        ("/periods/2020-01/close", because()),
        ("/rebuilds", json!({"projections": ["orders"]})),
        ("/reconciliations", json!({})),
        ("/bank-statements?account=main", json!({})),
    ] {
        asked.push(writes(path, body, 403, "scope_missing").by(FINANCE));
    }
    asked
}

fn broken_cursors(journals_next: &str) -> Vec<Asked> {
    let mut asked = Vec::new();
    for path in [
        "/entries?",
        "/explain?account=assets:bank&currency=usd&",
        "/accounts/assets:bank/statement?currency=usd&",
        "/reconciliations?",
        "/reconciliation_breaks?",
        "/bank-lines?",
        "/rebuilds?",
    ] {
        for after in ["x", "", "MQpvcmRlcnMK", "%F0%9F%92%A3"] {
            asked.push(reads(format!("{path}after={after}"), "invalid_request"));
        }
        if !path.starts_with("/entries") && !path.starts_with("/explain") {
            asked.push(reads(
                format!("{path}after={journals_next}"),
                "invalid_request",
            ));
        }
        for limit in ["0", "101", "-1", "1.5", "99999999999999999999", "many"] {
            asked.push(reads(format!("{path}limit={limit}"), "invalid_request"));
        }
    }
    asked
}

fn broken_statements() -> Vec<Asked> {
    let format =
        serde_urlencoded::to_string([("account", "main"), ("format", CSV_FORMAT)]).unwrap();
    let bomb = "<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY b \"c\">]><Document>&b;</Document>";
    vec![
        statement("text/csv", &format, "date,amount,text\nnever,1.00,a\n", 400),
        statement(
            "text/csv",
            &format,
            "date,amount,text\n2026-10-01,much,b\n",
            400,
        ),
        statement(
            "text/csv",
            &format,
            "date,amount,text\n2026-10-01,1.00\n",
            400,
        ),
        statement("text/csv", &format, "day;sum\n", 400),
        statement("text/csv", &format, "", 400),
        statement(
            "text/csv",
            "account=main&format=%7B%7D",
            "date,amount,text\n",
            400,
        ),
        statement(
            "text/csv",
            "account=main&format=nonsense",
            "date,amount,text\n",
            400,
        ),
        statement("text/csv", "account=main", "date,amount,text\n", 400),
        statement(
            "text/csv",
            &format.replace("main", "4242424242424242"),
            "date,amount,text\n",
            400,
        ),
        statement("application/xml", "account=main", "<Document", 400),
        statement("application/xml", "account=main", "<Document/>", 400),
        statement("application/xml", "account=main", bomb, 400),
        statement("application/xml", "account=main", "", 400),
        statement("application/pdf", "account=main", "%PDF", 400),
        statement("text/csv", &format, "x".repeat(2_000_000), 413),
    ]
}

fn wrong_types_and_sizes(it: &Things) -> Vec<Asked> {
    let mut asked = Vec::new();
    for tolerance in [
        json!(-1),
        json!(1_000_001),
        json!("1"),
        json!(1.5),
        json!([]),
        json!(1e30),
    ] {
        let body = json!({"tolerance_minor": tolerance});
        asked.push(writes("/reconciliations", body, 400, "invalid_request"));
    }
    for body in [
        json!({}),
        json!({"code": "1"}),
        json!({"code": 1, "name": "Bank"}),
        json!({"code": "", "name": "Bank"}),
        json!({"code": "1\n2", "name": "Bank"}),
        json!({"code": "1".repeat(41), "name": "Bank"}),
        json!({"code": "1", "name": "x".repeat(201)}),
        json!({"code": "1", "name": "4242 4242 4242 4242"}),
        json!({"code": "1", "name": "Bank", "colour": "green"}),
        json!({"code": "1", "name": "Bank", "because": "x".repeat(501)}),
    ] {
        asked.push(writes("/chart/assets:bank", body, 400, "invalid_request"));
    }
    for body in [
        json!({"projections": "orders"}),
        json!({"projections": [1]}),
        json!({"projections": ["orders"], "dry_run": "yes"}),
        json!({"projections": vec!["orders"; 500]}),
    ] {
        asked.push(writes("/rebuilds", body, 400, "invalid_request"));
    }
    for body in [
        json!({}),
        json!({"because": 5}),
        json!({"because": "x".repeat(501)}),
    ] {
        asked.push(writes(
            "/periods/2020-01/close",
            body,
            400,
            "invalid_request",
        ));
    }
    let (line, long) = (&it.line, "x".repeat(501));
    for body in [
        json!({}),
        json!({"payout": 1, "because": "a"}),
        json!({"payout": "po_1", "because": long}),
    ] {
        let path = format!("/bank-lines/{line}/match");
        asked.push(writes(path, body, 400, "invalid_request"));
    }
    let unknown = json!({"payout": "po_nobodys", "because": "sure"});
    asked.push(writes(
        format!("/bank-lines/{line}/match"),
        unknown,
        404,
        "not_found",
    ));
    for path in [
        "/reconciliations/7".to_owned(),
        "/exports/reconciliations/7".to_owned(),
        "/reconciliation_breaks/7".to_owned(),
        "/bank-lines/7".to_owned(),
        "/rebuilds/7".to_owned(),
        "/orders/7/explain".to_owned(),
        "/payments/pi_nobodys/explain".to_owned(),
        format!("/payments/{}/explain", "p".repeat(4000)),
    ] {
        asked.push(reads(path, "not_found"));
    }
    asked.push(reads(
        "/reconciliation_breaks?status=lost",
        "invalid_request",
    ));
    asked.push(reads("/bank-lines?matched=maybe", "invalid_request"));
    asked
}

async fn things(world: &World) -> Things {
    let Business { order, intent } = business(world).await;
    let query = serde_urlencoded::to_string([("account", "main"), ("format", CSV_FORMAT)]).unwrap();
    let csv = world.post(&format!("/ledger/v1/bank-statements?{query}"));
    let csv = csv.bearer_auth(ADMIN).header("content-type", "text/csv");
    ask(csv.body("date,amount,text\n2026-10-01,1.00,b\n"))
        .await
        .expect(200);
    let line = get(world, FINANCE, "/bank-lines").await.expect(200);
    let stop = tokio_util::sync::CancellationToken::new();
    let actor = aggregates::metadata::Actor {
        name: "operator:test".to_owned(),
        key_id: None,
        door: "cli".to_owned(),
    };
    let run = world
        .app()
        .reconcile(&acme(), actor, 0, &stop, |_| {})
        .await
        .unwrap();
    let rebuild = json!({"projections": ["articles"], "dry_run": true});
    let rebuild = post(world, ADMIN, "/rebuilds", &rebuild).await.expect(201);
    let rebuild = rebuild["id"].as_str().unwrap().to_owned();
    support::until("the rebuild has ended", async || {
        let it = get(world, FINANCE, &format!("/rebuilds/{rebuild}")).await;
        it.json["state"] != "running"
    })
    .await;
    let head = get(world, FINANCE, "/events?limit=1").await.expect(200)["head"].clone();
    Things {
        order,
        intent,
        run: run.to_string(),
        line: line["data"][0]["id"].as_str().unwrap().to_owned(),
        rebuild,
        head: head.as_i64().unwrap(),
    }
}

/// How much there is of all that such a request could make.
async fn all_there_is(world: &World) -> BTreeMap<&'static str, i64> {
    let mut all = BTreeMap::new();
    for table in [
        "events",
        "bank_lines",
        "payouts",
        "reconciliation_runs",
        "reconciliation_breaks",
        "reconciliation_pages",
        "rebuilds",
        "claims",
    ] {
        let count = sqlx::query_scalar(&format!("select count(*) from {table}"))
            .fetch_one(world.app().store().pool())
            .await
            .unwrap();
        all.insert(table, count);
    }
    all
}

async fn answer(world: &World, it: &Asked) -> Answer {
    let path = format!("/ledger/v1{}", it.path);
    let request = world.request(it.method.clone(), &path).bearer_auth(it.key);
    ask(match &it.body {
        Body::None => request,
        Body::Json(body) => request.json(body),
        Body::Text(media, body) => request.header("content-type", *media).body(body.clone()),
    })
    .await
}

/// Planted bugs: an empty list for a month that has not begun; a range that is read backwards as one in which nothing happened.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_to_ask_gets_its_problem_and_nothing_comes_of_it() {
    let world = World::start().await;
    let things = things(&world).await;
    let page = get(&world, FINANCE, "/entries?limit=1").await.expect(200);
    let mut matrix = points_without_history(&things);
    matrix.extend(unknown_accounts_currencies_and_months());
    matrix.extend(replays());
    matrix.extend(ranges());
    matrix.extend(of_another_merchant(&things));
    matrix.extend(broken_cursors(page["next"].as_str().unwrap()));
    matrix.extend(broken_statements());
    matrix.extend(wrong_types_and_sizes(&things));
    let before = all_there_is(&world).await;
    let mut wrong = Vec::new();
    for it in &matrix {
        let answer = answer(&world, it).await;
        let code = answer.json["code"].as_str().unwrap_or("none");
        if (answer.status, code) != (it.status, it.code) {
            wrong.push(format!(
                "{} {} by {}: {} {code}, and not {} {}",
                it.method,
                it.path.chars().take(120).collect::<String>(),
                it.key,
                answer.status,
                it.status,
                it.code
            ));
        } else {
            answer.problem();
        }
    }
    assert!(
        wrong.is_empty(),
        "{} are wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(matrix.len() > 300, "only {} were asked", matrix.len());
    assert_eq!(all_there_is(&world).await, before, "something came of it");
    // What is not JSON, what is not taken, and what is not answered.
    let chart = world
        .post("/ledger/v1/chart/assets:bank")
        .bearer_auth(ADMIN);
    let chart = chart.header("content-type", "application/json");
    for (body, status) in [("{", 400), ("[]", 400), ("{\"code\": 1", 400)] {
        let answer = ask(chart.try_clone().unwrap().body(body)).await;
        assert_eq!(answer.status, status, "{}", answer.text);
        answer.problem();
    }
    let picture = world.get("/ledger/v1/exports/journal").bearer_auth(FINANCE);
    let picture = ask(picture.header("Accept", "image/png")).await;
    assert_eq!((picture.status, picture.problem()), (406, "not_acceptable"));
    let kept = get(&world, FINANCE, &format!("/rebuilds/{}", things.rebuild)).await;
    assert_eq!(kept.status, 200);
    assert_eq!(all_there_is(&world).await, before, "something came of it");
    world.stop_audited().await;
}
