//! What a killed simulator remembers, and what its files hold.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::receiver::Receiver;
use crate::support::{Api, SECRET_KEY, config, start_with, text, with_form};
use simulator::Simulator;

struct Process {
    child: Child,
    url: String,
}

impl Process {
    fn start(config: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_simulator"))
            .arg("--config")
            .arg(config)
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let url = line
            .trim()
            .strip_prefix("listening on ")
            .expect("its address")
            .to_owned();
        Self { child, url }
    }

    /// kill -9
    fn kill(mut self) {
        self.child.kill().expect("it was running");
        self.child.wait().expect("it ends");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have been killed already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn dump(api: &Api) -> Value {
    api.own(Method::GET, "state", Value::Null).await
}

fn files(dir: &Path) -> String {
    let entries = std::fs::read_dir(dir).expect("a directory");
    let texts =
        entries.map(|it| std::fs::read_to_string(it.expect("an entry").path()).expect("text"));
    texts.collect()
}

/// A customer, a dispute, a payout, and a checkout on which a card was declined.
async fn one_of_each_other_kind(api: &Api) {
    api.post("v1/customers", &[("name", "Ada")]).await.ok();
    let intent = api.paid("pm_card_visa").await;
    let charge = json!({ "charge": intent["latest_charge"], "inquiry": true });
    api.own(Method::POST, "disputes", charge).await;
    api.advance(2 * 24 * 3_600).await;
    let automatic = json!({ "automatic": true });
    let payouts = api.own(Method::POST, "payouts", automatic).await;
    assert_eq!(payouts["payouts"].as_array().map(Vec::len), Some(1));
    let form = [
        ("mode", "payment"),
        ("ui_mode", "embedded"),
        ("return_url", "https://shop.example/"),
        ("line_items[][price_data][currency]", "usd"),
        ("line_items[][price_data][unit_amount]", "500"),
        ("line_items[][price_data][product_data][name]", "Tea"),
    ];
    let session = api.post("v1/checkout/sessions", &form).await.ok();
    let form = [
        ("action", "pay"),
        ("email", "ada@example.com"),
        ("method", "pm_card_chargeDeclined"),
    ];
    let path = format!("_sim/checkout/{}", text(&session, "client_secret"));
    let declined = with_form(api.request(Method::POST, &path), &form).send();
    assert_eq!(declined.await.expect("an answer").status(), 402);
}

#[tokio::test]
async fn a_killed_simulator_has_lost_nothing_that_it_answered_and_kept_nothing_secret() {
    // Turned red by answering before the journal is written, or by writing client secrets or card numbers to it.
    let dir = tempfile::tempdir().expect("a directory");
    let state_dir = dir.path().join("state");
    let file = dir.path().join("config.json");
    let config = json!({
        "accounts": [{
            "id": "acct_one",
            "secret_key": SECRET_KEY,
            "planted_intents": [{ "id": "pi_1234XXX", "client_secret": "pi_1234XXX_secret_5678YYY", "amount": 5900, "currency": "eur" }],
        }],
        "state_dir": state_dir,
        "seed": 7,
        "later_s": 3600,
    });
    std::fs::write(&file, config.to_string()).expect("written");

    let process = Process::start(&file);
    let api = Api::new(&process.url, SECRET_KEY);
    one_of_each_other_kind(&api).await;
    let form = [
        ("amount", "1000"),
        ("currency", "usd"),
        ("confirm", "true"),
        ("payment_method_data[type]", "card"),
        ("payment_method_data[card][number]", "4000000000007726"),
        ("payment_method_data[card][exp_month]", "12"),
        ("payment_method_data[card][exp_year]", "2050"),
        ("payment_method_data[card][cvc]", "987"),
    ];
    let paid = api.post_with_key("v1/payment_intents", &form, "one").await;
    assert_eq!(paid.status, 200);
    let refund = api
        .post("v1/refunds", &[("payment_intent", text(&paid.body, "id"))])
        .await
        .ok();
    let declined = api
        .intent(&[
            ("confirm", "true"),
            ("payment_method", "pm_card_chargeDeclined"),
        ])
        .await;
    assert_eq!(declined.status, 402);
    api.advance(60).await;
    let before = dump(&api).await;
    process.kill();

    let written = files(&state_dir);
    for secret in ["4000000000007726", "_secret_", "\"987\"", SECRET_KEY] {
        assert!(
            !written.contains(secret),
            "{secret} is in the state directory"
        );
    }

    let process = Process::start(&file);
    let api = Api::new(&process.url, SECRET_KEY);
    assert_eq!(dump(&api).await, before);
    let again = api.post_with_key("v1/payment_intents", &form, "one").await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.text, paid.text, "the client secret is the same too");
    let clock = api.own(Method::GET, "clock", Value::Null).await;
    assert_eq!(clock["ahead_s"], 60 + 2 * 24 * 3_600);
    // What was due is still due, and new ids do not repeat old ones.
    api.advance(3_600).await;
    let path = format!("v1/refunds/{}", text(&refund, "id"));
    assert_eq!(text(&api.get(&path).await.ok(), "status"), "succeeded");
    let fresh = api.intent(&[]).await.ok();
    assert!(!before.to_string().contains(text(&fresh, "id")));
}

#[tokio::test]
async fn an_event_that_was_not_delivered_is_delivered_after_a_restart() {
    // Turned red by keeping what is to be delivered in memory only.
    let dir = tempfile::tempdir().expect("a directory");
    let mut receiver = Receiver::start().await;
    let mut config = config();
    config.state_dir = Some(dir.path().to_owned());
    config.accounts[0].webhook_endpoints = vec![simulator::WebhookEndpoint::new(
        &receiver.url,
        "whsec_of_the_test",
    )];
    let (running, api) = start_with(config.clone()).await;
    api.own(Method::POST, "webhooks", json!({ "paused": true }))
        .await;
    api.intent(&[]).await.ok();
    running.stop().await;
    assert!(receiver.is_empty());
    let (_running, _api) = start_with(config).await;
    assert_eq!(receiver.next().await.event_type(), "payment_intent.created");
}

#[tokio::test]
async fn a_torn_last_line_is_a_transaction_that_was_never_answered() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut config = config();
    config.state_dir = Some(dir.path().to_owned());
    let (running, api) = start_with(config.clone()).await;
    let kept = api.intent(&[]).await.ok();
    running.stop().await;
    let journal = dir.path().join("acct_one.ndjson");
    let whole = std::fs::read(&journal).expect("a journal");
    let torn = [whole.as_slice(), &whole[..whole.len() / 2]].concat();
    std::fs::write(&journal, torn.strip_suffix(b"\n").unwrap_or(&torn)).expect("written");
    let (_running, api) = start_with(config).await;
    let listed = api.get("v1/payment_intents").await.ok();
    assert_eq!(listed["data"][0], kept);
}

#[tokio::test]
async fn a_state_directory_belongs_to_one_simulator() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut config = config();
    config.state_dir = Some(dir.path().to_owned());
    let (running, _api) = start_with(config.clone()).await;
    assert!(Simulator::start(config.clone()).await.is_err());
    running.stop().await;
    assert!(Simulator::start(config).await.is_ok());
}

#[tokio::test]
async fn one_seed_makes_the_same_ids() {
    let mut config = config();
    config.seed = 42;
    let (_one, first) = start_with(config.clone()).await;
    let (_other, second) = start_with(config).await;
    let (first, second) = (first.intent(&[]).await.ok(), second.intent(&[]).await.ok());
    assert_eq!(first["id"], second["id"]);
}
