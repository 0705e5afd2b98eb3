//! `reconciliations`: runs that compared the books with Stripe's; and their breaks, which one person resolves and another approves.

use aggregates::ids::ReconciliationId;
use aggregates::money::Money;
use aggregates::reconciliation::{Break, Run};
use axum::extract::{Request, State};
use chrono::{DateTime, Utc};
use http::StatusCode;
use serde::Serialize;
use uuid::Uuid;

use super::NAME;
use super::books::point;
use super::call::{Answer, Call, Said, json, outcome};
use super::error::no_such;
use super::fields::{self, Fields};
use super::shapes::List;
use crate::http::problem::Problem;
use crate::store::{BreakRow, RunRow, Scope};
use crate::use_cases::{App, BreakChange, CameTo, NoRepeat, ReconcileError};

const RUNS: &str = "reconciliations";
const BREAKS: &str = "reconciliation_breaks";
/// In characters.
const OWNER_LENGTH_MAX: usize = 200;
const REASON_LENGTH_MAX: usize = 500;
const TOLERANCE_MAX_MINOR: u32 = 1_000_000;

#[derive(Serialize)]
struct RunShown {
    object: &'static str,
    id: Uuid,
    status: String,
    at: DateTime<Utc>,
    tolerance_minor: i64,
    ledger_position: Option<i64>,
    snapshot_hash: Option<String>,
    healed: Option<i64>,
    payments: Option<i64>,
    breaks: Option<i64>,
    report_hash: Option<String>,
}

#[derive(Serialize)]
struct RepeatShown {
    object: &'static str,
    run: Uuid,
    /// `identical`, `different`, or `altered`: what was kept of Stripe's answers is not what the run compared.
    state: &'static str,
    /// Of what was made now; none of what was altered.
    report_hash: Option<String>,
    /// What the run was closed with.
    expected_report_hash: Option<String>,
    payments: Option<i64>,
    breaks: Option<i64>,
}

#[derive(Serialize)]
struct BreakShown {
    object: &'static str,
    id: Uuid,
    run: Uuid,
    class: String,
    subject: String,
    part: String,
    ours: Option<AmountShown>,
    theirs: Option<AmountShown>,
    says: String,
    since: DateTime<Utc>,
    due: Option<DateTime<Utc>>,
    first_seen: DateTime<Utc>,
    status: String,
    owner: Option<String>,
    reason: Option<String>,
    resolved_by: Option<String>,
    approved_by: Option<String>,
}

#[derive(Serialize)]
struct AmountShown {
    minor: i64,
    currency: String,
}

/// Runs of the caller's merchant, newest first; as of a point, those that had ended and compared what was recorded by then.
pub async fn list(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::LedgerRead).await?;
    let mut query = call.query()?;
    let (limit, after) = (query.limit(), query.after::<ReconciliationId>(RUNS));
    let as_of = point(&mut query);
    query.end()?;
    let merchant = &call.caller.merchant.id;
    let found = call
        .app
        .reconciliation_runs(merchant, as_of, after, limit + 1)
        .await?;
    let shown = List::new(
        RUNS,
        page(found, limit),
        |row| row.run_id.to_string(),
        RunShown::from,
    );
    json(StatusCode::OK, &shown)
}

/// Compares the books with Stripe's, for as long as that takes.
pub async fn open(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::PaymentsWrite).await?;
    let Said { call, body, key } = call.read()?;
    let tolerance_minor = fields::read(&body, |fields| {
        fields.optional_count("tolerance_minor", 0, TOLERANCE_MAX_MINOR)
    })?;
    let tolerance_minor = i64::from(tolerance_minor.unwrap_or(0));
    let (id, done) = call
        .app
        .open_reconciliation(&call.caller, NAME, tolerance_minor, key)
        .await?;
    let location = format!("/ledger/v1/reconciliations/{id}");
    // What is open already goes on, so that it was made is no news.
    outcome(
        (false, done.replayed),
        &location,
        &RunShown::of(id, done.it),
    )
}

/// One run.
pub async fn get(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::LedgerRead).await?;
    call.query()?.end()?;
    let id = named(&call, "reconciliation")?;
    let run = call
        .app
        .reconciliation_run(&call.caller.merchant.id, id)
        .await?;
    json(StatusCode::OK, &RunShown::of(id, run))
}

/// Compares again what a run that has ended compared, and says whether it comes to the same, to the byte.
pub async fn repeat(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::LedgerRead).await?;
    call.query()?.end()?;
    let id = named(&call, "reconciliation")?;
    let (app, merchant) = (&call.app, &call.caller.merchant.id);
    let run = app.reconciliation_run(merchant, id).await?;
    let repeated = match app.repeat_for(merchant, id).await {
        Ok(repeated) => Some(repeated),
        Err(NoRepeat::Reconcile(ReconcileError::Altered)) => None,
        Err(error) => return Err(error.into()),
    };
    json(StatusCode::OK, &RepeatShown::of(id, run, repeated))
}

/// What does not agree, by id.
pub async fn list_breaks(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::LedgerRead).await?;
    let mut query = call.query()?;
    let (limit, after) = (query.limit(), query.after::<ReconciliationId>(BREAKS));
    let status = query.word("status", &["open", "resolved", "approved", "gone"]);
    query.end()?;
    let merchant = &call.caller.merchant.id;
    let found = call
        .app
        .reconciliation_breaks(merchant, status.as_deref(), after, limit + 1)
        .await?;
    let shown = List::new(
        BREAKS,
        page(found, limit),
        |row| row.break_id.to_string(),
        BreakShown::from,
    );
    json(StatusCode::OK, &shown)
}

