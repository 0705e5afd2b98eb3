//! `/ledger/v1/rebuilds`.

use crate::support::{World, described, send, until};
use crate::{busy_world, owner, step_of_running};
use serde_json::{Value, json};
use sqlx::Executor;
use uuid::Uuid;

const PATH: &str = "/ledger/v1/rebuilds";

async fn start(world: &World, key: &str, idempotency: &str, body: Value) -> (u16, Value) {
    let request = world.post(PATH).bearer_auth(key);
    send(request.header("Idempotency-Key", idempotency).json(&body)).await
}

async fn get(world: &World, key: &str, path: &str) -> (u16, Value) {
    send(world.get(&format!("{PATH}{path}")).bearer_auth(key)).await
}

/// The rebuild, once it has ended.
async fn ended(world: &World, key: &str, begun: &Value) -> Value {
    let id = begun["id"].as_str().unwrap();
    until("the rebuild has ended", async || {
        step_of_running(world).await.is_none()
    })
    .await;
    let (status, told) = get(world, key, &format!("/{id}")).await;
    assert_eq!(status, 200, "{told}");
    told
}

/// Planted bug, seen red here: a certificate that is not cut to the caller's merchant.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_reads_a_rebuild_sees_what_it_found_of_their_own_rows() {
    let world = busy_world().await;
    let wrong = "update payments set status = 'canceled' where merchant = 'rival'";
    let changed = owner(&world).await.execute(wrong).await.unwrap();
    assert_eq!(changed.rows_affected(), 1);

    let (status, begun) = start(&world, "admin-acme", "r-1", json!({})).await;
    assert_eq!(status, 201, "{begun}");
    let told = ended(&world, "finance-acme", &begun).await;
    assert_eq!(told["state"], "swapped", "{told:#}");
    assert_eq!(told["filled_percent"], 100);
    let certificate = told["certificate"].as_array().unwrap();
    let of = |table: &str| certificate.iter().find(|it| it["table"] == table).unwrap();
    let payments: i64 = sqlx::query_scalar("select count(*) from payments where merchant = 'acme'")
        .fetch_one(&mut owner(&world).await)
        .await
        .unwrap();
    assert_eq!(of("payments")["live_rows"], payments);
    assert_eq!(
        of("payments")["live_checksum"],
        of("payments")["rebuilt_checksum"]
    );
    assert!(of("journal")["rebuilt_rows"].as_i64().unwrap() > 0);
    assert!(
        certificate.iter().all(|it| it["differences"] == 0),
        "{told:#}"
    );
    assert_eq!(
        told["differences"],
        json!([]),
        "the rival's payment is not Acme's to see"
    );
    assert!(!told.to_string().contains("rival"));
    let differences: i64 =
        sqlx::query_scalar("select sum(differences)::bigint from rebuild_tables")
            .fetch_one(&mut owner(&world).await)
            .await
            .unwrap();
    assert_eq!(differences, 1);

    // Nor is Acme's rebuild the rival's.
    let id = begun["id"].as_str().unwrap();
    let asked = get(&world, "admin-rival", &format!("/{id}")).await;
    let nobodys = get(&world, "admin-rival", &format!("/{}", Uuid::from_u128(7))).await;
    assert_eq!(asked.0, 404);
    assert_eq!(asked.1["detail"], nobodys.1["detail"]);
    assert_eq!(get(&world, "admin-rival", "").await.1["data"], json!([]));
    world.stop_audited().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_is_begun_once_under_an_idempotency_key_and_listed() {
    let world = busy_world().await;
    let wanted = json!({"projections": ["orders", "journal"], "dry_run": true});
    let (status, begun) = start(&world, "admin-acme", "r-1", wanted.clone()).await;
    assert_eq!(status, 201, "{begun}");
    assert_eq!(begun["projections"], json!(["orders.v1", "journal.v2"]));
    let first = ended(&world, "admin-acme", &begun).await;
    assert_eq!(
        (&first["state"], &first["dry_run"]),
        (&json!("identical"), &json!(true))
    );
    let again = world.post(PATH).bearer_auth("admin-acme");
    let again = again.header("Idempotency-Key", "r-1").json(&wanted);
    let (status, headers, text) = described(again).await;
    let again: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &again["id"]), (201, &begun["id"]));
    assert_eq!(headers["idempotent-replayed"], "true");
    let other = start(&world, "admin-acme", "r-1", json!({})).await;
    assert_eq!(
        (other.0, &other.1["code"]),
        (422, &json!("idempotency_key_reused"))
    );

    for key in ["r-2", "r-3"] {
        let (_, begun) = start(&world, "admin-acme", key, json!({"dry_run": true})).await;
        ended(&world, "admin-acme", &begun).await;
    }
    let mut seen = Vec::new();
    let mut path = "?limit=1".to_owned();
    loop {
        let (status, page) = get(&world, "finance-acme", &path).await;
        assert_eq!(status, 200, "{page}");
        seen.push(page["data"][0]["id"].as_str().unwrap().to_owned());
        match page["next"].as_str() {
            Some(next) => path = format!("?limit=1&after={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 3);
    assert!(
        seen.is_sorted_by(|a, b| a > b),
        "the latest first: {seen:?}"
    );
    assert_eq!(seen[2], begun["id"]);
    world.stop_audited().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_rebuilt_is_refused_and_nothing_begins() {
    let world = World::start().await;
    let refused = [
        (json!({"projections": ["events"]}), "/projections"),
        (json!({"projections": []}), "/projections"),
        (json!({"projections": "orders"}), "/projections"),
        (
            json!({"projections": ["orders; drop table events"]}),
            "/projections",
        ),
        (json!({"dry_run": "yes"}), "/dry_run"),
        (json!({"swap": true}), "/swap"),
    ];
    for (number, (body, place)) in refused.into_iter().enumerate() {
        let (status, problem) = start(&world, "admin-acme", &number.to_string(), body).await;
        assert_eq!(
            (status, &problem["code"]),
            (400, &json!("invalid_request")),
            "{problem}"
        );
        assert_eq!(problem["errors"][0]["pointer"], place, "{problem}");
    }
    let (status, problem) = start(&world, "finance-acme", "x", json!({})).await;
    assert_eq!(
        (status, &problem["code"]),
        (403, &json!("scope_missing")),
        "{problem}"
    );
    for path in ["?limit=0", "?after=x", "?odd=1"] {
        assert_eq!(get(&world, "admin-acme", path).await.0, 400, "{path}");
    }
    assert_eq!(get(&world, "admin-acme", "/not-an-id").await.0, 404);
    let begun: i64 = sqlx::query_scalar("select count(*) from rebuilds")
        .fetch_one(&mut owner(&world).await)
        .await
        .unwrap();
    assert_eq!(begun, 0);
    world.stop_audited().await;
}
