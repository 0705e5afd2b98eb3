//! `exports`: the journal, balances, events and reports of reconciliations as files, whole, streamed. Lists are for programs that
//! go through them page by page; an export is one snapshot, says beforehand how many rows it has, and is cut off where it cannot
//! be ended.

use aggregates::ids::OrderId;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream;
use http::HeaderValue;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderName};
use projections::books::{AsOf, Span};
use projections::exports::{EventFilter, JournalFilter, TotalsFilter};
use std::fmt;

use super::books::{as_of, point};
use super::call::{Answer, Call, JSON};
use super::error::{no_such, not_ended};
use super::query::Query;
use crate::exports::report::{self, Printed};
use crate::exports::{Form, Sheet};
use crate::http::problem::Problem;
use crate::store::{Export, Scope, WhatToExport};
use crate::use_cases::{App, ReconcileError};

const LINES: &str = "application/x-ndjson";
const CSV: &str = "text/csv";
const HTML: &str = "text/html";
const FORMS: [&str; 2] = [LINES, CSV];

static POSITION: HeaderName = HeaderName::from_static("ledger-position");
static ROWS: HeaderName = HeaderName::from_static("row-count");

/// It could not be written to its end. The connection is cut, so that nobody takes what came for all there is.
#[derive(Debug)]
struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("the export cannot be read on")
    }
}

impl std::error::Error for Cut {}

/// Every line of the journal, in the order in which it was recorded.
pub async fn journal(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open_for(app, request, Scope::LedgerRead, &FORMS).await?;
    let mut query = call.query()?;
    let filter = JournalFilter {
        account: query.parsed("account", "an account"),
        currency: query.parsed("currency", "a currency"),
        period: query.parsed("period", "a month such as 2026-11"),
        order: order(&mut query),
        recorded: span(&mut query, "recorded_from", "recorded_before"),
        effective: span(&mut query, "effective_from", "effective_before"),
    };
    let (as_of, charted) = (as_of(&mut query), charted(&mut query));
    query.end()?;
    exported(&call, WhatToExport::Journal(filter), as_of, charted).await
}

/// What every account came to.
pub async fn balances(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open_for(app, request, Scope::LedgerRead, &FORMS).await?;
    let mut query = call.query()?;
    let filter = TotalsFilter {
        account: query.parsed("account", "an account"),
        currency: query.parsed("currency", "a currency"),
        period: query.parsed("period", "a month such as 2026-11"),
    };
    let (as_of, charted) = (as_of(&mut query), charted(&mut query));
    query.end()?;
    exported(&call, WhatToExport::Balances(filter), as_of, charted).await
}

/// Every event of the ledger.
pub async fn events(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open_for(app, request, Scope::LedgerRead, &FORMS).await?;
    let mut query = call.query()?;
    let filter = EventFilter {
        order: order(&mut query),
        recorded: span(&mut query, "recorded_from", "recorded_before"),
    };
    let as_of = point(&mut query).unwrap_or(AsOf::Now);
    query.end()?;
    exported(&call, WhatToExport::Events(filter), as_of, false).await
}

/// The report of a reconciliation that has ended; as JSON it is what its hash is of.
pub async fn reconciliation(State(app): State<App>, request: Request) -> Answer {
    let forms = [JSON, LINES, CSV, HTML];
    let call = Call::open_for(app, request, Scope::LedgerRead, &forms).await?;
    call.query()?.end()?;
    let merchant = &call.caller.merchant.id;
    let run = call.named("id").parse();
    let run = run.map_err(|_| no_such("reconciliation"))?;
    let known = call.app.reconciliation_run(merchant, run).await?;
    let report = match call.app.report(merchant, run).await {
        Ok(report) => report,
        Err(ReconcileError::NoSuchRun) => return Err(not_ended()),
        Err(error) => return Err(error.into()),
    };
    let form = match call.form {
        LINES => report::Form::Lines,
        CSV => report::Form::Csv,
        HTML => report::Form::Html,
        _ => report::Form::Json,
    };
    let position = known.pinned.map(|it| it.ledger_position);
    let printed = Printed::new(report, form);
    let pieces = stream::unfold(Some(printed), |printed| async {
        let mut printed = printed?;
        match printed.next().await {
            Ok(None) => None,
            Ok(Some(piece)) => Some((Ok(Bytes::from(piece)), Some(printed))),
            Err(_) => Some((Err(Cut), None)),
        }
    });
    let name = format!("{merchant}-reconciliation-{run}");
    let mut response = file(Body::from_stream(pieces), call.form, &name);
    if let Some(position) = position {
        response
            .headers_mut()
            .insert(POSITION.clone(), position.into());
    }
    Ok(response)
}

