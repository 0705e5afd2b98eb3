//! The checker checks: each promise is broken on purpose, in a copy of a busy world's database, and exactly that is named.

use super::decided::{append, create, made};
use super::plants::PLANTS;
use super::until_followed;
use crate::replay::busy_world;
use crate::support::{World, audit, send, until};
use aggregates::ids::PaymentId;
use aggregates::payment::PaymentEvent as E;
use aggregates::payment::event::Refusal;
use auditor::{Audit, Canary, Invariant as I, Report};
use eventstore::{Leaf, leaf_hash};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};
use uuid::Uuid;

/// Red when the auditor is blind to any of these, or takes one thing for another.
#[tokio::test(flavor = "multi_thread")]
async fn every_promise_that_is_broken_in_the_database_is_named_and_no_other() {
    let world = world_at_rest().await;
    for it in PLANTS {
        let url = copy(&world).await;
        let mut owner = PgConnection::connect(&url).await.unwrap();
        owner
            .execute("alter table events disable trigger all")
            .await
            .unwrap();
        let rehashed = it.sql.strip_prefix("rehash: ");
        owner.execute(rehashed.unwrap_or(it.sql)).await.unwrap();
        if rehashed.is_some() {
            rehash(&mut owner).await;
        }
        owner.close().await.unwrap();
        named(&report(&world, &url).await, it.breaks, it.says);
    }
    world.stop().await;
}

/// Asks Stripe's look-alike itself, past the service.
async fn at_stripe(world: &World, path: &str, form: &[(&str, &str)], key: Option<&str>) -> Value {
    let body = serde_urlencoded::to_string(form).unwrap();
    let mut request = world
        .stripe(Method::POST, &format!("/v1/{path}"))
        .body(body);
    if let Some(key) = key {
        request = request.header("Idempotency-Key", key);
    }
    let (status, made) = send(request).await;
    assert_eq!(status, 200, "{made}");
    made
}

const SEVEN: [(&str, &str); 2] = [("amount", "700"), ("currency", "usd")];

fn refusal() -> Refusal {
    Refusal {
        status: 400,
        kind: "invalid_request_error".to_owned(),
        code: None,
        message: "no".to_owned(),
        param: None,
    }
}

