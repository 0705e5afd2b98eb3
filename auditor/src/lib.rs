//! An independent checker: does the database keep what the ledger promises?
//!
//! It is written from the list of promises (I1 to I8 and I10 to I12 of the design; `docs/audit.md` says what each means here) and uses
//! none of the other crates: a mistake in their folding cannot hide here. It reads everything in one snapshot, in memory that does not
//! grow with the log, and writes nothing but temporary tables of its own session.

#![warn(missing_docs)]

mod acknowledged;
mod checks;
mod events;
mod files;
mod fold;
mod report;
mod secrets;
mod shown;
mod spill;

pub use report::{Checked, Invariant, Report, Violation};
pub use secrets::{Canary, Finding};
pub use shown::Simulator;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, PgConnection};
use std::path::PathBuf;
use std::str::FromStr as _;

/// What is to be audited, and beside what.
#[derive(Debug, Clone, Default)]
pub struct Audit {
    /// The database, as a user that may read every table (its owner) and make temporary ones.
    pub database_url: String,
    /// Stripe's look-alike, to compare with what was done there.
    pub simulator: Option<Simulator>,
    /// What callers were told is done: one JSON object a line.
    pub acknowledged: Option<PathBuf>,
    /// PostgreSQL's data directory: its files, the write-ahead log among them, are searched for card numbers and secrets.
    pub wal: Option<PathBuf>,
    /// Logs, exports, dumps: files or directories that are searched for the same.
    pub logs: Vec<PathBuf>,
    /// Texts that must be found nowhere, whatever they are.
    pub canaries: Vec<Canary>,
    /// The faults have ended a minute ago: nothing may be pending but what is parked.
    pub settled: bool,
}

/// Why an audit could not be finished.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The database cannot be read.
    #[error("the database: {0}")]
    Database(#[from] sqlx::Error),
    /// The simulator does not show its state.
    #[error("the simulator: {0}")]
    Simulator(#[from] reqwest::Error),
    /// A file cannot be read.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A line of the acknowledged file is not as documented.
    #[error("{path}, line {line}: {why}")]
    Acknowledged {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// The simulator shows something that cannot be read.
    #[error("the simulator: {0}")]
    Unreadable(String),
}

/// Who is shown how far an audit has come.
pub trait Progress {
    /// `done` of `all` events are read.
    fn read(&mut self, done: u64, all: u64);
    /// What is done now, in a word or two.
    fn step(&mut self, what: &str);
}

/// Nobody looks.
impl Progress for () {
    fn read(&mut self, _done: u64, _all: u64) {}
    fn step(&mut self, _what: &str) {}
}

/// Audits. What is wrong is in the report; an error says that the audit could not be finished.
///
/// # Errors
/// [`AuditError`].
pub async fn verify(audit: &Audit, progress: &mut impl Progress) -> Result<Report, AuditError> {
    let options = PgConnectOptions::from_str(&audit.database_url)?
        .application_name("counterfoil-audit")
        // A statement that joins the whole log is long, and no warning.
        .disable_statement_logging();
    let mut connection = PgConnection::connect_with(&options).await?;
    let report = in_session(audit, &mut connection, progress).await;
    // The session ends here, and its temporary tables with it.
    let _ = connection.close().await;
    report
}

/// The tables that a rebuild may exchange.
const HELD: &str = "lock table orders, payments, refunds, balances, stripe_requests, payouts, balance_transactions, bank_lines, \
     offers, articles, parked, journal in access share mode";

/// How many events are worth planning for.
const PLANNED_FROM: u64 = 5000;

async fn in_session(
    audit: &Audit,
    connection: &mut PgConnection,
    progress: &mut impl Progress,
) -> Result<Report, AuditError> {
    connection
        .execute("set client_min_messages = warning; set jit = off")
        .await?;
    connection.execute(spill::TABLES).await?;
    if let Some(path) = &audit.acknowledged {
        acknowledged::load(connection, path).await?;
    }
    if let Some(simulator) = &audit.simulator {
        progress.step("reading Stripe");
        shown::load(connection, simulator).await?;
    }
    connection
        .execute("begin transaction isolation level repeatable read read only")
        .await?;
    // A table that takes another's place after the snapshot would be empty in it: what is read is held before that.
    connection.execute(HELD).await?;
    let mut out = fold::Out::new(Report::new());
    read_log(connection, &mut out, progress).await?;
    let mut report = out.report;
    progress.step("asking");
    // The planner knows nothing of tables that were filled just now; small ones need no plan.
    if report.events > PLANNED_FROM {
        connection.execute(spill::ANALYZE).await?;
    }
    let asked = checks::Asked {
        stripe: audit.simulator.is_some(),
        settled: audit.settled,
        acknowledged: audit.acknowledged.is_some(),
    };
    checks::ask(connection, &asked, &mut report).await?;
    progress.step("looking for card numbers and secrets");
    files::search_tables(connection, &audit.canaries, &mut report).await?;
    connection.execute("rollback").await?;
    files::search_files(audit, &mut report)?;
    leave_out(audit, &mut report);
    Ok(report)
}

/// Folds the log, stream by stream.
async fn read_log(
    connection: &mut PgConnection,
    out: &mut fold::Out,
    progress: &mut impl Progress,
) -> Result<(), AuditError> {
    let head: Option<i64> = sqlx::query_scalar("select max(position) from events")
        .fetch_one(&mut *connection)
        .await?;
    let all = u64::try_from(head.unwrap_or_default()).unwrap_or_default();
    let mut pages = events::Pages::default();
    let mut stream: Option<fold::Stream> = None;
    let mut done = 0;
    loop {
        let page = pages.next(connection).await?;
        if page.is_empty() {
            break;
        }
        for event in &page {
            let ended = stream.take_if(|it| !it.holds(event));
            if let Some(ended) = ended {
                ended.end(out);
            }
            stream
                .get_or_insert_with(|| fold::Stream::begin(event))
                .take(event, out);
            done += 1;
        }
        out.flush(connection, false).await?;
        progress.read(done, all);
    }
    if let Some(last) = stream {
        last.end(out);
    }
    out.flush(connection, true).await?;
    out.report.events = done;
    out.report.count(Invariant::I7, "events", done);
    out.report.count(Invariant::I10, "events", done);
    Ok(())
}

/// What nobody asked to be looked at is said, so that no silence is taken for a yes.
fn leave_out(audit: &Audit, report: &mut Report) {
    if audit.acknowledged.is_none() {
        report.leave_out(Invariant::I1, "no list of what was acknowledged was given");
    }
    if audit.simulator.is_none() {
        report.leave_out(Invariant::I3, "Stripe's side was not compared");
    }
    if audit.wal.is_none() {
        report.leave_out(Invariant::I11, "the write-ahead log was not searched");
    }
    if audit.logs.is_empty() {
        report.leave_out(Invariant::I11, "no log was searched");
    }
    if !audit.settled {
        report.leave_out(Invariant::I12, "it was not said that all faults have ended");
    }
}
