//! `counterfoil audit verify`: the independent checker, and what it found, in words or as JSON.

use anyhow::Context as _;
use auditor::{Audit, Canary, Progress, Report, Simulator};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::events::Form;
use super::{fixtures, print};
use crate::config::{Config, StripeAccounts};

/// What is to be audited besides the database.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Beside {
    /// Compare with what was done at this simulator, such as http://127.0.0.1:12111/
    #[arg(long, value_name = "URL")]
    pub simulator: Option<String>,
    /// What callers were told is done, one JSON object a line (docs/audit.md)
    #[arg(long, value_name = "FILE")]
    pub acknowledged: Option<PathBuf>,
    /// PostgreSQL's data directory: search its files, the write-ahead log among them, for card numbers and secrets
    #[arg(long, value_name = "DIRECTORY")]
    pub wal: Option<PathBuf>,
    /// Search these logs, exports and dumps as well: files or directories
    #[arg(long, value_name = "PATH")]
    pub logs: Vec<PathBuf>,
    /// Texts that must be found nowhere, one a line
    #[arg(long, value_name = "FILE")]
    pub canary: Option<PathBuf>,
    /// All faults have ended a minute ago: nothing may be pending but what is parked
    #[arg(long)]
    pub settled: bool,
}

/// Audits and prints what was found. Whether nothing is wrong.
///
/// # Errors
/// When the audit could not be finished.
pub async fn verify(
    config: &Config,
    url: &str,
    beside: Beside,
    form: Form,
) -> anyhow::Result<bool> {
    // Another part of the process may have installed the provider already; either is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let simulator = match &beside.simulator {
        Some(at) => Some(simulator(&config.stripe, url, at).await?),
        None => None,
    };
    let audit = Audit {
        database_url: url.to_owned(),
        simulator,
        acknowledged: beside.acknowledged,
        wal: beside.wal,
        logs: beside.logs,
        canaries: match &beside.canary {
            Some(path) => canaries(path)?,
            None => vec![],
        },
        settled: beside.settled,
    };
    let mut bar = Bar::new();
    let report = auditor::verify(&audit, &mut bar).await;
    bar.0.finish_and_clear();
    let report = report?;
    let text = match form {
        Form::Json => format!("{}\n", in_json(&report)),
        Form::Words => in_words(&report),
    };
    print(&text)?;
    Ok(report.is_clean())
}

/// Which account at the simulator is whose: as configured, or the one that is named for the merchant.
///
/// # Errors
/// When the simulator or the database does not answer.
pub async fn simulator(
    configured: &StripeAccounts,
    database: &str,
    at: &str,
) -> anyhow::Result<Simulator> {
    let url = format!("{}/", at.trim_end_matches('/'));
    let health = reqwest::get(format!("{url}_sim/health")).await;
    let health: Value = health.context("the simulator")?.json().await?;
    let there: Vec<String> = serde_json::from_value(health["accounts"].clone())
        .context("the simulator does not say which accounts it has")?;
    let pool = eventstore::pool(database, eventstore::Role::Owner, 1).await?;
    let merchants: Vec<(String, String)> =
        sqlx::query_as("select id, stripe_account from merchants order by id")
            .fetch_all(&pool)
            .await?;
    pool.close().await;
    let account_of = |merchant: &str, name: &str| {
        let account = match name {
            "default" => configured.default.as_ref(),
            named => configured.named.get(named),
        };
        let id = account.and_then(|it| it.account_id.clone());
        id.unwrap_or_else(|| fixtures::simulator_account_id(merchant))
    };
    let accounts = merchants
        .into_iter()
        .map(|(merchant, name)| (merchant.clone(), account_of(&merchant, &name)))
        .filter(|(_, account)| there.contains(account))
        .collect();
    Ok(Simulator { url, accounts })
}

fn canaries(path: &Path) -> anyhow::Result<Vec<Canary>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let canary = |line: &str| Canary::new(line).context("a canary has 6 to 511 bytes");
    lines.map(canary).collect()
}

/// The report as one JSON object.
fn in_json(report: &Report) -> Value {
    json!({
        "clean": report.is_clean(),
        "events": report.events,
        "checked": report.checked,
        "violations": report.violations,
    })
}

/// A line for each promise, and one for each violation below it.
pub fn in_words(report: &Report) -> String {
    let mut text = String::new();
    for (invariant, checked) in &report.checked {
        let counted: Vec<_> = checked
            .counted
            .iter()
            .map(|(what, many)| format!("{many} {what}"))
            .collect();
        let verdict = match checked.violations {
            0 if counted.is_empty() => "not checked".to_owned(),
            0 => "ok".to_owned(),
            1 => "1 VIOLATION".to_owned(),
            many => format!("{many} VIOLATIONS"),
        };
        text += &format!(
            "{:<4} {:<14} {}",
            invariant.to_string(),
            verdict,
            invariant.says()
        );
        if !counted.is_empty() {
            text += &format!(" ({})", counted.join(", "));
        }
        for why in &checked.left_out {
            text += &format!("; {why}");
        }
        text.push('\n');
        let told = report
            .violations
            .iter()
            .filter(|it| it.invariant == *invariant);
        for violation in told {
            text += &format!("     {violation}\n");
        }
    }
    text
}

/// A bar on a terminal, and nothing elsewhere.
struct Bar(ProgressBar);

impl Bar {
    fn new() -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let bar = ProgressBar::new(0);
        let style = ProgressStyle::with_template(
            "{msg} {bar:40} {human_pos} of {human_len} events, {per_sec}, {eta} to go",
        );
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message("reading the log");
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }
}

impl Progress for Bar {
    fn read(&mut self, done: u64, all: u64) {
        self.0.set_length(all);
        self.0.set_position(done);
    }

    fn step(&mut self, what: &str) {
        self.0.set_message(what.to_owned());
    }
}
