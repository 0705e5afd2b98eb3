//! The service dies, or its caller does, between intention and outcome.

pub use crate::support::process::Process;
use crate::support::{self, Setup, World, card_payment, send, until};
use counterfoil::gateway::GatewayOptions;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use std::time::Duration;

/// Kills the service while Stripe holds its request. It is still held afterwards.
pub async fn kill_while_stripe_holds(
    world: &mut World,
    fault: Value,
    request: impl Fn(&World) -> RequestBuilder,
) {
    world.stop_service().await;
    let process = Process::start(world).await;
    world.sim(Method::POST, "faults", Some(fault)).await;
    let call = tokio::spawn(request(world).send());
    world.wait_until_held(1).await;
    process.kill();
    assert!(call.await.unwrap().is_err(), "the caller never heard of it");
}

pub async fn release(world: &World) {
    world.sim(Method::POST, "faults/release", None).await;
    world.wait_until_held(0).await;
}

/// Holds back what Stripe would tell by itself, so that only the service's own asking brings the truth.
async fn pause_webhooks(world: &World) {
    world
        .sim(Method::POST, "webhooks", Some(json!({"paused": true})))
        .await;
}

/// Restarts the service in this process. It looks for what was cut off once, at its start.
pub async fn restart(world: &mut World) {
    // Stripe may still be ending the request that was held: then it is asked again.
    let gateway = GatewayOptions {
        attempts: 5,
        ..Setup::default().gateway
    };
    world
        .restart(Setup {
            gateway,
            ..Setup::default()
        })
        .await;
}

pub async fn until_recorded(world: &World, event: &str) {
    until(event, async || {
        world.history("acme").await.iter().any(|name| name == event)
    })
    .await;
}

/// Kills the service while Stripe holds its request, restarts it, and answers what the caller's retry gets.
async fn killed_while_stripe_holds(
    world: &mut World,
    fault: Value,
    request: impl Fn(&World) -> RequestBuilder,
) -> (u16, Value) {
    kill_while_stripe_holds(world, fault, &request).await;
    release(world).await;
    let restarted = Process::start(world).await;
    let answer = send(request(world)).await;
    restarted.kill();
    answer
}

fn order_9(intents: &[Value]) -> usize {
    intents
        .iter()
        .filter(|intent| intent["metadata"]["order_id"] == "9")
        .count()
}

