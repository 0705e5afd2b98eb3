//! Reconciliation of an account with 10,000 payments and of one with five times as many: how many payments a second, and how much
//! memory the process needs at its peak. It is to need no more, and to be no slower, however many there are.
//!
//! The payments are made through the service, by card, against the simulator; `counterfoil reconcile` is a process of its own.
//! `FIGURES_PAYMENTS` is how many the smaller account has (10000 unless told).

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use counterfoil::config::Key32;
use counterfoil::gateway::GatewayOptions;
use counterfoil::http::server::Limits;
use counterfoil::ids::Ids;
use counterfoil::ops::{fixtures, sandbox};
use counterfoil::outbound;
use counterfoil::service::{Opened, Parts, Service};
use counterfoil::use_cases::{Options, Recovery};
use futures::stream::{self, StreamExt, TryStreamExt};
use serde_json::{Value, json};
use simulator::{Config, Running, Simulator, WebhookEndpoint};
use tokio::net::TcpListener;

use crate::measure::per_second;
use crate::report::{Figure, Goal};

const SEAL_KEY: [u8; 32] = [7; 32];
/// How much larger the larger account is.
const TIMES: u64 = 5;
/// So many payments at once.
const CALLERS: usize = 32;
/// How often the process is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What a reconciliation took.
struct Took {
    payments: u64,
    elapsed: Duration,
    /// Kibibytes of resident memory at the peak.
    peak_kib: u32,
}

/// A reconciliation of either account, each in a database of its own.
///
/// # Errors
/// When it cannot be measured, or finds anything.
pub async fn figures(smaller: String, larger: String) -> Result<Vec<Figure>> {
    let payments = std::env::var("FIGURES_PAYMENTS").unwrap_or_else(|_| "10000".to_owned());
    let payments: u64 = payments
        .parse()
        .context("FIGURES_PAYMENTS is a whole number")?;
    let few = reconciled(&smaller, payments).await?;
    let many = reconciled(&larger, payments * TIMES).await?;
    let rate = |it: &Took| per_second(it.payments, it.elapsed);
    let megabytes = |it: &Took| f64::from(it.peak_kib) / 1024.0;
    Ok(vec![
        Figure {
            name: format!("reconciliation, payments/s at {}", many.payments),
            ours: rate(&many),
            beside: "the same with a fifth of them",
            theirs: Some(rate(&few)),
            goal: Goal::AtLeast {
                floor: 0.8,
                aim: 1.0,
            },
        },
        Figure {
            name: format!("reconciliation, peak MB at {}", many.payments),
            ours: megabytes(&many),
            beside: "the same with a fifth of them",
            theirs: Some(megabytes(&few)),
            goal: Goal::AtMost {
                floor: 1.25,
                aim: 1.05,
            },
        },
    ])
}

async fn reconciled(database_url: &str, payments: u64) -> Result<Took> {
    eprintln!("{payments} payments to be reconciled …");
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let accounts =
        fixtures::simulator_accounts(|_| WebhookEndpoint::new("http://127.0.0.1:9/", ""));
    let mut config = Config::new(accounts);
    // What Stripe tells is in its answers; webhooks are measured elsewhere.
    config
        .accounts
        .iter_mut()
        .for_each(|it| it.webhook_endpoints.clear());
    let simulator = Simulator::start(config).await?;
    let service = service(listener, database_url, &simulator).await?;
    pay(&service, payments).await?;
    let acme = "acme".parse()?;
    let settled = service.app.settle(&acme).await?;
    ensure!(settled.recorded == payments, "{settled:?}");
    eprintln!("reconciling them …");
    let began = Instant::now();
    let child = program(database_url, &simulator).spawn()?;
    let peak_kib = tokio::task::spawn_blocking(move || watch(child)).await??;
    let elapsed = began.elapsed();
    service.stop().await;
    simulator.stop().await;
    Ok(Took {
        payments,
        elapsed,
        peak_kib,
    })
}

async fn service(
    listener: TcpListener,
    database_url: &str,
    simulator: &Running,
) -> Result<Service> {
    let metrics = metrics_exporter_prometheus::PrometheusBuilder::new()
        .build_recorder()
        .handle();
    let parts = Parts {
        listener,
        public_url: None,
        database_url: database_url.to_owned(),
        seal_key: Key32::new(SEAL_KEY),
        accounts: sandbox::accounts(&simulator.url().parse()?),
        webhook_secrets: sandbox::webhook_secrets(&Key32::new(SEAL_KEY)),
        gateway: GatewayOptions::with_timeout(Duration::from_secs(20)),
        options: Options::default(),
        outbound: outbound::Options::default(),
        recovery: Recovery::default(),
        settle_every: None,
        reconcile_every: None,
        limits: Limits::default(),
        ids: Ids::system(),
        metrics,
    };
    let opened = Opened::new(parts).await?;
    fixtures::load(&opened.app).await?;
    Ok(opened.serve()?)
}

/// Payments by card, confirmed at once.
async fn pay(service: &Service, payments: u64) -> Result<()> {
    let url = format!("http://{}/v1/payment_intents", service.address());
    let http = reqwest::Client::new();
    let paid = (0..payments).map(|number| {
        let body = json!({"amount": 1_000 + number % 90_000, "currency": "usd", "confirm": true,
            "payment_method": "pm_card_visa", "return_url": "https://shop.example"});
        let request = http.post(&url).bearer_auth("sk_test_acme").json(&body);
        async move {
            let intent: Value = request.send().await?.json().await?;
            ensure!(intent["status"] == "succeeded", "{intent}");
            Ok(())
        }
    });
    stream::iter(paid)
        .buffer_unordered(CALLERS)
        .try_collect::<Vec<()>>()
        .await?;
    Ok(())
}

fn program(database_url: &str, simulator: &Running) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_counterfoil"));
    command
        .env_clear()
        .args(["reconcile", "--merchant", "acme", "--json"])
        .env("DATABASE_URL", database_url)
        .env("COUNTERFOIL_SEAL_KEY", hex::encode(SEAL_KEY))
        .env("COUNTERFOIL_SIGNING_KEY", hex::encode(SEAL_KEY))
        .env("STRIPE_ACME_SECRET_KEY", fixtures::simulator_key("acme"))
        .env("STRIPE_ACME_API_BASE", simulator.url())
        .env(
            "STRIPE_ACME_ACCOUNT_ID",
            fixtures::simulator_account_id("acme"),
        )
        .env(
            "STRIPE_ACME_PUBLISHABLE_KEY",
            fixtures::simulator_publishable_key("acme"),
        )
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

/// Waits until the process has ended without a break; its peak of resident memory in kibibytes, zero where the system does not tell.
fn watch(mut child: Child) -> Result<u32> {
    let mut peak_kib = 0;
    loop {
        peak_kib = peak_kib.max(peak_of(child.id()).unwrap_or(0));
        if let Some(status) = child.try_wait()? {
            ensure!(status.success(), "the reconciliation ended with {status}");
            return Ok(peak_kib);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn peak_of(process: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|it| it.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
