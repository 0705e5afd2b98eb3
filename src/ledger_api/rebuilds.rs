//! `rebuilds`: read models made again from the events, compared with the live ones, and put in their place.
//!
//! A rebuild is of the whole database, so an operator's key begins it; whoever reads one sees what it found of the own rows.

use axum::extract::{Request, State};
use chrono::{DateTime, Utc};
use http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::NAME;
use super::call::{Answer, Call, Said, json, outcome};
use super::error::no_such;
use super::fields;
use super::shapes::List;
use crate::http::problem::Problem;
use crate::store::{ComparedRow, DifferenceRow, RebuildRow, Scope, projections_named};
use crate::use_cases::{App, RebuildView, StartRebuild};

const LIST: &str = "rebuilds";
/// The longest name of a projection, in characters.
const PROJECTION_LENGTH_MAX: usize = 40;

#[derive(Serialize)]
struct RebuildShown {
    object: &'static str,
    id: Uuid,
    /// Names and versions of the folds.
    projections: Vec<String>,
    dry_run: bool,
    state: String,
    /// What is done now.
    step: String,
    /// How much of the events is folded.
    filled_percent: i64,
    /// The program that folds.
    program: String,
    started_by: String,
    started_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
    error: Option<String>,
    #[serde(flatten)]
    certificate: Option<CertificateShown>,
}

#[derive(Serialize)]
struct CertificateShown {
    certificate: Vec<ComparedShown>,
    differences: Vec<DifferenceShown>,
}

#[derive(Serialize)]
struct ComparedShown {
    table: String,
    /// Where the ledger stood when they were compared.
    position: i64,
    live_rows: i64,
    rebuilt_rows: i64,
    live_checksum: String,
    rebuilt_checksum: String,
    /// Rows that differ.
    differences: i64,
}

/// A column that differs, or a row that only one side has.
#[derive(Serialize)]
pub(super) struct DifferenceShown {
    table: String,
    key: Value,
    what: String,
    column: Option<String>,
    live: Option<Value>,
    rebuilt: Option<Value>,
}

/// The rebuilds that the caller's merchant may know of, the latest first.
pub async fn list(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::LedgerRead).await?;
    let mut query = call.query()?;
    let (limit, after) = (query.limit(), query.after::<Uuid>(LIST));
    query.end()?;
    let found = call.app.rebuilds(&call.caller, after, limit).await?;
    let shown = List::new(
        LIST,
        (found.items, found.has_more),
        |row| row.id.to_string(),
        RebuildShown::listed,
    );
    json(StatusCode::OK, &shown)
}

/// One rebuild, with what it found of the caller's own rows.
pub async fn get(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::LedgerRead).await?;
    call.query()?.end()?;
    let id = call.named("id").parse();
    let id = id.map_err(|_| no_such("rebuild"))?;
    let found = call.app.rebuild(&call.caller, id).await?;
    json(StatusCode::OK, &RebuildShown::from(found))
}

/// Begins a rebuild.
pub async fn start(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::Operator).await?;
    let Said { call, body, key } = call.read()?;
    let all = projections::rebuild::projections();
    let (named, dry_run) = fields::read(&body, |fields| {
        let least = usize::from(fields.has("projections"));
        let named = fields.names("projections", (least, all.len()), PROJECTION_LENGTH_MAX);
        if projections_named(&named).is_err() {
            let names: Vec<&str> = all.iter().map(|it| it.name()).collect();
            let wrong = format!("names something else than one of: {}", names.join(", "));
            fields.fault("projections", wrong);
        }
        (named, fields.optional_flag("dry_run").unwrap_or(false))
    })?;
    let projections = projections_named(&named).map_err(|_| Problem::internal())?;
    let it = StartRebuild {
        projections,
        dry_run,
    };
    let (begun, replayed) = call.app.start_rebuild(&call.caller, NAME, it, key).await?;
    let location = format!("/ledger/v1/rebuilds/{}", begun.rebuild.id);
    outcome(
        (true, replayed),
        &location,
        &RebuildShown::begun(begun.rebuild),
    )
}

impl RebuildShown {
    /// As it began, however far it is by now: a repeated request is answered the same.
    fn begun(it: RebuildRow) -> Self {
        Self {
            state: "running".to_owned(),
            step: "filling".to_owned(),
            filled_percent: 0,
            ended_at: None,
            error: None,
            certificate: Some(CertificateShown {
                certificate: vec![],
                differences: vec![],
            }),
            ..Self::listed(it)
        }
    }

    fn listed(it: RebuildRow) -> Self {
        let filled_percent = match it.head {
            0 => 100,
            head => it.filled_to.saturating_mul(100) / head,
        };
        Self {
            object: "rebuild",
            id: it.id,
            projections: it.projections,
            dry_run: it.dry_run,
            state: it.state,
            step: it.step,
            filled_percent,
            program: it.program,
            started_by: it.started_by,
            started_at: it.started_at,
            ended_at: it.ended_at,
            // In the database's words, which are the operator's to read.
            error: it.error.map(|_| "It could not be finished.".to_owned()),
            certificate: None,
        }
    }
}

impl From<RebuildView> for RebuildShown {
    fn from(it: RebuildView) -> Self {
        let certificate = it.certificate;
        Self {
            certificate: Some(CertificateShown {
                certificate: certificate.tables.into_iter().map(Into::into).collect(),
                differences: certificate
                    .differences
                    .into_iter()
                    .map(Into::into)
                    .collect(),
            }),
            ..Self::listed(it.rebuild)
        }
    }
}

impl From<ComparedRow> for ComparedShown {
    fn from(it: ComparedRow) -> Self {
        Self {
            table: it.table_name,
            position: it.ledger_position,
            live_rows: it.live_rows,
            rebuilt_rows: it.rebuilt_rows,
            live_checksum: hex::encode(it.live_checksum),
            rebuilt_checksum: hex::encode(it.rebuilt_checksum),
            differences: it.differences,
        }
    }
}

impl From<DifferenceRow> for DifferenceShown {
    /// Without the place in the whole log, which only operators see.
    fn from(it: DifferenceRow) -> Self {
        let without = |row: Value| match row {
            Value::Object(mut row) => {
                row.remove("position");
                Value::Object(row)
            }
            other => other,
        };
        let hidden = it.column_name.as_deref() == Some("position");
        let shown = |value: Option<Value>| value.filter(|_| !hidden).map(without);
        Self {
            table: it.table_name,
            key: it.row_key,
            what: it.what,
            column: it.column_name,
            live: shown(it.live),
            rebuilt: shown(it.rebuilt),
        }
    }
}
