//! The checker checks: each promise is broken on purpose, in a copy of a busy world's database, and exactly that is named.

use crate::audit::until_followed;
use crate::replay::busy_world;
use crate::support::{World, audit, seal_key, send, until};
use aggregates::ids::{CommandId, IntentionId, MerchantId, PaymentId};
use aggregates::metadata::Actor;
use aggregates::money::Money;
use aggregates::payment::PaymentEvent as E;
use aggregates::payment::terms::{Metadata, Parameters};
use auditor::{Audit, Canary, Invariant as I, Report};
use counterfoil::ids::Ids;
use counterfoil::store::{Commit, Context, Decided, Store};
use eventstore::{Leaf, leaf_hash};
use reqwest::Method;
use serde_json::json;
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};
use uuid::Uuid;

/// What is done to the database as its owner, what that breaks, and words of the violation.
struct Plant {
    sql: &'static str,
    breaks: &'static [I],
    says: &'static str,
}

const fn plant(sql: &'static str, breaks: &'static [I], says: &'static str) -> Plant {
    Plant { sql, breaks, says }
}

/// An event is hashed again where a plant is about something else than its hash (`rehash` below).
const PLANTS: &[Plant] = &[
    // I2
    plant(
        "update claims set answer = jsonb_set(answer::jsonb, '{version}', '999')::json where context->>'payment' is not null and answer is not null",
        &[I::I2],
        "answered with version 999",
    ),
    plant(
        "update claims set completed_at = completed_at + interval '1 second',
             context = jsonb_set(context::jsonb, '{intention}', '\"018f0000-0000-7000-8000-000000000001\"')::json where key = 'k-1'",
        &[I::I2],
        "which was never recorded",
    ),
    plant(
        "update claims set command_id = '018f0000-0000-7000-8000-000000000001' where key = 'k-1'",
        &[I::I2],
        "claimed by another command",
    ),
    plant(
        "insert into claims select ledger, scope, key || E'\\n1', fingerprint, command_id, context, answer, created_at, completed_at
             from claims where key = 'k-1'",
        &[I::I2],
        "used again",
    ),
    // I5: what is in the journal and no event posts is no rebuild either.
    plant(
        "update journal set debit_minor = debit_minor + 1 where (merchant, ledger_position, entry, line) =
             (select merchant, ledger_position, entry, line from journal where debit_minor > 0 order by position limit 1)",
        &[I::I5, I::I8],
        "entry 0 debits",
    ),
    plant(
        "update balances set debit_minor = debit_minor + 1 where account = 'assets:stripe:clearing'",
        &[I::I5, I::I8],
        "went into clearing",
    ),
    // I7
    plant(
        "update events set metadata = jsonb_set(metadata::jsonb, '{door}', '\"elsewhere\"')::json where position = 3",
        &[I::I7],
        "somebody changed it",
    ),
    plant(
        "rehash: update events set sequence = 2 where position = (select max(position) from events where aggregate_type = 'article')",
        &[I::I7],
        "version 2 follows version 0",
    ),
    plant(
        "rehash: update events set recorded_at = '2020-01-01' where position = (select max(position) from events where aggregate_type = 'article')",
        &[I::I7],
        "after an event of",
    ),
    plant(
        "rehash: update events set ledger_position = ledger_position + 1 where position = (select max(position) from events where ledger = 'rival');
         update ledger_heads set ledger_position = ledger_position + 1 where ledger = 'rival'",
        &[I::I7],
        "ledger position",
    ),
    plant(
        "alter table events drop constraint events_position_check;
         update events set position = -position where position > 5; update events set position = 1 - position where position < 0;
         update log_head set position = position + 1; update checkpoints set position = position + 1;
         update journal set position = position + 1 where position > 5; update orders set position = position + 1 where position > 5;
         update payments set position = position + 1 where position > 5; update refunds set position = position + 1 where position > 5;
         update payouts set position = position + 1 where position > 5; update parked set position = position + 1 where position > 5;
         update offers set position = position + 1 where position > 5; update articles set position = position + 1 where position > 5;
         update stripe_requests set position = position + 1 where position > 5",
        &[I::I7],
        "position 7 follows 5",
    ),
    plant(
        "update log_head set position = position + 1",
        &[I::I7],
        "its head says",
    ),
    plant(
        "update ledger_heads set ledger_position = ledger_position - 1 where ledger = 'acme'",
        &[I::I7],
        "the ledger ends at",
    ),
    plant(
        "update checkpoints set position = position + 10",
        &[I::I7],
        "past the end of the log",
    ),
    plant(
        "delete from journal where (merchant, ledger_position) = (select merchant, ledger_position from journal order by position limit 1)",
        &[I::I7],
        "skipped what it posts",
    ),
    plant(
        "update checkpoints set position = 1",
        &[I::I7],
        "its follower has not read",
    ),
    // I8
    plant(
        "update payments set captured_minor = captured_minor + 1 where payment_id = (select min(payment_id::text)::uuid from payments)",
        &[I::I8],
        "captured_minor is",
    ),
    plant(
        "delete from refunds where refund_id = (select min(refund_id::text)::uuid from refunds)",
        &[I::I8],
        "the row is missing",
    ),
    plant(
        "update orders set status = 'paid' where order_id = (select min(order_id::text)::uuid from orders where status = 'open')",
        &[I::I8],
        "status is paid, the events say open",
    ),
    plant(
        "update journal set account = 'suspense' where (merchant, ledger_position, entry, line) =
             (select merchant, ledger_position, entry, line from journal order by position limit 1)",
        &[I::I8],
        "on suspense, which no event posts",
    ),
    plant(
        "insert into balances values ('acme', 'usd', 'suspense', 5, 5, 1)",
        &[I::I8],
        "the events post nothing",
    ),
    plant(
        "update parked set outcome = 'did_not_happen', stripe_id = null",
        &[I::I8],
        "outcome is did_not_happen",
    ),
    // I10
    plant(
        "update payments set merchant = 'rival' where payment_id = (select min(payment_id::text)::uuid from payments where merchant = 'acme')",
        &[I::I10],
        "the row of another merchant",
    ),
    plant(
        "update claims set ledger = 'rival' where key = 'k-1'",
        &[I::I10],
        "a payment of acme",
    ),
    plant(
        "update api_keys set merchant = 'rival' where kind = 'stripe_secret' and merchant = 'acme'",
        &[I::I10],
        "recorded with a key of rival",
    ),
    plant(
        "rehash: update events set payload = replace(payload::text, '\"merchant\":\"acme\"', '\"merchant\":\"rival\"')::json
             where position = (select min(position) from events where aggregate_type = 'payment' and event_type = 'CreateRequested')",
        &[I::I10],
        "it names another merchant, rival",
    ),
    // I11
    plant(
        "update merchants set name = 'card 4242 4242 4242 4242' where id = 'acme'",
        &[I::I11],
        "merchants.name: a card number",
    ),
    plant(
        "update webhook_inbox set body = '{\"client_secret\":\"pi_1_secret_abcdefgh\"}' where event_id = (select min(event_id) from webhook_inbox)",
        &[I::I11],
        "webhook_inbox.body: a client secret",
    ),
    plant(
        "update api_keys set hint = 'sk_live_0123456789abcdef' where kind = 'stripe_secret' and merchant = 'acme'",
        &[I::I11],
        "api_keys.hint: a secret key",
    ),
    plant(
        "update merchants set name = 'the canary xyzzy-417' where id = 'acme'",
        &[I::I11],
        "canary 1",
    ),
    // I12
    plant(
        "update webhook_inbox set applied_at = null, result = null where event_id = (select min(event_id) from webhook_inbox)",
        &[I::I12],
        "is not applied",
    ),
];

