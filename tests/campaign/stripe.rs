//! Payments through a Stripe that misbehaves in every way it knows.

use crate::book::{Book, Found, MISPAID};
use crate::figures::{Campaign, size};
use crate::load::{Load, Plan};
use crate::support::{Setup, World, card_payment, send};
use counterfoil::gateway::GatewayOptions;
use counterfoil::use_cases::{Options, Recovery, TrafficLimits};
use rand::Rng;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

/// Stripe forgets a key after 24 hours, and recovery trusts it for 20; here a second stands for more than four hours.
const KEYS_ARE_CERTAIN_FOR: Duration = Duration::from_secs(3);
const KEYS_ARE_FORGOTTEN_AFTER_S: u32 = 6;

/// Recovery as it is, in short: days pass in seconds.
fn in_short() -> Setup {
    let usual = Setup::default();
    Setup {
        options: Options {
            answer_within: Duration::from_secs(2),
            join_within: Duration::from_secs(2),
            ..usual.options
        },
        gateway: GatewayOptions {
            timeout: Duration::from_millis(700),
            attempts: 2,
        },
        recovery: Recovery {
            every: Duration::from_millis(200),
            older_than: Duration::from_millis(2500),
            certain_for: KEYS_ARE_CERTAIN_FOR,
            // Longer than the latest effect of a request that nobody waits for any more.
            absent_for: Duration::from_secs(3),
            park_after: Duration::from_secs(600),
            lease_for: Duration::from_secs(10),
            pause_min: Duration::from_millis(200),
            pause_max: Duration::from_secs(2),
            traffic: TrafficLimits {
                attempts_per_s: 500,
                attempts_per_cent: 100,
                silences_max: 20,
                rest: Duration::from_millis(200),
            },
        },
        ..usual
    }
}

/// What goes wrong with how many requests in a thousand.
fn script(seed: u64) -> Value {
    json!({
        "seed": seed,
        "method": "POST",
        "requests": {
            "timeout_before:1000": 8, "timeout_after:1000": 8, "drop_before": 15, "drop_after": 15, "latency_ms:1000": 8,
            "status_429": 15, "lock_timeout": 5, "status_503": 8, "status_500": 6, "status_500_after": 6,
            "status_401": 2, "status_403": 2,
        },
        "webhooks": {"lost": 50, "duplicated": 50, "late_ms:2000": 50, "reordered_ms:500": 50},
    })
}

/// Stripe answers nothing at all and tells nobody anything, though half of what it is asked for happens: for long enough that
/// it has forgotten the first keys when it is back.
fn outage(seed: u64) -> Value {
    json!({
        "seed": seed, "requests": {"drop_before": 500, "drop_after": 500}, "webhooks": {"lost": 1000},
    })
}

/// One of them in so many seconds.
const OUTAGE_EVERY_S: u64 = 60;