/// Red when what only Stripe knows is not asked for: each thing is done there past us, or twice, and stays for the next.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_at_stripe_without_an_intention_or_twice_is_named() {
    let world = world_at_rest().await;
    let url = world.database_url.clone();
    let named_now = async |breaks: &[I], says: &str| {
        named(&audit::report(&world, |_| {}).await, breaks, says);
    };
    named(&report(&world, &url).await, &[], "");

    // Money that the log has not heard of, once everything is said to have settled; and that its order has not.
    let (shop, shops): (Uuid, String) = first(
        &world,
        "select payment_id, intent from payments where status = 'requires_payment_method' and order_id is not null
             and merchant = 'acme' and intent is not null and currency = 'usd'",
    )
    .await;
    let card = [("payment_method", "pm_card_visa")];
    let paid = at_stripe(
        &world,
        &format!("payment_intents/{shops}/confirm"),
        &card,
        None,
    )
    .await;
    named(&report(&world, &url).await, &[I::I12], "Stripe took 11200");
    let heard = vec![
        E::Captured {
            intention: None,
            amount: aggregates::money::Money::new(11200, "usd".parse().unwrap()),
            charge: paid["latest_charge"].as_str().map(str::to_owned),
            payment_method: None,
        },
        E::Succeeded { intention: None },
    ];
    append(&url, PaymentId::from_uuid(shop), heard).await;
    named(&report(&world, &url).await, &[I::I12], "has not heard");

    // An intention that is open here and done there.
    let (_, create) = create();
    let open = PaymentId::from_uuid(Uuid::now_v7());
    append(&url, open, vec![create]).await;
    named_now(&[], "").await;
    let mark = open.to_string();
    let marked = [
        SEVEN[0],
        SEVEN[1],
        ("metadata[counterfoil_payment]", mark.as_str()),
    ];
    at_stripe(&world, "payment_intents", &marked, None).await;
    named_now(&[], "").await;
    named(
        &report(&world, &url).await,
        &[I::I12],
        "does not know that its intent was made",
    );
    // And once more.
    at_stripe(&world, "payment_intents", &marked, None).await;
    named_now(&[I::I3], "it was made 2 times at Stripe").await;

    let stranger = Uuid::now_v7().to_string();
    let key = format!("cf-{stranger}");
    at_stripe(&world, "payment_intents", &SEVEN, Some(&key)).await;
    named_now(&[I::I3], "whose intention the log does not have").await;
    let marked = [
        SEVEN[0],
        SEVEN[1],
        ("metadata[counterfoil_payment]", stranger.as_str()),
    ];
    at_stripe(&world, "payment_intents", &marked, None).await;
    named_now(
        &[I::I3],
        &format!("marked as payment {stranger}, which the log does not have"),
    )
    .await;
    let marked = [("metadata[counterfoil_request]", stranger.as_str())];
    at_stripe(&world, "customers", &marked, None).await;
    named_now(
        &[I::I3],
        &format!("marked as request {stranger}, which the log does not have"),
    )
    .await;
    refunds(&world, &stranger).await;

    // What the log says was refused, or is another.
    let (intention, create) = super::decided::create();
    let refused = PaymentId::from_uuid(Uuid::now_v7());
    let events = vec![
        create,
        E::CreateRefused {
            intention,
            refusal: refusal(),
        },
    ];
    append(&url, refused, events).await;
    let mark = refused.to_string();
    let marked = [
        SEVEN[0],
        SEVEN[1],
        ("metadata[counterfoil_payment]", mark.as_str()),
    ];
    let there = at_stripe(&world, "payment_intents", &marked, None).await;
    let there = there["id"].as_str().unwrap();
    named_now(
        &[I::I3],
        &format!("{there} is at Stripe, where the log says that it was never made"),
    )
    .await;
    let other = PaymentId::from_uuid(Uuid::now_v7());
    append(&url, other, made("pi_nowhere")).await;
    let mark = other.to_string();
    let marked = [
        SEVEN[0],
        SEVEN[1],
        ("metadata[counterfoil_payment]", mark.as_str()),
    ];
    at_stripe(&world, "payment_intents", &marked, None).await;
    named_now(&[I::I3], "and pi_nowhere in the log").await;

    // Stripe has forgotten a key of ours, and does the same once more.
    let (key,): (String,) = first(
        &world,
        "select 'cf-' || event_id from events where event_type = 'CreateRequested' and ledger = 'acme' order by position limit 1",
    )
    .await;
    let day = json!({"advance_s": 25 * 3600});
    world.sim(Method::POST, "clock", Some(day)).await;
    at_stripe(&world, "payment_intents", &SEVEN, Some(&key)).await;
    named_now(&[I::I3], &format!("2 times under the one key {key}")).await;

    let marked = [
        SEVEN[0],
        SEVEN[1],
        ("metadata[counterfoil_merchant]", "rival"),
    ];
    at_stripe(&world, "payment_intents", &marked, None).await;
    named_now(&[I::I3, I::I10], "marked as rival's").await;
    world.stop().await;
}

