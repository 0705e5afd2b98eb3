//! What the service does without a caller dies at its points as well: recovery, the inbox, deliveries to merchants, the settling
//! of what is parked; and an append that another instance has outrun.

use crate::commands;
use crate::control::{Effects, Moment};
use crate::enumerated::{doomed, setup, still_world};
use crate::invariants;
use crate::points::everywhere;
use crate::receiver::Receiver;
use crate::support::process::free_address;
use crate::support::settling::person;
use crate::support::{Setup, World, card_payment, fault, pause_webhooks, send, until};
use aggregates::ids::IntentionId;
use counterfoil::use_cases::{ByHand, Recovery};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use std::collections::BTreeSet;
use std::time::Duration;

/// What waits in a world for nobody but the service.
const WAITING: &str = "select (select count(*) from webhook_inbox where applied_at is null)
    + (select count(*) from webhook_deliveries where state = 'pending')";
/// Not yet attempted by recovery.
const UNTRIED: &str = "select (select count(*) from payments where pending_intention is not null)
    - (select count(*) from recovery_work where attempts > 0 and lease is null)";

async fn count(world: &World, sql: &str) -> i64 {
    let mut connection = PgConnection::connect(&world.database_url).await.unwrap();
    sqlx::query_scalar(sql)
        .fetch_one(&mut connection)
        .await
        .unwrap()
}

/// A start of the service anew, with everything brought to its end that waits.
async fn settled(world: &mut World) {
    world.restart(setup()).await;
    until("nothing waits any more", async || {
        invariants::until_ended(world).await;
        let log = world.sim(Method::GET, "webhooks/deliveries", None).await;
        let on_its_way = |it: &Value| it["state"] == "pending" && it["url"].is_string();
        let deliveries = log["deliveries"].as_array().unwrap();
        let paused = deliveries.iter().all(|it| it["attempts"] == 0);
        count(world, WAITING).await == 0 && (paused || !deliveries.iter().any(on_its_way))
    })
    .await;
    invariants::hold(world).await;
}

/// Lets a service that is whole do the work, and answers which points it passed and what came of it.
async fn undisturbed(
    world: &mut World,
    tag: &str,
    prepare: &impl AsyncFn(&mut World, &str),
    begin: &impl AsyncFn(&World),
    is_done: &impl AsyncFn(&World) -> bool,
) -> (BTreeSet<String>, Effects) {
    prepare(world, tag).await;
    world.stop_service().await;
    let before = Moment::now(world).await;
    let passed = tempfile::NamedTempFile::new().unwrap();
    let points = everywhere(&format!("return({})", passed.path().display()));
    let process = doomed(world, world.address, &points).listening().await;
    begin(world).await;
    until("the work is done", async || is_done(world).await).await;
    process.kill();
    settled(world).await;
    let text = std::fs::read_to_string(passed.path()).unwrap();
    let effects = before.until(&Moment::now(world).await, tag);
    (text.lines().map(str::to_owned).collect(), effects)
}

/// `make test` takes what is the background's own, and one of an append's; `CF_CRASH=all` takes every point.
fn is_wanted(point: &str) -> bool {
    let own = ["recovery-", "webhook-", "delivery-", "append-sent"];
    let all = std::env::var("CF_CRASH").is_ok_and(|it| it == "all");
    all || own.iter().any(|it| point.starts_with(it))
}

/// Does the work once undisturbed, and then once for each point that it passes, where it dies and is gone on with. Answers the
/// points.
async fn dies_at_every_point(
    world: &mut World,
    prepare: impl AsyncFn(&mut World, &str),
    begin: impl AsyncFn(&World),
    is_done: impl AsyncFn(&World) -> bool,
) -> BTreeSet<String> {
    let (points, expected) = undisturbed(world, "tag00000", &prepare, &begin, &is_done).await;
    for (number, point) in points.iter().filter(|it| is_wanted(it)).enumerate() {
        let tag = format!("tag{:05}", number + 1);
        prepare(world, &tag).await;
        world.stop_service().await;
        let before = Moment::now(world).await;
        let process = doomed(world, world.address, &format!("{point}=return"));
        begin(world).await;
        process.dies().await;
        settled(world).await;
        let effects = before.until(&Moment::now(world).await, &tag);
        assert_eq!(effects, expected, "it died at {point}");
    }
    points
}