/// One break.
pub async fn get_break(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::LedgerRead).await?;
    call.query()?.end()?;
    let id = named(&call, "break")?;
    let found = call
        .app
        .reconciliation_break(&call.caller.merchant.id, id)
        .await?;
    json(StatusCode::OK, &BreakShown::of(id, found))
}

/// Says whose it is to look into.
pub async fn assign(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::PaymentsWrite).await?;
    change(call, |fields| BreakChange::Assign {
        owner: fields.text("owner", OWNER_LENGTH_MAX),
    })
    .await
}

/// Gives the reason.
pub async fn resolve(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::PaymentsWrite).await?;
    change(call, |fields| BreakChange::Resolve {
        reason: fields.text("reason", REASON_LENGTH_MAX),
    })
    .await
}

/// Agrees to the reason that another gave.
pub async fn approve(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::Approve).await?;
    change(call, |_| BreakChange::Approve).await
}

/// Does not agree to it.
pub async fn refuse(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::Approve).await?;
    change(call, |fields| BreakChange::Refuse {
        because: fields.text("reason", REASON_LENGTH_MAX),
    })
    .await
}

async fn change(call: Call, what: impl FnOnce(&mut Fields<'_, '_>) -> BreakChange) -> Answer {
    let Said { call, body, key } = call.read()?;
    let id = named(&call, "break")?;
    let it = fields::read(&body, what)?;
    let done = call
        .app
        .change_break(&call.caller, NAME, id, it, key)
        .await?;
    let location = format!("/ledger/v1/reconciliation_breaks/{id}");
    outcome(
        (false, done.replayed),
        &location,
        &BreakShown::of(id, done.it),
    )
}

/// The id that stands in the path.
fn named(call: &Call, what: &str) -> Result<ReconciliationId, Problem> {
    call.named("id").parse().map_err(|_| no_such(what))
}

/// A page of `limit`, and whether there is more, of what was read one too many of.
fn page<T>(mut rows: Vec<T>, limit: i64) -> (Vec<T>, bool) {
    let limit = usize::try_from(limit).unwrap_or(0);
    let more = rows.len() > limit;
    rows.truncate(limit);
    (rows, more)
}

fn count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn moment(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap_or_default()
}

fn amount(minor: Option<i64>, currency: Option<String>) -> Option<AmountShown> {
    let (minor, currency) = minor.zip(currency)?;
    Some(AmountShown { minor, currency })
}

impl RepeatShown {
    fn of(id: ReconciliationId, run: Run, repeated: Option<CameTo>) -> Self {
        Self {
            object: "reconciliation_repeat",
            run: id.uuid(),
            state: match &repeated {
                None => "altered",
                Some(it) if it.is_the_same() => "identical",
                Some(_) => "different",
            },
            expected_report_hash: run.closed.map(|it| it.report_hash),
            payments: repeated.as_ref().map(|it| count(it.totals.payments)),
            breaks: repeated.as_ref().map(|it| count(it.totals.break_count())),
            report_hash: repeated.map(|it| it.report_hash),
        }
    }
}

impl From<RunRow> for RunShown {
    fn from(it: RunRow) -> Self {
        Self {
            object: "reconciliation",
            id: it.run_id,
            status: it.status,
            at: moment(it.at),
            tolerance_minor: it.tolerance_minor,
            ledger_position: it.ledger_position,
            snapshot_hash: it.snapshot_hash,
            healed: it.healed,
            payments: it.payments,
            breaks: it.breaks,
            report_hash: it.report_hash,
        }
    }
}

impl RunShown {
    fn of(id: ReconciliationId, it: Run) -> Self {
        let closed = it.closed.as_ref();
        Self {
            object: "reconciliation",
            id: id.uuid(),
            status: it.status.to_string(),
            at: moment(it.terms.at),
            tolerance_minor: it.terms.tolerance_minor,
            ledger_position: it.pinned.as_ref().map(|it| it.ledger_position),
            healed: it.pinned.as_ref().map(|it| count(it.healed)),
            snapshot_hash: it.pinned.map(|it| it.snapshot_hash),
            payments: closed.map(|it| count(it.totals.payments)),
            breaks: closed.map(|it| count(it.totals.break_count())),
            report_hash: it.closed.map(|it| it.report_hash),
        }
    }
}

impl From<BreakRow> for BreakShown {
    fn from(it: BreakRow) -> Self {
        Self {
            object: "reconciliation_break",
            id: it.break_id,
            run: it.run_id,
            class: it.class,
            subject: it.subject,
            part: it.part,
            ours: amount(it.ours_minor, it.ours_currency),
            theirs: amount(it.theirs_minor, it.theirs_currency),
            says: it.says,
            since: moment(it.since),
            due: it.due.map(moment),
            first_seen: moment(it.first_seen),
            status: it.status,
            owner: it.owner,
            reason: it.reason,
            resolved_by: it.resolved_by,
            approved_by: it.approved_by,
        }
    }
}

impl BreakShown {
    fn of(id: ReconciliationId, it: Break) -> Self {
        let money = |it: Option<Money>| {
            it.map(|it| AmountShown {
                minor: it.minor(),
                currency: it.currency().code(),
            })
        };
        let (found, resolution) = (it.found, it.resolution);
        Self {
            object: "reconciliation_break",
            id: id.uuid(),
            run: found.run.uuid(),
            class: found.class.to_string(),
            subject: found.subject.to_string(),
            part: found.part,
            ours: money(found.ours),
            theirs: money(found.theirs),
            says: found.says,
            since: moment(found.since),
            due: found.due.map(moment),
            first_seen: moment(it.first_seen),
            status: it.status.to_string(),
            owner: it.owner,
            reason: resolution.as_ref().map(|it| it.reason.clone()),
            resolved_by: resolution.as_ref().map(|it| it.by.clone()),
            approved_by: resolution.and_then(|it| it.approved_by),
        }
    }
}