/// Refunds that nobody asked for, twice, or that are otherwise than the log says.
async fn refunds(world: &World, stranger: &str) {
    let url = &world.database_url;
    let (paid, intent, refund): (Uuid, String, Uuid) = first(
        world,
        "select p.payment_id, p.intent, r.refund_id from refunds r, payments p where r.status = 'succeeded' and p.status = 'succeeded'
             and p.merchant = 'acme' and p.order_id is null and p.captured_minor > p.refunded_minor + 100",
    )
    .await;
    let ours = refund.to_string();
    let never = aggregates::ids::IntentionId::from_uuid(Uuid::now_v7());
    let asked = E::RefundRequested {
        refund: never,
        amount: aggregates::money::Money::new(1, "usd".parse().unwrap()),
        reason: None,
        metadata: Default::default(),
        parameters: Default::default(),
    };
    let no = E::RefundRefused {
        refund: never,
        refusal: refusal(),
    };
    append(url, PaymentId::from_uuid(paid), vec![asked, no]).await;
    let never = never.to_string();
    for (mark, says) in [
        (stranger, "which the log does not have"),
        (ours.as_str(), "one refund was made 2 times at Stripe"),
        (never.as_str(), "where the log says that it was never made"),
    ] {
        let form = [
            ("amount", "1"),
            ("payment_intent", intent.as_str()),
            ("metadata[counterfoil_refund]", mark),
        ];
        at_stripe(world, "refunds", &form, None).await;
        let report = audit::report(world, |_| {}).await;
        named(&report, &[I::I3], says);
    }
    let failed: (Uuid, Uuid, i64, String, String) = first(
        world,
        "select payment_id, refund_id, amount_minor, stripe_refund, currency from refunds where status = 'succeeded' and merchant = 'acme'",
    )
    .await;
    let event = E::RefundFailed {
        refund: aggregates::ids::IntentionId::from_uuid(failed.1),
        amount: aggregates::money::Money::new(failed.2, failed.4.parse().unwrap()),
        stripe_refund: failed.3,
        created: None,
        reason: None,
        had_succeeded: true,
    };
    append(url, PaymentId::from_uuid(failed.0), vec![event]).await;
    let report = audit::report(world, |audit| audit.settled = true).await;
    named(&report, &[I::I3, I::I12], "the log says failed");
    named(
        &report,
        &[I::I3, I::I12],
        "Stripe says that the refund is succeeded",
    );
}

/// What was acknowledged and is not there; what lies in files.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_and_lost_and_what_lies_in_files_is_named() {
    let world = world_at_rest().await;
    let ((id, _), _) = two_paid(&world).await;
    let id = id.to_string();
    let dir = tempfile::tempdir().unwrap();
    let list = dir.path().join("acknowledged");
    let found = [
        json!({"merchant": "acme", "payment": id, "did": "Succeeded"}),
        json!({"merchant": "acme", "order": "9"}),
        json!({"merchant": "acme", "key": "k-1"}),
    ];
    let lost = [
        (
            json!({"merchant": "acme", "payment": id, "did": "Cancelled"}),
            "has no Cancelled",
        ),
        (
            json!({"merchant": "rival", "payment": id}),
            "is not in the log",
        ),
        (
            json!({"merchant": "acme", "event": Uuid::now_v7()}),
            "event",
        ),
        (json!({"merchant": "acme", "key": "k-lost"}), "key k-lost"),
        (
            json!({"merchant": "acme", "order": "10"}),
            "order_reference 10",
        ),
        (
            json!({"merchant": "acme", "stripe_id": "pi_lost"}),
            "stripe_id pi_lost",
        ),
    ];
    let text = found.map(|it| it.to_string()).join("\n");
    std::fs::write(&list, &text).unwrap();
    let audited = |audit: &mut Audit| audit.acknowledged = Some(list.clone());
    named(&audit::report(&world, audited).await, &[], "");
    for (line, says) in lost {
        std::fs::write(&list, format!("{text}\n{line}")).unwrap();
        named(&audit::report(&world, audited).await, &[I::I1], says);
    }

    let logs = dir.path().join("logs");
    std::fs::create_dir(&logs).unwrap();
    // Across the end of what is read at once.
    let far = "x".repeat(1024 * 1024 - 9);
    for (secret, says) in [
        (" 4242424242424242 ", "a card number, 1 times"),
        ("pi_1_secret_abcdefgh", "a client secret"),
        ("whsec_0123456789abcdef", "a webhook's signing secret"),
    ] {
        std::fs::write(logs.join("log"), format!("{far}\n{secret}")).unwrap();
        let report = audit::report(&world, |audit| audit.logs = vec![logs.clone()]).await;
        named(&report, &[I::I11], says);
    }
    world.stop().await;
}

