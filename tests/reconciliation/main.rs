//! Reconciliation against a real service, a real database and the simulator: what agrees is no break, what was planted is found
//! and named, a run that is stopped goes on, and one that is repeated comes to the same, to the byte.

#[path = "../support/mod.rs"]
mod support;

mod deaths;
mod histories;
mod people;
mod planted;
mod repeats;
mod runs;
mod year;

use aggregates::ids::{MerchantId, ReconciliationId};
use aggregates::metadata::Actor;
use counterfoil::use_cases::{ReconcileError, ReportHead, ReportLine, ReportTail};
use reqwest::Method;
use serde_json::{Value, json};
use support::{World, card_payment, send, until};
use tokio_util::sync::CancellationToken;

pub fn acme() -> MerchantId {
    "acme".parse().unwrap()
}

pub fn operator() -> Actor {
    Actor {
        name: "operator:test".to_owned(),
        key_id: None,
        door: "cli".to_owned(),
    }
}

/// A report, read to its end.
pub struct Read {
    pub head: ReportHead,
    pub lines: Vec<ReportLine>,
    pub tail: ReportTail,
}

impl Read {
    /// What its breaks are, without what is no break: class, subject, part.
    pub fn breaks(&self) -> Vec<(String, String, String)> {
        let breaks = self.lines.iter().filter(|it| it.verdict == "break");
        breaks
            .map(|it| {
                let class = it.class.map(|it| it.to_string()).unwrap_or_default();
                (class, it.subject.clone(), it.part.clone())
            })
            .collect()
    }
}

pub async fn try_reconcile(world: &World) -> Result<ReconciliationId, ReconcileError> {
    let stop = CancellationToken::new();
    let app = world.app();
    app.reconcile(&acme(), operator(), 0, &stop, |_| {}).await
}

pub async fn reconcile(world: &World) -> Read {
    next_second(world).await;
    let run = try_reconcile(world).await.unwrap();
    read(world, run).await
}

pub async fn read(world: &World, run: ReconciliationId) -> Read {
    let mut report = world.app().report(&acme(), run).await.unwrap();
    let mut lines = Vec::new();
    loop {
        let more = report.lines().await.unwrap();
        if more.is_empty() {
            return Read {
                head: report.head().clone(),
                lines,
                tail: report.tail().clone(),
            };
        }
        lines.extend(more);
    }
}

pub async fn pay(world: &World, amount: i64) -> String {
    let card = card_payment(amount, "usd", "4242424242424242");
    let (status, intent) = send(world.pay("/v1/payment_intents", card)).await;
    assert_eq!(
        (status, &intent["status"]),
        (200, &json!("succeeded")),
        "{intent}"
    );
    intent["id"].as_str().unwrap().to_owned()
}

pub async fn refund(world: &World, intent: &str, amount: i64) {
    let body = json!({"payment_intent": intent, "amount": amount});
    let (status, refund) = send(world.pay("/v1/refunds", body)).await;
    assert_eq!(status, 200, "{refund}");
}

/// Waits until all that Stripe has to say to acme is said and applied, and until the second in which it was is over.
pub async fn quiet(world: &World) {
    until("the webhooks are applied", async || {
        let log = world
            .sim(Method::GET, "webhooks/deliveries?account=acct_acme", None)
            .await;
        let mut log = log["deliveries"].as_array().unwrap().iter();
        log.all(|it| it["last_status"] == 200) && is_applied(world).await
    })
    .await;
    next_second(world).await;
}

/// What changes in the second in which a run begins is for the next run.
pub async fn next_second(world: &World) {
    until("the second is over", async || {
        let over: bool = sqlx::query_scalar(
            "select floor(extract(epoch from clock_timestamp())) > floor(extract(epoch from recorded_at)) from log_head",
        )
        .fetch_one(world.app().store().pool())
        .await
        .unwrap();
        over
    })
    .await;
}

async fn is_applied(world: &World) -> bool {
    let waiting: i64 =
        sqlx::query_scalar("select count(*) from webhook_inbox where applied_at is null")
            .fetch_one(world.app().store().pool())
            .await
            .unwrap();
    waiting == 0
}

/// Everything of acme's at the simulator.
pub async fn at_stripe(world: &World, what: &str) -> Vec<Value> {
    let state = world
        .sim(Method::GET, "state?account=acct_acme", None)
        .await;
    state["acct_acme"][what].as_array().unwrap().clone()
}

pub async fn forge(world: &World, body: Value) {
    world.sim(Method::POST, "forge", Some(body)).await;
}

/// Lets Stripe say that it kept another fee of the first charge than was recorded when it was booked; answers the booking's id.
pub async fn plant_another_fee(world: &World) -> String {
    world.app().settle(&acme()).await.unwrap();
    let charge = at_stripe(world, "charges").await.remove(0);
    let transaction = charge["balance_transaction"].as_str().unwrap().to_owned();
    forge(world, json!({"id": transaction, "set": {"fee": 1}})).await;
    transaction
}

pub async fn lose(world: &World, id: &str) {
    world
        .sim(Method::POST, "lose", Some(json!({"id": id})))
        .await;
}

pub fn id_of(object: &Value) -> String {
    object["id"].as_str().unwrap().to_owned()
}
