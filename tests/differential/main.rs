//! The same calls, made of the door and of Stripe's look-alike directly, are answered alike: statuses, bodies and texts.
//!
//! Sequences of raw form-encoded calls, legal and illegal, are drawn from fixed seeds. Ids, secrets, times and addresses
//! become placeholders in their order of appearance. First two look-alikes are compared with each other, so that a
//! difference at the door is the door's. What may differ is listed, with its reason, in [`KNOWN`].

#[path = "../support/mod.rs"]
mod support;

mod compare;
mod draw;
mod known;
mod side;

use compare::Placeholders;
use counterfoil::ops::fixtures;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use side::{Call, Side};
use simulator::{Simulator, WebhookEndpoint};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use support::World;

/// Each sequence's seed. A failing one is repeated by leaving it alone in this list.
const SEEDS: &[u64] = &[1, 2, 3, 4, 5, 6, 7, 8];
/// Calls in a sequence.
const CALLS: usize = 70;
/// The most differences that are shown, each once.
const SHOWN_MAX: usize = 150;

/// What the sequences have to come across; without it they would compare nothing worth comparing.
const REACHED: &[&str] = &[
    "payment_intent requires_payment_method",
    "payment_intent requires_confirmation",
    "payment_intent requires_action",
    "payment_intent requires_capture",
    "payment_intent succeeded",
    "payment_intent canceled",
    "refund succeeded",
    "checkout.session open",
    "400 payment_intent_unexpected_state",
    "400 parameter_missing",
    "400 parameter_invalid_integer",
    "400 parameter_unknown",
    "400 amount_too_small",
    "400 amount_too_large",
    "400 resource_missing",
    "400 idempotency_error",
    "401 api_key_invalid",
    "402 card_declined",
    "402 expired_card",
    "402 incorrect_number",
    "404 resource_missing",
    "replayed",
];

/// Makes the calls of one seed of both; answers the differences.
async fn run(
    seed: u64,
    one: &mut Side,
    other: &mut Side,
    reached: &mut BTreeSet<String>,
) -> Vec<(String, String)> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut differences = Vec::new();
    let mut placeholders = Placeholders::default();
    // The last call, if it can be repeated as it was.
    let mut keyed: Option<Call> = None;
    one.forget();
    other.forget();
    for place in 0..CALLS {
        let call = match keyed.take().filter(|_| rng.random_bool(0.3)) {
            Some(repeated) => repeated,
            None => draw::call(&mut rng, one, seed),
        };
        keyed = call.key.is_some().then(|| call.clone());
        let (left, right) = tokio::join!(one.ask(&call), other.ask(&call));
        let [mut left, mut right] = placeholders.put_into(&left, &right);
        reached.insert(compare::shown(&right));
        if right["replayed"].is_string() {
            reached.insert("replayed".to_owned());
        }
        if one.is_door != other.is_door {
            known::forgive(&call, &mut left, &mut right);
        }
        for difference in compare::differences(&left, &right) {
            differences.push((difference, format!("seed {seed}, call {place}: {call}")));
        }
        let spoken_of = (one.counts(), other.counts());
        if spoken_of.0 != spoken_of.1 {
            let difference = format!("objects spoken of: {:?} and {:?}", spoken_of.0, spoken_of.1);
            differences.push((difference, format!("seed {seed}, call {place}: {call}")));
            break;
        }
        if (left["status"] == 200) != (right["status"] == 200) {
            // From here on the two have different pasts.
            break;
        }
    }
    differences
}

async fn compare_all(mut one: Side, mut other: Side) {
    // Each difference with the calls that it shows on.
    let mut differences: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut reached = BTreeSet::new();
    for seed in SEEDS {
        for (difference, call) in run(*seed, &mut one, &mut other, &mut reached).await {
            differences.entry(difference).or_default().push(call);
        }
    }
    let mut report = String::new();
    for (difference, calls) in differences.iter().take(SHOWN_MAX) {
        writeln!(
            report,
            "{difference}\n    {} times, first {}",
            calls.len(),
            calls[0]
        )
        .unwrap();
    }
    assert!(
        differences.is_empty(),
        "{} differences:\n{report}",
        differences.len()
    );
    for wanted in REACHED {
        assert!(
            reached.contains(*wanted),
            "{wanted} is not among {reached:#?}"
        );
    }
}

/// A look-alike with the same accounts as the sandbox's, whose webhooks nobody hears.
async fn look_alike() -> simulator::Running {
    let accounts = fixtures::simulator_accounts(|_| {
        let mut deaf = WebhookEndpoint::new("http://127.0.0.1:9/", "whsec_nobody");
        deaf.enabled_events = vec!["none.such".to_owned()];
        deaf
    });
    Simulator::start(simulator::Config::new(accounts))
        .await
        .unwrap()
}

fn direct(simulator: &simulator::Running) -> Side {
    let key = fixtures::simulator_key("acme");
    Side::new(simulator.url().trim_end_matches('/'), &key, false)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_look_alikes_answer_alike() {
    let (one, other) = (look_alike().await, look_alike().await);
    compare_all(direct(&one), direct(&other)).await;
    one.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_door_answers_as_the_look_alike_does() {
    let (world, other) = (World::start().await, look_alike().await);
    let door = Side::new(&format!("http://{}", world.address), "sk_test_acme", true);
    compare_all(door, direct(&other)).await;
    world.stop().await;
    other.stop().await;
}
