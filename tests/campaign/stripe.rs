//! Payments through a Stripe that misbehaves in every way it knows.

use crate::figures::{Campaign, size};
use crate::load::{Load, Plan};
use crate::support::{Setup, World};
use counterfoil::gateway::GatewayOptions;
use counterfoil::use_cases::{Options, Recovery, TrafficLimits};
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

#[tokio::test(flavor = "multi_thread")]
async fn a_stripe_that_misbehaves_in_every_way_doubles_nothing_and_leaves_nothing_open() {
    let campaign = Campaign::begin("stripe");
    let payments = size("CF_PAYMENTS", 150);
    let world = World::start_with(in_short()).await;
    let script = script(campaign.seed);
    world.sim(Method::POST, "faults/script", Some(script)).await;
    let plan = Plan {
        callers: 24,
        stories: Some(payments),
        cards_only: true,
        ..Plan::new(&world, campaign.seed)
    };
    let load = Load::start(&world, plan);
    let book = load.all();
    tokio::pin!(book);
    let mut book = loop {
        tokio::select! {
            book = &mut book => break book,
            () = tokio::time::sleep(Duration::from_secs(1)) => forget_keys(&world).await,
        }
    };
    let struck = world.sim(Method::GET, "faults", None).await["script"].take();
    world.sim(Method::DELETE, "faults", None).await;
    let found = book.compare(&world).await;
    let what = format!(
        "{payments} payments, {} faults, {} proved not to have been carried out",
        struck_in_all(&struck),
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

/// How many requests met a fault.
fn struck_in_all(script: &Value) -> u64 {
    let counts = script["struck"].as_object().into_iter().flatten();
    counts.filter_map(|(_, count)| count.as_u64()).sum()
}