/// Red when the auditor is blind to any of these, or takes one thing for another. Seen red by leaving each question out in turn.
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

/// A service that has forgotten its rules: what it appends goes the usual way, rows and all, and breaks a promise all the same.
#[tokio::test(flavor = "multi_thread")]
async fn what_should_never_have_been_decided_is_named_and_nothing_else() {
    let world = world_at_rest().await;
    let usd = |minor: i64| Money::new(minor, "usd".parse().unwrap());
    let fresh = || IntentionId::from_uuid(Uuid::now_v7());
    let refund = |minor: i64| E::RefundRequested {
        refund: fresh(),
        amount: usd(minor),
        reason: None,
        metadata: Metadata::default(),
        parameters: Parameters::default(),
    };
    let capture = |minor: i64| E::CaptureRequested {
        intention: fresh(),
        amount: usd(minor),
        parameters: Parameters::default(),
    };
    let charged = |charge: &str| E::Captured {
        intention: None,
        amount: usd(0),
        charge: Some(charge.to_owned()),
        payment_method: None,
    };
    let (paid, other) = two_paid(&world).await;
    let open = "has no outcome, and is not parked";
    let cases: Vec<(Vec<E>, &[I], &str)> = vec![
        (
            vec![refund(100_000)],
            &[I::I6, I::I12],
            "a refund of 100000 was asked for",
        ),
        (vec![refund(1)], &[I::I12], open),
        (vec![capture(10)], &[I::I6, I::I12], "where 0 is held"),
        (
            vec![E::Succeeded {
                intention: Some(fresh()),
            }],
            &[I::I3],
            "the outcome of no earlier intention",
        ),
        (
            vec![
                E::CancelRequested {
                    intention: fresh(),
                    reason: None,
                    parameters: Parameters::default(),
                },
                E::CancelRequested {
                    intention: fresh(),
                    reason: None,
                    parameters: Parameters::default(),
                },
            ],
            &[I::I3, I::I12],
            "that one can never end",
        ),
        (vec![charged(&other.1)], &[I::I4], "belongs to"),
    ];
    for (events, breaks, says) in cases {
        let url = copy(&world).await;
        append(&url, paid.0, events).await;
        named(&report(&world, &url).await, breaks, says);
    }
    world.stop().await;
}