/// A capture that Stripe has made, or not, and not answered.
async fn cut_off_capture(world: &mut World, fate: &str) {
    world.restart(Setup::default()).await;
    world.sim(Method::DELETE, "faults", None).await;
    let mut body = card_payment(2000, "usd", commands::GOOD);
    body["capture_method"] = json!("manual");
    let (_, held) = send(world.pay("/v1/payment_intents", body)).await;
    let path = format!(
        "/v1/payment_intents/{}/capture",
        held["id"].as_str().unwrap()
    );
    fault(world, fate, "POST", &path, 1).await;
    let (status, answer) = send(world.pay(&path, json!({}))).await;
    assert!(status >= 500, "{status} {answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn recovery_that_dies_is_gone_on_with() {
    let mut world = still_world().await;
    let is_done = async |world: &World| {
        count(world, "select count(*) from recovery_work").await == 0
            && count(
                world,
                "select count(*) from payments where pending_intention is not null",
            )
            .await
                == 0
    };
    let prepare = async |world: &mut World, _: &str| cut_off_capture(world, "drop_after").await;
    let nothing = async |_: &World| {};
    let points = dies_at_every_point(&mut world, prepare, nothing, is_done).await;
    for point in [
        "recovery-leased",
        "stripe-before",
        "stripe-after",
        "commit-before",
        "recovery-driven",
    ] {
        assert!(points.contains(point), "{points:?}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn recovery_that_dies_of_what_stays_open_is_gone_on_with() {
    let mut world = still_world().await;
    let prepare = async |world: &mut World, _: &str| {
        cut_off_capture(world, "drop_before").await;
        // As often as the service asks in one attempt.
        fault(world, "status_503", "POST", "/v1/payment_intents", 3).await;
    };
    let is_done = async |world: &World| count(world, UNTRIED).await == 0;
    let points = dies_at_every_point(&mut world, prepare, async |_: &World| {}, is_done).await;
    assert!(points.contains("recovery-still-open"), "{points:?}");
    world.stop().await;
}

/// Planted bug: marking a webhook as applied before it is leaves its order unpaid.
#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_applied_and_told_to_the_merchant_whatever_the_service_dies_of() {
    let mut world = still_world().await;
    let receiver = Receiver::start().await;
    let form = format!(
        "url={}&enabled_events[]=payment_intent.succeeded",
        receiver.url()
    );
    let (status, made) = send(commands::stripe(&world, "/v1/webhook_endpoints", &form)).await;
    assert_eq!(status, 200, "{made}");
    let prepare = async |world: &mut World, tag: &str| {
        pause_webhooks(world, true).await;
        commands::paid_behind_our_back(world, tag).await;
    };
    let begin = async |world: &World| pause_webhooks(world, false).await;
    let paid = "select count(*) from orders where source = 'shop' and reference like 'tag%' and status <> 'paid'";
    let is_done = async |world: &World| {
        let unpaid = count(world, paid).await;
        unpaid == 0 && count(world, WAITING).await == 0
    };
    let points = dies_at_every_point(&mut world, prepare, begin, is_done).await;
    for point in [
        "webhook-kept",
        "webhook-applied",
        "delivery-leased",
        "delivery-sent",
    ] {
        assert!(points.contains(point), "{points:?}");
    }
    assert_eq!(count(&world, paid).await, 0);
    let told: BTreeSet<String> = receiver
        .got()
        .iter()
        .map(|got| got.event()["data"]["object"]["id"].to_string())
        .collect();
    let runs = points.iter().filter(|it| is_wanted(it)).count() + 1;
    assert_eq!(told.len(), runs, "every payment was told of");
    world.stop().await;
}

/// Every payout at Stripe by its id, and how it stands.
async fn payouts_at_stripe(world: &World) -> BTreeSet<(String, String)> {
    let state = world.sim(Method::GET, "state", None).await;
    let payouts = state["acct_acme"]["payouts"].as_array().unwrap().iter();
    let text = |it: &Value| it.as_str().unwrap().to_owned();
    payouts
        .map(|it| (text(&it["id"]), text(&it["status"])))
        .collect()
}

/// The same as they are known here.
async fn payouts_here(world: &World) -> BTreeSet<(String, String)> {
    let mut connection = PgConnection::connect(&world.database_url).await.unwrap();
    let rows = sqlx::query_as("select payout, status from payouts where merchant = 'acme'");
    let rows: Vec<(String, String)> = rows.fetch_all(&mut connection).await.unwrap();
    rows.into_iter().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payout_that_a_webhook_tells_of_is_recorded_whatever_the_service_dies_of() {
    let mut world = still_world().await;
    let prepare = async |world: &mut World, _: &str| {
        pause_webhooks(world, true).await;
        let body = card_payment(20_000, "usd", commands::GOOD);
        assert_eq!(send(world.pay("/v1/payment_intents", body)).await.0, 200);
        let days = json!({"advance_s": 9 * 24 * 3600});
        world.sim(Method::POST, "settle", Some(json!({}))).await;
        world.sim(Method::POST, "clock", Some(days)).await;
        let automatic = json!({"account": "acct_acme", "automatic": true});
        world.sim(Method::POST, "payouts", Some(automatic)).await;
        let known = payouts_here(world).await;
        assert_ne!(payouts_at_stripe(world).await, known, "there is news");
    };
    let begin = async |world: &World| pause_webhooks(world, false).await;
    let is_done = async |world: &World| {
        payouts_here(world).await == payouts_at_stripe(world).await
            && count(world, WAITING).await == 0
    };
    let points = dies_at_every_point(&mut world, prepare, begin, is_done).await;
    for point in ["webhook-kept", "webhook-applied", "append-sent"] {
        assert!(points.contains(point), "{points:?}");
    }
    assert_eq!(payouts_here(&world).await, payouts_at_stripe(&world).await);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_dies_with_the_head_locked_lets_go_of_it_and_has_appended_nothing() {
    let world = still_world().await;
    let at = free_address();
    let process = doomed(&world, at, "append-before-commit=return")
        .listening()
        .await;
    let ready = world.http.get(format!("http://{at}/readyz"));
    assert!(ready.send().await.unwrap().status().is_success());
    // The other instance does not know of this one, and is outrun by it.
    commands::ordered(&world, "tag00001").await;
    let order = commands::order("shop", "tag00002");
    let place = |address: std::net::SocketAddr| {
        let request = world
            .http
            .post(format!("http://{address}/ledger/v1/orders"));
        let request = request.bearer_auth("admin-acme").json(&order);
        request.header("Idempotency-Key", "one")
    };
    let events = world.events().await;
    assert!(place(at).send().await.is_err());
    process.dies().await;
    assert_eq!(world.events().await, events);
    let (status, placed) = send(place(world.address)).await;
    assert_eq!(status, 201, "{placed}");
    assert_eq!(world.events().await, events + 1);
    invariants::hold(&world).await;
    world.stop().await;
}

/// The approval panics where a process would die: what is left of it is what was committed.
#[tokio::test(flavor = "multi_thread")]
async fn a_settlement_that_is_cut_off_after_its_approval_was_recorded_is_settled() {
    let mut world = still_world().await;
    let too_late = Recovery {
        park_after: Duration::ZERO,
        certain_for: Duration::ZERO,
        ..Recovery::default()
    };
    world.restart(Setup::default()).await;
    fault(&world, "drop_after", "POST", "/v1/customers", 1).await;
    let (status, _) = send(commands::stripe(&world, "/v1/customers", "name=Ada")).await;
    assert!(status >= 500);
    fault(&world, "status_503", "GET", "/v1/customers", 1).await;
    let parking = Setup {
        recovery: too_late,
        ..Setup::default()
    };
    world.restart(parking).await;
    let mut parked = Vec::new();
    until("it is parked", async || {
        parked = world.app().parked(None, false).await.unwrap();
        !parked.is_empty()
    })
    .await;
    let intention = IntentionId::from_uuid(parked[0].intention);
    let (_, customers) = send(world.stripe(Method::GET, "/v1/customers")).await;
    let stripe_id = customers["data"][0]["id"].as_str().unwrap().to_owned();
    let outcome = ByHand::Happened { stripe_id };
    let because = "seen in Stripe's dashboard".to_owned();
    let proposed = world
        .app()
        .propose_settlement(person("anna"), intention, outcome, because);
    proposed.await.unwrap();
    fail::cfg("settlement-approved", "1*panic").unwrap();
    let approve = async |world: &World| {
        let approved = world.app().approve_settlement(person("ben"), intention);
        approved.await
    };
    assert!(approve(&world).await.is_err());
    fail::remove("settlement-approved");
    world.restart(setup()).await;
    let settled = world.app().parked_one(None, intention).await.unwrap();
    assert_eq!(
        (settled.state.as_str(), settled.approved_by.as_deref()),
        ("settled", Some("ben"))
    );
    assert!(approve(&world).await.is_err(), "it is settled already");
    invariants::until_ended(&world).await;
    invariants::hold(&world).await;
    world.stop().await;
}