pub async fn world_at_rest() -> World {
    let mut world = busy_world().await;
    until_followed(&world).await;
    world.stop_service().await;
    world
}

/// A database of its own with all that is in the world's.
pub async fn copy(world: &World) -> String {
    let (_, rest) = world.database_url.split_once("localhost/").unwrap();
    let (name, _) = rest.split_once('?').unwrap();
    let cluster = cluster::Cluster::shared_for_tests();
    // Whoever was connected is gone in a moment; a copy is made when nobody is.
    let postgres = cluster.url("postgres");
    until("nobody is connected", async || {
        let mut connection = PgConnection::connect(&postgres).await.unwrap();
        let connected: i64 =
            sqlx::query_scalar("select count(*) from pg_stat_activity where datname = $1")
                .bind(name)
                .fetch_one(&mut connection)
                .await
                .unwrap();
        connection.close().await.unwrap();
        connected == 0
    })
    .await;
    cluster.fresh_database_from(name)
}

pub async fn report(world: &World, url: &str) -> Report {
    audit::report(world, |audit| {
        audit.database_url = url.to_owned();
        audit.settled = true;
        audit.canaries = vec![Canary::new("xyzzy-417").unwrap()];
    })
    .await
}

pub fn named(report: &Report, breaks: &[I], says: &str) {
    let told: Vec<_> = report.violations.iter().map(ToString::to_string).collect();
    assert_eq!(report.broken(), breaks, "{says}: {told:#?}");
    let said = says.is_empty() || told.iter().any(|it| it.contains(says));
    assert!(said, "nothing says {says:?}: {told:#?}");
}

pub async fn first<T>(world: &World, sql: &str) -> T
where
    T: for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow> + Send + Unpin,
{
    let mut connection = PgConnection::connect(&world.database_url).await.unwrap();
    let found = sqlx::query_as(sql)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    found
}

/// Two of acme's payments of no order that have succeeded, with their charges.
pub async fn two_paid(world: &World) -> ((PaymentId, String), (PaymentId, String)) {
    let (one, its, other, others): (Uuid, String, Uuid, String) = first(
        world,
        "select a.payment_id, a.charge, b.payment_id, b.charge from payments a join payments b on a.payment_id < b.payment_id
         where a.status = 'succeeded' and b.status = 'succeeded' and a.merchant = 'acme' and b.merchant = 'acme'
           and a.currency = 'usd' and a.order_id is null and a.captured_minor > a.refunded_minor
         order by 1, 3",
    )
    .await;
    let id = PaymentId::from_uuid;
    ((id(one), its), (id(other), others))
}

/// Hashes every event again, as somebody would who covers their tracks.
pub async fn rehash(owner: &mut PgConnection) {
    let rows = sqlx::query(
        "select ledger, ledger_position, aggregate_type, aggregate_id, sequence, event_type, event_version, event_id, recorded_at,
                payload::text as payload, metadata::text as metadata, position from events",
    )
    .fetch_all(&mut *owner)
    .await
    .unwrap();
    for row in rows {
        let recorded_at: chrono::DateTime<chrono::Utc> = row.get("recorded_at");
        let leaf = leaf_hash(&Leaf {
            ledger: row.get("ledger"),
            ledger_position: row.get("ledger_position"),
            aggregate_type: row.get("aggregate_type"),
            aggregate_id: row.get("aggregate_id"),
            sequence: row.get("sequence"),
            event_type: row.get("event_type"),
            event_version: row.get("event_version"),
            event_id: row.get("event_id"),
            recorded_at_us: recorded_at.timestamp_micros(),
            payload: row.get("payload"),
            metadata: row.get("metadata"),
        });
        sqlx::query("update events set leaf_hash = $1 where position = $2 and leaf_hash <> $1")
            .bind(&leaf[..])
            .bind(row.get::<i64, _>("position"))
            .execute(&mut *owner)
            .await
            .unwrap();
    }
}
