//! The service dies, or its caller does, between intention and outcome.

use crate::support::{self, PATIENCE, Setup, World, card_payment, seal_key, send, until};
use counterfoil::gateway::GatewayOptions;
use counterfoil::ops::{fixtures, sandbox};
use reqwest::{Method, RequestBuilder};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use std::process::{Child, Command, Stdio};

/// The service as a process of its own, so that it can be killed.
pub struct Process(Child);

impl Process {
    /// Starts the program on the world's address, database and simulator, and waits until it is ready.
    pub async fn start(world: &World) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_counterfoil"));
        command
            .arg("serve")
            .env_clear()
            .env("COUNTERFOIL_LISTEN", world.address.to_string())
            .env("DATABASE_URL", &world.database_url)
            .env("COUNTERFOIL_SEAL_KEY", hex::encode(seal_key().expose()))
            .env("COUNTERFOIL_SIGNING_KEY", hex::encode([8; 32]))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        for merchant in fixtures::MERCHANTS {
            let name = merchant.id.to_ascii_uppercase();
            command
                .env(
                    format!("STRIPE_{name}_SECRET_KEY"),
                    fixtures::simulator_key(merchant.id),
                )
                .env(format!("STRIPE_{name}_API_BASE"), world.simulator.url())
                .env(
                    format!("STRIPE_{name}_WEBHOOK_SECRET"),
                    sandbox::webhook_secret(&seal_key(), merchant.id).expose_secret(),
                );
        }
        let mut process = Self(command.spawn().unwrap());
        until("the service is ready", async || {
            assert!(
                process.0.try_wait().unwrap().is_none(),
                "the service has ended"
            );
            let ready = world.get("/readyz").timeout(PATIENCE).send().await;
            ready.is_ok_and(|answer| answer.status().is_success())
        })
        .await;
        process
    }

    /// kill -9.
    pub fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

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
    world.stop().await;
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
    world.stop().await;
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
    assert_eq!(
        world.balances("acme", "usd").await[0],
        ("assets:stripe:clearing".to_owned(), 2000)
    );
    world.stop().await;
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
    world.stop().await;
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
    world.stop().await;
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
    assert_eq!(
        world.balances("acme", "usd").await,
        [],
        "2000 came and 2000 went"
    );
    world.stop().await;
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
    world.restart(Setup::default()).await;
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
    world.stop().await;
}

/// Planted bug: counting a 429 or a 5xx as a refusal ends the intention and frees the order.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_on_stripes_side_refuses_nothing() {
    for (kind, retried) in [
        ("status_429", 200),
        ("status_500", 503),
        ("status_500_after", 503),
    ] {
        let world = World::start().await;
        pause_webhooks(&world).await;
        let fault = json!({"kind": kind, "method": "POST", "path_prefix": "/v1/payment_intents"});
        world.sim(Method::POST, "faults", Some(fault)).await;
        let (status, answer) = send(world.shop_create()).await;
        assert_eq!(status, 503, "{kind}: {answer}");
        // Stripe repeats a 500 under the same key: the outcome stays unknown.
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
        if kind == "status_500_after" {
            // What was made after all is told by its webhook.
            world
                .sim(Method::POST, "webhooks", Some(json!({"paused": false})))
                .await;
            until("the retry is answered", async || {
                send(world.shop_create()).await.0 == 200
            })
            .await;
            assert_eq!(order_9(&world.intents_at_stripe("acme").await), 1);
        }
        world.stop().await;
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
    world.stop().await;
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
    world.stop().await;
}