/// Planted bug: asking Stripe before the intention is committed leaves an intent that nobody here knows, and makes a second.
#[tokio::test(flavor = "multi_thread")]
async fn killed_after_stripe_made_the_intent_the_retry_gets_that_one() {
    let mut world = World::start().await;
    let fault =
        json!({"kind": "hold_after", "method": "POST", "path_prefix": "/v1/payment_intents"});
    let (status, answer) = killed_while_stripe_holds(&mut world, fault, World::shop_create).await;
    assert_eq!(status, 200, "{answer}");
    let intents = world.intents_at_stripe("acme").await;
    assert_eq!(order_9(&intents), 1, "{intents:?}");
    let ours = intents
        .iter()
        .find(|intent| intent["metadata"]["order_id"] == "9")
        .unwrap();
    assert_eq!(answer["data"]["id"], ours["id"]);
    assert!(
        answer["data"]["client_secret"]
            .as_str()
            .is_some_and(|secret| secret.starts_with(ours["id"].as_str().unwrap()))
    );
    world.stop_audited().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_before_stripe_did_anything_the_retry_makes_one_intent() {
    let mut world = World::start().await;
    let fault =
        json!({"kind": "hold_before", "method": "POST", "path_prefix": "/v1/payment_intents"});
    let (status, answer) = killed_while_stripe_holds(&mut world, fault, World::shop_create).await;
    assert_eq!(status, 200, "{answer}");
    // The request that was held goes on after the release, beside the retry's: the same key, one effect.
    let intents = world.intents_at_stripe("acme").await;
    assert_eq!(order_9(&intents), 1, "{intents:?}");
    world.stop_audited().await;
}

/// Planted bug: deriving Stripe's key from anything but the intention (a fresh id per attempt) answers that the charged
/// payment cannot be confirmed; where the intent itself is asked for, as above, it makes a second.
#[tokio::test(flavor = "multi_thread")]
async fn killed_between_charge_and_outcome_the_retry_under_its_key_finds_the_one_charge() {
    let mut world = World::start().await;
    let pay = |world: &World| {
        world
            .pay(
                "/v1/payment_intents",
                card_payment(2000, "usd", "4242424242424242"),
            )
            .header("Idempotency-Key", "crash-1")
    };
    let fault =
        json!({"kind": "hold_after", "method": "POST", "path_prefix": "/v1/payment_intents/pi_"});
    let (status, answer) = killed_while_stripe_holds(&mut world, fault, pay).await;
    assert_eq!(
        (status, answer["status"].as_str()),
        (200, Some("succeeded")),
        "{answer}"
    );
    let (_, charges) = send(world.stripe(Method::GET, "/v1/charges?limit=100")).await;
    assert_eq!(charges["data"].as_array().unwrap().len(), 1, "{charges}");
    let listener = tokio::net::TcpListener::bind(world.address).await.unwrap();
    world.service = Some(
        support::serve(
            listener,
            &world.database_url,
            &world.simulator,
            support::Setup::default(),
        )
        .await,
    );
    // Whether Stripe's booking of it was read already or not.
    let owed = ("liabilities:customers:unapplied".to_owned(), -2000);
    let balances = world.balances("acme", "usd").await;
    assert!(balances.contains(&owed), "{balances:?}");
    world.stop_audited().await;
}

/// Planted bug: a start that does not look for open intentions leaves this one open for ever.
#[tokio::test(flavor = "multi_thread")]
async fn killed_after_stripe_made_the_intent_the_restarted_service_knows_of_it_with_nobody_asking()
{
    let mut world = World::start().await;
    pause_webhooks(&world).await;
    let fault =
        json!({"kind": "hold_after", "method": "POST", "path_prefix": "/v1/payment_intents"});
    kill_while_stripe_holds(&mut world, fault, World::shop_create).await;
    release(&world).await;
    restart(&mut world).await;
    until_recorded(&world, "Created").await;
    let intents = world.intents_at_stripe("acme").await;
    assert_eq!(order_9(&intents), 1, "{intents:?}");
    let ours = intents
        .iter()
        .find(|intent| intent["metadata"]["order_id"] == "9")
        .unwrap();
    let known: Vec<String> =
        sqlx::query_scalar("select intent from payments where merchant = 'acme'")
            .fetch_all(world.app().store().pool())
            .await
            .unwrap();
    assert_eq!(known, [ours["id"].as_str().unwrap()]);
    world.stop_audited().await;
}

/// Planted bug: telling the end of a create by its own outcome alone, without its confirmation's, answers a success.
#[tokio::test(flavor = "multi_thread")]
async fn a_decline_that_recovery_found_is_what_the_key_answers_from_then_on() {
    let mut world = World::start().await;
    pause_webhooks(&world).await;
    let pay = |world: &World| {
        world
            .pay(
                "/v1/payment_intents",
                card_payment(2000, "usd", "4000000000009995"),
            )
            .header("Idempotency-Key", "crash-2")
    };
    let fault =
        json!({"kind": "hold_after", "method": "POST", "path_prefix": "/v1/payment_intents/pi_"});
    kill_while_stripe_holds(&mut world, fault, pay).await;
    release(&world).await;
    restart(&mut world).await;
    until_recorded(&world, "Declined").await;
    let (status, first) = send(pay(&world)).await;
    assert_eq!(
        (status, first["error"]["decline_code"].as_str()),
        (402, Some("insufficient_funds")),
        "{first}"
    );
    assert_eq!(send(pay(&world)).await, (402, first));
    let (_, charges) = send(world.stripe(Method::GET, "/v1/charges?limit=100")).await;
    assert_eq!(charges["data"].as_array().unwrap().len(), 1, "{charges}");
    world.stop_audited().await;
}

/// Planted bug: recovery that drives payments but not their refunds leaves this one open for ever.
#[tokio::test(flavor = "multi_thread")]
async fn killed_after_stripe_gave_money_back_the_restarted_service_knows_of_it_with_nobody_asking()
{
    let mut world = World::start().await;
    pause_webhooks(&world).await;
    let (_, paid) = send(world.pay(
        "/v1/payment_intents",
        card_payment(2000, "usd", "4242424242424242"),
    ))
    .await;
    let refund = |world: &World| world.pay("/v1/refunds", json!({"payment_intent": paid["id"]}));
    let fault = json!({"kind": "hold_after", "method": "POST", "path_prefix": "/v1/refunds"});
    kill_while_stripe_holds(&mut world, fault, refund).await;
    release(&world).await;
    restart(&mut world).await;
    until_recorded(&world, "Refunded").await;
    let (_, refunds) = send(world.stripe(Method::GET, "/v1/refunds")).await;
    assert_eq!(refunds["data"].as_array().unwrap().len(), 1, "{refunds}");
    let went = [("assets:stripe:balance", -88), ("expenses:stripe:fees", 88)];
    let went = went.map(|(account, minor)| (account.to_owned(), minor));
    world.app().settle(&"acme".parse().unwrap()).await.unwrap();
    assert_eq!(
        world.balances("acme", "usd").await,
        went,
        "2000 came and 2000 went, and Stripe kept its fee"
    );
    world.stop_audited().await;
}

/// Planted bug: counting Stripe's 409 as a refusal frees the order for a second intent, while the old request goes on to
/// make the first.
#[tokio::test(flavor = "multi_thread")]
async fn while_stripe_still_works_on_the_old_request_the_outcome_is_unknown_and_nothing_is_refused()
{
    let mut world = World::start().await;
    pause_webhooks(&world).await;
    let fault =
        json!({"kind": "hold_before", "method": "POST", "path_prefix": "/v1/payment_intents"});
    kill_while_stripe_holds(&mut world, fault, World::shop_create).await;
    let mut impatient = Setup::default();
    impatient.options.join_within = Duration::from_millis(200);
    world.restart(impatient).await;
    let (status, answer) = send(world.shop_create()).await;
    assert_eq!(status, 503, "{answer}");
    release(&world).await;
    until("the retry is answered", async || {
        send(world.shop_create()).await.0 == 200
    })
    .await;
    let intents = world.intents_at_stripe("acme").await;
    assert_eq!(order_9(&intents), 1, "{intents:?}");
    let history = world.history("acme").await;
    assert!(
        !history.iter().any(|name| name == "CreateRefused"),
        "{history:?}"
    );
    world.stop_audited().await;
}

/// Planted bug: counting a 429 or a 5xx as a refusal ends the intention and frees the order.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_on_stripes_side_refuses_nothing() {
    for (kind, retried) in [
        ("status_429", 200),
        ("status_500", 503),
        // Made after all: it is looked up once Stripe has repeated its error.
        ("status_500_after", 200),
    ] {
        let world = World::start().await;
        pause_webhooks(&world).await;
        let fault = json!({"kind": kind, "method": "POST", "path_prefix": "/v1/payment_intents"});
        world.sim(Method::POST, "faults", Some(fault)).await;
        let (status, answer) = send(world.shop_create()).await;
        assert_eq!(status, 503, "{kind}: {answer}");
        // Stripe repeats a 500 under the same key. That nothing is there is no proof yet: the outcome stays unknown.
        let (status, answer) = send(world.shop_create()).await;
        assert_eq!(status, retried, "{kind}: {answer}");
        let history = world.history("acme").await;
        assert!(
            !history.iter().any(|name| name == "CreateRefused"),
            "{kind}: {history:?}"
        );
        assert_eq!(
            history
                .iter()
                .filter(|name| *name == "PaymentAttached")
                .count(),
            1,
            "{kind}: {history:?}"
        );
        let made = usize::from(retried == 200);
        let intents = world.intents_at_stripe("acme").await;
        assert_eq!(order_9(&intents), made, "{kind}: {intents:?}");
        world.stop_audited().await;
    }
}

