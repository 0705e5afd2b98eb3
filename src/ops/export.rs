//! `counterfoil export`: the journal, balances, events and reports as files. A file is written beside its place and put there
//! once it is whole; on a terminal a bar shows how far it is, in a pipe there are the rows and nothing else.

use aggregates::books::Month;
use aggregates::ids::{MerchantId, ReconciliationId};
use aggregates::ledger::Account;
use aggregates::money::Currency;
use anyhow::{Context as _, bail};
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use eventstore::Reader;
use indicatif::{ProgressBar, ProgressStyle};
use projections::books::{AsOf, Span};
use projections::exports::{EventFilter, JournalFilter, TotalsFilter};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{database_of, events, parked};
use crate::config::Config;
use crate::exports::report;
use crate::exports::{Form, Sheet};
use crate::store::{Export, Exports, WhatToExport};

/// What may be exported.
#[derive(Debug, Subcommand)]
pub enum ExportCommand {
    /// Every line of the journal, in the order in which it was recorded
    Journal {
        #[command(flatten)]
        of: Of,
        /// The time of --as-of is when things happened, by what is known now, and not when they were recorded
        #[arg(long, requires = "as_of")]
        effective: bool,
        /// Only this account
        #[arg(long)]
        account: Option<Account>,
        /// Only this currency
        #[arg(long)]
        currency: Option<Currency>,
        /// Only what is posted in this month, such as 2026-10
        #[arg(long)]
        period: Option<Month>,
        /// Only an order, its payments, and what Stripe booked for them: the order's reference, number or id
        #[arg(long)]
        order: Option<String>,
        #[command(flatten)]
        recorded: Recorded,
        /// What happened from then on, such as 2026-11-01T00:00:00Z
        #[arg(long, value_name = "TIME")]
        effective_from: Option<DateTime<Utc>>,
        /// What happened before
        #[arg(long, value_name = "TIME")]
        effective_before: Option<DateTime<Utc>>,
        /// The merchant's own names of the accounts beside ours
        #[arg(long)]
        chart: bool,
        #[command(flatten)]
        to: To,
    },
    /// What every account came to: the trial balance
    Balances {
        #[command(flatten)]
        of: Of,
        /// The time of --as-of is when things happened, by what is known now, and not when they were recorded
        #[arg(long, requires = "as_of")]
        effective: bool,
        /// Only this account
        #[arg(long)]
        account: Option<Account>,
        /// Only this currency
        #[arg(long)]
        currency: Option<Currency>,
        /// What this month came to, such as 2026-10, after all months before
        #[arg(long)]
        period: Option<Month>,
        /// The merchant's own names of the accounts beside ours
        #[arg(long)]
        chart: bool,
        #[command(flatten)]
        to: To,
    },
    /// Every event; personal data in them is sealed, and stays so
    Events {
        #[command(flatten)]
        of: Of,
        /// Only an order, its payments, and what Stripe booked for them: the order's reference, number or id
        #[arg(long)]
        order: Option<String>,
        #[command(flatten)]
        recorded: Recorded,
        #[command(flatten)]
        to: To,
    },
    /// The report of a reconciliation that has ended, as of its own position
    Report {
        run: ReconciliationId,
        #[arg(long)]
        merchant: MerchantId,
        /// How it is written
        #[arg(long, value_enum, default_value = "words", conflicts_with = "json")]
        format: report::Form,
        /// JSON
        #[arg(long)]
        json: bool,
        /// Where it is put; written to the terminal or pipe unless named
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

/// Whose, and as of when.
#[derive(Debug, Args)]
pub struct Of {
    #[arg(long)]
    merchant: MerchantId,
    /// A position of the ledger, or a time such as 2026-11-21T08:00:00Z
    #[arg(long, value_name = "POSITION|TIME")]
    as_of: Option<String>,
}

/// When it was recorded.
#[derive(Debug, Args)]
pub struct Recorded {
    /// What was recorded from then on, such as 2026-11-01T00:00:00Z
    #[arg(long, value_name = "TIME")]
    recorded_from: Option<DateTime<Utc>>,
    /// What was recorded before
    #[arg(long, value_name = "TIME")]
    recorded_before: Option<DateTime<Utc>>,
}

/// How and where it is written.
#[derive(Debug, Args)]
pub struct To {
    /// How it is written
    #[arg(long, value_enum, default_value = "csv", conflicts_with = "json")]
    format: Form,
    /// One JSON object a line: as --format ndjson
    #[arg(long)]
    json: bool,
    /// Where it is put; written to the terminal or pipe unless named
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl To {
    fn form(&self) -> Form {
        if self.json { Form::Lines } else { self.format }
    }
}

impl ExportCommand {
    fn merchant(&self) -> &MerchantId {
        match self {
            Self::Journal { of, .. } | Self::Balances { of, .. } | Self::Events { of, .. } => {
                &of.merchant
            }
            Self::Report { merchant, .. } => merchant,
        }
    }
}

impl Of {
    fn as_of(&self, effective: bool) -> anyhow::Result<AsOf> {
        super::as_of(self.as_of.as_deref(), effective)
    }
}

impl From<Recorded> for Span {
    fn from(it: Recorded) -> Self {
        Self {
            from: it.recorded_from,
            before: it.recorded_before,
        }
    }
}

/// Exports what is asked for.
///
/// # Errors
/// When there is no such thing, no history of then, or it cannot be written: then there is no file.
pub async fn run(command: ExportCommand, config: &Config, url: &str) -> anyhow::Result<()> {
    let ended = async {
        match command {
            ExportCommand::Report {
                run,
                merchant,
                format,
                json,
                output,
            } => {
                let form = if json { report::Form::Json } else { format };
                report_of(config, url, &merchant, run, form, output.as_deref()).await
            }
            command => books_or_events(command, url).await,
        }
    };
    tokio::select! {
        ended = ended => match ended {
            Err(error) if nobody_reads(&error) => Ok(()),
            ended => ended,
        },
        _ = tokio::signal::ctrl_c() => bail!("stopped: nothing was put in place"),
    }
}

async fn books_or_events(command: ExportCommand, url: &str) -> anyhow::Result<()> {
    let pool = database_of(url, command.merchant(), 3).await?;
    let reader = Reader::new(pool.clone());
    let (of, what, as_of, charted, to) = match command {
        ExportCommand::Journal {
            of,
            effective,
            account,
            currency,
            period,
            order,
            recorded,
            effective_from,
            effective_before,
            chart,
            to,
        } => {
            let order = events::order_named(&reader, &of.merchant, order.as_deref()).await?;
            let filter = JournalFilter {
                account,
                currency,
                period,
                order,
                recorded: recorded.into(),
                effective: Span {
                    from: effective_from,
                    before: effective_before,
                },
            };
            let as_of = of.as_of(effective)?;
            (of, WhatToExport::Journal(filter), as_of, chart, to)
        }
        ExportCommand::Balances {
            of,
            effective,
            account,
            currency,
            period,
            chart,
            to,
        } => {
            let filter = TotalsFilter {
                account,
                currency,
                period,
            };
            let as_of = of.as_of(effective)?;
            (of, WhatToExport::Balances(filter), as_of, chart, to)
        }
        ExportCommand::Events {
            of,
            order,
            recorded,
            to,
        } => {
            let order = events::order_named(&reader, &of.merchant, order.as_deref()).await?;
            let recorded = recorded.into();
            let as_of = of.as_of(false)?;
            let filter = EventFilter { order, recorded };
            (of, WhatToExport::Events(filter), as_of, false, to)
        }
        ExportCommand::Report { .. } => return Ok(()),
    };
    let exports = Exports::new(pool);
    let export = exports.begin(&of.merchant, what, as_of, charted).await?;
    write(export, to.form(), to.output.as_deref()).await
}

async fn write(mut export: Export, form: Form, output: Option<&Path>) -> anyhow::Result<()> {
    let mut sheet = Sheet::new(form, export.head.clone());
    let bar = bar(export.head.rows, output.is_none());
    let mut to = Sink::open(output)?;
    to.write_all(sheet.head().as_bytes())?;
    while let Some(rows) = export.next().await? {
        to.write_all(sheet.rows(&rows)?.as_bytes())?;
        bar.set_position(u64::try_from(sheet.written()).unwrap_or(0));
    }
    to.write_all(sheet.end()?.as_bytes())?;
    to.finish()?;
    bar.finish_and_clear();
    let (rows, position) = (sheet.written(), export.head.ledger_position);
    eprintln!("{rows} rows, up to ledger position {position}");
    for account in sheet.unmapped() {
        eprintln!("{account} has no name in the merchant's chart, and stands under ours");
    }
    Ok(())
}

async fn report_of(
    config: &Config,
    url: &str,
    merchant: &MerchantId,
    run: ReconciliationId,
    form: report::Form,
    output: Option<&Path>,
) -> anyhow::Result<()> {
    let app = parked::app(config, url).await?;
    let written = async {
        let report = app.report(merchant, run).await?;
        let mut to = Sink::open(output)?;
        report::write(report, form, &mut to).await?;
        to.finish()
    };
    let written = written.await;
    parked::close(&app).await;
    written
}

/// Whoever read has gone, as `head` does: there is nothing wrong with that.
fn nobody_reads(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|it| it.kind() == io::ErrorKind::BrokenPipe)
}

/// On a terminal alone, and not where the rows themselves go to it.
fn bar(rows: i64, to_stdout: bool) -> ProgressBar {
    let shows_rows = to_stdout && io::stdout().is_terminal();
    if !io::stderr().is_terminal() || shows_rows {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(u64::try_from(rows).unwrap_or(0));
    let style =
        ProgressStyle::with_template("{bar:40} {human_pos} of {human_len} rows, {eta} to go");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Where it is written to. A file is there once it is whole, and not before.
struct Sink {
    to: Box<dyn Write + Send>,
    file: Option<Partial>,
}

/// A file that is being written beside its place.
struct Partial {
    file: File,
    written: PathBuf,
    place: PathBuf,
}

impl Sink {
    fn open(output: Option<&Path>) -> anyhow::Result<Self> {
        let Some(place) = output else {
            return Ok(Self {
                to: Box::new(BufWriter::new(io::stdout())),
                file: None,
            });
        };
        let partial = Partial::open(place).with_context(|| format!("{}", place.display()))?;
        let file = partial.file.try_clone()?;
        Ok(Self {
            to: Box::new(BufWriter::new(file)),
            file: Some(partial),
        })
    }

    /// Puts the file in its place.
    fn finish(mut self) -> anyhow::Result<()> {
        self.to.flush()?;
        if let Some(partial) = self.file.take() {
            partial.file.sync_all()?;
            fs::rename(&partial.written, &partial.place)
                .with_context(|| format!("{}", partial.place.display()))?;
        }
        Ok(())
    }
}

impl Partial {
    fn open(place: &Path) -> anyhow::Result<Self> {
        let name = place.file_name().context("this is no name of a file")?;
        let beside = format!(".{}.{}", name.to_string_lossy(), std::process::id());
        let written = place.with_file_name(beside);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&written)?;
        Ok(Self {
            file,
            written,
            place: place.to_owned(),
        })
    }
}

impl Drop for Partial {
    /// What is in its place already is not there any more under this name.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.written);
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
        let name = |it: fs::DirEntry| it.file_name().to_string_lossy().into_owned();
        entries.map(name).collect()
    }

    /// Red when a file is written in its place: one that was cut off would be taken for whole.
    #[test]
    fn a_file_is_in_its_place_when_it_is_whole_and_not_before() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("journal.csv");
        fs::write(&place, "yesterday's").unwrap();
        let mut cut_off = Sink::open(Some(&place)).unwrap();
        cut_off.write_all(b"half").unwrap();
        assert_eq!(fs::read_to_string(&place).unwrap(), "yesterday's");
        drop(cut_off);
        assert_eq!(names(folder.path()), ["journal.csv"]);
        let mut whole = Sink::open(Some(&place)).unwrap();
        whole.write_all(b"today's").unwrap();
        whole.finish().unwrap();
        assert_eq!(fs::read_to_string(&place).unwrap(), "today's");
        assert_eq!(names(folder.path()), ["journal.csv"]);
    }
}
