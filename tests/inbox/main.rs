//! What Stripe tells: by webhook and by its list of events, once, twice, late, in any order, or in somebody else's name.

#[path = "../support/mod.rs"]
mod support;

mod applying;
mod door;
mod late;
mod permutations;
mod polling;

use crate::support::{Setup, World, seal_key, send, until};
use chrono::Utc;
use counterfoil::config::Key32;
use counterfoil::http::server::Limits;
use counterfoil::ids::Ids;
use counterfoil::ops::sandbox;
use counterfoil::service::{Opened, Parts};
use counterfoil::store::InboxRow;
use counterfoil::use_cases::App;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::{Method, Url};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sha2::Sha256;
use std::process::Output;
use std::time::Duration;
use tokio::net::TcpListener;

pub const DAY: Duration = Duration::from_secs(24 * 3600);

/// An event as Stripe delivers it, made just now.
pub fn event(id: &str, event_type: &str, object: &Value) -> Value {
    json!({
        "id": id, "object": "event", "type": event_type, "created": Utc::now().timestamp(), "pending_webhooks": 1,
        "data": {"object": object},
    })
}

/// `Stripe-Signature` over a body, made just now with the secret of the merchant's endpoint.
pub fn signature(merchant: &str, body: &str) -> String {
    let time = Utc::now().timestamp();
    let secret = sandbox::webhook_secret(&seal_key(), merchant);
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).unwrap();
    mac.update(format!("{time}.{body}").as_bytes());
    format!("t={time},v1={}", hex::encode(mac.finalize().into_bytes()))
}

/// Delivers an event to a merchant's endpoint as Stripe does, and answers the status.
pub async fn deliver_to(world: &World, merchant: &str, event: &Value) -> u16 {
    let body = event.to_string();
    let request = world
        .post(&format!("/webhooks/stripe/{merchant}"))
        .header("Stripe-Signature", signature(merchant, &body))
        .body(body);
    send(request).await.0
}

/// The same to acme's, where it is taken.
pub async fn deliver(world: &World, event: &Value) {
    assert_eq!(deliver_to(world, "acme", event).await, 200, "{event}");
}

/// Acme's event of this id as the inbox shows it; none where it is not there.
pub async fn shown(world: &World, id: &str) -> Option<InboxRow> {
    let acme = "acme".parse().unwrap();
    let inbox = &world.app().store().inbox;
    inbox.shown(Some(&acme), id).await.unwrap().pop()
}

pub async fn until_state(world: &World, id: &str, state: &str) {
    until(&format!("{id} is {state}"), async || {
        shown(world, id).await.is_some_and(|it| it.state == state)
    })
    .await;
}

pub async fn pause_webhooks(world: &World, paused: bool) {
    let paused = Some(json!({"paused": paused}));
    world.sim(Method::POST, "webhooks", paused).await;
}

/// A world in which Stripe tells nothing by itself.
pub async fn quiet_world(setup: Setup) -> World {
    let world = World::start_with(setup).await;
    pause_webhooks(&world, true).await;
    world
}

pub async fn fault(world: &World, kind: &str, method: &str, path: &str, times: u64) {
    let fault = json!({"kind": kind, "method": method, "path_prefix": path, "times": times});
    world.sim(Method::POST, "faults", Some(fault)).await;
}

/// Another instance on the world's database, put together and without workers: the test drives it by hand.
pub async fn instance(database_url: &str, simulator: &simulator::Running, setup: Setup) -> App {
    let base: Url = simulator.url().parse().unwrap();
    let parts = Parts {
        listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
        public_url: None,
        database_url: database_url.to_owned(),
        seal_key: Key32::clone(&seal_key()),
        accounts: sandbox::accounts(&base),
        webhook_secrets: sandbox::webhook_secrets(&seal_key()),
        gateway: setup.gateway,
        options: setup.options,
        outbound: setup.outbound,
        recovery: setup.recovery,
        settle_every: None,
        limits: Limits::default(),
        ids: Ids::seeded(setup.seed),
        metrics: metrics_exporter_prometheus::PrometheusBuilder::new()
            .build_recorder()
            .handle(),
    };
    Opened::new(parts).await.unwrap().app
}

pub async fn close(app: App) {
    app.drain().await;
    app.store().close().await;
}

/// What the command line answers.
pub fn counterfoil(database_url: &str, arguments: &[&str]) -> Output {
    std::process::Command::new(env!("CARGO_BIN_EXE_counterfoil"))
        .args(arguments)
        .env_clear()
        .env("DATABASE_URL", database_url)
        .output()
        .unwrap()
}

/// The lines of JSON that the command line answers.
pub fn lines(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// How often an event of this name is in acme's history.
pub async fn count(world: &World, name: &str) -> usize {
    let history = world.history("acme").await;
    history.iter().filter(|it| *it == name).count()
}

/// A payment of acme's that has been taken: Stripe's intent.
pub async fn paid(world: &World, amount: i64, number: &str) -> Value {
    let body = support::card_payment(amount, "usd", number);
    let (status, intent) = send(world.pay("/v1/payment_intents", body)).await;
    assert_eq!(
        (status, &intent["status"]),
        (200, &json!("succeeded")),
        "{intent}"
    );
    intent
}

/// A refund that Stripe tells of.
pub fn refund_of(intent: &Value, id: &str, amount: i64) -> Value {
    json!({"id": id, "object": "refund", "amount": amount, "currency": "usd", "status": "succeeded",
        "payment_intent": intent["id"], "created": 1_700_000_000, "metadata": {}})
}