async fn exported(call: &Call, what: WhatToExport, as_of: AsOf, charted: bool) -> Answer {
    let merchant = &call.caller.merchant.id;
    let exports = call.app.exports();
    let export = exports.begin(merchant, what, as_of, charted).await?;
    let form = match call.form {
        CSV => Form::Csv,
        _ => Form::Lines,
    };
    let head = export.head.clone();
    let name = format!("{merchant}-{}-{}", head.what, head.ledger_position);
    let sheet = Sheet::new(form, head.clone());
    let first = Bytes::from(sheet.head());
    let stopping = call.app.stopping().clone();
    let rest = stream::unfold(Some((export, sheet)), move |it| {
        let stopping = stopping.clone();
        async move {
            let (export, sheet) = it?;
            tokio::select! {
                // Who reads on for half an hour does not hold up the end of the service.
                () = stopping.cancelled() => Some((Err(Cut), None)),
                piece = next_piece(export, sheet) => Some(piece),
            }
        }
    });
    let body = futures::StreamExt::chain(stream::iter([Ok(first)]), rest);
    let mut response = file(Body::from_stream(body), call.form, &name);
    let headers = response.headers_mut();
    headers.insert(POSITION.clone(), head.ledger_position.into());
    headers.insert(ROWS.clone(), head.rows.into());
    Ok(response)
}

/// The next bytes of an export. It is asked for them when there is room to send them; whoever goes away drops it, and its
/// snapshot with it.
async fn next_piece(
    mut export: Export,
    mut sheet: Sheet,
) -> (Result<Bytes, Cut>, Option<(Export, Sheet)>) {
    let read = export.next().await;
    let ended = matches!(read, Ok(None));
    let written = match read {
        Ok(Some(rows)) => sheet.rows(&rows).map_err(|error| error.to_string()),
        Ok(None) => sheet.end().map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    match written {
        Ok(text) => (Ok(text.into()), (!ended).then_some((export, sheet))),
        Err(error) => {
            tracing::error!(%error, what = export.head.what, "an export is cut off");
            (Err(Cut), None)
        }
    }
}

fn file(body: Body, media: &'static str, name: &str) -> Response {
    let (content_type, extension) = match media {
        CSV => ("text/csv; charset=utf-8; header=present", "csv"),
        HTML => ("text/html; charset=utf-8", "html"),
        LINES => (LINES, "ndjson"),
        _ => (JSON, "json"),
    };
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    let attached = format!("attachment; filename=\"{name}.{extension}\"");
    if let Ok(attached) = HeaderValue::from_str(&attached) {
        headers.insert(CONTENT_DISPOSITION, attached);
    }
    response
}

fn order(query: &mut Query) -> Option<OrderId> {
    query.parsed("order", "an order's id")
}

fn charted(query: &mut Query) -> bool {
    query.parsed("chart", "true or false").unwrap_or(false)
}

fn span(query: &mut Query, from: &'static str, before: &'static str) -> Span {
    Span {
        from: query.moment(from),
        before: query.moment(before),
    }
}

/// Reads the parameters of the largest of them: for fuzzers.
pub(super) fn parse(query: &mut Query) {
    let _ = (order(query), charted(query), as_of(query));
    let read = span(query, "recorded_from", "recorded_before");
    let _: Result<Span, Problem> = read.checked().map_err(Problem::from);
}