/// Planted bugs: sending again what is older than Stripe's memory; a fresh key at Stripe for every attempt.
#[tokio::test(flavor = "multi_thread")]
async fn a_stripe_that_misbehaves_in_every_way_doubles_nothing_and_leaves_nothing_open() {
    let campaign = Campaign::begin("stripe");
    let payments = size("CF_PAYMENTS", 150);
    let world = World::start_with(in_short()).await;
    let plan = Plan {
        callers: 24,
        stories: Some(payments),
        cards_only: true,
        ..Plan::new(&world, campaign.seed)
    };
    let load = Load::start(&world, plan);
    let book = load.all();
    tokio::pin!(book);
    let mut struck = follow(&world, script(campaign.seed)).await;
    let mut second = 0;
    let mut book = loop {
        tokio::select! {
            book = &mut book => break book,
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
        forget_keys(&world).await;
        second += 1;
        match second % OUTAGE_EVERY_S {
            2 => struck += follow(&world, outage(campaign.seed)).await,
            11 => struck += follow(&world, script(campaign.seed + second)).await,
            _ => {}
        }
    };
    struck += struck_so_far(&world).await;
    world.sim(Method::DELETE, "faults", None).await;
    let found = book.compare(&world).await;
    let what = format!(
        "{payments} payments, {struck} faults, {} proved not to have been carried out",
        book.not_carried_out
    );
    campaign.end(&what, &book, &found);
    world.stop().await;
}

/// What Stripe does after 24 hours, sooner.
async fn forget_keys(world: &World) {
    let old = json!({"older_than_s": KEYS_ARE_FORGOTTEN_AFTER_S});
    world.sim(Method::POST, "keys/forget", Some(old)).await;
}

/// From now on this goes wrong. Answers how many requests and deliveries have met a fault under the script before.
async fn follow(world: &World, script: Value) -> u64 {
    let struck = struck_so_far(world).await;
    world.sim(Method::POST, "faults/script", Some(script)).await;
    struck
}

async fn struck_so_far(world: &World) -> u64 {
    let faults = world.sim(Method::GET, "faults", None).await;
    let counts = faults["script"]["struck"].as_object().into_iter().flatten();
    counts.filter_map(|(_, count)| count.as_u64()).sum()
}

/// Stripe acts on another amount than was asked for: what it took is recorded, the difference is noted, and no order counts as
/// paid by it. Red when an amount is taken from the answer without being compared.
#[tokio::test(flavor = "multi_thread")]
async fn amounts_that_drift_at_stripe_are_noticed_and_pay_no_order() {
    let campaign = Campaign::begin("drift");
    let payments = size("CF_DRIFTED", 6);
    let mut rng = campaign.rng();
    let world = World::start().await;
    for number in 0..payments {
        let minor = rng.random_range(1..500);
        let kind = format!("drift_amount:{minor}");
        let drift = json!({"kind": kind, "method": "POST", "path_prefix": "/v1/payment_intents"});
        if number % 2 == 0 {
            world.sim(Method::POST, "faults", Some(drift)).await;
            paid_by_card(&world, 2000 + minor).await;
        } else {
            let reference = format!("drift-{number}");
            placed(&world, &reference).await;
            world.sim(Method::POST, "faults", Some(drift)).await;
            not_paid_by(&world, &reference, 900 + minor).await;
        }
    }
    let history = world.history("acme").await;
    let noted = history.iter().filter(|name| *name == "ObservationRefused");
    let noted = u64::try_from(noted.count()).unwrap();
    let mut book = Book::default();
    let found = book.compare(&world).await;
    let what =
        format!("{payments} payments of another amount than was asked for, noted {noted} times");
    // That orders are mispaid is the very thing.
    let found = Found {
        wrong: found.wrong.into_iter().filter(|it| it != MISPAID).collect(),
        ..found
    };
    campaign.end(&what, &book, &found);
    assert!(noted >= payments, "{noted} of {payments} were noted");
    world.stop().await;
}

/// Paid with a card; what Stripe took is what is recorded.
async fn paid_by_card(world: &World, taken: i64) {
    let body = card_payment(2000, "usd", "4242424242424242");
    let (status, paid) = send(world.pay("/v1/payment_intents", body)).await;
    assert_eq!(status, 200, "{paid}");
    let captured: i64 = sqlx::query_scalar("select captured_minor from payments where intent = $1")
        .bind(paid["id"].as_str())
        .fetch_one(world.app().store().pool())
        .await
        .unwrap();
    assert_eq!(captured, taken);
}

async fn placed(world: &World, reference: &str) {
    let order = json!({
        "source": "shop", "reference": reference, "customer": "customer-9", "currency": "usd", "tax_minor": 0,
        "lines": [{"name": "Shoes", "unit_minor": 900, "quantity": 1}],
    });
    let place = world.post("/ledger/v1/orders").bearer_auth("admin-acme");
    assert_eq!(send(place.json(&order)).await.0, 201);
}

/// The payer pays what Stripe shows; the order of 9.00 stays unpaid, and the money visible.
async fn not_paid_by(world: &World, reference: &str, taken: i64) {
    let path = format!("/api/v1/shop/orders/{reference}");
    let keyed = |path: String| {
        let request = world.post(&path).header("X-API-Key", "123456789");
        request.bearer_auth("customer-9")
    };
    let (status, asked) = send(keyed(format!("{path}/payment-intent"))).await;
    assert_eq!(status, 200, "{asked}");
    let intent = asked["data"]["id"].as_str().unwrap();
    let confirm = world.stripe(
        Method::POST,
        &format!("/v1/payment_intents/{intent}/confirm"),
    );
    let terms = json!({"payment_method": "pm_card_visa", "return_url": "https://example.com"});
    assert_eq!(send(confirm.json(&terms)).await.0, 200);
    let (status, refused) = send(keyed(format!("{path}/payment"))).await;
    assert_eq!(status, 409, "{refused}");
    let (order, mispaid): (String, i64) =
        sqlx::query_as("select status, mispaid_minor from orders where reference = $1")
            .bind(reference)
            .fetch_one(world.app().store().pool())
            .await
            .unwrap();
    assert_eq!((order.as_str(), mispaid), ("open", taken));
}