/// Planted bug: running the command in the request's own task loses the outcome when the caller hangs up.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_hangs_up_cancels_nothing() {
    let world = World::start().await;
    pause_webhooks(&world).await;
    let hold =
        json!({"kind": "hold_after", "method": "POST", "path_prefix": "/v1/payment_intents"});
    world.sim(Method::POST, "faults", Some(hold)).await;
    let call = tokio::spawn(world.shop_create().send());
    world.wait_until_held(1).await;
    call.abort();
    let _ = call.await;
    world.sim(Method::POST, "faults/release", None).await;
    until_recorded(&world, "Created").await;
    world.stop_audited().await;
}

/// Planted bug: counting a lost answer as a refusal tells the caller so, though Stripe has made the intent.
#[tokio::test(flavor = "multi_thread")]
async fn when_stripe_falls_silent_the_outcome_is_unknown_and_the_retry_goes_on_with_the_same_payment()
 {
    let world = World::start().await;
    let drop_answer =
        json!({"kind": "drop_after", "method": "POST", "path_prefix": "/v1/payment_intents"});
    world.sim(Method::POST, "faults", Some(drop_answer)).await;
    let first = world.shop_create().send().await.unwrap();
    assert_eq!(first.status(), 503);
    assert!(first.headers().contains_key("retry-after"));
    let (status, answer) = send(world.shop_create()).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(order_9(&world.intents_at_stripe("acme").await), 1);
    world.stop_audited().await;
}
