//! `counterfoil reconcile`: our books beside Stripe's.

use aggregates::ids::{MerchantId, ReconciliationId};
use aggregates::metadata::Actor;
use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal as _;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

use super::parked;
use crate::config::Config;
use crate::exports::report::{self, Form};
use crate::journal;
use crate::use_cases::{App, ReconcileError, ReconcileSeen};

/// What is to be compared, and how it is shown.
#[derive(Debug, Clone, clap::Args)]
pub struct Wanted {
    /// Whose account; every merchant's unless named
    #[arg(long)]
    pub merchant: Option<MerchantId>,
    /// Amounts that differ by no more than so many minor units are counted and are no breaks
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..=1_000_000))]
    pub tolerance: i64,
    /// Compare again what this run compared, and prove that it comes to the same
    #[arg(
        long,
        value_name = "RUN",
        requires = "merchant",
        conflicts_with = "tolerance"
    )]
    pub repeat: Option<ReconciliationId>,
    /// The report of the last run that had compared what was recorded up to this point: a position of the ledger, or a time such
    /// as 2026-11-21T08:00:00Z. Nothing is compared
    #[arg(
        long,
        value_name = "POSITION|TIME",
        requires = "merchant",
        conflicts_with_all = ["tolerance", "repeat"]
    )]
    pub as_of: Option<String>,
    /// The report as JSON
    #[arg(long, group = "form")]
    pub json: bool,
    /// The report as CSV
    #[arg(long, group = "form")]
    pub csv: bool,
    /// The report as a page of HTML
    #[arg(long, group = "form")]
    pub html: bool,
}

impl Wanted {
    fn form(&self) -> Form {
        match (self.json, self.csv, self.html) {
            (true, ..) => Form::Json,
            (_, true, _) => Form::Csv,
            (.., true) => Form::Html,
            _ => Form::Words,
        }
    }
}

/// Compares and prints the report. Whether no break waits for people.
///
/// # Errors
/// When a run could not be finished; it goes on when the command is given again.
pub async fn run(config: &Config, url: &str, wanted: Wanted) -> anyhow::Result<bool> {
    // Another part of the process may have installed the provider already; either is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let app = parked::app(config, url).await?;
    // Where no service runs, the journal is caught up by this.
    let journal = journal::follow(app.store());
    let stop = stopped_by_signals();
    let compared = compare(&app, &wanted, &stop).await;
    journal.stop().await;
    parked::close(&app).await;
    compared
}

async fn compare(app: &App, wanted: &Wanted, stop: &CancellationToken) -> anyhow::Result<bool> {
    let merchants = match &wanted.merchant {
        Some(it) => vec![it.clone()],
        None => app.store().merchants_to_settle().await?,
    };
    let mut clean = true;
    for merchant in merchants {
        let of_one = match (wanted.repeat, &wanted.as_of) {
            (Some(run), _) => repeat(app, &merchant, run, wanted, stop).await,
            (None, Some(as_of)) => past(app, &merchant, as_of, wanted).await,
            (None, None) => fresh(app, &merchant, wanted, stop).await,
        };
        clean &= of_one.with_context(|| format!("the account of {merchant}"))?;
    }
    Ok(clean)
}

async fn fresh(
    app: &App,
    merchant: &MerchantId,
    wanted: &Wanted,
    stop: &CancellationToken,
) -> anyhow::Result<bool> {
    let actor = Actor {
        name: format!("operator:{}", whoami()),
        key_id: None,
        door: "cli".to_owned(),
    };
    let bar = bar();
    let shown = bar.clone();
    let watch = move |seen| show(&shown, &seen);
    let run = app
        .reconcile(merchant, actor, wanted.tolerance, stop, watch)
        .await;
    bar.finish_and_clear();
    let run = match run {
        Ok(run) => run,
        // Whoever asks for all of them means those that have an account here.
        Err(ReconcileError::NoAccount) if wanted.merchant.is_none() => return Ok(true),
        Err(error) => return Err(error.into()),
    };
    let report = app.report(merchant, run).await?;
    let open = report::write(report, wanted.form(), &mut std::io::stdout().lock()).await?;
    Ok(open == 0)
}

/// What the last run of then had to say.
async fn past(
    app: &App,
    merchant: &MerchantId,
    as_of: &str,
    wanted: &Wanted,
) -> anyhow::Result<bool> {
    let as_of = super::as_of(Some(as_of), false)?;
    let run = app.run_as_of(merchant, as_of).await?;
    let report = app.report(merchant, run).await?;
    let open = report::write(report, wanted.form(), &mut std::io::stdout().lock()).await?;
    Ok(open == 0)
}

async fn repeat(
    app: &App,
    merchant: &MerchantId,
    run: ReconciliationId,
    wanted: &Wanted,
    stop: &CancellationToken,
) -> anyhow::Result<bool> {
    let bar = bar();
    let shown = bar.clone();
    let repeated = app
        .repeat_run(merchant, run, stop, move |seen| show(&shown, &seen))
        .await;
    bar.finish_and_clear();
    let repeated = repeated?;
    let came_to = repeated.came_to.clone();
    let (report, kept) = repeated.into_parts();
    let written = report::write(report, wanted.form(), &mut std::io::stdout().lock()).await;
    kept.forget().await?;
    let open = written?;
    if !came_to.is_the_same() {
        let (now, then) = (came_to.report_hash, came_to.expected);
        bail!("the repeated report ({now}) is not the one that the run was closed with ({then})");
    }
    Ok(open == 0)
}

/// Ends a step early at Ctrl-C: the run goes on when it is asked for again.
pub(super) fn stopped_by_signals() -> CancellationToken {
    let stop = CancellationToken::new();
    let told = stop.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            told.cancel();
        }
    });
    stop
}

fn whoami() -> String {
    std::env::var("USER").unwrap_or_else(|_| "unknown".to_owned())
}

/// On a terminal alone: a pipe gets the report and nothing else.
fn bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    bar.set_style(ProgressStyle::default_spinner());
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

fn show(bar: &ProgressBar, seen: &ReconcileSeen) {
    bar.set_message(format!("{} … {}", seen.doing, seen.done));
}