/// Done at Stripe past us, or done there twice.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_at_stripe_without_an_intention_or_twice_is_named() {
    let world = world_at_rest().await;
    let refund: (Uuid, String) = first(
        &world,
        "select r.refund_id, p.intent from refunds r, payments p where r.status = 'succeeded' and p.status = 'succeeded'
             and p.merchant = 'acme' and p.captured_minor > p.refunded_minor",
    )
    .await;
    let stranger = Uuid::now_v7();
    let plants = [
        (
            "payment_intents",
            vec![("amount", "700".to_owned()), ("currency", "usd".to_owned())],
            Some(format!("cf-{stranger}")),
            "whose intention the log does not have",
        ),
        (
            "payment_intents",
            vec![
                ("amount", "700".to_owned()),
                ("currency", "usd".to_owned()),
                ("metadata[counterfoil_payment]", stranger.to_string()),
            ],
            None,
            "which the log does not have",
        ),
        (
            "refunds",
            vec![
                ("amount", "1".to_owned()),
                ("payment_intent", refund.1),
                ("metadata[counterfoil_refund]", refund.0.to_string()),
            ],
            None,
            "one refund was made 2 times at Stripe",
        ),
        (
            "customers",
            vec![("metadata[counterfoil_request]", stranger.to_string())],
            None,
            "which the log does not have",
        ),
    ];
    named(&report(&world, &world.database_url).await, &[], "");
    for (path, form, key, says) in plants {
        let mut request = world
            .stripe(Method::POST, &format!("/v1/{path}"))
            .body(form_body(&form));
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        let (status, made) = send(request).await;
        assert_eq!(status, 200, "{made}");
        // The refund of one cent is money that the log has not heard of as well, which is no violation before all has settled.
        let report = audit::report(&world, |audit| audit.settled = false).await;
        named(&report, &[I::I3], says);
    }
    let elsewhere = world
        .stripe(Method::POST, "/v1/payment_intents")
        .body(form_body(&[
            ("amount", "700".to_owned()),
            ("currency", "usd".to_owned()),
            ("metadata[counterfoil_merchant]", "rival".to_owned()),
        ]));
    assert_eq!(send(elsewhere).await.0, 200);
    let report = audit::report(&world, |_| {}).await;
    named(&report, &[I::I3, I::I10], "marked as rival's");
    world.stop().await;
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

fn form_body(pairs: &[(&str, String)]) -> String {
    serde_urlencoded::to_string(pairs).unwrap()
}

async fn world_at_rest() -> World {
    let mut world = busy_world().await;
    until_followed(&world).await;
    world.stop_service().await;
    world
}

/// A database of its own with all that is in the world's.
async fn copy(world: &World) -> String {
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

async fn report(world: &World, url: &str) -> Report {
    audit::report(world, |audit| {
        audit.database_url = url.to_owned();
        audit.settled = true;
        audit.canaries = vec![Canary::new("xyzzy-417").unwrap()];
    })
    .await
}

fn named(report: &Report, breaks: &[I], says: &str) {
    let told: Vec<_> = report.violations.iter().map(ToString::to_string).collect();
    assert_eq!(report.broken(), breaks, "{says}: {told:#?}");
    let said = says.is_empty() || told.iter().any(|it| it.contains(says));
    assert!(said, "nothing says {says:?}: {told:#?}");
}

async fn first<T>(world: &World, sql: &str) -> T
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
async fn two_paid(world: &World) -> ((PaymentId, String), (PaymentId, String)) {
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

async fn append(url: &str, id: PaymentId, events: Vec<E>) {
    let store = Store::open(url, seal_key().expose(), Ids::seeded(9))
        .await
        .unwrap();
    let merchant: MerchantId = "acme".parse().unwrap();
    let before = store.payment(&merchant, id).await.unwrap();
    let command = Uuid::now_v7();
    let context = Context {
        actor: Actor {
            name: "planted".to_owned(),
            key_id: None,
            door: "test".to_owned(),
        },
        command_id: CommandId::from_uuid(command),
        correlation_id: command,
        causation_id: None,
        reason: None,
        claimed_at: None,
    };
    let payment = Some(Decided { id, before, events });
    let commit = Commit {
        payment,
        ..Commit::default()
    };
    store.commit(&merchant, &context, commit).await.unwrap();
    store.close().await;
}

/// Hashes every event again, as somebody would who covers their tracks.
async fn rehash(owner: &mut PgConnection) {
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
